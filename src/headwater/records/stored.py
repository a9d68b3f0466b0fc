"""From rows to the Arrow columns that are kept: as small as can be, and as they are typed; text only where there is nothing else.

Each field says by its metadata what its values are (`kind`), so that whoever makes a table of them needs to know no record. Imported logs
have the same kinds.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater._native import ffi, lib
from headwater.records import log_columns
from headwater.records.batch import Batch
from headwater.records.columns import arrays, arrow_type, made
from headwater.records.schema import Column, Kind, Record

ADDRESS = log_columns.ARROW["address"]
"""An address, IPv4 as ::ffff:a.b.c.d."""
NAME = pa.dictionary(pa.int32(), pa.string())
"""One of few words."""
EMPTY = "empty"
"""The column that names lists which are there and have nothing in them, with commas between the names."""
SYSTEM = "system"
"""The column that says whose log an imported row was in; our own rows have none."""
DAY_NS = 86_400 * 10**9

_WORDS = {Kind.NAME, Kind.INTERFACE, Kind.MAC, Kind.LETTERS, Kind.TEXT}
_MAY_BE_ABSENT = {Kind.NAME, Kind.INTERFACE, Kind.TEXT, Kind.LETTERS, Kind.UID, Kind.UIDS, Kind.COMMUNITY_ID}


def stored_type(record: Record, column: Column) -> pa.DataType:
    """The type that `column` is kept as."""
    if column.zeek:
        return log_columns.field(column.name, column.zeek).type
    if column.kind is Kind.ADDRESS:
        return ADDRESS
    if column.kind is Kind.UIDS:
        return pa.list_(pa.string())
    return NAME if column.kind in _WORDS else arrow_type(record, column)


def stored_schema(record: Record) -> pa.Schema:
    """The columns of `record` as they are kept."""
    return pa.schema([_field(record, column) for column in record.columns])


def to_stored(batch: Batch) -> pa.RecordBatch:
    """The rows of `batch` in stored_schema()."""
    others = arrays(batch, [column for column in batch.record.columns if column.kind is not Kind.ADDRESS and not column.zeek])
    columns = [
        _of(batch, column) if column.zeek or column.kind is Kind.ADDRESS else _stored(column, next(others))
        for column in batch.record.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=stored_schema(batch.record))


def _field(record: Record, column: Column) -> pa.Field:
    if column.zeek:
        return log_columns.field(column.name, column.zeek)
    absent = bool(column.needs) or column.zero_is_absent or column.kind in _MAY_BE_ABSENT
    nullable = absent and not (column.name == "ts" and column.kind is Kind.TIME)
    return pa.field(column.name, stored_type(record, column), nullable=nullable, metadata={b"kind": column.kind.value.encode()})


def _stored(column: Column, values: pa.Array) -> pa.Array:
    if column.kind is Kind.UIDS:
        return pc.split_pattern(values, ",")
    return values.dictionary_encode() if column.kind in _WORDS else values


def _of(batch: Batch, column: Column) -> pa.Array:
    """A column of a message, or of addresses."""
    if column.zeek:
        return pa.array(batch.rows[column.name].tolist(), stored_type(batch.record, column))
    return made(ADDRESS, len(batch), [np.ascontiguousarray(batch.rows[column.name])], batch.present(column.name))


def with_empty(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, with the names of lists that are there and empty in the column `empty`: a store, which has no list that is absent,
    has an empty one for those that are not there, too.
    """
    lists = [(field.name, rows.column(place)) for place, field in enumerate(rows.schema) if pa.types.is_list(field.type)]
    if EMPTY in rows.schema.names:
        return rows
    masks = [(name, pc.equal(pc.list_value_length(column), 0).fill_null(False)) for name, column in lists]
    named = [(name, mask.to_numpy(zero_copy_only=False).astype(np.int64)) for name, mask in masks if pc.any(mask).as_py()]
    if not named:
        return rows
    codes = sum(mask << place for place, (_, mask) in enumerate(named))
    distinct, places = np.unique(codes, return_inverse=True)
    words = [",".join(name for place, (name, _) in enumerate(named) if code >> place & 1) or None for code in distinct.tolist()]
    of_rows = pa.array(words, pa.string()).take(pa.array(places)).dictionary_encode()
    return rows.append_column(pa.field(EMPTY, NAME, metadata={b"kind": b"enum"}), of_rows)


def has_times(schema: pa.Schema) -> bool:
    """Whether each row is of a time: a strange log may call anything `ts`."""
    return "ts" in schema.names and pa.types.is_timestamp(schema.field("ts").type)


def days(batch: pa.RecordBatch) -> list[tuple[int, pa.RecordBatch]]:
    """The rows by the day (UTC, since 1970) of their `ts`, which the store keeps apart; those without any are of day 0."""
    if not has_times(batch.schema) or not len(batch):
        return [(0, batch)] if len(batch) else []
    ts = batch.column(batch.schema.get_field_index("ts"))
    if ts.null_count:
        ts = ts.fill_null(pa.scalar(0, ts.type))
    of = np.floor_divide(ts.cast(pa.int64()).to_numpy(zero_copy_only=False), DAY_NS)
    first, last = int(of.min()), int(of.max())
    if first == last:
        return [(first, batch)]
    return [(int(day), batch.take(pa.array(np.flatnonzero(of == day)))) for day in np.unique(of)]


def as_text(table: pa.Table) -> pa.Table:
    """The same rows with their addresses as text, as files and people have them, in lists too."""
    for place, field in enumerate(table.schema):
        listed = pa.types.is_list(field.type)
        if (field.type.value_type if listed else field.type) == ADDRESS:
            pieces = [_texts(chunk) if listed else _text(chunk) for chunk in table.column(place).chunks]
            table = table.set_column(place, field.name, pa.chunked_array(pieces, pa.list_(pa.string()) if listed else pa.string()))
    return table


def _texts(chunk: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _text(chunk.flatten()), mask=chunk.is_null())


def _text(chunk: pa.Array) -> pa.Array:
    count, most = len(chunk), 46
    octets = np.frombuffer(chunk.buffers()[1], np.uint8)[16 * chunk.offset :][: 16 * count] if count else np.zeros(0, np.uint8)
    text, offsets = np.empty(count * most + 1, np.uint8), np.empty(count + 1, np.int32)
    base = ffi.cast("char *", np.ascontiguousarray(octets).ctypes.data)
    lib.hw_format_addresses(base, base, 16, count, 0, ffi.cast("char *", text.ctypes.data), ffi.cast("int32_t *", offsets.ctypes.data))
    written = pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]])])
    return pc.if_else(chunk.is_valid(), written, None)
