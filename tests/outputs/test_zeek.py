"""Zeek's logs as Zeek writes them, and as readers of its logs read them."""

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import reading_back
from headwater._native import ffi, lib
from parsezeeklogs import read_zeek
from places import CORPORA
from rows_made import INTERFACES, TCP, conns, uid_number, uid_text

from headwater.outputs import files, sinks
from headwater.outputs.files import Files
from headwater.outputs.sinks.zeek import escape, seconds
from headwater.outputs.sinks.zeek_json import doubles
from headwater.outputs.zeek_logs import LOGS
from headwater.records import CONN, LEDGER, PACKET, WEIRD, Batch
from headwater.records.layouts import HAS
from headwater.records.schema import Column, Kind, Record
from headwater.records.zeek_types import ALWAYS as ZEEKS

FORMATS = {name: sinks.form_of(name) for name in sinks.FORMATS}
ALWAYS = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto conn_state missed_bytes orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes".split()
)
ALWAYS += ["ip_proto", "community_id"]
BARE = {name: TCP[name] for name in ALWAYS}


def encoded(name: str, batch: Batch, extra: bool = False) -> list[str]:
    form = FORMATS[name](batch.record, extra)
    text = b"".join(bytes(part) for part in form.encode([batch], 0)).decode()
    assert text.endswith("\n")
    return text.split("\n")[:-1]


def rows_of(name: str, batch: Batch, extra: bool = False) -> list[dict[str, str]]:
    """Lines of tabs as fields by their names in the header."""
    head = bytes(FORMATS[name](batch.record, extra).head()).decode().splitlines()
    names = head[-2].split("\t")[1:]
    return [dict(zip(names, line.split("\t"), strict=True)) for line in encoded(name, batch, extra)]


# -- whole files --------------------------------------------------------------------------------------------------------------


def test_a_file_has_zeeks_header_and_is_closed(tmp_path: Path) -> None:
    with Files(FORMATS["zeek"], tmp_path, at_once=[CONN]) as sink:
        sink.send([conns([TCP, BARE])])
    assert [path.name for path in tmp_path.iterdir()] == ["conn.log"]
    lines = (tmp_path / "conn.log").read_text().split("\n")
    assert lines[:5] == ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn"]
    assert lines[6] == "#fields\t" + "\t".join(LOGS["conn"]) and lines[7] == "#types\t" + "\t".join(LOGS["conn"].values())
    assert len(lines) == 12 and lines[-1] == ""
    for line, word in ((lines[5], "#open\t"), (lines[-2], "#close\t")):
        assert abs(time.mktime(time.strptime(line.removeprefix(word), "%Y-%m-%d-%H-%M-%S")) - time.time()) < 60


@pytest.mark.parametrize("name", ["zeek", "zeek-json"])
def test_a_run_without_rows_leaves_a_file_that_says_so(name: str, tmp_path: Path) -> None:
    with Files(FORMATS[name], tmp_path, at_once=[CONN]):
        pass
    assert reading_back.count(tmp_path / "conn.log") == 0
    assert (tmp_path / "conn.log").read_text().startswith("#separator") == (name == "zeek")


