"""Flows against a model of them, and what must hold whatever packets come."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import answer
from conversations import (
    ACK,
    HANDSHAKE,
    LATER,
    PARTINGS,
    RST,
    SECOND,
    SIDES,
    START,
    SYN,
    TCP,
    UDP,
    Packet,
    Step,
    Tcp,
    mapped,
    rows,
    traffic,
)
from flow_model import Model
from flowing import SECRET, Rows, all_of, conns, flows, found, packets, plainly
from forge import Pcapng, timed
from frames import ethernet, ip, pieces, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.protocols.dns import DNS
from headwater.records import PACKET, WEIRD, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

A, B = "10.0.0.1", "10.0.0.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
ENDS = ((A, 40_000), (B, 50_000))
FATES = ("in_flow", "no_flow", "fragments", "damaged", "sampled_out", "no_memory")
SAYS = st.builds(
    Step, SIDES, st.sampled_from(("ack", "data", "old", "half", "again", "alive", "zero")), st.integers(1, 3000), st.sampled_from(LATER)
)


def talk(*steps: Step, first: Sequence[int] = (1000, 2000)) -> list[Packet]:
    return Tcp(ENDS, first).packets(steps)


def fates(of: Any) -> int:
    return sum(getattr(of, fate) for fate in FATES)


# -- the model ----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(traffic())
def test_the_rows_are_those_of_the_model(made: list[Packet]) -> None:
    """Packet by packet, so that flows end with the same packets. What C had no room for it counts, and that is not compared."""
    model, into, given_rows = Model(), flows(), rows(made)
    equal = [plainly(found(into, given_rows[at : at + 1])) == sorted(model.take(row)) for at, row in enumerate(given_rows)]
    equal.append(plainly(conns(into.end())) == sorted(model.end()))
    assert all(equal) or into.counts().letters_lost


# -- what must hold -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(traffic(), st.lists(st.integers(0, 40), max_size=5))
def test_batches_make_no_difference(made: list[Packet], cuts: list[int]) -> None:
    whole, into = rows(made), flows()
    parts = [found(into, whole[begin:end]) for begin, end in pairwise([0, *sorted(cuts), len(made)]) if begin < end]
    assert np.concatenate([*parts, conns(into.end())]).tolist() == all_of(whole).tolist()


@settings(max_examples=100)
@given(traffic(), st.randoms(use_true_random=False))
def test_each_packet_is_counted_once(made: list[Packet], chance: Any) -> None:
    """In whatever order they come, some of them lost, and some twice."""
    made = chance.choices(made, k=len(made)) if made else made
    given_rows, into = rows(made), flows()
    ended = np.concatenate([found(into, given_rows), conns(into.end())])
    counts = into.counts()
    assert fates(counts) == len(made)
    assert counts.in_flow == sum(ended["orig_pkts"] + ended["resp_pkts"])
    assert sum(ended["orig_ip_bytes"] + ended["resp_ip_bytes"]) == sum(given_rows["ip_length"])
    assert counts.begun == counts.ended == len(ended)
    for column in ("duration", "orig_bytes", "resp_bytes", "missed_bytes", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes"):
        assert max(ended[column], default=0) < 2**63, f"{column} went below 0"
    for end in ("orig", "resp"):
        assert all((ended[f"{end}_pkts"] == 0) == (ended[f"{end}_ip_bytes"] == 0))


@settings(max_examples=100)
@given(st.lists(SAYS, max_size=20), st.sampled_from([*PARTINGS, ()]), st.lists(st.integers(3, 30)))
def test_no_more_bytes_than_were_sent(steps: list[Step], end: tuple[Step, ...], late: list[int]) -> None:
    """Of those who acknowledge what they have, whatever was sent twice or came too late."""
    made = talk(*HANDSHAKE, *(step._replace(later=10**6) for step in steps), *end)
    for at in late:
        made[at : at + 3] = made[at + 1 : at + 3] + made[at : at + 1]
    (row,) = all_of(rows(made))
    for name, (host, _) in zip(("orig_bytes", "resp_bytes"), ENDS, strict=True):
        sent = {octet for packet in made if packet.src == host for octet in range(packet.seq, packet.seq + packet.payload)}
        assert row[name] <= len(sent)
    assert row["missed_bytes"] <= row["orig_bytes"] + row["resp_bytes"] + 2  # FINs that come behind their acknowledgements, as in Zeek


def test_uids_tell_flows_apart() -> None:
    made = rows([Packet(START + i % 7, A, B, UDP, 1000 + i, 53) for i in range(5000)])
    uids = {bytes(uid) for uid in all_of(made)["uid"]}
    assert len(uids) == 5000
    assert uids == {bytes(uid) for uid in all_of(made)["uid"]}
    assert not uids & {bytes(uid) for uid in all_of(made, secret=bytes(16))["uid"]}


def test_uids_of_the_same_endpoints_at_the_same_time_differ() -> None:
    """Where a capture has no times, or coarse ones, and a port is used again."""
    made = rows([Packet(START, A, B, 6, 40_000, 80, flags=SYN, seq=seq) for seq in (1, 100_000, 200_000)])
    assert len({bytes(row["uid"]) for row in all_of(made)}) == 3


@settings(max_examples=50)
@given(traffic())
def test_sampling_leaves_whole_flows_out(made: list[Packet]) -> None:
    given_rows, into = rows(made), flows(sample=2)
    kept = plainly(np.concatenate([found(into, given_rows), conns(into.end())]))
    counts = into.counts()
    assert fates(counts) == len(made)
    assert counts.in_flow == sum(sum(conn.packets) for conn in kept)
    assert {(conn.orig, conn.resp) for conn in kept} <= {(conn.orig, conn.resp) for conn in plainly(all_of(given_rows))}


def test_flows_go_on_after_the_end_of_a_part() -> None:
    into = flows()
    for part in range(3):
        assert not len(found(into, rows([Packet(START + part, A, B, UDP, 1000 + i, 53) for i in range(5000)])))
        assert len(conns(into.end())) == 5000


# -- a flood ------------------------------------------------------------------------------------------------------------------------


def flood(count: int, begin: int = START, seed: int = 1) -> Rows:
    """SYNs of sources that are not there, 10 microseconds apart."""
    made = np.repeat(rows([Packet(begin, A, B, 6, 1, 443, flags=SYN)]), count)
    chance = np.random.default_rng(seed)
    made["ts"] += np.arange(count, dtype=np.uint64) * np.uint64(10_000)
    sources = np.frombuffer(mapped("172.16.0.0") * count, np.uint8).reshape(-1, 16).copy()
    sources[:, 13:] = chance.integers(0, 256, (count, 3))
    made["src"] = sources.view("V16")[:, 0]
    made["sport"], made["seq"] = chance.integers(1, 2**16, count), chance.integers(0, 2**32, count)
    return made


def test_a_flood_leaves_those_who_answer() -> None:
    spoofed = flood(200_000)
    step = Step(0, "data", 100, 0)
    steps = [*(step._replace(later=0) for step in HANDSHAKE), step, *[step._replace(side=1, size=1000)] * 3, Step(0, "ack", 1, 0)]
    for number in range(100):  # each goes on for as long as the flood does, a packet in 20,000 of it
        known = rows(Tcp([("192.0.2.1", 10_000 + number), (B, 443)], (5, 7)).packets(steps))
        at = number + 200 + np.arange(len(known)) * 20_000
        known["ts"] = spoofed["ts"][at]
        spoofed[at] = known
    into = flows(most=20_000)
    during, counts = found(into, spoofed), into.counts()
    assert (counts.in_flow, counts.begun, counts.ended, counts.flows) == (200_000, 199_300, 179_300, 20_000)
    assert counts.evicted == counts.ended == len(during)
    assert not any(during["resp_pkts"])
    left = conns(into.end())
    answered = left[left["resp_pkts"] > 0]
    assert len(left) == 20_000
    assert len(answered) == 100
    exact = {
        "orig_pkts": 4,
        "resp_pkts": 4,
        "orig_bytes": 100,
        "resp_bytes": 3000,
        "orig_ip_bytes": 260,
        "resp_ip_bytes": 3160,
        "missed_bytes": 0,
    }
    for name, value in exact.items():
        assert set(answered[name]) == {value}, name


def test_floods_one_after_the_other_take_no_more_memory() -> None:
    into, octets = flows(most=10_000), []
    for number in range(6):
        found(into, flood(50_000, START + number * SECOND, number))
        octets.append(into.counts().octets)
    assert len(set(octets[1:])) == 1
    assert octets[-1] < 10_000 * 1200 + (1 << 20)


def test_what_only_carries_is_no_flow_that_was_evicted(tmp_path: Path) -> None:
    inner = ip(bytes(20), 50, A, B)  # of no flow itself
    frames = [ethernet(ip(inner, 4, f"192.0.2.{i}", B), 0x0800) for i in range(1, 21)]
    into = flows(most=8)
    found(into, packets(capture(frames, tmp_path), carriers=True))
    counts = into.counts()
    assert (counts.begun, counts.ended, counts.evicted, counts.flows, counts.only_carrying) == (0, 0, 0, 0, 8)
    assert fates(counts) == 40


# -- datagrams in pieces ------------------------------------------------------------------------------------------------------------


def capture(frames: Sequence[bytes], folder: Path, name: str = "made.pcap") -> Path:
    """Frames a millisecond apart, as a file."""
    (folder / name).write_bytes(timed((number * 10**6, frame) for number, frame in enumerate(frames)))
    return folder / name


LARGE4 = udp(A, B, 4000, 5000, bytes(64_900))
UDP4, UDP6 = udp(A, B, 4000, 5000, bytes(4000)), udp(A6, B6, 4000, 5000, bytes(4000))
ECHO = ip(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(2992), 1, A, B)


def with_options(packet: bytes) -> bytes:
    """A TCP packet over IPv6, with time stamps."""
    header, segment = packet[:40], packet[40:]
    segment = segment[:12] + bytes([8 << 4]) + segment[13:20] + struct.pack("!BBBBII", 1, 1, 8, 10, 1, 2) + segment[20:]
    return header[:4] + struct.pack("!H", len(segment)) + header[6:] + segment


def with_router_alert(packet: bytes) -> bytes:
    """An IPv4 packet with an option of four octets (RFC 2113)."""
    length = int.from_bytes(packet[2:4], "big") + 4
    return bytes([0x46]) + packet[1:2] + struct.pack("!H", length) + packet[4:20] + bytes([0x94, 4, 0, 0]) + packet[20:]


SYN6 = with_options(tcp(A6, B6, 4000, 5000, 0x12, payload=bytes(2000)))
SYN4, DATA4 = tcp(A, B, 4000, 5000, 2), tcp(A, B, 4000, 5000, 0x18, payload=bytes(100))  # nmap -f sends such a SYN in three pieces


@pytest.mark.parametrize(
    ("packet", "frames", "payload"),
    [
        (UDP4, pieces(UDP4, 1480, 2960), 4000),
        (UDP4, pieces(UDP4, 1480, 2960)[::-1], 4000),
        (UDP4, [*pieces(UDP4, 1480, 2960)[:2], *pieces(UDP4, 1480, 2960)[1:]], 4000),  # one twice
        (UDP4, [pieces(UDP4, 1480)[0], pieces(UDP4, 800, 2960)[1], pieces(UDP4, 2000)[1]], 4000),  # they overlap
        (UDP6, pieces(UDP6, 1448, 2896), 4000),
        (UDP6, pieces(UDP6, 1448, 2896)[::-1], 4000),
        (ECHO, pieces(ECHO, 1480), 2992),
        (SYN6, pieces(SYN6, 1448), 2000),
        (SYN6, pieces(SYN6, 1448)[::-1], 2000),
        (SYN4, pieces(SYN4, 8, 16), 0),
        (SYN4, pieces(SYN4, 8, 16)[::-1], 0),
        (SYN4, pieces(SYN4, 16), 0),
        (SYN6, pieces(SYN6, 24, 600), 2000),
        (DATA4, pieces(DATA4, 8, 16, 64), 100),
    ],
    ids=(
        "in-order reversed twice overlapping ipv6 ipv6-reversed icmp tcp-over-ipv6 tcp-over-ipv6-reversed "
        "header-by-8 header-by-8-reversed header-by-16 options-apart data-too"
    ).split(),
)
def test_a_datagram_in_pieces_is_one_packet(packet: bytes, frames: list[bytes], payload: int, tmp_path: Path) -> None:
    into = flows()
    given_rows = packets(capture(frames, tmp_path))
    ended = np.concatenate([found(into, given_rows), conns(into.end())])
    (conn,) = plainly(ended)
    assert {sum(conn.packets), max(conn.packets)} == {1}
    assert {sum(conn.ip_bytes), max(conn.ip_bytes)} == {len(packet)}
    assert sum(conn.bytes) == payload
    assert conn.history in ("", "D", "HT", "S")
    assert conn.ts == given_rows["ts"][-1], "it is there when its last piece is"
    counts = into.counts()
    assert (counts.in_flow, counts.fragments, counts.fragments_waiting, fates(counts)) == (1, len(frames) - 1, 0, len(frames))


def changed(frame: bytes) -> bytes:
    """With other octets at its end."""
    return frame[:-16] + bytes(255 - octet for octet in frame[-16:])


@pytest.mark.parametrize(
    ("frames", "kept", "odd"),
    [
        (pieces(UDP4, 1480, 2960), True, set()),
        (pieces(UDP4, 1480, 2960), False, set()),
        (pieces(UDP4, 24, 2960), True, {"excessively_small_fragment"}),
        (pieces(UDP4, 24, 2960), False, {"excessively_small_fragment"}),
        ([*pieces(UDP4, 1480, 2960)[:2], *pieces(UDP4, 1480, 2960)[1:]], True, {"fragment_overlap"}),
        ([*pieces(UDP4, 1480, 2960)[:2], changed(pieces(UDP4, 1480, 2960)[1]), pieces(UDP4, 2960)[1]], True, {"fragment_inconsistency"}),
        ([pieces(UDP4, 1480)[0], pieces(UDP4[:-8], 2960)[1], pieces(UDP4, 2960)[1]], False, {"fragment_size_inconsistency"}),
        ([pieces(UDP4, 1480)[1], changed(pieces(UDP4, 800, 2960)[1])], True, {"fragment_inconsistency"}),
        (pieces(LARGE4, 48_000), False, {"excessively_large_fragment"}),
        (pieces(SYN4, 16), True, {"excessively_small_fragment"}),
        (pieces(UDP6, 1448, 2896), True, set()),
    ],
)
def test_pieces_that_do_not_fit_are_odd(frames: list[bytes], kept: bool, odd: set[str], tmp_path: Path) -> None:
    """Zeek's src/Frag.cc says what is. What they carry is compared where it is kept."""
    into = Flows("made", FlowSettings(SECRET, weirds_a_second=100), messages=kept)
    with Capture(str(capture(frames, tmp_path)), Ledger(), payloads=kept, carriers=True) as source:
        made = [batch.copy() for some in source.read() for batch in into.find(some)]
    names = [WEIRD.column("name").names[row["name"]] for batch in [*made, *into.end()] if batch.record is WEIRD for row in batch.rows]
    assert set(names) == odd
    assert len(names) == len(odd)


