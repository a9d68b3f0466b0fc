"""Live packets to a file, through packet sockets: octet by octet what was sent, and what was lost is told where it is missing."""

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import ethernet, tcp, udp
from netns import FrameSender, Namespace, Veth, unique
from pcapng_blocks import Contents, contents, number
from waiting import MOST_S, until

from headwater.filters import Filter
from headwater.outputs.pcapng import PacketFile
from headwater.sources.af_packet import AfPacket
from headwater.telemetry import Entry, Ledger, imbalances

pytestmark = pytest.mark.kernel
HEADWATER = Path(sys.executable).parent / "headwater"
A4, B4, A6, B6 = "10.9.0.2", "10.9.0.1", "fd09::2", "fd09::1"
IN, OUT, UNICAST = 1, 2, 1 << 2


def datagram(index: int = 0, size: int = 0, **of: Any) -> bytes:
    return ethernet(udp(A4, B4, 1024 + index % 60000, 53, bytes([index % 256]) * size), 0x0800, **of)


@contextlib.contextmanager
def writing(
    space: Namespace, name: str, path: Path, *, headers_only: bool = False, start: bool = True, **settings: Any
) -> Iterator[AfPacket]:
    """Packets of one interface to `path`, read in a thread; with start=False, only from the end of the block on."""
    ledger = Ledger()
    file = PacketFile(path, ledger, print, headers_only=headers_only, live=True)
    source = AfPacket(ledger, [name], packets=file, **settings)
    thread = threading.Thread(target=lambda: [None for _ in source.read()])
    with space.inside(), source:
        file.open()
        if start:
            thread.start()
        yield source
        source.stop()
        if not start:
            thread.start()
        thread.join(MOST_S)
        assert not thread.is_alive()
        source.account()
    file.flush()
    file.close()
    totals = ledger.totals()
    assert not list(imbalances(totals))
    assert ledger.get(Entry("records", str(path), "acked")) == sum(count for entry, count in totals.items() if entry.term == "as_row")


def seen(source: AfPacket) -> int:
    source.account()
    return sum(count for entry, count in source._ledger.totals().items() if entry.term == "seen")


SENT = [
    datagram(1, 3),
    datagram(2, 8900),
    ethernet(tcp(A6, B6, 4003, 443, 0x12, payload=b"hello" * 100), 0x86DD),
    datagram(3, 40, tags=((0x8100, 100),)),
    datagram(4, 1000, tags=((0x8100, 0xE064),)),  # with a priority
    datagram(5, 40, tags=((0x88A8, 7), (0x8100, 8))),
    ethernet(b"no packet of ours" * 30, 0x88B5),
    ethernet(b"\x45\0", 0x0800),
]


def test_whole_frames_in_both_directions_with_the_tag_put_back(silent_veth: Veth, tmp_path: Path) -> None:
    near, path = silent_veth.near, tmp_path / "out.pcapng"
    for end in (near, silent_veth.far):
        end.space.ip(f"link set {end.interface} mtu 9000")
    before = time.time_ns()
    with writing(near.space, near.interface, path) as source, FrameSender(silent_veth.far) as far, FrameSender(near) as own:
        far.send(SENT)
        until(lambda: seen(source) == len(SENT))
        own.send(SENT)
        until(lambda: seen(source) == 2 * len(SENT))
    found = contents(path)
    assert found.frames() == SENT * 2
    assert [length for *_, length, _ in found.packets] == [len(frame) for frame in SENT * 2]
    assert found.flags() == [IN | UNICAST] * len(SENT) + [OUT] * len(SENT)
    assert before - 10**6 < found.packets[0][1] <= found.packets[-1][1] < time.time_ns() + 10**6
    assert (found.names(), found.interfaces[0][0]) == ([near.interface], 1)
    assert [number(found.statistics[0], code) for code in (4, 7, 8)] == [2 * len(SENT), 0, 2 * len(SENT)]
    shown = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "vlan.id"], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["100", "100", "8"] * 2  # the outer tag of the last is a field of its own


def test_headers_alone(silent_veth: Veth, tmp_path: Path) -> None:
    near, path = silent_veth.near, tmp_path / "out.pcapng"
    with writing(near.space, near.interface, path, headers_only=True) as source, FrameSender(silent_veth.far) as far:
        sent = [frame for frame in SENT if len(frame) < 1514]
        far.send(sent)
        until(lambda: seen(source) == len(sent))
    ends = [14 + 20 + 8, 14 + 40 + 20, 18 + 20 + 8, 18 + 20 + 8, 22 + 20 + 8, 256, 16]
    found = contents(path)
    assert found.frames() == [frame[:end] for frame, end in zip(sent, ends, strict=True)]
    assert [length for *_, length, _ in found.packets] == [len(frame) for frame in sent]


