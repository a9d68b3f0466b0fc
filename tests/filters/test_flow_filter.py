"""Filters of flows: the rows that they leave are those that a look at the columns would choose."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import CORPORA

from headwater.analysis.flows import Flows, FlowSettings
from headwater.errors import FilterError, SourceError
from headwater.filters import Filter, FlowFilter
from headwater.records import CONN, CONN_LONG, ENUMS, Batch
from headwater.records.layouts import FilterOf
from headwater.sources.capture import Capture
from headwater.telemetry import Entry, Ledger

Rows = np.ndarray[Any, np.dtype[Any]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
STATES = {name: value for value, name in ENUMS["hw_conn_state"].items()}
MS = 1_000_000


def has(rows: Rows, column: str) -> Mask:
    return Batch(CONN, rows).present(column)


def handshake(rows: Rows) -> Rows:
    return np.where(has(rows, "ack_time"), rows["syn_ack_time"] + rows["ack_time"], 0)


def tcp(rows: Rows) -> Mask:
    return np.asarray(rows["ip_proto"] == 6)


def under(rows: Rows, column: str, prefix: bytes) -> Mask:
    return np.array([bytes(addr).startswith(bytes(10) + b"\xff\xff" + prefix) for addr in rows[column]])


def failed(rows: Rows) -> Mask:
    """By its state; where that says nothing, by the originator's RST."""
    states = [STATES[name] for name in ("S0", "REJ", "RSTO", "RSTR", "RSTOS0", "RSTRH")]
    aborted = np.array([b"R" in bytes(letters) for letters in rows["history"]]) & (rows["conn_state"] == STATES["OTH"])
    return tcp(rows) & (np.isin(rows["conn_state"], states) | aborted)


def packets(rows: Rows) -> Rows:
    return np.asarray(rows["orig_pkts"] + rows["resp_pkts"])


EXPECTED: dict[str, Callable[[Rows], Mask]] = {
    "tcp": tcp,
    "!tcp": lambda rows: ~tcp(rows),
    "conn.failed": failed,
    "conn.failed && ip.src == 192.168.0.0/16": lambda rows: failed(rows) & under(rows, "id.orig_h", b"\xc0\xa8"),
    "ip.dst == 192.168.0.0/16": lambda rows: under(rows, "id.resp_h", b"\xc0\xa8"),
    "ip.addr == 10.0.0.0/8": lambda rows: under(rows, "id.resp_h", b"\x0a") | under(rows, "id.orig_h", b"\x0a"),
    "tcp.dstport == 80": lambda rows: tcp(rows) & (rows["id.resp_p"] == 80),
    "port in {53, 80..443}": lambda rows: (
        np.logical_or.reduce([np.isin(rows[f"id.{end}_p"], (53, *range(80, 444))) for end in ("orig", "resp")])
        & np.isin(rows["ip_proto"], (6, 17, 132))
    ),
    "conn.handshake": lambda rows: has(rows, "ack_time"),
    "conn.handshake > 20ms": lambda rows: handshake(rows) > 20 * MS,
    "conn.handshake <= 0.02s": lambda rows: has(rows, "ack_time") & (handshake(rows) <= 20 * MS),
    "conn.duration > 1.5s": lambda rows: rows["duration"] > 1500 * MS,
    "conn.bytes >= 10000": lambda rows: rows["orig_bytes"] + rows["resp_bytes"] >= 10_000,
    "conn.packets == 2": lambda rows: packets(rows) == 2,
    "conn.retransmitted > 1%": lambda rows: (rows["orig_retransmits"] + rows["resp_retransmits"]) * 100 > packets(rows),
    "conn.state == S0": lambda rows: rows["conn_state"] == STATES["S0"],
    "conn.state != OTH": lambda rows: rows["conn_state"] != STATES["OTH"],
    "vlan": lambda rows: has(rows, "vlan"),
    "ipv6": lambda rows: ~under(rows, "id.orig_h", b""),
}


def found(batches: Iterator[Batch], text: str | None, progress_s: float = 0.0) -> tuple[list[Batch], Flows]:
    flows = Flows("made", FlowSettings(bytes(16), progress_s=progress_s, asked=FlowFilter(text) if text else None))
    rows = [made.copy() for batch in batches for made in flows.find(batch)]
    return rows + [made.copy() for made in flows.end()], flows


def rows_of(batches: list[Batch], name: str = CONN.name) -> Rows:
    return np.concatenate([np.empty(0, CONN.dtype), *(batch.rows for batch in batches if batch.record.name == name)], dtype=CONN.dtype)


@pytest.fixture(scope="module")
def given() -> list[Batch]:
    """Packets of many captures, one after another."""
    read: list[Batch] = []
    for path in sorted((CORPORA / "zeek").rglob("*.pcap"))[:250]:
        with suppress(SourceError), Capture(str(path), Ledger(), carriers=True) as capture:
            read += [batch.copy() for batch in capture.read()]
    return read


