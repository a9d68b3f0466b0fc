"""Each of Zeek's types, from text and from JSON, and back."""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.outputs.text import HARMFUL
from headwater.outputs.zeek_tables import FORMATS
from headwater.records.address import packed, unpacked
from headwater.records.log_columns import ARROW, field, is_known, kinds, schema, zeek_type
from headwater.sources.log_values import from_text, from_values, iso_time, unescape
from headwater.sources.zeek import tables

MARKS = {"unset": b"-", "empty": b"(empty)", "separator": b","}
NS = st.integers(-(1 << 63), (1 << 63) - 1)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["-", "(empty)", "", "#a", "\\", "\\x41", "a,b", "\t\n"]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "addr": st.ip_addresses().map(lambda ip: packed(str(ip))),
    "subnet": st.ip_addresses(v=4).map(lambda ip: f"{ip}/24"),
    "time": NS,
    "interval": DOUBLE,
    "port": st.integers(0, 65535),
    "count": st.integers(0, (1 << 64) - 1),
    "int": NS,
    "double": DOUBLE,
    "bool": st.booleans(),
    "string": TEXT,
    "enum": st.sampled_from(["tcp", "Tunnel::VXLAN"]),
    "pattern": TEXT,
    "func": TEXT,
}


def cells(words: Iterable[str | bytes | None]) -> pa.Array:
    return pa.array([word.encode() if isinstance(word, str) else word for word in words], pa.binary())


def parsed(of: str, *words: str | bytes | None) -> tuple[list[Any], set[int]]:
    done = from_text(cells(words), field("x", of), **MARKS)
    values = done.values.cast(pa.int64()) if of == "time" else done.values
    return values.to_pylist(), set(done.bad)


def test_every_type_of_zeek_has_a_column_and_its_name_again() -> None:
    for of in VALUES:
        for spelled in (of, f"set[{of}]", f"vector[{of}]"):
            assert is_known(spelled) and zeek_type(field("x", spelled)) == spelled
            assert kinds(field("x", spelled))[0] in {*ARROW, "set", "vector"}
    assert not is_known("table[string]") and not is_known("other") and not is_known("set[file]")
    assert kinds(field("x", "opaque of md5")) == ("other", "")
    assert zeek_type(pa.field("x", pa.list_(pa.uint64()))) == "vector[count]" and zeek_type(pa.field("x", pa.binary(16))) == "addr"


@pytest.mark.parametrize(
    ("of", "good", "value"),
    [
        ("time", "1389719042.004547", 1389719042_004547000),
        ("time", "-1.5", -1_500_000_000),
        ("time", "0.0000000014", 1),
        ("interval", "0.000001", 1e-6),
        ("interval", "0.00024008750915527344", 0.00024008750915527344),
        ("count", "18446744073709551615", (1 << 64) - 1),
        ("int", "-9223372036854775808", -(1 << 63)),
        ("port", "65535", 65535),
        ("double", "1e-300", 1e-300),
        ("bool", "T", True),
        ("addr", "192.0.2.1", bytes.fromhex("00000000000000000000ffffc0000201")),
        ("addr", "fe80::1", bytes.fromhex("fe800000000000000000000000000001")),
        ("subnet", "2001:db8::/32", "2001:db8::/32"),
        ("string", r"a\x09b\\x", "a\tb\\x"),
        ("string", rb"\xc3\xa9 \xe9", "é \\xe9"),
        ("string", b"\xc3\xa9 \xe9", "é \\xe9"),
        ("string", r"\x2d", "-"),
        ("string", "(empty)", ""),
        ("set[string]", "(empty)", []),
        ("set[string]", r"a,-,(empty),b\x2cc", ["a", None, "", "b,c"]),
        ("vector[interval]", "1.500000,-", [1.5, None]),
        ("set[addr]", "10.0.0.1,::1", [packed("10.0.0.1"), packed("::1")]),
    ],
)
def test_text_is_read_alone_and_beside_what_is_wrong(of: str, good: str | bytes, value: Any) -> None:
    assert parsed(of, None, good) == ([None, value], set())
    if of not in {"string", "subnet", "set[string]"}:
        values, bad = parsed(of, good, "nonsense,nonsense", None, good)
        assert bad == {1} and [values[row] for row in (0, 2, 3)] == [value, None, value]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("count", ["-1", "1.0", "0x10", "", "1_0", " 1", "+1", "18446744073709551616", "1" * 40, "\u0661"]),
        ("port", ["65536", "-1"]),
        ("int", ["9223372036854775808", "1e3"]),
        ("time", ["", "now", "1e400", "nan", "inf"]),
        ("interval", ["", "1,5", "0x1p3"]),
        ("bool", ["t", "true", "1", ""]),
        ("addr", ["1.2.3", "1.2.3.4.5", "fe80::1%eth0", "::g", "", b"\xff"]),
    ],
)
def test_what_is_no_value_of_its_type_is_bad_and_nothing_else(of: str, words: list[str | bytes]) -> None:
    for word in words:
        assert parsed(of, word, None) == ([None, None], {0}), word


