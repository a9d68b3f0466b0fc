"""A guest: one of Debian's kernels in qemu, with this machine's files (read-only, and what is written gone at the end) and no network card.

It runs one Python script of the repository as root, and what that writes to its second serial port comes back as text.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import packages

CPUS = {"kvm": "host", "tcg": "max"}
COMES_UP_S = 30.0
SHOWN = 40  # last lines of the console, where a guest fails
_START = ("virtio_pci", "9p", "9pnet_virtio", "overlay")
_INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for module in $(cat /order); do insmod /modules/$module || echo "init: $module was refused"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 host /host || poweroff -f
mount -t tmpfs tmpfs /write; mkdir /write/new /write/work
mount -t overlay -o lowerdir=/host,upperdir=/write/new,workdir=/write/work overlay /root || poweroff -f
for one in proc sys dev; do mount --move /$one /root/$one; done
mkdir -p /root/dev/pts /root/dev/shm; mount -t devpts devpts /root/dev/pts
for one in run dev/shm; do mount -t tmpfs tmpfs /root/$one; done
mkdir -p /root/usr/lib/modules; ln -s '{modules}' /root/usr/lib/modules/
cp /bin/busybox /root/run/modprobe; echo /run/modprobe >/root/proc/sys/kernel/modprobe
for name in ping poweroff; do cp /bin/busybox /root/run/$name; done
cp /start /root/run/start
exec switch_root /root /bin/sh /run/start
"""
_STARTED = """export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1
ip link set lo up
{command}
/run/poweroff -f
"""


class GuestError(Exception):
    """The guest did not come to its end: what happened, and the last lines of its console."""


def run(kernel: packages.Kernel, command: str, *, accelerator: str, timeout: float, cpus: int = 2, memory: int = 2048) -> str:
    """Boot, run a shell command, and return what it wrote to /dev/ttyS1. Raises GuestError."""
    with tempfile.TemporaryDirectory(prefix="headwater-guest-") as temporary:
        folder = Path(temporary)
        initramfs, console, result = folder / "initramfs", folder / "console", folder / "result"
        initramfs.write_bytes(_initramfs(kernel, command))
        words = [
            *"qemu-system-x86_64 -M q35 -nodefaults -no-user-config -display none -no-reboot".split(),
            *("-accel", accelerator, "-cpu", CPUS[accelerator]),
            *("-smp", str(cpus), "-m", str(memory), "-kernel", str(kernel.image), "-initrd", str(initramfs)),
            *("-append", "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 random.trust_cpu=on"),
            *("-serial", f"file:{console}", "-serial", f"file:{result}", "-device", "virtio-rng-pci"),
            *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
            *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise GuestError(f"it did not end within {timeout:.0f} s; its console ends with\n{_last(console)}") from None
        if done.returncode:
            raise GuestError(f"qemu: {done.stderr.strip()}")
        if not result.exists() or not result.stat().st_size:
            raise GuestError(f"it ended and said nothing; its console ends with\n{_last(console)}")
        sys.stderr.write(_said(console))  # what it did, for whoever looks for the reason of a finding
        return result.read_text(errors="replace")


def accelerator(kernel: packages.Kernel) -> str:
    """kvm if a guest comes up with it, else tcg, which runs everywhere and takes some ten times as long.

    That /dev/kvm is there does not say much: some virtual machines have one that only runs kernels made for it.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("kernels: /dev/kvm is not there, or not ours to use: emulating, which takes long", flush=True)
        return "tcg"
    try:
        run(kernel, "echo up >/dev/ttyS1", accelerator="kvm", timeout=COMES_UP_S)
    except GuestError:
        print("kernels: /dev/kvm is there, but no guest comes up with it: emulating, which takes long", flush=True)
        return "tcg"
    return "kvm"


def _initramfs(kernel: packages.Kernel, command: str) -> bytes:
    modules = packages.modules_for(kernel, *_START)
    files = {
        "init": _INIT.format(modules=kernel.modules).encode(),
        "start": _STARTED.format(command=command).encode(),
        "order": "".join(f"{path.name}\n" for path in modules).encode(),
        "bin/busybox": packages.busybox().read_bytes(),
        **{f"modules/{path.name}": path.read_bytes() for path in modules},
    }
    folders = ("bin", "modules", "proc", "sys", "dev", "host", "write", "root")
    entries = [(name, 0o040755, b"") for name in folders] + [(name, 0o100755, octets) for name, octets in files.items()]
    return b"".join(_entry(*entry) for entry in entries) + _entry("TRAILER!!!", 0, b"")


def _entry(name: str, mode: int, octets: bytes) -> bytes:
    """One file of a cpio archive (kernel: Documentation/driver-api/early-userspace/buffer-format.rst)."""
    fields = (0, mode, 0, 0, 1, 0, len(octets), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return header + bytes(-len(header) % 4) + octets + bytes(-len(octets) % 4)


def _said(console: Path) -> str:
    return console.read_text(errors="replace") if console.exists() else ""


def _last(console: Path) -> str:
    return "\n".join(f"  {line}" for line in _said(console).splitlines()[-SHOWN:])
