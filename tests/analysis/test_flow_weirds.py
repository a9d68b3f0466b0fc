"""What is odd in flows: a conversation for each name and one beside it that is in order, and conversations by chance beside a model."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest
from conversations import ACK, FIN, PSH, RST, START, SYN, TCP, UDP, Packet, rows, traffic
from flowing import NAMES, Rows, flows
from hypothesis import assume, given, settings
from weird_model import OddModel

from headwater.analysis.flows import Flows
from headwater.analysis.weirds import IGNORED
from headwater.records import CONN, ENUMS, PACKET, WEIRD, Batch
from headwater.records.layouts import HAS

A, B = ("10.0.0.1", 40_000), ("10.0.0.2", 50_000)
URG = 32
MS = 10**6
SECOND = 10**9
Said = tuple[int, ...]  # who (0, 1), flags, number, acknowledgement, octets of payload, window

SHAKE: list[Said] = [(0, SYN, 1000), (1, SYN | ACK, 5000, 1001), (0, ACK, 1001, 5001)]
TALK: list[Said] = [(0, PSH | ACK, 1001, 5001, 100), (1, PSH | ACK, 5001, 1101, 200), (0, ACK, 1101, 5201)]
PART: list[Said] = [(0, FIN | ACK, 1101, 5201), (1, FIN | ACK, 5201, 1102), (0, ACK, 1102, 5202)]
TWICE: list[Said] = [(0, ACK, 1001, 5001, 100), (1, ACK, 5001, 1101)]


def packets(said: Sequence[Said], *, gap: int = MS, ends: Sequence[tuple[str, int]] = (A, B)) -> Rows:
    made = []
    for number, (who, flags, seq, *rest) in enumerate(said):
        ack, payload, window = (*rest, *(0, 0, 512)[len(rest) :])
        (src, sport), (dst, dport) = ends[who], ends[1 - who]
        made.append(Packet(START + number * gap, src, dst, TCP, sport, dport, payload, flags, seq, ack, window))
    return rows(made)


def scaled(made: Rows, *scales: int) -> Rows:
    """The first of them offer these window scales."""
    for row, scale in zip(made, scales, strict=False):
        row["has"] |= HAS["window_scale"]
        row["window_scale"] = scale
    return made


def told(made: Rows, **chosen: Any) -> tuple[Rows, Rows]:
    """The rows of conn and of weird."""
    return of(flows(**{"weirds_a_second": 100_000, **chosen}), made)


def of(into: Flows, made: Rows) -> tuple[Rows, Rows]:
    batches = [batch.copy() for batch in chain(into.find(Batch(PACKET, made, NAMES)), into.end())]
    conns, weirds = (
        np.concatenate([np.empty(0, record.dtype), *(batch.rows for batch in batches if batch.record is record)], dtype=record.dtype)
        for record in (CONN, WEIRD)
    )
    return conns, weirds


def names(weirds: Rows) -> list[str]:
    return [ENUMS["hw_weird"][name] for name in weirds["name"]]


def again(count: int, said: Said) -> list[Said]:
    return [said] * count


@pytest.mark.parametrize(
    ("said", "odd"),
    [
        ([*SHAKE, *TALK, *PART], []),
        (TALK, []),  # joined in its middle
        ([(0, SYN, 1000), (0, SYN, 1000), *SHAKE[1:]], []),
        ([(0, SYN, 1000), (0, SYN, 2000)], ["SYN_seq_jump"]),  # which begins another flow
        ([*SHAKE, (1, SYN | ACK, 6000, 1001)], ["SYN_seq_jump"]),
        ([*SHAKE, (1, SYN | ACK, 5000, 1001)], []),
        ([*SHAKE, *TALK, (1, SYN | ACK, 5000, 1001)], ["SYN_inside_connection"]),
        ([(0, SYN | RST, 1000)], ["TCP_christmas", "spontaneous_RST"]),
        ([(0, SYN | URG, 1000)], ["baroque_SYN"]),
        ([(0, SYN, 1000, 0, 5)], ["SYN_with_data"]),
        ([*SHAKE, (0, ACK, 900, 5001, 10)], ["TCP_seq_underflow_or_misorder"]),
        ([*SHAKE, (0, ACK, 1000, 5001, 1)], []),  # keeps it alive
        ([*SHAKE, (0, RST, 900)], []),
        ([*SHAKE, (0, ACK, 1001, 4900)], ["TCP_ack_underflow_or_misorder"]),
        ([*SHAKE, (0, ACK, 1001, 5000)], []),
        ([*SHAKE, (0, ACK, 1001, 5001, 0, 100)], ["window_recision"]),
        ([*SHAKE, *TALK[:2], (0, ACK, 1101, 5201, 0, 312)], []),  # what came is less room
        ([*SHAKE, (0, RST | ACK, 1001, 5001, 0, 0)], []),
        ([(0, SYN, 1000), (0, ACK, 1001, 5001)], ["possible_split_routing"]),
        ([(0, SYN, 1000, 0, 5), (0, ACK, 1006, 5001)], ["SYN_with_data"]),  # not what is odd first
        ([(1, SYN | ACK, 5000, 1001), (0, ACK, 1001, 5001)], ["connection_originator_SYN_ack"]),
        ([(0, SYN, 1000), (1, SYN | ACK, 5000, 1500)], ["bad_SYN_ack"]),
        ([(0, SYN, 1000), (1, SYN, 1000)], ["simultaneous_open"]),
        ([(0, SYN, 1000), (1, SYN, 5000)], ["SYN_seq_jump"]),  # Zeek takes it for another flow
        ([(0, FIN | ACK, 1001, 5001)], ["spontaneous_FIN"]),
        ([(0, ACK, 1001, 5001, 10), (1, FIN | ACK, 5001, 1011)], []),
        ([(0, RST, 1001)], ["spontaneous_RST"]),
        ([(0, SYN, 1000), (1, RST | ACK, 0, 1001)], []),
        ([(0, SYN, 1000), (0, SYN | ACK, 1000, 5001)], ["repeated_SYN_with_ack"]),
        ([(0, SYN, 1000), (0, FIN | ACK, 1001)], ["inappropriate_FIN"]),
        ([(0, SYN, 1000), (0, PSH, 1001, 0, 10)], ["data_before_established"]),
        ([(0, SYN, 1000), (0, PSH, 1001, 0, 10), (0, PSH, 1011, 0, 10)], ["data_before_established"]),  # once
        ([(0, ACK, 1001, 5001), (0, SYN, 1000)], ["SYN_after_partial"]),
        ([*SHAKE, (1, FIN | ACK, 5001, 1001), (1, SYN | ACK, 5000, 1001)], ["SYN_after_close"]),
        ([*SHAKE, (0, FIN | ACK, 1001, 5001), (0, FIN | ACK, 1101, 5001)], ["FIN_advanced_last_seq"]),
        ([*SHAKE, (0, FIN | ACK, 1001, 5001), (0, FIN | ACK, 1001, 5001)], []),
        ([(0, SYN, 1000), (1, RST | ACK, 0, 1001), (1, SYN | ACK, 5000, 1001)], ["SYN_after_reset"]),
        ([*SHAKE, (0, RST, 1001), (0, FIN | ACK, 1001, 5001)], ["FIN_after_reset"]),
        ([*SHAKE, (0, RST, 1001), (0, ACK, 1001, 5001, 10)], ["data_after_reset"]),
        ([*SHAKE, (0, RST, 1001, 0, 10), (0, RST, 1001, 0, 10)], []),
        ([*SHAKE, (0, ACK, 2001, 5001, 17_000)], ["above_hole_data_without_any_acks"]),
        ([*SHAKE, (0, ACK, 2001, 5001, 10_000)], []),
        ([*SHAKE, *TWICE, *((0, ACK, 1101 + 1_500_000 * n, 5001, 1_500_000) for n in range(8))], ["excessive_data_without_further_acks"]),
        ([*SHAKE, *TWICE, *((0, ACK, 1101 + 1_500_000 * n, 5001, 1_500_000) for n in range(6))], []),
        ([*SHAKE, (0, SYN, 90_000)], ["active_connection_reuse"]),
        ([*SHAKE, *TALK, *PART, (0, SYN, 90_000)], ["premature_connection_reuse"]),
    ],
)
def test_names(said: list[Said], odd: list[str]) -> None:
    assert names(told(packets(said))[1]) == odd


def test_who_used_a_port_before_is_told_while_it_is_news() -> None:
    made = packets([*SHAKE, *TALK, *PART, (0, SYN, 90_000)])
    made["ts"][-1] += 6 * SECOND
    assert not names(told(made)[1])


@pytest.mark.parametrize(
    ("ends", "name"),
    [
        ((A, B), "connection_originator_SYN_ack"),
        ((A, (B[0], 80)), "unsolicited_SYN_response"),  # the port says that it answers
        (((A[0], 443), (B[0], 80)), "connection_originator_SYN_ack"),
    ],
)
def test_an_answer_to_nothing(ends: Sequence[tuple[str, int]], name: str) -> None:
    assert names(told(packets([(1, SYN | ACK, 5000, 1001)], ends=ends))[1]) == [name]


@pytest.mark.parametrize(("flag", "name"), [(FIN, "FIN_storm"), (RST, "RST_storm")])
def test_a_storm_is_a_thousand_within_a_second_each(flag: int, name: str) -> None:
    storm = [*SHAKE, *again(1000, (0, flag | ACK, 1001, 5001))]
    assert names(told(packets(storm, gap=MS))[1]) == [name]
    assert not names(told(packets(storm[:-1], gap=MS))[1])
    late = packets(storm, gap=MS)
    late["ts"][-1] += SECOND
    assert not names(told(late)[1])


def test_window_scales() -> None:
    shake = [(0, SYN, 1000), (1, SYN | ACK, 5000, 1001), (0, ACK, 1001, 5001)]
    assert names(told(scaled(packets(shake), 15))[1]) == ["TCP_scale_range"]
    assert not names(told(scaled(packets(shake), 14))[1])
    assert names(told(scaled(packets([(0, SYN, 1000, 0, 5)]), 15))[1]) == ["SYN_with_data"]  # not what is odd first
    unit = [*shake, (1, ACK, 5001, 1001, 100), (0, ACK, 1001, 5101, 0, 511)]  # 28 octets: scaling leaves no better choice
    assert not names(told(scaled(packets(unit), 7, 7))[1])
    two = [*shake, (0, ACK, 1001, 5001, 0, 511)]
    assert names(told(scaled(packets(two), 7, 7))[1]) == ["window_recision"]


@pytest.mark.parametrize(("payload", "odd"), [(10, ["truncated_tcp_payload"]), (0, [])])
def test_payload_that_was_not_captured(payload: int, odd: list[str]) -> None:
    made = packets([*SHAKE, (0, ACK, 1001, 5001, payload)])
    made["captured"][3] -= 1
    assert names(told(made)[1]) == odd


def test_a_row_names_its_flow_and_who_sent_the_packet() -> None:
    conns, weirds = told(packets([(0, SYN, 1000, 0, 5), (1, SYN | ACK, 5000, 9000), (0, SYN, 70_000)]))
    first, second = conns
    assert names(weirds) == ["SYN_with_data", "bad_SYN_ack", "active_connection_reuse"]
    assert {bytes(row["uid"]) for row in weirds} == {bytes(first["uid"])} != {bytes(second["uid"])}
    rows_of = Batch(WEIRD, weirds, NAMES).to_arrow().to_pylist()
    assert [(row["is_orig"], row["src"], row["sport"], row["dst"], row["dport"]) for row in rows_of] == [
        (True, *A, *B),
        (False, *B, *A),
        (True, *A, *B),
    ]
    assert [row["ts"].value for row in rows_of] == [START, START + MS, START + 2 * MS]
    assert {(row["interface"], row["proto"], row["count"]) for row in rows_of} == {("made", 6, 1)}


def test_datagrams_are_never_odd() -> None:
    assert not names(told(rows([Packet(START + n, A[0], B[0], UDP, 1000, 53, 100, cut=True) for n in range(5)]))[1])


# -- how many ----------------------------------------------------------------------------------------------------------------------


def backscatter(count: int) -> Rows:
    """RSTs of flows that nobody has begun."""
    made = np.repeat(packets([(0, RST, 1001)]), count)
    made["ts"] += np.arange(count, dtype=np.uint64) * np.uint64(MS)
    made["sport"] = 1 + np.arange(count)
    return made


def test_a_second_has_so_many_rows_and_the_rest_is_counted() -> None:
    conns, weirds = told(backscatter(2500), weirds_a_second=100)
    assert len(conns) == 2500 and set(names(weirds)) == {"spontaneous_RST"}
    assert Counter((int(row["ts"]) - START) // SECOND for row in weirds[weirds["count"] == 1]) == {0: 100, 1: 100, 2: 100}
    assert weirds["count"][weirds["count"] > 1].tolist() == [900, 900, 400]
    rest = Batch(WEIRD, weirds[weirds["count"] > 1], NAMES).to_arrow().to_pylist()
    assert {name for row in rest for name, value in row.items() if value is not None} == {"ts", "name", "source", "count"}


def test_all_rows_of_a_batch_come_out() -> None:
    assert len(told(backscatter(5000))[1]) == 5000


def test_none_is_told_unless_asked_for() -> None:
    assert not len(told(backscatter(5), weirds_a_second=0)[1])
    assert not len(told(backscatter(5), ignored_weirds=IGNORED)[1])
    assert len(told(packets([(0, SYN | URG, 1000)]), ignored_weirds=IGNORED)[1]) == 1


# -- by chance ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(traffic())
def test_what_is_odd_is_what_the_model_finds_odd(made: list[Packet]) -> None:
    """In each flow. What C had no room for it counts, and that is not compared."""
    model, into, given_rows = OddModel(), flows(weirds_a_second=100_000), rows(made)
    for row in given_rows:
        model.take(row)
    conns, weirds = of(into, given_rows)
    odd: dict[bytes, set[str]] = {bytes(row["uid"]): set() for row in conns}
    assume(len(odd) == len(conns))  # where time goes back, ends may meet again at the same time
    for row, name in zip(weirds, names(weirds), strict=True):
        odd[bytes(row["uid"])].add(name)
    ours = Counter((int(row["ts"]), bytes(row["id.orig_h"]), int(row["id.orig_p"]), frozenset(odd[bytes(row["uid"])])) for row in conns)
    theirs = Counter((flow.first, *flow.ends[0], frozenset(flow.odd)) for flow in model.every)
    assert ours == theirs or into.counts().letters_lost