def test_pieces_that_pass_two_interfaces_are_not_odd(tmp_path: Path) -> None:
    """A router shows each of them twice, and the datagram comes once."""
    made = Pcapng().section().interface((2, b"in")).interface((2, b"out"))
    for number, frame in enumerate(pieces(UDP4, 1480, 2960)):
        for interface in range(2):
            made.enhanced(frame, units=2 * number + interface, interface=interface)
    (tmp_path / "made.pcapng").write_bytes(made.data)
    into = Flows("made", FlowSettings(SECRET, weirds_a_second=100), messages=True)
    with Capture(str(tmp_path / "made.pcapng"), Ledger(), payloads=True, carriers=True) as source:
        found = [batch.copy() for some in source.read() for batch in into.find(some)]
    assert not [batch for batch in [*found, *into.end()] if batch.record is WEIRD]
    assert into.counts().in_flow == 1


def test_datagrams_in_pieces_carry_what_they_carried(tmp_path: Path) -> None:
    """More of them at a time than there are groups of places where they are put together."""
    said = []
    for number in range(1000):
        question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + b"\3big\0\0\x10\0\1"
        said += [ethernet(udp(A, B, 20_000 + number, 53, question), 0x0800)]
        said += pieces(udp(B, A, 53, 20_000 + number, answer(question)), 1480, identification=number)
    into = Flows("made", FlowSettings(SECRET), messages=True)
    with Capture(str(capture(said, tmp_path)), Ledger(), payloads=True, carriers=True) as source:
        found = [row for some in source.read() for batch in into.find(some) if batch.record is DNS for row in batch.rows.tolist()]
    assert [row[DNS.dtype.names.index("trans_id")] for row in found] == list(range(1000))
    assert all("TXT 255 x" in str(row) for row in found)


