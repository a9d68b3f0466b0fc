"""Debian's kernels and the few programs that the guests need, fetched by apt into a cache outside the repository. Nothing is installed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater" / "kernels"
KERNELS = {"6.1": "linux-image-amd64", "6.12": "linux-image-6.12-amd64"}
"""By name, the package that depends on the newest kernel of it: Debian 12's own, and the one that it has from Debian 13."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that was unpacked."""

    name: str
    release: str  # as uname says
    version: str  # of the package
    image: Path
    modules: Path  # what /lib/modules/RELEASE is to be


def fetch(package: str) -> Path:
    """A folder with the package's files. Fetched once a version."""
    version = _candidate(package)
    folder = CACHE / f"{package}_{version}".replace(":", "_")
    if not folder.is_dir():
        print(f"kernels: fetching {package} {version}", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", f"{package}={version}"], Path(temporary))
            (archive,) = Path(temporary).glob("*.deb")
            unpacked = Path(temporary) / "unpacked"
            _run(["dpkg-deb", "-x", str(archive), str(unpacked)], Path(temporary))
            unpacked.rename(folder)
    return folder


def busybox() -> Path:
    """A busybox that needs no library."""
    return fetch("busybox-static") / "bin/busybox"


def wireguard() -> Path:
    """The command wg."""
    return fetch("wireguard-tools") / "usr/bin/wg"


def kernel(name: str) -> Kernel:
    """The newest of a name in KERNELS that apt knows."""
    needs = _run(["apt-cache", "depends", "--important", KERNELS[name]])
    found = re.search(r"Depends: (linux-image-\S+)", needs)
    if not found:
        sys.exit(f"kernels: apt knows no {KERNELS[name]}: these are Debian 12's kernels; add its sources, and run apt-get update")
    folder = fetch(found[1])
    (image,) = folder.glob("boot/vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    modules = folder / "lib/modules" / release
    if not (modules / "modules.dep").exists():
        _run([str(busybox()), "depmod", "-b", str(folder), release])
    return Kernel(name, release, _candidate(found[1]), image, modules)


def modules_for(kernel: Kernel, *wanted: str) -> list[Path]:
    """The files of these modules and of what they need, in an order in which they load; not what the kernel has built in."""
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {_stem(path): path for path in needs}
    order: dict[str, None] = {}

    def add(path: str) -> None:
        for other in needs[path]:
            if other not in order:
                add(other)
        order[path] = None

    for name in wanted:
        if name in by_name:
            add(by_name[name])
    return [kernel.modules / path for path in order]


def need(command: str, package: str) -> None:
    """Have a command of Debian's, which is installed where we may; qemu is far too large to unpack by hand."""
    if shutil.which(command):
        return
    if os.geteuid():
        sys.exit(f"kernels: there is no {command}: sudo apt-get install {package}")
    print(f"kernels: installing {package}", flush=True)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko", maxsplit=1)[0].replace("-", "_")


def _candidate(package: str) -> str:
    found = re.search(r"Candidate: (\S+)", _run(["apt-cache", "policy", package]))
    if not found or found[1] == "(none)":
        sys.exit(f"kernels: apt knows no {package}: run apt-get update, on Debian 12")
    return found[1]


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        sys.exit(f"kernels: {' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
