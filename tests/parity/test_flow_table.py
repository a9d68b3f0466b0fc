"""Flows in the kernel's table are those of the native one, every column: of captures, of made conversations, and where there is no room."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import captured
import frames
import kernel_flows as kf
import numpy as np
import pytest
from conversations import ACK, FIN, ICMP, START, SYN, TCP, UDP, Packet, rows, traffic
from forge import timed
from hypothesis import given, settings
from kernel_flows import Table, build, differences
from parity import altered
from places import CORPORA

from headwater.analysis.flows import FlowSettings
from headwater.filters import FlowFilter
from headwater.kernel import libbpf
from headwater.records import CONN, PACKET

pytestmark = pytest.mark.kernel

SETTINGS = FlowSettings(bytes(range(16)), weirds_a_second=1_000_000)

WRONG = {
    "sides that do not turn": ("entry->orig ^= !!((stage ^ entry->flow.marks) & HW_FLOW_flipped);", ""),
    "what carries it forgotten": ("hw_copy_uid(parent->uid, uid);", ""),
    "an ICMP error of another": ("hw_copy_uid(hw_flow_rare(entry)->error_by, at->uid);", "hw_flow_rare(entry);"),
    "a deadline that is not looked at": ("if (row->ts >= entry->due && hw_flow_entry_deadline(entry) <= row->ts)", "if (0)"),
    "missing octets": ("flow->more[which].missed += octets;", "flow->more[which].missed += 1;"),
    "a state": ("if (peer->state == HW_TCP_syn_sent)\n\t\t\thw_tcp_enter(flow, !*which, HW_TCP_established);", ""),
    "the lowest TTL": ("if (row->ttl < side->ttl", "if (row->ttl > side->ttl"),
}

FILTERS = ("conn.failed && ip", "tcp && conn.handshake > 1ms", "conn.retransmitted > 1% || conn.bytes > 100000", "conn.state == S0")


@pytest.fixture(scope="module")
def known() -> list[tuple[Path, kf.Rows, dict[str, kf.Rows]]]:
    """Captures, their rows, and what the native table makes of them."""
    found = [(path, given) for path in captures() if (given := kf.rows_of(path)) is not None and kf.is_clock(given["ts"])]
    assert len(found) > 1200
    return [(path, given, kf.rows_through_native(given, SETTINGS)) for path, given in found]


@pytest.fixture
def table(objects: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    with Table(SETTINGS) as opened:
        yield opened


def captures() -> list[Path]:
    return sorted(path for path in CORPORA.rglob("*") if path.suffix in {".pcap", ".pcapng", ".ntar"})


@pytest.mark.corpora
def test_frames_of_captures(table: Table) -> None:
    """Through the tap's own program, at their times."""
    compared = 0
    for path in captures():
        taken = list(captured.frames(path))
        if not kf.suits(taken) or not kf.is_clock(np.array([frame.ts for frame in taken])) or path.parent.name in kf.SEVERAL:
            continue
        assert differences(kf.through_kernel(table, taken), kf.through_native(path, SETTINGS)) == [], path
        compared += 1
    assert compared > 700


@pytest.mark.corpora
def test_rows_of_captures(table: Table, known: list[tuple[Path, kf.Rows, dict[str, kf.Rows]]]) -> None:
    """Of any link layer, cut or not."""
    for path, given_rows, native in known:
        assert differences(kf.rows_through_kernel(table, given_rows), native) == [], path


