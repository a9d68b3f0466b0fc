"""Rows out of the store as tables that zeek_tables.py writes: those that were in a log as they were there, and our own as Zeek would have
them (zeek_logs.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs import zeek_logs
from headwater.outputs.zeek_logs import FIXED, Field, fields
from headwater.records import CONN, CONN_LONG, TUNNEL, WEIRD, Record
from headwater.records.log_columns import ARROW, kinds, schema
from headwater.records.stored import EMPTY, SYSTEM
from headwater.records.zeek_types import LOGS

OURS: dict[str, Record] = {record.name: record for record in (CONN, CONN_LONG, TUNNEL, WEIRD)}


def log_of(table: str, columns: Mapping[str, str]) -> pa.Schema | None:
    """The fields of the log that the rows of a table go into, Zeek's in Zeek's order; None if it is none. `columns` are the table's, with
    the type that an imported log said they had, if any did.
    """
    own = zeek_logs.LOGS.get(table, {})
    known = {**LOGS.get(table, {}), **own}
    if not known and not any(columns.values()):
        return None
    there = {name: columns.get(name) or of for name, of in known.items() if name in columns or name in own}
    return schema({**there, **{name: of for name, of in columns.items() if of and name not in there}}, table, "zeek")


def logged(rows: pa.RecordBatch, log: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows of the table of that name with the columns of its `log`."""
    rows = _plain(rows)
    record = OURS.get(log.metadata[b"path"].decode())
    ours = np.ones(len(rows), np.bool_) if record else np.zeros(len(rows), np.bool_)
    if record and SYSTEM in rows.schema.names:
        ours = rows.column(SYSTEM).is_null().to_numpy(zero_copy_only=False)
    if record and ours.any():
        made = {field.name: field for field in fields(record, extra=False)}
        yield _table(log, [_made(made.get(column.name), column, part) for part in [rows.filter(pa.array(ours))] for column in log])
    if not ours.all():
        part = rows.filter(pa.array(~ours))
        yield _table(log, [_imported(column, part) for column in log])


def _table(log: pa.Schema, columns: list[pa.Array]) -> pa.RecordBatch:
    described = [pa.field(field.name, column.type, metadata=field.metadata) for field, column in zip(log, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(described, metadata=log.metadata))


def _plain(rows: pa.RecordBatch) -> pa.RecordBatch:
    columns = {
        name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
    }
    return pa.RecordBatch.from_pydict(columns)


def _imported(column: pa.Field, rows: pa.RecordBatch) -> pa.Array:
    """As it was. Of lists that are empty, those are there that `empty` names."""
    if column.name not in rows.schema.names:
        return pa.nulls(len(rows), column.type)
    values = rows.column(column.name)
    return _lists(values, _named(column.name, rows)) if pa.types.is_list(values.type) else values


def _named(name: str, rows: pa.RecordBatch) -> Any:
    """In which rows the column `empty` has that name."""
    if EMPTY not in rows.schema.names:
        return np.zeros(len(rows), np.bool_)
    words = rows.column(EMPTY).dictionary_encode()
    which = np.array([name in (word or "").split(",") for word in words.dictionary.to_pylist()] + [False])
    return which[words.indices.fill_null(len(which) - 1).to_numpy(zero_copy_only=False)]


def _lists(values: pa.Array, empty: Any) -> pa.Array:
    """Lists of which those that have no element are null, but where they are `empty`."""
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.flatten(), mask=pa.array((lengths == 0) & ~empty))


def _made(field: Field | None, column: pa.Field, rows: pa.RecordBatch) -> pa.Array:
    """Of our own rows: what Zeek would have logged."""
    of = column.type
    if field is None or field.column is None:
        return pa.array([FIXED.get(column.name)] * len(rows), of)
    values = field.values(rows)
    match kinds(column)[0]:
        case "time":
            return pc.multiply(values, 1000).cast(ARROW["time"])
        case "interval":
            return pc.divide(values.cast(of), 1e6)
        case "set":
            return _lists(values, np.zeros(len(rows), np.bool_))
    return values.cast(of)