def test_pieces_of_several_datagrams_are_told_apart(tmp_path: Path) -> None:
    sent = [
        (udp(A, B, 4000, 5000, bytes(3000)), 1),
        (udp(A, B, 4001, 5000, bytes(4000)), 2),  # another number
        (udp(B, A, 5000, 4000, bytes(2000)), 1),  # the other way
        (udp(A6, B6, 4000, 5000, bytes(3500)), 1),
    ]
    each = [pieces(packet, 1448, identification=number) for packet, number in sent]
    frames = [*(one for one, _ in each), *(other for _, other in reversed(each))]
    told = plainly(all_of(packets(capture(frames, tmp_path))))
    assert sorted(conn.ip_bytes for conn in told) == [(2028, 3028), (3548, 0), (4028, 0)]


def test_pieces_of_two_networks_with_the_same_addresses(tmp_path: Path) -> None:
    first, last = pieces(UDP4, 1480)
    tagged = [frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:] for frame in (first, last) for vlan in (5, 6)]
    told = plainly(all_of(packets(capture(tagged, tmp_path)), flow_key=("vlan",)))
    assert [conn.ip_bytes for conn in told] == [(len(UDP4), 0)] * 2


def test_pieces_of_a_packet_with_ip_options(tmp_path: Path) -> None:
    """What comes before TCP's header is no part of what comes in pieces."""
    packet = tcp(A, B, 4000, 5000, 0x10, payload=bytes(100))
    frames = [ethernet(with_router_alert(frame[14:]), 0x0800) for frame in pieces(packet, 48, 80)]
    told = plainly(all_of(packets(capture(frames, tmp_path))))
    assert [conn.ip_bytes for conn in told] == [(len(packet) + 4, 0)]
    assert not len(all_of(packets(capture([frames[0], *frames[2:]], tmp_path))))