@pytest.mark.corpora
@pytest.mark.parametrize("text", FILTERS)
def test_the_kernel_tells_of_what_is_asked_for(
    text: str, objects: Path, monkeypatch: pytest.MonkeyPatch, known: list[tuple[Path, kf.Rows, dict[str, kf.Rows]]]
) -> None:
    """User space behind it chooses nothing here; of flows that carry others it is told of all."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    asked = replace(SETTINGS, asked=FlowFilter(text))
    kept = 0
    with Table(SETTINGS, asked=asked.asked) as table:
        for path, given_rows, native in known:
            if not path.is_relative_to(CORPORA / "zeek"):
                continue
            kernel = kf.rows_through_kernel(table, given_rows)
            if not len(native["tunnel"]):
                assert differences(kernel, kf.rows_through_native(given_rows, asked)) == [], path
            kept += len(kernel["conn"])
        totals = table.kernel.totals()
    assert 0 < kept == totals["ended"] - totals["unasked"] < totals["ended"]


def test_what_the_kernel_has_told_is_not_asked_by_the_next_filter(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody has read it yet."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    asked = FlowFilter("tcp.port == 80"), FlowFilter("tcp.port == 81"), None
    found = []
    with Table(replace(SETTINGS, asked=asked[0]), asked=asked[0]) as table:
        for number, filter in enumerate(asked):
            if number:
                table.set_filter(filter)
            made = many(200, answered=False)
            made["dport"][::2] = 81
            made["sport"] = number
            made["ts"] += number * 3600 * 10**9
            found += [batch.copy() for batch in table.hand(made)]
            table.expire(int(made["ts"][-1]) + 60 * 10**9)
        found += [batch.copy() for batch in table.end()]
        unasked = table.kernel.totals()["unasked"]
    told = Counter((int(row["id.orig_p"]), int(row["id.resp_p"])) for batch in found if batch.record is CONN for row in batch.rows)
    assert told == {(0, 80): 100, (1, 81): 100, (2, 80): 100, (2, 81): 100}
    assert unasked == 200


@pytest.mark.corpora
def test_what_servers_do(objects: Path, monkeypatch: pytest.MonkeyPatch, known: list[tuple[Path, kf.Rows, dict[str, kf.Rows]]]) -> None:
    """All seconds of each come to the same; where one begins is the clock's matter here, and the packets' there."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    counting, compared = replace(SETTINGS, servers=4096), 0
    with Table(SETTINGS, servers=4096) as table:
        for path, given_rows, _ in known:
            if not path.is_relative_to(CORPORA / "zeek"):
                continue
            kernel = kf.sums_of_servers(kf.rows_through_kernel(table, given_rows)["server"])
            assert kernel == kf.sums_of_servers(kf.rows_through_native(given_rows, counting)["server"]), path
            compared += len(kernel)
    assert compared > 800