@pytest.mark.corpora
@pytest.mark.parametrize("text", EXPECTED)
def test_a_filter_chooses_by_what_rows_say(given: list[Batch], text: str) -> None:
    every = rows_of(found(iter(given), None)[0])
    mask = EXPECTED[text](every)
    assert 0 < mask.sum() < len(every)
    batches, flows = found(iter(given), text)
    assert rows_of(batches).tolist() == every[mask].tolist()
    assert flows.counts().unasked == (~mask).sum()
    assert flows.counts().ended == len(every)


@pytest.mark.corpora
def test_what_goes_on_is_chosen_too() -> None:
    with Capture(str(CORPORA / "zeek/dce-rpc__mapi/trace.pcap"), Ledger(), carriers=True) as capture:
        given = [batch.copy() for batch in capture.read()]
    every, some = (found(iter(given), text, progress_s=0.5)[0] for text in (None, "udp"))
    longs = rows_of(every, CONN_LONG.name)
    assert 0 < len(rows_of(some, CONN_LONG.name)) == (longs["ip_proto"] == 17).sum() < len(longs)


@pytest.mark.corpora
def test_another_filter_is_asked_from_then_on(given: list[Batch]) -> None:
    """Flows that are over by then were chosen by the one before; nothing is left out by both, or told twice."""
    every, half = rows_of(found(iter(given), None)[0]), len(given) // 2
    flows = Flows("made", FlowSettings(bytes(16), asked=FlowFilter("udp")))
    before = rows_of([made.copy() for batch in given[:half] for made in flows.find(batch)])
    over = int(flows.counts().ended)
    for text in ("conn.packets > 100000", "tcp"):  # the last one holds
        flows.set_filter(FlowFilter(text), FilterOf["flows"])
    flows.set_filter(None, FilterOf["packets"])
    after = rows_of([made.copy() for batch in given[half:] for made in flows.find(batch)] + [made.copy() for made in flows.end()])
    assert 0 < len(before) < over < len(every)
    assert before.tolist() == every[:over][every[:over]["ip_proto"] == 17].tolist()
    assert after.tolist() == every[over:][every[over:]["ip_proto"] == 6].tolist()
    assert flows.counts().unasked == len(every) - len(before) - len(after)


@pytest.mark.corpora
def test_many_flows_that_nobody_asks_for(given: list[Batch]) -> None:
    """More than a call has room for rows; the ledger has them."""
    batches, flows = found(iter(given), "conn.packets > 1000000")
    assert not len(rows_of(batches))
    ledger = Ledger()
    flows.account(ledger)
    assert ledger.totals()[Entry("flows", "made", "unasked")] == flows.counts().ended > 1000
    assert len(flows) == 0


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("tcp.seq_raw == 1", "`tcp.seq_raw` is of packets, and no flow has it", 0),
        ("conn.handshake > 5", "`conn.handshake` is compared with a number and its unit: 20us, 20ms, 20s", 17),
        ("conn.handshake > 5 ms", "here must be &&, || or the end, not `ms`", 19),
        ("conn.retransmitted > 1ms", "`conn.retransmitted` is compared with a number and its unit: 20%", 21),
        ("conn.state == S9", "`conn.state` is not `S9`; it may be OTH, S0, S1, SF, REJ, S2, S3, RSTO, RSTR, RSTOS0, RSTRH, SH, SHR", 14),
        ("conn.state", "`conn.state` is compared with a name, for instance S0", 0),
        ("conn.fail", "there is no field `conn.fail`; did you mean conn.failed?", 0),
    ],
)
def test_mistakes_are_shown(text: str, problem: str, at: int) -> None:
    with pytest.raises(FilterError) as caught:
        FlowFilter(text)
    assert (caught.value.problem, caught.value.at) == (problem, at)


def test_packets_have_no_fields_of_flows() -> None:
    with pytest.raises(FilterError, match=r"`conn\.failed` is of flows: it is for --flow-filter"):
        Filter("conn.failed")


def test_a_run_refuses_what_could_choose_nothing(tmp_path: Path) -> None:
    from headwater.config import ConfigError, load  # noqa: PLC0415 - of this test alone

    for text, said in (
        ('detail = "rates"\nflow_filter = "conn.failed"', "flow_filter is for flows"),
        ('detail = "flows"\npacket_filter = "udp"', "packet_filter is for rows of packets"),
        ('flow_filter = "conn.failed ="', "flow_filter is wrong at character"),
        ('packet_filter = "udp &&"', "packet_filter is wrong at character"),
    ):
        path = tmp_path / "headwater.toml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load(path, {})
