#!/bin/sh
# Brings a machine with git, make and Python 3.11 to where Headwater builds: Debian packages (when root), a virtual environment, the build.
set -eu
python=$1
venv=$2

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need clang clang
need clang-format clang-format
need cc gcc
[ -e /usr/include/bpf/libbpf.h ] || missing="$missing libbpf-dev"
[ -e /usr/include/libelf.h ] || missing="$missing libelf-dev"
need ip iproute2
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		echo "headwater: cannot build yet: install$missing (Debian and Ubuntu: sudo apt-get install$missing), then run make again" >&2
		exit 1
	fi
	echo "headwater: installing$missing"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77' 'cffi>=2.0'
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --group dev -e .
