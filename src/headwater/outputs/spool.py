"""What waits for the store, in files: each is written whole, fsynced and then given its name, so that what has a name is there.

A writer has a folder of its own below the spool, locked while it lives; the store takes files out of all of them, oldest first, and removes
those that it has. A file's name says what is in it, and has the checksum of its octets, because Arrow's format has none.
"""

import contextlib
import fcntl
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from headwater.errors import NO_ROOM, SinkError
from headwater.interfaces import Sent
from headwater.outputs.files import explain, is_locked, sync_names, write_all
from headwater.records import Batch, Drop
from headwater.records.stored import days, to_stored, with_empty

FREE_PART = 0.05  # of the disk is left to others
_NAME = re.compile(r"(\d{12})\.(\d+)\.(-?\d+)\.([0-9a-f]{8})\.([A-Za-z0-9_-]{1,100})\.(arrow|refused)")
_HELD = ".held"
_FULL, _DAMAGED = Drop["spool__full"], Drop["spool__damaged"]
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, order=True)
class Spooled:
    """A file of the spool, as its name tells: rows of the record `record`, all of one day."""

    number: int
    writer: Path
    rows: int
    day: int
    checksum: int
    record: str
    refused: bool = False

    @property
    def path(self) -> Path:
        """Where it is."""
        end = "refused" if self.refused else "arrow"
        return self.writer / f"{self.number:012d}.{self.rows}.{self.day}.{self.checksum:08x}.{self.record}.{end}"

    @property
    def held(self) -> Path:
        """Where it is before it has its name."""
        return self.path.with_name(f"{self.path.name}{_HELD}")

    @property
    def token(self) -> str:
        """What tells its rows from those of every other file, whenever it is offered again."""
        return f"{self.writer.name}-{self.number}"

    @property
    def aside(self) -> Path:
        """Where it is once the store has refused it."""
        return replace(self, refused=True).path

    def octets(self) -> bytes:
        """What is in it. Raises ValueError where the disk gives back other octets than were written; OSError."""
        octets = self.path.read_bytes()
        if zlib.crc32(octets) != self.checksum:
            raise ValueError("the disk gives back other octets than were written: the checksum differs")
        return octets

    def read(self) -> Any:
        """Likewise, as a pyarrow.RecordBatchFileReader."""
        return pa.ipc.open_file(pa.py_buffer(self.octets()))

    def table(self) -> pa.Table:
        """Its rows. Raises as read()."""
        table = self.read().read_all()
        if len(table) != self.rows:
            raise ValueError(f"it has {len(table):,} rows, and should have {self.rows:,}")
        return table

    def hold(self) -> int:
        """A descriptor; until it is closed nobody else may hold or remove the file. Raises FileNotFoundError, BlockingIOError where another
        holds it, OSError.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.stat()
        except OSError:
            os.close(fd)
            raise
        return fd

    def refuse(self) -> None:
        """Put it aside, where nobody offers it again; its writer counts its rows as lost."""
        self.path.rename(self.aside)


def waiting(writer: Path, behind: str = "") -> list[Spooled]:
    """The files of a writer, oldest first: those whose names end with `behind` too."""
    found = []
    for path in writer.iterdir():
        if path.name.endswith(behind) and (match := _NAME.fullmatch(path.name.removesuffix(behind))):
            number, rows, day, checksum, record, end = match.groups()
            found.append(Spooled(int(number), writer, int(rows), int(day), int(checksum, 16), record, end == "refused"))
    return sorted(found)


def settle(spool: Path, writer: str, number: int) -> None:
    """What whoever has died was about to name: the files of `writer` below `number` get their names, all others that have none go.

    For whoever alone calls write() with `commit`, before that. Raises OSError.
    """
    for folder in writers(spool):
        if files := waiting(folder, _HELD):
            for file in files:
                if folder.name == writer and file.number < number:
                    file.held.rename(file.path)
                else:
                    file.held.unlink()
            sync_names(folder)


def writers(spool: Path) -> list[Path]:
    """Their folders, those that began first in front."""
    return sorted(path for path in spool.iterdir() if path.is_dir()) if spool.is_dir() else []


def unlocked(writer: Path) -> bool:
    """Whether whoever wrote there has gone."""
    return not is_locked(os.open(writer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


class Spool:
    """A sink whose rows become files below `folder`, `most_octets` of them together; the oldest make room for new ones.

    `records` are those that it takes, None for all. `columns` gives further columns, names of addresses for one, of a batch, which it is
    given as it is stored too. At the end the store is given `taken_within_s` more to take what waits. With `waits`, it is waited for as
    long where there is no room, before anything makes some.

    With `naming`, nothing makes room for others: what has none is refused. It is told of each file before that has its name: where it is
    until then, and no longer once it has it.
    """

    def __init__(
        self,
        folder: Path,
        most_octets: int,
        records: frozenset[str] | None = None,
        columns: Callable[[Batch, pa.RecordBatch], Sequence[tuple[pa.Field, pa.Array]]] = lambda *_: (),
        taken_within_s: Callable[[], float] = lambda: 0.0,
        waits: bool = False,
        naming: Callable[[Path], None] | None = None,
    ) -> None:
        self.name = "store"
        self.linger_s = 1.0
        self.records = records
        self.sample: Mapping[str, int] = {}
        self._spool = folder
        self._most = most_octets
        self._columns = columns
        self._taken_within_s = taken_within_s
        self._waits = waits
        self._naming = naming
        self._writer = folder / f"{time.time_ns():020d}-{os.getpid()}"
        self._fd = self._owner = -1
        self._number = 0
        self._encoded: Sequence[Batch] | None = None  # whose rows are pending, or written
        self._pending: list[tuple[str, int, pa.RecordBatch]] = []
        self._new = 0  # rows of files whose names are not safe yet
        self._there: dict[Spooled, int] = {}  # files that nobody has taken yet, and their octets
        self._held: dict[Spooled, int] = {}  # files that have no name yet
        self._lost: dict[Drop, int] = {}
        self._found = 0  # rows of writers that have gone, not told of yet
        self._taken = 0  # likewise, that the store has

    @property
    def folder(self) -> Path:
        """Where this writer's files are made."""
        return self._writer

    @property
    def waiting(self) -> int:
        """Files that the store has not taken yet, as of the last look."""
        return len(self._there)

    def open(self) -> None:
        """Make our folder, and take over what writers that have gone have left. Raises SinkError."""
        try:
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = self._spool.stat().st_uid if os.geteuid() == 0 else -1  # whose store it is
            while not self._made():
                pass
            for other in writers(self._spool):
                with contextlib.suppress(FileNotFoundError):  # the store removes what is empty
                    if other != self._writer and unlocked(other):
                        self._take_over(other)
        except OSError as error:
            raise SinkError(f"the spool {self._spool}: {explain(error)}", retryable=False) from error

    def _made(self) -> bool:
        """Whether our folder is there and locked: the store may have removed it, empty as it was, before it could be."""
        self._writer.mkdir(mode=0o700, exist_ok=True)
        try:
            os.chown(self._writer, self._owner, -1)
            self._fd = os.open(self._writer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # which others hold for no longer than it takes to see whether we do
        if self._writer.is_dir():
            return True
        os.close(self._fd)
        return False

    def _take_over(self, other: Path) -> None:
        """What it has left is ours to count; its files stay where they are, under the names by which the store knows them. What it was
        still writing is none.
        """
        for path in other.glob("*.new"):
            path.unlink()
        files = waiting(other)
        for file in files:
            if not file.refused:
                self._there[file] = file.path.stat().st_size
                self._found += file.rows
        if not files:
            with contextlib.suppress(OSError):
                other.rmdir()

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Make them files. What was written before an error is not written again. Raises SinkError."""
        try:
            if self._encoded is not batches:  # else they are offered again
                self._encoded = batches
                for batch in batches:
                    self.encode(batch.record.name, self._widened(batch))
            return self.write()
        except SinkError:
            raise
        except Exception:
            self._pending = []  # nobody offers them again, and they would stand before all that comes
            raise

    def encode(self, record: str, rows: pa.RecordBatch) -> None:
        """Take rows of any record, which write() makes files of."""
        self.put_back(record, with_empty(rows))

    def put_back(self, record: str, rows: pa.RecordBatch) -> None:
        """Likewise, of rows as a table has them: of their empty lists it is known already which were there."""
        self._pending += [(record, day, part) for day, part in days(rows)]

    def write(self, commit: Callable[[str, int], None] | None = None) -> Sent:
        """Make files of all that was taken. Raises SinkError, after which it may be called again.

        With `commit`, all of them are there, or none: once they are safe, and before any has its name, it is called with what settle()
        needs after a death, our folder and the number behind the last file. Who keeps that together with how far it has read has both true
        at once.
        """
        try:
            for record, day, rows in self._joined():
                self._write(record, day, rows, held=commit is not None)
            os.fsync(self._fd)
            if commit:
                commit(self._writer.name, self._number)
                for file in list(self._held):
                    file.held.rename(file.path)
                    self._there[file] = self._held.pop(file)
                os.fsync(self._fd)
        except OSError as error:
            raise SinkError(f"the spool {self._spool}: {explain(error)}", retryable=True) from error
        self._encoded = None
        new, self._new = self._new, 0
        lost, self._lost = self._lost, {}
        return Sent(dropped=lost, spooled=new - sum(lost.values()))

    def _joined(self) -> Iterator[tuple[str, int, pa.RecordBatch]]:
        """What is pending, a record and day at a time; it is not pending any more once the next one is asked for."""
        while self._pending:
            record, day, first = self._pending[0]
            same = [one[:2] == (record, day) and one[2].schema.equals(first.schema, check_metadata=True) for one in self._pending]
            rows = [one[2] for one, is_same in zip(self._pending, same, strict=True) if is_same]
            yield record, day, pa.concat_batches(rows) if len(rows) > 1 else first
            self._pending = [one for one, is_same in zip(self._pending, same, strict=True) if not is_same]

    def _write(self, record: str, day: int, rows: pa.RecordBatch, *, held: bool) -> None:
        """A file of them, whose name is not safe before the folder is. Raises OSError, and then there is none."""
        octets = _encoded(rows)
        self._make_room(len(octets))
        file = Spooled(self._number, self._writer, len(rows), day, zlib.crc32(octets), record)
        new = self._writer / f"{self._number:012d}.new"
        while True:
            try:
                write_whole(new, octets, self._owner)
                break
            except OSError as error:
                new.unlink(missing_ok=True)
                if error.errno not in NO_ROOM or not self._drop_oldest():
                    raise
        if self._naming:
            os.fsync(self._fd)
            self._naming(new)
        new.rename(file.held if held else file.path)
        self._number += 1
        (self._held if held else self._there)[file] = len(octets)
        self._new += len(rows)

    def _make_room(self, octets: int) -> None:
        """The spool's own limit, and the disk's: the oldest rows go."""
        begun = time.monotonic()
        while self._waits and self._is_over(octets) and time.monotonic() < begun + self._taken_within_s():
            time.sleep(0.02)
            self._look()
        while self._is_over(octets) and self._drop_oldest():
            pass
        disk = os.fstatvfs(self._fd)
        least = int(disk.f_blocks * disk.f_frsize * FREE_PART)
        while disk.f_bavail * disk.f_frsize < least + octets and self._drop_oldest():
            disk = os.fstatvfs(self._fd)

    def _is_over(self, octets: int) -> bool:
        """Whether so many more are too many, and there is somebody to take or leave any."""
        return bool(self._there) and sum(self._there.values()) + sum(self._held.values()) + octets > self._most

    def _drop_oldest(self) -> bool:
        """Whether there was any."""
        if self._naming:
            return False
        for file in sorted(self._there, key=lambda one: (one.writer, one)):
            try:
                held = file.hold()
            except BlockingIOError:
                continue  # the store is taking it: it may have some of its rows
            except FileNotFoundError:
                del self._there[file]
                self._settle(file)
                continue
            file.path.unlink()
            os.close(held)
            del self._there[file]
            self._lost[_FULL] = self._lost.get(_FULL, 0) + file.rows
            return True
        return False

    def flush(self, last: bool) -> Sent:
        """What the store has taken since, and what send() wrote before an error. What is left at the last call waits for the store as long
        as it takes.
        """
        new = self._safe()
        begun = time.monotonic()
        self._look()
        while last and self._there and time.monotonic() < begun + self._taken_within_s():
            time.sleep(0.02)
            self._look()
        found, self._found = self._found, 0
        taken, self._taken = self._taken, 0
        lost, self._lost = self._lost, {}
        return Sent(taken, lost, spooled=new + found - taken - sum(lost.values()), found=found)

    def _safe(self) -> int:
        """The rows of files that have a name, and were not told of."""
        if not self._new or self._held:
            return 0
        try:
            os.fsync(self._fd)
        except OSError:
            return 0  # the next one may be
        new, self._new = self._new, 0
        return new

    def _look(self) -> None:
        """Which files have gone."""
        names: dict[Path, set[str]] = {}
        for file in list(self._there):
            if file.writer not in names:
                names[file.writer] = set()
                with contextlib.suppress(FileNotFoundError):
                    names[file.writer] = {path.name for path in file.writer.iterdir()}
            if file.path.name not in names[file.writer]:
                del self._there[file]
                self._settle(file)

    def _settle(self, file: Spooled) -> None:
        """Count what has gone: the store has it, or has put it aside."""
        if file.aside.exists():
            self._lost[_DAMAGED] = self._lost.get(_DAMAGED, 0) + file.rows
        else:
            self._taken += file.rows

    def _widened(self, batch: Batch) -> pa.RecordBatch:
        rows = to_stored(batch)
        for field, values in self._columns(batch, rows):
            rows = rows.append_column(field, values)
        return rows

    def close(self) -> None:
        """Let the folder go. One with nothing in it is removed."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):
            self._writer.rmdir()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _encoded(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema, options=_OPTIONS) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue())


def write_whole(path: Path, octets: bytes, owner: int = -1) -> None:
    """A file of ours alone, or of the account `owner` if we are root, with these octets on the disk. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, owner, -1)
        write_all(fd, octets)
        os.fsync(fd)
    finally:
        os.close(fd)
