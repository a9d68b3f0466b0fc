"""What a path does to a flow, between two hosts whose distances from here are known: so is what a flow's row must tell."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from conversations import ACK, FIN, ICMP, PSH, RST, SECOND, START, SYN, TCP, UDP, Packet, mapped, rows
from flowing import NAMES, Rows, all_of, conns, flows, found
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records import CONN_LONG, ENUMS, PACKET, Batch
from headwater.records.layouts import HAS

A, B, ROUTER = "10.0.0.1", "10.0.0.2", "192.0.2.1"
ENDS = ((A, 40_000), (B, 80))
TO_A, TO_B = 8 * 10**6, 24 * 10**6  # from here and back, nanoseconds
TRIP = TO_A + TO_B
TICK = 10**6  # of time stamps
CONN_HAS = {name: bit for bit, name in ENUMS["hw_conn_has"].items()}
REASONS = {name: value for value, name in ENUMS["hw_conn_end"].items()}


class Seen:
    """Packets as they come by here. `stamps` is whether they have time stamps."""

    def __init__(self, *, stamps: bool = False) -> None:
        self.packets: list[Packet] = []
        self.stamped: list[tuple[int, int]] = []
        self.stamps = stamps
        self.next = [1000, 5000]
        self.heard = [0, 0]  # the time stamp that each side has to echo

    def send(self, ts: int, side: int, flags: int = ACK, payload: int = 0, *, back: int = 0, window: int = 512) -> None:
        """From that many octets further back than what is next."""
        (src, sport), (dst, dport) = ENDS[side], ENDS[1 - side]
        seq = self.next[side] - back
        self.packets.append(Packet(START + ts, src, dst, TCP, sport, dport, payload, flags, seq, self.next[1 - side], window))
        self.stamped.append(((ts - (TO_A, TO_B)[side] // 2 + SECOND) // TICK, self.heard[side]))
        if not back:
            self.next[side] = seq + payload + bool(flags & SYN) + bool(flags & FIN)
        self.heard[1 - side] = self.stamped[-1][0]

    def shake_hands(self) -> int:
        """Returns when it is done."""
        self.send(0, 0, SYN)
        self.send(TO_B, 1, SYN | ACK)
        self.send(TRIP, 0)
        return TRIP

    def rows(self) -> Rows:
        made = rows(self.packets)
        if self.stamps:
            made["has"] |= HAS["timestamps"]
            made["tsval"], made["tsecr"] = zip(*self.stamped, strict=True)
        made["ttl"] = 64
        return made

    def conn(self) -> Any:
        (row,) = all_of(self.rows())
        return row


def told(row: Any, *columns: str) -> list[int]:
    return [int(row[f"{end}_{column}"]) for end in ("orig", "resp") for column in columns]


def named(row: Any) -> str:
    return ENUMS["hw_conn_end"][int(row["end_reason"])]


# -- round trips --------------------------------------------------------------------------------------------------------------------

stamped = pytest.mark.parametrize("stamps", [False, True], ids=["acks", "stamps"])


@stamped
def test_round_trips_and_the_handshake(stamps: bool) -> None:
    seen = Seen(stamps=stamps)
    at = seen.shake_hands()
    for _ in range(20):
        seen.send(at, 0, PSH | ACK, 100)
        seen.send(at + TO_B, 1, PSH | ACK, 1000)
        at += TRIP + SECOND  # then the client thinks, and acknowledges at once
        seen.send(at - SECOND, 0)
    row = seen.conn()
    assert (row["syn_ack_time"], row["ack_time"]) == (TO_B, TO_A)
    assert told(row, "rtt") == [TO_A, TO_B]
    assert told(row, "first_data") == [TRIP, TRIP + TO_B]
    assert told(row, "retransmits", "dup_acks", "out_of_order", "retransmitted_bytes") == [0] * 8


@stamped
def test_a_round_trip_of_what_was_sent_again_is_that_of_the_second(stamps: bool) -> None:
    """By its time stamp; without one it is not known which of the two was acknowledged, and nothing is learned (Karn)."""
    seen = Seen(stamps=stamps)
    at = seen.shake_hands()
    seen.send(at, 0, PSH | ACK, 100)
    seen.send(at + SECOND, 0, PSH | ACK, 100, back=100)
    seen.send(at + SECOND + TO_B, 1)
    row = seen.conn()
    assert told(row, "rtt") == [TO_A, TO_B]
    assert told(row, "retransmits", "retransmitted_bytes") == [1, 100, 0, 0]


def test_a_round_trip_is_smoothed() -> None:
    seen = Seen()
    at = seen.shake_hands()
    seen.send(at, 0, ACK, 100)
    seen.send(at + 9 * TO_B, 1)
    assert told(seen.conn(), "rtt") == [TO_A, TO_B * 2]  # 7/8 and 9 * 1/8


def test_without_a_handshake_there_is_no_time_of_it() -> None:
    seen = Seen()
    seen.send(0, 0, ACK, 10)
    seen.send(TO_B, 1)
    row = seen.conn()
    has = {name for bit, name in ENUMS["hw_conn_has"].items() if row["has"] & bit}
    assert not has & {"syn_ack", "handshake", "orig_rtt", "resp_data"}
    assert {"orig", "resp", "tcp", "resp_rtt", "orig_data"} <= has


def test_a_handshake_begins_with_the_first_syn() -> None:
    seen = Seen()
    seen.send(0, 0, SYN)
    seen.send(SECOND, 0, SYN, back=1)
    seen.send(SECOND + TO_B, 1, SYN | ACK)
    seen.send(2 * SECOND + TO_B, 1, SYN | ACK, back=1)
    seen.send(2 * SECOND + TRIP, 0)
    row = seen.conn()
    assert (row["syn_ack_time"], row["ack_time"]) == (SECOND + TO_B, SECOND + TO_A)
    assert told(row, "retransmits", "retransmitted_bytes") == [1, 0, 1, 0]


# -- lost, again, late --------------------------------------------------------------------------------------------------------------

AFTER = {"overtaken": 100, "twice": 200, "lost before here": TRIP + 2 * TICK, "lost behind here": TRIP + 2 * TICK}
"""How long after the flight's last segment what is late, or comes again, is seen; nanoseconds."""
FATES = ("whole", "whole", *AFTER)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.lists(st.sampled_from(FATES), min_size=2, max_size=4), st.integers(1, 1460)), max_size=6), st.booleans())
def test_what_is_sent_again_and_what_comes_late_is_counted(flights: list[tuple[list[str], int]], stamps: bool) -> None:
    """Flights of equal segments of the responder, each of which is whole before the next begins."""
    seen = Seen(stamps=stamps)
    at = seen.shake_hands()
    again = late = octets = 0
    for fates, size in flights:
        begin, later, last = seen.next[1], [], len(fates) * 1000
        for number, fate in enumerate([*fates, "whole"]):  # something comes behind each hole
            place = begin + number * size
            if fate in ("lost before here", "overtaken"):
                seen.next[1] += size
            else:
                seen.send(at + number * 1000, 1, ACK, size)
            if fate != "whole":
                later.append((place, last + AFTER[fate] + number))
        for place, after in sorted(later, key=lambda one: one[1]):
            seen.send(at + after, 1, ACK, size, back=seen.next[1] - place)
            last = after
        late += fates.count("overtaken")
        again += len(later) - fates.count("overtaken")
        octets += (len(later) - fates.count("overtaken")) * size
        seen.send(at + last + TO_A, 0)
        at += last + 2 * TRIP
    row = seen.conn()
    assert told(row, "retransmits", "retransmitted_bytes", "out_of_order") == [0, 0, 0, again, octets, late]


