"""Logs of Zeek come out of the store as they went in, and rows of our own, beside them, as they are written without it."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parsezeeklogs import read_zeek
from places import CORPORA
from storing import running

from headwater.analysis.protocols import MESSAGES
from headwater.outputs.zeek_tables import FORMATS
from headwater.sources.zeek import tables

OF_ZEEK = sorted((CORPORA / "zeek").glob("*/*.log"))
CAPTURES = [
    CORPORA / "zeek" / name / "trace.pcap"
    for name in (
        "tcp__reassembly",
        "tcp__truncated-header",
        "tunnels__ayiya3",
        "tunnels__gtp__gtp9_unknown_or_too_short_payload",
        "tunnels__teredo_bubble_with_payload",
        "tunnels__gre-within-gre",
        "modbus__modbusBig",
        "tunnels__geneve",
        "tcp__timestamp",
        "tunnels__vxlan-triple-v2",
    )
]
RECORDS = "conn conn_long tunnel weird packet server".split()
OURS = [word for record in RECORDS for word in ("--record", record)]
HEAD = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{}\n#open\t2024-01-01-00-00-00\n"
AWKWARD = {
    "x509": (
        "ts:time fingerprint:string san.dns:vector[string] san.uri:vector[string] san.ip:vector[addr] host_cert:bool ours:double",
        "1700000000.000001 a a.example,b.example - 10.0.0.1 T 0.1",
        "1700000000.000002 b - x,-,y 10.0.0.1,::1,fe80::1 F -1.5e-300",
        "1700000000.000003 - (empty) \\x2d,(empty) - - -",
    ),
    "made": (
        "ts:time some:set[port] nets:set[subnet] net:subnet took:interval each:vector[interval] when:time what:enum how:pattern n:int "
        "m:count words:set[string]",
        "1700000000.123456 1,65535 10.0.0.0/8,2001:db8::/32 ::/0 0.009989023208618164 0.1,-,1e-09 -1.000000 A::B /a|b/ "
        "-9223372036854775808 18446744073709551615 \\x2d,(empty),\\x2c",
        "1700000000.123457 (empty) - - 123456789.123456717 (empty) 4102444799.999999 \\x2d \\xe9\\xff -1 0 (empty)",
        "1700086400.000000 - (empty) 10.0.0.0/8 - - - (empty) - - - -",
    ),
    "conn": (
        "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum duration:interval "
        "tunnel_parents:set[string]",
        "1700000000.000001 Ca 10.0.0.1 1 10.0.0.2 2 tcp 0.009989023208618164 (empty)",
        "1700000000.000002 Cb fe80::1 1 fe80::2 65535 udp - Ca,Cc",
        "1700000000.000003 Cc 10.0.0.1 0 10.0.0.2 0 icmp 0.000000 -",
    ),
}
"""Fields with their types, and rows, of logs that are awkward to keep; what Zeek never has a field for is `made`."""
ODD = (
    '{"ts":1.0,"own":1.0,"one":"A"}',
    '{"ts":2.0,"own":"text","one":2.0}',
    '{"ts":3.0,"own":[],"one":[2.5]}',
    '{"ts":4.0,"own":true,"a \'b,\u00e9":[],"ingested":true}',
)
"""Rows, each of a log of its own, of which a field has values of another type than before, or a name that no column has."""


def headwater(*words: object) -> str:
    done = subprocess.run([sys.executable, "-m", "headwater", *map(str, words)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and "dropped" not in done.stderr, done.stderr
    return done.stderr


def config(folder: Path) -> Path:
    path = folder / "headwater.toml"
    path.write_text(f'user = "root"\n[store]\npath = "{folder}/store"\nlisten = ""\n[flows]\nprogress_s = 1\n')
    return path


def exported(folder: Path, form: str, *words: object) -> Path:
    into = folder / form
    headwater("export", "-c", config(folder), "--format", form, "-o", into, *words)
    return into


def as_json(path: Path) -> list[str]:
    """What a log says, a line a row; numbers as they are compared."""
    told: list[str] = []
    text = b""
    for one in tables(path, told.append):
        text += bytes(FORMATS["zeek-json"](one.table.schema).rows(one.table))
    assert not told
    return rows(text)


def rows(text: bytes) -> list[str]:
    return sorted(json.dumps(json.loads(line), sort_keys=True) for line in text.splitlines())


def largest() -> list[Path]:
    """Of each log one file; all of them are of 293 days, which takes the store a minute (HEADWATER_ALL_LOGS=1)."""
    by_size = sorted((path.stat().st_size, path) for path in OF_ZEEK)
    return list({path.name: path for _, path in by_size}.values())


def rows_of(path: Path) -> list[dict[str, object]]:
    read = pa.concat_tables([pa.Table.from_batches([one.table]) for one in tables(path, print)], promote_options="permissive")
    return sorted(read.to_pylist(), key=repr)


@pytest.mark.corpora
def test_every_log_of_zeeks_comes_out_as_it_went_in(tmp_path: Path) -> None:
    logs = defaultdict(bytes)
    for path in OF_ZEEK if os.environ.get("HEADWATER_ALL_LOGS") else largest():
        logs[path.name] += path.read_bytes()
    (tmp_path / "zeek-logs").mkdir()
    for name, text in logs.items():
        (tmp_path / "zeek-logs" / name).write_bytes(text)
    with running(tmp_path / "store"):
        headwater("import", "-c", config(tmp_path), tmp_path / "zeek-logs")
        as_objects, as_lines = exported(tmp_path, "zeek-json"), exported(tmp_path, "zeek")
    assert {path.name for path in as_objects.iterdir()} == {path.name for path in as_lines.iterdir()} == set(logs)
    assert len(logs) > 30
    for name, text in logs.items():
        told = rows(text)
        assert rows((as_objects / name).read_bytes()) == told, name
        assert as_json(as_lines / name) == told, name


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A folder with what came out of a store, and one with the logs that went in."""
    folder = tmp_path_factory.mktemp("awkward")
    logs = folder / "logs"
    logs.mkdir()
    for name, (fields, *lines) in AWKWARD.items():
        names, types = zip(*(field.split(":") for field in fields.split()), strict=True)
        header = HEAD.format(name) + "\t".join(["#fields", *names]) + "\n" + "\t".join(["#types", *types]) + "\n"
        (logs / f"{name}.log").write_text(header + "".join("\t".join(line.split()) + "\n" for line in lines))
    (logs / "http.log").write_text('{"ts":1700000000.5,"uid":"C1","tags":[]}\n{"ts":1700000001.5,"uid":"C2"}\n')
    for number, line in enumerate(ODD):
        (logs / f"odd.{number}.log").write_text(f"{line}\n")
    (folder / "later").mkdir()
    (folder / "later/http.log").write_text('{"ts":1700000002.5,"uid":"C3","proxied":["a"],"orig_fuids":[]}\n')
    with running(folder / "store"):
        if CAPTURES[0].exists():  # our own rows come first, and make the tables
            headwater("read", "-c", config(folder), "--store", *OURS, *CAPTURES)
        headwater("import", "-c", config(folder), logs, folder / "later")
        for form in (*FORMATS, "parquet"):
            exported(folder, form)
        yield folder, logs


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_awkward_comes_out_as_it_went_in(name: str, awkward: tuple[Path, Path]) -> None:
    folder, logs = awkward
    theirs, found = rows_of(logs / f"{name}.log"), rows_of(folder / f"zeek/{name}.log")
    assert all(row in [{key: one.get(key) for key in row} for one in found] for row in theirs)
    if name != "conn":
        assert found == theirs
        header = [line for line in (logs / f"{name}.log").read_text().splitlines() if line.startswith(("#types", "#path"))]
        assert [line for line in (folder / f"zeek/{name}.log").read_text().splitlines() if line.startswith(("#types", "#path"))] == header


