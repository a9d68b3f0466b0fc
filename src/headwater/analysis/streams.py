"""Streams to messages: what came of flows since the last packets (native/streams.c) goes to the protocols that read them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.analysis.budgets import Budgets
from headwater.analysis.files import Files, FileSettings
from headwater.analysis.known import KNOWN, Recognition
from headwater.analysis.odd import Odd
from headwater.analysis.protocols import PROTOCOLS
from headwater.analysis.stream import ORIG, RESP, Expected, Gap, Joint, Protocol, Side, Stream, Times
from headwater.analysis.wire import Malformed
from headwater.records import Batch, Drop, Record, messages
from headwater.records.layouts import WANT_ALL, place_reason
from headwater.telemetry import OCTET_TERMS, Entry

MOST = 1 << 20
WAITING = 256 << 20
_HEAD = 2048  # octets of a side by which it must be known what it is
_DATAGRAMS = 8  # likewise
_BEHIND = 64  # of datagrams of a flow that has a name: with ICE, both sides ask again and again by STUN before DTLS comes
_BEGINS = 64  # octets of both sides by which a name shows
_TRIES = 64  # segments that are looked at for a name
_MOST_EXPECTED = 1 << 14
_EXPECTED_NS = 300 * 10**9
_BEGIN, _DATA, _DATAGRAM, _GAP, _END, _FLIP, _DIFFERS, _OVER = (
    getattr(lib, f"HW_RUN_{name}") for name in "begin data datagram gap end flip differs over".split()
)


def _dtype(struct: str) -> np.dtype[Any]:
    """numpy's view of a struct of headwater.h."""
    of = ffi.typeof(f"struct {struct}")
    names: dict[str, tuple[Any, int]] = {}
    for name, member in of.fields:
        kind = f"V{ffi.sizeof(member.type)}" if member.type.kind == "array" else f"u{ffi.sizeof(member.type)}"
        names[name] = kind, member.offset
    return np.dtype(
        {
            "names": list(names),
            "formats": [kind for kind, _ in names.values()],
            "offsets": [offset for _, offset in names.values()],
            "itemsize": ffi.sizeof(of),
        }
    )


_RUN, _MARK, _STREAM = _dtype("hw_run"), _dtype("hw_mark"), _dtype("hw_stream_begin")


