"""What one flow carries, for the protocols that read it: in TCP each direction as a parser asks for it, in UDP a datagram at a time."""

from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from headwater.analysis.protocols.wire import Malformed
from headwater.records import Record

ORIG: Final = 0
RESP: Final = 1
_FOREVER: Final = 1 << 64
Times: TypeAlias = Sequence[tuple[int, int]]
"""(where a segment begins, when it came) of octets that came in several."""


class Until:
    """A parser wants all up to `end`, with it, `most` octets at most: where there are more, it is thrown Malformed(`weird`)."""

    __slots__ = ("end", "most", "weird")

    def __init__(self, end: bytes, most: int, weird: str) -> None:
        self.end, self.most, self.weird = end, most, weird


class Any_:  # noqa: N801 - `Any` is typing's
    """A parser wants whatever has come, one octet at least."""


class Skip:
    """A parser wants so many octets to be gone, whatever they are and whether they were seen; what it is given then says nothing."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


SOME: Final = Any_()
Want: TypeAlias = int | Until | Any_ | Skip
Parser: TypeAlias = Generator[Want, bytes, None]


class Gap(Exception):
    """Thrown into a parser: so many octets were never seen. One that does not catch it is over."""

    def __init__(self, octets: int) -> None:
        super().__init__(octets)
        self.octets = octets


class Side:
    """One direction of a TCP stream, and the parser that reads it."""

    __slots__ = ("_held", "_parser", "_searched", "_stream", "_want", "open")

    def __init__(self, stream: "Stream", parser: Parser) -> None:
        self._stream = stream
        self._parser = parser
        self._held = b""
        self._searched = 0  # octets of `_held` that have no end of what is wanted
        self._want = next(parser)
        self.open = True

    def feed(self, octets: bytes, ts: int, times: Times = ()) -> None:
        """Octets that came then, or at those times. Raises Malformed."""
        if not self.open:
            return
        before = len(self._held)
        if before:
            octets = self._held + octets
        at = 0
        try:
            while (upto := self._upto(octets, at)) >= 0:
                if upto > before:
                    self._stream.now = times[bisect_right(times, (upto - before - 1, _FOREVER)) - 1][1] if times else ts
                self._want = self._parser.send(octets[at:upto])
                at = upto
        except StopIteration:
            self.open, self._held = False, b""
            return
        if isinstance(self._want, Skip):
            self._want, at = Skip(self._want.count - (len(octets) - at)), len(octets)
        self._held = octets[at:]

    def _upto(self, octets: bytes, at: int) -> int:
        """Where what is wanted ends of that which begins at `at`; -1 if it has not come yet."""
        want, end = self._want, len(octets)
        if isinstance(want, int):
            return at + want if at + want <= end else -1
        if isinstance(want, Until):
            found = octets.find(want.end, at + self._searched)
            if found < 0 or found - at > want.most:
                self._searched = max(0, end - at - len(want.end) + 1)
                if end - at <= want.most:
                    return -1
                self._searched = 0
                self._want = self._parser.throw(Malformed(want.weird))
                return self._upto(octets, at)
            self._searched = 0
            return found + len(want.end)
        if isinstance(want, Skip):
            return at + want.count if at + want.count <= end else -1
        return end if at < end else -1

    def gap(self, octets: int, ts: int) -> None:
        """So many were never seen. Raises Malformed, or Gap if the parser cannot go on."""
        if not self.open:
            return
        self._stream.now = ts
        want = self._want
        if isinstance(want, Skip) and want.count > octets:
            self._want = Skip(want.count - octets)
            return
        try:
            if isinstance(want, Skip):
                octets -= want.count
                self._want = self._parser.send(b"")  # as much of it as there is
            self._held, self._searched = b"", 0
            if octets:
                self._want = self._parser.throw(Gap(octets))
        except StopIteration:
            self.open = False

    def end(self) -> None:
        """No more will come: the parser is closed."""
        if self.open:
            self.open = False
            self._parser.close()


class Stream:
    """A flow whose octets are read. Protocols put their rows with it."""

    __slots__ = (
        "_put", "_weird", "begun", "head", "now", "number", "orig", "orig_port", "partial", "proto", "readers", "resp", "resp_port",
        "services", "sides", "uid",
    )  # fmt: skip

    def __init__(
        self, number: int, begin: Sequence[Any], put: Callable[[Record, tuple[Any, ...]], None], weird: Callable[..., None]
    ) -> None:
        self.number = number
        self.now = 0  # when the last octet of what a parser was given last came, or of the datagram
        self.begun, self.uid, self.orig, self.resp, self.orig_port, self.resp_port, proto, self.partial = begin
        self.proto = "tcp" if proto == 6 else "udp"
        self.services: list[str] = []
        self.readers: list[Protocol] = []
        self.sides: dict[Protocol, list[Side]] = {}
        self.head: list[bytes] | None = [b"", b""]  # what has come, until it is known what it is
        self._put = put
        self._weird = weird

    def put(self, record: Record, ts: int, values: tuple[Any, ...]) -> None:
        """A row of this flow: its time, and what follows the flow's own columns."""
        self._put(record, (ts, self.uid, self.orig, self.orig_port, self.resp, self.resp_port, *values))

    def weird(self, name: str, addl: str = "", source: str = "") -> None:
        """Something odd in it, now."""
        self._weird(self, name, addl, source)

    def confirm(self, protocol: "Protocol") -> None:
        """It speaks that protocol, beyond doubt."""
        if protocol.service not in self.services:
            self.services.append(protocol.service)


class Protocol:
    """What reads a stream of its protocol: one for each. Subclasses are in analysis/protocols/, and pure but for rows that they put.

    `service` is what Zeek calls it, `transports` (tcp, udp) are what carries it, `records` what it makes.
    """

    service: ClassVar[str]
    transports: ClassVar[frozenset[str]]
    records: ClassVar[tuple[Record, ...]]

    def __init__(self, stream: Stream) -> None:
        """The stream has begun."""

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """Whether a stream whose `side` begins with these `octets` may be of this protocol; it is asked of the first that come."""
        raise NotImplementedError

    def datagram(self, side: int, octets: bytes) -> None:
        """One of UDP, not empty, which came at stream.now. Raises Malformed."""

    def side(self, side: int) -> Parser:
        """Reads a direction of TCP: yields what it wants next, and is given it. Raises Malformed; is thrown Gap."""
        raise NotImplementedError

    def over(self) -> None:
        """The flow is over."""
