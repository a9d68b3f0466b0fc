"""Rows out of the store as tables that zeek_tables.py writes: those that were in a log as they were there, and our own as Zeek would have
them (zeek_logs.py).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs import zeek_logs
from headwater.outputs.zeek_logs import FIXED, Field, fields
from headwater.records import CONN, CONN_LONG, TUNNEL, WEIRD, Record
from headwater.records.log_columns import ARROW, field, kinds, schema, zeek_type
from headwater.records.stored import EMPTY, SYSTEM
from headwater.records.zeek_types import LOGS

OURS: dict[str, Record] = {record.name: record for record in (CONN, CONN_LONG, TUNNEL, WEIRD)}


def log_of(table: str, columns: Mapping[str, str]) -> pa.Schema | None:
    """The fields of the log that the rows of a table go into, Zeek's in Zeek's order; None if it is none. `columns` are the table's, with
    what an imported log said of them, if any did (store/tables.py): the type, and the name if that was another.

    A field's metadata says in `columns` which have its values, with their types. If these are not one, the log calls it string.
    """
    own = zeek_logs.LOGS.get(table, {})
    known = {**LOGS.get(table, {}), **own}
    if not known and not any(columns.values()):
        return None
    kept: dict[str, dict[str, str]] = {name: {} for name in known}
    for column, said in columns.items():
        of, _, name = said.partition(" ")
        if of or column in known:
            kept.setdefault(name or column, {})[column] = of or known[column]
    log = schema({name: _one(of.values()) or known[name] for name, of in kept.items() if of or name in own}, table, "zeek")
    return pa.schema([one.with_metadata({**one.metadata, b"columns": json.dumps(kept[one.name])}) for one in log], log.metadata)


def _one(types: Iterable[str]) -> str:
    different = set(types)
    return "string" if len(different) > 1 else "".join(different)


def logged(rows: pa.RecordBatch, log: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows of the table of that name with the columns of its `log`."""
    rows = _plain(rows)
    record = OURS.get(log.metadata[b"path"].decode())
    ours = np.ones(len(rows), np.bool_) if record else np.zeros(len(rows), np.bool_)
    if record and SYSTEM in rows.schema.names:
        ours = rows.column(SYSTEM).is_null().to_numpy(zero_copy_only=False)
    if record and ours.any():
        made = {one.name: one for one in fields(record, extra=False)}
        columns = [field(one.name, _columns(one).get(one.name) or zeek_type(one)) for one in log]
        part = zeek_logs.logged(record, rows.filter(pa.array(ours)))
        yield _table(columns, [_made(made.get(column.name), column, part) for column in columns], log.metadata)
    if not ours.all():
        for places, part in _apart(log, rows.filter(pa.array(~ours))):
            yield _table([one for _, one in places], [_imported(column, one, part) for column, one in places], log.metadata)


def _table(columns: list[pa.Field], values: list[pa.Array], metadata: Any) -> pa.RecordBatch:
    described = [pa.field(one.name, array.type, metadata=one.metadata) for one, array in zip(columns, values, strict=True)]
    return pa.RecordBatch.from_arrays(values, schema=pa.schema(described, metadata=metadata))


def _columns(one: pa.Field) -> dict[str, str]:
    return dict(json.loads(one.metadata[b"columns"]))


def _apart(log: pa.Schema, rows: pa.RecordBatch) -> Iterator[tuple[list[tuple[str, pa.Field]], pa.RecordBatch]]:
    """The rows, and for each field of theirs the column that has its values: together those for which that is the same one."""
    places = [[(column, field(one.name, of)) for column, of in _columns(one).items()] or [(one.name, one)] for one in log]
    which = np.zeros((len(rows), len(places)), np.int64)
    for at, there in enumerate(places):
        for number, (column, one) in enumerate(there[1:], 1):
            which[_imported(column, one, rows).is_valid().to_numpy(zero_copy_only=False), at] = number
    for chosen in np.unique(which, axis=0) if which.any() else which[:1]:
        part = rows.filter(pa.array((which == chosen).all(axis=1))) if which.any() else rows
        yield [there[number] for there, number in zip(places, chosen.tolist(), strict=True)], part


def _plain(rows: pa.RecordBatch) -> pa.RecordBatch:
    columns = {
        name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
    }
    return pa.RecordBatch.from_pydict(columns)


def _imported(column: str, one: pa.Field, rows: pa.RecordBatch) -> pa.Array:
    """A field as it was. Of lists that are empty, those are there that `empty` names."""
    if column not in rows.schema.names:
        return pa.nulls(len(rows), one.type)
    values = rows.column(column)
    return _lists(values, _named({column, one.name}, rows)) if pa.types.is_list(values.type) else values


def _named(names: set[str], rows: pa.RecordBatch) -> Any:
    """In which rows the column `empty` has one of these names."""
    if EMPTY not in rows.schema.names:
        return np.zeros(len(rows), np.bool_)
    words = rows.column(EMPTY).dictionary_encode()
    which = np.array([not names.isdisjoint((word or "").split(",")) for word in words.dictionary.to_pylist()] + [False])
    return which[words.indices.fill_null(len(which) - 1).to_numpy(zero_copy_only=False)]


def _lists(values: pa.Array, empty: Any) -> pa.Array:
    """Lists of which those that have no element are null, but where they are `empty`."""
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.flatten(), mask=pa.array((lengths == 0) & ~empty))


def _made(made: Field | None, column: pa.Field, rows: pa.RecordBatch) -> pa.Array:
    """Of our own rows: what Zeek would have logged."""
    of = column.type
    if made is None or made.column is None:
        return pa.array([FIXED.get(column.name)] * len(rows), of)
    values = made.values(rows)
    match kinds(column)[0]:
        case "time":
            return pc.multiply(values, 1000).cast(ARROW["time"])
        case "interval":
            return pc.divide(values.cast(of), 1e6)
        case "set":
            return _lists(values, np.zeros(len(rows), np.bool_))
    return values.cast(of)
