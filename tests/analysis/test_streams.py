"""What flows carry, in order: every octet that was read is where it belongs, what was not seen is a gap, and the sum comes out."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import frames
import numpy as np
import pytest
from conversations import ACK, START, SYN, TCP, UDP, Packet, Step, Tcp, rows, tcp, traffic
from flowing import NAMES, SECRET
from forge import timed
from headwater._native import ffi
from hypothesis import assume, given

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.stream import SOME, Gap, Lines, Parser, Protocol, Side, Skip, Some, Stream, Until
from headwater.analysis.wire import Malformed
from headwater.records import PACKET, WEIRD, Batch
from headwater.records.address import packed
from headwater.records.batch import Payloads
from headwater.records.layouts import WEIRDS
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger, imbalances

ENDS = [("10.0.0.1", 40_000), ("10.0.0.2", 50_000)]
Pieces = list[tuple[int, bytes | int]]


def octets_at(seq: int, count: int) -> bytes:
    """What a stream has there: each place has an octet that its neighbours do not have."""
    at = np.arange(seq, seq + count) % 2**32
    return (at * 167 + (at >> 8) * 13 + (at >> 16) * 7).astype(np.uint8).tobytes()


class Recorder(Protocol):
    """Reads whatever comes."""

    service = "recorded"
    transports = frozenset({"udp", "tcp"})
    records = ()
    seen: ClassVar[list["Recorder"]] = []

    def __init__(self, stream: Stream) -> None:
        self.stream, self.pieces, self.is_over = stream, [], False
        self.pieces: Pieces
        self.seen.append(self)

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        return True

    def datagram(self, side: int, octets: bytes) -> None:
        self.pieces.append((side, octets))

    def side(self, side: int) -> Parser:
        while True:
            try:
                self.pieces.append((side, (yield SOME)))
            except Gap as gap:
                self.pieces.append((side, gap.octets))

    def over(self) -> None:
        assert not self.is_over
        self.is_over = True


class Particular(Recorder):
    """Reads five octets of each side, and nothing else."""

    def datagram(self, side: int, octets: bytes) -> None:
        super().datagram(side, octets)
        raise Malformed("another")

    def side(self, side: int) -> Parser:
        self.pieces.append((side, (yield 5)))
        yield 1
        raise Malformed("sixth")

    def over(self) -> None:
        super().over()
        self.pieces.append((0, self.stream.now))  # when


@pytest.fixture(autouse=True)
def recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.analysis.streams.PROTOCOLS", (Recorder,))


def payloads(packets: Sequence[Packet], contents: Sequence[bytes]) -> Payloads:
    memory = np.frombuffer(b"".join(contents) or b"\0", np.uint8)
    each = ffi.new("struct hw_payload[]", len(packets))
    base, at = ffi.cast("uint8_t *", memory.ctypes.data), 0
    for payload, content in zip(each, contents, strict=True):
        payload.octets, payload.length = base + at, len(content)
        at += len(content)
    return Payloads(each, memory)


def read(packets: Sequence[Packet], contents: Sequence[bytes] | None = None, *, at_once: int = 1 << 14, turned: int = 0) -> list[Recorder]:
    """What a recorder is given of each stream, and of those that were `turned` a second one. The sums of the ledger are looked at, too."""
    Recorder.seen.clear()
    if contents is None:
        contents = [octets_at(one.seq + bool(one.flags & SYN), one.payload)[: one.payload - one.cut] for one in packets]
    flows, ledger = Flows("made", FlowSettings(SECRET), messages=True), Ledger()
    for first in range(0, len(packets), at_once):
        some = packets[first : first + at_once]
        for _ in flows.find(Batch(PACKET, rows(some), NAMES, payloads=payloads(some, contents[first : first + at_once]))):
            pass
    for _ in flows.end():
        pass
    flows.account(ledger)
    totals = ledger.totals()
    assert imbalances(totals) == []
    counts = {entry.term: count for entry, count in totals.items() if entry.ledger == "octets"}
    carried = sum(len(content) for one, content in zip(packets, contents, strict=True) if one.proto in (TCP, UDP))
    assert counts.get("carried", 0) <= carried
    assert counts.get("waiting", 0) == 0
    assert sum(not one.is_over for one in Recorder.seen) == turned
    return Recorder.seen


def of_side(recorder: Recorder, side: int) -> list[int | None]:
    """The octets of a side, None where one was never seen."""
    found: list[int | None] = []
    for which, piece in recorder.pieces:
        if which == side:
            found += piece if isinstance(piece, bytes) else [None] * min(piece, 1 << 20)
    return found


def conversation(sizes: Sequence[int], first: int) -> list[Packet]:
    """A handshake, and segments of these sizes from the originator, each acknowledged by nobody yet."""
    made = Tcp(ENDS, (first, 77))
    packets = made.packets([Step(0, "syn"), Step(1, "syn-ack"), Step(0, "ack")])
    return packets + made.packets([Step(0, "data", size) for size in sizes])


@pytest.mark.parametrize("at_once", [1, 3, 1 << 14])
def test_segments_in_disorder_come_in_order(at_once: int) -> None:
    chance = Random(4)
    for number in range(40):
        first = chance.choice((0, 1000, 2**32 - 50, 2**31 - 7))
        packets = conversation([chance.randrange(1, 900) for _ in range(12)], first)
        data = packets[3:]
        whole = sum(packet.payload for packet in data)
        overlapping = [one._replace(seq=one.seq - chance.randrange(min(9, one.seq - first)), payload=one.payload) for one in data[2::3]]
        arriving = sorted([*data, *overlapping, *chance.sample(data, 4)], key=lambda one: one.seq + chance.randrange(3000))
        arriving = [one._replace(ts=START + 10**9 + at) for at, one in enumerate(arriving)]
        [recorder] = read([*packets[:3], *arriving], at_once=at_once)
        assert of_side(recorder, 0) == list(octets_at(first + 1, whole)), number


def test_what_is_acknowledged_and_was_not_seen_is_a_gap() -> None:
    packets = conversation([100, 50, 30], 1000)
    lost, last = packets[4], packets[5]
    answer = Packet(last.ts + 1000, *ENDS[1][:1], *ENDS[0][:1], TCP, 50_000, 40_000, 0, ACK, 78, 1000 + 1 + 180)
    [recorder] = read([one for one in packets if one is not lost] + [answer])
    assert of_side(recorder, 0) == [*octets_at(1001, 100), *[None] * 50, *octets_at(1151, 30)]


def test_where_a_side_began_unseen_the_other_one_shows_what_it_is() -> None:
    """As where the greeting of a mail server is lost."""
    steps = [Step(0, "syn"), Step(1, "syn-ack"), Step(0, "ack"), Step(1, "data", 50), Step(0, "ack"), Step(1, "data", 30)]
    packets = Tcp(ENDS, (0, 77)).packets([*steps, Step(0, "data", 20), Step(1, "ack"), Step(0, "fin")])
    [recorder] = read(packets[:3] + packets[4:])
    assert of_side(recorder, 0)[:20] == list(octets_at(1, 20))
    assert of_side(recorder, 1) == [*[None] * 50, *octets_at(128, 30)]


def test_of_two_that_overlap_the_first_counts() -> None:
    packets = conversation([10, 10, 10], 0)
    first, second, third = packets[3:]
    other = second._replace(ts=third.ts + 1, seq=second.seq - 5, payload=15)
    [recorder] = read([*packets[:3], second, third, other, first], [b"", b"", b"", b"b" * 10, b"c" * 10, b"x" * 15, b"a" * 10])
    assert of_side(recorder, 0) == list(b"aaaaaxxxxx" + b"b" * 10 + b"c" * 10)


@pytest.mark.parametrize(("octets", "found"), [(b"x" * 15, 1), (b"x" * 5 + b"b" * 10, 0), (b"x" * 5 + b"b" * 9 + b"c", 1)])
def test_that_two_of_one_place_differ_is_odd(octets: bytes, found: int) -> None:
    packets = conversation([10, 10], 0)
    first, second = packets[3:]
    other = second._replace(ts=second.ts + 1, seq=second.seq - 5, payload=15)
    said = [*packets[:3], second, other, first]
    flows = Flows("made", FlowSettings(SECRET, weirds_a_second=100), messages=True)
    batch = Batch(PACKET, rows(said), NAMES, payloads=payloads(said, [b"", b"", b"", b"b" * 10, octets, b"aaaaaxxxxx"]))
    weirds = [one.rows for one in (*flows.find(batch), *flows.end()) if one.record is WEIRD]
    assert [WEIRDS.names[int(row["name"])] for each in weirds for row in each] == ["rexmit_inconsistency"] * found


def test_a_segment_that_was_not_captured_whole_is_a_gap() -> None:
    made = Tcp(ENDS, (0, 77))
    steps = [
        Step(0, "syn"),
        Step(1, "syn-ack"),
        Step(0, "data", 10),
        Step(0, "cut", 10),
        Step(0, "data", 10),
        Step(1, "ack"),
        Step(0, "fin"),
    ]
    [recorder] = read(made.packets(steps))
    assert of_side(recorder, 0)[:30] == [*octets_at(1, 10), *[None] * 10, *octets_at(21, 10)]


def captured(path: Path, said: Iterable[bytes]) -> list[Recorder]:
    """What a recorder is given of each stream in a capture of these frames, which is written there."""
    path.write_bytes(timed(enumerate(said)))
    Recorder.seen.clear()
    flows = Flows("made", FlowSettings(SECRET), messages=True)
    with Capture(str(path), Ledger(), carriers=True, payloads=True) as source:
        for some in source.read():
            list(flows.find(some))
    list(flows.end())
    return list(Recorder.seen)


def test_what_lies_behind_the_end_of_a_layer_is_no_payload(tmp_path: Path) -> None:
    """PPPoE (RFC 2516) tells how long a packet is: what follows in the frame is not of it, and what comes in its place later is."""
    (orig, sport), (resp, dport) = ENDS

    def frame(packet: bytes, behind: int = 0) -> bytes:
        return frames.ethernet(struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(packet) - behind, 0x0021) + packet, 0x8864)

    said = [
        frame(frames.tcp(orig, resp, sport, dport, SYN, seq=100)),
        frame(frames.tcp(resp, orig, dport, sport, SYN | ACK, seq=900, ack=101)),
        frame(frames.tcp(orig, resp, sport, dport, ACK, seq=101, ack=901, payload=b"behind"), behind=6),
        frame(frames.tcp(orig, resp, sport, dport, ACK, seq=101, ack=901, payload=b"in its place")),
    ]
    [recorder] = captured(tmp_path / "made.pcap", said)
    assert bytes(octet or 0 for octet in of_side(recorder, 0)) == b"in its place"


def test_datagrams_in_pieces_do_not_lie_where_others_are_put_together(tmp_path: Path) -> None:
    """Many with the same packets: each place where one may lie has several in turn."""
    contents = [octets_at(number * 7, 1600 + number) for number in range(1000)]
    packets = [frames.udp("10.0.0.1", "10.0.0.2", 40_000, 50_000, content) for content in contents]
    pieces = [frame for number, packet in enumerate(packets) for frame in frames.pieces(packet, 1480, identification=number)]
    [recorder] = captured(tmp_path / "made.pcap", pieces)
    assert [piece for _, piece in recorder.pieces] == contents


def test_datagrams_are_whole_and_each_alone() -> None:
    sizes = (5, 1, 1400)
    packets = [Packet(START + at, "10.0.0.1", "10.0.0.2", UDP, 40_000, 50_000, size) for at, size in enumerate(sizes)]
    [recorder] = read(packets, [bytes([size & 255]) * size for size in sizes])
    assert recorder.pieces == [(0, bytes([size & 255]) * size) for size in sizes]


@given(tcp())
def test_whatever_comes_is_where_its_numbers_say(packets: list[Packet]) -> None:
    """Each piece is of some place of the stream, and follows the one before it; but where a SYN begins the numbers anew."""
    begins: dict[str, int] = {}
    assume(all(begins.setdefault(one.src, one.seq) == one.seq or not one.flags & SYN for one in packets))
    for recorder in read(packets):
        for side in (0, 1):
            for which, piece in recorder.pieces:
                if which == side and isinstance(piece, bytes):
                    assert any(piece in octets_at(one.seq - 20, one.payload + len(piece) + 40) for one in packets)


@given(traffic())
def test_the_ledger_of_octets_adds_up(packets: list[Packet]) -> None:
    read(packets)


# -- what a parser asks for -----------------------------------------------------------------------------------------------------------


class Flow:
    """As much of a stream as a side needs."""

    now = 0


def asking(wants: Sequence[Any], got: list[Any]) -> Parser:
    for want in wants:
        try:
            got.append((yield want))
        except (Gap, Malformed) as thrown:
            got.append(repr(thrown))


WANTS = (3, Until(b"\r\n", 20, "too_long"), Skip(4), 2, Some(2), SOME)
OCTETS = b"abcline\r\nskipxyrest"
GOT = [b"abc", b"line\r\n", b"xy"]


@pytest.mark.parametrize("size", range(1, len(OCTETS) + 1))
def test_a_parser_is_given_what_it_asked_for_however_it_comes(size: int) -> None:
    got: list[Any] = []
    side = Side(Flow(), 0, asking(WANTS, got))  # type: ignore[arg-type] - as much of one as it needs
    for at in range(0, len(OCTETS), size):
        side.feed(OCTETS[at : at + size], at)
    del got[2]  # what was skipped
    assert got[:3] == GOT
    assert len(got[3]) <= 2
    assert b"rest".startswith(b"".join(got[3:]))


def test_a_parser_is_told_when_the_end_of_what_it_wanted_came() -> None:
    flow, seen = Flow(), []

    def parser() -> Parser:
        while True:
            yield 4
            seen.append((flow.since, flow.now))

    side = Side(flow, 0, parser())  # type: ignore[arg-type] - likewise
    side.feed(b"ab", 1)
    side.feed(b"cdefghij", 2, ((0, 2), (2, 3), (6, 4)))
    side.feed(b"kl", 9)
    assert seen == [(1, 2), (3, 3), (4, 9)]


@pytest.mark.parametrize("size", range(1, 30))
def test_lines_up_to_an_empty_one_and_what_came_of_more(size: int) -> None:
    got: list[Any] = []
    side = Side(Flow(), 0, asking((Lines(20, "long"), Lines(20, "long"), Lines(20, "long"), 1, Lines(20, "long"), SOME), got))  # type: ignore[arg-type]
    octets = b"a: b\r\nc\r\n\r\n\r\nd\n\nxe: f\r\ng"
    for at in range(0, len(octets), size):
        side.feed(octets[at : at + size], at)
    side.gap(1, 99)
    assert got == [b"a: b\r\nc\r\n\r\n", b"\r\n", b"d\n\n", b"x", b"e: f\r\n", "Gap(1)"]


def test_a_line_without_an_end_is_malformed_and_a_gap_is_thrown() -> None:
    got: list[Any] = []
    side = Side(Flow(), 0, asking((Until(b"\n", 5, "long"), 3, Skip(4), 1), got))  # type: ignore[arg-type] - likewise
    side.feed(b"abcdef", 1)
    assert got == ["Malformed('long')", b"abc"]
    side.gap(3, 2)
    assert got[3:] == ["Gap(2)"]


def test_what_is_skipped_may_be_told_of_gaps() -> None:
    got: list[Any] = []
    side = Side(Flow(), 0, asking((Skip(9, gaps=True), Skip(9), 1), got))  # type: ignore[arg-type] - likewise
    side.feed(b"abc", 1)
    side.gap(5, 2)
    side.gap(5, 3)
    side.feed(b"defgh", 4)
    assert (got[0], got[2]) == ("Gap(5)", b"h")


class Envelope(Protocol):
    """What is behind a first line that the originator sends, on either side, is of something else."""

    service = "envelope"
    transports = frozenset({"tcp"})
    records = ()

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        return stream.outer is None and octets.startswith(b"go")

    def side(self, side: int) -> Parser:
        yield Until(b"\n", 100, "long")
        if side == 0:
            self._stream.confirm(self)
            self._stream.hand_over(self)


@pytest.mark.parametrize("at_once", [1, 1 << 14])
@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_what_a_protocol_carries_is_recognised_anew(size: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Inner(Recorder):
        @classmethod
        def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
            return stream.outer is not None

    monkeypatch.setattr("headwater.analysis.streams.PROTOCOLS", (Envelope, Inner))
    said = b"go\nwhat it carries"
    packets = conversation([len(part) for part in split(said, size)], 1000)
    contents = [b"", b"", b"", *split(said, size)]
    [inner] = read(packets, contents, at_once=at_once)
    assert b"".join(piece for _, piece in inner.pieces if isinstance(piece, bytes)) == b"what it carries"
    assert inner.stream.outer is not None
    assert inner.stream.services == ["envelope"]


def split(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


def test_what_is_handed_over_keeps_its_times_and_what_the_other_side_has_not_read() -> None:
    class Reads:
        joints: ClassVar[dict[type[Any], Any]] = {}
        headers: ClassVar[frozenset[bytes]] = frozenset()

        def __init__(self) -> None:
            self.given: list[Any] = []

        def data(self, _stream: Stream, *given: Any) -> None:
            self.given.append(given)

        def gap(self, _stream: Stream, *given: Any) -> None:
            self.given.append(given)

    reads = Reads()
    stream = Stream(0, (0, b"", b"", b"", 1, 2, 6, 0, 0), lambda *_: None, lambda *_: None, reads)
    envelope = Envelope(stream)
    stream.sides[envelope] = sides = [Side(stream, side, envelope.side(side)) for side in (0, 1)]
    sides[1].feed(b"held", 1)
    sides[0].feed(b"go\nabcdef", 2, ((0, 2), (5, 3), (7, 4)))
    sides[0].gap(5, 5)
    sides[1].feed(b"more", 6)
    assert reads.given == [(1, b"held", 2, ()), (0, b"abcdef", 2, [(0, 2), (2, 3), (4, 4)]), (0, 5, 5), (1, b"more", 6, ())]


class Announcer(Protocol):
    """Whoever sends something announces a flow to where it came from."""

    service = "announcer"
    transports = frozenset({"tcp"})
    records = ()

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        return stream.resp_port == ENDS[1][1]

    def side(self, side: int) -> Parser:
        yield 1
        self._stream.expect(Recorder, self._stream.orig, 2000, self._stream.resp, told="that")


@pytest.mark.parametrize(
    ("resp_port", "orig", "later_s", "is_met"),
    [(2000, "10.0.0.2", 1, True), (2001, "10.0.0.2", 1, False), (2000, "10.0.0.3", 1, False), (2000, "10.0.0.2", 301, False)],
)
@pytest.mark.parametrize("at_once", [1, 1 << 14])
def test_a_flow_that_another_announced_is_read_as_that_said(
    resp_port: int, orig: str, later_s: int, is_met: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.analysis.streams.PROTOCOLS", (Announcer,))
    steps = [Step(0, "syn"), Step(1, "syn-ack"), Step(0, "data", 5)]
    announced = [
        packet
        for port in (4000, 4001)  # the second one is not expected any more
        for packet in Tcp([(orig, port), ("10.0.0.1", resp_port)], (0, 77), START + later_s * 10**9 + port * 1000).packets(steps)
    ]
    met = read([*Tcp(ENDS, (0, 77)).packets(steps), *announced], at_once=at_once)
    assert [(one.stream.expected, one.pieces) for one in met] == ([("that", [(0, octets_at(1, 5))])] if is_met else [])


@pytest.mark.parametrize("then", [Step(0, "data", 5), Step(0, "lost", 5)])
@pytest.mark.parametrize("at_once", [1, 1 << 14])
def test_who_is_given_no_more_is_over(then: Step, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: what it has read is told then, and files of it are not open until the flow ends. `read` sees to it that it is once."""
    monkeypatch.setattr("headwater.analysis.streams.PROTOCOLS", (Particular,))
    steps = [Step(0, "syn"), Step(1, "syn-ack"), Step(0, "data", 5), then, Step(1, "ack"), Step(0, "data", 20), Step(1, "data", 9)]
    packets = Tcp(ENDS, (0, 77)).packets(steps)
    [one] = read(packets, at_once=at_once)
    [_, (_, when)] = one.pieces
    assert packets[2].ts < when < packets[-1].ts
    assert one.stream.services == []


