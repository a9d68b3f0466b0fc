"""A request of HTTP with its answer: what a row of `http` is made of. Fields are Zeek's: scripts/base/protocols/http/."""

from collections.abc import Sequence
from typing import Final

from headwater.analysis.files import File
from headwater.analysis.protocols.http_websocket import NO_LISTS, Lists
from headwater.analysis.stream import ORIG, RESP, Stream
from headwater.analysis.wire import text
from headwater.records.messages import message

HTTP = message(
    "http", {"latency": "interval", "network": "interval", "traceparent": "string", "x_request_id": "string", "headers": "vector[string]"}
)
_MOST_FILES: Final = 15  # that a row tells of, for each side: Zeek's max_files_orig
_MOST_HEADERS: Final = 32  # that are told of a request and its answer because somebody wants them
_NO_FILES: Final = (None,) * 6
_MOST_WAITING: Final = 100  # requests without an answer: Zeek's max_pending_requests


class Transaction:
    """A request and its answer, as far as they have come."""

    __slots__ = (
        "asked", "depth", "files", "headers", "info_code", "info_msg", "is_informed", "kinds", "latency", "lengths", "method", "proxied",
        "said", "status_code", "status_msg", "stream", "ts", "uri", "username", "version", "websocket",
    )  # fmt: skip

    def __init__(self, stream: Stream, depth: int) -> None:
        self.stream, self.ts, self.depth = stream, stream.now, depth
        self.method: str | None = None
        self.uri: str | None = None
        self.said: dict[bytes, str] = {}
        self.username: str | None = None
        self.proxied: list[str] | None = None
        self.headers: list[str] | None = None
        self.websocket: Lists = NO_LISTS
        self.asked: int | None = None  # when all of the request had come
        self.latency: float | None = None
        self.version: str | None = None
        self.status_code: int | None = None
        self.status_msg: str | None = None
        self.info_code: int | None = None
        self.info_msg: str | None = None
        self.is_informed = False  # whether its answer is still to come behind one that only informs
        self.lengths = [0, 0]
        self.files: tuple[list[File], list[File]] | None = None
        self.kinds: tuple[list[File], list[File]] | None = None  # those of them whose type is told with it

    def answer(self, version: str, code: int, reason: str) -> None:
        """An answer to it has begun."""
        self.version, self.status_code, self.status_msg = version, code, reason
        self.is_informed = 100 <= code < 200
        if self.is_informed:
            self.info_code, self.info_msg = code, reason

    def tell(self, name: bytes, value: bytes) -> None:
        """A field that somebody wants."""
        if self.headers is None:
            self.headers = []
        if len(self.headers) < _MOST_HEADERS:
            self.headers.append(f"{text(name)}: {text(value)}")

    def carries(self, side: int, file: File) -> None:
        """A file is in it."""
        if self.files is None or self.kinds is None:
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
        said = self.said.get
        self.stream.put(HTTP, self.ts, (
            self.depth, self.method, said(b"host"), self.uri, said(b"referer"), self.version, said(b"user-agent"), said(b"origin"),
            *self.lengths, self.status_code, self.status_msg, self.info_code, self.info_msg, [], self.username, None, self.proxied,
            *(self._files_told() if self.files else _NO_FILES),
            self.latency, self.stream.network, said(b"traceparent"), said(b"x-request-id"), self.headers,
        ))  # fmt: skip

    def _files_told(self) -> Sequence[list[str] | None]:
        """Of each side, their names here, the names that they were given, and their types."""
        return [
            found or None
            for files, kinds in zip(self.files or (), self.kinds or (), strict=True)
            for found in (
                [file.fuid for file in files],
                [file.filename for file in files if file.filename],
                [file.mime_type for file in kinds if file.mime_type],
            )
        ]


class Transactions:
    """Those of one connection, in their order, of which answers may still come."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: dict[int, Transaction] = {}
        self._current = [0, 0]  # which of them the last request, and the last answer, are of
        self._depth = 0

    def of(self, side: int) -> Transaction:
        """That of the last request, or of the last answer."""
        number = self._current[side]
        return self._waiting.get(number) or self._begin(number)

    def _begin(self, number: int) -> Transaction:
        self._depth += 1
        one = self._waiting[number] = Transaction(self._stream, self._depth)
        return one

    def next_request(self) -> Transaction:
        """A request has begun."""
        current, waiting = self._current, self._waiting
        if current[ORIG] < current[RESP]:
            self._stream.weird("HTTP_response_before_request")
            current[ORIG] = current[RESP]
        if len(waiting) > _MOST_WAITING:
            self._stream.weird("HTTP_excessive_pipelining")
            for number in range(max(1, current[RESP]), current[ORIG]):
                if one := waiting.pop(number, None):
                    one.put()
            current[RESP] = max(current[RESP], current[ORIG])
        current[ORIG] += 1
        return self._begin(current[ORIG])

    def next_answer(self) -> Transaction:
        """An answer has begun."""
        number = self._current[RESP]
        one = self._waiting.get(number)
        if one is None or (one.status_code is not None and not one.is_informed):
            self._current[RESP] = number = number + 1
            one = self._waiting.get(number)
        return one or self._begin(number)

    @property
    def is_answered(self) -> bool:
        """Whether the answer to the last request has begun, at least."""
        one = self._waiting.get(self._current[ORIG])
        return one is None or (one.status_code is not None and not one.is_informed)

    def answered(self, one: Transaction) -> None:
        """All of the last answer has come, and it is that one's."""
        one.put()
        del self._waiting[self._current[RESP]]

    def behind(self, side: int) -> Transaction | None:
        """That of the next message, or else of the last; None where what follows may be no HTTP."""
        number = self._current[side]
        one = self._waiting.get(number + (side == RESP)) or self._waiting.get(number)
        return None if one is None or not number or one.is_informed else one

    def end(self) -> None:
        """Tell of what has no answer, or only a part of one."""
        for number, one in self._waiting.items():
            if number:
                one.put()
        self._waiting.clear()
