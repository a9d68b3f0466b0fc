"""Filters and sampling on live interfaces, at each hook: what was sent of a kind becomes rows, the rest is counted."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from frames import ethernet, ip, tcp, udp
from netns import End, FrameSender, Veth, unique, veth_pair
from waiting import MOST_S, until

from headwater.filters import Filter
from headwater.records import PACKET
from headwater.sources.af_packet import AfPacket
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger, imbalances

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("hook", ["tcx", "xdp", "af_packet"])]

A, B, A6, B6 = "10.9.0.2", "10.9.0.1", "fd09::2", "fd09::1"
KINDS = {  # frames that a sender makes, by the filter that keeps them and no other
    "udp.port == 53 && ip.ttl < 65": ethernet(udp(A, B, 4000, 53), 0x0800),
    "udp.dstport in {8000..8010} and not vlan": ethernet(udp(A, B, 53053, 8001), 0x0800),
    "tcp.flags.syn && !tcp.flags.ack": ethernet(tcp(A, B, 4001, 80, 0x02), 0x0800),
    "tcp.flags & 0x12 == 0x12": ethernet(tcp(A, B, 4002, 80, 0x12), 0x0800),
    "ipv6.src == fd09::/64": ethernet(udp(A6, B6, 4003, 443), 0x86DD),
    "vlan.id == 7": ethernet(udp(A, B, 4004, 9), 0x0800, tags=((0x8100, 7),)),
    "icmp.type == 8": ethernet(ip(bytes.fromhex("0800000000070001"), 1, A, B), 0x0800),
    "frame.len > 1000": ethernet(udp(A, B, 4005, 10, bytes(1200)), 0x0800),
    "eth.src == 02:00:00:00:00:77": ethernet(udp(A, B, 4006, 11), 0x0800, src="02:00:00:00:00:77"),
}


class Live:
    """A source that is read in a thread in its namespace until the end of the block; then `rows` and `ledger` are there."""

    def __init__(self, hook: str, end: End, **settings: Any) -> None:
        self.ledger, self.reports, self._parts = Ledger(), list[str](), [np.empty(0, PACKET.dtype)]
        self.end = end
        told = {"report": self.reports.append} | settings
        self.source: Any = (
            AfPacket(self.ledger, [end.interface], **told) if hook == "af_packet" else Tap(self.ledger, [end.interface], hook=hook, **told)
        )
        self._ready, self._failed = threading.Event(), list[BaseException]()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self.end.space.inside(), self.source:
                self._ready.set()
                for batch in self.source.read():
                    self._parts.append(batch.copy().rows)
                self.source.account()
        except BaseException as error:
            self._failed.append(error)
            self._ready.set()

    def __enter__(self) -> "Live":
        self._thread.start()
        assert self._ready.wait(MOST_S)
        assert not self._failed, self._failed
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.05)  # what another CPU has on its way
        self.source.stop()
        self._thread.join(MOST_S)
        assert not self._thread.is_alive()
        assert not self._failed, self._failed
        self.rows = np.concatenate(self._parts, dtype=PACKET.dtype)
        assert imbalances(self.ledger.totals()) == []

    def wait_for(self, report: str) -> None:
        """Until the source has told of it, and done it."""
        until(lambda: any(report in line for line in self.reports))
        self.source.listening()  # waits until what it tells of is done
        self.reports.clear()

    def wait_until_seen(self, packets: int) -> None:
        """Until the ledger tells the fate of so many."""
        until(lambda: self.count("seen") == packets, self.source.account)

    def judged(self) -> int:
        """How many are kept or refused by now."""
        self.source.account()
        return self.count("as_row") + self.count("filtered")

    def wait_until_judged(self, packets: int) -> None:
        until(lambda: self.judged() >= packets)

    def count(self, term: str) -> int:
        """Of all the names that it had."""
        return sum(count for entry, count in self.ledger.totals().items() if entry.ledger == "packets" and entry.term == term)


@pytest.fixture
def veth() -> Iterator[Veth]:
    with veth_pair(silent=True) as pair:
        yield pair


def test_what_was_sent_of_a_kind_is_kept(veth: Veth, hook: str) -> None:
    kinds = list(KINDS)
    order = [number for number in range(len(kinds)) for _ in range(10 + number)]
    np.random.default_rng(1).shuffle(order)
    with Live(hook, veth.near, filter=Filter(kinds[0])) as live, FrameSender(veth.far) as sender:
        for number, kind in enumerate(kinds):
            if number:
                live.source.set_filter(Filter(kind))
            sender.send(KINDS[kinds[one]] for one in order)
            live.wait_until_seen(sender.sent)
            kept = sum(10 + one for one in range(number + 1))
            assert (live.count("as_row"), live.count("filtered")) == (kept, sender.sent - kept), kind
    assert live.rows["length"].tolist() == [len(KINDS[kind]) for number, kind in enumerate(kinds) for _ in range(10 + number)]


def test_directions_are_told_apart(veth: Veth, hook: str) -> None:
    with Live(hook, veth.near, filter=Filter("direction == in")) as live, FrameSender(veth.far) as far, FrameSender(veth.near) as near:
        far.send([KINDS["icmp.type == 8"]] * 30)
        near.send([KINDS["vlan.id == 7"]] * 20)
    assert live.count("as_row") == 30
    assert live.count("filtered") == (0 if hook == "xdp" else 20)  # XDP sees only what arrives


def test_one_in_ten(veth: Veth, hook: str) -> None:
    frame, other = KINDS["icmp.type == 8"], KINDS["vlan.id == 7"]
    with Live(hook, veth.near, filter=Filter("icmp"), sample=10) as live, FrameSender(veth.far) as sender:
        for _ in range(100):
            sender.send([frame] * 200 + [other])
            time.sleep(0.001)
    assert live.count("filtered") == 100
    assert live.count("as_row") + live.count("sampled_out") == 20_000
    assert 1_700 < live.count("as_row") == len(live.rows) < 2_300  # 2,000, and 7 times what chance makes of it


class Numbered:
    """Sends datagrams with a number, alternately to the ports 53 and 80, in a thread, until the end of the block."""

    def __init__(self, end: End) -> None:
        self.begun = 0  # how many are sent, or about to be
        self._sender = FrameSender(end)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            for _ in range(10):
                number, self.begun = self.begun, self.begun + 1
                self._sender.send([ethernet(udp(A, B, 1 + (number & 0x7FFF), (53, 80)[number & 1], ttl=1 + (number >> 15)), 0x0800)])

    def __enter__(self) -> "Numbered":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sender.close()


def _numbers(rows: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (rows["ttl"].astype(np.int64) - 1 << 15) + rows["sport"] - 1


def test_a_filter_is_changed_while_packets_come(veth: Veth, hook: str) -> None:
    """What is sent before, and not read by then (packets of a packet socket wait in its ring), may be judged by either."""
    ports, changes, judged = (53, 80), [(0, 0)], 0
    with Live(hook, veth.near, filter=Filter("udp.dstport == 53")) as live, Numbered(veth.far) as sender:
        for number in range(1, 10):
            live.wait_until_judged(judged + 1000)
            judged = live.judged()
            if number < 9:
                live.source.set_filter(Filter(f"udp.dstport == {ports[number % 2]}"))
                changes.append((judged, sender.begun))
                judged = sender.begun
    sent = sender.begun
    assert live.count("as_row") + live.count("filtered") == live.count("seen") == sent
    assert live.count("as_row") == len(live.rows) == len(np.unique(_numbers(live.rows)))
    kept = np.zeros(sent, np.bool_)
    kept[_numbers(live.rows)] = True
    for number, ((_, begin), (end, _)) in enumerate(pairwise([*changes, (sent, sent)])):
        assert end - begin >= 1000
        assert (kept[begin:end] == ((np.arange(begin, end) + number) % 2 == 0)).all()


def test_an_interface_is_known_by_its_name_of_the_moment(veth: Veth, hook: str) -> None:
    near, far, later = veth.near, veth.far.space, unique("hwz")
    fates: list[tuple[int, int]] = []

    def send(live: Live, interface: str) -> None:
        with FrameSender(End(far, interface, 0, "", "", "")) as sender:
            sender.send([KINDS["icmp.type == 8"]] * 10)
        live.wait_until_seen(10 * (len(fates) + 1))
        fates.append((live.count("as_row"), live.count("filtered")))

    with Live(hook, near, filter=Filter(f'frame.interface_name == "{later}"')) as live:
        send(live, veth.far.interface)
        near.space.ip(f"link set {near.interface} name {later}")
        live.wait_for("is called")
        send(live, veth.far.interface)
        near.space.ip(f"link del {later}")
        live.wait_for("is gone")
        near.space.ip(f"link add {near.interface} type veth peer name again netns {far.name}")
        for space, name in ((far, "again"), (near.space, near.interface)):
            space.ip(f"link set {name} arp off up")
        far.carries("again")
        live.wait_for("listening")
        send(live, "again")
        near.space.ip(f"link set {near.interface} name {later}")
        live.wait_for("is called")
        send(live, "again")
    assert fates == [(0, 10), (10, 10), (10, 20), (20, 20)]
    assert len(live.rows) == 20
