"""Packet sockets against what a sender counted: every frame is a row or a counted drop, and rows say what was sent."""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frames import FAR_MAC, NEAR_MAC, ethernet, ip, tcp, udp
from headwater._native import ffi
from netns import End, FrameSender, Namespace, Veth, unique, veth_pair
from waiting import MOST_S, until

from headwater.errors import ConfigError
from headwater.records import Batch
from headwater.sources.af_packet import AfPacket
from headwater.telemetry import Entry, Ledger, imbalances

pytestmark = pytest.mark.kernel
A4, B4, A6, B6 = "10.9.0.2", "10.9.0.1", "fd09::2", "fd09::1"
VXLAN = bytes.fromhex("0800000000002a00")


class Capture:
    """An AfPacket source that is read in a thread of its own, inside a namespace."""

    def __init__(self, names: list[str], **settings: Any) -> None:
        self.ledger = Ledger()
        self.reports: list[str] = []
        self.batches: list[Batch] = []
        self.source = AfPacket(self.ledger, names, report=self.reports.append, **settings)
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        for batch in self.source.read():
            if len(batch):
                self.batches.append(batch.copy())

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.source.stop()
        if self._thread.ident is None:
            self.start()
        self._thread.join(MOST_S)
        assert not self._thread.is_alive()
        self.source.account()
        assert not list(imbalances(self.ledger.totals()))

    def rows(self) -> list[dict[str, Any]]:
        """Each row as text and numbers, as it goes into files; without ts, whose nanoseconds no Python date holds."""
        return [row for batch in list(self.batches) for row in batch.to_arrow().drop_columns(["ts"]).to_pylist()]

    def count(self) -> int:
        return sum(len(batch) for batch in list(self.batches))

    def term(self, name: str, term: str, reason: str = "") -> int:
        return self.ledger.get(Entry("packets", name, term, "af_packet" if reason else "", reason))


@contextlib.contextmanager
def capture(space: Namespace, *names: str, start: bool = True, **settings: Any) -> Iterator[Capture]:
    """Reading inside `space` for the block, where this thread is too; with start=False, only from end() on."""
    one = Capture(list(names), **settings)
    with space.inside(), one.source:
        if start:
            one.start()
        try:
            yield one
        finally:
            one.source.stop()
            if start:
                one.end()


def datagram(number: int = 0, size: int = 0) -> bytes:
    return ethernet(udp(A4, B4, 1024 + number % 60000, 53, b"x" * size), 0x0800)


# -- rows say what was sent ------------------------------------------------------------------------------------------------------

ICMP_ECHO = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
ARP = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes.fromhex("020000090002") + socket.inet_aton(A4) + bytes(6) + socket.inet_aton(B4)
SENT = [
    (ethernet(udp(A4, B4, 4000, 53, b"abc"), 0x0800), {"src": A4, "dst": B4, "sport": 4000, "dport": 53, "payload_length": 3, "proto": 17}),
    (ethernet(udp(A6, B6, 4001, 53, b"abcd"), 0x86DD), {"src": A6, "dst": B6, "sport": 4001, "dport": 53, "payload_length": 4}),
    (ethernet(tcp(A4, B4, 4002, 80, 0x02, seq=77), 0x0800), {"sport": 4002, "tcp_flags": 2, "seq": 77, "proto": 6, "weird": None}),
    (ethernet(tcp(A6, B6, 4003, 443, 0x12, ack=78), 0x86DD), {"src": A6, "tcp_flags": 0x12, "ack": 78, "ip_version": 6}),
    (ethernet(ip(ICMP_ECHO, 1, A4, B4, ttl=9), 0x0800), {"icmp_type": 8, "icmp_code": 0, "ttl": 9, "sport": None}),
    (ethernet(udp(A4, B4, 4004, 53), 0x0800, tags=((0x8100, 100),)), {"vlan": 100, "vlan_inner": None, "sport": 4004, "ethertype": 0x0800}),
    (ethernet(udp(A6, B6, 4005, 53), 0x86DD, tags=((0x88A8, 7), (0x8100, 8))), {"vlan": 7, "vlan_inner": 8, "src": A6, "sport": 4005}),
    (ethernet(ARP, 0x0806), {"src": A4, "dst": B4, "ethertype": 0x0806, "proto": None}),
    (ethernet(udp(A4, B4, 4006, 53, b"x" * 8900), 0x0800), {"payload_length": 8900, "ip_length": 8928, "segments": 1, "sport": 4006}),
    (ethernet(ip(b"z" * 64, 17, A4, B4, identification=5, fragment=0x2003), 0x0800), {"ip_id": 5, "fragment_offset": 24, "mf": True}),
    (ethernet(b"\x45\0", 0x0800), {"weird": "truncated_IP", "src": None}),
]


