"""What lies behind the parser's window of 256 octets: a row that has less than the same packet's nearer to the frame's begin says why."""

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from forge import NANO, Packet, pcap
from frames import ethernet, icmpv6, ip, tcp, udp
from reading import read_capture

from headwater.outputs.pcapng import PacketFile
from headwater.records import ENUMS
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

BEYOND = next(number for number, name in ENUMS["hw_weird"].items() if name == "headers_beyond_window")
A, B, C, D = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
INNER = tcp("10.1.0.1", "10.1.0.2", 1024, 80, 2)
INNER6 = tcp("2001:db8:1::1", "2001:db8:1::2", 1024, 80, 2)
FRAME = ethernet(INNER, 0x0800)
TEREDO = udp("2001:0:1::1", "2001:db8:1::2", 1024, 53)


def options6(kind: int, payload: bytes, *options: bytes) -> bytes:
    """IPv6 with an extension header before UDP."""
    body = b"".join(options)
    return ip(bytes([17, (len(body) + 2) // 8 - 1]) + body + udp(C, D, 5, 6, payload)[40:], kind, C, D)


def tcp_options(options: bytes) -> bytes:
    segment = bytearray(tcp(A, B, 1024, 80, 2)[20:])
    segment[12] = (20 + len(options)) // 4 << 4
    return ip(bytes(segment) + options, socket.IPPROTO_TCP, A, B)


ADDRESS = socket.inet_pton(socket.AF_INET6, "2001:db8:9::9")
STAMPS = b"\1\1\x08\x0a" + bytes(range(1, 9))
QUOTE4 = bytes([3, 1, 0, 0, 0, 0, 0, 0]) + udp(A, B, 7, 9)
QUOTE6 = bytes([1, 4, 0, 0, 0, 0, 0, 0]) + options6(0, b"", bytes(6))
PACKETS = {
    "TCP options": tcp_options(b"\2\4\5\xb4\1\3\3\7" + STAMPS),
    "time stamps": tcp_options(STAMPS),
    "IPv4 options": ip(b"", 253, A, B)[:20].replace(b"\x45\0\0\x14", b"\x46\0\0\x18", 1) + b"\x94\4\0\0",
    "home address": options6(60, b"", b"\1\2\0\0", b"\xc9\x10" + ADDRESS),
    "routing": options6(43, b"", bytes([0, 1, 0, 0, 0, 0]) + ADDRESS),
    "jumbogram": ip(b"", 0, C, D)[:40] + bytes([17, 0, 0xC2, 4, 0, 0, 0, 16]) + udp(C, D, 5, 6)[40:],
    "ESP in UDP": udp(A, B, 4500, 4500, bytes(range(1, 20))),
    "VXLAN": udp(A, B, 1024, 4789, b"\x08\0\0\0\0\0\7\0" + FRAME),
    "Geneve": udp(A, B, 1024, 6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + FRAME),
    "GTP-U": udp(A, B, 2152, 2152, b"\x34\xff\0\0\0\0\0\7\0\0\0\x85\1\0\0\0" + INNER),
    "L2TP": udp(A, B, 1701, 1701, b"\2\2\0\7\0\1\0\3\0\0\0\0\x21" + INNER),
    "Teredo": udp(A, B, 1024, 3544, b"\0\1\4\4" + bytes(17) + bytes(8) + INNER6),
    "Teredo elsewhere": udp(A, B, 1024, 53, TEREDO),
    "AYIYA": udp(A, B, 1024, 5072, b"\x44\x52\x11\x29" + bytes(4 + 16 + 20) + INNER6),
    "EtherIP": ip(b"\x30\0" + FRAME, 97, A, B),
    "pseudowire": udp(A, B, 1024, 6635, b"\0\0\x11\x40" + bytes(4) + FRAME),
    "GRE with routes": ip(b"\x40\0\x08\0\0\0\0\0\0\2\0\4abcd" + bytes(4) + INNER, 47, A, B),
    "GRE with 802.11": ip(b"\0\0\x82\0\x08\3\0\0RECEIVSENDERTARGET\0\0SOURCE\xaa\xaa\3\0\0\0\x08\0" + INNER, 47, A, B),
    "an error of ICMP": ip(QUOTE4, socket.IPPROTO_ICMP, A, B),
    "an error of ICMPv6": icmpv6(QUOTE6, C, D),
    "a neighbour": icmpv6(b"\x88\0\0\0\x20\0\0\0" + ADDRESS + b"\1\1\0\0\0\0\0\0\2\1\2\0\0\0\0\1", C, D, ttl=255),
}

FURTHEST = {"Teredo elsewhere": 170}  # no port announces it, so that nobody misses what begins behind the window


def behind(octets: int, packet: bytes) -> bytes:
    """A frame whose inner packet begins behind 52 octets and these, which L2TP lets a sender leave empty."""
    return ethernet(udp(A, B, 1701, 1701, struct.pack("!HHHH", 0x0202, 7, 1, octets) + bytes(octets) + b"\0\x21" + packet), 0x0800)


def columns(row: Any) -> tuple[Any, ...]:
    return tuple(row[name].tobytes() for name in row.dtype.names if name not in ("ts", "length", "captured", "weird"))


@pytest.mark.parametrize("name", PACKETS)
def test_nothing_is_lost_without_a_word(tmp_path: Path, name: str) -> None:
    frames = [behind(octets, PACKETS[name]) for octets in range(FURTHEST.get(name, 205) + 1)]
    (tmp_path / "a.pcap").write_bytes(pcap([Packet(1, 2, frame) for frame in frames], magic=NANO))
    rows = read_capture(tmp_path / "a.pcap", 1024).rows
    whole = columns(rows[0])
    assert rows["weird"][0] == 0
    lost = [number for number, row in enumerate(rows) if columns(row) != whole]
    assert lost
    assert set(rows["weird"][lost].tolist()) == {BEYOND}
    assert set(rows["weird"].tolist()) == {0, BEYOND}


@pytest.mark.parametrize("name", PACKETS)
def test_a_file_cut_to_headers_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    frames = [behind(octets, PACKETS[name]) + b"payload" * size for octets in range(206) for size in (0, 1, 40)]
    (tmp_path / "a.pcap").write_bytes(pcap([Packet(1, 2, frame) for frame in frames], magic=NANO))
    file = PacketFile(tmp_path / "b.pcapng", Ledger(), print, headers_only=True)
    file.open()
    with Capture(str(tmp_path / "a.pcap"), Ledger(), 1024, packets=file) as capture:
        for batch in capture.read():
            file.put(batch)
    file.close()
    rows, again = read_capture(tmp_path / "a.pcap", 1024).rows, read_capture(tmp_path / "b.pcapng", 1024).rows
    assert (again["captured"] <= 256).all()
    again["captured"] = rows["captured"]
    assert [number for number, (one, other) in enumerate(zip(rows, again, strict=True)) if one != other] == []