def test_what_other_rows_have_a_row_does_not_get(awkward: tuple[Path, Path]) -> None:
    """Lists that no row of its file had, and columns that came later; an empty one is still told from one that is not there."""
    folder, _ = awkward
    text = (folder / "zeek-json/http.log").read_bytes()
    expected = [
        {"ts": 1700000000.5, "uid": "C1", "tags": []},
        {"ts": 1700000001.5, "uid": "C2"},
        {"ts": 1700000002.5, "uid": "C3", "proxied": ["a"], "orig_fuids": []},
    ]
    assert sorted(map(json.loads, text.splitlines()), key=lambda row: row["ts"]) == expected
    conns = map(json.loads, (folder / "zeek-json/conn.log").read_bytes().splitlines())
    (third,) = [row for row in conns if row["uid"] == "Cc"]
    assert set(third) == {"ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration"}


def test_values_of_several_types_are_one_field_again(awkward: tuple[Path, Path]) -> None:
    folder, _ = awkward
    assert rows((folder / "zeek-json/odd.log").read_bytes()) == rows("\n".join(ODD).encode())
    text = (folder / "zeek/odd.log").read_text()
    assert "#fields\tts\town\tone\ta 'b,é\tingested\n#types\ttime\tstring\tstring\tvector[string]\tbool\n" in text
    told = {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines() if line[0] != "#"}
    assert told == {
        "1.000000": ["1", "A", "-", "-"],
        "2.000000": ["text", "2", "-", "-"],
        "3.000000": ["(empty)", "2.5", "-", "-"],
        "4.000000": ["T", "-", "(empty)", "T"],
    }


