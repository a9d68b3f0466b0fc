"""Each format says what the rows say, to readers that are not ours."""

import csv
import io
import json
import os
import pkgutil
import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import reading_back
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_made import START, TCP, conns, ledger, packets, rates, servers

from headwater import config
from headwater.apps import cli
from headwater.outputs import files, sinks
from headwater.outputs.files import Files
from headwater.outputs.text import times
from headwater.records import PACKET, Batch

FORMATS = {name: sinks.form_of(name) for name in sinks.FORMATS}
OF_ANY_RECORD = [name for name, form in FORMATS.items() if form.records is None]
RECORDS = {
    "packet": packets(3000),
    "some packets without a time": packets(300),
    "rate": rates(50),
    "server": servers(50),
    "conn": conns([TCP, {name: value for name, value in TCP.items() if name not in ("duration", "local_orig", "vlan")}]),
    "ledger": ledger(["a", "", 'b,"c"', "d\\e\nf\x1b", "\udc80\u202e", "naïve ☃ 𝄞", "=1+1"]),
}


RECORDS["some packets without a time"].rows["ts"][::3] = 0


def test_every_file_of_the_folder_is_registered() -> None:
    registered = {form.__module__ for form in FORMATS.values()} | {kind.__module__ for kind in typing.get_args(sinks.AnySink)}
    assert {f"{sinks.__name__}.{module.name}" for module in pkgutil.iter_modules(sinks.__path__)} <= registered


def test_each_can_be_asked_for_by_its_name() -> None:
    assert [form.name for form in FORMATS.values()] == list(FORMATS) == cli.FORMATS == list(typing.get_args(config.Format))


def write(suffix: str, directory: Path, *batches: Batch) -> Path:
    with Files(FORMATS[suffix], directory) as sink:
        for batch in batches:
            assert not sink.send([batch]).dropped
        sent = sink.flush(last=True)
        assert not sent.dropped and not sent.problem
    return directory / f"{batches[0].record.name}.{suffix}"


@pytest.mark.parametrize("name", RECORDS)
def test_json_lines_hold_the_rows(name: str, tmp_path: Path) -> None:
    batch = RECORDS[name]
    rows = reading_back.jsonl(write("jsonl", tmp_path, batch))
    assert rows == [{key: value for key, value in row.items() if value is not None} for row in reading_back.expected(batch)]
    order = [column.name for column in batch.record.columns]
    assert all(list(row) == [name for name in order if name in row] for row in rows)


@pytest.mark.parametrize("name", RECORDS)
def test_csv_holds_the_rows(name: str, tmp_path: Path) -> None:
    batch = RECORDS[name]

    def cell(column: str, value: object) -> str:
        match value:
            case None:
                return ""
            case bool():
                return str(value).lower()
            case float():
                return f"{value:g}"
            case str() if value[:1] in ("=", "+", "-", "@", "\t", "\r") and column not in ("src", "dst"):
                return "'" + value
        return str(value)

    rows = reading_back.csv_rows(write("csv", tmp_path, batch))
    assert rows == [{name: cell(name, value) for name, value in row.items()} for row in reading_back.expected(batch)]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("name", RECORDS)
def test_columnar_files_hold_the_rows_and_their_types(suffix: str, name: str, tmp_path: Path) -> None:
    batch = RECORDS[name]
    halves = [Batch(batch.record, rows, batch.interfaces) for rows in np.array_split(batch.rows, 2)]
    table = reading_back.table(write(suffix, tmp_path, *halves))
    assert table.schema.equals(batch.to_arrow().schema)
    assert table.combine_chunks().equals(pa.Table.from_batches([batch.to_arrow()]))


