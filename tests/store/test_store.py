"""What is kept can be asked for: every record and type, through the spool, the engine and its door."""

import datetime
import decimal
import gzip
import ipaddress
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa
import pytest
import reading_back
from places import ROOT
from rows_made import TCP, conns, ledger, packets, rates, servers
from storing import LARGE, back, keep, made, running, until_taken, values

from headwater.errors import StoreError
from headwater.outputs.spool import Spool, waiting
from headwater.store.client import Client
from headwater.store.native import in_revision
from headwater.store.process import memory

RECORDS = {
    "packet": packets(3000),
    "rate": rates(50),
    "server": servers(50),
    "conn": conns([TCP, {name: value for name, value in TCP.items() if name not in ("duration", "local_orig", "vlan")}]),
    "ledger": ledger(["a", "", 'b,"c"', "d\\e\nf\x1b\t", "naïve ☃ 𝄞", "=1+1", "'; DROP TABLE ledger"]),
}
NUMBERS = b"\1\0\2\xff\xff\xff\xff\0"  # before a block: no overflow, no bucket
DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("store")) as asking:
        yield asking


def official(client: Client) -> Any:
    assert client.place
    host, _, port = client.place.address.read_text().strip().rpartition(":")
    return clickhouse_connect.get_client(host=host, port=int(port), username="any", password=client.place.token.read_text().strip())


@pytest.mark.parametrize("record", RECORDS)
def test_rows_come_back_as_they_were(client: Client, record: str) -> None:
    batch = RECORDS[record]
    assert client.place
    sent = keep(client.place, batch)
    assert (sent.acked, sent.dropped) == (len(batch), {})
    found = back(client.table(f"SELECT * EXCEPT ingested FROM {record}"))
    assert values(sorted(row.items()) for row in found) == values(sorted(row.items()) for row in reading_back.expected(batch))


def test_every_bit_of_a_number_comes_back(client: Client) -> None:
    """The codec of doubles is a young one: what is no decimal fraction, or no number, must pass it too."""
    assert client.place
    rng = np.random.default_rng(1)
    kinds = [
        rng.integers(0, 1 << 40, 20_000) / 1e9,
        rng.lognormal(0, 300, 20_000),
        np.frombuffer(rng.bytes(160_000)),
        np.zeros(20_000),
        np.arange(20_000) * 1e300,
    ]
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, -1e-9])
    for name, kind in enumerate(kinds):
        given = np.concatenate([kind, np.tile(edges, 500)])
        with Spool(client.place.spool, LARGE) as spool:
            spool.encode(f"doubles_{name}", pa.RecordBatch.from_arrays([pa.array(np.arange(len(given))), pa.array(given)], ["at", "value"]))
            spool.write()
            assert until_taken(spool).acked == len(given)
        found = client.table(f"SELECT value FROM doubles_{name} ORDER BY at").column("value").to_numpy()
        assert np.array_equal(found.view(np.uint64), given.view(np.uint64))


def test_rows_of_several_days_lie_apart_and_of_none_too(client: Client) -> None:
    batch = rates(90)
    batch.rows["ts"] = 1 + np.arange(90, dtype=np.uint64) % 3 * DAY_NS
    before = client.table("SELECT * FROM rate").num_rows
    assert client.place
    assert keep(client.place, batch).acked == 90
    days = client.table("SELECT toDate(ts) d, count() n FROM rate WHERE ts < '1971-01-01' GROUP BY d ORDER BY d")
    assert days.column("n").to_pylist() == [30, 30, 30]
    assert client.table("SELECT * FROM rate").num_rows == before + 90


def test_sums_are_kept_by_minute_and_hour(client: Client) -> None:
    for step in ("minute", "hour"):
        for record, column in (("rate", "packets"), ("conn", "orig_bytes")):
            [(rolled, rows)] = client.table(f"SELECT sum({column}), sum(rows) FROM {record}_{step}").to_pandas().values.tolist()
            [(whole, count)] = client.table(f"SELECT sum({column}), count() FROM {record}").to_pandas().values.tolist()
            assert (rolled, rows) == (whole, count)


def test_the_questions_in_the_documentation_are_answered(client: Client) -> None:
    questions = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/queries.md").read_text(), re.S)
    answers = [client.table(sql).to_pylist() for sql in questions]
    assert {"service": "https", "connections": 2} in answers[1]
    assert {row["protocol"] for row in answers[0]} >= {None, "ICMP"}


def test_addresses_are_found_as_they_are_written(client: Client) -> None:
    row = {name: value for name, value in TCP.items() if name in ("id.orig_h", "id.resp_h")}
    for name, value in row.items():
        assert client.table(f"SELECT count() n FROM conn WHERE {name} = '{value}'").column("n").to_pylist() == [2]
        within = ipaddress.ip_network(f"::ffff:{value}/128" if "." in str(value) else f"{value}/128")
        assert client.table(f"SELECT count() n FROM conn WHERE isIPAddressInRange(toString({name}), '{within}')").column(
            "n"
        ).to_pylist() == [2]


