"""What one flow carries, for the protocols that read it: in TCP each direction as a parser asks for it, in UDP a datagram at a time."""

from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar, cast
from typing import Protocol as Shape

from headwater.analysis.files import Files
from headwater.analysis.wire import Malformed
from headwater.records import Record

ORIG: Final = 0
RESP: Final = 1
_FOREVER: Final = 1 << 64
Times: TypeAlias = Sequence[tuple[int, int]]
"""(where a segment begins, when it came) of octets that came in several."""


class Until:
    """A parser wants all up to `end`, with it, `most` octets at most: where there are more, it is thrown Malformed(`weird`). With
    `partial`, what has come of it is given as it is when no more will come.
    """

    __slots__ = ("end", "most", "partial", "weird")

    def __init__(self, end: bytes, most: int, weird: str, *, partial: bool = False) -> None:
        self.end, self.most, self.weird, self.partial = end, most, weird, partial

    def found(self, octets: bytes, at: int, first: int) -> int:  # noqa: ARG002 - Lines looks there
        """Where it ends of that which begins at `at`, if it does not before `first`; -1 if it has not come."""
        found = octets.find(self.end, first)
        return found + len(self.end) if found >= 0 else -1


class Lines(Until):
    """A parser wants lines up to an empty one, with it: the fields of a message (RFC 5322, RFC 9112). They end with LF, or CR and LF. Those
    that are whole are given before a gap, too.
    """

    def __init__(self, most: int, weird: str) -> None:
        super().__init__(b"\n\r\n", most, weird, partial=True)

    def found(self, octets: bytes, at: int, first: int) -> int:
        """As above."""
        if octets.startswith((b"\n", b"\r\n"), at):
            return octets.find(b"\n", at) + 1
        found = octets.find(self.end, first)
        bare = octets.find(b"\n\n", first, found if found >= 0 else len(octets))
        if bare >= 0:
            return bare + 2
        return found + 3 if found >= 0 else -1


class Some:
    """A parser wants whatever has come, one octet at least, `most` at most; Stream.since says when the first of them came. With `apart` it
    is given what came at one time, where it matters when something within began.
    """

    __slots__ = ("apart", "most")

    def __init__(self, most: int, *, apart: bool = False) -> None:
        self.most, self.apart = most, apart


class Skip:
    """A parser wants so many octets to be gone, whatever they are and whether they were seen; what it is given then says nothing. With
    `gaps` it is thrown those of which none was seen.
    """

    __slots__ = ("count", "gaps")

    def __init__(self, count: int, *, gaps: bool = False) -> None:
        self.count, self.gaps = count, gaps


SOME: Final = Some(1 << 64)
SEGMENT: Final = Some(1 << 64, apart=True)
"""What one segment brought, or what is left of it: where sizes tell what content does not."""
Want: TypeAlias = int | Until | Some | Skip
Parser: TypeAlias = Generator[Want, bytes, None]


class Gap(Exception):
    """Thrown into a parser: so many octets were never seen. One that does not catch it is over."""

    def __init__(self, octets: int) -> None:
        super().__init__(octets)
        self.octets = octets


