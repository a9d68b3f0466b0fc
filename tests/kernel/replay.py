"""Captures sent again over a silent veth pair, each frame at its own time since the first, and the flows that the kernel made of them."""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from captured import Frame, frames
from kernel_flows import ETHERNET, SEVERAL, Rows, is_clock, rows_of
from netns import FrameSender, veth_pair
from places import CORPORA
from tcpdumps import differences, native
from watched import watching

MOST_S = 30.0
START_S = 4.0  # that a run takes to begin and to end, more or less
SMALL = "ring_bytes = 1048576\n[flows]\nmemory_mib = 16\n"  # so that it begins sooner
MTU = 65_535  # a veth pair's largest
LEAST, MOST = 14, MTU + 14


class Capture(NamedTuple):
    """What can be sent."""

    path: Path
    taken: list[Frame]
    kinds: frozenset[Any]  # of protocols: tunnel, ethertype, IP's protocol and the responder's port, if it is a well-known one
    flows: int

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return (self.taken[-1].ts - self.taken[0].ts) / 1e9


def captures(left_out: "Counter[str] | None" = None) -> Iterator[Capture]:
    """Of Zeek's and Arkime's, those that can be sent; the others are counted in `left_out`, by the reason."""
    for path in sorted(path for suite in ("zeek", "arkime") for path in (CORPORA / suite).rglob("*")):
        if path.suffix not in {".pcap", ".pcapng"}:
            continue
        taken = list(frames(path))
        rows = rows_of(path)
        if rows is None or (why := why_not(path, taken, rows)):
            if left_out is not None:
                left_out["broken" if rows is None else why] += 1
            continue
        ports = np.minimum(rows["sport"], rows["dport"])
        kinds = zip(
            *(column.tolist() for column in (rows["tunnel"], rows["ethertype"], rows["proto"], np.where(ports < 1024, ports, 0))),
            strict=True,
        )
        yield Capture(path, taken, frozenset(kinds), len(native(path, "")))


def why_not(path: Path, taken: list[Frame], rows: Rows) -> str:
    """What keeps these frames from being sent, or their flows from being equal; empty: nothing does."""
    if any(frame.link_type != ETHERNET for frame in taken):
        return "another link layer"
    if any(frame.length != len(frame.octets) for frame in taken):
        return "frames that are cut short"
    if not all(LEAST <= frame.length <= MOST for frame in taken):
        return "frames that no veth carries"
    if not is_clock(np.array([frame.ts for frame in taken])):
        return "times that go back"
    if taken[-1].ts - taken[0].ts > MOST_S * 1e9:
        return "too long"
    if path.parent.name in SEVERAL:
        return "several packets in a frame"
    if np.any(rows["mf"] | rows["fragment_offset"]) and np.any(rows["proto"] == socket.IPPROTO_TCP):
        return "TCP beside pieces"  # which are put together some milliseconds later, and then come late (docs/kernels.md)
    return ""


def selection(found: list[Capture], seconds: float) -> list[Capture]:
    """So many seconds of them. The next is always the one with the most flows and new kinds of protocols a second."""
    left, chosen, known = list(found), list[Capture](), set[Any]()

    def worth(one: Capture) -> float:
        return (len(one.kinds - known) + np.log2(1 + one.flows)) / (one.seconds + START_S)

    while left and seconds > 0:
        best = max(left, key=worth)
        left.remove(best)
        chosen.append(best)
        known |= best.kinds
        seconds -= best.seconds + START_S
    return chosen


def replay_all(chosen: Sequence[Capture], folder: Path, together: int) -> list[str]:
    """So many at a time, each with namespaces and a run of its own; what is not equal in any."""
    with ThreadPoolExecutor(together) as pool:
        return list(chain.from_iterable(pool.map(replay, chosen, (folder / str(number) for number in range(len(chosen))))))


def replay(capture: Capture, folder: Path) -> list[str]:
    """Send it, with a run at the other end; what is not equal in its flows."""
    with veth_pair(mtu=MTU, silent=True) as pair, FrameSender(pair.far) as sender:
        settings = folder / "headwater.toml"
        folder.mkdir()
        settings.write_text(SMALL)
        with watching(pair.near, folder / "rows", "conn", "--detail", "flows", "-c", str(settings)) as rows:
            begin = time.monotonic() - capture.taken[0].ts / 1e9
            for frame in capture.taken:
                time.sleep(max(begin + frame.ts / 1e9 - time.monotonic(), 0))
                sender.send([frame.octets])
        told = differences(rows, native(capture.path, pair.near.interface))
        if f": {len(capture.taken):,} seen" not in rows.said:
            told.append(f"of {len(capture.taken):,} frames: {rows.said}")
    return [f"{capture.path}: {one}" for one in told]
