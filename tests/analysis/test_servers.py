"""What servers do in each second: against a model, and against the rows of their flows."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversations import HANDSHAKE, SECOND, START, SYN, TCP, UDP, Packet, Step, Tcp, mapped, rows, traffic
from flowing import NAMES, SECRET, Rows, flows, packets
from frames import ethernet, ip, tcp
from frames import udp as udp_packet
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CORPORA
from server_model import Row, Server, Servers
from test_flow_corpora import address, captures
from test_flows import capture, flood

from headwater.analysis.flows import Flows, FlowSettings
from headwater.records import CONN, ENUMS, PACKET, SERVER, Batch

A, B = "10.0.0.1", "10.0.0.2"
HAS = {name: bit for bit, name in ENUMS["hw_server_has"].items()}
SUMS = ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "orig_retransmits", "resp_retransmits")
COUNTS = [column.name for column in SERVER.columns if column.name not in ("ts", "addr", "port", "proto")]
LEVELS = ("half_open", "handshake_min", "handshake_mean", "handshake_max")  # which do not add up


def told(into: Flows, *parts: Rows) -> Iterator[Rows]:
    """The rows of each second that is told of."""
    for part in parts:
        yield from (batch.copy().rows for batch in into.find(Batch(PACKET, part, NAMES)) if batch.record is SERVER)
    yield from (batch.copy().rows for batch in into.end() if batch.record is SERVER)


def all_of(made: Rows, servers: int = 4096, **settings: Any) -> Rows:
    return np.concatenate([np.empty(0, SERVER.dtype), *told(flows(servers=servers, **settings), made)], dtype=SERVER.dtype)


def plainly(seconds: Iterable[Rows]) -> list[list[Row]]:
    """As the model tells it, each second in order."""
    return [sorted(_plain(row) for row in second) for second in seconds]


def _plain(row: Any) -> Row:
    assert row["has"] & HAS["server"], "there is room for all"
    assert bool(row["has"] & HAS["ports"]) == (row["proto"] in (TCP, UDP))
    assert bool(row["has"] & HAS["handshakes"]) == bool(row["handshakes"])
    counts = {name: int(row[name]) for name in COUNTS if row[name] and not name.endswith("_retransmits")}
    return Row(int(row["ts"]), Server(bytes(row["addr"]), int(row["port"]), int(row["proto"])), frozenset(counts.items()))


# -- the model ----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(traffic())
def test_the_rows_are_those_of_the_model(made: list[Packet]) -> None:
    given_rows, model, into = rows(made), Servers(), flows(servers=100)
    expected = [second for row in given_rows for second in model.take(row)] + model.finish()
    found = plainly(told(into, given_rows))
    assert found == [sorted(second) for second in expected] or into.counts().letters_lost


# -- what must hold -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(traffic(), st.lists(st.integers(0, 40), max_size=5), st.integers(1, 3))
def test_batches_make_no_difference(made: list[Packet], cuts: list[int], servers: int) -> None:
    whole = rows(made)
    parts = [whole[begin:end] for begin, end in pairwise([0, *sorted(cuts), len(made)]) if begin < end]
    assert [second.tolist() for second in told(flows(servers=servers), *parts)] == [
        second.tolist() for second in told(flows(servers=servers), whole)
    ]


@settings(max_examples=100)
@given(traffic(), st.integers(1, 3))
def test_what_finds_no_room_is_counted_together(made: list[Packet], servers: int) -> None:
    given_rows = rows(made)
    few, many = list(told(flows(servers=servers), given_rows)), list(told(flows(servers=100), given_rows))
    assert len(few) == len(many)
    newest = 0
    for some, each in zip(few, many, strict=True):
        assert len(some) <= servers + 1
        assert sum(not row["has"] & HAS["server"] for row in some) <= 1
        for name in COUNTS:
            if name not in LEVELS:
                assert some[name].sum() == each[name].sum(), name
        half_open, of_each = int(some["half_open"].sum()), int(each["half_open"].sum())
        assert half_open == of_each if each["ts"][0] > newest else half_open >= of_each  # of an old second, only servers with packets in it
        newest = max(newest, int(each["ts"][0]))
        assert some["handshake_max"].max() == each["handshake_max"].max()


def test_nobody_asks() -> None:
    assert not list(told(flows(), rows(handshake(40_000))))


# -- handshakes ---------------------------------------------------------------------------------------------------------------------


def handshake(port: int, syn_ack: int = 2 * 10**6, ack: int = 10**6, ts: int = START, server: str = B) -> list[Packet]:
    steps = [Step(0, "syn", later=0), Step(1, "syn-ack", later=syn_ack), Step(0, "ack", later=ack)]
    return Tcp([(A, port), (server, 443)], (1000, 2000), ts).packets(steps)


def test_how_long_handshakes_take() -> None:
    made = [packet for number, took in enumerate((10**5, 10**6, 3 * 10**6)) for packet in handshake(40_000 + number, took, took)]
    lost = Tcp([(A, 50_000), (B, 443)], (1000, 2000)).packets(
        [Step(0, "syn", later=0), Step(0, "again", later=9 * SECOND // 10), Step(1, "syn-ack", later=10**6), Step(0, "ack", later=10**6)]
    )
    (row,) = all_of(rows(sorted(made + lost)))
    assert [row[name] for name in ("begun", "established", "handshakes", "failed", "half_open", "orig_retransmits")] == [4, 4, 4, 0, 0, 1]
    took = [2 * 10**5, 2 * 10**6, 6 * 10**6, 902 * 10**6]
    assert [row[f"handshake_{name}"] for name in ("min", "mean", "max")] == [took[0], sum(took) // 4, took[3]]
    within = {"100us": 0, "300us": 1, "1ms": 1, "3ms": 2, "10ms": 3, "30ms": 3, "100ms": 3, "300ms": 3, "1s": 4, "3s": 4}
    assert {name: row[f"handshakes_{name}"] for name in within} == within


def test_how_handshakes_fail() -> None:
    """Refused, given up, and not answered: told when it is known; and one that goes on when the capture ends."""
    ends = [(A, 40_000), (B, 443)]
    refused = Tcp(ends, (1, 2)).packets([Step(0, "syn"), Step(1, "rst-bare")])
    given_up = Tcp([(A, 40_001), (B, 443)], (1, 2)).packets([Step(0, "syn"), Step(1, "syn-ack"), Step(0, "rst")])
    silent = Tcp([(A, 40_002), (B, 443)], (1, 2)).packets([Step(0, "syn")])
    later = Tcp([(A, 40_003), (B, 443)], (1, 2), START + 6 * SECOND).packets([Step(0, "syn")])
    first, second = all_of(rows(sorted(refused + given_up + silent + later)))
    names = ("begun", "failed", "refused", "established", "half_open", "ended")
    assert [first[name] for name in names] == [3, 2, 1, 0, 1, 0]
    assert [second[name] for name in names] == [1, 1, 0, 0, 1, 4]
    assert [int(row["ts"]) for row in (first, second)] == [START, START + 6 * SECOND]


def test_who_is_half_open_is_told_each_second() -> None:
    """Though nothing comes of it, if anything comes at all."""
    made = [*handshake(40_000)[:2], *(Packet(START + n * SECOND, A, "10.0.0.3", UDP, 4000, 9, 10) for n in range(3))]
    told_of = [row for row in all_of(rows(made)) if row["proto"] == TCP]
    assert [(int(row["ts"] - START) // SECOND, int(row["half_open"]), int(row["orig_pkts"])) for row in told_of] == [
        (0, 1, 1),
        (1, 1, 0),
        (2, 1, 0),
    ]


@pytest.mark.parametrize(("code", "refuses"), [(3, True), (1, True), (4, False)], ids=["port", "host", "too-large"])
def test_an_icmp_error_refuses(code: int, refuses: bool, tmp_path: Path) -> None:
    syn, asked = tcp(A, B, 4000, 80, SYN, seq=9), udp_packet(A, B, 4001, 53, b"?")
    frames = [syn, asked, *(ip(bytes([3, code, 0, 0, 0, 0, 5, 0]) + about[:28], 1, B, A) for about in (syn, asked))]
    found = all_of(packets(capture([ethernet(frame, 0x0800) for frame in frames], tmp_path)))
    of = {(int(row["proto"]), int(row["port"])): row for row in found}
    for server in ((TCP, 80), (UDP, 53)):
        assert (of[server]["failed"], of[server]["refused"]) == (refuses, refuses)
    assert of[TCP, 80]["half_open"] == (not refuses)


def test_others_than_tcp_are_established_when_both_have_spoken() -> None:
    made = [Packet(START, A, B, UDP, 4000, 53, 10), Packet(START + 5, B, A, UDP, 53, 4000, 90), Packet(START + 9, A, B, UDP, 4001, 53, 10)]
    (row,) = all_of(rows(made))
    assert [row[name] for name in ("begun", "established", "handshakes", "failed", "ended")] == [2, 1, 0, 0, 2]
    assert [row[name] for name in SUMS[:4]] == [2, 76, 1, 118]


def test_what_is_sent_again_counts_in_its_second() -> None:
    step = Step(1, "data", 1000)
    again = Tcp([(A, 40_000), (B, 443)], (1, 2)).packets(
        [*HANDSHAKE, step, step, Step(1, "again", later=SECOND), Step(0, "data", 10), Step(0, "again"), Step(0, "again", later=SECOND)]
    )
    found = all_of(rows(again))
    assert [(row["orig_retransmits"], row["resp_retransmits"]) for row in found] == [(0, 0), (1, 1), (1, 0)]


# -- time ---------------------------------------------------------------------------------------------------------------------------


def test_late_packets_count_in_the_second_that_is_open() -> None:
    made = [Packet(START + late, A, B, UDP, 4000, 53, 10) for late in (0, SECOND, -SECOND, SECOND // 2, 2 * SECOND, -8 * SECOND)]
    assert [(int(row["ts"]) - START, int(row["orig_pkts"])) for row in all_of(rows(made))] == [(0, 1), (SECOND, 3), (2 * SECOND, 2)]


def test_another_capture_may_be_older() -> None:
    times = (0, -3600 * SECOND, -3599 * SECOND)
    made = [Packet(START + time, A, B, UDP, 4000, 53, 10) for time in times]
    assert [int(row["ts"]) - START for row in all_of(rows(made))] == list(times)


def test_the_clock_ends_a_second_of_a_live_run() -> None:
    into, live = (Flows("made", FlowSettings(SECRET, servers=10), live=live) for live in (False, True))
    assert not list(told_by(live.find(Batch(PACKET, rows(handshake(40_000)[:1]), NAMES))))
    assert not list(told_by(live.tick(START + 19 * SECOND // 10))), "packets of it may be in the rings yet"
    (row,) = told_by(live.tick(START + 2 * SECOND))
    assert (int(row["ts"]), row["half_open"], row["begun"]) == (START, 1, 1)
    (row,) = told_by(live.tick(START + 3 * SECOND))
    assert (int(row["ts"]), row["half_open"], row["begun"]) == (START + SECOND, 1, 0)
    assert not list(told_by(into.tick(START + 9 * SECOND))), "of a capture it does not"


def told_by(batches: Iterable[Batch]) -> list[Any]:
    return [row for batch in batches if batch.record is SERVER for row in batch.copy().rows]


# -- floods and scans ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "half_open", "failed"), [(1 << 20, [100_000, 200_000], 0), (20_000, [20_000, 20_000], 180_000)])
def test_a_flood_of_syns(most: int, half_open: list[int], failed: int) -> None:
    """200,000 in two seconds, to one server: with room for their flows, and without."""
    found = all_of(flood(200_000), most=most)
    assert [int(row["begun"]) for row in found] == [100_000, 100_000]
    assert [int(row["half_open"]) for row in found] == half_open
    assert int(found["failed"].sum()) == failed
    assert int(found["ended"].sum()) == 200_000
    assert not found["established"].any()


def scan(count: int) -> Rows:
    """SYNs to as many addresses, 10 microseconds apart."""
    made = np.repeat(rows([Packet(START, "192.0.2.66", B, TCP, 40_000, 443, flags=SYN)]), count)
    made["ts"] += np.arange(count, dtype=np.uint64) * np.uint64(10_000)
    targets = np.frombuffer(mapped("172.16.0.0") * count, np.uint8).reshape(-1, 16).copy()
    targets[:, 13:] = np.arange(1, count + 1, dtype=">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    made["dst"] = targets.view("V16")[:, 0]
    return made


def test_a_scan_pushes_no_server_out() -> None:
    """40 servers among 300,000 addresses, with room for 64: whoever has established a connection has a row of its own, each second."""
    made = scan(300_000)
    for number in range(40):
        steps = [*HANDSHAKE, *[Step(0, "data", 100), Step(1, "data", 1000)] * 10]
        talk = rows(Tcp([(A, 10_000 + number), (f"192.0.2.{100 + number}", 443)], (5, 7)).packets(steps))
        at = 500 + number + np.arange(len(talk)) * 12_000
        talk["ts"] = made["ts"][at]
        made[at] = talk
    seconds = list(told(flows(servers=64), made))
    assert len(seconds) == 3
    real = {mapped(f"192.0.2.{100 + number}") for number in range(40)}
    for second in seconds:
        assert len(second) <= 65
        assert sum(bytes(row["addr"]) in real for row in second) == 40
    others = {bytes(row["addr"]) for row in seconds[0] if row["has"] & HAS["server"]} - real
    assert others <= {bytes(addr) for addr in scan(64)["dst"]}, "who comes later takes no room from who came before"
    all_rows = np.concatenate(seconds)
    own = all_rows[[bytes(addr) in real for addr in all_rows["addr"]]]
    assert (int(own["established"].sum()), int(own["handshakes"].sum())) == (40, 40)
    assert int(own["resp_pkts"].sum()) >= 40 * 10
    assert int(all_rows["begun"].sum()) == int(all_rows["ended"].sum()) == 300_000 - 40 * 22
    assert int(all_rows["orig_pkts"].sum() + all_rows["resp_pkts"].sum()) == 300_000
    assert int(seconds[-1]["half_open"].sum()) == 300_000 - 40 * 23


# -- the captures of others ---------------------------------------------------------------------------------------------------------

RESET_BEFORE = {("tcp__rst-inject-rae", "1.2.0.3")}
"""Where somebody put a RST into a handshake that was completed all the same: failed in its second, and in conn a handshake."""

Sums = dict[tuple[str, int, int], Counter[str]]


def by_server(rows_of_servers: Iterable[Any]) -> Sums:
    sums: Sums = defaultdict(Counter)
    for row in rows_of_servers:
        into = sums[address(bytes(row["addr"])), int(row["port"]), int(row["proto"])]
        into["conns"] += int(row["ended"])
        into["failed"] += int(row["failed"])
        into["handshakes"] += int(row["handshakes"])
        into["handshake_ns"] += int(row["handshake_mean"]) * int(row["handshakes"])
        for name in SUMS:
            into[name] += int(row[name])
    return sums


def of_conns(conns: Iterable[Any]) -> Sums:
    bits = {name: bit for bit, name in ENUMS["hw_conn_has"].items()}
    sums: Sums = defaultdict(Counter)
    for row in conns:
        proto = int(row["ip_proto"])
        into = sums[address(bytes(row["id.resp_h"])), int(row["id.resp_p"]) if proto in (TCP, UDP) else 0, proto]
        into["conns"] += 1
        if row["has"] & bits["handshake"]:
            into["handshakes"] += 1
            into["handshake_ns"] += int(row["syn_ack_time"]) + int(row["ack_time"])
        for name in SUMS:
            into[name] += int(row[name])
    return sums


@pytest.mark.corpora
@pytest.mark.parametrize("folder", ["zeek", "arkime/pcap"])
def test_sums_are_those_of_the_flows(folder: str) -> None:
    """Of each server, whatever the seconds; but that the mean of nanoseconds is cut off."""
    compared = 0
    for path in captures(CORPORA / folder):
        made, into = packets(path, carriers=True), flows(servers=100_000)
        batches = [batch.copy() for part in (into.find(Batch(PACKET, made, NAMES)), into.end()) for batch in part]
        found = by_server([row for batch in batches if batch.record is SERVER for row in batch.rows])
        expected = of_conns([row for batch in batches if batch.record is CONN for row in batch.rows])
        for server, sums in expected.items():
            if (path.parent.name, server[0]) in RESET_BEFORE:
                assert found[server]["failed"] == sums["handshakes"] == 1
                del sums["handshakes"], sums["handshake_ns"]
            cut_off = sums["handshake_ns"] - found[server]["handshake_ns"]
            assert 0 <= cut_off <= sums["handshakes"], (path, server)
            del sums["handshake_ns"], found[server]["handshake_ns"], found[server]["failed"]
            assert +found[server] == +sums, (path, server)
        assert {server for server, sums in found.items() if +sums} == set(expected), path
        compared += bool(expected)
    assert compared > 80


@pytest.mark.corpora
def test_packets_of_servers_are_those_of_zeek() -> None:
    """By the responders that its conn.log names; docs/zeek-differences.md tells of the captures where flows differ."""
    equal = compared = 0
    for path in sorted((CORPORA / "zeek").glob("*/conn.log")):
        trace = next((path.parent / f"trace.{suffix}" for suffix in ("pcap", "pcapng") if (path.parent / f"trace.{suffix}").exists()), None)
        logged = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        if not trace or not logged:
            continue
        theirs: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
        for line in logged:
            port = line["id.resp_p"] if line["proto"] in ("tcp", "udp") else 0
            theirs[line["id.resp_h"], port, line["proto"]] += Counter({name: line.get(name, 0) for name in SUMS[:4]} | {"conns": 1})
        ours: dict[tuple[str, int, str], Counter[str]] = defaultdict(Counter)
        for (host, port, proto), sums in by_server(all_of(packets(trace, carriers=True), servers=100_000)).items():
            kind = {1: "icmp", 58: "icmp", TCP: "tcp", UDP: "udp"}.get(proto, "unknown_transport")
            ours[host, port, kind] += Counter({name: sums[name] for name in (*SUMS[:4], "conns")})
        compared += 1
        equal += {server: +sums for server, sums in ours.items()} == {server: +sums for server, sums in theirs.items()}
    print(f"{equal} of {compared} captures")  # noqa: T201 - the figure
    assert compared > 300
    assert equal >= compared * 0.95
