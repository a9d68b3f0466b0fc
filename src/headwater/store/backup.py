"""A backup: a folder with the rows of each table and day, as Arrow files that others can read too, and a list of them, written last.

What is in it is the rows as they are asked for at the store's door, so that it can be made of a store that runs. Each file has the rows of
one day, few enough that the store takes them in one piece. A folder without the list is no backup.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from headwater.errors import SinkError, StoreError
from headwater.outputs.files import create, put, sync_names
from headwater.outputs.spool import write_whole
from headwater.records.stored import days
from headwater.store.client import Client
from headwater.store.rollups import SUMS
from headwater.store.settings import DATABASE, StoreSettings
from headwater.store.tables import INGESTED, named, type_of

VERSION = 1
"""Of the list and the files. A backup with a higher one is not restored."""
LIST = "backup.json"
UNFINISHED = "unfinished"
"""The file that says that a backup has begun, and is not over."""
ROWS = 65_536
"""Of a file, at most: what a flipped bit costs."""
LARGER = 1.5
"""How many octets a backup needs for each of the store's, at most: 1.2 where every column is random, and less else."""
_AT_ONCE = 2_000_000  # rows of a question, where hours are as small: it must be over within [store] query_time_s
_HOUR_NS = 3600 * 10**9
_NAME = re.compile(r"(?!\.)[A-Za-z0-9_-]{1,100}/-?\d+-\d{2}-\d{2}\.\d{6}\.arrow")
_KINDS = {"LowCardinality(": "enum", "Array(Nullable(": "vector"}
"""Of the store's types, as which kind (records/log_columns.py) a column gets them again."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup: rows of the table `table`, all of the day `day`."""

    name: str
    table: str
    day: str
    rows: int
    octets: int
    sha256: str


class Backup(msgspec.Struct, frozen=True):
    """What is in a backup. `octets` are those of the store's tables, `id` tells it from every other."""

    version: int
    id: str
    begun: int
    ended: int
    octets: int
    files: list[File]

    @property
    def rows(self) -> dict[str, int]:
        """Of each table."""
        found: dict[str, int] = {}
        for file in self.files:
            found[file.table] = found.get(file.table, 0) + file.rows
        return found


def back_up(client: Client, settings: StoreSettings, directory: Path, report: Callable[[str], None]) -> Backup:
    """Write what the store has into `directory`. `report` is told what is unusual. Raises SinkError, StoreError."""
    begun = time.time_ns()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        octets = _room_for(client, settings, directory)
        with _taken(directory, report):
            files = [file for table, partition in _partitions(client) for file in _written(client, directory, table, partition)]
            for folder in {directory / file.table for file in files}:
                sync_names(folder)
            made = Backup(VERSION, _id(files), begun, time.time_ns(), octets, files)
            put(directory / LIST, msgspec.json.format(msgspec.json.encode(made), indent=1).decode())
            (directory / UNFINISHED).unlink()
    except OSError as error:
        raise SinkError(
            f"{directory}: {error.strerror}; this backup is not finished: begin it again, with more room or in another folder",
            retryable=False,
        ) from None
    return made


def read(directory: Path) -> Backup:
    """What a backup says of itself. Raises StoreError where it is none, is of a newer Headwater, or is damaged."""
    try:
        octets = (directory / LIST).read_bytes()
        version = msgspec.json.decode(octets)["version"]
        if isinstance(version, int) and version > VERSION:
            raise StoreError(f"the backup in {directory} is of a newer Headwater (version {version}, this one knows {VERSION}): upgrade")
        found = msgspec.json.decode(octets, type=Backup)
    except OSError as error:
        if (directory / UNFINISHED).exists():
            raise StoreError(f"the backup in {directory} was not finished: make it again") from None
        raise StoreError(f"{directory} is no backup ({LIST}: {error.strerror}): name the folder of one") from None
    except (msgspec.DecodeError, ValueError, KeyError, TypeError):
        raise StoreError(f"{directory / LIST} is damaged: take another copy of this backup") from None
    if found.id != _id(found.files) or not all(_NAME.fullmatch(file.name) for file in found.files):
        raise StoreError(f"{directory / LIST} is damaged: take another copy of this backup")
    return found


def rows_of(directory: Path, file: File) -> pa.RecordBatch:
    """What is in a file of a backup. Raises ValueError where it is not what was written; OSError."""
    octets = (directory / file.name).read_bytes()
    if hashlib.sha256(octets).hexdigest() != file.sha256:
        raise ValueError("the disk gives back other octets than were written: the checksum differs")
    return pa.ipc.open_file(pa.py_buffer(octets)).get_batch(0)


@contextmanager
def _taken(directory: Path, report: Callable[[str], None]) -> Iterator[None]:
    """The folder is ours alone, and empty but for the mark that says so. Raises OSError, SinkError."""
    there = {path.name for path in directory.iterdir()}
    if LIST in there:
        raise SinkError(f"{directory} has a backup already: name another folder", retryable=False)
    if there and UNFINISHED not in there:
        raise SinkError(f"{directory} is not empty: name a new folder", retryable=False)
    mark = create(directory / UNFINISHED)
    try:
        if there:
            report(f"the backup in {directory} was not finished: it is begun again")
            _emptied(directory)
        yield
    finally:
        os.close(mark)


