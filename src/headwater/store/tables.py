"""Tables, made of the columns of the first rows of their kind, and widened when a record gains one. Nobody lists columns twice.

A table has one partition a day of its rows' own time. What it is sorted by is the hour and who began, so that the rows of one address lie
together.

They are the same here, on a server and on a cluster's servers; what differs is in `Layout`. Which rows are there already is told here by a
note (embedded.py), and elsewhere by a token that comes with each insert (remote.py).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headwater.errors import StoreError
from headwater.filters.sql import literal
from headwater.records.log_columns import LISTS
from headwater.records.stored import has_times
from headwater.records.zeek_types import LOGS
from headwater.store import community_id
from headwater.store.settings import DATABASE

INGESTED = "ingested"
"""When a row was stored, by which retention counts."""

DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480, "
    "max_suspicious_broken_parts = 100000"
)
"""Settings of a table whose rows are on the disk when an insert is over, and when a merge is: what it was made of goes soon after the
engine begins anew, if it is old. Parts that a power cut left empty keep no table shut, however many; those with octets do, beyond a GiB.
"""
_APART = "share_nested_offsets = 0"  # else lists named san.dns and san.ip would have to have as many elements in each row
_WINDOW = 10_000
"""Inserts whose tokens a table remembers: who was away for longer than others took for as many may bring his last file twice."""
_WINDOW_S = 30 * 86_400  # likewise, where replicas are; unless set, an hour
LOCAL = f"{DATABASE}_local"
"""The database of what each server of a cluster has itself, under the tables' own names."""
_INTEGERS = {
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.int8(): "Int8",
    pa.int16(): "Int16",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
}
_LARGE = ("UInt32", "UInt64", "Int32", "Int64")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def named(name: str) -> str:
    """A column's or table's name as SQL has it. Raises StoreError for one that no log should have."""
    if not _NAME.fullmatch(name):
        shown = "".join(one if one.isprintable() else "?" for one in name[:60])
        raise StoreError(f"{shown!r} is no name for a table or column: letters, digits, dots, dashes and underscores make one")
    return f"`{name}`"