@pytest.mark.corpora
@pytest.mark.parametrize("form", ["zeek", "zeek-json"])
def test_our_own_rows_come_out_as_they_are_written_without_a_store(form: str, awkward: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = awkward
    records = [word for log in ("conn", "tunnel", "weird") for word in ("--record", log)]
    headwater("read", "-c", config(folder), "-o", tmp_path / "direct", "--format", form, *records, *CAPTURES)
    into = folder / form
    assert not (into / "ledger.log").exists()
    for log in ("conn", "tunnel", "weird"):
        written = (tmp_path / "direct" / f"{log}.log").read_text().splitlines()
        imported = {"Ca", "Cb", "Cc"} if log == "conn" else set[str]()
        found = [line for line in (into / f"{log}.log").read_text().splitlines() if not any(f"\t{uid}\t" in line for uid in imported)]
        if form == "zeek-json":
            ours = [row for row in map(json.loads, found) if row.get("uid") not in imported]
            assert sorted(map(repr, ours)) == sorted(repr(json.loads(line)) for line in written), log
            continue
        assert [line.partition("\t")[0] for line in found[:8]] == [line.partition("\t")[0] for line in written[:8]]
        assert [line for line in found if line.startswith(("#fields", "#types"))] == [
            line for line in written if line.startswith(("#fields", "#types"))
        ], log
        assert sorted(line for line in found if line[0] != "#") == sorted(line for line in written if line[0] != "#"), log
        assert found[-1].startswith("#close\t")
        assert len(list(read_zeek(str(into / f"{log}.log")))) == len(written) - 9 + len(imported)


def told(path: Path, columns: list[str]) -> list[str]:
    """Rows of Parquet as they are compared: lists as the text that they are elsewhere, and a time that is not there as the store has it."""
    read = pq.read_table(path)
    listed = {name: read.column(name).to_pylist() for name in columns}
    for name, values in listed.items():
        if pa.types.is_list(read.schema.field(name).type):
            listed[name] = [",".join(value) or None for value in values]
    if pa.types.is_timestamp(read.schema.field("ts").type):
        listed["ts"] = read.column("ts").cast(pa.int64()).fill_null(0).to_pylist()
    return sorted(map(repr, zip(*listed.values(), strict=True)))


@pytest.mark.corpora
@pytest.mark.parametrize("record", RECORDS)
def test_the_store_has_the_rows_that_are_written_without_one(record: str, awkward: tuple[Path, Path]) -> None:
    folder, _ = awkward
    direct = folder / "direct"
    if not direct.exists():
        headwater("read", "-c", config(folder), "-o", direct, "--format", "parquet", *OURS, *CAPTURES)
    columns = pq.read_schema(direct / f"{record}.parquet").names
    written, kept = told(direct / f"{record}.parquet", columns), told(folder / f"parquet/{record}.parquet", columns)
    imported = [row for row in kept if any(f"'{uid}'" in row for uid in ("Ca", "Cb", "Cc"))]
    assert len(imported) == (3 if record == "conn" else 0)
    assert written == [row for row in kept if row not in imported]
    assert written


OF_MESSAGES = (
    "dns__mdns tls__google-cert-repeat tls__dtls13-cid http__http-body-match tls__smtp-starttls ftp__ipv6 ntp__ntp2 "
    "ssh__ssh1-ssh2-fingerprints dhcp__dhcp websocket__two-binary-fragments tls__ocsp-revoked"
)


@pytest.mark.corpora
def test_the_store_has_the_messages_that_are_written_without_one(tmp_path: Path) -> None:
    captures = [CORPORA / "zeek" / name / "trace.pcap" for name in OF_MESSAGES.split()]
    messages = {*MESSAGES, "request"} - {"quic"}  # of which there is no small capture
    words = [word for record in sorted(messages) for word in ("--record", record)]
    chosen, whole = config(tmp_path), tmp_path / "whole.toml"
    chosen.write_text(chosen.read_text() + "[privacy]\ncredentials = true\n")
    whole.write_text("[privacy]\ncredentials = true\n")
    with running(tmp_path / "store"):
        headwater("read", "-c", chosen, "--store", *words, *captures)
        for form in ("parquet", "jsonl"):
            headwater("export", "-c", chosen, "--format", form, "-o", tmp_path / form)
    for form in ("parquet", "jsonl"):
        headwater("read", "-c", whole, "-o", tmp_path / f"direct-{form}", "--format", form, *words, *captures)
    for record in messages:
        direct, kept = (pq.read_table(tmp_path / folder / f"{record}.parquet") for folder in ("direct-parquet", "parquet"))
        assert len(direct)
        written, found = ([unlisted(row, direct.schema) for row in one.to_pylist()] for one in (direct, kept))
        assert sorted(written) == sorted(found), record
    [written], [found] = (
        list(map(json.loads, (tmp_path / form / "smtp.jsonl").read_text().splitlines())) for form in ("direct-jsonl", "jsonl")
    )
    assert found["path"] == written["path"] and len(found["path"]) == 2
    assert found["id.resp_h"] == written["id.resp_h"]


def unlisted(row: dict[str, object], schema: pa.Schema) -> str:
    """To compare: a list that is absent has nothing in it in a store."""
    return repr([row[name] or None if pa.types.is_list(schema.field(name).type) else row[name] for name in schema.names])


@pytest.mark.corpora
def test_a_table_that_is_no_log_is_refused(awkward: tuple[Path, Path]) -> None:
    folder, _ = awkward
    words = ["export", "-c", str(config(folder)), "--format", "zeek", "-o", str(folder / "none"), "--table", "ledger"]
    done = subprocess.run([sys.executable, "-m", "headwater", *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stderr.startswith("headwater: --table ledger: Zeek has no such log") and len(done.stderr.splitlines()) == 1
