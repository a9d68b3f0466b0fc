"""`headwater export`: rows of the store as files, a file a table; and `headwater store status`."""

import os
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.apps.amounts import many
from headwater.config import Settings
from headwater.errors import ConfigError, SinkError
from headwater.filters.sql import literal, plain, since
from headwater.outputs.files import explain
from headwater.outputs.spool import waiting, writers
from headwater.outputs.zeek_stored import log_of, logged
from headwater.outputs.zeek_tables import FORMATS as ZEEK
from headwater.outputs.zeek_tables import ZeekJsonTable, ZeekTable
from headwater.records.stored import as_text
from headwater.store.client import Client
from headwater.store.rollups import SUMS
from headwater.store.settings import DATABASE, StoreSettings
from headwater.store.tables import INGESTED

LOGS = ("zeek", "zeek-json")
FORMATS = ("parquet", "csv", "jsonl", *LOGS)
_SETTINGS = "SETTINGS date_time_output_format = 'iso'"


def export(settings: Settings, since_s: float | None, directory: Path, form: str, only: tuple[str, ...]) -> None:
    """Write the rows of the last `since_s` seconds (None: all) into `directory`, of the tables `only`, or of all but sums of others.

    Raises ConfigError for a table that there is not, SinkError, StoreError.
    """
    with Client.of(settings.kept(), settings.user) as client:
        there = client.tables()
        for name in only:
            if name not in there:
                raise ConfigError(f"--table {name}", f"there is no such table: choose {' or '.join(there)}")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, columns in there.items():
                log = log_of(name, client.logged(name)) if form in LOGS and name not in SUMS and INGESTED in columns else None
                if form in LOGS and log is None:
                    if name in only:
                        raise ConfigError(f"--table {name}", f"Zeek has no such log, and {form} writes no other: choose another format")
                elif name in only or (not only and INGESTED in columns and name not in SUMS):
                    where = f"WHERE {since(since_s)}" if since_s and "ts" in columns else ""
                    path = directory / f"{name}.{'log' if log else form}"
                    count = _write(client, name, where, path, form, log)
                    click.echo(f"{path}: {many(count, 'row')}")
        except OSError as error:
            raise SinkError(f"{directory}: {explain(error)}", retryable=False) from None


def _write(client: Client, table: str, where: str, path: Path, form: str, log: pa.Schema | None) -> int:
    """One file, which has its name once it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        count = _written(client, table, where, new, form, log)
        if new.exists():
            new.rename(path)
        else:  # Parquet of no rows, whose columns nobody has told
            path.unlink(missing_ok=True)
    finally:
        new.unlink(missing_ok=True)
    return count


def _written(client: Client, table: str, where: str, new: Path, form: str, log: pa.Schema | None) -> int:
    kinds = {name: kind for name, kind in client.columns(table).items() if name != INGESTED}
    if log:
        return _log(client, f"SELECT * FROM `{table}` {where}", new, ZEEK[form](log), log)
    if form == "parquet":
        return _parquet(client, f"SELECT {', '.join(f'`{name}`' for name in kinds)} FROM `{table}` {where}", new)
    columns = [_as_text(name, kind) if "IPv6" in kind else f"`{name}`" for name, kind in kinds.items()]
    sql = f"SELECT {', '.join(columns)} FROM (SELECT * FROM `{table}` {where}) {_SETTINGS}"
    count = quoted = 0
    with new.open("wb") as file:
        if form == "csv":
            file.write((",".join(kinds) + "\n").encode())
        for piece in client.ask(sql, {"csv": "CSV", "jsonl": "JSONEachRow"}[form], however_long=True):
            file.write(piece)
            apart = piece.split(b'"') if form == "csv" else [piece]  # within quotes of CSV a text may have ends of lines
            count += sum(part.count(b"\n") for part in apart[quoted::2])
            quoted ^= (len(apart) - 1) % 2
        os.fsync(file.fileno())
    return count


def _as_text(name: str, kind: str) -> str:
    """A column of addresses, or of lists of them, as people write them."""
    text = f"arrayMap(one -> {plain('one')}, `{name}`)" if kind.startswith("Array") else plain(f"`{name}`")
    return f"{text} AS `{name}`"


def _log(client: Client, sql: str, path: Path, form: ZeekTable | ZeekJsonTable, log: pa.Schema) -> int:
    count = 0
    with path.open("wb") as file:
        file.write(form.head())
        for batch in client.batches(sql):
            for rows in logged(batch, log):
                file.write(form.rows(rows))
                count += len(rows)
        file.write(form.end())
        file.flush()
        os.fsync(file.fileno())
    return count


def _parquet(client: Client, sql: str, path: Path) -> int:
    count, writer = 0, None
    try:
        for batch in client.batches(sql):
            text = as_text(pa.Table.from_batches([batch]))
            writer = writer or pq.ParquetWriter(path, text.schema, compression="zstd")
            writer.write_table(text)
            count += len(text)
    finally:
        if writer:
            writer.close()
    return count


def status(settings: Settings) -> list[tuple[str, str]]:
    """What a store has, as lines of what and how much. Raises StoreError."""
    kept = settings.kept()
    place = kept.place()
    parts = f"cluster({literal(kept.cluster)}, system.parts)" if kept.cluster else "system.parts"
    with Client.of(kept, settings.user) as client:
        own = f"table NOT IN ({', '.join(map(literal, sorted(SUMS)))})"
        [[rows, octets, days]] = client.rows(
            f"SELECT sumIf(rows, {own}), sum(bytes_on_disk), uniqExactIf(partition, {own}) FROM {parts} "
            f"WHERE active AND startsWith(database, '{DATABASE}')",
            3,
        )
        [[version]] = client.rows("SELECT version()", 1)
    files = [file for writer in writers(place.spool) for file in waiting(writer)]
    left = [file.rows for file in files if not file.refused]
    refused = [file.rows for file in files if file.refused]
    disk = os.statvfs(next(folder for folder in (place.folder, *place.folder.parents) if folder.is_dir()))  # others may send to a server
    told: list[tuple[str, Any]] = [
        ("folder", place.folder),
        ("engine", f"ClickHouse {version} at {client.name}" if kept.url else f"chDB, ClickHouse {version}"),
        (
            "rows",
            f"{int(rows):,} of {many(int(days), 'day')} in {_size(int(octets))}"
            + (f" ({int(octets) / int(rows):.1f} octets each, with their sums)" if int(rows) else ""),
        ),
        ("waiting in the spool", f"{many(sum(left), 'row')} in {many(len(left), 'file')}"),
        ("put aside", f"{many(sum(refused), 'row')} in {many(len(refused), 'file')}"),
        ("free on the disk", _size(disk.f_bavail * disk.f_frsize)),
        ("kept", _kept(kept)),
    ]
    return [(what, str(much)) for what, much in told]


def _kept(settings: StoreSettings) -> str:
    if settings.url:
        return f"{settings.retention_days:g} days" if settings.expire else "until somebody removes it there"
    return f"{settings.retention_days:g} days, {settings.size_gib:g} GiB at most"


def _size(octets: int) -> str:
    value, units = float(octets), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:,.1f} {unit}"
