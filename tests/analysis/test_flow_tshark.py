"""What a path does to TCP, against Wireshark's own analysis of the same captures."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tshark
from conversations import TCP, mapped
from flowing import all_of, packets
from places import CORPORA

from headwater.records import ENUMS

pytestmark = pytest.mark.corpora

ANALYSIS = "retransmission out_of_order duplicate_ack zero_window".split()
FIELDS = [
    *"tcp.stream ip.src ipv6.src ip.dst ipv6.dst tcp.srcport tcp.dstport tcp.flags tcp.len ip.ttl ipv6.hlim".split(),
    *"ip.dsfield.dscp ipv6.tclass.dscp ip.dsfield.ecn ipv6.tclass.ecn tcp.options.mss_val tcp.options.wscale.shift".split(),
    *"tcp.analysis.initial_rtt frame.protocols".split(),
    *(f"tcp.analysis.{name}" for name in ANALYSIS),
]
LEAST, MOST = 2_000, 4_000_000  # octets of a capture
CAPTURES = {".pcap", ".pcapng"}
HAS = {name: bit for bit, name in ENUMS["hw_conn_has"].items()}

End = tuple[bytes, int]


@dataclass
class Side:
    """What Wireshark says of the packets of one end."""

    count: int = 0
    ttls: set[int] = field(default_factory=set)
    dscps: list[int] = field(default_factory=list)
    ecn: int = 0
    flags: int = 0
    mss: int | None = None
    scale: int | None = None
    told: Counter[str] = field(default_factory=Counter)


@dataclass
class Stream:
    """A conversation, by its ends."""

    sides: dict[End, Side] = field(default_factory=lambda: defaultdict(Side))
    handshake: float | None = None
    syns: int = 0


def streams(capture: Path, scratch: Path) -> dict[int, Stream]:
    found: dict[int, Stream] = defaultdict(Stream)
    for shown in tshark.shown(capture, scratch, FIELDS, tshark.APART, "-Y", "tcp"):
        if any("," in shown[name] for name in ("tcp.srcport", "ip.src", "ipv6.src")) or bool(shown["ip.src"]) == bool(shown["ipv6.src"]):
            continue  # a tunnel, or what an ICMP error quotes
        if "icmp" in shown["frame.protocols"]:
            continue
        _learn(found[int(shown["tcp.stream"])], shown)
    return found


def _learn(stream: Stream, shown: dict[str, str]) -> None:
    end = mapped(shown["ip.src"] or shown["ipv6.src"]), int(shown["tcp.srcport"])
    stream.sides.setdefault((mapped(shown["ip.dst"] or shown["ipv6.dst"]), int(shown["tcp.dstport"])), Side())
    side = stream.sides[end]
    side.count += 1
    side.ttls.add(int(shown["ip.ttl"] or shown["ipv6.hlim"]))
    side.dscps.append(int(shown["ip.dsfield.dscp"] or shown["ipv6.tclass.dscp"]))
    side.ecn |= 1 << int(shown["ip.dsfield.ecn"] or shown["ipv6.tclass.ecn"])
    flags = int(shown["tcp.flags"], 0)
    side.flags |= flags
    if flags & 2:
        stream.syns += 1
        side.mss = int(shown["tcp.options.mss_val"]) if shown["tcp.options.mss_val"] else side.mss
        side.scale = int(shown["tcp.options.wscale.shift"]) if shown["tcp.options.wscale.shift"] else side.scale
    if shown["tcp.analysis.initial_rtt"]:
        stream.handshake = float(shown["tcp.analysis.initial_rtt"])
    side.told.update(name for name in ANALYSIS if shown[f"tcp.analysis.{name}"])


def captures() -> Iterator[Path]:
    """Some of each corpus."""
    for corpus in ("zeek", "arkime", "tcpdump"):
        found = sorted(path for path in (CORPORA / corpus).rglob("*") if path.suffix in CAPTURES)
        yield from [path for path in found if LEAST <= path.stat().st_size <= MOST][::2]


def pairs(scratch: Path) -> Iterator[tuple[Path, Any, Stream]]:
    """Our rows and Wireshark's conversations, where both have one of these ends, of as many packets."""
    for capture in captures():
        theirs = list(streams(capture, scratch).values())
        by_ends = Counter(frozenset(stream.sides) for stream in theirs)
        rows = all_of(packets(capture)) if theirs else []
        mine = [row for row in rows if row["ip_proto"] == TCP]
        ends = [
            frozenset(((bytes(row["id.orig_h"]), int(row["id.orig_p"])), (bytes(row["id.resp_h"]), int(row["id.resp_p"])))) for row in mine
        ]
        counts = Counter(ends)
        of_ours = {end: row for end, row in zip(ends, mine, strict=True) if counts[end] == by_ends[end] == 1}
        for stream in theirs:
            row = of_ours.get(frozenset(stream.sides))
            if row is not None and sum(side.count for side in stream.sides.values()) == row["orig_pkts"] + row["resp_pkts"]:
                yield capture, row, stream


def differences(row: Any, stream: Stream) -> Iterator[str]:
    """What cannot be a matter of judgement."""
    for name in ("orig", "resp"):
        side = stream.sides[bytes(row[f"id.{name}_h"]), int(row[f"id.{name}_p"])]
        if not side.count:
            if row["has"] & HAS[name]:
                yield name
            continue
        mine = {column: int(row[f"{name}_{column}"]) for column in "ttl ttl_max dscp dscp_last ecn tcp_flags mss window_scale".split()}
        theirs = {"ttl": min(side.ttls), "ttl_max": max(side.ttls), "dscp": side.dscps[0], "dscp_last": side.dscps[-1]}
        theirs |= {"ecn": side.ecn, "tcp_flags": side.flags, "mss": side.mss or 0, "window_scale": side.scale or 0}
        yield from (f"{name}_{column}: {mine[column]}, {value}" for column, value in theirs.items() if mine[column] != value)
    if stream.handshake is not None and stream.syns == 2 and row["has"] & HAS["handshake"]:
        mine_s = (int(row["syn_ack_time"]) + int(row["ack_time"])) / 1e9
        if abs(mine_s - stream.handshake) > 2e-6:
            yield f"handshake: {mine_s}, {stream.handshake}"


def test_paths_are_those_of_wireshark(tmp_path: Path) -> None:
    tshark.profile(tmp_path)
    compared = 0
    strange: list[str] = []
    judged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for capture, row, stream in pairs(tmp_path):
        compared += 1
        strange += [f"{capture.name}: {what}" for what in differences(row, stream)]
        for name in ("orig", "resp"):
            told = stream.sides[bytes(row[f"id.{name}_h"]), int(row[f"id.{name}_p"])].told
            for column, theirs in zip("retransmits out_of_order dup_acks zero_windows".split(), ANALYSIS, strict=True):
                judged[column].append((int(row[f"{name}_{column}"]), told[theirs]))
    assert compared >= 250
    assert len(strange) <= compared // 50, "\n".join(strange[:50])
    for column, both in judged.items():
        equal = sum(mine == theirs for mine, theirs in both)
        least = 0.94 if column == "dup_acks" else 0.99  # Wireshark counts them even where nothing is left to be acknowledged
        assert equal >= least * len(both), f"{column}: {equal} of {len(both)}, {[pair for pair in both if pair[0] != pair[1]][:30]}"
        assert column in ("out_of_order", "zero_windows") or any(mine and mine == theirs for mine, theirs in both), column  # which are rare