def test_pieces_that_never_become_whole(tmp_path: Path) -> None:
    into = flows()
    first, _, last = pieces(UDP4, 1480, 2960)
    assert not len(found(into, packets(capture([first, last], tmp_path))))
    counts = into.counts()
    assert (counts.fragments, counts.fragments_waiting, counts.fragments_given_up, counts.begun) == (2, 2, 0, 0)
    lost = packets(capture([pieces(UDP4, 1480)[0]], tmp_path)).repeat(20_000)
    lost["ip_id"] = np.arange(20_000)
    assert not len(found(into, lost))
    counts = into.counts()
    assert counts.fragments == counts.fragments_waiting + counts.fragments_given_up == 20_002
    assert 2000 <= counts.fragments_waiting <= 4096


def test_pieces_that_are_left_out(tmp_path: Path) -> None:
    """Sampling looks at datagrams: either all of one is taken, or nothing."""
    fate = set()
    for secret in range(20):
        into = flows(sample=2, secret=bytes([secret]) * 16)
        found(into, packets(capture(pieces(UDP4, 1480, 2960), tmp_path)))
        counts = into.counts()
        fate.add((counts.in_flow, counts.sampled_out, counts.fragments, counts.fragments_waiting))
    assert fate == {(1, 0, 2, 0), (0, 1, 2, 0)}


