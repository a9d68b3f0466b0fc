"""Bodies of HTTP's messages: how long they are, decoded, and the files in them. RFC 9110 (8, 14), RFC 9112 (6, 7), as Zeek reads them."""

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from headwater.analysis.files import File
from headwater.analysis.mime_fields import boundary
from headwater.analysis.mime_parts import Parts
from headwater.analysis.protocols.http_head import Version, content_range, filename
from headwater.analysis.protocols.http_websocket import EXTENSIONS, PROTOCOL, Lists
from headwater.analysis.wire import text

if TYPE_CHECKING:
    from headwater.analysis.stream import Stream

_AT_ONCE: Final = 1 << 20  # octets that come out of a decoder at a time, and
_AFTER_GAP: Final = 4096  # behind a gap: the part in which it fails is lost, and this is Zeek's
_MOST_LISTS: Final = 16  # fields of a kind, each a list
_HEADER: Final = 1024  # octets before which something must have come out
_RATIO: Final = 100  # octets that may come out for each that went in, beyond _AT_ONCE
_ENCODINGS: Final = b"gzip", b"x-gzip", b"deflate"
FRAMING: Final = {
    *b"content-length transfer-encoding content-encoding content-type content-range content-disposition expect connection upgrade".split(),
    b"content-transfer-encoding",
    PROTOCOL,
    EXTENSIONS,
}
"""The fields that say what a body is, and what is behind it."""


class Transaction(Protocol):
    """What a body belongs to."""

    def carries(self, side: int, file: File) -> None:
        """A file is in it."""

    def range_of(self, side: int) -> bytes:
        """What names the file that an answer has a range of; nothing if nobody asked for one."""


class Fields:
    """What the fields of a message, or of a part of one, say of its body."""

    length: int | None = None
    is_chunked = closes = upgrades = _expects = False
    upgrade = encoding = transfer = content_type = b""
    filename: str | None = None
    websocket: Lists = {}  # noqa: RUF012 - replaced, never changed
    range: tuple[int, int, int | None] | None = None

    def __init__(self, stream: "Stream", version: Version, code: int = 0, *, is_part: bool = False) -> None:
        self.lasts = code == 206  # more of the file may come in another message
        self._stream, self._version, self._is_part = stream, version, is_part

    def _weird(self, name: str, addl: str = "") -> None:
        self._stream.weird(name, addl, "HTTP")

    def take(self, name: bytes, value: bytes) -> None:
        """One of FRAMING, its name in small letters."""
        if name == b"content-length":
            self._take_length(_token(value))
        elif name == b"content-type":
            self.content_type = value
            if b"name" in value.lower():
                self.filename = filename(name, value) or self.filename
        elif name == b"connection":
            token = _token(value)
            self.closes |= token == b"close"
            self.upgrades |= token == b"upgrade"
        elif name == b"content-disposition":
            self.filename = filename(name, value) or self.filename
        elif name == b"transfer-encoding":
            self._take_transfer(_token(value), value)
        elif name == b"content-encoding":
            token = _token(value)
            self.encoding = token if token in _ENCODINGS else self.encoding
        elif name == b"content-transfer-encoding":
            self.transfer = _token(value)
        elif name == b"content-range" and self.lasts:
            self._take_range(value)
        elif name == b"upgrade":
            self.upgrade = _token(value)
        elif name == b"expect":
            self._take_expect(_token(value))
        elif name in (PROTOCOL, EXTENSIONS):
            self.websocket = {**self.websocket, name: [*self.websocket.get(name, []), value][-_MOST_LISTS:]}

    def _take_expect(self, token: bytes) -> None:
        if token != b"100-continue":
            self._weird("HTTP_expect_not_100_continue", text(token))
        self._expects = True
        if self.length == 0:
            self._weird("HTTP_content_length_0_and_expect_100_cont")

    def _take_length(self, token: bytes) -> None:
        if self.is_chunked:
            self._weird("HTTP_content_length_and_chunked")
        if not token:
            return
        if not token.isdigit() or len(token) > 40 or int(token) >= 1 << 63:
            self._weird("HTTP_bad_content_length", text(token))
            self.length = 0
            return
        self.length = int(token)
        if self.length and token.startswith(b"0"):
            self._weird("HTTP_content_length_leading_zeros", text(token))
        if self.range and self.range[1] != self.length:
            self._weird("HTTP_range_not_matching_len")
            self.length = max(self.length, self.range[1])
        if not self.length and self._expects:
            self._weird("HTTP_content_length_0_and_expect_100_cont")

    def _take_transfer(self, token: bytes, value: bytes) -> None:
        if self._is_part:
            self._weird("HTTP_nested_transfer_encoding_header")
        elif token == b"chunked" and self._version == (1, 1):
            self.is_chunked = True
            if rest := value[len(token) :].strip():
                self._weird("HTTP_chunked_multi", text(rest))
            if self.length is not None:
                self._weird("HTTP_content_length_and_chunked")

    def _take_range(self, value: bytes) -> None:
        if self.is_chunked:
            self._weird("HTTP_content_range_and_chunked")
        self.range = content_range(value, self._weird) or self.range
        if not self.range:
            return
        if self.length and self.length != self.range[1]:
            self._weird("HTTP_range_not_matching_len")
        self.length = max(self.length or 0, self.range[1])


def _token(value: bytes) -> bytes:
    """What comes first in a field, in small letters."""
    return value.split(None, 1)[0].rstrip(b";,").lower() if value else b""


