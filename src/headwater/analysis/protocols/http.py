"""HTTP 1.x, and 0.9: RFC 9110 and 9112. What a request and its answer are is Zeek's: scripts/base/protocols/http/, and HTTP.cc.

Whose secrets are in it (queries, users) is for those who write rows to know.
"""

import re
from collections.abc import Generator
from typing import Final

from headwater.analysis.files import FILES
from headwater.analysis.protocols.http_body import LINE, Body
from headwater.analysis.protocols.http_fields import Fields
from headwater.analysis.protocols.http_head import METHODS, request_line, status_line, unescaped, without_end
from headwater.analysis.protocols.http_messages import Messages
from headwater.analysis.protocols.http_transaction import HTTP, Transaction
from headwater.analysis.protocols.http_websocket import WEBSOCKET
from headwater.analysis.stream import ORIG, RESP, SEGMENT, SOME, Gap, Parser, Skip, Some, Stream, Want
from headwater.analysis.wire import Malformed, text

_HTTP2: Final = b"PRI * HTTP/2"  # which is told by its name alone
_PORTS: Final = frozenset({80, 81, 631, 1080, 3128, 8000, 8080, 8888})
_VERSION: Final = b"HTTP/1."
_BEGIN: Final = Some(len(_VERSION), apart=True)
_FOREVER: Final = Skip(1 << 62, gaps=True)
_REQUEST: Final = re.compile(rb"[\r\n\t ]*+[!#$%&'*+\-.^_`|~0-9A-Za-z]++ [^\r\n]* [Hh][Tt][Tt][Pp]/1\.")
_METHOD: Final = re.compile(rb"[A-Z]{3,7}")
_BARE: Final = re.compile(rb"\r[^\n]")


