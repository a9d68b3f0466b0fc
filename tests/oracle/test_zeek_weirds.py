"""Malformed headers against the weird.log that Zeek itself wrote for its own traces. It logs a name once a trace or connection."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import CORPORA

from headwater.errors import SourceError
from headwater.records import ENUMS, PACKET
from headwater.records.layouts import HAS
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

pytestmark = pytest.mark.corpora

ZEEK = CORPORA / "zeek"
NAMES = list(ENUMS["hw_weird"].values())
SHARED = {name for name in NAMES[1 : NAMES.index("truncated_tcp_option")] if "arp" not in name.lower()}  # of ARP, Zeek makes an event


def rows_of(trace: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The rows of a trace; none if all of it has a link type that we do not know."""
    found = [np.empty(0, PACKET.dtype)]
    try:
        with Capture(str(trace), Ledger()) as source:
            found += [np.array(batch.rows) for batch in source.read()]
    except SourceError:
        pass  # cut off, or of another link type: what was read before counts
    return np.concatenate(found)


def zeek_weirds(folder: Path) -> Iterator[tuple[str, int]]:
    """(name, microseconds) of the weirds that we have too."""
    log = folder / "weird.log"
    for line in log.read_text().splitlines() if log.exists() else []:
        entry = json.loads(line)
        if entry["name"] in SHARED:
            yield entry["name"], round(entry["ts"] * 1e6)


def of_another_layer(row: Any) -> bool:
    """Zeek's weird is of a datagram put together from fragments, or of what a link layer that we do not read carries."""
    fragment = row["has"] & HAS["fragment"] and (row["mf"] or row["fragment_offset"])
    return bool(fragment) or bool(row["has"] & HAS["ethertype"] and row["ethertype"] not in (0x0800, 0x86DD))


def test_weirds_are_those_of_zeek() -> None:
    agreed, missing, invented, beyond = 0, [], [], []
    for trace in sorted(ZEEK.glob("*/trace.pcap*")):
        rows = rows_of(trace)
        theirs = set(zeek_weirds(trace.parent))
        times = rows["ts"] // 1000
        for name, moment in theirs:
            packets = rows[np.abs(times.astype(np.int64) - moment) <= 1]
            if not len(packets):
                packets = rows  # Zeek's clock was not set yet: a trace of 1970
            if any(NAMES[row["weird"]] == name for row in packets):
                agreed += 1
            elif all(of_another_layer(row) for row in packets):
                beyond.append(f"{trace.parent.name}: {name}")
            else:
                missing.append(f"{trace.parent.name}: {name}")
        logged = {name for name, _ in theirs}
        invented += [f"{trace.parent.name}: {name}" for name in {NAMES[value] for value in rows["weird"]} & SHARED - logged]
    assert not missing
    assert not invented
    assert agreed >= 12
    assert len(beyond) <= 3, beyond