class Body:
    """Takes the octets of a body, as they are sent but for chunks, and makes files of them. `length` is how many came, decoded."""

    length = _in = _out = 0
    parts: Parts | None = None
    _leaf: "Leaf | None" = None
    _decoder: Any = None
    _is_begun = False
    _at_once = _AT_ONCE
    _begin: bytes | None = b""  # what has come, until something comes out

    def __init__(
        self, stream: "Stream", side: int, fields: Fields, transaction: Transaction, part: Callable[[Fields, bytes], None]
    ) -> None:
        self._stream, self._side, self._fields, self._transaction, self._part = stream, side, fields, transaction, part

    def begin(self) -> None:
        """All fields are known, and there is something of it."""
        self._is_begun = True
        kind = self._fields.content_type
        if boundary(kind) is None:
            self._leaf = Leaf(self._stream, self._side, self._fields, self._transaction)
        else:
            self.parts = Parts(self._stream, "HTTP", self._begin_part, kind, bare=False)
        if self._fields.encoding:
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)

    @property
    def apart(self) -> bool:
        """Whether octets of several segments are to come one by one."""
        return self.parts is not None or self._at_once == _AFTER_GAP

    @property
    def handle(self) -> bytes:
        """What names its file, if some of that was never seen."""
        return self._leaf.file.handle if self._leaf and self._leaf.file and self._leaf.file.missing else b""

    def octets(self, octets: bytes) -> None:
        """The next of them."""
        if not self._is_begun:
            self.begin()
        if self._fields.encoding:
            self._decode(octets)
        else:
            self._clear(octets)

    def gap(self, octets: int) -> bool:
        """So many were never seen. Whether it is known what they were of."""
        if not self.length:
            return False
        if self.parts:
            return self.parts.in_content and self.parts.gap(octets)
        self.length += octets
        self._at_once = _AFTER_GAP
        if self._leaf:
            self._leaf.gap(octets)
        return True

    def end(self) -> None:
        """There is no more of it."""
        if self.parts:
            self.parts.end()
        if self._leaf:
            self._leaf.end()

    def _clear(self, octets: bytes) -> None:
        self.length += len(octets)
        if self.parts:
            self.parts.octets(octets)
        elif self._leaf:
            self._leaf.octets(octets)

    def _decode(self, octets: bytes) -> None:
        if not self._decoder:
            return
        self._in += len(octets)
        wrong = ""
        try:
            for out in self._inflated(octets):
                self._out += len(out)
                if self._out > _AT_ONCE + _RATIO * self._in:
                    wrong = "inflate_bomb"
                    break
                if out:
                    self._clear(out)
        except zlib.error:
            wrong = "inflate_failed"
        if wrong:
            self._stream.weird(wrong, "", "ZIP")
            self._decoder = None

    def _inflated(self, octets: bytes) -> Iterator[bytes]:
        """What comes out, a part at a time. Some servers' deflate has no header (RFC 9110, 8.4.1.2): what cannot be read is tried so."""
        try:
            out = self._decoder.decompress(octets, self._at_once)
        except zlib.error:
            if self._begin is None:
                raise
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            out = self._decoder.decompress(self._begin + octets, self._at_once)
        if self._begin is not None:
            self._begin = None if out or len(self._begin) > _HEADER else self._begin + octets
        yield out
        while len(out) == self._at_once or self._decoder.unconsumed_tail:
            out = self._decoder.decompress(self._decoder.unconsumed_tail, self._at_once)
            yield out

    def _begin_part(self, head: bytes) -> tuple[bytes, bytes, "Leaf"]:
        fields = Fields(self._stream, (0, 0), 206 if self._fields.lasts else 0, is_part=True)
        if head:
            self._part(fields, head)
        return fields.content_type, fields.transfer, Leaf(self._stream, self._side, fields, self._transaction)


class Leaf:
    """A body or part without parts: a file, or a range of one, of which more may come in another message."""

    def __init__(self, stream: "Stream", side: int, fields: Fields, transaction: Transaction) -> None:
        self._stream, self._side, self._fields, self._transaction = stream, side, fields, transaction
        self.file: File | None = None
        self._at = fields.range[0] if fields.range else 0

    def octets(self, octets: bytes) -> None:
        """The next of it."""
        file = self.file or self._begin()
        if self._fields.range:
            file.range(self._at, octets)
        else:
            file.octets(octets)
        self._at += len(octets)

    def gap(self, octets: int) -> bool:
        """So many were never seen; whether it is known that they were all of it."""
        file = self.file or self._begin()
        if self._fields.range:
            file.skip(self._at, octets)
        else:
            file.gap(octets)
        self._at += octets
        first = self._fields.range[0] if self._fields.range else 0
        return self._fields.length is not None and self._at - first <= self._fields.length

    def end(self) -> None:
        """There is no more of it."""
        if self.file and not self._fields.lasts:
            self.file.end()

    def _begin(self) -> File:
        fields, files = self._fields, self._stream.files
        total = fields.range[2] if fields.range else fields.length
        handle = self._transaction.range_of(self._side) if fields.lasts else b""
        file = files.lasting.get(handle) if handle else None
        if not file:
            total = None if fields.encoding else total or None
            file = File(self._stream, self._side, "HTTP", filename=fields.filename, total=total, handle=handle)
            self._transaction.carries(self._side, file)
            if fields.lasts:
                files.keep(file)
        elif self._stream.uid not in file.uids:
            file.follow(self._stream)
            self._transaction.carries(self._side, file)
        self.file = file
        return file