def test_what_a_tiny_ring_lost_is_told_where_it_is_missing(silent_veth: Veth, tmp_path: Path) -> None:
    near, path = silent_veth.near, tmp_path / "out.pcapng"
    with FrameSender(silent_veth.far) as far:
        with writing(near.space, near.interface, path, ring_bytes=64 << 10) as source:
            for start in range(0, 60_000, 20_000):  # the last ones come when the ring has room again
                with source._alone():  # nobody reads meanwhile
                    far.send(datagram(index, 30) for index in range(start, start + 20_000))
                until(lambda: seen(source) == far.sent)
            far.send(datagram(index) for index in range(10))
            until(lambda: seen(source) == far.sent)
        lost = source._ledger.get(Entry("packets", near.interface, "dropped", "af_packet", "ring_full"))
    found = contents(path)
    assert lost > 1000
    assert len(found.packets) + lost == far.sent
    assert sum(found.dropped()) == number(found.statistics[0], 7) == lost
    assert number(found.statistics[0], 4) == far.sent


def test_a_filter_and_sampling_choose(silent_veth: Veth, tmp_path: Path) -> None:
    near, path = silent_veth.near, tmp_path / "out.pcapng"
    with (
        writing(near.space, near.interface, path, filter=Filter("udp.srcport in {1030..1033}")) as source,
        FrameSender(silent_veth.far) as far,
    ):
        far.send(datagram(index) for index in range(20))
        until(lambda: seen(source) == 20)
        source.set_filter(Filter("udp.srcport == 1040"))
        far.send(datagram(index) for index in range(20))
        until(lambda: seen(source) == 40)
    assert contents(path).frames() == [datagram(index) for index in (6, 7, 8, 9, 16)]


def test_an_interface_keeps_its_place_and_a_new_name_is_another(silent_veth: Veth, tmp_path: Path) -> None:
    near, path, new = silent_veth.near, tmp_path / "out.pcapng", unique("hwr")
    said: list[str] = []
    with FrameSender(silent_veth.far) as far, writing(near.space, near.interface, path, report=said.append) as source:
        far.send([datagram(1)] * 5)
        until(lambda: seen(source) == 5)
        near.space.ip(f"link set {near.interface} name {new}")
        until(lambda: said)
        far.send([datagram(2)] * 7)
        until(lambda: seen(source) == 12)
    found = contents(path)
    assert found.names() == [near.interface, new]
    assert [interface for interface, *_ in found.packets] == [0] * 5 + [1] * 7
    assert [number(found.statistics[index], 4) for index in (0, 1)] == [5, 7]


def test_a_device_without_a_link_layer_is_raw_ip(silent_veth: Veth, tmp_path: Path) -> None:
    space, name, path = silent_veth.near.space, unique("hwt"), tmp_path / "out.pcapng"
    space.ip(f"tuntap add {name} mode tun")
    space.ip(f"link set {name} addrgenmode none up")
    space.ip(f"addr add 10.9.7.1/24 dev {name}")
    with space.inside():
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
    packet = udp(A4, "10.9.0.9", 5, 6, b"x" * 700)
    with writing(space, name, path) as source:
        os.write(tun, packet)
        until(lambda: seen(source) == 1)
    os.close(tun)
    found = contents(path)
    assert found.interfaces[0][0] == 101 and found.frames() == [packet]


@contextlib.contextmanager
def started(space: Namespace, *words: str, **how: Any) -> "Iterator[subprocess.Popen[Any]]":
    with space.start(str(HEADWATER), "run", *words, stderr=subprocess.PIPE, text=True, **how) as run:
        try:
            yield run
        finally:
            run.kill()


def listening(run: "subprocess.Popen[Any]") -> str:
    assert run.stderr
    return str(run.stderr.readline())


def found_in(path: Path) -> Contents | None:
    return contents(path) if path.exists() and path.stat().st_size else None


