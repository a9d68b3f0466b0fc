"""A capture of as many packets as are wanted, made of the public ones in ../shared/corpora: `python -m bench.mix FILE PACKETS`.

A copy of them all begins every ten seconds, and in each copy each capture is between hosts of its own, so that the flows of the whole are
those of one copy, as often as there are copies. Copies overlap, and packets are in the order of time. Addresses and times are all that
changes: checksums stay as they were, and so does what is inside a tunnel.
"""

import struct
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

CORPORA = Path(__file__).parent.parent.parent / "shared/corpora"
STEP_US = 10_000_000  # from copy to copy
HORIZON_US = 60_000_000  # of each capture; some have days between two packets
MOST = 2000  # frames of one capture, so that none of them is most of the mix
BEGIN_S = 1_700_000_000
ADDRESSES = 1 << 24  # of 10.0.0.0/8, and as many of IPv6; they are used again after that
MAGICS = {  # byte order, and units in a microsecond
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1000),
}
TAGS = {b"\x81\x00", b"\x88\xa8"}
NAMES = {6: "TCP", 17: "UDP", 1: "ICMP", 58: "ICMP"}


class Frame(NamedTuple):
    """An Ethernet frame with IP. `at` is in microseconds, `length` that on the wire, `ip` where the IP header begins."""

    at: int
    octets: bytes
    length: int
    ip: int

    def is_v6(self) -> bool:
        return self.octets[self.ip] >> 4 == 6

    def protocol(self) -> int:
        return self.octets[self.ip + (6 if self.is_v6() else 9)]

    def ends(self) -> Iterator[tuple[int, bytes]]:
        """Where sender and receiver stand, and who they are. Groups of receivers are none."""
        first, size = (self.ip + 8, 16) if self.is_v6() else (self.ip + 12, 4)
        for place in (first, first + size):
            address = self.octets[place : place + size]
            if place == first or address[0] < (0xFF if size == 16 else 224):
                yield place, address


def _ip_of(octets: bytes, length: int) -> int:
    """Where the IP header is; 0 if there is none, or it tells of more than `length` octets."""
    at = 12
    while octets[at : at + 2] in TAGS:
        at += 4
    kind, at = octets[at : at + 2], at + 2
    if kind == b"\x08\x00" and len(octets) >= at + 20 and octets[at] >> 4 == 4 and octets[at] & 15 >= 5:
        return at if 20 <= int.from_bytes(octets[at + 2 : at + 4], "big") <= length - at else 0
    if kind == b"\x86\xdd" and len(octets) >= at + 40 and octets[at] >> 4 == 6:
        return at if 40 + int.from_bytes(octets[at + 4 : at + 6], "big") <= length - at else 0
    return 0


