"""Records as files, one a record in a directory, or the one chosen record on standard output. How rows become octets is a Format's.

A file of the same name is replaced, as with `tcpdump -w`; it is created with the record's first row, or when the run begins if it is asked
for. Rows are acked when they are durable: after an fsync, at most once a second, or where a format needs an end, when the file has it.
Room is reserved before each write, the end's included, so that a full disk is met before a write and never in it: what is in a file can
always be read, and writing goes on when there is room again.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self, TypeAlias

from headwater._native import ffi, lib
from headwater.errors import NO_ROOM, OutputClosed, SinkError
from headwater.interfaces import Sent
from headwater.records import Batch, Drop, Record
from headwater.records.batch import joined

Octets: TypeAlias = bytes | memoryview
LONGEST_S = 600.0  # that rows wait for more of them: rates come a few a second, and a day of them is no small part of memory
_LEAST_ROWS = 1024  # of a group, to be tried by themselves when there is no room for more


class Format(Protocol):
    """How the rows of one record become one file."""

    name: ClassVar[str]
    """What it is chosen by."""
    suffix: ClassVar[str]
    """Of its files."""
    records: ClassVar[frozenset[str] | None]
    """Names of those that can be written; None for all."""
    group_rows: ClassVar[int]
    """Rows that are worth encoding together; fewer wait in memory."""
    needs_end: ClassVar[bool]
    """Whether the file can be read only with its end."""

    def __init__(self, record: Record, extra: bool = False, /) -> None:
        """`extra` adds the columns that the format by itself leaves out."""

    def head(self) -> Octets:
        """What the file begins with."""

    def encode(self, batches: Sequence[Batch], at: int, /) -> Sequence[Octets]:
        """The rows, to be written at `at`. They are in the file once commit() is called; another encode() instead drops them."""

    def commit(self) -> None:
        """What was encoded last is in the file."""

    def end(self) -> Octets:
        """What the file ends with; called once."""

    def end_room(self) -> int:
        """Octets of the end, at most, with what was encoded last."""


class Text:
    """A format of lines, readable at any time."""

    records: ClassVar[frozenset[str] | None] = None
    group_rows: ClassVar[int] = 1
    needs_end: ClassVar[bool] = False

    def head(self) -> Octets:
        """Nothing."""
        return b""

    def commit(self) -> None:
        """Nothing to keep."""

    def end(self) -> Octets:
        """Nothing."""
        return b""

    def end_room(self) -> int:
        """Nothing."""
        return 0


class Stream:
    """Octets behind one another, in a file or a pipe. Its methods raise OSError, and what they were to write is then not in the file."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.at = 0
        """Octets written: where what can be read ends."""
        self.regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._start = os.lseek(fd, 0, os.SEEK_CUR) if self.regular else 0  # `>>`

    def append(self, parts: Sequence[Octets], end_room: int) -> None:
        """Write them, with room reserved for so many octets more."""
        size = sum(len(part) for part in parts)
        end = self._start + self.at
        if self.regular and size and lib.hw_reserve(self.fd, end, size + end_room) != 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        try:
            for part in parts:
                write_all(self.fd, part)
        except OSError:  # where nothing can be reserved, or the disk is broken
            if self.regular:  # leave no row in pieces
                os.ftruncate(self.fd, end)
                os.lseek(self.fd, end, os.SEEK_SET)
                lib.hw_reserve(self.fd, end, max(end_room, 1))
            raise
        self.at += size

    def sync(self) -> None:
        """Make durable what is written."""
        if self.regular:
            os.fsync(self.fd)

    def finish(self) -> None:
        """The same, and give back what was reserved and not used."""
        if self.regular:
            os.ftruncate(self.fd, self._start + self.at)
            os.fsync(self.fd)