def test_rows_say_what_was_sent_in_both_directions() -> None:
    frames = [frame for frame, _ in SENT]
    with veth_pair(silent=True, mtu=9000) as veth, FrameSender(veth.far) as far, FrameSender(veth.near) as near:
        before = time.time_ns()
        with capture(veth.near.space, veth.near.interface) as seen:
            far.send(frames)
            until(lambda: seen.count() == len(frames))
            near.send(frames)
        rows = seen.rows()
        after = time.time_ns()
    assert len(rows) == far.sent + near.sent == seen.term(veth.near.interface, "seen")
    assert seen.term(veth.near.interface, "octets") == far.octets + near.octets
    assert seen.ledger.get(Entry("packets", veth.near.interface, "segments")) == len(rows)
    for row, (frame, expected) in zip(rows, SENT * 2, strict=True):
        assert {name: row[name] for name in expected} == expected
        assert row["length"] == row["captured"] == len(frame)  # with the tag that the kernel took out on the way in
        assert (row["l2_src"], row["l2_dst"]) == (FAR_MAC, NEAR_MAC)
        assert row["interface"] == veth.near.interface
        assert row["hook"] == "af_packet"
    stamps = [stamp for batch in seen.batches for stamp in batch.rows["ts"].tolist()]
    assert before - 1_000_000 < min(stamps) <= max(stamps) < after + 1_000_000
    assert [row["direction"] for row in rows] == ["in"] * len(SENT) + ["out"] * len(SENT)


def test_a_device_without_a_link_layer_header_starts_with_ip(silent_veth: Veth) -> None:
    space, name = silent_veth.near.space, unique("hwt")
    with space.inside():
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
    space.ip(f"link set {name} addrgenmode none up")
    space.ip(f"addr add 10.9.7.1/24 dev {name}")
    with capture(space, name) as seen:
        os.write(tun, udp(A4, "10.9.0.9", 5, 6))
        os.write(tun, udp(A6, B6, 7, 8))
        until(lambda: seen.count() == 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"out", ("10.9.7.7", 99))
    os.close(tun)
    rows = seen.rows()
    assert [(row["src"], row["sport"], row["l2_src"], row["ethertype"], row["direction"]) for row in rows[:2]] == [
        (A4, 5, None, None, "in"),
        (A6, 7, None, None, "in"),
    ]
    assert [(row["dst"], row["dport"], row["direction"], row["length"]) for row in rows[2:]] == [("10.9.7.7", 99, "out", 31)]


def test_loopback_shows_each_packet_once(silent_veth: Veth) -> None:
    with capture(silent_veth.near.space, "lo") as seen, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(50):
            sender.sendto(b"hello", ("127.0.0.1", 9))
        until(lambda: seen.count() >= 100)  # each is refused by ICMP
    rows = seen.rows()
    assert len([row for row in rows if row["proto"] == 17]) == 50
    assert len([row for row in rows if row["proto"] == 1]) == 50
    assert {row["direction"] for row in rows} == {"in"}


@pytest.mark.parametrize("address", ["ip4", "ip6"])
@pytest.mark.parametrize("offload", [True, False])
def test_a_tcp_stream_is_seen_to_the_last_octet(offload: bool, address: str) -> None:
    octets = 3_000_000
    with veth_pair(offload=offload) as veth:
        where = getattr(veth.near, address)
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        with veth.near.space.inside():
            server = socket.create_server((where, 7000), family=family)
        with capture(veth.near.space, veth.near.interface) as seen:
            _stream(veth.far, server, octets)
        sent = _tcp_segments_sent(veth.far)
    rows = [row for row in seen.rows() if row["dport"] == 7000]
    assert max((row["seq"] - rows[0]["seq"] - 1) % 2**32 + row["payload_length"] for row in rows[1:]) - octets in (0, 1)  # 1: FIN
    assert [row["mss"] for row in rows if row["tcp_flags"] == 0x02] == [1460 if family == socket.AF_INET else 1440]
    assert sum(row["segments"] for row in rows) == sent
    assert (max(row["length"] for row in rows) > 1514) == (len(rows) < sent) == offload
    assert not [row for row in rows if row["weird"]]