def test_what_json_has_is_of_its_type_or_bad() -> None:
    for of, good, wrong in (
        ("count", [0, (1 << 64) - 1], [-1, 1.0, True, "1", 1 << 64, [1]]),
        ("int", [-5], [1 << 63, 0.5, "x"]),
        ("port", [443], [65536, -1, True]),
        ("interval", [1, 0.5], ["0.5", True, 1 << 80]),
        ("bool", [True, False], [1, "T"]),
        ("string", ["", "x"], [1, [], {}]),
        ("addr", ["::1", "10.0.0.1"], ["x", 1]),
        ("vector[count]", [[], [1, None]], [[-1], ["1"], 1]),
        ("set[addr]", [["::1"], []], [["x"], [1]]),
        ("time", [1.5, 3], ["2024-01-01T00:00:00Z", True]),
    ):
        done = from_values([*good, None, *wrong], field("x", of), "seconds")
        assert set(done.bad) == set(range(len(good) + 1, len(good) + 1 + len(wrong))), of
        assert done.values.type == field("x", of).type


def test_times_beyond_64_bits_are_the_nearest_and_counted() -> None:
    far = [253402300799.0, -253402300799.0, 1e300, None, 1.0]
    for done in (
        from_values(far, field("x", "time"), "seconds"),
        from_text(cells(["253402300799.0", "-253402300799.0", "1e25", None, "1.0"]), field("x", "time"), **MARKS),
        from_values(
            ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z", None, "1970-01-01T00:00:01Z"],
            field("x", "time"),
            "text",
        ),
    ):
        assert done.values.cast(pa.int64()).to_pylist() == [(1 << 63) - 1, -(1 << 63), (1 << 63) - 1, None, 10**9]
        assert done.beyond == 3 and not done.bad


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_iso_times_are_pythons(moment: datetime, east: int) -> None:
    zone = f"{'-' if east < 0 else '+'}{abs(east) // 60:02d}{abs(east) % 60:02d}"
    want = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution) * 1000 - east * 60 * 10**9
    assert iso_time(f"{moment.isoformat(timespec='microseconds')}{zone}") == want
    assert iso_time(moment.isoformat(sep=" ", timespec="microseconds")) == want + east * 60 * 10**9