class File:
    """One file of rows. Its methods raise OSError as those of Stream."""

    def __init__(self, fd: int, form: Format) -> None:
        self._stream = Stream(fd)
        self._form = form
        self._waiting: list[Batch] = []
        self._since = 0.0  # when the first of them came
        self.unwritten = 0  # rows that wait
        self.undurable = 0  # rows written, but not acked
        self._stream.append([form.head()], form.end_room())

    def write(self, batches: Sequence[Batch]) -> tuple[int, OSError | None]:
        """Take rows: write them, or keep them until they are worth it. How many were not taken, and why.

        A group that finds no room waits for it and takes no more rows, if the format has groups.
        """
        rows = sum(map(len, batches))
        try:
            if self._ripe():
                self._write_waiting()
        except OSError as error:
            return rows, error
        self._since = self._since if self._waiting else time.monotonic()
        self._waiting += batches
        self.unwritten += rows
        try:
            if self._ripe():
                self._write_waiting()
        except OSError as error:
            if not self._form.needs_end:
                lost, self._waiting, self.unwritten = self.unwritten, [], 0
                return lost, error
        return 0, None

    def sync(self) -> int:
        """Make durable what is written, if it can be read as it is. How many rows are acked by that."""
        if self._form.needs_end or not self.undurable:
            return 0
        self._stream.sync()
        return self._acked()

    def finish(self) -> tuple[int, OSError | None]:
        """Write what waits and the end. How many rows are acked; the rest, `unwritten` and `undurable`, are lost for the error."""
        problem = None
        try:
            if self._waiting:
                self._write_waiting()
        except OSError as error:
            problem = error
        try:
            self._stream.append([self._form.end()], end_room=0)
            self._stream.finish()
        except OSError as error:
            return 0, error
        return self._acked(), problem

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._stream.fd)

    def _acked(self) -> int:
        acked, self.undurable = self.undurable, 0
        return acked

    def _ripe(self) -> bool:
        """Whether what waits is worth writing: enough rows, or the first of them for long."""
        enough = self.unwritten >= self._form.group_rows
        return enough or (self.unwritten > 0 and time.monotonic() >= self._since + LONGEST_S)

    def _write_waiting(self) -> None:
        """All of it, or on a disk that is nearly full what has room: halves of what had none, down to a line."""
        self._waiting = joined(self._waiting)
        least = _LEAST_ROWS if self._form.needs_end else 1
        rows = self.unwritten
        while self._waiting:
            rows = min(rows, self.unwritten)
            part, rest = _split(self._waiting, rows)
            try:
                octets = self._form.encode(part, self._stream.at)
                self._stream.append(octets, self._form.end_room())
            except OSError as error:
                if error.errno not in NO_ROOM or rows <= least:
                    raise
                rows //= 2
                continue
            self._form.commit()
            self._waiting = rest
            self.unwritten -= rows
            self.undurable += rows


def _split(batches: Sequence[Batch], rows: int) -> tuple[list[Batch], list[Batch]]:
    """The first `rows` rows, and the rest."""
    first, rest = [], []
    for batch in batches:
        if rows > 0:
            first.append(Batch(batch.record, batch.rows[:rows], batch.interfaces))
        if rows < len(batch):
            rest.append(Batch(batch.record, batch.rows[max(rows, 0) :], batch.interfaces))
        rows -= len(batch)
    return first, rest