@pytest.mark.corpora
@pytest.mark.parametrize(("right", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_copy_is_found(
    right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[tuple[Path, kf.Rows, dict[str, kf.Rows]]]
) -> None:
    monkeypatch.setattr(libbpf, "OBJECTS", build(altered(right, wrong, tmp_path / "bpf"), tmp_path / "objects"))
    with Table(SETTINGS) as table:
        first = sorted(known, key=lambda one: (one[0].is_relative_to(CORPORA / "tcpdump"), one[0]))
        assert any(differences(kf.rows_through_kernel(table, given_rows), native) for _, given_rows, native in first)


@settings(max_examples=300)
@given(traffic())
def test_conversations(table: Table, packets: list[Packet]) -> None:
    made = rows(packets)
    made["ts"] = np.maximum.accumulate(made["ts"]) if len(made) else made["ts"]
    assert differences(kf.rows_through_kernel(table, made), kf.rows_through_native(made, SETTINGS)) == []


@pytest.mark.parametrize(
    "ends", [((UDP, 40_000, 2049), (UDP, 2049, 40_000)), ((UDP, 40_000, 53), (UDP, 53, 40_000)), ((ICMP, 8, 0), (ICMP, 0, 0))]
)
@pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
def test_what_user_space_had_comes_late(table: Table, ends: tuple[tuple[int, int, int], ...], begun: bool) -> None:
    """A question in pieces: its answers were counted before it."""
    asked, told = ends
    question = [Packet(START + at, "10.0.0.1", "10.0.0.2", *asked, 4000) for at in (1000, 3000)]
    answers = [Packet(START + at, "10.0.0.2", "10.0.0.1", *told, 10) for at in (2000, 4000)]
    before = [Packet(START, "10.0.0.1", "10.0.0.2", *asked, 10)] if begun else []
    made = rows(sorted(before + question + answers))
    come = rows(before + answers + question)
    assert differences(kf.rows_through_kernel(table, come), kf.rows_through_native(made, SETTINGS)) == []


def many(count: int, *, answered: bool) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    """So many flows that begin one after another, and go on together; a millisecond a packet."""
    packets = []

    def say(which: int, flags: int, seq: int, ack: int, *, back: bool = False, payload: int = 0) -> None:
        ends = [(f"10.0.{which >> 8}.{which & 255}", 40_000), ("10.1.0.1", 80)]
        (src, sport), (dst, dport) = ends[::-1] if back else ends
        packets.append(Packet(START + len(packets) * 10**6, src, dst, TCP, sport, dport, payload, flags, seq, ack))

    for which in range(count):
        say(which, SYN, 100, 0)
        if answered:
            say(which, SYN | ACK, 900, 101, back=True)
            say(which, ACK, 101, 901)
    for which in range(count if answered else 0):
        say(which, ACK, 101, 901, payload=10)
        say(which, FIN | ACK, 111, 901)
        say(which, FIN | ACK, 901, 112, back=True)
        say(which, ACK, 112, 902)
    return rows(packets)


def test_answered_flows_that_find_no_room_are_whole(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of 32 flows, and 400: none is lost, and none is in two places."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    made = many(400, answered=True)
    with Table(SETTINGS, octets=1) as small:
        kernel = kf.rows_through_kernel(small, made)
        totals = small.kernel.totals()
        left = small.elsewhere()
    assert differences(kernel, kf.rows_through_native(made, SETTINGS)) == []
    assert totals["refused"] > 0
    assert totals["packets"] + totals["refused"] == len(made)
    assert totals["evicted"] == totals["homeless"] == 0
    assert left == 0


def in_vxlan(packet: bytes, src: str, dst: str) -> bytes:
    """By the same ports both ways, so that they are one flow."""
    return frames.udp(src, dst, 4789, 4789, struct.pack("!II", 8 << 24, 7 << 8) + frames.ethernet(packet, 0x0800))


def in_gre(packet: bytes, src: str, dst: str) -> bytes:
    return frames.ip(struct.pack("!HH", 0, 0x0800) + packet, 47, src, dst)


Tunnel = Callable[[bytes, str, str], bytes]


def carried(count: int, tunnel: Tunnel, *, apart: bool, later: bool = False) -> Iterator[tuple[int, bytes]]:
    """So many conversations that go on together, in one tunnel or each in one of its own; or only `later` in one. A millisecond a frame."""
    steps = [(SYN, 0, 0), (SYN | ACK, 0, 1), (ACK, 0, 0)], [(ACK, 10, 0), (FIN | ACK, 0, 0), (FIN | ACK, 0, 1), (ACK, 0, 0)]
    next_of = [[100, 900] for _ in range(count)]
    order = [(which, half, step) for half in (0, 1) for which in range(count) for step in steps[half]]
    for number, (which, half, (flags, octets, side)) in enumerate(order):
        inner, outer = (
            [(f"10.0.{which >> 8}.{which & 255}", 40_000), ("10.1.0.1", 80)],
            [f"10.2.{which * apart >> 8}.{which * apart & 255}", "10.3.0.1"],
        )
        (src, sport), (dst, dport) = inner[:: 1 - 2 * side]
        seq = next_of[which]
        packet = frames.tcp(src, dst, sport, dport, flags, payload=b"x" * octets, seq=seq[side], ack=seq[1 - side] if flags & ACK else 0)
        seq[side] += octets + bool(flags & (SYN | FIN))
        src, dst = outer[:: 1 - 2 * side]
        yield START + number * 10**6, frames.ethernet(packet if later and not half else tunnel(packet, src, dst), 0x0800)


@pytest.mark.parametrize("tunnel", [in_vxlan, in_gre])
@pytest.mark.parametrize(
    ("count", "apart", "later"), [(400, False, False), (400, True, False), (32, False, True), (32, True, True), (20, True, True)]
)
def test_tunnels_and_what_they_carry_that_find_no_room(
    tunnel: Tunnel, count: int, apart: bool, later: bool, objects: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What carries a flow is told, wherever the one and the other are kept; through the tap's program, and as handed back to it."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    path = tmp_path / "carried.pcap"
    path.write_bytes(timed(carried(count, tunnel, apart=apart, later=later)))
    native = kf.through_native(path, SETTINGS)
    assert len(native["conn"]) == count + (tunnel is in_vxlan) * (count if apart else 1)
    assert len(native["tunnel"]) > 0
    with Table(SETTINGS, octets=1) as small:
        assert differences(kf.through_kernel(small, list(captured.frames(path))), native) == []
        assert small.kernel.deferred.looked_at > 0
        assert small.elsewhere() == 0
        given_rows = kf.rows_of(path)
        assert given_rows is not None
        assert differences(kf.rows_through_kernel(small, given_rows), native) == []


@pytest.mark.parametrize("tunnel", [in_vxlan, in_gre])
@pytest.mark.parametrize("lost", [None, 1, -1], ids=["all", "a-first", "a-last"])
def test_tunnels_whose_datagrams_are_in_pieces(tunnel: Tunnel, lost: int | None, table: Table, tmp_path: Path) -> None:
    """What they carry counts when they are whole; through the tap's program, and as handed back to it."""
    made = []
    for number, (at, frame) in enumerate(carried(20, tunnel, apart=True)):
        parts = frames.pieces(frame[14:], 72, identification=number)
        if lost and number == 50:
            parts.pop(min(lost - 1, 0))
        made += [(at, part) for part in (parts[::-1] if number % 3 else parts)]
    path = tmp_path / "pieces.pcap"
    path.write_bytes(timed(made))
    native = kf.through_native(path, SETTINGS)
    assert sum(native["conn"]["orig_pkts"] + native["conn"]["resp_pkts"]) == (140 - bool(lost)) * (1 + (tunnel is in_vxlan))
    assert differences(kf.through_kernel(table, list(captured.frames(path))), native) == []
    given_rows = kf.rows_of(path)
    assert given_rows is not None
    assert differences(kf.rows_through_kernel(table, given_rows), native) == []


def test_flows_that_nobody_answers_make_room_oldest_first(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty that are answered stay whole beside 2,000 that are not."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    answered, flood = many(20, answered=True), many(2000, answered=False)
    flood["src"] = [bytes(row["src"])[:12] + bytes([11]) + bytes(row["src"])[13:] for row in flood]
    half = 20 * 3
    flood["ts"] += answered["ts"][half] - flood["ts"][0]
    answered["ts"][half:] += flood["ts"][-1] - answered["ts"][half] + 1
    made = np.concatenate([answered[:half], flood, answered[half:]], dtype=PACKET.dtype)
    with Table(SETTINGS, octets=1) as small:
        conns = kf.rows_through_kernel(small, made)["conn"]
        totals = small.kernel.totals()
    native = kf.rows_through_native(made, SETTINGS)["conn"]
    assert len(conns) == 2020
    assert totals["begun"] == totals["ended"] == 2020
    assert totals["evicted"] == 2000 - (32 - 20) - kf.timed_out(conns)
    assert totals["refused"] == totals["homeless"] == 0
    mine, others = (one[one["conn_state"] == kf.FINISHED] for one in (conns, native))
    assert differences({"conn": mine}, {"conn": others}) == []
    gone = conns[conns["end_reason"] == kf.EVICTED]
    assert gone["ts"].max() < conns[(conns["conn_state"] != kf.FINISHED) & (conns["end_reason"] != kf.EVICTED)]["ts"].min()
