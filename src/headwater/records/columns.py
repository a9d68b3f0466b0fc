"""From rows to Arrow columns, once, at the edge."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headwater._native import ffi, lib
from headwater.records.batch import Batch
from headwater.records.schema import Column, Kind, Record

_FORMATTED: dict[Kind, tuple[int, Any]] = {  # octets of text at most, and who writes it
    Kind.ADDRESS: (46, lib.hw_format_addresses),
    Kind.MAC: (17, lib.hw_format_macs),
    Kind.UID: (18, lib.hw_format_uids),
    Kind.UIDS: (75, lib.hw_format_uid_lists),
    Kind.COMMUNITY_ID: (30, lib.hw_format_community_ids),
    Kind.LETTERS: (40, lib.hw_format_letters),
}
_TABLE = 4096  # values below it are looked up; others are sorted first, which takes 80 ns a row
_PLAIN = {Kind.TIME: pa.timestamp("ns", "UTC"), Kind.FLAG: pa.bool_(), Kind.INTERVAL: pa.float64()}


def arrow_type(record: Record, column: Column) -> pa.DataType:
    """The type that `column` has in Arrow and Parquet."""
    if column.kind in _PLAIN:
        return _PLAIN[column.kind]
    if column.kind is Kind.NUMBER:
        return pa.from_numpy_dtype(record.dtype[column.name])
    return pa.string()


def arrow_schema(record: Record) -> pa.Schema:
    """The columns of `record` in the order of files."""
    return pa.schema([pa.field(column.name, arrow_type(record, column)) for column in record.columns])


def to_arrow(batch: Batch) -> pa.RecordBatch:
    """The rows of `batch` in the schema of its record."""
    return pa.RecordBatch.from_arrays([_array(batch, column) for column in batch.record.columns], schema=arrow_schema(batch.record))


def _array(batch: Batch, column: Column) -> pa.Array:
    if column.kind in _FORMATTED:
        return _formatted(batch, column)
    values, absent = batch.rows[column.name], ~batch.present(column.name)
    mask = absent if absent.any() else None
    match column.kind:
        case Kind.TIME:
            return pa.array(values.astype("datetime64[ns]"), type=_PLAIN[Kind.TIME], mask=mask)
        case Kind.FLAG:
            return pa.array(values != 0, mask=mask)
        case Kind.INTERVAL:
            return pa.array(values / 1e9, mask=mask)
        case Kind.NAME:
            assert column.names is not None  # noqa: S101 - schema.py gives each NAME column its names
            return _named(values, column.names, mask)
        case Kind.TEXT:
            return _words(value or None for value in values)
        case Kind.INTERFACE:
            return _named(values, batch.interfaces, mask)
    return pa.array(np.ascontiguousarray(values), mask=mask)


def _words(words: Iterable[str | None]) -> pa.Array:
    """Text that UTF-8 can hold: a lone surrogate, which stands for an octet of a file's or interface's name, shows as \\udc80."""
    return pa.array([word and word.encode(errors="backslashreplace").decode() for word in words], pa.string())


def _named(values: np.ndarray[Any, Any], names: Mapping[int, str], mask: Any) -> pa.Array:
    """Text by value; a value without a name shows as its number."""
    top = int(values.max(initial=0))
    if top < _TABLE:
        return _words(names.get(value, str(value)) for value in range(top + 1)).take(pa.array(np.ascontiguousarray(values), mask=mask))
    distinct, places = np.unique(values, return_inverse=True)
    words = _words(names.get(int(value), str(value)) for value in distinct)
    return words.take(pa.array(places.astype(np.int32), mask=mask))


def _formatted(batch: Batch, column: Column) -> pa.Array:
    """Addresses and the like as text, written by C into Arrow's own layout."""
    rows, count = batch.rows, len(batch.rows)
    most, put = _FORMATTED[column.kind]
    text = np.empty(count * most + 1, dtype=np.uint8)
    offsets = np.empty(count + 1, dtype=np.int32)
    base = ffi.cast("char *", rows.ctypes.data)  # __array_interface__ would describe every field first
    stride = rows.strides[0] if count else 0
    fields = batch.record.dtype.fields
    assert fields is not None  # noqa: S101 - a record's dtype is structured
    put(
        base + fields[column.name][1],
        base + (fields["has"][1] if column.needs else 0),
        stride,
        count,
        column.needs,
        ffi.cast("char *", text.ctypes.data),
        ffi.cast("int32_t *", offsets.ctypes.data),
    )
    absent = offsets[1:] == offsets[:-1]
    validity = pa.array(~absent).buffers()[1] if absent.any() else None
    return pa.Array.from_buffers(pa.string(), count, [validity, pa.py_buffer(offsets), pa.py_buffer(text[: offsets[-1]])])