def test_a_keep_alive_is_not_sent_again() -> None:
    seen = Seen()
    at = seen.shake_hands()
    seen.send(at, 0, ACK, 100)
    seen.send(at + TO_B, 1)
    for second in range(1, 4):
        seen.send(at + second * SECOND, 0, ACK, second & 1, back=1)
        seen.send(at + second * SECOND + TO_B, 1)
    assert told(seen.conn(), "retransmits", "dup_acks") == [0] * 4


def test_a_fin_that_is_sent_again() -> None:
    seen = Seen()
    at = seen.shake_hands()
    seen.send(at, 0, FIN | ACK)
    seen.send(at + SECOND, 0, FIN | ACK, back=1)
    seen.send(at + SECOND + TO_B, 1)
    assert told(seen.conn(), "retransmits", "retransmitted_bytes") == [1, 0, 0, 0]


def test_acknowledgements_of_nothing_new() -> None:
    seen = Seen()
    at = seen.shake_hands()
    seen.send(at, 1, ACK, 100)
    seen.send(at + TO_A, 0)
    acked = seen.packets[-1]
    seen.send(at + TO_A, 1, ACK, 100)  # lost behind here
    for more in range(1, 4):
        seen.send(at + TO_A + more * 1000, 1, ACK, 100)
        seen.packets.append(acked._replace(ts=seen.packets[-1].ts + TO_A))
    seen.packets.append(acked._replace(ts=seen.packets[-1].ts + 1, window=1000))  # tells a window
    row = all_of(rows(seen.packets))[0]
    assert told(row, "dup_acks") == [3, 0]


