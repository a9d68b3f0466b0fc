"""A directory to which Zeek (or Suricata) is writing: rows as their lines are finished, through rotation, each once also after a crash.

Who stores a batch stores with it the state that came beside it, in one step; what is read from that state on begins with the next batch.
A file is known by its device and inode, and by its first octets once those are another's: that is how a log that was renamed, and later
packed into a new file, is told from one that was never read.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa

from headwater.sources.log_lines import Lines, Notes
from headwater.sources.octets import FORMATS as PACKED
from headwater.sources.zeek import FORMATS, Imported, Log, format_of, found, is_live, log_of, order, rest

HEAD = 512  # octets that tell a log from others: Zeek's header has in its first 128 what is open since when
HEAD_LEAST = 128
_NONE = "none"
POLL_S = 1.0
FORGET_S = 86400.0  # after which a file that has gone is one that was never seen


class Follow:
    """Reads the logs in `directories` and below; the first is that in which Zeek writes, others may be where it puts what it rotates.

    Without a state, logs that were rotated before are left to `headwater import`. `report` is told what is wrong, in one line each.
    """

    def __init__(self, directories: Sequence[Path], state: Mapping[str, Any], report: Callable[[str], None]) -> None:
        self._directories = directories
        self._report = report
        self._files: dict[str, dict[str, Any]] = dict(state.get("files", {}))
        self._begun = "files" in state
        self._logs: dict[str, tuple[Log | None, Notes]] = {}
        self._told: set[Path] = set()
        self._stop = Event()

    def read(self) -> Iterator[tuple[Imported, dict[str, Any]]]:
        """(rows, state) until stop(); the state is what JSON can hold, and stays as it is."""
        while not self._stop.is_set():
            yield from self.poll()
            self._stop.wait(POLL_S)

    def stop(self) -> None:
        """End read() soon; from any thread."""
        self._stop.set()

    def state(self) -> dict[str, Any]:
        """How far it is."""
        return {"files": dict(self._files)}

    def poll(self) -> Iterator[tuple[Imported, dict[str, Any]]]:
        """What is new since the last time."""
        logs = [(top, log) for top in self._directories if top.is_dir() for log in found(top)]
        logs.sort(key=lambda one: (is_live(one[1].name), order(*one)))
        there = {key for _, log in logs if (key := _key(log))}
        for _, log in logs:
            try:
                yield from self._look(log, there)
            except OSError as error:
                if not isinstance(error, FileNotFoundError) and log not in self._told:  # else it was renamed: the next look finds it
                    self._told.add(log)
                    self._report(f"{log} cannot be read now, and is tried again: {error.strerror}")
        self._begun = True
        self._forget(there)

    # -- which file it is -----------------------------------------------------------------------------------------------------------

    def _look(self, log: Path, there: set[str]) -> Iterator[tuple[Imported, dict[str, Any]]]:
        if self._is_old(log):
            return
        fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            key = f"{status.st_dev}:{status.st_ino}"
            if not stat.S_ISREG(status.st_mode):
                return
            packed = os.pread(fd, 4, 0).startswith(tuple(PACKED))
            first = _first(fd, packed)
            entry = self._files.get(key)
            if entry and (
                not _begins(entry, first) or (not packed and status.st_size < entry["position"]) or _is_another(entry, log, first)
            ):
                self._files[f"gone:{entry['head'][1]}"] = self._files.pop(key)  # its inode, or its name, is another's now
                self._logs.pop(key, None)
                entry = None
            entry = entry or self._known(log, first, there)
            if entry is None:
                return
            head = [len(first), _hash(first)] if len(first) > entry["head"][0] else entry["head"]
            same = entry["stamp"] == _stamp(status)
            self._files[key] = {**entry, "head": head, "seen": int(time.time())}
            yield from self._rows(key, log, fd, packed, same)
            self._files[key] = {**self._files[key], "stamp": _stamp(status)}
        finally:
            os.close(fd)

    def _is_old(self, log: Path) -> bool:
        """Whether there is nothing new in it, which costs no more than to ask for its size and time."""
        status = log.stat()
        entry = self._files.get(f"{status.st_dev}:{status.st_ino}")
        if not entry or entry["stamp"] != _stamp(status) or "until" in entry or not (entry["done"] or is_live(log.name)):
            return False
        entry["seen"] = int(time.time())
        return True

    def _known(self, log: Path, first: bytes, there: set[str]) -> dict[str, Any] | None:
        """The entry of a file with a new inode: of one that was read before under another, or a new one; None if this is a copy of one that
        is still there, as it is while a log is being packed.
        """
        for other, entry in self._files.items():
            if entry["head"][0] >= HEAD_LEAST and entry["log"] == log_of(log.name) and _begins(entry, first):
                if other in there:
                    return None
                self._logs.pop(other, None)
                return self._files.pop(other)
        old = not self._begun and not is_live(log.name)
        return {
            "log": log_of(log.name),
            "head": [0, _hash(b"")],
            "position": 0,
            "line": 0,
            "format": "",
            "reader": {},
            "done": old,
            "stamp": [],
        }

    def _forget(self, there: set[str]) -> None:
        long_ago = time.time() - FORGET_S
        for key in [key for key, entry in self._files.items() if key not in there and entry["seen"] < long_ago]:
            del self._files[key]
            self._logs.pop(key, None)

    # -- its rows -------------------------------------------------------------------------------------------------------------------

    def _rows(self, key: str, log: Path, fd: int, packed: bool, same: bool) -> Iterator[tuple[Imported, dict[str, Any]]]:
        entry = self._files[key]
        if entry["done"] or entry["format"] == _NONE:
            return
        reader, notes = self._reader(key, log)
        lines = Lines(fd, notes, entry["position"], entry["line"])
        os.lseek(fd, 0 if packed else entry["position"], os.SEEK_SET)
        if packed and not lines.pass_over(entry["position"]) and not same:
            return  # it is being written, or damaged if it stays like this
        if "until" in entry:
            text = lines.take(entry["until"] - entry["position"])
            yield from self._block(key, entry["line"] + 1, text, (entry["until"], entry["line"] + text.count(b"\n")), entry["taken"])
            yield from self._rows(key, log, fd, packed, same)
            return
        for number, text in lines.blocks():
            if reader is None:
                kind = format_of(text)
                if not kind:
                    notes.say(0, "is no log of Zeek or Suricata: left alone")
                    self._files[key] = {**self._files[key], "format": _NONE}
                    return
                self._files[key] = {**self._files[key], "format": kind}
                self._logs.pop(key)
                reader, notes = self._reader(key, log)
            yield from self._block(key, number, text, (lines.position, lines.line), 0)
        if is_live(log.name) or (lines.damaged and not same):
            return
        last = [Imported(name, table, notes.news(), notes.file) for name, table in rest(lines, reader, notes)]
        self._files[key] = {**self._files[key], "position": lines.position + len(lines.rest), "done": True}
        if last or (new := notes.news()):
            yield (last or [_nothing(entry["log"], new, notes)])[0], self.state()
        self._logs.pop(key, None)

    def _reader(self, key: str, log: Path) -> tuple[Log | None, Notes]:
        entry = self._files[key]
        if key not in self._logs:
            notes = Notes(str(log), self._report)
            kind = entry["format"]
            self._logs[key] = FORMATS[kind](entry["log"], notes, entry["reader"] or None) if kind else None, notes
        return self._logs[key]

    def _block(self, key: str, number: int, text: bytes, after: tuple[int, int], taken: int) -> Iterator[tuple[Imported, dict[str, Any]]]:
        """The rows of one block but the first `taken` tables, which were stored before. A state between two of them is that of the block's
        beginning, so that the same octets are read in the same way again.
        """
        reader, notes = self._logs[key]
        assert reader is not None  # noqa: S101 - a block is read by one
        entry = {name: value for name, value in self._files[key].items() if name not in {"until", "taken"}}
        read = list(reader.read(number, text))
        end = {**entry, "position": after[0], "line": after[1], "reader": reader.state()}
        for place, (name, table) in enumerate(read, 1):
            if place <= taken:
                continue
            self._files[key] = end if place == len(read) else {**entry, "until": after[0], "taken": place}
            yield Imported(name, table, notes.news(), notes.file), self.state()
        self._files[key] = end
        if new := notes.news():
            yield _nothing(entry["log"], new, notes), self.state()


def _nothing(log: str, skipped: dict[str, int], notes: Notes) -> Imported:
    return Imported(log, pa.RecordBatch.from_pylist([], pa.schema([])), skipped, notes.file)


def _key(log: Path) -> str:
    try:
        status = log.stat()
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns]


def _first(fd: int, packed: bool) -> bytes:
    """The first octets, unpacked."""
    if not packed:
        return os.pread(fd, HEAD, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    return Lines(fd, Notes("", lambda _: None)).take(HEAD)


def _hash(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def _is_another(entry: Mapping[str, Any], log: Path, first: bytes) -> bool:
    """Whether a file that was read to its end, which does not grow, cannot be this one with the same inode."""
    return bool(entry["done"]) and (is_live(log.name) or len(first) > entry["head"][0])


def _begins(entry: Mapping[str, Any], first: bytes) -> bool:
    """Whether a file that begins so can be that of `entry`."""
    size, said = entry["head"]
    return len(first) >= size and bool(_hash(first[:size]) == said)
