"""HTTP 1.x, and 0.9: RFC 9110 and 9112. What a request and its answer are is Zeek's: scripts/base/protocols/http/, and HTTP.cc.

Whose secrets are in it (queries, users) is for those who write rows to know.
"""

import binascii
import re
from collections import deque
from collections.abc import Generator, Sequence
from typing import Final

from headwater.analysis.files import FILES, File
from headwater.analysis.protocols.http_body import FRAMING, Body, Fields
from headwater.analysis.protocols.http_head import METHODS, Version, request_line, status_line
from headwater.analysis.protocols.http_websocket import SERVICE, WEBSOCKET, Lists, agreed
from headwater.analysis.stream import ORIG, RESP, SEGMENT, SOME, Gap, Lines, Parser, Protocol, Skip, Some, Stream, Until, Want
from headwater.analysis.wire import Malformed, text
from headwater.records.messages import message

HTTP = message(
    "http", {"latency": "interval", "network": "interval", "traceparent": "string", "x_request_id": "string", "headers": "vector[string]"}
)
_HTTP2: Final = b"PRI * HTTP/2"  # which is told by its name alone
_PORTS: Final = frozenset({80, 81, 631, 1080, 3128, 8000, 8080, 8888})
_LINE: Final = Until(b"\n", 1 << 16, "HTTP_line_too_long", partial=True)
_HEAD: Final = Lines(1 << 17, "HTTP_head_too_long")
_MOST_WAITING: Final = 100  # requests without an answer: Zeek's max_pending_requests
_MOST_FILES: Final = 15  # that a row tells of, for each side: Zeek's max_files_orig
_VERSION: Final = b"HTTP/1."
_BEGIN: Final = Some(len(_VERSION), apart=True)
_MOST_SPELLED: Final = 4096
_MOST_HEADERS: Final = 32  # that are told of a request and its answer because somebody wants them
_FOREVER: Final = Skip(1 << 62, gaps=True)
_SAID: Final = frozenset(b"host referer user-agent origin range traceparent x-request-id".split())
_PROXIES: Final = frozenset(b"forwarded x-forwarded-for x-forwarded-from client-ip via xroxy-connection proxy-connection".split())
_WANTED: Final = FRAMING | _SAID | _PROXIES | {b"authorization", b"proxy-authorization"}
_REQUEST: Final = re.compile(rb"[\r\n\t ]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\r\n]* HTTP/1\.", re.IGNORECASE)
_BARE: Final = re.compile(rb"\r[^\n]")
_SPELLED: Final[dict[bytes, bytes]] = {}  # names of fields as they were written, and those of them that are wanted in small letters
_NO_FILES: Final = (None,) * 6


