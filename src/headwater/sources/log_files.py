"""Logs of Zeek and Suricata in files and directories, as they are or while they are written: rows as their lines are finished, through
rotation, each once for a memory of what was taken (log_memory.py).
"""

import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from headwater.sources.log_folders import Folders, Found
from headwater.sources.log_lines import TAIL, Lines, Notes
from headwater.sources.log_memory import HEAD, Entry, Memory, digest
from headwater.sources.octets import FORMATS as PACKED
from headwater.sources.zeek import FORMATS, NO_LOG, Imported, Log, format_of, is_live, log_of, rest

SETTLED_S = 3.0  # after which nobody is within a line, or a packed file, any more
HELD_S = 600.0  # that a log is kept open after it was written to, so that it can be read to its end wherever it is taken
_HELD_MOST = 256
_GOING_MOST = 256
_LEARNED_MOST = 4096


@dataclass
class _Going:
    """What goes on from one look to the next: how a log is read, as of `position`, and what was said of it."""

    notes: Notes
    reader: Log | None = None
    position: int = 0
    cut: int = -1  # where a last line without an end was told of


class LogFiles:
    """The logs of `paths`, files or directories. `memory` says how far each was taken, and is told of what look() gives before it does.

    `again` takes each as if it never was. `follow` expects more of them. `report` is told what is wrong, in one line each.
    """

    def __init__(
        self, paths: Sequence[Path], memory: Memory, report: Callable[[str], None], *, again: bool = False, follow: bool = False
    ) -> None:
        self._folders = Folders(paths, report, rotated=follow)
        self._memory = memory
        self._report = report
        self._again = again
        self._follow = follow
        self._met: set[int] = set()  # entries that were looked at in this run
        self._going: dict[str, _Going] = {}
        self._held: dict[str, tuple[int, Path]] = {}
        self._none: dict[str, str] = {}  # files that are no logs, and their stamps
        self._told: set[Path] = set()
        self._learned: set[str] = set()
        self.same = 0
        """Logs of which there was nothing new, when they were met first."""
        self.wrong: list[str] = []
        """What cannot be read, of all that was named and is not followed; a line each."""

    def look(self) -> Iterator[list[Imported]]:
        """What is new since the last time, a block of one log at a time."""
        there: dict[str, Path] = {}
        logs = self._folders.look()
        for log in logs:
            try:
                there.setdefault(_key(log.path.stat()), log.path)
            except OSError:
                continue
        for key in [key for key in self._held if key not in there]:
            yield from self._taken_away(key)
        for log in logs:
            try:
                yield from self._look(log, there)
            except OSError as error:
                if self._follow and isinstance(error, FileNotFoundError):
                    continue  # it was renamed: the next look finds it
                self._wrong(log, f"cannot be read: {error.strerror}")

    def close(self) -> None:
        """Let go of all that is open."""
        while self._held:
            os.close(self._held.popitem()[1][0])

    # -- which log it is ------------------------------------------------------------------------------------------------------------

    def _look(self, log: Found, there: dict[str, Path]) -> Iterator[list[Imported]]:
        fd = os.open(log.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            file = _File.of(fd, log.path)
            if not file:
                return
            if self._none.get(file.key) == file.stamp:
                self._wrong(log, NO_LOG)
                return
            entry = self._entry(file, log, there)
            if not entry:
                return
            had = entry.position
            yield from self._rows(file, entry)
            self._met.add(entry.number or 0)
            self.same += entry.position == had > 0
            if file.key in self._none:
                self._wrong(log, NO_LOG)
            if self._follow and not file.packed and file.key not in self._held and len(self._held) < _HELD_MOST and file.age_s < HELD_S:
                self._held[file.key] = os.dup(fd), log.path
        finally:
            os.close(fd)

    def _entry(self, file: "_File", log: Found, there: dict[str, Path]) -> Entry | None:
        """What is known of this log; a new entry if that is nothing, and None if there is nothing to do."""
        entry = self._memory.at(file.key)
        if entry and entry.stamp == file.stamp and not self._is_to_forget(entry):
            self.same += 1
            self._folders.nothing_in(log.path, file.age_s)
            return None
        file.read_first()
        if entry and not file.is_of(entry):
            entry.file = ""  # its inode is another's now
            self._memory.keep(entry)
            entry = None
        called = log_of(log.path.name)
        for other in [] if entry else self._memory.alike(file.first, whole=len(file.first) < HEAD):
            if other.format == "json" and other.log != called:
                continue  # nothing in it says what it is but its name
            if (at := there.get(other.file)) and _is_still(other, at):
                self.same += 1
                return None  # a copy, as it is while a log is being packed
            if file.is_of(other):
                entry = other
                entry.file = file.key
                break
            if file.is_less_than(other):
                if not self._follow:
                    self._report(f"{log.path} begins as a log that was taken, and is shorter: left alone; --again takes it")
                return None
        if entry and self._is_to_forget(entry):
            entry.forget()
            self._going.pop(file.key, None)
        if not entry and not log.must_be_known:
            entry = Entry(file=file.key, log=called)
        return entry

    def _is_to_forget(self, entry: Entry) -> bool:
        return self._again and entry.number not in self._met

    def _taken_away(self, key: str) -> Iterator[list[Imported]]:
        """The rest of a log that is nowhere any more, as long as it is open."""
        fd, path = self._held[key]
        file = _File.of(fd, path)
        entry = self._memory.at(key)
        if file and entry and entry.stamp != file.stamp:
            file.read_first()
            if file.is_of(entry):
                yield from self._rows(file, entry)
        if not file or file.age_s > SETTLED_S:
            os.close(self._held.pop(key)[0])

    # -- its rows -------------------------------------------------------------------------------------------------------------------

    def _rows(self, file: "_File", entry: Entry) -> Iterator[list[Imported]]:
        settled = not self._follow or file.age_s > SETTLED_S
        if file.packed and not settled:
            return  # it is being written
        going = self._going_of(file, entry)
        lines = file.lines(going.notes, entry)
        for number, text in lines.blocks():
            if not self._begun(file, entry, going, text):
                return
            assert going.reader  # noqa: S101 - it was begun
            yield self._kept(file, entry, going, lines, [*going.reader.read(number, text)])
        if settled:
            yield from self._rest(file, entry, going, lines)
            if entry.position and (not lines.rest.strip() or going.cut == lines.position):
                entry.stamp = file.stamp
                self._memory.keep(entry)

    def _begun(self, file: "_File", entry: Entry, going: _Going, text: bytes) -> bool:
        """Whether it is a log, of a format that is known now."""
        if not going.reader:
            entry.format = format_of(text)
            if not entry.format:
                self._none[file.key] = file.stamp
                return False
            going.reader = FORMATS[entry.format](entry.log, going.notes, None)
        return True

    def _rest(self, file: "_File", entry: Entry, going: _Going, lines: Lines) -> Iterator[list[Imported]]:
        """What stands behind the last line's end, where nobody is writing: a row if it is whole, and else left for later."""
        if not lines.damaged and not lines.rest.strip():
            return
        if going.cut == lines.position or (self._follow and is_live(file.path.name)):
            return
        if lines.rest.strip() and not self._begun(file, entry, going, lines.rest):
            return
        if found := [*rest(lines, going.reader, going.notes)]:
            lines.take_rest()
            yield self._kept(file, entry, going, lines, found)
            return
        going.cut = lines.position
        if new := going.notes.news():
            yield [_nothing(entry, new, going.notes)]

    def _kept(self, file: "_File", entry: Entry, going: _Going, lines: Lines, found: list[tuple[str, pa.RecordBatch]]) -> list[Imported]:
        assert going.reader  # noqa: S101 - who found something
        entry.reach(file.first, lines.tail, lines.position, lines.line)
        entry.reader = json.dumps(going.reader.state())
        entry.stamp = ""
        going.position = lines.position
        self._memory.keep(entry)
        blocks = [Imported(name, table, going.notes.news(), going.notes.file) for name, table in found]
        new = going.notes.news()
        return [*blocks, _nothing(entry, new, going.notes)] if new else blocks

    def _going_of(self, file: "_File", entry: Entry) -> _Going:
        going = self._going.get(file.key)
        if going is None or going.position != entry.position:
            while len(self._going) >= _GOING_MOST:
                self._going.pop(next(iter(self._going)))
            if len(self._learned) > _LEARNED_MOST:
                self._learned.clear()
            notes = Notes(str(file.path), self._report, self._learned)
            state = json.loads(entry.reader) if entry.reader else None
            reader = FORMATS[entry.format](entry.log, notes, state) if entry.position else None
            going = self._going[file.key] = _Going(notes, reader, entry.position)
        return going

    def _wrong(self, log: Found, what: str) -> None:
        if log.named and not self._follow:
            self.wrong.append(f"{log.path} {what}")
        elif log.path not in self._told:
            self._told.add(log.path)
            self._report(f"{log.path} {what}")


@dataclass
class _File:
    """A regular file, open as `fd`: which it is, and whether it is one that was read before."""

    fd: int
    path: Path
    key: str
    stamp: str
    size: int
    age_s: float
    packed: bool
    first: bytes = b""
    _passed: Lines | None = None  # as it was read to see whether it is what it seems

    @classmethod
    def of(cls, fd: int, path: Path) -> "_File | None":
        """None if it is not regular."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        packed = os.pread(fd, 4, 0).startswith(tuple(PACKED))
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        return cls(fd, path, _key(status), stamp, status.st_size, time.time() - status.st_mtime, packed)

    def read_first(self) -> None:
        """Its first octets, unpacked."""
        if self.packed:
            os.lseek(self.fd, 0, os.SEEK_SET)
            self.first = Lines(self.fd, Notes("", lambda _: None)).take(HEAD)
        else:
            self.first = os.pread(self.fd, HEAD, 0)

    def is_of(self, entry: Entry) -> bool:
        """Whether it is this log, up to where that was taken."""
        return entry.begins(self.first) and self._reaches(entry) and digest(self._tail(entry)) == entry.tail

    def is_less_than(self, entry: Entry) -> bool:
        """Whether it begins like this log and ends before the place up to which that was taken."""
        return entry.begins(self.first) and not self._reaches(entry)

    def _reaches(self, entry: Entry) -> bool:
        if not self.packed:
            return self.size >= entry.position
        os.lseek(self.fd, 0, os.SEEK_SET)
        self._passed = Lines(self.fd, Notes("", lambda _: None))
        return self._passed.pass_over(entry.position, entry.line)

    def _tail(self, entry: Entry) -> bytes:
        if self._passed:
            return self._passed.tail
        octets = min(TAIL, entry.position)
        return os.pread(self.fd, octets, entry.position - octets)

    def lines(self, notes: Notes, entry: Entry) -> Lines:
        """What comes behind that."""
        if not self.packed:
            os.lseek(self.fd, entry.position, os.SEEK_SET)
            lines = Lines(self.fd, notes, plain=True)
            lines.begin(entry.position, entry.line, self._tail(entry))
            return lines
        if not self._passed or self._passed.position != entry.position:
            self._reaches(entry)
        assert self._passed  # noqa: S101 - by now
        self._passed.notes = notes
        return self._passed


def _is_still(entry: Entry, path: Path) -> bool:
    """Whether the log of `entry` is there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        file = _File.of(fd, path)
        if file is None:
            return False
        file.read_first()
        return file.is_of(entry)
    finally:
        os.close(fd)


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _nothing(entry: Entry, skipped: dict[str, int], notes: Notes) -> Imported:
    return Imported(entry.log, pa.RecordBatch.from_pylist([], pa.schema([])), skipped, notes.file)