class Side:
    """One direction of a TCP stream, and the parser that reads it."""

    __slots__ = ("_feeding", "_held", "_held_since", "_into", "_parser", "_searched", "_side", "_stream", "_want", "open")

    def __init__(self, stream: "Stream", side: int, parser: Parser) -> None:
        self._stream = stream
        self._side = side
        self._parser = parser
        self._into: Stream | None = None  # where what comes goes instead
        self._feeding = False
        self._held = b""
        self._held_since = 0
        self._searched = 0  # octets of `_held` that have no end of what is wanted
        self._want = next(parser)
        self.open = True

    def feed(self, octets: bytes, ts: int, times: Times = ()) -> None:
        """Octets that came then, or at those times. Raises Malformed."""
        if self._into is not None:
            self._into.feed(self._side, octets, ts, times)
            return
        if not self.open:
            return
        before = len(self._held)
        if before:
            octets = self._held + octets
        at = 0
        stream, send = self._stream, self._parser.send
        self._feeding = True
        try:
            while self._into is None and (upto := self._upto(octets, at)) >= 0:
                if times:
                    upto = self._tell_time(at - before, upto - before, times) + before
                elif upto > before:
                    stream.now = stream.since = ts
                if at < before:
                    stream.since = self._held_since
                given, at = octets[at:upto], upto
                self._want = send(given)
        except StopIteration:
            self.open, self._held = False, b""
        finally:
            self._feeding = False
        if self._into is not None:
            self._held = b""
            self._into.feed(self._side, octets[at:], ts, _behind(times, at - before))
        elif self.open:
            if isinstance(self._want, Skip):
                self._want, at = Skip(self._want.count - (len(octets) - at), gaps=self._want.gaps), len(octets)
            self._hold(octets, at, before, ts, times)

    def _hold(self, octets: bytes, at: int, before: int, ts: int, times: Times) -> None:
        """What is behind that place waits for more; `before` of it did already."""
        self._held = octets[at:]
        if self._held and at >= before:
            self._held_since = _when(at - before, ts, times)

    def _tell_time(self, at: int, upto: int, times: Times) -> int:
        """When octets from there to there came; where the parser wants those of one time, what it is given ends sooner, and there."""
        if isinstance(self._want, Some) and self._want.apart:
            number = bisect_right(times, (at, _FOREVER))
            upto = min(upto, times[number][0]) if number < len(times) else upto
        if upto > 0:
            self._stream.now = _when(upto - 1, 0, times)
        self._stream.since = _when(max(at, 0), 0, times)
        return upto

    def _upto(self, octets: bytes, at: int) -> int:
        """Where what is wanted ends of that which begins at `at`; -1 if it has not come yet."""
        want, end = self._want, len(octets)
        if isinstance(want, int):
            return at + want if at + want <= end else -1
        if isinstance(want, Until):
            found = want.found(octets, at, at + self._searched)
            if at <= found <= at + want.most + len(want.end):
                self._searched = 0
                return found
            self._searched = max(0, end - at - len(want.end) + 1)
            if end - at <= want.most:
                return -1
            self._searched = 0
            self._want = self._parser.throw(Malformed(want.weird))
            return self._upto(octets, at)
        if isinstance(want, Skip):
            return at + want.count if at + want.count <= end else -1
        return min(end, at + want.most) if at < end else -1

    def gap(self, octets: int, ts: int) -> None:
        """So many were never seen. Raises Malformed, or Gap if the parser cannot go on."""
        if self._into is not None:
            self._into.gap(self._side, octets, ts)
        if not self.open:
            return
        self._stream.now = ts
        try:
            self._give_held(lines=True)
            want = self._want
            if isinstance(want, Skip) and want.count > octets and not want.gaps:
                self._want = Skip(want.count - octets)
                return
            if isinstance(want, Skip) and not want.gaps:
                octets -= want.count
                self._want = self._parser.send(b"")  # as much of it as there is
            if octets:
                self._want = self._parser.throw(Gap(octets))
        except StopIteration:
            self.open = False

    def end(self) -> None:
        """No more will come: the parser is closed."""
        if self._into is not None:
            self._into.end(self._side)
        elif self.open:
            with suppress(StopIteration, Malformed):
                self._give_held()
            self.open = False
            self._parser.close()

    def _give_held(self, *, lines: bool = False) -> None:
        """What has come of what is wanted, if that is better than nothing, or whole `lines` alone; else it is forgotten."""
        held, self._held, self._searched = self._held, b"", 0
        if not held or not isinstance(self._want, Until) or not self._want.partial:
            return
        if lines:
            held = held[: held.rfind(b"\n") + 1] if isinstance(self._want, Lines) else b""
        if held:
            self._stream.since = self._held_since
            self._want = self._parser.send(held)

    def wanted(self, budget: int) -> tuple[int, int]:
        """Of the octets that come next, so many need not be seen (of what is read as it comes, that is more than the budget), and so many
        behind them must be.
        """
        want = self._want
        if isinstance(want, Skip):
            return want.count, 0
        if isinstance(want, Some):
            return want.most if budget < want.most < SOME.most else 0, 0
        return 0, want - len(self._held) if isinstance(want, int) else 0

    def hand_over(self, into: "Stream") -> None:
        """What has not been given to the parser yet, and all that comes, goes there. The parser is not asked again."""
        self._into, self.open = into, False
        if not self._feeding and self._held:
            held, self._held = self._held, b""
            into.feed(self._side, held, self._stream.now)


def _when(at: int, ts: int, times: Times) -> int:
    """When that octet came."""
    return times[bisect_right(times, (at, _FOREVER)) - 1][1] if times else ts