class Files:
    """A sink that writes the records of `records` (None for all) in one format into `directory`, or without one to standard output.

    `at_once` are records whose files are made when the run begins, so that a run without rows leaves files that say so; of the others, an
    earlier run's file is removed then. `extra` is the format's. Rows for a directory are gathered for `linger_s` seconds: to write a
    few costs as much as to write a thousand.
    """

    def __init__(
        self,
        form: type[Format],
        directory: Path | None,
        records: frozenset[str] | None = None,
        at_once: Sequence[Record] = (),
        extra: bool = False,
        linger_s: float = 0.25,
    ) -> None:
        self.name = str(directory) if directory else "standard output"
        self.records = records
        self.sample: Mapping[str, int] = {}
        self.linger_s = linger_s if directory else 0.05
        self._form = form
        self._directory = directory
        self._at_once = at_once
        self._extra = extra
        self._files: dict[str, File] = {}
        self._problems: dict[str, str] = {}  # of each record, until its rows are written again

    def open(self) -> None:
        """Make the directory and the files. Raises SinkError, and OutputClosed."""
        if not self._directory and (self.records is None or len(self.records) != 1):
            raise SinkError("standard output takes one record: choose it with --record, or a directory with -o", retryable=False)
        try:
            if self._directory:
                try:
                    self._directory.mkdir(parents=True, exist_ok=True)
                except (FileExistsError, NotADirectoryError):
                    raise SinkError(f"{self.name}: a file is in the way of this directory: choose another place", retryable=False) from None
            for record in self._at_once:
                self._file(record)
            self._remove_old()
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise SinkError(f"{self.name}: {explain(error)}", retryable=False) from error

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Write. Rows that could not be are told at once, the others when they are durable. Raises OutputClosed."""
        dropped: dict[Drop, int] = {}
        by_record: dict[str, list[Batch]] = {}
        for batch in batches:
            by_record.setdefault(batch.record.name, []).append(batch)
        for name, group in by_record.items():
            lost, problem = sum(map(len, group)), None
            try:
                lost, problem = self._file(group[0].record).write(group)
            except OSError as error:  # not even the file could be made
                problem = error
            if isinstance(problem, BrokenPipeError):
                raise OutputClosed
            if problem:
                self._lost(name, problem, lost, dropped)
            else:
                self._problems.pop(name, None)
        return Sent(0, dropped, self._problem())

    def flush(self, last: bool) -> Sent:
        """Fsync, and at the last call finish the files. Raises OutputClosed."""
        acked = 0
        dropped: dict[Drop, int] = {}
        for name, file in self._files.items():
            error: OSError | None = None
            try:
                if last:
                    done, error = file.finish()
                else:
                    done = file.sync()
                acked += done
            except OSError as failed:
                error = failed
            if isinstance(error, BrokenPipeError):
                raise OutputClosed
            if error:
                self._lost(name, error, file.undurable + (file.unwritten if last else 0), dropped)
                file.undurable = 0
        return Sent(acked, dropped, self._problem())

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.flush(last=True)
        self.close()

    def _path(self, record: str) -> Path | None:
        return self._directory / f"{record}.{self._form.suffix}" if self._directory else None

    def _remove_old(self) -> None:
        """Those of records that may have no row in this run: they would stand beside its own as if they were of it."""
        for name in (self.records or frozenset()) - self._files.keys():
            path = self._path(name)
            if path and path.is_file() and not path.is_symlink():
                os.close(create(path))  # which refuses what another run writes
                path.unlink()

    def _file(self, record: Record) -> File:
        if record.name not in self._files:
            path = self._path(record.name)
            fd = create(path) if path else os.dup(1)
            try:
                self._files[record.name] = File(fd, self._form(record, self._extra))
            except BaseException:
                os.close(fd)
                if path:
                    path.unlink()
                raise
        return self._files[record.name]

    def _lost(self, record: str, error: OSError, rows: int, dropped: dict[Drop, int]) -> None:
        reason = lost_for(error)
        dropped[reason] = dropped.get(reason, 0) + rows
        self._problems[record] = explain(error)

    def _problem(self) -> str:
        """What is wrong with any record: on a full disk the few rows of the ledger may fit, and nothing else."""
        return next(iter(self._problems.values()), "")


def lost_for(error: OSError) -> Drop:
    """What is lost where a write fails so is dropped for this."""
    return Drop["sink__disk_full" if error.errno in NO_ROOM else "sink__rejected"]


def explain(error: OSError) -> str:
    """The failure, and what to do about it."""
    if error.errno in NO_ROOM:
        return f"no room left ({error.strerror}); what was written before is kept: free some, or choose another place"
    file = Path(os.fsdecode(error.filename)).name if error.filename else "there"
    return f"cannot write {file}: {error.strerror}; choose another place"


def create(path: Path) -> int:
    """A new or emptied regular file, ours alone. Symbolic links are not followed: the run may be root's, the directory somebody's."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another run writes there", path) from None
        os.ftruncate(fd, 0)
        sync_names(path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def put(path: Path, text: str) -> None:
    """A small file that a crash leaves as it was, or as it is to be. Raises OSError."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_names(path.parent)


def is_locked(fd: int) -> bool:
    """Whether somebody holds the lock of the file or folder `fd`, which is closed. Raises OSError."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def write_all(fd: int, octets: Octets) -> None:
    """All of them, however many a call takes. Raises OSError."""
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_names(folder: Path) -> None:
    """The names too are to survive a crash."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
