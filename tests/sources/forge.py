"""Makes captures octet by octet, so that each field of the formats can be set, rightly or wrongly."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

MICRO, NANO, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34


def frame(size: int, number: int = 0) -> bytes:
    """An Ethernet frame with UDP in IPv4, cut to `size` octets."""
    payload = bytes(number % 256 for _ in range(max(0, size - 42)))
    udp = struct.pack(">HHHH", 1024 + number, 53, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    return (bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip + udp)[:size]


@dataclass(frozen=True)
class Packet:
    """Seconds, the fraction in the file's unit, the octets there, and how many there were on the wire."""

    seconds: int
    fraction: int
    data: bytes
    length: int = -1

    @property
    def original(self) -> int:
        return len(self.data) if self.length < 0 else self.length


def packets(count: int = 5) -> list[Packet]:
    """A few packets of different sizes, one cut by a snapshot length, one empty."""
    sizes = [60, 61, 1514, 0, 42]
    return [Packet(1_700_000_000 + i, 123_456 + i, frame(sizes[i % 5], i), 1600 if sizes[i % 5] == 1514 else -1) for i in range(count)]


def timed(frames: Iterable[tuple[int, bytes]]) -> bytes:
    """A pcap file of frames, each so many nanoseconds after a moment."""
    return pcap((Packet(1_700_000_000 + at // 10**9, at % 10**9, data) for at, data in frames), magic=NANO)


def pcap(
    records: Iterable[Packet], order: str = "<", magic: int = MICRO, link: int = 1, version: tuple[int, int] = (2, 4), swapped: bool = False
) -> bytes:
    parts = [struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, 262144, link)]
    for packet in records:
        lengths = (packet.original, len(packet.data)) if swapped else (len(packet.data), packet.original)
        parts.append(struct.pack(f"{order}IIII", packet.seconds, packet.fraction, *lengths))
        if magic == MODIFIED:
            parts.append(struct.pack(f"{order}IHBB", 2, 0x0800, 0, 0))
        parts.append(packet.data)
    return b"".join(parts)


@dataclass
class Pcapng:
    """Appends blocks in one byte order; sections may follow one another."""

    order: str = "<"
    data: bytes = b""
    ends: set[int] = field(default_factory=set)  # where a block ends: a capture cut there is whole

    def block(self, kind: int, body: bytes, *, total: int | None = None, trailer: int | None = None) -> "Pcapng":
        body += bytes(-len(body) % 4)
        total = 12 + len(body) if total is None else total
        self.data += struct.pack(f"{self.order}II", kind, total) + body
        self.data += struct.pack(f"{self.order}I", total if trailer is None else trailer)
        self.ends.add(len(self.data))
        return self

    def options(self, *pairs: tuple[int, bytes]) -> bytes:
        if not pairs:
            return b""
        made = [struct.pack(f"{self.order}HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in pairs]
        return b"".join(made) + bytes(4)

    def number(self, value: int, code: str = "Q") -> bytes:
        return struct.pack(f"{self.order}{code}", value)

    def section(self, order: str | None = None, *, comment: int = 0, version: int = 1) -> "Pcapng":
        self.order = order or self.order
        options = self.options((1, b"x" * comment)) if comment else b""
        return self.block(0x0A0D0D0A, struct.pack(f"{self.order}IHHq", 0x1A2B3C4D, version, 0, -1) + options)

    def interface(self, *pairs: tuple[int, bytes], link: int = 1, snaplen: int = 0) -> "Pcapng":
        return self.block(1, struct.pack(f"{self.order}HHI", link, 0, snaplen) + self.options(*pairs))

    def enhanced(self, data: bytes, *pairs: tuple[int, bytes], units: int = 0, interface: int = 0, length: int = -1) -> "Pcapng":
        head = struct.pack(f"{self.order}IIIII", interface, units >> 32, units & 0xFFFFFFFF, len(data), len(data) if length < 0 else length)
        return self.block(6, head + data + bytes(-len(data) % 4) + self.options(*pairs))

    def obsolete(self, data: bytes, *pairs: tuple[int, bytes], units: int = 0, interface: int = 0, drops: int = 0xFFFF) -> "Pcapng":
        head = struct.pack(f"{self.order}HHIIII", interface, drops, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
        return self.block(2, head + data + bytes(-len(data) % 4) + self.options(*pairs))

    def simple(self, data: bytes, length: int = -1) -> "Pcapng":
        return self.block(3, struct.pack(f"{self.order}I", len(data) if length < 0 else length) + data)

    def statistics(self, *pairs: tuple[int, bytes], interface: int = 0) -> "Pcapng":
        return self.block(5, struct.pack(f"{self.order}III", interface, 0, 0) + self.options(*pairs))