class Transaction:
    """A request and its answer, as far as they have come."""

    method: bytes | None = None
    uri: str | None = None
    username: str | None = None
    version: str | None = None
    proxied: list[str] | None = None
    status_code: int | None = None
    status_msg: str | None = None
    info_code: int | None = None
    info_msg: str | None = None
    asked: int | None = None  # when all of the request had come
    latency: float | None = None
    websocket: Lists = {}  # noqa: RUF012 - replaced, never changed
    files: tuple[list[File], list[File]] | None = None
    kinds: tuple[list[File], list[File]] = [], []  # those of them whose type is told with it
    headers: list[str] | None = None

    def __init__(self, stream: Stream, depth: int) -> None:
        self.stream, self.ts, self.depth = stream, stream.now, depth
        self.said: dict[bytes, str] = {}
        self.lengths = [0, 0]

    @property
    def is_informed(self) -> bool:
        """Whether its answer is still to come behind one that only informs."""
        return self.status_code is not None and 100 <= self.status_code < 200

    def tell(self, name: bytes, value: bytes) -> None:
        """A field that somebody wants."""
        if self.headers is None:
            self.headers = []
        if len(self.headers) < _MOST_HEADERS:
            self.headers.append(f"{text(name)}: {text(value)}")

    def carries(self, side: int, file: File) -> None:
        """A file is in it."""
        if self.files is None:
            self.files, self.kinds = ([], []), ([], [])
        if len(self.files[side]) < _MOST_FILES:
            self.files[side].append(file)
            if not file.is_known:
                self.kinds[side].append(file)

    def range_of(self, side: int) -> bytes:
        """What names the file that an answer has a range of: whoever asks for ranges gets parts of one file in several answers."""
        if side == ORIG or b"range" not in self.said:
            return b""
        uri = self.uri or "/<missed_request>"
        if "://" not in uri:
            host = self.said.get(b"host") or self.stream.resp.hex()
            uri = f"{host}:{self.stream.resp_port}{uri}"
        return bytes(self.stream.orig) + uri.encode()

    def put(self) -> None:
        """Tell of it."""
        said = self.said
        lists: Sequence[list[str] | None] = _NO_FILES
        if self.files:
            lists = [
                found or None
                for files, kinds in zip(self.files, self.kinds, strict=True)
                for found in (
                    [file.fuid for file in files],
                    [file.filename for file in files if file.filename],
                    [file.mime_type for file in kinds if file.mime_type],
                )
            ]
        self.stream.put(HTTP, self.ts, (
            self.depth, None if self.method is None else text(self.method), said.get(b"host"), self.uri, said.get(b"referer"), self.version,
            said.get(b"user-agent"), said.get(b"origin"), *self.lengths,
            self.status_code, self.status_msg, self.info_code, self.info_msg, [], self.username, None, self.proxied, *lists,
            self.latency, self.stream.network, said.get(b"traceparent"), said.get(b"x-request-id"),
            self.headers,
        ))  # fmt: skip


