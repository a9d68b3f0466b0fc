"""The frames of a capture file, for tests that must not depend on the product's own decoder: as frames.h, and with their times."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PCAP = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}  # nanoseconds of a unit
SECTION, INTERFACE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 3, 6


class Frame(NamedTuple):
    """One of them: nanoseconds, the link type, octets on the wire, and those that were captured."""

    ts: int
    link_type: int
    length: int
    octets: bytes


def frames(path: Path) -> Iterator[Frame]:
    """All until the file's end, or what is broken in it."""
    data = path.read_bytes()
    if len(data) < 24:
        return
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in PCAP:
            yield from _pcap(data, order, PCAP[magic])
        if magic == SECTION and struct.unpack_from(order + "I", data, 8)[0] == 0x1A2B3C4D:
            yield from _pcapng(data, order)


def _pcap(data: bytes, order: str, unit: int) -> Iterator[Frame]:
    link_type, at = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF, 24
    while at + 16 <= len(data):
        seconds, part, captured, length = struct.unpack_from(order + "4I", data, at)
        at += 16 + captured
        if at > len(data):
            return
        yield Frame(seconds * 10**9 + part * unit, link_type, length, data[at - captured : at])


def _pcapng(data: bytes, order: str) -> Iterator[Frame]:
    interfaces: list[tuple[int, int]] = []  # link type, units a second
    at = 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from(order + "2I", data, at)
        if kind == SECTION:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            size = struct.unpack_from(order + "I", data, at + 4)[0]
            interfaces = []
        if size < 12 or at + size > len(data):
            return
        body = data[at + 8 : at + size - 4]
        at += size
        if kind == INTERFACE:
            interfaces.append((struct.unpack_from(order + "H", body)[0], _units(body[8:], order)))
        elif kind == ENHANCED:
            number, high, low, captured, length = struct.unpack_from(order + "5I", body)
            link_type, units = interfaces[number]
            yield Frame((high << 32 | low) * 10**9 // units, link_type, length, body[20 : 20 + captured])
        elif kind == SIMPLE and interfaces:
            yield Frame(0, interfaces[0][0], struct.unpack_from(order + "I", body)[0], body[4:])


def _units(options: bytes, order: str) -> int:
    at = 0
    while at + 4 <= len(options):
        code, size = struct.unpack_from(order + "2H", options, at)
        if code == 9:  # if_tsresol
            value = options[at + 4]
            return 2 ** (value & 127) if value & 128 else 10**value
        if not code:
            break
        at += 4 + (size + 3) // 4 * 4
    return 10**6