def test_the_command_says_where_it_listens_and_what_became_of_packets(silent_veth: Veth, tmp_path: Path) -> None:
    near, path = silent_veth.near, tmp_path / "out.pcapng"
    with started(near.space, "-i", near.interface, "-w", str(path), "-f", "udp") as run, FrameSender(silent_veth.far) as far:
        said = listening(run)
        assert said == f"headwater: listening on {near.interface} (af_packet), filter udp, packets to {path}\n"
        far.send([SENT[0], SENT[2], SENT[3]])
        until(lambda: (found := found_in(path)) and len(found.packets) == 2)  # within a second or two, and not only at the end
        run.send_signal(signal.SIGINT)
        assert run.stderr and f"records  {path}: 2 made = 2 acked" in run.stderr.read()
    assert run.returncode == 0


def test_into_tshark_while_it_runs(silent_veth: Veth) -> None:
    near = silent_veth.near
    with (
        started(near.space, "-i", near.interface, "-w", "-", stdout=subprocess.PIPE) as run,
        subprocess.Popen(
            ["tshark", "-l", "-i", "-", "-T", "fields", "-e", "udp.srcport"],
            stdin=run.stdout,
            stdout=subprocess.PIPE,
            text=True,
            stderr=subprocess.PIPE,
        ) as shark,
        FrameSender(silent_veth.far) as far,
    ):
        listening(run)
        far.send([datagram(7)])
        assert shark.stdout and shark.stdout.readline() == "1031\n"
        shark.terminate()
        assert run.stdout and run.stderr
        run.stdout.close()
        far.send([datagram(8)])
        assert run.wait(MOST_S) == 0
        assert "headwater:" not in run.stderr.read(), "a reader that goes is the end of the run, and no error"


@pytest.mark.parametrize("hook", ["tcx", "xdp"])
def test_hooks_that_carry_no_packets_are_refused(hook: str, silent_veth: Veth, tmp_path: Path) -> None:
    with started(silent_veth.near.space, "-w", str(tmp_path / "out.pcapng"), "--hook", hook) as run:
        assert run.wait(MOST_S) == 2
        assert (
            listening(run) == f"headwater: --hook {hook}: -w needs whole packets, which the eBPF hooks do not carry: use --hook af_packet\n"
        )
    assert not (tmp_path / "out.pcapng").exists()


def test_a_large_packet_of_a_local_sender_is_written_as_it_was(veth: Veth, tmp_path: Path) -> None:
    """Segmentation offload: one packet of up to 64 KB, whose octets are all there."""
    path = tmp_path / "out.pcapng"
    sent = bytes(range(256)) * 2000
    with veth.near.space.inside():
        server = socket.create_server((veth.near.ip4, 7000))
    with writing(veth.near.space, veth.near.interface, path) as source, server:
        with veth.far.space.inside():
            client = socket.create_connection((veth.near.ip4, 7000))
        with veth.near.space.inside():
            answered, _ = server.accept()
        sending = threading.Thread(target=lambda: (client.sendall(sent), client.close()))
        sending.start()
        with answered:
            got = 0
            while part := answered.recv(1 << 16):
                got += len(part)
        sending.join()
        assert got == len(sent)
        until(lambda: seen(source) > 10)
    stream: dict[int, bytes] = {}
    for frame in contents(path).frames():
        if frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[36:38] == (7000).to_bytes(2, "big"):
            payload = frame[34 + (frame[46] >> 4) * 4 : 14 + int.from_bytes(frame[16:18], "big") or None]
            stream[int.from_bytes(frame[38:42], "big")] = payload
    first = min(stream)
    assert b"".join(stream[at] for at in sorted(stream) if stream[at]) == sent and max(map(len, stream.values())) > 1460
    assert first


def test_a_reader_that_does_not_read_costs_packets_and_not_the_end(silent_veth: Veth) -> None:
    """The ring fills while the pipe takes nothing; what is in memory at the end is given up after two seconds. All of it is counted."""
    near = silent_veth.near
    with (
        started(near.space, "-i", near.interface, "-w", "-", stdout=subprocess.PIPE) as run,
        FrameSender(silent_veth.far) as far,
    ):
        listening(run)
        far.send(datagram(index, 1000) for index in range(30_000))
        run.send_signal(signal.SIGINT)
        assert run.wait(MOST_S) == 6
        assert run.stderr
        said = run.stderr.read()
    assert "30,000 seen" in said and "dropped (af packet: ring full)" in said and "dropped (sink: unreachable)" in said
    assert said.count("waiting for its reader") == 1 and "adds up exactly" in said
