"""Rows through the real spool and the real engine, and asked back: whatever a record or a log can hold comes back equal."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import reading_back
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from storing import LARGE, back, running, until_taken

from headwater.apps.outlets import RECORDS
from headwater.outputs.spool import Spool
from headwater.records import LEDGER, Batch, Record
from headwater.records.log_columns import ARROW
from headwater.records.schema import Kind
from headwater.records.stored import EMPTY, NAME, to_stored
from headwater.store.client import Client

ROWS = 12
TIME = pa.timestamp("ns", "UTC")
INTEGERS = [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.int8(), pa.int16(), pa.int32(), pa.int64()]
PLAIN = [*INTEGERS, pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(), TIME, ARROW["address"]]
TYPES = [*PLAIN, NAME, *map(pa.list_, PLAIN)]
"""Each that a column may have (store/tables.py)."""

numbers = count()
# A failure is told as it is found: an example takes a second, and thousands of smaller ones an hour.
QUICKLY = settings(suppress_health_check=list(HealthCheck), phases=[Phase.generate])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("store")) as asking:
        yield asking


def octets(size: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from([bytes(size), b"\xff" * size]) | st.binary(min_size=size, max_size=size)


def whole(bits: int, signed: bool) -> st.SearchStrategy[int]:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.sampled_from([least, most, 0]) | st.integers(least, most)


ADDRESSES = octets(16) | octets(4).map(lambda four: bytes(10) + b"\xff\xff" + four)
MARKS = [b"", b"\0", b"a\0b", b"\xff\xfe", b"\xc3", b"\xed\xb2\x80", b"NULL", b"\\N", b"-", b"(empty)", b"x" * 70_000]
TEXTS = st.sampled_from(MARKS) | st.binary(max_size=9) | st.text(max_size=9).map(lambda text: text.encode())
DOUBLES = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]) | st.floats()


def one_of(of: pa.DataType) -> st.SearchStrategy[Any]:
    if of in INTEGERS:
        return whole(of.bit_width, pa.types.is_signed_integer(of))
    if of == TIME:
        return whole(64, signed=True)
    if pa.types.is_fixed_size_binary(of):
        return ADDRESSES
    if pa.types.is_boolean(of):
        return st.booleans()
    if pa.types.is_floating(of):
        return DOUBLES if of.bit_width == 64 else st.floats(width=32)
    if pa.types.is_list(of):
        return st.lists(st.none() | one_of(of.value_type), max_size=3)
    return TEXTS


def array(of: pa.DataType, given: Sequence[Any]) -> pa.Array:
    """Of whole numbers and octets; texts need be no UTF-8."""
    if pa.types.is_list(of):
        starts = np.cumsum([0, *(len(one or ()) for one in given)]).tolist()
        offsets = [None if one is None else start for one, start in zip([*given, ()], starts, strict=True)]
        inner = array(of.value_type, [element for one in given for element in one or ()])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)
    if pa.types.is_dictionary(of):
        return array(of.value_type, given).dictionary_encode()
    return pa.array(given, bare(of)).view(of)


def bare(of: pa.DataType) -> pa.DataType:
    """A type of the same octets that Python can hold all values of."""
    return {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), TIME: pa.int64()}.get(of, of)


def told(column: pa.Array) -> list[str]:
    """Each value, so that NaN equals itself and -0.0 is not 0.0."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type):
        inner = iter(told(column.flatten()))
        return [repr(length if length is None else [next(inner) for _ in range(length)]) for length in column.value_lengths().to_pylist()]
    return [repr(value) for value in column.view(bare(column.type)).to_pylist()]


def asked_back(client: Client, name: str, rows: pa.RecordBatch) -> pa.Table:
    """The same rows, in the same order."""
    assert client.place
    number = next(numbers)
    for column, marks in (("of_batch", [number] * len(rows)), ("of_row", range(len(rows)))):
        rows = rows.append_column(column, pa.array(marks, pa.uint32()))
    with Spool(client.place.spool, LARGE) as spool:
        spool.encode(name, rows)
        spool.write()
        sent = until_taken(spool)
    assert (sent.acked, sent.dropped) == (len(rows), {})
    found = client.table(f"SELECT * EXCEPT (ingested, of_batch, of_row) FROM {name} WHERE of_batch = {number} ORDER BY of_row")
    return found.combine_chunks()