def test_windows_that_are_full() -> None:
    seen = Seen()
    at = seen.shake_hands()
    for second in range(12):
        seen.send(at + second * SECOND, 0, window=0)
    row = seen.conn()
    assert told(row, "zero_windows") == [12, 0]
    assert bytes(row["history"]).rstrip(b"\0") == b"ShAWW"


# -- marks --------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 255), st.integers(0, 63), st.integers(0, 3)), min_size=1, max_size=12))
def test_marks_of_packets(marks: list[tuple[int, int, int, int]]) -> None:
    made = rows(
        [
            Packet(START + i, *(ENDS[s][0] for s in (side, 1 - side)), UDP, *(ENDS[s][1] for s in (side, 1 - side)))
            for i, (side, *_) in enumerate(marks)
        ]
    )
    made["ttl"], made["dscp"], made["ecn"] = zip(*(mark[1:] for mark in marks), strict=True)
    (row,) = all_of(made)
    orig = int(bytes(row["id.orig_h"]) != mapped(A))
    for end, side in (("orig", orig), ("resp", 1 - orig)):
        mine = [mark for which, *mark in marks if which == side]
        assert bool(row["has"] & next(bit for bit, name in ENUMS["hw_conn_has"].items() if name == end)) == bool(mine)
        if mine:
            ttls, dscps, ecns = zip(*mine, strict=True)
            assert (row[f"{end}_ttl"], row[f"{end}_ttl_max"]) == (min(ttls), max(ttls))
            assert (row[f"{end}_dscp"], row[f"{end}_dscp_last"]) == (dscps[0], dscps[-1])
            assert row[f"{end}_ecn"] == sum(1 << ecn for ecn in set(ecns))


def test_what_each_side_says_when_it_begins() -> None:
    seen = Seen()
    seen.shake_hands()
    made = seen.rows()
    made["has"][:2] |= HAS["mss"]
    made["has"][0] |= HAS["window_scale"]
    made["mss"][:2], made["window_scale"][0] = (1460, 1400), 7
    (row,) = all_of(made)
    has = {name for bit, name in ENUMS["hw_conn_has"].items() if row["has"] & bit}
    assert {"orig_mss", "resp_mss", "orig_scale"} <= has
    assert "resp_scale" not in has
    assert told(row, "mss", "window_scale") == [1460, 7, 1400, 0]
    assert told(row, "tcp_flags") == [SYN | ACK, SYN | ACK]


# -- ends ---------------------------------------------------------------------------------------------------------------------------

HELLO = (Packet(START, A, B, TCP, 40_000, 80, flags=SYN, seq=1), Packet(START + 1, B, A, TCP, 80, 40_000, flags=SYN | ACK, seq=9, ack=2))


