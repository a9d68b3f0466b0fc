"""Frames made by hand, field by field, for tests that know what they sent. Checksums are right, so that a kernel takes them too."""

import socket
import struct
from ipaddress import ip_address
from itertools import pairwise

NEAR_MAC, FAR_MAC = "02:00:00:09:00:01", "02:00:00:09:00:02"


def _checksum(octets: bytes) -> int:
    padded = octets + b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload: bytes, ethertype: int, *, src: str = FAR_MAC, dst: str = NEAR_MAC, tags: tuple[tuple[int, int], ...] = ()) -> bytes:
    """A frame; `tags` are (TPID, TCI), outermost first."""
    header = bytes.fromhex(dst.replace(":", "") + src.replace(":", ""))
    return header + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", ethertype) + payload


def ip(payload: bytes, proto: int, src: str, dst: str, *, ttl: int = 64, identification: int = 0, fragment: int = 0) -> bytes:
    """An IPv4 or IPv6 packet, by the addresses. `fragment` is IPv4's field: flags and offset in eights."""
    a, b = ip_address(src).packed, ip_address(dst).packed
    if len(a) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), proto, ttl) + a + b + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identification, fragment, ttl, proto, 0) + a + b
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + payload


def _transport(segment: bytes, proto: int, src: str, dst: str, at: int) -> bytes:
    pseudo = ip_address(src).packed + ip_address(dst).packed + struct.pack("!II", len(segment), proto)
    return segment[:at] + struct.pack("!H", _checksum(pseudo + segment) or 0xFFFF) + segment[at + 2 :]


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes = b"", *, ttl: int = 64) -> bytes:
    """An IP packet with a UDP datagram."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ip(_transport(datagram, socket.IPPROTO_UDP, src, dst, 6), socket.IPPROTO_UDP, src, dst, ttl=ttl)


def tcp(src: str, dst: str, sport: int, dport: int, flags: int, *, payload: bytes = b"", seq: int = 0, ack: int = 0) -> bytes:
    """An IP packet with a TCP segment without options."""
    segment = struct.pack("!HHIIHHHH", sport, dport, seq, ack, 5 << 12 | flags, 512, 0, 0) + payload
    return ip(_transport(segment, socket.IPPROTO_TCP, src, dst, 16), socket.IPPROTO_TCP, src, dst)


def icmpv6(message: bytes, src: str, dst: str, *, ttl: int = 64) -> bytes:
    """An IPv6 packet with an ICMPv6 message."""
    return ip(_transport(message, socket.IPPROTO_ICMPV6, src, dst, 2), socket.IPPROTO_ICMPV6, src, dst, ttl=ttl)


def ethertype(packet: bytes) -> int:
    """0x0800 or 0x86dd, by the version in the packet."""
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def pieces(packet: bytes, *ends: int, identification: int = 7) -> list[bytes]:
    """Frames of an IP packet's fragments that reach from 0 to the first of `ends`, from there to the next ..., and to the end."""
    six = packet[0] >> 4 == 6
    header, body = (packet[:40], packet[40:]) if six else (packet[:20], packet[20:])
    made = []
    for begin, end in pairwise([0, *ends, len(body)]):
        part, more = body[begin:end], end < len(body)
        if six:
            part = struct.pack("!BBHI", packet[6], 0, begin | more, identification) + part
            whole = header[:4] + struct.pack("!HB", len(part), 44) + header[7:] + part
        else:
            field = (0x2000 if more else 0) | begin >> 3
            whole = header[:2] + struct.pack("!HHH", 20 + len(part), identification, field) + header[8:] + part
        made.append(ethernet(whole, ethertype(packet)))
    return made
