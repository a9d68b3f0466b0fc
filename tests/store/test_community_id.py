"""Community ids are no longer kept where they follow from a connection's ends: they must be those that others compute."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from flowing import all_of, packets
from places import CORPORA
from rows_made import TCP, conns
from storing import LARGE, keep, running, until_taken

from headwater.outputs.spool import Spool
from headwater.records import CONN, Batch
from headwater.store.client import Client
from headwater.store.community_id import KEPT

SPECIFIED = (
    ("tcp", 6, "128.232.110.120", 34855, "66.35.250.204", 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("tcp", 6, "66.35.250.204", 80, "128.232.110.120", 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("udp", 17, "192.168.1.52", 54585, "8.8.8.8", 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
    ("tcp", 6, "2001:470:e5bf:dead:4957:2174:e82c:4887", 63943, "2607:f8b0:400c:c03::1a", 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="),
    ("icmp", 1, "192.168.0.89", 8, "192.168.0.1", 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
)
"""Of the specification: protocol, its number, both ends."""
OF_CAPTURES = "interface = 'captured'"
OTHER = "1:" + "A" * 27 + "="


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("store")) as asking:
        yield asking


def specified() -> Batch:
    names = ("proto", "ip_proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "community_id")
    return conns([TCP | dict(zip(names, one, strict=True)) for one in SPECIFIED])


def found(client: Client, which: str = "1") -> list[str | None]:
    return client.table(f"SELECT community_id FROM conn WHERE {which}").column("community_id").to_pylist()


def test_what_follows_is_computed_and_what_does_not_is_kept(client: Client) -> None:
    assert client.place
    keep(client.place, specified(), conns([TCP | {"community_id": OTHER}]))
    assert sorted(map(str, found(client))) == sorted([*(one[-1] for one in SPECIFIED), OTHER])
    assert client.table(f"SELECT {KEPT} AS kept FROM conn ORDER BY kept").column("kept").to_pylist() == [*[""] * 5, OTHER]
    assert found(client, f"community_id = '{SPECIFIED[0][-1]}'") == [SPECIFIED[0][-1]] * 2
    assert KEPT not in client.table("SELECT * FROM conn LIMIT 1").schema.names
    assert KEPT not in client.tables()["conn"]
    assert list(client.columns("conn")) == [*(column.name for column in CONN.columns), "ingested"]


def test_imported_rows_have_the_ids_that_they_came_with(client: Client) -> None:
    """Or none, if they came without."""
    assert client.place
    rows = pa.RecordBatch.from_pylist([{"ts": 1, "proto": "tcp"}], pa.schema([("ts", pa.timestamp("ns", "UTC")), ("proto", pa.string())]))
    with Spool(client.place.spool, LARGE) as spool:
        for more in (rows, rows.append_column("community_id", pa.array([OTHER])), rows.append_column("community_id", pa.array(["none"]))):
            spool.encode("conn", more)
            spool.write()
        assert until_taken(spool).acked == 3
    assert sorted(map(str, found(client, "ts < '1971-01-01'"))) == [OTHER, "None", "none"]


@pytest.mark.corpora
def test_of_each_protocol_it_follows(client: Client) -> None:
    """All flows of the captures that come with the specification and with Zeek's tests of it, and some between two ports of one address."""
    assert client.place
    within = "community-id-spec/pcaps/*.pcap", "zeek/communityid__*/*.pcap", "tcpdump/tests/resp_*.pcap"
    captures = [path for pattern in within for path in CORPORA.glob(pattern)]
    rows = np.concatenate([all_of(packets(path)) for path in captures], dtype=CONN.dtype)
    keep(client.place, Batch(CONN, rows, dict.fromkeys(np.unique(rows["interface"]).tolist(), "captured")))
    counted = f"count(), countIf({KEPT} = ''), uniq(ip_proto), countIf(`id.orig_h` = `id.resp_h`)"
    [[count, followed, protocols, one_host]] = client.rows(f"SELECT {counted} FROM conn WHERE {OF_CAPTURES}", 4)
    assert int(count) == int(followed) and int(protocols) > 4 and int(one_host) > 20
    assert sorted(map(str, found(client, OF_CAPTURES))) == sorted(Batch(CONN, rows).to_arrow().column("community_id").to_pylist())