def much_later(packet: Packet, seconds: int = 400) -> Packet:
    """A packet of another flow."""
    return packet._replace(ts=packet.ts + seconds * SECOND, src="10.9.9.9", proto=UDP)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ((), "stopped"),
        ((much_later(HELLO[0]),), "timeout"),
        ((HELLO[1]._replace(ts=START + 2, flags=RST | ACK, seq=10),), "rst"),
        ((HELLO[0]._replace(ts=START + 2, flags=FIN | ACK, seq=2, ack=10), much_later(HELLO[0])), "timeout"),
        (
            (
                HELLO[0]._replace(ts=START + 2, flags=FIN | ACK, seq=2, ack=10),
                HELLO[1]._replace(ts=START + 3, flags=FIN | ACK, seq=10, ack=3),
                HELLO[0]._replace(ts=START + 4, flags=ACK, seq=3, ack=11),
            ),
            "fin",
        ),
        ((HELLO[0]._replace(ts=START + SECOND, seq=10**6),), "reused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_a_flow_is_over(more: tuple[Packet, ...], reason: str) -> None:
    row = next(row for row in all_of(rows([*HELLO, *more])) if row["id.resp_p"] == 80 and row["resp_pkts"])
    assert named(row) == reason


def test_nobody_answers() -> None:
    assert named(all_of(rows([HELLO[0], much_later(HELLO[0], 6)]))[0]) == "attempt"


def test_there_was_no_room() -> None:
    into = flows(most=8)
    ended = found(into, rows([Packet(START + i, A, B, UDP, 1000 + i, 53) for i in range(20)]))
    assert {named(row) for row in ended} == {"evicted"}


def error(about: Packet, ts: int, kind: int = 3, code: int = 3) -> Rows:
    """A router's word on that packet."""
    made = rows([Packet(ts, ROUTER, about.src, ICMP, kind, code, 36)])
    made["has"] |= HAS["quoted"] | HAS["quoted_ports"]
    made["quoted_src"], made["quoted_dst"] = mapped(about.src), mapped(about.dst)
    made["quoted_proto"], made["quoted_sport"], made["quoted_dport"] = about.proto, about.sport, about.dport
    return made


QUERY = Packet(START, A, B, UDP, 40_000, 4_000, 10)


@pytest.mark.parametrize("about", [QUERY, HELLO[0]], ids=["udp", "tcp"])
@pytest.mark.parametrize(("kind", "code"), [(3, 3), (11, 0)])
def test_an_icmp_error_ends_a_flow(about: Packet, kind: int, code: int) -> None:
    ended = all_of(np.concatenate([rows([about]), error(about, START + 5, kind, code)], dtype=PACKET.dtype))
    blamed, by = (next(row for row in ended if row["ip_proto"] == proto) for proto in (about.proto, ICMP))
    assert named(blamed) == "icmp_error"
    assert bytes(blamed["ended_by"]) == bytes(by["uid"]) != bytes(12)
    assert bytes(by["ended_by"]) == bytes(12)


@pytest.mark.parametrize(
    ("kind", "after"), [(3, (QUERY._replace(ts=START + 6),)), (5, ()), (4, ())], ids=["it went on", "a redirect", "a source quench"]
)
def test_an_icmp_error_that_ends_nothing(kind: int, after: Iterable[Packet]) -> None:
    parts = [rows([QUERY]), error(QUERY, START + 5, kind, 1), *(rows([packet]) for packet in after)]
    row = next(row for row in all_of(np.concatenate(parts, dtype=PACKET.dtype)) if row["ip_proto"] == UDP)
    assert (named(row), bytes(row["ended_by"])) == ("stopped", bytes(12))


def test_an_icmp_error_told_to_somebody_else() -> None:
    """It goes to who has sent what it is about (RFC 792): two others can say nothing of a flow."""
    made = np.concatenate([rows([QUERY]), error(QUERY, START + 5)], dtype=PACKET.dtype)
    made["dst"][1] = mapped("10.9.9.9")
    row = next(row for row in all_of(made) if row["ip_proto"] == UDP)
    assert (named(row), bytes(row["ended_by"])) == ("stopped", bytes(12))


def test_an_icmp_error_about_nothing_known() -> None:
    assert [named(row) for row in all_of(error(QUERY, START))] == ["stopped"]


# -- flows that go on ---------------------------------------------------------------------------------------------------------------


def progress(made: Rows, every_s: float, cuts: Iterable[int] = ()) -> tuple[Rows, Rows]:
    """Rows of conn_long and of conn."""
    into, batches = flows(progress_s=every_s), []
    for part in np.split(made, list(cuts)):
        batches += [batch.copy() for batch in into.find(Batch(PACKET, part, NAMES))]
    batches += [batch.copy() for batch in into.end()]
    longs = [batch.rows for batch in batches if batch.record is CONN_LONG]
    return np.concatenate([np.empty(0, CONN_LONG.dtype), *longs], dtype=CONN_LONG.dtype), conns(batches)


def test_flows_that_go_on_are_told_of() -> None:
    begin = START // (60 * SECOND) * 60 * SECOND
    made = rows([Packet(begin + second * SECOND, A, B, UDP, 40_000, 4_000, 10) for second in range(5, 305, 10)])
    longs, ended = progress(made, 60)
    assert [(int(row["progress"]) - begin) // SECOND for row in longs] == [120, 180, 240]
    assert longs["orig_pkts"].tolist() == [12, 18, 24]
    assert not longs["end_reason"].any()
    assert (ended["orig_pkts"].tolist(), ended["progress"].tolist()) == ([30], [0])
    assert {bytes(uid) for uid in longs["uid"]} == {bytes(uid) for uid in ended["uid"]}


def test_a_silent_flow_has_no_progress() -> None:
    times = [0, 1, 100, 200, 290]
    made = rows([Packet(START + second * SECOND, A, B, TCP, 40_000, 80, flags=ACK, seq=5, ack=7) for second in times])
    longs, _ = progress(made, 10)
    assert longs["orig_pkts"].tolist() == [2, 3, 4]


def test_years_without_a_packet_take_no_time() -> None:
    made = rows([Packet(START + year * 31_536_000 * SECOND, A, B, UDP, 40_000, 4_000) for year in range(50)])
    longs, ended = progress(made, 0.1)
    assert (len(longs), len(ended)) == (49, 50)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_progress_does_not_depend_on_batches(steps: list[tuple[int, int]], cuts: list[int]) -> None:
    ts, made = START, []
    for port, seconds in steps:
        ts += seconds * SECOND
        made.append(Packet(ts, A, B, UDP, 1000 + port, 53))
    whole = [part.tolist() for part in progress(rows(made), 20)]
    assert whole == [part.tolist() for part in progress(rows(made), 20, sorted(cut for cut in cuts if cut <= len(made)))]


# -- what keeps flows apart ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "column", "layer"),
    [("vlan", "vlan", "vlan"), ("vlan", "vlan_inner", "vlan_inner"), ("vni", "tunnel_id", "tunnel_id"), ("interface", "interface", "")],
)
def test_networks_with_the_same_addresses(key: str, column: str, layer: str) -> None:
    seen = Seen()
    seen.shake_hands()
    made = np.concatenate([seen.rows(), seen.rows(), seen.rows()], dtype=PACKET.dtype)
    made[column] = np.repeat([0, 1, 2], 3)
    made["has"] |= HAS.get(layer, 0)
    made["has"][:3] = seen.rows()["has"]
    made = made[np.argsort(made["ts"], kind="stable")]
    assert len(all_of(made)) == 1
    apart = all_of(made, flow_key=(key,))
    assert len(apart) == len({bytes(uid) for uid in apart["uid"]}) == 3
    assert len({bytes(community) for community in apart["community_id"]}) == 1
    assert set(zip(apart["orig_pkts"].tolist(), apart["resp_pkts"].tolist(), strict=True)) == {(2, 1)}


def test_numbers_that_each_receiver_chooses_keep_nothing_apart() -> None:
    seen = Seen()
    seen.shake_hands()
    made = seen.rows()
    made["has"] |= HAS["tunnel_id"]
    made["tunnel"] = next(value for value, name in ENUMS["hw_tunnel"].items() if name == "gtp")
    made["tunnel_id"] = [1, 2, 1]
    assert len(all_of(made, flow_key=("vni",))) == 1


def test_a_tag_of_priority_alone_keeps_nothing_apart() -> None:
    """IEEE 802.1Q, 9.6: VLAN id 0. The row tells of it all the same, as Zeek's does."""
    seen = Seen()
    seen.shake_hands()
    made = seen.rows()
    made["has"][::2] |= HAS["vlan"] | HAS["vlan_inner"]
    (row,) = all_of(made, flow_key=("vlan",))
    assert row["has"] & CONN_HAS["vlan"] and row["has"] & CONN_HAS["inner_vlan"]
    assert (row["vlan"], row["inner_vlan"]) == (0, 0)
    made["has"] |= HAS["vlan"] | HAS["vlan_inner"]
    made["vlan_inner"] = [200, 200, 201]
    assert len(all_of(made, flow_key=("vlan",))) == 2
