"""What the commands ask for people: examples, and filters as SQL."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CORPORA
from storing import running

from headwater.apps.prompt import EXAMPLES, describe
from headwater.errors import FilterError
from headwater.filters.rows import holds
from headwater.filters.sql import condition
from headwater.store.client import Client

FILTERS = (
    "conn.failed",
    "conn.failed && ip",
    "tcp && conn.handshake > 1ms",
    "conn.retransmitted > 1%",
    "conn.bytes > 10000 || conn.packets > 50",
    "conn.state == S0 || conn.state == SF",
    "conn.duration > 1s && !(udp)",
    "ip.src in {10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16} && tcp.dstport in {80, 440..450, 1024..65535}",
    "ip.addr != 192.168.0.0/16",
    "ipv6 || port == 53",
    "udp.port == 53 || icmp",
)


def headwater(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "headwater", *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def captures() -> list[str]:
    by_size = sorted((path.stat().st_size, str(path)) for path in (CORPORA / "zeek").rglob("*.pcap") if path.stat().st_size < 400_000)
    return [path for _, path in by_size[-10:]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, captures: list[str]) -> Iterator[Client]:
    """A store with what flows of others' captures are."""
    folder = tmp_path_factory.mktemp("store")
    config = folder / "headwater.toml"
    config.write_text(f'user = "root"\n[store]\npath = "{folder}/store"\nlisten = ""\n')
    headwater("read", "-c", str(config), "--record", "conn", "--store", *captures)
    with running(folder / "store") as asking:
        yield asking


@pytest.mark.corpora
@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_finds_the_flows_that_it_lets_through(text: str, client: Client, captures: list[str]) -> None:
    columns = {row[0]: row[1] for row in client.rows("DESCRIBE TABLE conn", 2)}
    found = client.rows(f"SELECT uid FROM conn WHERE {condition(text, columns)}", 1)
    told = headwater("read", "--record", "conn", "--format", "jsonl", "--flow-filter", text, *captures)
    expected = [json.loads(line)["uid"] for line in told.splitlines()]
    assert sorted(uid for [uid] in found) == sorted(expected)
    assert expected


@pytest.mark.corpora
def test_columns_are_fields_too(client: Client) -> None:
    columns = {row[0]: row[1] for row in client.rows("DESCRIBE TABLE conn", 2)}

    def count(where: str) -> int:
        return int(client.rows(f"SELECT count() FROM conn WHERE {where}", 1)[0][0])

    assert count(condition('id.resp_p == 53 && conn_state == "SF"', columns)) == count("id.resp_p = 53 AND conn_state = 'SF'") > 0
    assert count(condition("duration >= 0.5 && !(history)", columns)) == count("duration >= 0.5 AND history IS NULL")
    within = "proto IN ('udp', 'tcp') AND orig_bytes < 1000"
    assert count(condition("proto in {udp, tcp} && orig_bytes < 1000", columns)) == count(within) > 0
    assert count(condition('history == "\\\' OR 1=1 --"', columns)) == 0
    for wrong in ("id.resp_q == 1", "id.resp_p == x", "id.orig_h > 10.0.0.1", "id.orig_h == x", "duration > 3d", "tcp.flags & 2 == 2"):
        with pytest.raises(FilterError):
            condition(wrong, columns)


MESSAGES = [
    "rcode_name == NXDOMAIN",
    'query contains "edu" && !AA',
    "answers && rtt > 3ms",
    'answers contains "edu"',
    "answers != 208.80.154.224",
    "answers in {208.80.154.224, 128.91.234.142}",
    "TTLs > 1000",
    "!(TTLs > 1000)",
    "rtt",
    "RA == true || rejected",
    "id.resp_h == 128.175.0.0/16 && qclass in {0..1}",
    "ip.addr != 128.175.13.16",
    "udp.port == 5353 || ipv6",
    "ts > 2020-01-01 && trans_id >= 0x100",
]


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with what was asked in others' captures."""
    folder = tmp_path_factory.mktemp("messages")
    names = "dnssec__rrsig dns-edns-cookie dns__mdns dns__sshfp-trunc dns53 nmap-vsn".split()
    config = folder / "headwater.toml"
    config.write_text(f'user = "root"\n[store]\npath = "{folder}/store"\nlisten = ""\n')
    headwater("read", "-c", str(config), "--record", "dns", "--store", *(str(CORPORA / "zeek" / name / "trace.pcap") for name in names))
    return folder / "store"


@pytest.mark.corpora
def test_a_filter_of_messages_means_the_same_with_and_without_a_store(messages: Path) -> None:
    with running(messages) as client:
        columns = client.columns("dns")
        for text in MESSAGES:
            rows = client.table("SELECT * FROM dns").combine_chunks()
            [batch] = rows.to_batches()
            held = holds(text, batch.schema)(batch)
            read = list(zip(*(rows.filter(held)[name].to_pylist() for name in ("uid", "query")), strict=True))
            stored = client.rows(f"SELECT uid, query FROM dns WHERE {condition(text, columns)}", 2)
            assert sorted(read, key=repr) == sorted(map(tuple, stored), key=repr), text
            assert read, text
        for wrong in (
            "rttt > 1",
            "rtt > x",
            "id.orig_h > 10.0.0.1",
            "rtt contains x",
            "TTLs contains 1",
            "AA == maybe",
            "trans_id & 2 == 2",
        ):
            with pytest.raises(FilterError):
                condition(wrong, columns)
            with pytest.raises(FilterError):
                holds(wrong, batch.schema)


@pytest.mark.corpora
def test_every_example_runs_and_every_table_is_told(client: Client) -> None:
    for sql in EXAMPLES.values():
        client.table(sql)
    said = describe(client)
    assert {"conn", "ledger", "conn_minute"} <= client.tables().keys()
    assert all(name in said for name in client.tables())
