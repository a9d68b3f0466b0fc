#!/bin/sh
# A Debian package out of a wheel: the wheel and what it depends on below /usr/lib/headwater, for Debian's own Python 3.11; the unit, its
# configuration, and the account it runs as. usage: packaging/deb.sh dist/headwater-*.whl PYTHON; writes dist/headwater_VERSION_ARCH.deb
set -eu
wheel=$1
python=$2
version=$(basename "$wheel" | cut -d- -f2)
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

"$python" -m pip install -q --disable-pip-version-check --no-compile --target "$root/usr/lib/headwater" "$wheel"
rm -rf "$root/usr/lib/headwater/bin"
install -D -m 644 -t "$root/usr/lib/systemd/system" packaging/headwater.service packaging/run-headwater_bpf.mount
install -D -m 640 packaging/headwater.toml "$root/etc/headwater/headwater.toml"
mkdir -p "$root/usr/bin" "$root/DEBIAN"
cat >"$root/usr/bin/headwater" <<'COMMAND'
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/headwater")
from headwater.apps.cli import main

main()
COMMAND
chmod 755 "$root/usr/bin/headwater"
cat >"$root/DEBIAN/control" <<CONTROL
Package: headwater
Version: $version
Architecture: $architecture
Maintainer: The Headwater developers <headwater@localhost>
Depends: python3 (>= 3.11), python3 (<< 3.12), adduser
Recommends: iproute2
Section: net
Priority: optional
Description: Shows what happens on a Linux host's network, from the first packet header
 eBPF programs read headers in the kernel; Headwater turns them into typed tables, pictures and files.
CONTROL
echo /etc/headwater/headwater.toml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
adduser --system --group --quiet --no-create-home --home /var/lib/headwater headwater
chgrp headwater /etc/headwater/headwater.toml
[ ! -d /run/systemd/system ] || systemctl daemon-reload
POSTINST
cat >"$root/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl stop headwater.service
[ ! -d /run/systemd/system ] || [ "$1" != remove ] || systemctl stop run-headwater_bpf.mount
PRERM
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
dpkg-deb -Zzstd -z3 --root-owner-group --build "$root" "dist/headwater_${version}_$architecture.deb" >/dev/null
echo "dist/headwater_${version}_$architecture.deb"
