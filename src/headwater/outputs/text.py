"""Columns as text, a column at a time: what JSON Lines, CSV and line protocol have in common."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_THREE = np.frombuffer("".join(f"{i:03d}" for i in range(1000)).encode(), np.uint8).reshape(1000, 3)
_TIME_OCTETS = len("2026-01-01T00:00:00.123456789Z")
# What a terminal obeys (C0, DEL, C1), what ends a line for some, and what turns text around (bidi marks).
HARMFUL = (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
ANY_HARMFUL = "".join(f"\\x{{{code:x}}}" for code in HARMFUL)  # within brackets of a regular expression
_TABLE = 4096  # numbers below it are looked up (4 ns a row); others are formatted (17 ns)


@lru_cache(maxsize=1024)
def literal(text: str) -> pa.StringScalar:
    """Text of the program's own for joined(). Kept, because pyarrow takes 0.1 ms to make a scalar: it looks for pandas each time."""
    return pa.scalar(text)


NOTHING = literal("")


def times(column: pa.Array) -> pa.Array:
    """timestamp[ns, UTC] as RFC 3339 text with nine decimals and Z; null where null. (Arrow's own cast takes 1.5 µs a row, this 60 ns.)"""
    count = len(column)
    ns = np.asarray(column.cast(pa.int64()).fill_null(0))
    seconds = ns // 1_000_000_000
    decimals = (ns - seconds * 1_000_000_000).astype(np.uint32)
    begins = np.flatnonzero(np.concatenate(([True], seconds[1:] != seconds[:-1])))[:count]  # of runs of one second
    to_second = np.datetime_as_string(seconds[begins].astype("datetime64[s]")).astype("S19").view(np.uint8).reshape(-1, 19)
    text = np.empty((count, _TIME_OCTETS), np.uint8)
    text[:, :19] = np.repeat(to_second, np.diff(np.append(begins, count)), axis=0)
    text[:, 19] = ord(".")
    millis = decimals // 1_000_000
    nanos = decimals - millis * 1_000_000
    micros = nanos // 1000
    text[:, 20:23], text[:, 23:26], text[:, 26:29] = _THREE[millis], _THREE[micros], _THREE[nanos - micros * 1000]
    text[:, 29] = ord("Z")
    offsets = np.arange(0, _TIME_OCTETS * count + 1, _TIME_OCTETS, dtype=np.int32)
    made = pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    return pc.if_else(column.is_valid(), made, None) if column.null_count else made


def numbers(column: pa.Array, before: pa.StringScalar = NOTHING) -> list[Any]:
    """Numbers as decimal text with `before` in front, as parts for joined(); null where there is none, or no finite one."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    elif pa.types.is_unsigned_integer(column.type) and (pc.max(column).as_py() or 0) < _TABLE:
        return [_table(before).take(column)]
    return [before, column.cast(pa.string())]


@lru_cache(maxsize=256)
def _table(before: pa.StringScalar) -> pa.Array:
    """60 KB."""
    return pa.array([f"{before}{number}" for number in range(_TABLE)])


def lists(values: pa.Array, elements: pa.Array) -> pa.Array:
    """The `elements` of lists, which are text, with commas between them; null where the list is."""
    lengths = np.asarray(pc.list_value_length(values).fill_null(0))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    mask = values.is_null() if values.null_count else None
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), elements, mask=mask), ",")


def distinct(column: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Text through `change`, once for each distinct value."""
    encoded = column.dictionary_encode()
    return change(encoded.dictionary).take(encoded.indices)


def joined(parts: list[Any], null_handling: str = "skip") -> pa.Array:
    """Text columns and scalars, one after another in each row. By default nulls are nothing; "emit_null" makes the row null."""
    return pc.binary_join_element_wise(*parts, NOTHING, null_handling=null_handling)


def octets(column: pa.Array) -> memoryview:
    """The text of all rows, one after another, without a copy."""
    _, offsets, data = column.buffers()
    if data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return memoryview(data)[ends[0] : ends[-1]]