def frames_of(path: Path) -> list[Frame]:
    """The frames with IP of a pcap file of Ethernet, as far as it is whole: MOST at most, and from 0 to HORIZON_US."""
    data = path.read_bytes()
    if len(data) < 24 or data[:4] not in MAGICS:
        return []
    order, unit = MAGICS[data[:4]]
    head = struct.Struct(order + "IIII")
    frames: list[Frame] = []
    at = 24 if struct.unpack_from(order + "I", data, 20)[0] == 1 else len(data)
    while at + head.size <= len(data) and len(frames) < MOST:
        seconds, fraction, captured, length = head.unpack_from(data, at)
        octets = data[at + head.size : at + head.size + captured]
        if len(octets) < captured or captured > length:
            break
        at += head.size + captured
        if ip := _ip_of(octets, length):
            frames.append(Frame(seconds * 1_000_000 + fraction // unit, octets, length, ip))
    begin = min((frame.at for frame in frames), default=0)
    moved = (frame._replace(at=frame.at - begin) for frame in frames)
    return [frame for frame in moved if frame.at < HORIZON_US]


def captures() -> list[Path]:
    """Those of Zeek's and Arkime's test suites; what is not pcap of Ethernet gives no frames."""
    found = sorted([*CORPORA.glob("zeek/*/trace.pcap"), *CORPORA.glob("arkime/pcap/*.pcap")])
    if not found:
        raise SystemExit(f"bench: there are no captures in {CORPORA}")
    return found


class Mix:
    """The frames of `paths`, to be written as often as wanted. `packets` are those of a copy, `captures` how many are of which."""

    def __init__(self, paths: Sequence[Path]) -> None:
        given = [(number, frame) for number, path in enumerate(paths) for frame in frames_of(path)]
        given.sort(key=lambda one: one[1].at % STEP_US)
        frames = [frame for _, frame in given]
        self.packets = len(frames)
        self.octets = sum(frame.length for frame in frames)
        self._sizes = np.array([16 + len(frame.octets) for frame in frames])
        self._heads = np.cumsum(self._sizes) - self._sizes
        self._times = np.array([frame.at % STEP_US for frame in frames])
        self._ages = np.array([frame.at // STEP_US for frame in frames])  # in steps, since the copy's begin
        heads = (struct.pack("<IIII", 0, 0, len(frame.octets), frame.length) for frame in frames)
        self._records = bytearray(b"".join(part for pair in zip(heads, (f.octets for f in frames), strict=True) for part in pair))
        hosts: dict[tuple[int, bytes], int] = {}
        found = []  # (whose frame, where the address's last four octets are, which host)
        for index, (number, frame) in enumerate(given):
            for place, address in frame.ends():
                last = int(self._heads[index]) + 16 + place + len(address) - 4
                if frame.is_v6():
                    self._records[last - 12 : last] = b"\xfd".ljust(12, b"\0")
                found.append((index, last, hosts.setdefault((number, address), len(hosts))))
        self._whose, self._places, self._hosts = np.array(found).T
        self._host_count = len(hosts)
        self._counts = Counter(NAMES.get(frame.protocol(), "other") for frame in frames)
        self._v6 = sum(frame.is_v6() for frame in frames)
        self.captures = Counter(number for number, _ in given)

    def slices(self, copies: int) -> Iterator[Any]:
        """The records of a capture of so many copies, ten seconds at a time, as octets that are good until the next are asked for."""
        octets = np.frombuffer(self._records, np.uint8)
        stamps, addresses = self._heads[:, None] + np.arange(8), self._places[:, None] + np.arange(4)
        for step in range(copies + int(self._ages.max())):
            copy = step - self._ages  # each frame is of the copy that began so many steps before
            seconds, rest = np.divmod(step * STEP_US + self._times, 1_000_000)
            octets[stamps] = np.stack([BEGIN_S + seconds, rest], axis=1).astype("<u4").view(np.uint8)
            hosts = copy[self._whose] % (ADDRESSES // self._host_count) * self._host_count + self._hosts
            octets[addresses] = (0x0A000000 | hosts).astype(">u4").view(np.uint8).reshape(-1, 4)
            there = (copy >= 0) & (copy < copies)
            yield octets if there.all() else octets[np.repeat(there, self._sizes)]

    def copies(self, packets: int) -> int:
        """How many have so many packets, at least."""
        return -(-packets // self.packets)

    def write(self, file: BinaryIO, packets: int) -> int:
        """A capture of at least so many packets, in whole copies. Returns how many it has."""
        file.write(HEADER)
        for octets in self.slices(copies := self.copies(packets)):
            file.write(octets.data)
        return copies * self.packets

    def told(self) -> str:
        """What it is made of, for a reader."""
        shares = ", ".join(f"{name} {count / self.packets:.0%}" for name, count in self._counts.most_common())
        most = max(self.captures.values()) / self.packets
        return (
            f"{self.packets:,} packets of {len(self.captures)} captures of Zeek's and Arkime's test suites, the first minute and at most "
            f"{MOST:,} packets of each ({most:.1%} of the mix), {self.octets / self.packets:.0f} octets a packet ({shares}; "
            f"IPv6 {self._v6 / self.packets:.0%}), between {self._host_count:,} hosts"
        )


HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)

if __name__ == "__main__":
    mix = Mix(captures())
    with Path(sys.argv[1]).open("wb") as capture:
        written = mix.write(capture, int(sys.argv[2]))
    print(f"{written:,} packets: {written // mix.packets} copies of {mix.told()}")
