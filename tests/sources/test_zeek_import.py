"""Logs of Zeek as files: both formats, packed or not, whole directories, and what is wrong with some of their lines."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import SourceError
from headwater.records.log_columns import zeek_type
from headwater.records.zeek_types import LOGS
from headwater.sources import log_lines
from headwater.sources.log_lines import Notes, pieces
from headwater.sources.zeek import Imported, is_live, log_of, tables
from headwater.sources.zeek_json import JsonLog, _Log
from headwater.sources.zeek_tsv import FIELDS_MAX, PATHS_MAX

HEAD = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
CONN = HEAD + "#path\tconn\n#open\t2024-01-01-00-00-00\n#fields\tts\tuid\tid.orig_h\torig_bytes\n#types\ttime\tstring\taddr\tcount\n"
ROW = {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "orig_bytes": 7}
LINE = json.dumps(ROW).encode() + b"\n"


class Read:
    """A log as it came in: rows, and what was said and skipped."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.parts: list[Imported] = list(tables(path, self.told.append))
        self.skipped: dict[str, int] = {}
        for one in self.parts:
            for reason, number in one.skipped.items():
                self.skipped[reason] = self.skipped.get(reason, 0) + number

    def rows(self, name: str = "") -> list[dict[str, Any]]:
        return [row for one in self.parts if name in {"", one.name} for row in one.table.to_pylist()]

    def column(self, column: str, name: str = "") -> list[Any]:
        return [row.get(column) for row in self.rows(name)]


def read(folder: Path, text: str | bytes, name: str = "conn.log") -> Read:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Read(path)


# -- TSV ----------------------------------------------------------------------------------------------------------------------------


def test_a_tsv_log_has_the_types_of_its_header(tmp_path: Path) -> None:
    got = read(tmp_path, CONN + "1.5\tC1\t10.0.0.1\t7\n2.5\tC2\t::1\t-\n#close\t2024-01-01-01-00-00\n")
    (one,) = got.parts
    assert one.name == "conn" and [zeek_type(column) for column in one.table.schema] == ["time", "string", "addr", "count"]
    assert one.table.schema.metadata == {b"path": b"conn", b"system": b"zeek"}
    assert got.column("uid") == ["C1", "C2"] and got.column("orig_bytes") == [7, None] and not got.told


def test_lines_that_are_wrong_are_said_counted_and_cost_no_other(tmp_path: Path) -> None:
    got = read(
        tmp_path,
        CONN
        + "1.0\tC1\t10.0.0.1\t1\n1.0\tC2\t10.0.0.1\n1.0\tC3\t10.0.0.1\t3\t3\n\n1.0\tC4\tnowhere\tlots\n1.0\tC5\t10.0.0.1\t5\n1.0\tC6\t10.",
    )
    assert got.column("uid") == ["C1", "C5"]
    assert got.skipped == {"fields": 3, "value": 1, "cut": 1}
    path = tmp_path / "conn.log"
    assert got.told[:3] == [
        f"{path}:{line}: {count} fields where the header has 4: left out" for line, count in ((10, 3), (11, 5), (12, 1))
    ]
    assert f"{path}:13: id.orig_h is no addr: left out" in got.told and f"{path}:15: the last line is cut off: left out" in got.told


def test_the_header_may_change_within_a_file(tmp_path: Path) -> None:
    other = HEAD + "#path\tdns\n#fields\tts\tquery\n#types\ttime\tstring\n"
    got = read(tmp_path, CONN + "1.0\tC1\t10.0.0.1\t1\n#close\tx\n" + CONN + "1.0\tC2\t10.0.0.1\t1\n" + other + "2.0\tq\n3.0\tr\n")
    assert [(one.name, one.table.num_rows) for one in got.parts] == [("conn", 1), ("conn", 1), ("dns", 2)] and not got.told
    assert got.column("query", "dns") == ["q", "r"]
    got = read(tmp_path, CONN + "1.0\tC1\t10.0.0.1\t1\n#fields\tuid\tx\n#types\tstring\tport\nC2\t5\n")
    assert got.column("uid") == ["C1", "C2"] and got.column("x") == [None, 5] and not got.told