@st.composite
def tables(draw: st.DrawFn) -> pa.RecordBatch:
    rows = draw(st.integers(1, ROWS))
    times = draw(st.lists(st.none() | whole(64, signed=True), min_size=1, max_size=3))  # a file and an insert each, if of other days
    columns = {"ts": array(TIME, draw(st.lists(st.sampled_from(times), min_size=rows, max_size=rows)))}
    for of in TYPES:
        columns[str(of)] = array(of, draw(st.lists(st.none() | one_of(of), min_size=rows, max_size=rows)))
    schema = pa.schema([pa.field(f"c{place}" if place else "ts", one.type) for place, one in enumerate(columns.values())])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


@settings(QUICKLY, max_examples=15)
@given(tables())
def test_every_type_comes_back_equal(client: Client, rows: pa.RecordBatch) -> None:
    compare(asked_back(client, "every", rows), rows)


def compare(found: pa.Table, rows: pa.RecordBatch) -> None:
    """Column by column, to the last bit."""
    said = found.column(EMPTY).to_pylist() if EMPTY in found.schema.names else [""] * len(rows)
    empty = [set((one or "").split(",")) for one in said]
    for field, column in zip(rows.schema, rows.columns, strict=True):
        wanted = told(column)
        if field.name == "ts":
            wanted = ["0" if value == "None" else value for value in wanted]  # 1970 is what a table has that is sorted by it
        got = told(found.column(field.name).chunk(0))
        if pa.types.is_list(field.type):
            got = ["None" if value == "[]" and field.name not in names else value for value, names in zip(got, empty, strict=True)]
        assert got == wanted, field


def told_of(rows: Iterable[dict[str, object]]) -> list[str]:
    """By name, as what is computed stands behind others; and NaN is itself."""
    return [repr(sorted(row.items())) for row in rows]


WORDS = st.text(st.characters(exclude_categories=()), max_size=9) | st.sampled_from(["", "\0", "NULL", "\udc80", "x" * 70_000])


def names_of_messages(record: Record) -> set[str]:
    return {column.name for column in record.columns if column.zeek}


def one_of_message(zeek: str) -> st.SearchStrategy[Any]:
    """A value as protocols make them."""
    if zeek.endswith("]"):
        return st.lists(one_of_message(zeek.partition("[")[2][:-1]), max_size=3)
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "count": whole(64, signed=False),
        "int": whole(64, signed=True),
        "port": whole(16, signed=False),
        "bool": st.booleans(),
        "interval": st.floats(allow_nan=False, allow_infinity=False),
        "time": st.integers(0, 2**62),
        "addr": octets(16),
    }
    return kinds.get(zeek, st.text(st.characters(exclude_categories=("Cs",)), max_size=9))


@st.composite
def batches(draw: st.DrawFn, record: Record) -> Batch:
    """Rows of any octets and, where Python makes them, any text."""
    rows = draw(st.integers(1, ROWS))
    of = record.dtype
    made = np.zeros(rows, of)
    for column in record.columns:
        if column.zeek:
            values = draw(st.lists(st.none() | one_of_message(column.zeek), min_size=rows, max_size=rows))
            for place, value in enumerate(values):
                made[column.name][place] = value
    for name in (name for name in of.names or () if name not in names_of_messages(record)):
        if of[name].hasobject:
            made[name] = draw(st.lists(WORDS, min_size=rows, max_size=rows))
        else:
            size = of[name].itemsize
            made[name] = np.frombuffer(b"".join(draw(st.lists(octets(size), min_size=rows, max_size=rows))), of[name])
    for column in record.columns:
        if column.kind is Kind.LETTERS:  # C's own, which are ASCII
            made[column.name] = np.void(draw(st.sampled_from([b"", b"ShADadFf", b"x" * 40])).ljust(40, b"\0"))
    times = draw(st.lists(whole(64, signed=False), min_size=1, max_size=2))
    made["ts"] = draw(st.lists(st.sampled_from(times).map(lambda ts: ts or 1), min_size=rows, max_size=rows))
    return Batch(record, made, {0: "lo", 2**32 - 1: 'we"ird,\\ =if\n'})


@pytest.mark.parametrize("record", [*RECORDS.values(), LEDGER], ids=lambda record: record.name)
@settings(QUICKLY, max_examples=5)
@given(data=st.data())
def test_every_record_comes_back_equal(client: Client, record: Record, data: st.DataObject) -> None:
    batch = data.draw(batches(record))
    found = asked_back(client, record.name, to_stored(batch))
    if names_of_messages(record):
        compare(found, to_stored(batch))
        return
    assert told_of(back(found)) == told_of(reading_back.expected(batch))
