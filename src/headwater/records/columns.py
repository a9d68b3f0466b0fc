"""From rows to Arrow columns, once, at the edge."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headwater._native import ffi, lib
from headwater.records.address import unpacked
from headwater.records.batch import Batch, present
from headwater.records.log_columns import ARROW, field
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
ADDRESS = ARROW["address"]
_PLAIN = {Kind.TIME: pa.timestamp("ns", "UTC"), Kind.FLAG: pa.bool_(), Kind.INTERVAL: pa.float64()}


def arrow_type(record: Record, column: Column) -> pa.DataType:
    """The type that `column` has in Arrow and Parquet."""
    if column.zeek:
        kept = field(column.name, column.zeek).type
        return {ADDRESS: pa.string(), pa.list_(ADDRESS): pa.list_(pa.string())}.get(kept, kept)
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
    columns = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in arrays(batch, batch.record.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(batch.record))


def arrays(batch: Batch, columns: Sequence[Column]) -> Iterator[pa.Array]:
    """Of these columns of `batch`; those of names have each word once."""
    has = np.ascontiguousarray(batch.rows["has"]) if any(column.needs for column in columns) else None
    for column in columns:
        if column.zeek:
            yield _of_message(batch, column)
            continue
        if column.kind in _FORMATTED:
            yield _formatted(batch, column)
            continue
        values = np.ascontiguousarray(batch.rows[column.name])
        yield _array(batch, column, values, present(column, values, has))


def _array(batch: Batch, column: Column, values: np.ndarray[Any, Any], there: Any) -> pa.Array:
    match column.kind:
        case Kind.FLAG:
            values = _bits(values != 0)
        case Kind.INTERVAL:
            values = values / 1e9
        case Kind.NAME:
            assert column.names is not None  # noqa: S101 - schema.py gives each NAME column its names
            return _named(values, column.names, there)
        case Kind.TEXT:
            return strings(values)
        case Kind.INTERFACE:
            return _named(values, batch.interfaces, there)
    return made(arrow_type(batch.record, column), len(batch), [values], there)


def _of_message(batch: Batch, column: Column) -> pa.Array:
    values: list[Any] = batch.rows[column.name].tolist()
    if column.kind is Kind.ADDRESS:
        values = [None if one is None else unpacked(one) for one in values]
    elif column.zeek.endswith("[addr]"):
        values = [None if some is None else [unpacked(one) for one in some] for some in values]
    return pa.array(values, arrow_type(batch.record, column))


def made(of: pa.DataType, count: int, buffers: Sequence[np.ndarray[Any, Any]], there: Any) -> pa.Array:
    """An array of Arrow's own layout. pa.array() would look for pandas each time, and load it for 0.2 s where it is installed."""
    validity = None if there.all() else pa.py_buffer(_bits(there))
    return pa.Array.from_buffers(of, count, [validity, *map(pa.py_buffer, buffers)])


def _bits(flags: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.packbits(flags, bitorder="little")


def strings(words: Iterable[str | None]) -> pa.Array:
    """Text that UTF-8 can hold: a lone surrogate, which stands for an octet of a file's or interface's name, shows as \\udc80. Nothing
    is null.
    """
    octets = [(word or "").encode(errors="backslashreplace") for word in words]
    lengths = np.array([len(word) for word in octets], np.int32)
    offsets = np.zeros(len(octets) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return made(pa.string(), len(octets), [offsets, np.frombuffer(b"".join(octets), np.uint8)], lengths != 0)


def _named(values: np.ndarray[Any, Any], names: Mapping[int, str], there: Any) -> pa.Array:
    """Text by value; a value without a name shows as its number. Null is what is not there, or has an empty name."""
    top = int(values.max(initial=0))
    if top < _TABLE:
        words, places = strings(names.get(value, str(value)) for value in range(top + 1)), values
    else:
        distinct, places = np.unique(values, return_inverse=True)
        words = strings(names.get(int(value), str(value)) for value in distinct)
    if words.null_count:
        there, words = there & words.is_valid().to_numpy(zero_copy_only=False)[places], words.fill_null("")
    return pa.DictionaryArray.from_arrays(made(pa.int32(), len(values), [places.astype(np.int32)], there), words)


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
    return made(pa.string(), count, [offsets, text[: offsets[-1]]], offsets[1:] != offsets[:-1])