def test_other_separators_and_marks(tmp_path: Path) -> None:
    head = "#separator \\x7c\n#set_separator|;\n#empty_field|EMPTY\n#unset_field|NULL\n#path|own\n#fields|a|b|c\n"
    head += "#types|string|set[count]|string\n"
    got = read(tmp_path, head + "x\ty|1;2|EMPTY\nNULL|EMPTY|-\nNULL|NULL|\\x7c\n")
    assert got.rows() == [{"a": "x\ty", "b": [1, 2], "c": ""}, {"a": None, "b": [], "c": "-"}, {"a": None, "b": None, "c": "|"}]


def test_ends_of_lines_of_others(tmp_path: Path) -> None:
    assert read(tmp_path, CONN.replace("\n", "\r\n") + "1.0\tC\r1\t10.0.0.1\t1\r\n").column("uid") == ["C\r1"]


def test_a_type_that_nobody_knows_is_text(tmp_path: Path) -> None:
    got = read(tmp_path, HEAD + "#path\town\n#fields\ta\tb\n#types\topaque of md5\ttable[count]\nx\ty,z\n")
    assert got.rows() == [{"a": "x", "b": "y,z"}] and len(got.told) == 2 and "opaque of md5, which is not known" in got.told[0]


@pytest.mark.parametrize(
    "head",
    [
        "#fields\ta\tb\n#types\tcount\n",
        "#fields\ta\ta\n#types\tcount\tcount\n",
        "#fields\ta\n",
        "#types\tcount\tcount\n",
        "#fields\t" + "\t".join(map(str, range(FIELDS_MAX + 1))) + "\n#types" + "\tcount" * (FIELDS_MAX + 1) + "\n",
        "",
    ],
)
def test_rows_without_a_good_header_are_counted(head: str, tmp_path: Path) -> None:
    got = read(tmp_path, HEAD + "#path\town\n" + head + "1\t2\n3\t4\n")
    assert got.skipped == {"header": 2} and not got.rows() and got.told


def test_without_types_zeeks_own_are_taken(tmp_path: Path) -> None:
    got = read(tmp_path, CONN.replace("#types\ttime\tstring\taddr\tcount\n", "") + "1.0\tC1\t10.0.0.1\t1\n")
    assert [zeek_type(column) for column in got.parts[0].table.schema] == ["time", "string", "addr", "count"]


def test_a_path_that_is_no_name_is_not_taken(tmp_path: Path) -> None:
    got = read(tmp_path, CONN.replace("#path\tconn", "#path\t../../etc/x") + "1.0\tC1\t10.0.0.1\t1\n", "weird.log")
    assert got.parts[0].name == "weird"


# -- JSON ---------------------------------------------------------------------------------------------------------------------------


def test_json_has_the_types_of_zeeks_records(tmp_path: Path) -> None:
    got = read(tmp_path, LINE + b'{"ts":2.5,"uid":"C2","service":"dns","tunnel_parents":[],"local_orig":false}\n')
    (one,) = got.parts
    assert one.table.schema.names == [name for name in LOGS["conn"] if name in {*ROW, "service", "tunnel_parents", "local_orig"}]
    assert all(zeek_type(column) == LOGS["conn"][column.name] for column in one.table.schema)
    assert got.column("tunnel_parents") == [None, []] and got.column("orig_bytes") == [7, None]


def test_json_lines_that_are_wrong_cost_no_other(tmp_path: Path) -> None:
    wrong = [
        b'{"ts":1,"uid":7}',
        b'{"ts":1,"orig_bytes":-1}',
        b'{"ts":1,"orig_bytes":1.5}',
        b'{"ts":1,"id.orig_h":"x"}',
        b'{"ts":true}',
        b'{"ts":1',
        b"[1]",
        b"",
        b'{"ts":NaN}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"ts":' + b"9" * 10_000 + b"}",
    ]
    got = read(tmp_path, LINE + b"\n".join(wrong) + b"\n" + LINE)
    assert got.rows() == Read(tmp_path / "conn.log").rows() and got.column("uid") == ["C1", "C1"]
    assert sum(got.skipped.values()) == len(wrong) and set(got.skipped) == {"json", "value"}
    assert f"{tmp_path / 'conn.log'}:2: uid is no string: left out" in got.told