def storable(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, with a name for each column that named() takes, where others named them."""
    names: list[str] = []
    for field in rows.schema:
        name = plain = field.name
        if not _NAME.fullmatch(name):
            plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name if name[:1].isalpha() else f"_{name}")[:90]
        while plain in (INGESTED, community_id.KEPT) or plain in names or (plain != field.name and plain in rows.schema.names):
            plain += "_"
        names.append(plain)
    if names == rows.schema.names:
        return rows
    fields = [field if field.name == name else renamed(field, name) for field, name in zip(rows.schema, names, strict=True)]
    return pa.RecordBatch.from_arrays(rows.columns, schema=pa.schema(fields, metadata=rows.schema.metadata))


def renamed(field: pa.Field, name: str) -> pa.Field:
    """The same column under another name. What a log called it is in its metadata, as `name`, if that can be shown."""
    metadata = dict(field.metadata or {})
    if field.name.isprintable():
        metadata.setdefault(b"name", field.name.encode())
    return field.with_name(name).with_metadata(metadata)


def kind_of(field: pa.Field) -> str:
    """What the values of a stored column are: the `kind` in its metadata."""
    return str((field.metadata or {}).get(b"kind", b""), "utf-8")


def type_of(field: pa.Field) -> str:
    """The ClickHouse type of a stored column (records/stored.py). Raises StoreError where there is none."""
    plain = _plain(field.type, kind_of(field))
    if plain is None:
        raise StoreError(f"column {field.name!r} is of the type {field.type}, which the store does not keep: please report this")
    if plain.startswith("Array") or not field.nullable:
        return plain
    return f"LowCardinality(Nullable({plain[15:-1]}))" if plain.startswith("LowCardinality") else f"Nullable({plain})"


def _plain(of: pa.DataType, kind: str) -> str | None:
    if of in _INTEGERS:
        return _INTEGERS[of]
    if pa.types.is_fixed_size_binary(of) and of.byte_width == 16:
        return "IPv6"
    if pa.types.is_timestamp(of):
        return "DateTime64(9, 'UTC')"
    if pa.types.is_floating(of):
        return "Float64" if of.bit_width == 64 else "Float32"
    if pa.types.is_boolean(of):
        return "Bool"
    if pa.types.is_dictionary(of) or kind == "enum":
        return "LowCardinality(String)"
    if pa.types.is_string(of) or pa.types.is_large_string(of):
        return "String"
    if pa.types.is_list(of) and (inner := _plain(of.value_type, "")):
        return f"Array(Nullable({inner}))" if kind in LISTS or (not kind and of.value_field.nullable) else f"Array({inner})"
    return None


def fits(has: str, wanted: str) -> bool:
    """Whether a column of the type `has` keeps values of the type `wanted` as what they are. Whole numbers are those of any width: our own
    rows have narrower ones than Zeek's logs.
    """
    both = {_bare(has), _bare(wanted)}
    return len(both) == 1 or both <= {*_INTEGERS.values()} or both <= {"Float32", "Float64"}


def _bare(kind: str) -> str:
    for around in ("LowCardinality(", "Nullable("):
        if kind.startswith(around):
            kind = kind.removeprefix(around)[:-1]
    return f"Array({_bare(kind[6:-1])})" if kind.startswith("Array(") else kind


@dataclass(frozen=True)
class Layout:
    """Where tables are: unless told otherwise here, embedded; on a `server`, which knows inserts by their tokens; on all servers of a
    `cluster`, each with its part of the rows, and a table over all parts. Rows go `expire_s` seconds after they were stored, 0 for never.
    """

    server: bool = False
    cluster: str = ""
    expire_s: int = 0

    @property
    def everywhere(self) -> str:
        """What a statement says that is for all servers."""
        return f" ON CLUSTER {named(self.cluster)}" if self.cluster else ""

    @property
    def databases(self) -> tuple[str, ...]:
        """Those that there must be."""
        return (LOCAL, DATABASE) if self.cluster else (DATABASE,)

    def place(self, table: str) -> str:
        """What has the rows of a table: itself, or on a cluster its part on each server."""
        return f"{LOCAL if self.cluster else DATABASE}.{named(table)}"

    def creation(self, table: str, columns: Sequence[str], engine: str, order: str) -> Iterator[str]:
        """The statements that make a table of an `engine` of the family of MergeTree."""
        settings = f"{DURABLE}, {_APART}, allow_nullable_key = 1"
        if self.cluster:
            engine = f"Replicated{engine}('/clickhouse/tables/{{shard}}/{DATABASE}/{table}', '{{replica}}')"
            settings += f", replicated_deduplication_window = {_WINDOW}, replicated_deduplication_window_seconds = {_WINDOW_S}"
        elif self.server:
            settings += f", non_replicated_deduplication_window = {_WINDOW}"
        if self.expire_s:
            order, settings = f"{order} TTL {self.life}", f"{settings}, ttl_only_drop_parts = 1"
        made = f"CREATE TABLE IF NOT EXISTS {self.place(table)}{self.everywhere}"
        yield f"{made} ({', '.join(columns)}) ENGINE = {engine} {order} SETTINGS {settings}"
        if self.cluster:
            over = f"Distributed({named(self.cluster)}, {LOCAL}, {named(table)})"
            yield f"CREATE TABLE IF NOT EXISTS {DATABASE}.{named(table)}{self.everywhere} AS {self.place(table)} ENGINE = {over}"

    @property
    def life(self) -> str:
        """How long rows are kept: never by their own time, by which a capture of last year would go at once."""
        return f"{INGESTED} + toIntervalSecond({self.expire_s})"

    def widening(self, table: str, column: str) -> Iterator[str]:
        """The statements that give a table one more."""
        for place in dict.fromkeys([self.place(table), f"{DATABASE}.{named(table)}"]):
            yield f"ALTER TABLE {place}{self.everywhere} ADD COLUMN IF NOT EXISTS {column}"


HERE = Layout()


def codec_of(kind: str, layout: Layout = HERE) -> str:
    """How values of a type are packed. ALP finds that a time in seconds is a whole number of nanoseconds, which halves it. It is young, and
    T64 behind another codec rare: only the engine that is tested with them gets them, not a server of whatever version.
    """
    inner = kind.removeprefix("Nullable(").removesuffix(")")
    if inner.startswith("DateTime64"):
        return f"CODEC(Delta(8), {'' if layout.server else 'T64, '}ZSTD(1))"
    if inner in _LARGE:
        return "CODEC(T64, ZSTD(1))"
    return "CODEC(ALP, ZSTD(1))" if inner == "Float64" and not layout.server else "CODEC(ZSTD(1))"


def creation(name: str, schema: pa.Schema, layout: Layout = HERE) -> Iterator[str]:
    """The statements that make the table of a record whose rows have these columns."""
    computed = is_computed(schema, layout)
    columns = [
        community_id.COLUMN if computed and field.name == community_id.NAME else _column(field, layout, shared=name in LOGS)
        for field in schema
    ]
    columns += [community_id.BEHIND] if computed else []
    columns.append(f"{INGESTED} DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1))")
    of_addresses = [field.name for field in schema if type_of(field).removeprefix("Nullable(").startswith("IPv6")]
    columns += [
        f"INDEX {named('of_' + one)} {named(one)} TYPE bloom_filter(0.01) GRANULARITY 4" for one in of_addresses if one.startswith("id.")
    ]
    when = "ts" if has_times(schema) else INGESTED
    order = ", ".join([f"toStartOfHour({when})", *(named(one) for one in of_addresses[:1]), when])
    return layout.creation(name, columns, "MergeTree", f"PARTITION BY toYYYYMMDD({when}) ORDER BY ({order})")


def is_computed(schema: pa.Schema, layout: Layout) -> bool:
    """Whether a table that is made for rows with these columns computes their community ids: on a server others insert too, who would
    have to know of it.
    """
    return not layout.server and community_id.follows(schema)


def widening(name: str, schema: pa.Schema, has: Collection[str], layout: Layout = HERE) -> Iterator[str]:
    """The statements that give a table the columns that these rows have and it has not."""
    for field in schema:
        if field.name not in has:
            yield from layout.widening(name, _column(field, layout, shared=True))


def structure(schema: pa.Schema) -> str:
    """These columns and their types, as the engine takes them to read a file by."""
    return ", ".join(f"{named(field.name)} {type_of(field)}" for field in schema)


def _column(field: pa.Field, layout: Layout, *, shared: bool) -> str:
    """`shared` is for what rows may lack that are not ours, or were there before it. Its comment says what a log called its type, and
    behind a blank what it called the column, if that has another name.
    """
    if field.name == INGESTED:
        raise StoreError(f"a column {INGESTED!r} is the store's own: name it otherwise")
    kind = type_of(field)
    if field.name == "ts" and pa.types.is_timestamp(field.type):
        kind = type_of(field.with_nullable(False))
    elif shared and not kind.startswith("IPv6"):
        kind = type_of(field.with_nullable(True))
    metadata = field.metadata or {}
    said = b" ".join(metadata[key] for key in (b"type", b"name") if b"type" in metadata and key in metadata).decode()
    comment = f"COMMENT {literal(said)} " if said else ""
    return f"{named(field.name)} {kind} {comment}{codec_of(kind, layout)}"