def test_the_last_line_has_room_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A disk of 100,000 octets, in which nothing is written that was not reserved."""

        reserved = 0

        def hw_reserve(self, fd: int, at: int, size: int) -> int:
            if at + size > 100_000:
                ffi.errno = 28
                return -1
            self.reserved = max(self.reserved, at + size)
            return int(lib.hw_reserve(fd, at, size))

    disk = Full()
    monkeypatch.setattr(files, "lib", disk)
    with Files(FORMATS["zeek"], tmp_path) as sink:
        lost = sum(sink.send([conns([TCP] * 100)]).dropped.values()) + sum(sink.send([conns([TCP] * 900)]).dropped.values())
    text = (tmp_path / "conn.log").read_text()
    assert re.search(r"\n#close\t[\d-]{19}\n$", text)
    assert len(text) <= disk.reserved <= 100_000 and 0 < reading_back.count(tmp_path / "conn.log") == 1000 - lost


# -- values -------------------------------------------------------------------------------------------------------------------


def test_a_row_is_zeeks_line() -> None:
    line, bare = encoded("zeek", conns([TCP, BARE]))
    uid, parent, community = uid_text(uid_number(TCP["uid"])), uid_text(uid_number(TCP["tunnel_parents"][0])), TCP["community_id"]
    assert line.split() == (
        f"1750000000.250000 {uid} 10.0.0.1 40000 2001:db8::7 443 tcp - 2.500000 5000 1099511627776 SF T F 0 ShADadFf 12 6000 9 "
        f"1099511628136 {parent} 6 {community} 7 4095 02:00:00:00:00:01 02:00:00:00:00:02"
    ).split(" ")
    assert bare.split("\t") == (
        f"1750000000.250000 {uid} 10.0.0.1 40000 2001:db8::7 443 tcp - - - - SF - - 0 - 12 6000 9 1099511628136 - 6 {community} - - - -"
    ).split(" ")


def test_json_has_what_is_set_under_zeeks_keys() -> None:
    lines = encoded("zeek-json", conns([TCP, BARE]))
    expected = {**TCP, "uid": uid_text(uid_number(TCP["uid"])), "tunnel_parents": [uid_text(uid_number(TCP["tunnel_parents"][0]))]}
    assert list(json.loads(lines[0]).items()) == [(name, expected[name]) for name in LOGS["conn"] if name in expected]
    assert list(json.loads(lines[1]).items()) == [(name, expected[name]) for name in LOGS["conn"] if name in BARE]


MICROSECONDS = {
    0: ("0.000000", "0.0"),
    1: ("0.000001", "0.000001"),
    999_999: ("0.999999", "0.999999"),
    1_000_000: ("1.000000", "1.0"),
    5_391_660: ("5.391660", "5.39166"),
    86_400_000_000_000: ("86400000.000000", "86400000.0"),
    1_389_719_042_004_547: ("1389719042.004547", "1389719042.004547"),
    1_389_719_053_187_820: ("1389719053.187820", "1389719053.18782"),
    4_102_444_799_999_999: ("4102444799.999999", "4102444799.999999"),
}


def test_times_and_intervals_are_seconds() -> None:
    values = pa.array([*MICROSECONDS, None])
    assert seconds(values).to_pylist() == [*(text for text, _ in MICROSECONDS.values()), None]
    assert doubles(values).to_pylist() == [*(text for _, text in MICROSECONDS.values()), None]
    for number, (text, short) in MICROSECONDS.items():  # as printf and as any reader of JSON have it
        assert text == f"{number / 1e6:.6f}" and float(short) == number / 1e6
    assert seconds(pa.array([], pa.int64())).to_pylist() == doubles(pa.array([], pa.int64())).to_pylist() == []


@pytest.mark.parametrize(
    ("begin", "nanoseconds", "ts", "duration"),
    [  # of captures with nanoseconds, as Zeek logged them (../shared/corpora: vntag, ldap__ldap_escaping_test)
        (1342606813_729856830, 240, "1342606813.729856", "0.000001"),
        (1727444552_946162628, 785_112, "1727444552.946162", "0.000785"),
        (1727444552_946162999, 999, "1727444552.946162", "0.000001"),
        (1727444552_946162000, 999, "1727444552.946162", "0.000000"),
        (1727444552_999999999, 1, "1727444552.999999", "0.000001"),
        (1, 10**17, "0.000000", "100000000.000000"),
    ],
)
def test_what_is_below_a_microsecond_is_cut_off_as_libpcap_does(begin: int, nanoseconds: int, ts: str, duration: str) -> None:
    batch = conns([TCP])
    batch.rows["ts"], batch.rows["duration"] = begin, nanoseconds
    (row,) = rows_of("zeek", batch)
    assert (row["ts"], row["duration"]) == (ts, duration)
    (line,) = encoded("zeek-json", batch)
    assert json.loads(line)["ts"] == float(ts) and json.loads(line)["duration"] == float(duration)


def test_ts_is_there_in_any_case() -> None:
    """As in Zeek's logs of captures that begin at 0."""
    batch = conns([TCP, TCP])
    batch.rows["ts"][0] = 0
    assert [(row["ts"], row["duration"]) for row in rows_of("zeek", batch)] == [("0.000000", "2.500000"), ("1750000000.250000", "2.500000")]
    assert [json.loads(line)["ts"] for line in encoded("zeek-json", batch)] == [0.0, TCP["ts"]]


# Text as it came, and as it stands in a field.
ESCAPED = {
    "-": "\\x2d",
    "(empty)": "\\x28empty)",
    "": "(empty)",
    "--": "--",
    "a\tb": "a\\x09b",
    "a\nb\r": "a\\x0ab\\x0d",
    "a\\x09b": "a\\\\x09b",
    "\\": "\\\\",
    "\x00\x1b[2J\x7f": "\\x00\\x1b[2J\\x7f",
    "#close": "#close",
    "a,b c": "a,b c",
    "naïve ☃ 𝄞": "naïve ☃ 𝄞",
    "\u202etxt\x9b\u2028": "\\xe2\\x80\\xaetxt\\xc2\\x9b\\xe2\\x80\\xa8",
}


def test_text_is_escaped_as_zeek_does() -> None:
    assert escape(pa.array([*ESCAPED, None])).to_pylist() == [*ESCAPED.values(), None]
    for text, field in ESCAPED.items():  # one by itself is not looked at for what others have
        assert escape(pa.array([text])).to_pylist() == [field]


