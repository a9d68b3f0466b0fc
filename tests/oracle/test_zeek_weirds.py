"""What is odd, against the weird.log that Zeek itself wrote for its own traces. It logs a name once a trace or connection."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import CORPORA

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.weirds import IGNORED
from headwater.errors import SourceError
from headwater.outputs.sinks.zeek_json import ZeekJson
from headwater.records import CONN, ENUMS, PACKET, WEIRD, Batch
from headwater.records.layouts import HAS
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

pytestmark = pytest.mark.corpora

ZEEK = CORPORA / "zeek"
NAMES = list(ENUMS["hw_weird"].values())
TUNNELS = {name: value for value, name in ENUMS["hw_tunnel"].items()}
SHARED = {name for name in NAMES[1 : NAMES.index("truncated_tcp_option")] if "arp" not in name.lower()}  # of ARP, Zeek makes an event

TOLD_AS = {
    "truncated_IP_len": {"truncated_inner_IP", "truncated_tcp_payload"}
}  # in a tunnel, or where the layer before IP is the shorter one


def rows_of(trace: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The rows of a trace; none if all of it has a link type that we do not know."""
    found = [np.empty(0, PACKET.dtype)]
    try:
        with Capture(str(trace), Ledger()) as source:
            found += [np.array(batch.rows) for batch in source.read()]
    except SourceError:
        pass  # cut off, or of another link type: what was read before counts
    return np.concatenate(found, dtype=PACKET.dtype)


def zeek_weirds(folder: Path) -> Iterator[tuple[str, int]]:
    """(name, microseconds) of each weird."""
    log = folder / "weird.log"
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        yield entry["name"], round(entry["ts"] * 1e6)


def is_fragment(row: Any) -> bool:
    return bool(row["has"] & HAS["fragment"] and (row["mf"] or row["fragment_offset"]))


def no_tunnel_to_zeek(row: Any) -> bool:
    """Of GTP Zeek leaves alone what is not exactly as long as it says; we show the packet and what is wrong with it."""
    return bool(row["tunnel"] == TUNNELS["gtp"] and NAMES[row["weird"]] == "truncated_IP_len")


def test_weirds_are_those_of_zeek() -> None:
    agreed, missing, invented, beyond = 0, [], [], []
    for trace in sorted(ZEEK.glob("*/trace.pcap*")):
        rows = rows_of(trace)
        logged = set(zeek_weirds(trace.parent))
        theirs = {(name, moment) for name, moment in logged if name in SHARED}
        times = rows["ts"] // 1000
        for name, moment in theirs:
            packets = rows[np.abs(times.astype(np.int64) - moment) <= 1]
            if not len(packets):
                packets = rows  # Zeek's clock was not set yet: a trace of 1970
            if any(NAMES[row["weird"]] == name for row in packets):
                agreed += 1
            elif all(map(is_fragment, packets)):  # of the datagram that Zeek put together; or no packet, of a link type that we do not read
                beyond.append(f"{trace.parent.name}: {name}")
            else:
                missing.append(f"{trace.parent.name}: {name}")
        names = {name for name, _ in logged}
        met = {NAMES[row["weird"]] for row in rows if row["weird"] and not no_tunnel_to_zeek(row)} & SHARED
        invented += [f"{trace.parent.name}: {name}" for name in met if not names & {name, *TOLD_AS.get(name, ())}]
    assert not missing
    assert not invented
    assert agreed >= 15
    assert len(beyond) <= 2, beyond


# -- flows ---------------------------------------------------------------------------------------------------------------------------

OF_FLOWS = set(NAMES[NAMES.index("SYN_seq_jump") :]) - set(IGNORED)
ONCE_A_HOST = {"connection_originator_SYN_ack", "SYN_with_data"}  # which Zeek then logs no more
ENDS = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
DIFFERENT = {
    # the first packet is cut off within TCP's header: Zeek makes it a flow by itself, without packets
    ("tcp__truncated-header", "active_connection_reuse"),
    ("tcp__truncated-header", "truncated_tcp_payload"),
}
Odd = tuple[str, tuple[Any, ...], int, int]  # name, ends, microseconds of it and of its flow's begin


def logged(batch: Batch) -> list[dict[str, Any]]:
    """The rows as lines of Zeek's log."""
    return [json.loads(line) for part in ZeekJson(batch.record).encode([batch], 0) for line in bytes(part).splitlines()]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def odd(weirds: list[dict[str, Any]], conns: list[dict[str, Any]]) -> set[Odd]:
    """Of weirds of flows, what two logs that agree have in common."""
    begins = {conn["uid"]: round(conn["ts"] * 1e6) for conn in conns}
    of_flows = [weird for weird in weirds if weird["name"] in OF_FLOWS and "uid" in weird]
    return {(weird["name"], tuple(weird[end] for end in ENDS), round(weird["ts"] * 1e6), begins.get(weird["uid"], 0)) for weird in of_flows}


def found(trace: Path) -> set[Odd]:
    made = Flows("made", FlowSettings(bytes(16), weirds_a_second=10_000, ignored_weirds=IGNORED))
    batches: list[Batch] = []
    try:
        with Capture(str(trace), Ledger(), carriers=True) as source:
            for batch in source.read():
                batches += [one.copy() for one in made.find(batch)]
    except SourceError:
        pass
    batches += [one.copy() for one in made.end()]
    weirds, conns = ([row for batch in batches if batch.record is record for row in logged(batch)] for record in (WEIRD, CONN))
    return odd(weirds, conns)


def once_a_host(weirds: set[Odd]) -> set[Odd]:
    """Without those that Zeek would not log again."""
    first = {(name, ends[0]): weird for weird in sorted(weirds, key=lambda weird: -weird[2]) for name, ends in [weird[:2]]}
    return {weird for weird in weirds if weird[0] not in ONCE_A_HOST or first[weird[0], weird[1][0]] == weird}


def test_weirds_of_flows_are_those_of_zeek() -> None:
    """Name, ends, time and flow of each."""
    agreed, missing, invented = 0, [], []
    for trace in sorted(ZEEK.glob("*/trace.pcap*")):
        theirs = odd(lines(trace.parent / "weird.log"), lines(trace.parent / "conn.log"))
        ours = once_a_host(found(trace))
        agreed += len(theirs & ours)
        missing += [(trace.parent.name, weird) for weird in theirs - ours if (trace.parent.name, weird[0]) not in DIFFERENT]
        invented += [(trace.parent.name, weird) for weird in ours - theirs if (trace.parent.name, weird[0]) not in DIFFERENT]
    assert not missing
    assert not invented
    assert agreed >= 69