def _tcp_segments_sent(end: End) -> int:
    """The sending kernel's own count since its namespace was made: a GSO packet as so many as it stands for."""
    with end.space.inside():
        snmp = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = [line.split() for line in snmp if line.startswith("Tcp:")]
    return int(values[names.index("OutSegs")]) + int(values[names.index("RetransSegs")])


def _stream(far: End, server: socket.socket, octets: int) -> None:
    with far.space.inside():
        client = socket.socket(server.family)
    with server, client:
        client.connect(server.getsockname())
        answered, _ = server.accept()
        sending = threading.Thread(target=lambda: (client.sendall(bytes(octets)), client.shutdown(socket.SHUT_WR)))
        sending.start()
        with answered:
            while answered.recv(1 << 16):
                pass
        sending.join()


# -- nothing is lost silently ------------------------------------------------------------------------------------------------------


def test_a_ring_that_overflows_counts_what_it_lost(silent_veth: Veth) -> None:
    name = silent_veth.near.interface
    with FrameSender(silent_veth.far) as sender, capture(silent_veth.near.space, name, start=False, ring_bytes=64 << 10) as seen:
        sender.send(datagram(number) for number in range(20_000))
        seen.end()
        assert seen.count() == seen.term(name, "as_row") > 100
        assert seen.term(name, "dropped", "ring_full") > 1000
        assert seen.count() + seen.term(name, "dropped", "ring_full") == seen.term(name, "seen") == sender.sent
    assert [row["sport"] for row in seen.rows()[:100]] == [1024 + number for number in range(100)]


@pytest.mark.parametrize("fanout", [1, 3])
def test_a_reader_that_is_too_slow_loses_only_what_is_counted(silent_veth: Veth, fanout: int) -> None:
    name = silent_veth.near.interface
    with FrameSender(silent_veth.far) as sender:
        with capture(silent_veth.near.space, name, ring_bytes=16 << 10, fanout=fanout) as seen:
            sender.send(datagram(number, 200) for number in range(50_000))
        assert seen.count() + seen.term(name, "dropped", "ring_full") == seen.term(name, "seen") == sender.sent


def test_more_than_a_batch_waits_in_the_ring_and_all_of_it_is_read(silent_veth: Veth) -> None:
    name = silent_veth.near.interface
    roomy = 64 << 20  # a block is handed over every 20 ms however little is in it, and a busy machine takes seconds to send
    with FrameSender(silent_veth.far) as sender, capture(silent_veth.near.space, name, start=False, ring_bytes=roomy) as seen:
        sender.send(datagram(number) for number in range(40_000))
        seen.end()
        assert seen.count() == sender.sent == seen.term(name, "seen")
    sports = [port for batch in seen.batches for port in batch.rows["sport"].tolist()]
    assert sports == [1024 + number for number in range(40_000)]
    assert len(seen.batches) > 2


@pytest.mark.parametrize("fanout", [1, 3])
def test_what_a_close_cuts_off_is_counted(silent_veth: Veth, fanout: int) -> None:
    name = silent_veth.near.interface
    ledger = Ledger()
    with FrameSender(silent_veth.far) as sender, silent_veth.near.space.inside():
        source = AfPacket(ledger, [name], fanout=fanout)
        with source:
            sender.send([datagram()] * 30)
        source.account()
        source.close()
    assert ledger.get(Entry("packets", name, "seen")) == sender.sent
    assert ledger.get(Entry("packets", name, "dropped", "af_packet", "cut")) == sender.sent


@pytest.mark.parametrize("fanout", [1, 3])
def test_a_quiet_line_still_yields(silent_veth: Veth, fanout: int) -> None:
    with silent_veth.near.space.inside(), AfPacket(Ledger(), [silent_veth.near.interface], fanout=fanout) as source:
        batches = source.read()
        assert [len(next(batches)) for _ in range(3)] == [0, 0, 0]