def _emptied(directory: Path) -> None:
    """What an unfinished backup has left; nobody else's files."""
    for path in directory.glob("*/*.arrow"):
        if _NAME.fullmatch(str(path.relative_to(directory))) and not path.parent.is_symlink():
            path.unlink()
    for folder in directory.iterdir():
        if folder.is_dir() and not folder.is_symlink():
            with suppress(OSError):
                folder.rmdir()


def _room_for(client: Client, settings: StoreSettings, directory: Path) -> int:
    """The octets of the tables. Raises SinkError where a backup of them may not fit, or would make the store drop rows for want of room."""
    [[said]] = client.rows(f"SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{DATABASE}'", 1)
    disk, folder = os.statvfs(directory), settings.place().folder
    beside = folder.is_dir() and folder.stat().st_dev == directory.stat().st_dev
    kept = int(disk.f_blocks * disk.f_frsize * settings.free_part) if beside else 0
    free, needed = disk.f_bavail * disk.f_frsize - kept, int(int(said) * LARGER)
    if free < needed:
        left = f" beside what [store] free_part leaves ({kept / 2**20:,.0f} MiB)" if kept else ""
        raise SinkError(
            f"{directory}: the backup may need {needed / 2**20:,.0f} MiB, and {max(0, free) / 2**20:,.0f} MiB are free{left}: "
            "name a folder on a larger disk",
            retryable=False,
        )
    return int(said)


def _partitions(client: Client) -> list[tuple[str, str]]:
    """Each table and day, but sums, which are made of rows anew."""
    asked = f"SELECT DISTINCT table, partition_id FROM system.parts WHERE active AND database = '{DATABASE}' ORDER BY ALL"
    return [(table, partition) for table, partition in client.rows(asked, 2) if table not in SUMS]


def _written(client: Client, directory: Path, table: str, partition: str) -> Iterator[File]:
    """The files of a table's day."""
    columns, said = client.columns(table), client.logged(table)
    listed = ", ".join(named(column) for column in columns if column != INGESTED)  # `*` has those that are computed at its end
    (directory / table).mkdir(mode=0o700, exist_ok=True)
    within, number = f"_partition_id = '{partition}'", 0
    for when in _spans(client, table, within, "ts" if "ts" in columns else INGESTED):
        asked = f"SELECT {listed} FROM {named(table)} WHERE {within}{when}"
        for rows in _pieces(client.batches(asked), columns, said):
            for day, part in days(rows):
                yield _file(directory, table, str(np.datetime64(day, "D")), number, part)
                number += 1


def _file(directory: Path, table: str, day: str, number: int, rows: pa.RecordBatch) -> File:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema, options=_OPTIONS) as writer:
        writer.write_batch(rows)
    octets = bytes(sink.getvalue())
    name = f"{table}/{day}.{number:06d}.arrow"
    write_whole(directory / name, octets)
    return File(name, table, day, len(rows), len(octets), hashlib.sha256(octets).hexdigest())


def _spans(client: Client, table: str, within: str, column: str) -> Iterator[str]:
    """Conditions of which each row of a partition fulfils one: some hours, as many as have rows enough for one question.

    A table is sorted by the hour, so that no question reads what another one has read. What holds of a row of them never changes, whatever
    is merged or comes meanwhile.
    """
    nanoseconds = f"toUnixTimestamp64Nano(toDateTime64({column}, 9, 'UTC'))"
    asked = (
        f"SELECT {nanoseconds} - positiveModulo({nanoseconds}, {_HOUR_NS}) AS hour, count() FROM {named(table)} WHERE {within} "
        "GROUP BY hour ORDER BY hour"
    )
    rows, begin = 0, ""
    for hour, count in client.rows(asked, 2):
        if rows and rows + int(count) > _AT_ONCE:
            edge = f"{column} {{}} fromUnixTimestamp64Nano({hour}, 'UTC')"
            yield f"{begin} AND {edge.format('<')}"
            rows, begin = 0, f" AND {edge.format('>=')}"
        rows += int(count)
    yield begin


def _pieces(batches: Iterator[pa.RecordBatch], columns: dict[str, str], said: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """The same rows, ROWS at a time, with columns of which the store would make the same table again."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=_schema(batch.schema, columns, said)))
        while sum(map(len, waiting)) >= ROWS:
            whole = pa.concat_batches(waiting)
            yield whole.slice(0, ROWS)
            waiting = [whole.slice(ROWS)] if len(whole) > ROWS else []
    if waiting:
        yield pa.concat_batches(waiting)


def _schema(given: pa.Schema, columns: dict[str, str], said: dict[str, str]) -> pa.Schema:
    """With what Arrow's types do not tell: which text is of few words, which lists have elements that may be absent, and the type and name
    that an imported log `said` a column has. Raises StoreError for a column that no table of ours has.
    """
    fields = []
    for field in given:
        kept = columns[field.name]
        kind = next((kind for begin, kind in _KINDS.items() if kept.startswith(begin)), "")
        of, _, name = said[field.name].partition(" ")
        fields.append(field.with_metadata({key: text for key, text in (("kind", kind), ("type", of), ("name", name)) if text}))
        if type_of(fields[-1]) != kept:
            raise StoreError(f"column {field.name!r} is a {kept}, which no backup keeps: please report this")
    return pa.schema(fields)


def _id(files: list[File]) -> str:
    return hashlib.sha256(msgspec.json.encode(files)).hexdigest()[:32]
