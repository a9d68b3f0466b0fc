"""One traffic, every rung at once: their rows are equal but for when and where each sees a packet."""

import itertools
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from frames import ethernet, tcp, udp
from netns import FrameSender, Veth, veth_pair
from places import CORPORA
from test_af_packet import capture
from test_tap import Watching
from waiting import until

from headwater.records import ENUMS, PACKET
from headwater.telemetry import imbalances

pytestmark = pytest.mark.kernel
ICMPV6 = 58
IN = next(value for value, name in ENUMS["hw_direction"].items() if name == "in")
OF_ITS_OWN = ["ts", "hook"]
EACH, MOST = 12, 4000  # frames of a capture, and in all


def frames() -> Iterator[bytes]:
    """The first frames of every Ethernet capture (pcap) in the corpora, as long as a veth device takes them."""
    for path in sorted(CORPORA.rglob("*.pcap")):
        octets = path.read_bytes()[: 1 << 17]
        order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(octets[:4])
        if order is None or struct.unpack_from(f"{order}I", octets, 20)[0] != 1:
            continue
        at = 24
        for _ in range(EACH):
            if at + 16 > len(octets):
                break
            size = struct.unpack_from(f"{order}I", octets, at + 8)[0]
            frame = octets[at + 16 : at + 16 + size]
            at += 16 + size
            if 14 <= len(frame) == size <= 1514:
                yield frame


def at_the_window() -> Iterator[bytes]:
    """Tagged frames whose headers end about where the parser's window does."""
    inner = tcp("10.1.0.1", "10.1.0.2", 1024, 80, 2)
    for octets in range(140, 206):
        data = struct.pack("!HHHH", 0x0202, 7, 1, octets) + bytes(octets) + b"\0\x21" + inner  # L2TP with an offset
        yield ethernet(udp("10.0.0.1", "10.0.0.2", 1701, 1701, data), 0x0800, tags=((0x8100, 5),))


def told(rows: np.ndarray[Any, np.dtype[Any]]) -> list[bytes]:
    """Each row as octets, less what is each rung's own, sorted."""
    rows = rows.copy()
    for name in OF_ITS_OWN:
        rows[name] = 0
    return sorted(row.tobytes() for row in rows)


def differences(one: list[bytes], other: list[bytes]) -> list[dict[str, Any]]:
    """What the first rows that are not in both say otherwise."""
    these, those = (np.frombuffer(b"".join(sorted((some - more).elements())), PACKET.dtype) for some, more in _both(one, other))
    pairs = zip(these[:4], those[:4], strict=False)
    return [
        {name: (this[name], that[name]) for name in PACKET.dtype.names if np.any(this[name] != that[name])} for this, that in pairs
    ] or [{"only here": len(these), "only there": len(those)}]


def _both(one: list[bytes], other: list[bytes]) -> Iterator[tuple[Counter[bytes], Counter[bytes]]]:
    yield Counter(one), Counter(other)
    yield Counter(other), Counter(one)


def sums(rows: np.ndarray[Any, np.dtype[Any]]) -> dict[tuple[int, ...], tuple[int, int]]:
    """Packets on the wire and octets of payload, by protocol and ports."""
    counted: dict[tuple[int, ...], tuple[int, int]] = {}
    for row in rows:
        key = tuple(int(row[name]) for name in ("proto", "direction", "sport", "dport"))
        packets, octets = counted.get(key, (0, 0))
        counted[key] = packets + int(row["segments"]), octets + int(row["payload_length"])
    return counted


@pytest.mark.corpora
def test_frames_of_every_kind_give_the_same_rows_on_each_rung(silent_veth: Veth) -> None:
    near = silent_veth.near
    with (
        Watching(near, hook="tcx") as tcx,
        Watching(near, hook="clsact") as clsact,
        Watching(near, hook="xdp") as xdp,
        FrameSender(silent_veth.far) as sender,
        capture(near.space, near.interface) as packets,
    ):
        left = itertools.chain(itertools.islice(frames(), MOST), at_the_window())
        while some := list(itertools.islice(left, 500)):
            sender.send(some)
            until(lambda: packets.count() == sender.sent)
    rows = {
        "tcx": tcx.rows,
        "clsact": clsact.rows,
        "xdp": xdp.rows,
        "af_packet": np.concatenate([one.rows for one in packets.batches], dtype=PACKET.dtype),
    }
    assert sender.sent > 2000
    assert {name: len(each) for name, each in rows.items()} == dict.fromkeys(rows, sender.sent)
    for name, each in rows.items():
        assert told(each) == told(rows["tcx"]), (name, differences(told(each), told(rows["tcx"])))
    for one in (tcx, clsact, xdp):
        assert imbalances(one.ledger.totals()) == []


@pytest.mark.parametrize("offload", [False, True], ids=["packets as on a cable", "segments"])
def test_a_conversation_gives_the_same_rows_wherever_both_ways_are_seen(offload: bool) -> None:
    with veth_pair(offload=offload) as veth:
        near, far = veth.near, veth.far
        with Watching(near, hook="tcx") as tcx, Watching(near, hook="clsact") as clsact, capture(near.space, near.interface) as packets:
            server = far.space.start("iperf3", "-s", "-1", stdout=subprocess.DEVNULL)
            try:
                with near.space.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                    for _ in range(3):  # each in fragments, and refused by ICMP
                        datagrams.sendto(bytes(4000), (far.ip4, 9))
                near.space.run("sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9; do iperf3 -c {far.ip6} -n 2M && exit; sleep 0.2; done; exit 1")
            finally:
                server.kill()
                server.wait()
            time.sleep(0.5)  # what the connections still say at their end
        rows = {
            "tcx": tcx.rows,
            "clsact": clsact.rows,
            "af_packet": np.concatenate([one.rows for one in packets.batches], dtype=PACKET.dtype),
        }
    assert len(rows["tcx"]) > 100
    assert {ENUMS["hw_direction"][value] for value in np.unique(rows["tcx"]["direction"])} == {"in", "out"}
    for name, each in rows.items():
        ours, theirs = (
            some[some["proto"] != ICMPV6] for some in (each, rows["tcx"])
        )  # sent whenever the kernel likes, also before we listen
        if name == "af_packet" and not offload:  # what leaves is cut into segments behind tcx, and before a packet socket
            assert [sums(some) for some in (ours, theirs)] == [sums(theirs)] * 2
            ours, theirs = (some[some["direction"] == IN] for some in (ours, theirs))
        assert told(ours) == told(theirs), (name, differences(told(ours), told(theirs)))
    for one in (tcx, clsact):
        assert imbalances(one.ledger.totals()) == []