@pytest.mark.parametrize("line", [b'{"ts":1}{"ts":2}', b'{"ts":1,"uid":"a"} {"ts":2}', b"", b'{"ts":1,"ts":2}x'])
def test_a_line_is_one_object(line: bytes, tmp_path: Path) -> None:
    got = read(tmp_path, LINE + line + b"\n" + LINE)
    assert got.column("uid") == ["C1", "C1"] and got.skipped == {"json": 1} and f"{tmp_path / 'conn.log'}:2: " in got.told[0]


def test_arrow_and_the_lines_one_by_one_say_the_same(tmp_path: Path) -> None:
    """What one wrong line makes of the rest of its block."""
    lines = b"".join(
        json.dumps(
            {**ROW, "ts": 1e9 + number / 1e6, "duration": number / 7, "tunnel_parents": ["a", "b"][: number % 3], "local_orig": True}
        ).encode()
        + b"\n"
        for number in range(1000)
    )
    alone, beside = read(tmp_path, lines), read(tmp_path, lines + b"{\n")
    assert pa.Table.from_batches([one.table for one in alone.parts]).equals(
        pa.Table.from_batches([one.table for one in beside.parts]), check_metadata=True
    )
    assert not alone.skipped and beside.skipped == {"json": 1}


@settings(max_examples=100)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([*ROW, "local_orig", "duration", "tunnel_parents", "own"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda one: st.lists(one, max_size=3)
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_hostile_json_loses_only_itself(rows: list[dict[str, Any]]) -> None:
    """Each line alone gives what it gives beside others, but that fields have the type that came first."""
    text = [json.dumps(row).encode() + b"\n" for row in rows]
    notes = Notes("x", lambda _: None)
    together = sum(batch.num_rows for _, batch in JsonLog("conn", notes).read(1, b"".join(text)))
    assert together + sum(number for reason, number in notes.skipped.items() if reason != "beyond") == len(rows)


def test_fields_that_zeek_does_not_have_are_said_and_stay_as_they_came(tmp_path: Path) -> None:
    rows = [{"n": None, "l": [1, None]}, {"n": 1, "s": "x", "b": True}, {"n": 2.5, "o": {"a": [1]}, "m": [1, "x"], "e": []}, {"s": 1}]
    got = read(tmp_path, "".join(json.dumps({"ts": 1, **row}) + "\n" for row in rows))
    assert got.column("n") == [None, 1.0, 2.5] and got.column("s") == [None, "x", None] and got.column("b") == [None, True, None]
    assert got.column("l") == [[1.0, None], None, None] and got.column("o") == [None, None, '{"a":[1]}']
    assert got.column("m") == [None, None, '[1,"x"]'] and got.column("e") == [None, None, []]
    assert got.skipped == {"value": 1} and sum("is no field of Zeek's conn" in line for line in got.told) == 7
    own = read(tmp_path, '{"ts":1,"n":1}\n{"ts":2,"n":2}\n', "own.log")
    assert own.parts[0].name == "own" and own.column("n") == [1.0, 2.0] and not own.told


@pytest.mark.parametrize(
    ("ts", "then"),
    [
        (1389719042.004547, 1389719042_004547000),
        (1389719042004, 1389719042_004000000),
        ("2014-01-14T17:04:02.004547Z", 1389719042_004547000),
        (0, 0),
    ],
)
def test_times_as_zeeks_options_write_them(ts: float | str, then: int, tmp_path: Path) -> None:
    got = read(tmp_path, json.dumps({"ts": ts, "uid": "C1"}) + "\n" + json.dumps({"ts": ts}) + "\n")
    assert [one.table.column("ts").cast(pa.int64()).to_pylist() for one in got.parts] == [[then, then]] and not got.told


def test_rows_of_many_logs_in_one_file(tmp_path: Path) -> None:
    got = read(
        tmp_path, b'{"_path":"dns","ts":1,"query":"a"}\n{"_path":"conn","ts":2,"uid":"C"}\n{"_path": "dns","ts":3}\n{"ts":4}\n', "all.log"
    )
    assert got.column("query", "dns") == ["a", None] and got.column("uid", "conn") == ["C"] and len(got.rows("all")) == 1


def test_logs_in_one_file_are_bounded(tmp_path: Path) -> None:
    got = read(tmp_path, "".join(f'{{"_path":"p{number}","ts":1}}\n' for number in range(300)))
    assert len(got.parts) == PATHS_MAX and got.skipped == {"fields": 300 - PATHS_MAX}
    head = "#fields\ta\n#types\tcount\n1\n"
    got = read(tmp_path, HEAD + "".join(f"#path\tp{number}\n#fields\ta{number}\n{head}" for number in range(300)))
    assert len({one.name for one in got.parts}) == PATHS_MAX and got.skipped == {"header": 300 - PATHS_MAX}
    assert len(got.told) < 110


@pytest.mark.parametrize("depth", [60, 65, 500, 900, 990, 1100, 100_000])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("head", [b'{"ts":1,"uid":"C"}', b'{"timestamp":"2024-01-01T00:00:00Z","event_type":"x"}'])
def test_what_is_nested_too_deep_is_one_line(head: bytes, begin: bytes, end: bytes, depth: int, tmp_path: Path) -> None:
    deep = head[:-1] + b',"own":' + begin * depth + b"1" + end * depth + b"}"
    got = read(tmp_path, head + b"\n" + deep + b"\n" + head + b"\n")
    assert (len(got.rows()), got.skipped) == ((3, {}) if depth == 60 else (2, {"json": 1}))


def test_octets_of_json_that_are_no_utf8_survive(tmp_path: Path) -> None:
    got = read(tmp_path, b'{"ts":1,"uid":"caf\xe9"}\n{"ts":1,"uid":"\\ud800"}\n{"ts":1,"uid":"caf\\\\xe9"}\n')
    assert got.column("uid") == ["caf\\xe9", "\\xed\\xa0\\x80", "caf\\xe9"]


def test_the_last_object_may_lack_its_end_of_line(tmp_path: Path) -> None:
    assert read(tmp_path, LINE + LINE[:-1]).column("uid") == ["C1", "C1"]
    assert read(tmp_path, LINE + LINE[:-3]).skipped == {"cut": 1}
    assert read(tmp_path, LINE[:-1]).skipped == {"cut": 1}  # nobody said what it is


def test_too_many_fields_of_json(tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"ts": 1, f"f{number}": 1}).encode() + b"\n" for number in range(FIELDS_MAX + 50))
    got = read(tmp_path, lines, "own.log")
    assert got.skipped["fields"] + len(got.rows()) == FIELDS_MAX + 50 and got.skipped["fields"] >= 50
    assert _Log("own", Notes("x", print)).lines() <= 1 << 16