class Http(Protocol):
    """A row a request with its answer."""

    service = "http"
    transports = frozenset({"tcp"})
    decides = 2048
    records = (HTTP, FILES, WEBSOCKET)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: dict[int, Transaction] = {}
        self._current = [0, 0]  # which of them the last request, and the last answer, are of
        self._depth = self._requests_seen = 0
        self._unanswered: deque[bytes] = deque()  # methods
        self._versions: list[Version | None] = [None, None]
        self._keeps_alive = self._connects = self._is_09 = False
        self._bodies: list[Body | None] = [None, None]
        self._handles = [b"", b""]  # of the last message's file, if some of it was never seen, so that more may be of it
        self._lost: list[File | None] = [None, None]
        self._stopped = [False, False]

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """On its own ports, whatever the originator says; elsewhere, what begins as a request."""
        if stream.partial or side == RESP or octets.startswith(_HTTP2):
            return False
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

    def _lose(self, side: int, octets: int) -> None:
        """So many were never seen behind a message: to Zeek, a file of which nothing came."""
        file = self._lost[side]
        if file is None:
            one = self._waiting.get(self._current[side] + (side == RESP)) or self._waiting.get(self._current[side])
            if one is None or not self._current[side] or one.is_informed:  # what follows that may be no HTTP
                return
            self._stream.since = self._stream.now
            file = self._lost[side] = File(self._stream, side, "HTTP", handle=self._handles[side])
            one.carries(side, file)
        file.gap(octets)

    def over(self) -> None:
        """Tell of what has no answer, or only a part of one."""
        for side in (ORIG, RESP):
            self._message_done(side)
            if lost := self._lost[side]:
                lost.end(timed_out=True)
        for number, one in self._waiting.items():
            if number:
                one.put()
        self._waiting.clear()

    def _weird(self, name: str, addl: str = "") -> None:
        self._stream.weird(name, addl, "HTTP")

    # -- which transaction ------------------------------------------------------------------------------------------------------------

    def _transaction(self, side: int) -> Transaction:
        number = self._current[side]
        if number not in self._waiting:
            self._depth += 1
            self._waiting[number] = Transaction(self._stream, self._depth)
        return self._waiting[number]

    def _next_request(self) -> Transaction:
        if self._current[ORIG] < self._current[RESP]:
            self._stream.weird("HTTP_response_before_request")
            self._current[ORIG] = self._current[RESP]
        if len(self._waiting) > _MOST_WAITING:
            self._stream.weird("HTTP_excessive_pipelining")
            for number in range(max(1, self._current[RESP]), self._current[ORIG]):
                if one := self._waiting.pop(number, None):
                    one.put()
            self._current[RESP] = max(self._current[RESP], self._current[ORIG])
        self._current[ORIG] += 1
        return self._transaction(ORIG)

    def _next_answer(self) -> Transaction:
        last = self._waiting.get(self._current[RESP])
        if last is None or (last.status_code is not None and not last.is_informed):
            self._current[RESP] += 1
        return self._transaction(RESP)

    # -- the originator ---------------------------------------------------------------------------------------------------------------

    def _requests(self) -> Parser:
        while True:
            whole = yield _LINE
            line = _without_end(whole)
            if self._stopped[ORIG] or line == whole:  # of the last line there is only a part
                break
            found = request_line(line, self._weird, self._asks_in) if line else None
            if found is None:
                if not line:
                    self._weird("empty_http_request")
                    continue
                self._speaks_no_more()
                if _BARE.search(line + (yield SOME)):
                    self._stream.weird("line_terminated_with_single_CR", "", "CONTENTLINE")
                break
            method, uri = found
            self._requests_seen += 1
            if not self._keeps_alive and self._requests_seen > 1:
                self._weird("unexpected_multiple_HTTP_requests")
            self._unanswered.append(method)
            self._stream.confirm(self)
            self._connects |= method.upper() == b"CONNECT"
            one = self._next_request()
            one.method, one.uri = method, uri
            if method not in METHODS:
                self._stream.weird("unknown_HTTP_method", text(method))
            if self._versions[ORIG] == (0, 9):
                if method != b"GET":
                    self._weird("invalid_http_09_request_method", text(method))
                self._is_09 = True
            fields = Fields(self._stream, self._versions[ORIG] or (0, 0))
            body = self._bodies[ORIG] = Body(self._stream, ORIG, fields, one, self._take_part_of_request)
            if not (yield from self._message(ORIG, one, fields, body, expected=False)):
                break

    # -- the responder ----------------------------------------------------------------------------------------------------------------

    def _answers(self) -> Parser:
        begin = b""
        while not self._stopped[RESP]:
            try:
                line, begin = begin + (yield _LINE), b""
                if not (yield from self._answer(line)):
                    break
            except Gap:
                if not self._resumes:
                    raise
                begin = yield from self._behind_gap()

    @property
    def _resumes(self) -> bool:
        """Whether answers are read on behind a gap. Elsewhere a gap may hide several answers: nobody knows which comes next."""
        return self._stream.is_budgeted and self._keeps_alive

    def _behind_gap(self) -> Generator[Want, bytes, bytes]:
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

    def _answer(self, line: bytes) -> Generator[Want, bytes, bool]:
        """That begins with this line; whether another one may follow."""
        if self._is_09:
            yield from self._answer_09(line)
            return False
        if self._stopped[RESP]:
            return False
        status = _without_end(line)
        found = status_line(status, self._weird)
        if found is None:
            if status:
                self._speaks_no_more()
            return not status
        since = self._stream.since
        version, code, reason = found
        self._set_version(RESP, version)
        if self._unanswered:
            self._stream.confirm(self)
        one = self._next_answer()
        if one.asked is not None and one.latency is None and since >= one.asked:
            one.latency = (since // 1000 - one.asked // 1000) / 1e6
        one.status_code, one.status_msg, one.version = code, "<empty>" if reason is None else reason, f"{version[0]}.{version[1]}"
        if one.is_informed:
            one.info_code, one.info_msg = code, one.status_msg
        self._connects &= code == 200
        fields = Fields(self._stream, version, code)
        body = self._bodies[RESP] = Body(self._stream, RESP, fields, one, self._take_part)
        return (yield from self._message(RESP, one, fields, body, expected=self._expects_body(code)))

    def _expects_body(self, code: int) -> bool:
        return not (code in (204, 304) or 100 <= code < 200 or (self._unanswered and self._unanswered[0].upper() == b"HEAD"))

    def _answer_09(self, begin: bytes) -> Parser:
        """All that comes is the body."""
        self._set_version(RESP, (0, 9))
        if self._unanswered:
            self._unanswered.popleft()
        one = self._next_answer()
        one.status_code, one.status_msg, one.version = 0, "<empty>", "0.9"
        body = self._bodies[RESP] = Body(self._stream, RESP, Fields(self._stream, (0, 9)), one, self._take_part)
        try:
            body.octets(begin)
            while True:
                body.octets((yield SOME))
        finally:
            self._message_done(RESP)

    # -- messages ---------------------------------------------------------------------------------------------------------------------

    def _set_version(self, side: int, version: Version) -> None:
        before = self._versions[side]
        if before == version:
            return
        if before not in (None, (0, 0)):
            self._weird("HTTP_version_mismatch")
        self._versions[side] = version
        self._keeps_alive |= version > (1, 0)

    def _speaks_no_more(self) -> None:
        """What spoke HTTP before does so no more, on neither side; what never did may have an answer in it."""
        if self._requests_seen:
            self._stream.refute(self)
            self._stream.leave(self)
            self._stopped = [True, True]

    def _asks_in(self, version: Version) -> None:
        self._set_version(ORIG, version)

    def _message(self, side: int, one: Transaction, fields: Fields, body: Body, *, expected: bool) -> Generator[Want, bytes, bool]:
        """Its fields, and its body; whether another message may follow."""
        try:
            head = yield _HEAD
            self._take_head(side, one, fields, head)
            if not head.endswith((b"\n\n", b"\n\r\n")) and head not in (b"\n", b"\r\n"):
                return False
            if side == RESP and (self._connects or fields.upgrade) and self._hands_over(one, fields):
                return False
            reading = self._body(fields, body, side, expected=expected)
            if reading:
                yield from reading
        except Gap:
            if side == RESP and self._resumes:
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

    def _body(self, fields: Fields, body: Body, side: int, *, expected: bool) -> Parser | None:
        """What reads it, if there is one."""
        if (side == RESP and not expected) or (
            not expected and fields.length is None and not fields.is_chunked and not fields.content_type
        ):
            return None
        if fields.length == 0:
            return None
        body.begin()
        if body.parts and fields.length is None and not fields.is_chunked:
            return self._until_end(body)
        if fields.is_chunked:
            return self._chunks(body)
        if fields.length is not None:
            return self._octets(body, fields.length)
        if fields.closes or fields.encoding:
            return self._until_end(body)
        return self._lines(body) if expected else None

    def _octets(self, body: Body, left: int) -> Parser:
        while left:
            try:
                octets = yield Some(left, apart=body.apart)
            except Gap as gap:
                if gap.octets > left or not body.gap(gap.octets):
                    raise
                left -= gap.octets
            else:
                left -= len(octets)
                body.octets(octets)

    def _chunks(self, body: Body) -> Parser:
        while True:
            line = _without_end((yield _LINE))
            size = _hex(line)
            if size is None:
                self._weird("HTTP_bad_chunk_size", text(line))
            if not size:
                break
            yield from self._octets(body, size)
            yield _LINE
        yield _HEAD

    def _until_end(self, body: Body) -> Parser:
        while True:
            try:
                body.octets((yield SEGMENT if body.apart else SOME))
            except Gap as gap:
                if not body.gap(gap.octets) or not body.parts:
                    raise

    def _lines(self, body: Body) -> Parser:
        """Zeek reads a body whose length nobody told line by line, and ends each with CR and LF."""
        held = b""
        try:
            while True:
                whole, end, held = (held + (yield SEGMENT)).rpartition(b"\n")
                if end:
                    body.octets(whole.replace(b"\r\n", b"\n").removesuffix(b"\r").replace(b"\n", b"\r\n") + b"\r\n")
        finally:
            if held:
                body.octets(held + b"\r\n")

    def _interrupt(self, side: int) -> None:
        """What was never seen hides where a message ends; that of the originator, which answer is whose."""
        for one in (side, RESP):
            if self._bodies[one]:
                self._message_done(one)
                self._stopped[one] = True

    def _message_done(self, side: int) -> None:
        body, self._bodies[side] = self._bodies[side], None
        if body is None:
            return
        body.end()
        self._handles[side] = body.handle
        one = self._transaction(side)
        one.lengths[side] = body.length
        if side == ORIG:
            one.asked = self._stream.now
            return
        if not one.is_informed:
            if self._unanswered:
                self._unanswered.popleft()
            one.put()
            del self._waiting[self._current[RESP]]

    # -- fields -----------------------------------------------------------------------------------------------------------------------

    def _take_head(self, side: int, one: Transaction, fields: Fields, head: bytes) -> None:
        lines = self._unfolded(head) if b"\n " in head or b"\n\t" in head else head.rstrip(b"\r\n").split(b"\n")
        if wanted := self._stream.headers:
            for name, _, value in (line.partition(b":") for line in lines):
                if (lower := name.lower()) in wanted:
                    one.tell(lower, value.strip())
        known = _SPELLED.get
        for line in lines:
            name, _, value = line.partition(b":")
            kind = known(name)
            if kind is None:
                kind = _kind(name)
            if not kind:
                continue
            if kind in FRAMING:
                fields.take(kind, value.strip())
            elif side == ORIG and kind in _SAID:
                one.said[kind] = text(value.strip())
            elif side == ORIG:
                self._take(one, kind, value.strip())
        if side == ORIG:
            fields.closes = False  # it is the answer's
            one.websocket = fields.websocket

    def _unfolded(self, head: bytes) -> list[bytes]:
        found: list[bytes] = []
        for line in head.split(b"\n"):
            if line[:1] in (b" ", b"\t") and found:
                self._weird("HTTP_obsolete_line_folding", text(found[-1].partition(b":")[0]))
                found[-1] = found[-1].rstrip(b"\r") + line
            else:
                found.append(line)
        return found

    def _take(self, one: Transaction, name: bytes, value: bytes) -> None:
        if name in _PROXIES:
            said = f"{name.decode().upper()} -> {text(value)}"
            if one.proxied is None:
                one.proxied = []
            if said not in one.proxied:
                one.proxied.append(said)
            return
        scheme, _, said_64 = value.partition(b" ")
        if scheme.lower() == b"basic":
            one.username = self._user(value, said_64.strip())

    def _user(self, value: bytes, said: bytes) -> str:
        try:
            user, colon, _ = binascii.a2b_base64(said).partition(b":")
        except binascii.Error:
            colon = b""
        return text(user) if colon else f"<problem-decoding> ({text(value)})"

    def _take_part(self, fields: Fields, head: bytes) -> None:
        self._take_head(RESP, self._transaction(RESP), fields, head)

    def _take_part_of_request(self, fields: Fields, head: bytes) -> None:
        self._take_head(ORIG, self._transaction(ORIG), fields, head)


def _kind(name: bytes) -> bytes:
    """What a field is, if it is wanted: most are written in one of few ways, which are remembered."""
    lower = name.lower()
    kind = lower if lower in _WANTED else b""
    if len(_SPELLED) < _MOST_SPELLED and len(name) < 64:
        _SPELLED[name] = kind
    return kind


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _hex(line: bytes) -> int | None:
    digits = line.strip().partition(b";")[0].strip()[:16]
    try:
        return int(digits, 16) if digits.isalnum() else None
    except ValueError:
        return None