class Http(Messages):
    """A row a request with its answer."""

    service = "http"
    transports = frozenset({"tcp"})
    decides = 2048
    records = (HTTP, FILES, WEBSOCKET)

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """On its own ports, whatever the originator says; elsewhere and behind a begin that was not seen, what begins as a request."""
        if side == RESP or octets.startswith(_HTTP2):
            return False
        if stream.partial:
            return stream.joins and _METHOD.match(octets) is not None and _REQUEST.match(octets) is not None
        if stream.resp_port in _PORTS and not stream.outer:
            return True
        return _REQUEST.match(octets) is not None

    def side(self, side: int) -> Parser:
        """Requests, or answers, one after the other."""
        try:
            yield from self._answers() if side == RESP else self._requests()
        except Gap as gap:
            if side == ORIG:
                self._interrupt(RESP)
            self._lose(side, gap.octets)
        except Malformed as wrong:
            self._weird(str(wrong))
        self._stopped[side] = True
        while True:  # nothing of that side can be read any more
            try:
                yield _FOREVER
            except Gap as gap:
                self._lose(side, gap.octets)

    # -- the originator ---------------------------------------------------------------------------------------------------------------

    def _requests(self) -> Parser:
        begin = b""
        while True:
            try:
                whole, begin = begin or (yield LINE), b""
                line = without_end(whole)
                if self._stopped[ORIG] or line == whole:  # of the last line there is only a part
                    return
                if not line:
                    self._weird("empty_http_request")
                    continue
                one = self._request(line)
                if one is None:
                    self._speaks_no_more()
                    if _BARE.search(line + (yield SOME)):
                        self._stream.weird("line_terminated_with_single_CR", "", "CONTENTLINE")
                    return
                fields = Fields(one, ORIG, self._versions[ORIG] or "0.0")
                if not (yield from self._message(ORIG, one, fields, may_have_body=True)):
                    return
            except Gap:
                if not self._resumes:
                    raise
                begin = yield from self._request_behind_gap()

    def _request_behind_gap(self) -> Generator[Want, bytes, bytes]:
        """The line of the next request. It comes when the last one is answered, or is a part of its body; most begin a segment, and none of
        those stays in the kernel.
        """
        while not self._stopped[ORIG]:
            try:
                begin = yield _BEGIN
                if self._transactions.is_answered and _METHOD.match(begin):
                    line = begin + (yield LINE)
                    if _REQUEST.match(line):
                        return line
                yield SEGMENT
            except Gap:
                continue
        return b""

    def _request(self, line: bytes) -> Transaction | None:
        """That begins with this line; None if it is none."""
        found = request_line(line, self._weird)
        if found is None:
            return None
        method, written, version = found
        if version and version != self._versions[ORIG]:
            self._set_version(ORIG, version)
        uri = unescaped(written, self._weird)
        if version == "0.9" and (len(method) < 3 or not written):
            self._weird("bad_HTTP_request")
            return None
        self._requests_seen += 1
        if self._requests_seen == 1:
            self._stream.confirm(self)
        elif not self._keeps_alive:
            self._weird("unexpected_multiple_HTTP_requests")
        one = self._transactions.next_request()
        one.method, one.uri = METHODS.get(method) or text(method), uri
        self._unanswered.append(one.method)
        if method not in METHODS:
            self._stream.weird("unknown_HTTP_method", one.method)
        self._connects |= one.method.upper() == "CONNECT"
        if self._versions[ORIG] == "0.9":
            if method != b"GET":
                self._weird("invalid_http_09_request_method", one.method)
            self._is_09 = True
        return one

    # -- the responder ----------------------------------------------------------------------------------------------------------------

    def _answers(self) -> Parser:
        begin = (yield from self._answer_behind_gap()) if self._stream.partial else b""
        while not self._stopped[RESP]:
            try:
                line, begin = begin + (yield LINE), b""
                if self._is_09:
                    yield from self._answer_09(line)
                if self._stopped[RESP]:
                    return
                one = self._answer(line)
                if one:
                    fields = Fields(one, RESP, one.version or "", lasts=one.status_code == 206)
                    if not (yield from self._message(RESP, one, fields, may_have_body=self._may_have_body(one))):
                        return
                elif without_end(line):
                    self._speaks_no_more()
                    return
            except Gap:
                if not self._resumes:
                    raise
                begin = yield from self._answer_behind_gap()

    def _answer_behind_gap(self) -> Generator[Want, bytes, bytes]:
        """How the next answer begins. Most do with a segment, and none of those stays in the kernel."""
        while not self._stopped[RESP]:
            try:
                begin = yield _BEGIN
                if begin == _VERSION and self._unanswered:
                    return begin
                yield SEGMENT
            except Gap:
                continue
        return b""

    def _answer(self, line: bytes) -> Transaction | None:
        """What that is an answer to which begins with this line; None if it is none."""
        found = status_line(line, self._weird)
        if found is None:
            return None
        version, code, reason = found
        if version != self._versions[RESP]:
            self._set_version(RESP, version)
        one = self._transactions.next_answer()
        since, asked = self._stream.since, one.asked
        if asked is not None and one.latency is None and since >= asked:
            one.latency = (since // 1000 - asked // 1000) / 1e6
        one.answer(version, code, reason)
        self._connects &= code == 200
        return one

    def _may_have_body(self, one: Transaction) -> bool:
        """Whether an answer that has begun may."""
        to_head = self._unanswered and self._unanswered[0].upper() == "HEAD"
        return not (to_head or one.is_informed or one.status_code in (204, 304))

    def _answer_09(self, begin: bytes) -> Parser:
        """All that comes is the body."""
        if self._versions[RESP] != "0.9":
            self._set_version(RESP, "0.9")
        if self._unanswered:
            self._unanswered.popleft()
        one = self._transactions.next_answer()
        one.answer("0.9", 0, "<empty>")
        self._in_message[RESP] = True
        body = self._bodies[RESP] = Body(Fields(one, RESP, "0.9"), self._transactions)
        try:
            body.octets(begin)
            while True:
                body.octets((yield SOME))
        finally:
            self._message_done(RESP)

    def _speaks_no_more(self) -> None:
        """What spoke HTTP before does so no more, on neither side; what never did may have an answer in it."""
        if self._requests_seen:
            self._stream.refute(self)
            self._stream.leave(self)
            self._stopped = [True, True]