def test_a_record_that_gains_a_column_keeps_its_rows(client: Client) -> None:
    assert client.place
    old = pa.RecordBatch.from_pylist(
        [{"ts": 1, "name": "a"}], pa.schema([pa.field("ts", pa.timestamp("ns", "UTC")), ("name", pa.string())])
    )
    new = old.append_column(pa.field("more", pa.list_(pa.string())), pa.array([["x", "y"]], pa.list_(pa.string())))
    with Spool(client.place.spool, LARGE) as spool:
        for rows in (old, new, old):
            spool.encode("gaining", rows)
            spool.write()
        assert until_taken(spool).acked == 3
    assert sorted(client.table("SELECT more FROM gaining").column("more").to_pylist()) == [[], [], ["x", "y"]]


def test_what_the_disk_gives_back_otherwise_is_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    with Spool(made(tmp_path).spool, LARGE) as spool:
        for number in range(4):
            spool.send([servers(10, seed=number)])
        first, second = waiting(spool.folder)[1:3]
        octets = bytearray(first.path.read_bytes())
        octets[len(octets) // 2] ^= 0x10
        first.path.write_bytes(octets)
        second.path.write_bytes(second.path.read_bytes()[:-7])
        with running(tmp_path) as client:
            sent = until_taken(spool)
            assert (sent.acked, sum(sent.dropped.values()), sent.spooled) == (20, 20, -40)
            assert client.table("SELECT * FROM server").num_rows == 20


def test_the_official_client_asks(client: Client) -> None:
    """clickhouse-connect: its handshake, types, parameters, Native and Arrow; and may change nothing."""
    asked = official(client)
    assert asked.command("SELECT version()").startswith("26.")
    assert asked.query("SELECT count() FROM rate").result_rows[0][0] > 0
    rows = asked.query(
        "SELECT id.orig_h, duration, proto FROM conn WHERE id.orig_p = {port:UInt16}", parameters={"port": int(TCP["id.orig_p"])}
    )
    assert len(rows.result_rows) == 2
    assert asked.query_arrow("SELECT ts, packets FROM rate LIMIT 3").num_rows == 3
    assert list(asked.query_df("SELECT 1 AS a, 'x' AS b").columns) == ["a", "b"]
    for refused in (
        "INSERT INTO rate (packets) VALUES (1)",
        "DROP TABLE rate",
        "CREATE TABLE x (a UInt8) ENGINE = Memory",
        "SELECT * FROM url('http://127.0.0.1:1/')",
    ):
        with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError):
            asked.command(refused)


TYPED = {
    "'é'": "é",
    "-1::Int8": -1,
    "300::UInt16": 300,
    "2::UInt256": 2,
    "0.5::Float32": 0.5,
    "true": True,
    "'x'::FixedString(3)": b"x\0\0",
    "1.25::Decimal(18, 2)": decimal.Decimal("1.25"),
    "1.25::Decimal(38, 2)": decimal.Decimal("1.25"),
    "'b'::Enum8('a (' = 1, 'b' = 2)": "b",
    "NULL::Nullable(String)": None,
    "7::Nullable(UInt32)": 7,
    "toLowCardinality('w')": "w",
    "NULL::LowCardinality(Nullable(String))": None,
    "['a', 'b']::Array(LowCardinality(String))": ["a", "b"],
    "[[1], [], [2, NULL]]": [[1], [], [2, None]],
    "map('k', [1, 2], 'l', [])": {"k": [1, 2], "l": []},
    "(1, 'x', [NULL])": (1, "x", [None]),
    "CAST((1, 'x'), 'Tuple(a UInt8, b String)')": {"a": 1, "b": "x"},
    "toIPv6('::1')": ipaddress.ip_address("::1"),
    "toUUID('00000000-0000-0000-0000-000000000007')": uuid.UUID(int=7),
    "toDate('2026-03-01')": datetime.date(2026, 3, 1),
    "emptyArrayString()": [],
}


def test_native_is_of_the_revision_that_was_asked_for(client: Client) -> None:
    """clickhouse-connect asks for one with numbers before a block, for which each column must be read to its end, and reads that itself."""
    columns = ", ".join(f"{sql} AS c{place}" for place, sql in enumerate(TYPED))
    asked = official(client)
    assert asked.protocol_version
    for rows in (1, 70_000):  # some blocks of it
        found = asked.query(f"SELECT number, {columns} FROM numbers({rows})").result_rows
        assert [row[0] for row in found] == list(range(rows))
        assert list(found[-1][1:]) == list(TYPED.values())
    block = b"".join(client.ask("SELECT 'x' AS a, 1::UInt16 AS b", "Native"))
    assert in_revision(54405, block) == NUMBERS + block
    assert in_revision(54460, block) == NUMBERS + b"\2\1" + b"\1a\6String\0\1x" + b"\1b\6UInt16\0\1\0"


def test_blocks_that_are_packed_are_refused_in_words(client: Client) -> None:
    assert client.place and client.place.address
    url = f"http://{client.place.address.read_text()}/?compress=1&query=SELECT+1"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, headers={"X-ClickHouse-Key": client.place.token.read_text().strip()}))
    assert b"pack with gzip" in refused.value.read()