def test_several_rings_share_the_packets_of_all_cpus(silent_veth: Veth) -> None:
    """What each CPU sent is in order, all of it is there once, and rates are those of one ring."""
    name, each = silent_veth.near.interface, 20_000

    def send(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        with FrameSender(silent_veth.far) as sender:
            sender.send(ethernet(udp(A4, B4, 1024 + number, 53, b"x" * cpu), 0x0800) for number in range(each))

    cpus = sorted(os.sched_getaffinity(0))[:4]
    with capture(silent_veth.near.space, name, fanout=2) as seen:
        senders = [threading.Thread(target=send, args=(cpu,)) for cpu in cpus]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    rows = np.concatenate([batch.rows for batch in seen.batches])
    full = seen.term(name, "dropped", "ring_full")
    assert len(rows) + full == seen.term(name, "seen") == each * len(cpus)
    for cpu in cpus:
        sports = rows["sport"][rows["payload_length"] == cpu]
        assert (np.diff(sports.astype("i8")) > 0).all()
        assert full or len(sports) == each
    rates = seen.source.rates(0)
    assert len(rates) == 1
    assert (rates.rows["packets"].sum(), rates.rows["bytes"].sum()) == (len(rows), seen.term(name, "octets"))


def test_who_stops_reading_several_rings_is_not_kept_waiting(silent_veth: Veth) -> None:
    name = silent_veth.near.interface
    with FrameSender(silent_veth.far) as sender, silent_veth.near.space.inside(), AfPacket(Ledger(), [name], fanout=2) as source:
        batches = source.read()
        sender.send(datagram(number) for number in range(5000))
        until(lambda: len(next(batches)) > 0)
        batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("af_packet")]