# -- files --------------------------------------------------------------------------------------------------------------------------


def packed(name: str, text: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(text[:20]) + gzip.compress(text[20:])
    return zstandard.ZstdCompressor().compress(text) if name.endswith(".zst") else text


@pytest.mark.parametrize("name", ["conn.log", "conn.00:00:00-01:00:00.log.gz", "conn.2024-01-01-00-00-00.log.zst"])
def test_packed_logs(name: str, tmp_path: Path) -> None:
    for text in (LINE * 1000, CONN.encode() + b"1.0\tC1\t10.0.0.1\t1\n" * 1000):
        assert read(tmp_path, packed(name, text), name).column("uid") == ["C1"] * 1000
    damaged = read(tmp_path, packed(name, LINE * 1000)[:-12] if "." in name[5:] and name != "conn.log" else LINE * 999 + LINE[:-5], name)
    assert len(damaged.rows()) <= 999 and damaged.skipped in ({"damaged": 1}, {"cut": 1}) and len(damaged.told) == 1


def test_names_say_what_is_in_them() -> None:
    for name, log in (
        ("conn.log", "conn"),
        ("conn.00:00:00-01:00:00.log.gz", "conn"),
        ("x509.log", "x509"),
        ("mqtt_connect.2024-01-01-00-00-00.log", "mqtt_connect"),
        ("conn-24-01-01_00.00.00.log", "conn"),
        ("conn_20240101_00:00:00-01:00:00+0000.log.gz", "conn"),
        ("smb_files.log.1", "smb_files"),
        ("..log", "log_"),
        ("1.log", "log_1"),
    ):
        assert log_of(name) == log, name
        assert is_live(name) == (name in {"conn.log", "x509.log", "log_.log"}), name


def test_a_directory_is_read_in_order(tmp_path: Path) -> None:
    for number, name in enumerate(
        [
            "2024-01-01/conn.22:00:00-23:00:00.log.gz",
            "2024-01-01/conn.23:00:00-00:00:00.log.gz",
            "2024-01-02/conn.00:00:00-01:00:00.log.gz",
            "conn.log",
        ]
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(packed(name, json.dumps({"ts": number, "uid": "C"}).encode() + b"\n"))
    (tmp_path / "dns.log").write_text('{"ts":9,"query":"q"}\n')
    (tmp_path / "stderr.log").write_text("listening on eth0\n")
    (tmp_path / "notes.txt").write_text("{}")
    os.mkfifo(tmp_path / "pipe.log")
    got = Read(tmp_path)
    assert [one.name for one in got.parts] == ["conn"] * 4 + ["dns"]
    assert [row["ts"].second for row in got.rows("conn")] == [0, 1, 2, 3]
    assert got.told == [
        f"{tmp_path}/stderr.log is no log of Zeek or Suricata: it begins neither with #separator nor with an object of JSON"
    ]


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.log", tmp_path):
        with pytest.raises(SourceError):
            list(tables(path, print))


def test_a_name_or_line_of_a_stranger_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    got = read(tmp_path, CONN.replace("uid", "u\x1b[31md") + "1\n", "conn\x1b]0;x.log")
    assert got.told and all(line.isprintable() and len(line) < 500 for line in got.told)
    assert read(tmp_path, '{"ts":1,"\\u001b[2J":1}\n{"ts":1,"\\u001b[2J":"x"}\n').told[0].isprintable()


def test_of_many_wrong_lines_few_are_told(tmp_path: Path) -> None:
    got = read(tmp_path, LINE + b"x\n" * 10_000)
    assert got.skipped == {"json": 10_000} and len(got.told) == 4
    got = read(tmp_path, HEAD + "#path\tx\n" + "#fields\ta\n#types\tb\tc\n" * 1000)
    assert len(got.told) == 101 and got.told[-1].endswith("no more is said of this file")


# -- bounds -------------------------------------------------------------------------------------------------------------------------


def test_lines_that_are_too_long_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "BLOCK", 1 << 12)
    monkeypatch.setattr(log_lines, "LINE_MAX", 1 << 14)
    got = read(tmp_path, LINE + b'{"ts":1,"uid":"' + b"x" * (1 << 21) + b'"}\n' + LINE)
    assert got.column("uid") == ["C1", "C1"] and got.skipped == {"long": 1} and f"{tmp_path / 'conn.log'}:2: a line of more" in got.told[0]
    got = read(tmp_path, LINE + b'{"ts":' + b" " * (1 << 21))
    assert len(got.rows()) == 1 and got.skipped == {"long": 1}


def test_a_bomb_of_gzip_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "LINE_MAX", 1 << 20)
    monkeypatch.setattr(log_lines, "BLOCK", 1 << 18)
    seen = 0

    def watch(self: log_lines.Lines) -> Any:
        nonlocal seen
        seen = max(seen, len(self._pending))
        yield from whole(self)

    whole = log_lines.Lines._whole
    monkeypatch.setattr(log_lines.Lines, "_whole", watch)
    got = read(tmp_path, gzip.compress(LINE + b"0" * (64 << 20) + b"\n" + LINE), "conn.log.gz")
    assert got.column("uid") == ["C1", "C1"] and got.skipped == {"long": 1} and seen < 3 << 20


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = read(tmp_path, LINE + b"{}\n" * 200_000)
    assert max(one.table.num_rows for one in got.parts) == 1 << 16 and sum(one.table.num_rows for one in got.parts) == 200_001
    assert [piece.count(b"\n") for piece in pieces(b"a\n" * 10, 4)] == [4, 4, 2] and list(pieces(b"")) == []


@settings(max_examples=60)
@given(octets=st.binary(max_size=200), head=st.sampled_from([b"", CONN.encode(), LINE, b"#separator ", b"#fields\t"]))
def test_any_octets_are_rows_or_said(octets: bytes, head: bytes, tmp_path: Path) -> None:
    try:
        got = read(tmp_path, head + octets)
    except SourceError:
        return
    assert all(one.table.num_rows >= 0 and one.table.validate(full=True) is None for one in got.parts)
