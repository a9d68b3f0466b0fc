"""Messages of HTTP, behind the lines that they begin with: what follows their fields, what was lost of them, what is over with them.

What a gap hides, and which files are told of it, is Zeek's: src/analyzer/protocol/http/HTTP.cc.
"""

from collections import deque
from collections.abc import Generator

from headwater.analysis.files import File
from headwater.analysis.protocols.http_body import HEAD, Body
from headwater.analysis.protocols.http_fields import Fields
from headwater.analysis.protocols.http_head import Version
from headwater.analysis.protocols.http_transaction import Transaction, Transactions
from headwater.analysis.protocols.http_websocket import SERVICE, WEBSOCKET, agreed
from headwater.analysis.stream import ORIG, RESP, Gap, Parser, Protocol, Stream, Want


class Messages(Protocol):
    """Those of both sides. Which of them follow each other says who reads their first lines."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._transactions = Transactions(stream)
        self._requests_seen = 0
        self._unanswered: deque[str] = deque()  # methods
        self._versions: list[Version | None] = [None, None]
        self._keeps_alive = self._connects = self._is_09 = False
        self._in_message = [False, False]  # a message, whose end has not come
        self._bodies: list[Body | None] = [None, None]
        self._handles = [b"", b""]  # of the last message's file, if some of it was never seen, so that more may be of it
        self._lost: list[File | None] = [None, None]
        self._stopped = [False, False]

    def over(self) -> None:
        """Tell of what has no answer, or only a part of one."""
        for side in (ORIG, RESP):
            self._message_done(side)
            if lost := self._lost[side]:
                lost.end(timed_out=True)
        self._transactions.end()

    def _weird(self, name: str, addl: str = "") -> None:
        self._stream.weird(name, addl, "HTTP")

    def _set_version(self, side: int, version: Version) -> None:
        before = self._versions[side]
        if before not in (None, "0.0"):
            self._weird("HTTP_version_mismatch")
        self._versions[side] = version
        self._keeps_alive |= version > "1.0"

    @property
    def _resumes(self) -> bool:
        """Whether messages are read on behind a gap. Elsewhere a gap may hide several: nobody knows which comes next."""
        return self._stream.is_budgeted and self._keeps_alive

    def _message(self, side: int, one: Transaction, fields: Fields, *, may_have_body: bool) -> Generator[Want, bytes, bool]:
        """Its fields, and its body; whether another message may follow."""
        self._in_message[side] = True
        try:
            head = yield HEAD
            fields.take(head)
            if side == ORIG:
                one.websocket = fields.websocket
            if not head.endswith((b"\n\n", b"\n\r\n")) and head not in (b"\n", b"\r\n"):
                return False
            if side == RESP and (self._connects or fields.upgrade) and self._hands_over(one, fields):
                return False
            if may_have_body and fields.length != 0 and (body := self._body(side, fields)):
                yield from body
        except Gap:
            if self._resumes:
                raise
            self._interrupt(side)
            return False
        finally:
            if not self._stopped[side]:
                self._message_done(side)
        return not self._stopped[side]

    def _hands_over(self, one: Transaction, fields: Fields) -> bool:
        """Whether what follows an answer is no more HTTP."""
        upgrades = one.status_code == 101 and len(self._unanswered) == 1 and fields.upgrades and bool(fields.upgrade)
        if not (self._connects or upgrades):
            return False
        if fields.upgrade == b"websocket" and not self._connects:
            self._stopped[ORIG] = True
            self._stream.speaks(SERVICE)
            agrees = agreed(one.websocket, fields.websocket)
            self._stream.put(WEBSOCKET, self._stream.now, (one.said.get(b"host"), one.uri, one.said.get(b"user-agent"), *agrees))
            return True
        self._stream.hand_over(self)
        return True

    def _body(self, side: int, fields: Fields) -> Parser | None:
        """What reads it, if there is one."""
        if side == ORIG and fields.length is None and not (fields.is_chunked or fields.content_type):
            return None
        body = self._bodies[side] = Body(fields, self._transactions)
        return body.parser(of_answer=side == RESP)

    def _interrupt(self, side: int) -> None:
        """What was never seen hides where a message ends; that of the originator, which answer is whose."""
        for one in (side, RESP):
            if self._in_message[one]:
                self._message_done(one)
                self._stopped[one] = True

    def _message_done(self, side: int) -> None:
        if not self._in_message[side]:
            return
        self._in_message[side] = False
        one = self._transactions.of(side)
        body, self._bodies[side], self._handles[side] = self._bodies[side], None, b""
        if body:
            body.end()
            self._handles[side] = body.handle
            one.lengths[side] = body.length
        if side == ORIG:
            one.asked = self._stream.now
        elif not one.is_informed:
            if self._unanswered:
                self._unanswered.popleft()
            self._transactions.answered(one)

    def _lose(self, side: int, octets: int) -> None:
        """So many were never seen behind a message: to Zeek, a file of which nothing came."""
        file = self._lost[side]
        if file is None:
            one = self._transactions.behind(side)
            if one is None:
                return
            self._stream.since = self._stream.now
            file = self._lost[side] = File(self._stream, side, "HTTP", handle=self._handles[side])
            one.carries(side, file)
        file.gap(octets)
