"""Tables, made of the columns of the first rows of their kind, and widened when a record gains one. Nobody lists columns twice.

A table has one partition a day of its rows' own time. What it is sorted by is the hour and who began, so that the rows of one address lie
together.
"""

import re
from collections.abc import Collection, Iterator

import pyarrow as pa

from headwater.errors import StoreError
from headwater.filters.sql import literal
from headwater.records.log_columns import LISTS
from headwater.records.zeek_types import LOGS
from headwater.store.settings import DATABASE

INGESTED = "ingested"
"""When a row was stored, by which retention counts."""

DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 480"
"""Settings of a table whose rows are on the disk when an insert is over, and what a merge was made of until that is, too."""
_APART = "share_nested_offsets = 0"  # else lists named san.dns and san.ip would have to have as many elements in each row
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
_SMALL = {"UInt8", "Int8", "Bool"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def named(name: str) -> str:
    """A column's or table's name as SQL has it. Raises StoreError for one that no log should have."""
    if not _NAME.fullmatch(name):
        shown = "".join(one if one.isprintable() else "?" for one in name[:60])
        raise StoreError(f"{shown!r} is no name for a table or column: letters, digits, dots, dashes and underscores make one")
    return f"`{name}`"


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
        return f"Array(Nullable({inner}))" if kind in LISTS else f"Array({inner})"
    return None


def codec_of(kind: str) -> str:
    """How values of a type are packed."""
    inner = kind.removeprefix("Nullable(").rstrip(")")
    if inner.startswith("DateTime64"):
        return "CODEC(Delta(8), ZSTD(1))"
    if inner.startswith(("UInt", "Int")) and inner not in _SMALL and not kind.startswith("Array"):
        return "CODEC(T64, ZSTD(1))"
    return "CODEC(ZSTD(1))"


def creation(name: str, schema: pa.Schema) -> str:
    """The statement that makes the table of a record whose rows have these columns."""
    columns = [_column(field, shared=name in LOGS) for field in schema]
    columns.append(f"{INGESTED} DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1))")
    of_addresses = [field.name for field in schema if type_of(field).removeprefix("Nullable(").startswith("IPv6")]
    columns += [
        f"INDEX {named('of_' + one)} {named(one)} TYPE bloom_filter(0.01) GRANULARITY 4" for one in of_addresses if one.startswith("id.")
    ]
    when = "ts" if "ts" in schema.names else INGESTED
    order = ", ".join([f"toStartOfHour({when})", *(named(one) for one in of_addresses[:1]), when])
    return (
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.{named(name)} ({', '.join(columns)}) ENGINE = MergeTree "
        f"PARTITION BY toYYYYMMDD({when}) ORDER BY ({order}) SETTINGS {DURABLE}, {_APART}, allow_nullable_key = 1"
    )


def widening(name: str, schema: pa.Schema, has: Collection[str]) -> Iterator[str]:
    """The statements that give a table the columns that these rows have and it has not."""
    for field in schema:
        if field.name not in has:
            yield f"ALTER TABLE {DATABASE}.{named(name)} ADD COLUMN IF NOT EXISTS {_column(field, shared=True)}"


def _column(field: pa.Field, *, shared: bool) -> str:
    """`shared` is for what rows may lack that are not ours, or were there before it. Its comment says what a log called its type."""
    if field.name == INGESTED:
        raise StoreError(f"a column {INGESTED!r} is the store's own: name it otherwise")
    kind = type_of(field)
    if field.name == "ts":
        kind = type_of(field.with_nullable(False))
    elif shared and not kind.startswith("IPv6"):
        kind = type_of(field.with_nullable(True))
    said = str((field.metadata or {}).get(b"type", b""), "utf-8")
    comment = f"COMMENT {literal(said)} " if said else ""
    return f"{named(field.name)} {kind} {comment}{codec_of(kind)}"
