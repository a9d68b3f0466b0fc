"""Chains of headers that are longer than most, and what is read at their end, by tshark too."""

import socket
import struct
import subprocess
from pathlib import Path

import pytest
from forge import NANO, Packet, pcap
from frames import ethernet, ip, tcp, udp
from reading import read_capture

A, B = "10.0.0.1", "10.0.0.2"
INNER = tcp("10.1.0.1", "10.1.0.2", 1024, 80, 2)
LABELS = b"".join(struct.pack("!I", number << 12 | (number == 35) << 8 | 64) for number in range(16, 36))
EXTENSIONS = b"\1\0\0\x85" * 19 + b"\1\0\0\0"
ARP = bytes.fromhex("0001080006040001 020000000009 0a010001 000000000000 0a010002")


def ah(following: int, payload: bytes) -> bytes:
    return bytes([following, 4]) + bytes(6 + 16) + payload


QUOTED = ip(ah(17, udp(A, B, 7, 9)[20:]), 51, A, B)
FRAMES = {
    "labels of MPLS": (ethernet(LABELS + INNER, 0x8847), "tcp.dstport"),
    "extensions of GTP-U": (
        ethernet(udp(A, B, 2152, 2152, b"\x34\xff" + struct.pack("!HI", 84 + len(INNER), 7) + b"\0\0\0\x85" + EXTENSIONS + INNER), 0x0800),
        "tcp.dstport",
    ),
    "AH in AH": (ethernet(ip(ah(51, ah(6, INNER[20:])), 51, A, B), 0x0800), "tcp.dstport"),
    "an AH that is quoted": (ethernet(ip(bytes([3, 1, 0, 0, 0, 0, 0, 0]) + QUOTED, socket.IPPROTO_ICMP, A, B), 0x0800), "udp.dstport"),
    "ARP in GRE": (ethernet(ip(b"\0\0\x08\x06" + ARP, 47, A, B), 0x0800), "arp.opcode"),
}
COLUMNS = {"tcp.dstport": "dport", "udp.dstport": "quoted_dport", "arp.opcode": "arp_operation"}


@pytest.mark.parametrize("name", FRAMES)
def test_the_end_of_a_chain_is_read(tmp_path: Path, name: str) -> None:
    frame, field = FRAMES[name]
    (tmp_path / "a.pcap").write_bytes(pcap([Packet(1, 2, frame)], magic=NANO))
    (row,) = read_capture(tmp_path / "a.pcap").rows
    command = ["tshark", "-n", "-r", tmp_path / "a.pcap", "-T", "fields", "-e", field]
    theirs = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert theirs == [str(row[COLUMNS[field]])]
    assert row["weird"] == 0
