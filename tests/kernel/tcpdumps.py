"""What tcpdump saw on an interface, and the rows of conn that the native code makes of it beside those of a live run."""

import os
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from kernel_flows import rows_of, rows_through_native
from netns import End
from waiting import MOST_S, until

from headwater.analysis.flows import FlowSettings
from headwater.records import CONN, Batch

Row = dict[str, Any]
Ends = tuple[Any, ...]

BUFFER_KIB = 1 << 15
TOLD_S = 1.2  # for what the kernel says of itself at the end
TIMES = {"duration", "syn_ack_time", "ack_time", "orig_rtt", "resp_rtt", "orig_first_data", "resp_first_data"}
UIDS = {"tunnel_parents", "ended_by"}


@contextmanager
def tcpdump(end: End, into: Path) -> Iterator[None]:
    """All that end sees."""
    words = f"tcpdump -i {end.interface} -w {into} -U --time-stamp-precision=nano -B {BUFFER_KIB}".split()
    with end.space.start(*words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "listening on" not in process.stderr.readline():
            pass
        try:
            yield
            time.sleep(TOLD_S)
            until(lambda: has_all(process))
        finally:
            process.terminate()
        assert "0 packets dropped by kernel" in process.communicate(timeout=MOST_S)[1]


def has_all(process: "subprocess.Popen[str]") -> bool:
    """Whether tcpdump has written all that the kernel has for it: a part of that which is not full is handed out after a second."""
    process.send_signal(signal.SIGUSR1)
    assert process.stderr is not None
    told = re.search(r"(\d+) packets captured, (\d+) packets received", process.stderr.readline())
    assert told
    return told[1] == told[2]


@contextmanager
def one_cpu() -> Iterator[None]:
    """This thread, and all that it starts, on the first CPU.

    tcpdump's place and Headwater's are two: packets on two CPUs may pass them in another order.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def native(capture: Path, interface: str) -> list[Row]:
    """The rows that the native code makes of a capture."""
    given = rows_of(capture)
    assert given is not None, capture
    conns = rows_through_native(given, FlowSettings(bytes(16)))["conn"]
    return Batch(CONN, conns, dict.fromkeys(conns["interface"].tolist(), interface)).to_arrow().to_pylist()


def differences(live: Iterable[Row], expected: Iterable[Row]) -> list[str]:
    """What is not equal but times: whose flow, the column, both values. Uids are made of times: the flows that they name are compared."""
    one, other = by_ends(live), by_ends(expected)
    told = []
    for ends in sorted(one.keys() | other.keys()):
        for mine, its in zip_longest(one.get(ends, ()), other.get(ends, ())):
            if mine is None or its is None:
                told.append(f"{ends}: {'only of the file' if mine is None else 'only live'}: {mine or its}")
                continue
            names = (mine.keys() | its.keys()) - {"ts", "uid"}
            if "duration" not in its:  # all at one time: then it has neither octets (Zeek) nor other times, and live it lasts
                names -= {"orig_bytes", "resp_bytes", *TIMES}
            if its["end_reason"] == "stopped":  # or the clock has ended it since
                names.remove("end_reason")
            for name in sorted(names):
                one_has, other_has = (row.get(name) if name not in TIMES else name in row for row in (mine, its))
                if one_has != other_has:
                    told.append(f"{ends} {name}: live {mine.get(name)}, of the file {its.get(name)}")
    return told


def apart(live: Iterable[Row], expected: Iterable[Row]) -> list[float]:
    """Nanoseconds between the times of the same flows, the nearest first."""
    one, other = by_ends(live), by_ends(expected)
    return sorted(
        abs(seconds(mine[name]) - seconds(its[name])) * 1e9
        for ends in one.keys() & other.keys()
        for mine, its in zip(one[ends], other[ends], strict=True)
        for name in its.keys() & TIMES
    )


def by_ends(rows: Iterable[Row]) -> dict[Ends, list[Row]]:
    """The rows of each pair of endpoints in the order of their begin, without what is absent; a uid is told by the flow that has it."""
    rows = sorted(rows, key=lambda row: str(row["ts"]))
    flows = {row["uid"]: str(ends_of(row)) for row in rows}
    found = defaultdict(list)
    for row in rows:
        kept = {name: value for name, value in row.items() if value is not None}
        for name in kept.keys() & UIDS:
            kept[name] = [flows.get(uid, "none of these") for uid in ([kept[name]] if isinstance(kept[name], str) else kept[name])]
        found[ends_of(row)].append(kept)
    return found


def ends_of(row: Row) -> Ends:
    """Endpoints and protocol, the originator first."""
    return tuple(row[name] for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"))


def seconds(interval: float | timedelta) -> float:
    """As JSON has it, or Arrow."""
    return interval.total_seconds() if isinstance(interval, timedelta) else interval


def asked_for(rows: Iterable[Row]) -> list[Row]:
    """Without what hosts say of themselves on IPv6 whenever they like (RFC 4861, RFC 3810), before or after tcpdump listens."""
    return [row for row in rows if not (row["proto"] == "icmp" and ":" in row["id.orig_h"])]
