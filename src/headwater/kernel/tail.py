"""What a run that is killed has counted and not told: its counters outlive it, and the next run tells (docs/ledger.md).

The map of counters is pinned, and beside it lies a file with what of them the ledger knew a moment ago. Both go when the run ends well.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headwater._native import lib
from headwater.kernel import pins
from headwater.kernel.counters import seen_of

_COUNTS, _STATE = "hw_counts", "state.json"
_MOST = 1 << 20  # octets of a state
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h
_OLD_NS = 86_400 * 10**9


def runs() -> Path:
    """Where runs of this user keep it: a service's folder, the system's, or the user's."""
    if given := os.environ.get("STATE_DIRECTORY"):  # systemd.exec(5)
        return Path(given.partition(":")[0]) / "runs"
    if os.geteuid() == 0:
        return Path("/var/lib/headwater/runs")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "headwater/runs"


@dataclass(frozen=True)
class Mark:
    """Of an interface, when the ledger was last told of it: packets whose fate it knew."""

    name: str
    told: int


def _boot() -> str:
    """What tells this run of the machine from others."""
    with contextlib.suppress(OSError):  # a service manager may hide it
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{(time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // (60 * 10**9)}"


def _space() -> int:
    """This network namespace's number, which no other has while the machine runs; before Linux 5.14 that of its inode."""
    with contextlib.suppress(OSError), socket.socket() as one:
        return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
    return Path("/proc/thread-self/ns/net").stat().st_ino


class Tail:
    """What this run leaves behind if it is killed. Where there is no place for it, nothing is."""

    def __init__(self) -> None:
        name = f"{_space()}-{os.getpid()}"
        self._folder = runs() / name
        self._pins = pins.folder() / f"run-{name}"
        self._file = -1
        self._opened: list[int] = []
        self._what: dict[str, Any] = {}

    def open(self, counts_fd: int, owed: Mapping[str, int]) -> None:
        """From now on; `counts_fd` is the map of counters, -1 where there is none that could outlive us. `owed` is what collect() has
        found: until we tell() for the first time, nobody has told that.
        """
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._folder / _STATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # who finds it and can lock it knows that we are gone
            pinned = False
            if counts_fd >= 0 and pins.mounted():
                with contextlib.suppress(OSError):
                    self._pins.mkdir(mode=0o700, parents=True, exist_ok=True)
                    (self._pins / _COUNTS).unlink(missing_ok=True)
                    pinned = not lib.bpf_obj_pin(counts_fd, bytes(self._pins / _COUNTS))
            self._what = {"boot": _boot(), "space": _space(), "pinned": pinned, "owed": dict(owed), "marks": [], "flows": 0}
            self._write()

    def folders(self, uid: int | None) -> list[Path]:
        """What close() removes something from: they are given to that account."""
        if self._file < 0:
            return []
        folders = [one for one in (self._folder, self._pins) if one.is_dir()]
        for folder in folders:
            if uid is not None:
                os.chown(folder, uid, -1)
            self._opened.append(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))  # the way there may be closed to it
        return folders

    def note(self, index: int, name: str) -> None:
        """An interface is listened on from now on, and nothing of it was told yet."""
        if self._file >= 0:
            self._what["marks"] = [*(mark for mark in self._what["marks"] if mark[0] != index), (index, name, 0)]
            self._write()

    def tell(self, marks: Mapping[int, Mark], flows: int) -> None:
        """The ledger knows of so many packets by now, by interface number, and so many flows go on."""
        if self._file >= 0:
            self._what |= {"marks": [(index, mark.name, mark.told) for index, mark in marks.items()], "flows": flows, "owed": {}}
            self._write()

    def _write(self) -> None:
        state = json.dumps({**self._what, "at": time.time_ns()}).encode()
        with contextlib.suppress(OSError):  # a full disk: the next run tells more than was lost, or that it does not know
            os.pwrite(self._file, state, 0)
            os.ftruncate(self._file, len(state))

    def close(self) -> None:
        """All was told."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        if not self._opened:
            self.folders(None)
        for folder in self._opened:
            for name in (_STATE, _COUNTS):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
            os.close(folder)
        os.close(self._file)
        self._file = -1


def collect(report: Callable[[str], None]) -> Counter[str]:
    """Packets by interface that runs before had seen and not told, because they were killed; `report` is told of each. Once."""
    found: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for folder in sorted(runs().iterdir()):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                for name, count in _collect(folder, report):
                    found[name] += count
    return found


def _collect(folder: Path, report: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    state, left = folder / _STATE, pins.folder() / f"run-{folder.name}"
    if not state.exists():
        _remove(left)
        _remove(folder)
        return
    with state.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it runs
        text = file.read(_MOST)
        what = json.loads(text) if text else {}
        here = what.get("space") == _space()
        same_boot = what and ((left / _COUNTS).exists() or what["boot"] == _boot())  # at a new start there are no pins
        if same_boot and not here and time.time_ns() - what["at"] < _OLD_NS:
            return  # of another network namespace: whoever runs there next tells it
        if what and here:
            yield from _lost(what, left, report)
        _remove(left, left / _COUNTS)
        _remove(folder, state)


def _lost(what: Mapping[str, Any], left: Path, report: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    then = datetime.fromtimestamp(what["at"] / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    counts = int(lib.bpf_obj_get(bytes(left / _COUNTS))) if what["pinned"] else -1
    yield from what["owed"].items()
    flows = f"; {what['flows']:,} flows that went on are lost (keep_flows keeps them)" if what["flows"] else ""
    if counts < 0:
        report(f"the run before was killed after {then}: what it lost since then is not known{flows}")
        return
    try:
        lost = {name: seen_of(counts, index) - told for index, name, told in what["marks"]}
    finally:
        os.close(counts)
    report(f"the run before was killed after {then}: {sum(lost.values()):,} packets that it saw are told of here, as crash_tail{flows}")
    yield from lost.items()


def _remove(folder: Path, *files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