def _behind(times: Times, at: int) -> Times:
    """Of the octets from `at` on, by their own places."""
    first = bisect_right(times, (at, _FOREVER)) - 1
    return [(max(0, begin - at), ts) for begin, ts in times[max(0, first) :]]


class Joint:
    """What a protocol makes of messages of several flows: one for all streams (Stream.joint). What came of different flows with the same
    packets does not come in the order of time: it can be put right when all was read.
    """

    def __init__(self, put: Callable[[Record, tuple[Any, ...]], None]) -> None:
        self.put = put

    def settle(self, now: int) -> None:
        """All that came until then was read."""

    def end(self) -> None:
        """No more will come."""


_Joint = TypeVar("_Joint", bound=Joint)


class Reads(Shape):
    """What recognises the content of streams, and gives it to the protocols that read it."""

    joints: dict[type[Joint], Joint]
    headers: frozenset[bytes]

    def expect(self, protocol: "type[Protocol]", expected: "Expected") -> None:
        """A flow that is to come."""

    def data(self, stream: "Stream", side: int, octets: bytes, ts: int, times: Times) -> None:
        """Octets that came in turn."""

    def gap(self, stream: "Stream", side: int, octets: int, ts: int) -> None:
        """Octets that were never seen."""


class Expected(NamedTuple):
    """A flow that another one announced: to `resp`, from `orig` where that is known. `told` is what the stream that announced it said."""

    proto: str
    resp: bytes
    resp_port: int
    orig: bytes | None
    told: Any
    ts: int