@pytest.mark.parametrize(
    "word", ["", "2024", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-02-30T00:00:00Z", "2024-01-01T00:00:00+1"]
)
def test_what_is_no_iso_time(word: str) -> None:
    with pytest.raises(ValueError):
        iso_time(word)


@given(st.binary(max_size=40))
def test_any_octets_can_be_unescaped(octets: bytes) -> None:
    unescape(octets).encode()


@given(st.binary(min_size=16, max_size=16))
def test_addresses_come_out_as_they_went_in(octets: bytes) -> None:
    assert packed(unpacked(octets)) == octets


def table_of(of: str, values: list[Any]) -> pa.RecordBatch:
    columns = schema({"ts": "time", "x": of}, "made", "zeek")
    storage = pa.int64() if of == "time" else columns.field("x").type
    if of in {"set[time]", "vector[time]"}:
        storage = pa.list_(pa.int64())
    arrays = [pa.array(range(len(values)), pa.int64()).cast(ARROW["time"]), pa.array(values, storage).cast(columns.field("x").type)]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def read_back(folder: Path, kind: str, table: pa.RecordBatch) -> pa.RecordBatch:
    form = FORMATS[kind](table.schema)
    path = folder / "made.log"
    path.write_bytes(form.head() + bytes(form.rows(table)) + form.end())
    told: list[str] = []
    (one,) = tables(path, told.append)
    assert not told and not one.skipped
    return one.table


def lossless(value: Any) -> bool:
    """TSV has no way to tell a list of one empty text from an empty list, nor one whose only element is unset from an unset one."""
    return value not in ([""], [None])


@settings(max_examples=30)
@given(st.data())
@pytest.mark.parametrize("of", list(VALUES))
def test_every_value_survives_tsv(of: str, tmp_path: Path, data: st.DataObject) -> None:
    one = VALUES[of]
    table = table_of(of, data.draw(st.lists(st.none() | one, min_size=1, max_size=8)))
    back = read_back(tmp_path, "zeek", table)
    assert back.equals(table, check_metadata=True)
    for kind in ("set", "vector"):
        lists = table_of(
            f"{kind}[{of}]", data.draw(st.lists(st.none() | st.lists(st.none() | one, max_size=4).filter(lossless), min_size=1, max_size=4))
        )
        assert read_back(tmp_path, "zeek", lists).equals(lists, check_metadata=True)


def json_value(of: str, value: Any) -> Any:
    if value is None or isinstance(value, list):
        return value and [json_value(of, each) for each in value]
    return {"addr": unpacked, "time": lambda ns: ns / 10**9}.get(of, lambda same: same)(value)


@settings(max_examples=30)
@given(st.data())
@pytest.mark.parametrize("of", list(VALUES))
def test_every_value_is_written_as_json_that_has_it(of: str, data: st.DataObject) -> None:
    one = VALUES[of]
    for spelled, values in (
        (of, data.draw(st.lists(st.none() | one, min_size=1, max_size=8))),
        (f"vector[{of}]", data.draw(st.lists(st.none() | st.lists(st.none() | one, max_size=4), min_size=1, max_size=4))),
    ):
        table = table_of(spelled, values)
        lines = bytes(FORMATS["zeek-json"](table.schema).rows(table)).decode().removesuffix("\n").split("\n")
        found = [json.loads(line) for line in lines]
        assert [row.get("x") for row in found] == [json_value(of, value) for value in values]
        assert all(("x" in row) == (value is not None) for row, value in zip(found, values, strict=True))
        assert not any(ord(letter) in HARMFUL for line in lines for letter in line)


@pytest.mark.parametrize("ns", [-9_007_199_254_740_992_001, (1 << 63) - 1, 1, 1_559_246_556_073_681_400, 10**18])
def test_times_of_json_are_the_nearest_double(ns: int) -> None:
    table = table_of("time", [ns])
    assert json.loads(bytes(FORMATS["zeek-json"](table.schema).rows(table)))["x"] == ns / 10**9


def test_json_has_no_infinity() -> None:
    table = table_of("double", [math.inf, math.nan, 1.0])
    assert [json.loads(line).get("x") for line in bytes(FORMATS["zeek-json"](table.schema).rows(table)).splitlines()] == [None, None, 1.0]


def test_octets_that_are_no_utf8_go_out_as_they_came(tmp_path: Path) -> None:
    words = [r"\xe9", r"caf\xc3\xa9\xff", r"\\x41", r"a\\b", "\\xf0\\x9f", r"\\\xc2\x80"]
    head = "#separator \\x09\n#path\tmade\n#fields\tts\tx\n#types\ttime\tstring\n"
    (tmp_path / "made.log").write_text(head + "".join(f"1.000000\t{word}\n" for word in words))
    (one,) = tables(tmp_path / "made.log", pytest.fail)
    assert one.table.column("x").to_pylist() == ["\\xe9", "café\\xff", "\\x41", "a\\b", "\\xf0\\x9f", "\\\x80"]
    out = bytes(FORMATS["zeek"](one.table.schema).rows(one.table)).decode().splitlines()
    assert [line.split("\t")[1] for line in out] == ["\\xe9", "café\\xff", "\\\\x41", "a\\\\b", "\\xf0\\x9f", r"\\\xc2\x80"]


def test_a_store_may_give_dictionaries_and_wider_numbers() -> None:
    columns = schema({"ts": "time", "proto": "enum", "p": "port"}, "made", "zeek")
    table = pa.RecordBatch.from_arrays(
        [pa.array([1], pa.timestamp("us", "UTC")), pa.array(["tcp"]).dictionary_encode(), pa.array([53], pa.int64())],
        schema=pa.schema(
            [
                pa.field("ts", pa.timestamp("us", "UTC"), metadata=columns.field(0).metadata),
                pa.field("proto", pa.dictionary(pa.int32(), pa.string()), metadata=columns.field(1).metadata),
                pa.field("p", pa.int64(), metadata=columns.field(2).metadata),
            ]
        ),
    )
    assert bytes(FORMATS["zeek"](columns).rows(table)) == b"0.000001\ttcp\t53\n"
    assert bytes(FORMATS["zeek-json"](columns).rows(table)) == b'{"ts":0.000001,"proto":"tcp","p":53}\n'