class Streams:
    """Reads what the flows of `flows` (a struct hw_flows) carry. `headers` are fields of HTTP that are told, too. What comes
    before its turn takes `waiting` octets at most. What began unseen is read from the middle on, if it `joins`.
    """

    def __init__(self, flows: Any, files: FileSettings, headers: Collection[str] = (), waiting: int = WAITING, *, joins: bool) -> None:
        if lib.hw_flows_follow(flows, MOST, waiting):
            raise MemoryError("no memory for streams")
        self._flows = flows
        self._files = Files(files)
        self._joins = joins
        self.headers = frozenset(name.encode() for name in headers)
        self._budgets: Budgets | None = None
        self._runs = ffi.new("struct hw_runs *")
        self._streams: dict[int, Stream] = {}
        self._services: dict[int, str] = {}  # of streams that are over since the last read()
        self._counts = self._counted()
        self._rows: dict[Record, list[tuple[Any, ...]]] = {}
        self.joints: dict[type[Joint], Joint] = {}
        self._odd: list[Odd] = []
        self._expected: dict[tuple[str, bytes, int], tuple[type[Protocol], Expected]] = {}
        self._protocols = {proto: [_that_may_begin(proto, first) for first in range(256)] for proto in ("tcp", "udp")}
        read = {protocol.service for protocol in PROTOCOLS}
        self._names = Recognition([one for one in KNOWN if one.service not in read])

    def limit(self, budget: int) -> None:
        """Live, from now on: so many octets of a side are wanted at a time (WANT_ALL: all)."""
        self._budgets = Budgets(self._flows, budget) if budget != WANT_ALL else None

    def read(self) -> Iterator[Batch]:
        """What protocols make of what came with the last packets. Raises MemoryError."""
        runs = self._runs
        if lib.hw_flows_runs(self._flows, runs):
            raise MemoryError("no memory for what flows carry")
        self._counts = self._counted()
        self._services.clear()
        if not runs.run_count:
            return
        told = _column_lists(runs.runs, runs.run_count, _RUN)
        self._take(told, runs)
        if self._budgets:
            for number in set(told[3]):
                if here := self._streams.get(number):
                    self._budgets.renew(here)
        if self.joints:
            yield from self.tick(max(told[0]))
        yield from self._batches()

    def _take(self, told: Sequence[list[Any]], runs: Any) -> None:
        """Give runs (the columns of struct hw_run) to those that read their streams."""
        octets = ffi.buffer(runs.octets, runs.octet_count) if runs.octet_count else b""
        begun = list(zip(*_column_lists(runs.begun, runs.begun_count, _STREAM), strict=True))
        marks = list(zip(*_column_lists(runs.marks, runs.mark_count, _MARK), strict=True))
        streams, files = self._streams, self._files
        for ts, count, at, number, mark, mark_count, kind, side in zip(*told, strict=True):
            if kind == _BEGIN:
                streams[number] = stream = Stream(number, begun[count], self._put, self._weird, self, files)
                stream.is_budgeted, stream.joins = self._budgets is not None, bool(stream.partial and self._joins)
                if self._expected:
                    self._meet(stream)
                continue
            stream = streams[number]
            if kind == _DATA:
                if stream.readers or stream.head is not None:  # else it came before it was known that nobody wants it
                    times = marks[mark : mark + mark_count] if mark_count > 1 else ()
                    self.data(stream, side, octets[at : at + count], ts, times)
            elif kind == _DATAGRAM:
                self._datagram(stream, side, octets[at : at + count], ts)
            elif kind == _GAP:
                self.gap(stream, side, count, ts)
            elif kind == _END:
                stream.now = ts
                stream.end(side)
            elif kind == _OVER:
                self._over(stream, ts)
            elif kind == _FLIP:
                self._turn(stream, ts)
            elif kind == _DIFFERS:
                stream.now = ts
                stream.weird("rexmit_inconsistency", source="TCP")  # the name is that of Zeek's event
            if files.lasting and ts > files.due:
                files.expire(ts)

    def tick(self, now: int) -> Iterator[Batch]:
        """What is over by that time of messages of several flows."""
        for joint in self.joints.values():
            joint.settle(now)
        yield from self._batches()

    def end(self) -> Iterator[Batch]:
        """What is left of such, and of files of which more might have come."""
        for joint in self.joints.values():
            joint.end()
        self._files.expire()
        yield from self._batches()

    def entries(self, name: str) -> dict[Entry, int]:
        """What became of the octets that flows of the source of that name carried, as of the last read(); from any thread."""
        counts = self._counts
        found = {Entry("octets", name, term): getattr(counts, term) for term in ("carried", *OCTET_TERMS)}
        for reason in ("no_room", "no_stream"):
            if count := getattr(counts, reason):
                found[Entry("octets", name, "dropped", *place_reason(Drop[f"streams__{reason}"]))] = count
        return found

    def odd(self) -> list[Odd]:
        """What protocols found odd since this was asked last."""
        found, self._odd = self._odd, []
        return found

    def services(self, numbers: Sequence[int]) -> list[str]:
        """What the flows of these streams speak, those that are over included."""
        return [self._services.get(number) or self._spoken(number) for number in numbers]

    def _counted(self) -> Any:
        counts = ffi.new("struct hw_streams_counts *")
        lib.hw_flows_streams_counts(self._flows, counts)
        return counts

    def _spoken(self, number: int) -> str:
        stream = self._streams.get(number)
        return ",".join(stream.services) if stream else ""

    def _batches(self) -> Iterator[Batch]:
        for record, made in self._rows.items():
            if made:
                yield Batch(record, messages.rows(record, made))
                made.clear()

    def _put(self, record: Record, row: tuple[Any, ...]) -> None:
        self._rows.setdefault(record, []).append(row)

    def _weird(self, stream: Stream, name: str, addl: str, source: str) -> None:
        self._odd.append((stream.now, stream.uid, stream.orig, stream.orig_port, stream.resp, stream.resp_port, name, addl, source))

    # -- flows that others announce -----------------------------------------------------------------------------------------------------

    def expect(self, protocol: type[Protocol], expected: Expected) -> None:
        """The next flow to there is of that protocol; of too many that are expected, the oldest is not any more."""
        where = expected.proto, expected.resp, expected.resp_port
        self._expected.pop(where, None)
        if len(self._expected) >= _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]
        self._expected[where] = protocol, expected

    def _meet(self, stream: Stream) -> None:
        """Read a stream that was expected."""
        where = stream.proto, stream.resp, stream.resp_port
        if not (found := self._expected.get(where)):
            return
        protocol, expected = found
        if stream.begun - expected.ts > _EXPECTED_NS:
            del self._expected[where]
        elif expected.orig in (None, stream.orig):
            del self._expected[where]
            stream.expected = expected.told
            self._add(stream, protocol(stream))

    # -- one run ----------------------------------------------------------------------------------------------------------------------

    def _recognise(self, stream: Stream, side: int, octets: bytes, before: int = 0) -> None:
        """By how that side begins, of which so many octets were there before."""
        for protocol in self._protocols[stream.proto][octets[0]]:
            if before < protocol.decides and protocol not in stream.tried and protocol.is_begun(stream, side, octets):
                self._add(stream, protocol(stream))

    @staticmethod
    def _add(stream: Stream, reader: Protocol) -> None:
        stream.readers.append(reader)
        stream.tried += (type(reader),)
        if stream.proto == "tcp":
            stream.sides[reader] = [Side(stream, side, reader.side(side)) for side in (ORIG, RESP)]

    def _name(self, stream: Stream, side: int) -> None:
        """Whether how both sides begin shows what it is, for those that nothing here reads."""
        assert stream.head is not None  # noqa: S101 - who asks has looked
        stream.tries += 1
        if stream.tries > _TRIES:
            return
        if not self._names.may_be(stream.proto, side, stream.head[side]):
            if len(stream.head[side]) >= _BEGINS and stream.proto == "tcp":
                stream.tries = _TRIES
            return
        if name := self._names.name(stream.proto, *stream.head):
            stream.speaks(name)
        elif min(map(len, stream.head)) >= _BEGINS:
            stream.tries = _TRIES

    def _datagram(self, stream: Stream, side: int, octets: bytes, ts: int) -> None:
        stream.now = ts
        if stream.head is not None:
            self._recognise(stream, side, octets)
            if stream.readers:
                stream.head = None
            else:
                stream.head[side] = stream.head[side] or octets[:_HEAD]
                if stream.services:
                    stream.tries += 1
                else:
                    self._name(stream, side)
                if stream.tries >= (_BEHIND if stream.services else _DATAGRAMS):
                    self._forget(stream)
                return
        for reader in tuple(stream.readers):
            try:
                reader.datagram(side, octets)
            except Malformed:
                self._refuse(stream, reader)
            if stream.left:
                self._leave(stream)

    def data(self, stream: Stream, side: int, octets: bytes, ts: int, times: Times) -> None:
        """Octets of a side of TCP, or of a stream in another."""
        if stream.head is not None:
            known = len(stream.readers)
            before = len(stream.head[side])
            stream.head[side] += octets
            if not stream.lost[side]:
                self._recognise(stream, side, stream.head[side], before)
            if stream.joins and before and not stream.readers:  # what was seen first may be the end of a message
                self._recognise(stream, side, octets)
                if stream.readers:
                    stream.head[side], before = octets, 0
            for reader in stream.readers[known:]:
                for which in (1 - side, side):
                    if stream.lost[which]:
                        self._gap(stream, reader, which, stream.lost[which], ts)
                    self._feed(
                        stream,
                        reader,
                        which,
                        stream.head[which],
                        ts,
                        times if which == side and not before else (),
                    )
            readers = stream.readers[:known]
            if not stream.is_known and not any(stream.lost):
                self._name(stream, side)
            if stream.is_known or min(map(len, stream.head)) >= _HEAD or sum(map(len, stream.head)) >= 4 * _HEAD:
                stream.head = None
                if not stream.readers:
                    self._forget(stream)
        else:
            readers = stream.readers
        for reader in tuple(readers):
            self._feed(stream, reader, side, octets, ts, times)

    def _feed(self, stream: Stream, reader: Protocol, side: int, octets: bytes, ts: int, times: Times) -> None:
        sides = stream.sides.get(reader)
        if not octets or sides is None:
            return
        fed = sides[side]
        try:
            fed.feed(octets, ts, times)
        except Malformed:
            self._refuse(stream, reader)
        if stream.left:
            self._leave(stream)
        if fed.open or stream.head is not None or stream.inner is not None:
            return
        if not any(one.open for sides in stream.sides.values() for one in sides):
            self._forget(stream)

    def gap(self, stream: Stream, side: int, octets: int, ts: int) -> None:
        """So many were never seen."""
        for reader in tuple(stream.readers):
            self._gap(stream, reader, side, octets, ts)
        if stream.head is None or stream.readers:
            return
        if stream.head[side]:
            self._forget(stream)
        else:  # the other side may show what it is
            there, back = stream.lost
            stream.lost = (there, back + octets) if side else (there + octets, back)

    def _gap(self, stream: Stream, reader: Protocol, side: int, octets: int, ts: int) -> None:
        if reader not in stream.sides:
            return
        try:
            stream.sides[reader][side].gap(octets, ts)
        except (Malformed, Gap):
            self._drop(stream, reader)
        if stream.left:
            self._leave(stream)

    def _turn(self, stream: Stream, ts: int) -> None:
        """What came of it is read anew, from the other side; of what was read by its messages already, no more is."""
        head = stream.turn()
        if head is None:
            self._forget(stream)
            return
        for side, octets in enumerate(reversed(head)):
            if octets and stream.proto == "udp":
                self._datagram(stream, side, octets, ts)
            elif octets:
                self.data(stream, side, octets, ts, ())

    def _over(self, stream: Stream, ts: int) -> None:
        stream.now = ts
        for reader in stream.readers:
            for side in stream.sides.get(reader, ()):
                side.end()
            reader.over()
        if stream.inner:
            self._over(stream.inner, ts)
        stream.forget()
        if stream.outer:
            return
        if stream.services:
            self._services[stream.number] = ",".join(stream.services)
        del self._streams[stream.number]

    def _leave(self, stream: Stream) -> None:
        """Those that want no more are given none."""
        left, stream.left = stream.left, []
        for reader in left:
            if reader in stream.readers:
                self._drop(stream, reader)

    def _refuse(self, stream: Stream, reader: Protocol) -> None:
        """It looked as if it spoke that, and Zeek, too, then takes that back."""
        self._drop(stream, reader)
        stream.refute(reader)

    def _drop(self, stream: Stream, reader: Protocol) -> None:
        """It does not speak that after all, or no more: what was read of it is told."""
        reader.over()
        stream.readers.remove(reader)
        stream.sides.pop(reader, None)
        if stream.head is None and not stream.readers:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        """Nobody reads it."""
        stream.head = None
        if stream.outer and len(stream.outer.readers) > 1:
            return
        lib.hw_flows_want(self._flows, stream.number, 0)


def _that_may_begin(proto: str, first: int) -> list[type[Protocol]]:
    return [one for one in PROTOCOLS if proto in one.transports and (one.first is None or first in one.first)]


def _column_lists(first: Any, count: int, dtype: np.dtype[Any]) -> list[list[Any]]:
    """Column by column: all at once, as rows, takes five times as long."""
    rows = np.frombuffer(ffi.buffer(first, count * dtype.itemsize), dtype) if count else np.empty(0, dtype)
    return [rows[name].tolist() for name in dtype.names or ()]