# -- files --------------------------------------------------------------------------------------------------------------------------


def test_two_files_are_as_one(tmp_path: Path) -> None:
    frames = [ethernet(tcp(A, B, 4000, 80, 0x02, seq=9), 0x0800), ethernet(tcp(B, A, 80, 4000, 0x12, seq=99, ack=10), 0x0800)]
    frames += [ethernet(tcp(A, B, 4000, 80, 0x18, seq=10 + 10 * i, ack=100, payload=bytes(10)), 0x0800) for i in range(20)]
    frames += [ethernet(udp(A6, B6, 5000 + i % 3, 53, b"x"), 0x86DD) for i in range(20)] + pieces(UDP4, 1480, 2960)
    whole = packets(capture(frames, tmp_path))
    for cut in (1, 2, 10, 30, len(frames) - 1):
        parts, into = [], flows()
        for number, name in enumerate(("first.pcap", "second.pcap")):
            part = packets(capture(frames[cut:] if number else frames[:cut], tmp_path, name))
            part["ts"] += np.uint64(cut * 10**6 * number)
            parts.append(conns(into.find(Batch(PACKET, part, {0: name}))))
        ended = np.concatenate([*parts, conns(into.end())])
        expected = all_of(whole)
        ended["interface"] = expected["interface"] = 0
        assert ended.tolist() == expected.tolist()


# -- what once was wrong ------------------------------------------------------------------------------------------------------------