class Stream:
    """A flow whose octets are read. Protocols put their rows with it."""

    __slots__ = (
        "_begin", "_put", "_reads", "_weird", "begun", "expected", "file_count", "files", "head", "headers", "inner", "is_budgeted",
        "joins", "joints", "known_before", "left", "lost", "network", "now", "number", "orig", "orig_port", "outer", "partial", "proto",
        "readers", "resp", "resp_port", "services", "sides", "since", "tried", "tries", "uid",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        begin: Sequence[Any],
        put: Callable[[Record, tuple[Any, ...]], None],
        weird: Callable[..., None],
        reads: Reads | None = None,
        files: Files | None = None,
    ) -> None:
        self.number = number
        self.files = files or Files()
        self.file_count = 0
        self.since = 0  # when the first octet of what a parser was given last came
        self.now = 0  # when the last octet of what a parser was given last came, or of the datagram
        self.begun, self.uid, self.orig, self.resp, self.orig_port, self.resp_port, proto, self.partial, network = begin
        self.network = network / 1e9 if network else None  # seconds from here to the responder and back, when the stream began
        self.proto = "tcp" if proto == 6 else "udp"
        self.services: list[str] = []
        self.readers: list[Protocol] = []
        self.tried: tuple[type[Protocol], ...] = ()  # those that read it, or did: none does so twice
        self.sides: dict[Protocol, list[Side]] = {}
        self.head: list[bytes] | None = [b"", b""]  # what has come, until it is known what it is
        self.lost = 0, 0  # octets of each side before its first one that was seen, as long as it is not known what it is
        self.tries = 0  # to know it by its name only
        self.outer: Stream | None = None  # what carries it
        self.inner: Stream | None = None  # what it carries
        self.expected: Any = None  # what the stream said that announced this one
        self.left: list[Protocol] = []  # those that want no more of it
        self.known_before = 0  # services of what carries it
        self.joins = False  # it may be read from the middle on, where its begin was not seen
        self.is_budgeted = False  # live, what is beyond a budget stays in the kernel: gaps may be that, and are nobody's fault
        self._begin = begin
        self._put = put
        self._weird = weird
        self._reads = reads
        self.joints: dict[type[Joint], Joint] = reads.joints if reads else {}
        self.headers = reads.headers if reads else frozenset()  # fields that are to be told, besides those that always are

    def put(self, record: Record, ts: int, values: tuple[Any, ...]) -> None:
        """A row of this flow: its time, and what follows the flow's own columns."""
        self._put(record, (ts, self.uid, self.orig, self.orig_port, self.resp, self.resp_port, *values))

    def put_row(self, record: Record, row: tuple[Any, ...]) -> None:
        """A row whose columns do not begin with those of a flow."""
        self._put(record, row)

    def joint(self, kind: type[_Joint]) -> _Joint:
        """That of all streams."""
        if kind not in self.joints:
            self.joints[kind] = kind(self._put)
        return cast("_Joint", self.joints[kind])

    def weird(self, name: str, addl: str = "", source: str = "") -> None:
        """Something odd in it, now."""
        self._weird(self, name, addl, source)

    def confirm(self, protocol: "Protocol") -> None:
        """It speaks that protocol, beyond doubt."""
        self.speaks(protocol.service)

    @property
    def is_known(self) -> bool:
        """Whether it is known what it speaks."""
        return len(self.services) > self.known_before

    def speaks(self, service: str) -> None:
        """It carries what is called so, too."""
        if service not in self.services:
            self.services.append(service)

    def refute(self, protocol: "Protocol") -> None:
        """It does not speak that protocol after all."""
        if protocol.service in self.services:
            self.services.remove(protocol.service)

    def leave(self, protocol: "Protocol") -> None:
        """That protocol has told all that it will: it is given no more, and then is over."""
        self.left.append(protocol)

    def expect(
        self, protocol: "type[Protocol]", resp: bytes, port: int, orig: bytes | None = None, told: Any = None, proto: str = ""
    ) -> None:
        """The next flow to there, from `orig` or from anybody, is of that protocol, if it comes within five minutes, and has `told` as its
        `expected`. What it carries comes after what is read now.
        """
        if self._reads:
            self._reads.expect(protocol, Expected(proto or self.proto, resp, port, orig, told, self.now))

    def turn(self) -> list[bytes] | None:
        """Its ends have changed places: it is as if nothing of it had been read. Returns what had come of each side, if that is kept."""
        begun, uid, orig, resp, orig_port, resp_port, *rest = self._begin
        self._begin = begun, uid, resp, orig, resp_port, orig_port, *rest
        self.orig, self.resp, self.orig_port, self.resp_port = resp, orig, resp_port, orig_port
        self.services.clear()
        self.forget()
        self.tried = ()
        head = self.head
        self.head, self.lost, self.tries = [b"", b""], self.lost[::-1], 0
        return head

    def forget(self) -> None:
        """Who reads it, and what it carries. When it is over they are no circle any more, which only the garbage collector would find."""
        self.readers.clear()
        self.sides.clear()
        self.inner = None

    # -- one in another -----------------------------------------------------------------------------------------------------------------

    def begin_inner(self) -> "Stream":
        """A stream that this one carries: recognised by its own content, with the uid and services of the flow. It is to be fed."""
        if self.inner is None:
            self.inner = inner = Stream(self.number, self._begin, self._put, self._weird, self._reads, self.files)
            inner.services, inner.outer, inner.now = self.services, self, self.now
            inner.known_before, inner.is_budgeted, inner.joins = len(self.services), self.is_budgeted, self.joins
        return self.inner

    def hand_over(self, protocol: "Protocol") -> None:
        """What comes next is no more of that protocol, on neither side (CONNECT, Upgrade, STARTTLS): what it is, its content tells."""
        inner = self.begin_inner()
        for side in self.sides.get(protocol, ()):
            side.hand_over(inner)

    def feed(self, side: int, octets: bytes, ts: int, times: Times = ()) -> None:
        """Octets of a side of a stream that another one carries."""
        if octets and self._reads:
            self._reads.data(self, side, octets, ts, times)

    def gap(self, side: int, octets: int, ts: int) -> None:
        """So many of it were never seen."""
        if self._reads:
            self._reads.gap(self, side, octets, ts)

    def end(self, side: int) -> None:
        """No more will come of a side."""
        for sides in tuple(self.sides.values()):
            sides[side].end()


class Protocol:
    """What reads a stream of its protocol: one for each. Subclasses are in analysis/protocols/, and pure but for rows that they put.

    `service` is what Zeek calls it, `transports` (tcp, udp) are what carries it, `records` what it makes.
    """

    service: ClassVar[str]
    transports: ClassVar[frozenset[str]]
    records: ClassVar[tuple[Record, ...]]
    first: ClassVar[bytes | None] = None
    """The octets one of which a side begins with for which is_begun() may say yes: it is not asked of others. None: any."""
    decides: ClassVar[int] = 64
    """Of so many octets of a side is_begun() says the same as of more: it is not asked again then. Of TCP; each datagram is new."""
    whole: ClassVar[bool] = False
    """Whether there is nothing but messages in it: live, all of a TCP stream is wanted then, and else what its budget has room for."""

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
        """The flow is over, or is given to this no more: it was malformed, or a gap was not caught."""