def test_bodies_are_packed_with_gzip_both_ways_and_unknown_settings_are_left(client: Client) -> None:
    """As Grafana's data source asks in HTTP mode. What unpacks to too much is refused."""
    assert client.place
    url = f"http://{client.place.address.read_text()}/?enable_http_compression=1&session_id=a&connect_timeout=10&nobodys_setting=7"
    headers = {"Authorization": f"Bearer {client.place.token.read_text().strip()}", "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}

    def asked(sql: bytes) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(url, gzip.compress(sql), headers)) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            return gzip.decompress(answer.read())

    assert json.loads(asked(b"SELECT number AS n FROM numbers(3) FORMAT JSON"))["rows"] == 3
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(b"SELECT 1" + b" " * (2 << 20))
    assert refused.value.code == 413 and b"at most" in refused.value.read()


def test_a_parameter_is_what_was_given(client: Client) -> None:
    for value in ("a'b", "a\tb\nc\rd", "\\\\N", "\0", "{x:String}", ""):
        assert client.table("SELECT {value:String} AS value", {"value": value}).column("value").to_pylist() == [value]


def test_who_does_not_know_the_token_is_told_nothing(client: Client) -> None:
    with pytest.raises(StoreError, match="token"), Client(client.place, password="wrong") as other:
        list(other.ask("SELECT 1"))


def test_a_question_that_is_too_big_ends_and_the_store_lives(client: Client) -> None:
    with pytest.raises(StoreError, match=r"(?i)memory|exceed"):
        client.table("SELECT groupArray(number), groupArray(toString(number)) FROM numbers(3000000000)")
    assert client.table("SELECT 1 AS one").column("one").to_pylist() == [1]


def test_an_answer_that_nobody_has_whole_may_be_of_any_size(tmp_path: Path) -> None:
    config = tmp_path / "headwater.toml"
    config.write_text(f"[store]\nquery_memory_part = {min(1.0, 100 * 2**20 / (memory() * 0.3))}\n")  # an answer has a quarter of it
    sql = "SELECT toString(number) AS n FROM numbers(5000000)"
    with Client(made(tmp_path / "store"), begin_with=("--user", "root", "--listen", "", "-c", str(config))) as client:
        assert sum(len(piece) for piece in client.ask(sql, "CSV")) > 45_000_000
        assert sum(len(batch) for batch in client.batches(sql)) == 5_000_000
        with pytest.raises(StoreError, match=r"(?i)limit|exceed"):
            list(client.ask(sql, "JSON"))
        with pytest.raises(StoreError) as told:
            client.table("SELECT nothing FROM system.one")
        assert "nothing" in str(told.value) and "SETTINGS" not in str(told.value)


SPILLED = {
    "groups": "SELECT count() AS n FROM (SELECT number, count() FROM numbers({rows}) GROUP BY number)",
    "sorted": "SELECT max(at) + 1 AS n FROM (SELECT rowNumberInAllBlocks() AS at FROM "
    "(SELECT hex(sipHash64(number)) AS s FROM numbers({rows}) ORDER BY s))",
    "distinct": "SELECT count() AS n FROM (SELECT DISTINCT sipHash64(number) FROM numbers({rows}))",
}


def test_what_does_not_fit_in_memory_is_spilled(tmp_path: Path) -> None:
    """What takes more than a question's part; what cannot be spilled is an error."""
    config = tmp_path / "headwater.toml"
    config.write_text(f"[store]\nquery_memory_part = {min(1.0, 200 * 2**20 / (memory() * 0.3))}\n")
    with Client(made(tmp_path / "store"), begin_with=("--user", "root", "--listen", "", "-c", str(config))) as client:
        for what, sql in SPILLED.items():
            assert client.table(sql.format(rows=10_000_000)).column("n").to_pylist() == [10_000_000], what
        with pytest.raises(StoreError, match=r"(?i)memory"):
            client.table("SELECT length(groupArray(hex(sipHash64(number)))) FROM numbers(10000000)")


def test_an_empty_token_lets_nobody_in(tmp_path: Path) -> None:
    """As a full disk may have left it."""
    place = made(tmp_path)
    place.token.touch(0o600)
    with running(tmp_path) as client:
        assert len(place.token.read_text().strip()) > 20 and place.token.stat().st_mode & 0o77 == 0
        assert client.table("SELECT 1 AS one").num_rows == 1
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{place.address.read_text()}/?query=SELECT+1")
        assert refused.value.code == 401 and b"token" in refused.value.read()


def test_another_process_is_refused(client: Client) -> None:
    assert client.place
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "store", "--path", str(client.place.folder), "--user", "root"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 7
    assert done.stderr.startswith("headwater: another process has the store")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    place = made(tmp_path)
    place.about.write_text('{"version": 99}')
    with pytest.raises(StoreError, match="newer Headwater"), running(tmp_path):
        pass
    assert place.about.read_text() == '{"version": 99}'