def test_hostile_names_keep_within_their_field() -> None:
    texts = [text for text in ESCAPED if text]
    batch = conns([TCP] * len(texts))
    batch.rows["interface"] = np.arange(len(texts)) + 10
    batch = Batch(CONN, batch.rows, dict(enumerate(texts, 10)))
    assert [row["interface"] for row in rows_of("zeek", batch, extra=True)] == [ESCAPED[text] for text in texts]
    lines = encoded("zeek-json", batch, extra=True)
    assert [json.loads(line)["interface"] for line in lines] == texts
    assert all(ord(c) >= 0x20 and c not in "\x7f\x9b\u202e\u2028" for line in lines for c in line)


def test_sets_and_services_are_written_where_a_record_has_them() -> None:
    names = ("uid", "service", "tunnel_parents")
    columns = (Column("ts", Kind.TIME, "time"), *(Column(name, Kind.TEXT, "text") for name in names))
    record = Record("conn", columns, np.dtype([("ts", "<u8"), *((name, "O") for name in names)]))
    batch = Batch(record, np.array([(10**9, "Ca", "http,ssl", "Cb,Cc"), (10**9, "Cd", "", ""), (10**9, "Ce", "dns", "Cf")], record.dtype))
    found = [(row["service"], row["tunnel_parents"]) for row in rows_of("zeek", batch)]
    assert found == [("http,ssl", "Cb,Cc"), ("-", "-"), ("dns", "Cf")]
    found = [(row.get("service"), row.get("tunnel_parents")) for row in map(json.loads, encoded("zeek-json", batch))]
    assert found == [("http,ssl", ["Cb", "Cc"]), (None, None), ("dns", ["Cf"])]


def test_our_own_columns_come_behind_zeeks_if_asked_for() -> None:
    head = bytes(FORMATS["zeek"](CONN, True).head()).decode().splitlines()
    ours = [column.name for column in CONN.columns if column.name not in LOGS["conn"]]
    assert head[-2] == "\t".join(["#fields", *LOGS["conn"], *ours])
    types = dict(zip(ours, head[-1].split("\t")[1 + len(LOGS["conn"]) :], strict=True))
    assert head[-1].split("\t")[1 : 1 + len(LOGS["conn"])] == list(LOGS["conn"].values())
    some = {"interface": "string", "end_reason": "enum", "progress": "time", "orig_rtt": "interval", "resp_retransmits": "count"}
    assert {name: types[name] for name in some} == some
    assert rows_of("zeek", conns([TCP]), extra=True)[0]["interface"] == "eth0"
    (line,) = encoded("zeek-json", conns([TCP]), extra=True)
    assert [name for name in json.loads(line) if name not in LOGS["conn"]] == [name for name in ours if name in json.loads(line)] != []


# -- weird --------------------------------------------------------------------------------------------------------------------


def test_weirds_are_zeeks_weird_log() -> None:
    rows = np.zeros(4, WEIRD.dtype)
    rows["ts"], rows["count"], rows["interface"] = 10**18, 1, 2
    rows["name"] = next(number for number, text in (WEIRD.column("name").names or {}).items() if text == "truncated_IP")
    rows["has"][:3] = np.array([0, HAS["addr"], HAS["addr"] | HAS["ports"]]) | HAS["interface"]  # the last one counts others
    rows["src"] = np.void(bytes(15) + b"\1")
    rows["dst"] = np.void(bytes(10) + b"\xff\xff\x0a\0\0\1")
    rows["sport"], rows["dport"] = 1234, 53
    batch = Batch(WEIRD, rows, INTERFACES)
    addresses = [["-"] * 4, ["::1", "0", "10.0.0.1", "0"], ["::1", "0", "10.0.0.1", "0"]]  # ports are of flows
    rest = ["truncated_IP", "-", "F", "headwater", "-"]
    assert [line.split("\t") for line in encoded("zeek", batch)] == [["1000000000.000000", "-", *four, *rest] for four in addresses]
    plain = {"ts": 1e9, "name": "truncated_IP", "notice": False, "peer": "headwater"}
    ids = [{}, {"id.orig_h": "::1", "id.orig_p": 0, "id.resp_h": "10.0.0.1", "id.resp_p": 0}]
    ids.append(ids[1])
    assert [json.loads(line) for line in encoded("zeek-json", batch)] == [plain | each for each in ids]
    rows["source"] = "IP"  # which tells before addresses are known
    assert [json.loads(line) for line in encoded("zeek-json", batch)] == [{**plain, "source": "IP"}] * 3


