#!/bin/sh
# Brings a machine that has git, make and Python 3.11 to where Headwater builds (or is tested, or measured): Debian packages when root, a virtual
# environment, the build. usage: setup-machine.sh build|test|bench PYTHON VENV
set -eu
purpose=$1
python=$2
venv=$3

missing=
services=
need() { # COMMAND-OR-FILE PACKAGE [SERVICE]
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac || {
		missing="$missing $2"
		services="$services ${3-}"
	}
}
need clang clang
need llvm-strip llvm
need cc gcc
need /usr/include/bpf/libbpf.h libbpf-dev
need /usr/include/asm-generic/types.h linux-libc-dev
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ "$("$python" -c 'import sysconfig, os; print(os.path.exists(sysconfig.get_path("include") + "/Python.h"))')" = True ] || missing="$missing python3-dev"
if [ "$purpose" != build ]; then
	need clang-format clang-format
	need tshark tshark
	need tcpdump tcpdump
	need iperf3 iperf3
	need curl curl
	need dig bind9-dnsutils
	need ssh openssh-client
	need openssl openssl
	need /usr/sbin/sshd openssh-server "ssh.service ssh.socket"
	need nginx nginx nginx.service
	need dnsmasq dnsmasq-base
	need dhclient isc-dhcp-client
	need ip iproute2
	need zstd zstd
	need ethtool ethtool
	need bpftool bpftool
	need unshare util-linux
	need setpriv util-linux
	need systemd-analyze systemd
	[ -n "$(find /usr/lib/llvm-*/lib/clang -name "libclang_rt.fuzzer*" 2>/dev/null | head -1)" ] || missing="$missing libclang-rt-14-dev"
fi
if [ "$purpose" = bench ]; then
	need softflowd softflowd
	need nfpcapd nfdump
	need argus argus-server
	need mariadbd mariadb-server-core
	need mariadb mariadb-client-core
fi
if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		echo "headwater: install$missing first (Debian, Ubuntu: sudo apt-get install$missing); reading captures needs no more than \`pip install headwater\`" >&2
		exit 1
	fi
	echo "headwater: installing$missing"
	for service in $services; do # that tests start for themselves: it is not to serve on this machine
		mkdir -p /etc/systemd/system && ln -s /dev/null "/etc/systemd/system/$service" 2>/dev/null || :
	done
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of package names
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
if [ ! -e "$venv/.built" ] || [ -n "$(find native bpf setup.py pyproject.toml src/headwater/records/btf.py -newer "$venv/.built" 2>/dev/null)" ]; then
	echo "headwater: building the eBPF programs and the native module, which takes about a minute"
	"$venv/bin/python" -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77' 'cffi>=2.0'
	"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --group dev -e '.[store]'
	touch "$venv/.built"
fi