def test_who_finds_a_datagram_malformed_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.analysis.streams.PROTOCOLS", (Particular,))
    packets = [Packet(START + at, "10.0.0.1", "10.0.0.2", UDP, 40_000, 50_000, 2) for at in range(3)]
    [one] = read(packets, [b"ab"] * 3, at_once=1)
    assert one.pieces == [(0, b"ab"), (0, START)]


def test_what_a_packet_acknowledges_came_before_what_it_carries() -> None:
    steps = [Step(0, "syn"), Step(1, "syn-ack"), Step(0, "data", 5), Step(0, "lost", 10), Step(0, "data", 20), Step(1, "data", 30)]
    [recorder] = read(Tcp(ENDS, (0, 77)).packets(steps))
    assert [(side, piece if isinstance(piece, int) else len(piece)) for side, piece in recorder.pieces] == [
        (0, 5),
        (0, 10),
        (0, 20),
        (1, 30),
    ]


@pytest.mark.parametrize("at_once", [1, 1 << 14])
def test_who_seemed_to_begin_answers(at_once: int) -> None:
    """The answer to a SYN comes first, with data in it (RFC 7413): the sides change places, and what came of it is read anew."""
    syn, answer, asks, more = Tcp(ENDS, (7, 77)).packets([Step(0, "syn"), Step(1, "syn-ack"), Step(0, "data", 20), Step(1, "data", 30)])
    early = answer._replace(payload=10, ts=syn.ts - 1)
    late = more._replace(seq=more.seq + 10)
    answered, turned = read([early, syn, asks, late], at_once=at_once, turned=1)
    assert [(side, len(piece)) for side, piece in answered.pieces if isinstance(piece, bytes)] == [(0, 10)]
    assert [(side, len(piece)) for side, piece in turned.pieces if isinstance(piece, bytes)] == [(1, 10), (0, 20), (1, 30)]
    assert (turned.stream.orig, turned.stream.orig_port) == (packed(ENDS[0][0]), ENDS[0][1])