def test_a_packet_without_a_time_is_not_of_1970(tmp_path: Path) -> None:
    batch = RECORDS["some packets without a time"]
    there = (batch.rows["ts"] != 0).tolist()
    assert [bool(row.get("ts")) for row in reading_back.jsonl(write("jsonl", tmp_path, batch))] == there
    assert [bool(row["ts"]) for row in reading_back.csv_rows(write("csv", tmp_path, batch))] == there
    assert reading_back.table(write("parquet", tmp_path, batch))["ts"].is_valid().to_pylist() == there
    assert "1970-01-01" not in (tmp_path / "packet.jsonl").read_text() + (tmp_path / "packet.csv").read_text()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_groups_written_at_different_times_are_one_file(suffix: str, tmp_path: Path) -> None:
    """Several row groups, whose places in the file the footer must know."""
    form = FORMATS[suffix]
    many = [packets(form.group_rows // 3, seed, START + seed * 10**15) for seed in range(8)]
    path = write(suffix, tmp_path, *many)
    table = reading_back.table(path)
    assert table.equals(pa.Table.from_batches([batch.to_arrow() for batch in many]))
    if suffix == "parquet":
        meta = reading_back.pq.read_metadata(path)
        assert meta.num_row_groups == 2
        assert meta.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(("longest_s", "groups"), [(600, 1), (0, 5)])
def test_few_rows_wait_for_others_but_not_for_ever(longest_s: float, groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates come a few a second: in a file of groups they would fill memory for days."""
    monkeypatch.setattr(files, "LONGEST_S", longest_s)
    path = write("parquet", tmp_path, *(rates(5) for _ in range(5)))
    assert (reading_back.count(path), reading_back.pq.read_metadata(path).num_row_groups) == (25, groups)


@pytest.mark.parametrize("suffix", OF_ANY_RECORD)
def test_a_run_without_rows_leaves_a_file_that_says_so(suffix: str, tmp_path: Path) -> None:
    with Files(FORMATS[suffix], tmp_path, at_once=[PACKET]):
        pass
    assert reading_back.count(tmp_path / f"packet.{suffix}") == 0


def test_times_are_right_to_the_nanosecond_from_1677_to_2262() -> None:
    ns = np.array([-(2**63) + 1, -1, 0, 1, 999_999_999, 10**9, START, 2**63 - 1, -(10**9), 951_782_399_999_999_999], np.int64)
    assert times(pa.array(ns).cast(pa.timestamp("ns", "UTC"))).to_pylist() == [reading_back.text_time(int(value)) for value in ns]
    assert len(times(pa.array([], pa.timestamp("ns", "UTC")))) == 0


# Each example holds a hundred strings: 10,000 of them through each encoder.
NASTY = st.text(
    st.one_of(st.characters(codec=None), st.sampled_from("\"\\,=+-@ \t\r\n\f\v\0\x1b\x7f\x85\u2028\u202e\ud800{}[]:;'`")), max_size=12
)
HUNDRED = st.lists(NASTY, min_size=100, max_size=100)


def as_utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@given(HUNDRED)
@settings(max_examples=100)
def test_any_text_comes_back_from_json(texts: list[str]) -> None:
    batch = ledger(texts)
    lines = encoded("jsonl", batch).split(b"\n")
    assert lines.pop() == b"" and len(lines) == len(texts)
    for line, text in zip(lines, texts, strict=True):
        row = json.loads(line)
        assert row.get("subject", "") == as_utf8(text)
        assert set(row) == {"ts", "interval_s", "ledger", "count"} | ({"subject", "term", "reason"} if text else set())
        shown = line.decode()
        assert shown.isprintable() or not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in shown)


@given(HUNDRED)
@settings(max_examples=100)
def test_any_text_comes_back_from_csv(texts: list[str]) -> None:
    batch = ledger(texts)
    rows = list(csv.reader(io.StringIO(encoded("csv", batch).decode(), newline=""), strict=True))
    assert len(rows) == len(texts)
    for row, text in zip(rows, map(as_utf8, texts), strict=True):
        assert len(row) == len(batch.record.columns)
        assert row[3] == row[4] == row[6] == ("'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text)


def encoded(suffix: str, batch: Batch) -> bytes:
    form = FORMATS[suffix](batch.record)
    return b"".join(bytes(part) for part in form.encode([batch], 0))


def test_standard_output_takes_one_record(capfd: pytest.CaptureFixture[str]) -> None:
    with Files(FORMATS["jsonl"], None, frozenset({"packet"})) as sink:
        sink.send([RECORDS["packet"]])
        assert sink.flush(last=True).acked == 3000
    out = capfd.readouterr().out
    assert len(out.splitlines()) == 3000
    os.fstat(1)  # is still open