def test_the_weird_of_a_flow_has_its_uid_and_its_ends() -> None:
    """Whoever sent the packet, but for the name that says itself who was taken for the originator."""
    names = {text: number for number, text in (WEIRD.column("name").names or {}).items()}
    rows = np.zeros(3, WEIRD.dtype)
    rows["ts"], rows["count"], rows["interface"], rows["uid"] = 10**18, 1, 2, np.void(b"\1" + bytes(11))
    rows["name"] = [names[text] for text in ("SYN_seq_jump", "SYN_seq_jump", "connection_originator_SYN_ack")]
    rows["has"] = HAS["addr"] | HAS["ports"] | WEIRD.column("uid").needs
    rows["is_orig"] = [1, 0, 0]
    rows["src"], rows["sport"] = np.void(bytes(15) + b"\1"), 1000
    rows["dst"], rows["dport"] = np.void(bytes(15) + b"\2"), 53
    there, back = ["C1", "::1", "1000", "::2", "53"], ["C1", "::2", "53", "::1", "1000"]
    batch = Batch(WEIRD, rows, INTERFACES)
    assert [line.split("\t")[1:6] for line in encoded("zeek", batch)] == [there, back, there]
    ids = ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"]
    assert [[str(json.loads(line)[key]) for key in ids] for line in encoded("zeek-json", batch)] == [there, back, there]


@pytest.mark.parametrize("name", ["zeek", "zeek-json"])
def test_only_zeeks_logs_are_written(name: str) -> None:
    records = FORMATS[name].records
    assert records
    assert {"conn", "tunnel", "weird", "dns"} <= records <= {"conn_long", *ZEEKS}
    assert not {PACKET.name, LEDGER.name} & records


# -- others' logs and others' readers -------------------------------------------------------------------------------------------


def logged() -> list[dict[str, Any]]:
    """What Zeek itself has in its logs, apart from what the record has no place for."""
    lines = [line for path in sorted(CORPORA.glob("zeek/*/conn.log")) for line in path.read_text().splitlines()]
    found = [json.loads(line) for line in lines]
    for row in found:
        row.pop("service", None)
        row["uid"] = uid_text(uid_number(row["uid"]))
        if "tunnel_parents" in row:
            row["tunnel_parents"] = [uid_text(uid_number(parent)) for parent in row["tunnel_parents"]]
    return found


def field(kind: str, value: Any) -> str:
    """A value as Zeek's ASCII writer has it."""
    match kind:
        case _ if value is None:
            return "-"
        case "time" | "interval":
            return f"{value:.6f}"
        case "bool":
            return "T" if value else "F"
        case "set[string]":
            return ",".join(value)
    return str(value)


@pytest.mark.corpora
def test_zeeks_own_logs_come_out_as_they_went_in() -> None:
    """Octet by octet, but for the noise of doubles in Zeek's JSON: a duration of 9.99 ms is 0.009989023208618164 there."""
    zeeks = logged()
    assert len(zeeks) > 3000
    batch = conns(zeeks)
    assert encoded("zeek", batch) == ["\t".join(field(kind, row.get(name)) for name, kind in LOGS["conn"].items()) for row in zeeks]
    for line, row in zip(encoded("zeek-json", batch), zeeks, strict=True):
        if "duration" in row:
            row["duration"] = round(row["duration"], 6)
        found = json.loads(line)
        assert found == row
        if row.get("duration", 1) >= 0.0001:  # where Python has no exponent yet
            assert line == json.dumps(row, separators=(",", ":"))


def test_a_reader_of_tables_reads_the_rows(tmp_path: Path) -> None:
    with Files(FORMATS["zeek"], tmp_path) as sink:
        sink.send([conns([TCP, BARE])])
    path = tmp_path / "conn.log"
    names = path.read_text().splitlines()[6].split("\t")[1:]
    table = pd.read_csv(path, sep="\t", comment="#", names=names, na_values="-", keep_default_na=False)
    assert table["ts"].tolist() == [TCP["ts"]] * 2 and table["resp_bytes"].tolist()[0] == TCP["resp_bytes"]
    assert table["id.resp_h"].tolist() == [TCP["id.resp_h"]] * 2 and table["local_orig"].tolist()[0] == "T"
    assert table.isna().sum().to_dict() == {name: 2 * (name not in TCP) + (name in TCP and name not in BARE) for name in names}


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["zeek", "zeek-json"])
def test_a_reader_of_zeeks_logs_finds_what_zeek_logged(name: str, tmp_path: Path) -> None:
    zeeks = logged()
    with Files(FORMATS[name], tmp_path) as sink:
        sink.send([conns(zeeks)])
    found = [{key: value for key, value in row.items() if value is not None} for row in read_zeek(tmp_path / "conn.log")]
    for row in zeeks:
        if "duration" in row:
            row["duration"] = round(row["duration"], 6)
    assert found == zeeks
