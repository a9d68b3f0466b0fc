"""Protocols read octets without a network: a stream of a test's own, and the rows that came of it."""

from collections.abc import Sequence
from typing import Any

from headwater.analysis.stream import Protocol, Side, Stream
from headwater.analysis.wire import Malformed
from headwater.records import Record
from headwater.records.address import packed

TS = 1_750_000_000 * 10**9


class Spoken:
    """One stream of `protocol`, what its records were told, and its weirds."""

    def __init__(self, protocol: type[Protocol], proto: str = "udp", resp_port: int = 53, orig_port: int = 40_000) -> None:
        self.rows: list[dict[str, Any]] = []
        self.weirds: list[tuple[str, str]] = []
        begin = (TS, b"\1" * 12, packed("10.0.0.1"), packed("10.0.0.2"), orig_port, resp_port, 6 if proto == "tcp" else 17, 0, 0)
        self.stream = Stream(0, begin, self._put, self._weird)
        self.reader = protocol(self.stream)
        self.sides = [Side(self.stream, side, self.reader.side(side)) for side in (0, 1)] if proto == "tcp" else []
        if self.sides:
            self.stream.sides[self.reader] = self.sides
        self.malformed = ""

    def _put(self, record: Record, row: tuple[Any, ...]) -> None:
        names = [column.name for column in record.columns]
        assert len(row) == len(names)
        self.rows.append({"_path": record.name, **dict(zip(names, row, strict=True))})

    def _weird(self, _stream: Stream, name: str, addl: str, _source: str) -> None:
        self.weirds.append((name, addl))

    def say(self, side: int, octets: bytes, later_ms: int = 1) -> None:
        """Octets of a side, or a datagram; a protocol that finds them malformed is told nothing more."""
        self.stream.now = max(self.stream.now, TS) + later_ms * 10**6
        if self.malformed or not octets:
            return
        try:
            if self.sides:
                self.sides[side].feed(octets, self.stream.now)
            else:
                self.reader.datagram(side, octets)
        except Malformed as wrong:
            self.malformed = str(wrong)

    def over(self) -> list[dict[str, Any]]:
        """All rows."""
        for side in self.sides:
            side.end()
        self.reader.over()
        for joint in self.stream.joints.values():
            joint.end()
        return self.rows


def spoken(
    protocol: type[Protocol],
    said: Sequence[tuple[int, bytes]],
    proto: str = "udp",
    size: int = 0,
    *,
    headers: frozenset[bytes] = frozenset(),
    network_s: float | None = None,
    **ports: int,
) -> Spoken:
    """What comes of that, in pieces of `size` octets where that is not 0, where these fields of HTTP are to be told."""
    made = Spoken(protocol, proto, **ports)
    made.stream.headers, made.stream.network = headers, network_s
    for side, octets in said:
        for at in range(0, len(octets), size or len(octets) or 1):
            made.say(side, octets[at : at + (size or len(octets))])
    made.over()
    return made