def test_several_interfaces_are_read_in_the_order_of_time(silent_veth: Veth) -> None:
    """Packet by packet, with what carries each and what it carries, though the kernel fills their rings on its own."""
    near, far = silent_veth.near, silent_veth.far
    name, peer = unique("hwp"), unique("hwq")
    near.space.ip(f"link add {name} type veth peer name {peer} netns {far.space.name}")
    for space, interface in ((near.space, name), (far.space, peer)):
        space.ip(f"link set {interface} addrgenmode none arp off up")
    for space, interface in ((near.space, name), (far.space, peer)):
        space.carries(interface)
    count, seen = 2000, []
    with near.space.inside(), AfPacket(Ledger(), [name, near.interface], carriers=True, payloads=True) as source:

        def read() -> None:
            for batch in source.read():
                seen.extend(zip(batch.rows[["ts", "interface", "segments", "sport"]].tolist(), payloads_of(batch), strict=True))

        reading = threading.Thread(target=read)
        reading.start()
        with FrameSender(far) as one, FrameSender(replace(far, interface=peer)) as other:
            for number in range(count):
                inner = ethernet(udp(A4, B4, 20_000 + number, 53, b"%d" % number), 0x0800)
                (one, other)[number % 2].send([ethernet(udp("10.8.0.1", "10.8.0.2", 9, 4789, VXLAN + inner), 0x0800)])
            until(lambda: len(seen) >= 2 * count)
        source.stop()
        reading.join()
    (carriers, packets) = seen[::2], seen[1::2]
    assert [sport for (_, _, _, sport), _ in packets] == [20_000 + number for number in range(count)]
    assert [octets for _, octets in packets] == [b"%d" % number for number in range(count)]
    assert [interface for (_, interface, _, _), _ in packets[:2]] * (count // 2) == [interface for (_, interface, _, _), _ in packets]
    assert all(carrier[:2] == packet[:2] for (carrier, _), (packet, _) in zip(carriers, packets, strict=True))
    assert {(segments, octets) for (_, _, segments, _), octets in carriers} == {(0, b"")}


def payloads_of(batch: Batch) -> list[bytes]:
    """What each row carries."""
    each = batch.payloads.each[0 : len(batch)] if batch.payloads else ()
    return [ffi.buffer(one.octets, one.length)[:] if one.length else b"" for one in each]


# -- interfaces come and go ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fanout", [1, 3])
def test_an_interface_that_goes_down_and_up_is_followed(silent_veth: Veth, fanout: int) -> None:
    near, name = silent_veth.near, silent_veth.near.interface
    with FrameSender(silent_veth.far) as sender:
        with capture(near.space, name, fanout=fanout) as seen:
            for _ in range(5):
                sender.send([datagram()] * 10)
                until(lambda: seen.count() == sender.sent)
                near.space.ip(f"link set {name} down")
                near.space.ip(f"link set {name} up")
                for end in (near, silent_veth.far):
                    end.space.carries(end.interface)
        assert seen.term(name, "seen") == sender.sent == 50
    assert not [report for report in seen.reports if "gone" in report]


@pytest.mark.parametrize("fanout", [1, 3])
def test_a_deleted_interface_is_awaited_and_read_again(fanout: int) -> None:
    with veth_pair(silent=True) as veth:
        near, far = veth.near, veth.far
        sent = 0
        with capture(near.space, near.interface, fanout=fanout) as seen:
            for _ in range(3):
                with FrameSender(far) as sender:
                    rows = seen.count()
                    sender.send([datagram()] * 10)
                    until(lambda: seen.count() > rows, lambda: sender.send([datagram()]))  # noqa: B023 - called before the next turn
                    sent += sender.sent
                heard = seen.reports.count(f"listening on {near.interface}")
                near.space.ip(f"link delete {near.interface}")
                near.space.ip(f"link add {near.interface} type veth peer name {far.interface} netns {far.space.name}")
                for end in (near, far):
                    end.space.ip(f"link set {end.interface} addrgenmode none arp off up")
                until(lambda: seen.reports.count(f"listening on {near.interface}") > heard)  # noqa: B023 - the same
    assert seen.count() == sent == seen.term(near.interface, "seen")  # what was in the ring when it went, too
    assert seen.reports.count(f"{near.interface} is gone; waiting for it to come back") == 3


def test_an_interface_that_left_and_came_back_with_its_index_is_read_again(silent_veth: Veth) -> None:
    near, far = silent_veth.near, silent_veth.far
    with FrameSender(far) as sender, capture(near.space, near.interface) as seen:
        sender.send([datagram()])
        until(lambda: seen.count() == 1)
        near.space.ip(f"link delete {near.interface}")
        near.space.ip(f"link add {near.interface} index {near.index} type veth peer name {far.interface} netns {far.space.name}")
        for end in (near, far):
            end.space.ip(f"link set {end.interface} addrgenmode none arp off up")
        with FrameSender(far) as again:
            until(lambda: seen.count() > 1, lambda: again.send([datagram()]))
    assert seen.reports == [f"{near.interface} is gone; waiting for it to come back", f"listening on {near.interface}"]


@pytest.mark.parametrize("fanout", [1, 3])
def test_a_renamed_interface_keeps_its_packets(silent_veth: Veth, fanout: int) -> None:
    near, name, new = silent_veth.near, silent_veth.near.interface, unique("hwr")
    with FrameSender(silent_veth.far) as sender:
        with capture(near.space, name, fanout=fanout) as seen:
            sender.send([datagram()] * 10)
            until(lambda: seen.count() == 10)
            near.space.ip(f"link set {name} name {new}")  # also while it is up, since Linux 6.2
            until(lambda: bool(seen.reports))
            sender.send([datagram()] * 7)
        assert seen.reports == [f"{name} is called {new} now"]
        assert (seen.term(name, "seen"), seen.term(new, "seen")) == (10, 7)
    assert [row["interface"] for row in seen.rows()] == [name] * 10 + [new] * 7


def test_without_names_a_new_interface_is_listened_on(silent_veth: Veth) -> None:
    near, new = silent_veth.near, unique("hwm")
    with capture(near.space) as seen:
        assert seen.source.listening() == [(near.interface, "af_packet")]
        near.space.ip(f"link add {new} type veth peer name {unique('hwm')} netns {silent_veth.far.space.name}")
        near.space.ip(f"link set {new} up")
        until(lambda: f"listening on {new}" in seen.reports)


# -- what it asks of the kernel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fanout", [1, 3])
def test_promiscuous_mode_ends_with_the_source(silent_veth: Veth, fanout: int) -> None:
    near = silent_veth.near

    def promiscuity() -> str:
        return near.space.run("ip", "-d", "link", "show", near.interface).stdout.split("promiscuity ")[1].split()[0]

    for wanted in (True, False):
        with capture(near.space, near.interface, promiscuous=wanted, fanout=fanout):
            assert promiscuity() == str(int(wanted))
        assert promiscuity() == "0"


def test_an_interface_that_is_not_there_is_refused(silent_veth: Veth) -> None:
    with silent_veth.near.space.inside(), pytest.raises(ConfigError, match=r"no interface named eth9: there are .*lo"):
        AfPacket(Ledger(), ["eth9"]).open()


def test_without_the_capability_it_says_so() -> None:
    code = "from headwater.sources.af_packet import AfPacket; from headwater.telemetry import Ledger; AfPacket(Ledger(), ['lo']).open()"
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-net_raw", sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=MOST_S
    )
    assert "PermissionDenied: opening a packet socket needs CAP_NET_RAW: run as root" in done.stderr


def test_nothing_stays_behind() -> None:
    """Sockets of this process on the interface, by the kernel's own list."""
    with veth_pair(silent=True) as veth, veth.near.space.inside():
        sockets = Path("/proc/thread-self/net/packet")
        with AfPacket(Ledger(), [veth.near.interface]):
            bound = [line.split()[4] for line in sockets.read_text().splitlines()[1:] if line.split()[4] != "0"]
            assert bound == [str(veth.near.index)]  # the others are spare
        assert len(sockets.read_text().splitlines()) == 1
