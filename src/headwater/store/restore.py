"""A backup's rows into a store: through its spool like all others, each file once, also if it is interrupted and begun again.

Before a file of the spool has its name, a note says which file of the backup it is, and what it is called until then. Who finds that
note later sees whether it was named: from then on its rows are the store's.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pyarrow as pa

from headwater.errors import SinkError, StoreError
from headwater.outputs.files import put
from headwater.outputs.spool import FREE_PART, Spool
from headwater.store.backup import Backup, File, rows_of
from headwater.store.client import Client
from headwater.store.settings import DATABASE, Place, StoreSettings
from headwater.store.starting import answers

AHEAD = 8
"""Files that may wait in the spool: the rows that come meanwhile wait behind them."""
LOOK_S = 0.02


class _Known(msgspec.Struct):
    """How far a backup has come: `begun` of its files, of which `left` could not be read. Its file `number` was called `new` in `writer`, a
    folder of the spool, until it had its name.
    """

    begun: int = 0
    left: list[int] = []
    writer: str = ""
    number: int = -1
    new: str = ""

    def todo(self, files: int) -> list[int]:
        """Which files are still to be restored."""
        return sorted({*self.left, *range(self.begun, files)})

    def over(self, number: int, *, restored: bool) -> None:
        """A file is restored, or cannot be."""
        self.begun = max(self.begun, number + 1)
        self.left = sorted({*self.left, number} if not restored else {*self.left} - {number})


class Restored(msgspec.Struct):
    """What became of a backup: rows of each table, how many of them the store has put aside, and the files that could not be read."""

    rows: dict[str, int] = {}
    before: dict[str, int] = {}
    aside: int = 0
    unread: int = 0


def restore(place: Place, directory: Path, backup: Backup, report: Callable[[str], None]) -> Restored:
    """Give its rows to the store in `place`, whose process answers, and wait until they are taken.

    `report` is told in a line which file cannot be read; the others are restored. Raises SinkError, StoreError; then it goes on if it is
    called again.
    """
    outcome = Restored()
    try:
        with _noted(place, backup) as (known, note), _spool(place, known, note) as spool:
            known.writer = spool.folder.name
            _note(note, known)
            todo = known.todo(len(backup.files))
            for number in {*range(len(backup.files))}.difference(todo):
                _add(outcome.before, backup.files[number])
            for number in todo:
                file = backup.files[number]
                try:
                    rows = rows_of(directory, file)
                except (OSError, ValueError, pa.ArrowException) as error:
                    report(f"{directory / file.name}: {error}; its {file.rows:,} rows of {file.table} are not restored")
                    outcome.unread += 1
                    known.over(number, restored=False)
                    continue
                _must_have_room(place)
                known.number = number
                spool.put_back(file.table, rows)
                spool.write()
                known.over(number, restored=True)
                _add(outcome.rows, file)
                outcome.aside += _until_taken(place, spool, AHEAD)
            known.number = -1
            _note(note, known)
            outcome.aside += _until_taken(place, spool, 0)
    except OSError as error:
        raise SinkError(
            f"{error.filename or place.folder}: {error.strerror}; restore it again: it goes on where it was", retryable=False
        ) from None
    return outcome


def must_fit(client: Client, settings: StoreSettings, backup: Backup) -> None:
    """Raises StoreError where the store would drop rows to make room for those of the backup."""
    [[there]] = client.rows(f"SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{DATABASE}'", 1)
    disk = os.statvfs(settings.place().folder)
    free = disk.f_bavail * disk.f_frsize - int(disk.f_blocks * disk.f_frsize * max(settings.free_part, FREE_PART))
    for what, left in (("size_gib", settings.size_gib * 2**30 - int(there)), ("free_part", free)):
        if backup.octets > left:
            raise StoreError(
                f"the backup has {backup.octets / 2**20:,.0f} MiB, and [store] {what} leaves {max(0, left) / 2**20:,.0f}: "
                "rows that are there would be dropped; change it, or restore into another store"
            )


def forget(place: Place, backup: Backup) -> None:
    """Let what was restored of a backup before be restored again."""
    place.restored(backup.id).unlink(missing_ok=True)


@contextmanager
def _noted(place: Place, backup: Backup) -> Iterator[tuple[_Known, Path]]:
    """What is known of the backup, and where that is noted. Raises OSError, StoreError."""
    note = place.restored(backup.id)
    note.parent.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(note.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        known = _Known()
        with suppress(FileNotFoundError):
            known = msgspec.json.decode(note.read_bytes(), type=_Known)
        writer = place.spool / known.writer
        if known.number >= 0 and not (writer / known.new).exists():
            known.over(known.number, restored=True)
        known.number = -1
        _note(note, known)
        for new in writer.glob("*.new") if known.writer else ():
            new.unlink()
        yield known, note
    except BlockingIOError:
        raise StoreError("something is being restored into this store already: wait for it") from None
    except msgspec.DecodeError:
        raise StoreError(f"{note} is damaged: nobody knows what was restored before; remove it if nothing was") from None
    finally:
        os.close(lock)


def _spool(place: Place, known: _Known, note: Path) -> Spool:
    def naming(new: Path) -> None:
        known.new = new.name
        _note(note, known)

    return Spool(place.spool, 1 << 62, naming=naming)


def _note(note: Path, known: _Known) -> None:
    put(note, msgspec.json.encode(known).decode())


def _must_have_room(place: Place) -> None:
    disk = os.statvfs(place.spool)
    if disk.f_bavail < FREE_PART * disk.f_blocks:
        raise SinkError(
            f"the spool {place.spool}: less than {FREE_PART:.0%} of its disk is free; free some, and restore it again: it goes on",
            retryable=False,
        )


def _until_taken(place: Place, spool: Spool, most: int) -> int:
    """Wait until no more than `most` files do. How many rows were put aside. Raises StoreError where nobody takes them."""
    aside = sum(spool.flush(last=False).dropped.values())
    while spool.waiting > most:
        if not answers(place):
            raise StoreError("the store's process has ended; what waits in its spool is safe: restore it again, it goes on where it was")
        time.sleep(LOOK_S)
        aside += sum(spool.flush(last=False).dropped.values())
    return aside


def _add(rows: dict[str, int], file: File) -> None:
    rows[file.table] = rows.get(file.table, 0) + file.rows
