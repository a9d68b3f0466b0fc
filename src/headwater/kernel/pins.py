"""Maps that outlive their process: pinned in the BPF file system, and taken over by the next run if they hold the same."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from headwater._native import lib
from headwater.errors import KernelError
from headwater.kernel import libbpf
from headwater.records import btf

SECRET_OCTETS = 64
_WHAT = "hw_kept"  # a map with what the others hold, and the secret that goes with them
_DIGEST_OCTETS = hashlib.sha256().digest_size


def folder() -> Path:
    """Where maps are pinned: HEADWATER_PINS, for a service a BPF file system of its own, or else a folder of the system's."""
    return Path(os.environ.get("HEADWATER_PINS") or "/sys/fs/bpf/headwater")


def mounted() -> bool:
    """Whether that is in a BPF file system."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return any(kind == "bpf" and folder().is_relative_to(where) for _, where, kind, *_ in mounts)


def layout(structs: Sequence[btf.Struct], *more: int) -> bytes:
    """What tells maps of these structs from all others."""
    return hashlib.sha256(repr((structs, more)).encode()).digest()


class Pins:
    """Maps called `names`, kept for whoever comes after us in this network namespace, with the secret that they are of use with.

    `layout` says what they hold: those that were left with another one are removed, and never read. `report` is told of that.
    """

    def __init__(self, names: Sequence[str], layout: bytes, report: Callable[[str], None]) -> None:
        self._names = tuple(names)
        self._layout = layout
        self._report = report
        self._folder = folder() / f"flows-{Path('/proc/thread-self/ns/net').stat().st_ino}"
        self._lock = -1
        self._left: dict[str, int] = {}
        self.secret = b""

    def open(self) -> Mapping[str, int]:
        """The maps that the run before has left, by name, and `secret`; nothing if there are none. They are ours until close().

        Raises KernelError where there is no BPF file system that we may write to, or where another run has them.
        """
        if not mounted():
            where = folder() if "HEADWATER_PINS" in os.environ else folder().parent
            raise KernelError(f"keep_flows needs a BPF file system: mount -t bpf bpf {where}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KernelError(f"another run keeps its flows in {self._folder}: end that one, or leave keep_flows out here") from None
        except OSError as error:
            raise KernelError(f"keep_flows writes to {self._folder}, and cannot ({error.strerror}): run as root") from error
        self._left = {name: fd for name in (*self._names, _WHAT) if (fd := int(lib.bpf_obj_get(bytes(self._folder / name)))) >= 0}
        if not self._left:
            return {}
        if len(self._left) == len(self._names) + 1:
            what = np.zeros(_DIGEST_OCTETS + SECRET_OCTETS, np.uint8)
            libbpf.get(self._left[_WHAT], 0, what)
            if what[:_DIGEST_OCTETS].tobytes() == self._layout:
                self.secret = what[_DIGEST_OCTETS:].tobytes()
                self._report("flows of the run before go on")
                return {name: self._left[name] for name in self._names}
        self._report("flows that a run before had kept are given up: it was of another version, or its memory_mib was another")
        self._remove()
        return {}

    def keep(self, maps: Mapping[str, int], secret: bytes) -> None:
        """Let these stay, unless they are those that open() has found. Raises KernelError."""
        if self._left:
            return
        what = libbpf.create_array(_WHAT, _DIGEST_OCTETS + SECRET_OCTETS)
        try:
            libbpf.put(what, 0, self._layout + secret)
            for name, fd in {**maps, _WHAT: what}.items():  # the last makes them complete
                if failed := -lib.bpf_obj_pin(fd, bytes(self._folder / name)):
                    raise KernelError(f"{self._folder / name} cannot be made ({os.strerror(failed)}): see `headwater doctor`")
        finally:
            os.close(what)

    def close(self) -> None:
        """What is kept stays."""
        self._forget()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _remove(self) -> None:
        for name in (*self._names, _WHAT):
            (self._folder / name).unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        while self._left:
            os.close(self._left.popitem()[1])