def test_a_side_is_not_done_while_the_other_has_not_acknowledged() -> None:
    """As in Zeek, so that what comes after two FINs still counts for the duration."""
    made = talk(*HANDSHAKE, Step(1, "data", 100), Step(1, "fin", 4))
    fin = made[-1]._replace(ts=made[-1].ts + 10**6, src=A, dst=B, sport=40_000, dport=50_000, seq=1001, ack=2001)  # not even the data
    made += [fin, fin._replace(ts=fin.ts + SECOND, flags=RST, seq=1002)]
    (conn,) = plainly(all_of(rows(made)))
    assert (conn.history, conn.state, conn.duration) == ("ShAdfFR", "SF", made[-1].ts - START - 10**6)


def test_a_scan_by_syn_acks_is_of_who_sent_it() -> None:
    """Nobody acknowledges it (Zeek's reason too: backscatter and stealth scans)."""
    syn_ack = Packet(START, B, A, TCP, 50_000, 40_000, 0, SYN | ACK, 2000, 1001)
    reset = Packet(START + 1, A, B, TCP, 40_000, 50_000, 0, RST, 1001, 0)
    acked = Packet(START + 1, A, B, TCP, 40_000, 50_000, 0, ACK, 1001, 2001)
    assert [(conn.orig[1], conn.history, conn.state) for conn in plainly(all_of(rows([syn_ack])))] == [(50_000, "H", "OTH")]
    assert [(conn.orig[1], conn.history, conn.state) for conn in plainly(all_of(rows([syn_ack, reset])))] == [(50_000, "Hr", "REJ")]
    assert [(conn.orig[1], conn.history) for conn in plainly(all_of(rows([syn_ack, syn_ack, acked])))] == [(40_000, "^hA")]
    by_port = [packet._replace(sport=80) for packet in (syn_ack,)]
    assert [(conn.orig[1], conn.history) for conn in plainly(all_of(rows(by_port)))] == [(40_000, "^h")]


def test_a_header_that_cannot_be_ends_nothing(tmp_path: Path) -> None:
    """A RST whose header claims to be shorter than a header is, or longer than the packet."""
    made = [tcp(A, B, 4000, 5000, 2), tcp(B, A, 5000, 4000, 0x12), tcp(A, B, 4000, 5000, 0x10)]
    for offset in (2, 15):
        forged = bytearray(tcp(A, B, 4000, 5000, 4))
        forged[32] = offset << 4
        made.append(bytes(forged))
    into = flows()
    found(into, packets(capture([ethernet(packet, 0x0800) for packet in made], tmp_path)))
    (conn,) = plainly(conns(into.end()))
    assert (conn.state, sum(conn.packets), into.counts().no_flow) == ("S1", 3, 2)


def test_a_large_gap_does_not_end_the_looking_for_gaps() -> None:
    """What counts against the 10 MB that may wait is what came, and not what is missing."""
    lost = [Step(0, "lost", 20 << 20), Step(0, "data"), Step(1, "ack"), Step(0, "lost", 1000), Step(0, "data"), Step(1, "ack")]
    (conn,) = plainly(all_of(rows(talk(*HANDSHAKE, Step(0, "data"), Step(1, "ack"), *lost))))
    assert (conn.missed_bytes, conn.history) == ((20 << 20) + 1000, "ShADaG")


def test_octets_further_off_than_numbers_reach() -> None:
    """Of 3 GB only SYN and FIN were captured, and what comes then is 1 GB behind the FIN: ahead of what is missing, and not before it."""
    made = talk(*HANDSHAKE, Step(0, "lost", 3 << 30), Step(0, "fin", 4))
    made.append(made[-1]._replace(ts=made[-1].ts + 1, seq=1001, payload=1))
    made.append(made[1]._replace(ts=made[-1].ts + 1, flags=ACK, seq=2001, ack=1003))
    (conn,) = plainly(all_of(rows(made)))
    model = Model()
    assert [conn] == [ended for row in rows(made) for ended in model.take(row)] + model.end()
    assert (conn.missed_bytes, conn.history) == (0, "ShAFFa")


def test_who_talks_to_himself() -> None:
    """A socket that is connected to itself: there is one side, whatever the ports and flags say of who answers."""
    made = Tcp([(A, 53), (A, 53)], (1000, 1000)).packets([Step(1, "syn-ack"), Step(0, "data", 10), Step(1, "data", 10)])
    (conn,) = plainly(all_of(rows(made)))
    assert (conn.packets, conn.history) == ((3, 0), "HD")
