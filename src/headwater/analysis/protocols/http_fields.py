"""Fields of HTTP's messages: what they say of bodies (RFC 9110, 8 and 14; RFC 9112, 6 and 7), and what rows tell of them, as Zeek reads
them: src/analyzer/protocol/http/HTTP.cc, scripts/base/protocols/http/main.zeek.
"""

import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, TypeAlias

from headwater.analysis import mime_fields
from headwater.analysis.protocols.http_head import Version, content_range, unescaped
from headwater.analysis.protocols.http_transaction import Transaction
from headwater.analysis.protocols.http_websocket import EXTENSIONS, NO_LISTS, PROTOCOL, Lists
from headwater.analysis.wire import text

MOST_LONG: Final = 1 << 63  # octets, and no more, of a body
_MOST_LISTS: Final = 16  # fields of a kind, each a list
_MOST_SPELLED: Final = 4096
_ENCODINGS: Final = b"gzip", b"x-gzip", b"deflate"


class Fields:
    """What the fields of a message of `side`, or of a part of one, say of its body. What rows tell of them `transaction` is told."""

    __slots__ = (
        "_expects", "_is_part", "_version", "closes", "content_type", "encoding", "filename", "is_chunked", "lasts", "length", "range",
        "side", "stream", "transaction", "transfer", "upgrade", "upgrades", "websocket",
    )  # fmt: skip

    def __init__(self, transaction: Transaction, side: int, version: Version, *, lasts: bool = False, is_part: bool = False) -> None:
        self.stream, self.transaction, self.side = transaction.stream, transaction, side
        self._version, self._is_part = version, is_part
        self.length: int | None = None
        self.range: tuple[int, int, int | None] | None = None
        self.lasts = lasts  # more of the file may come in another message
        self.is_chunked = self.closes = self.upgrades = self._expects = False
        self.upgrade = self.encoding = self.transfer = self.content_type = b""
        self.filename: str | None = None
        self.websocket: Lists = NO_LISTS

    def weird(self, name: str, addl: str = "") -> None:
        """Something odd in them, or in what they speak of."""
        self.stream.weird(name, addl, "HTTP")

    def take(self, head: bytes) -> None:
        """All of them."""
        lines = head.rstrip(b"\r\n").split(b"\n")
        if min(lines) < b"!":
            lines = self._unfolded(head.split(b"\n"))
        if self.stream.headers:
            self._tell(lines)
        takers = _TAKERS[self.side]
        for line in lines:
            name, _, value = line.partition(b":")
            if taker := takers[name]:
                taker(self, value.strip())

    def _unfolded(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if line[:1] in (b" ", b"\t") and found:
                self.weird("HTTP_obsolete_line_folding", text(found[-1].partition(b":")[0]))
                found[-1] = found[-1].rstrip(b"\r") + line
            else:
                found.append(line)
        return found

    def _tell(self, lines: list[bytes]) -> None:
        """Those that somebody wants."""
        for name, _, value in (line.partition(b":") for line in lines):
            if (lower := name.lower()) in self.stream.headers:
                self.transaction.tell(lower, value.strip())

    # -- the body -----------------------------------------------------------------------------------------------------------------------

    def _take_type(self, value: bytes) -> None:
        self.content_type = value
        if b"=" in value and b"name" in value.lower():
            self.filename = _filename(b"content-type", value) or self.filename

    def _take_disposition(self, value: bytes) -> None:
        self.filename = _filename(b"content-disposition", value) or self.filename

    def _take_connection(self, value: bytes) -> None:
        if value in (b"keep-alive", b"Keep-Alive"):  # as most say
            return
        token = _token(value)
        self.closes |= token == b"close"
        self.upgrades |= token == b"upgrade"

    def _take_upgrade(self, value: bytes) -> None:
        self.upgrade = _token(value)

    def _take_encoding(self, value: bytes) -> None:
        token = _token(value)
        self.encoding = token if token in _ENCODINGS else self.encoding

    def _take_transfer_of_part(self, value: bytes) -> None:
        self.transfer = _token(value)

    def _take_list(self, value: bytes, name: bytes) -> None:
        self.websocket = {**self.websocket, name: [*self.websocket.get(name, []), value][-_MOST_LISTS:]}

    def _take_expect(self, value: bytes) -> None:
        token = _token(value)
        if token != b"100-continue":
            self.weird("HTTP_expect_not_100_continue", text(token))
        self._expects = True
        if self.length == 0:
            self.weird("HTTP_content_length_0_and_expect_100_cont")

    def _take_length(self, value: bytes) -> None:
        token = value if value.isdigit() else _token(value)
        if self.is_chunked:
            self.weird("HTTP_content_length_and_chunked")
        if not token:
            return
        length = int(token) if token.isdigit() and len(token) <= 40 else MOST_LONG
        if length >= MOST_LONG:
            self.weird("HTTP_bad_content_length", text(token))
            self.length = 0
            return
        self.length = length
        if length and token.startswith(b"0"):
            self.weird("HTTP_content_length_leading_zeros", text(token))
        if self.range and self.range[1] != self.length:
            self.weird("HTTP_range_not_matching_len")
            self.length = max(self.length, self.range[1])
        if not self.length and self._expects:
            self.weird("HTTP_content_length_0_and_expect_100_cont")

    def _take_transfer(self, value: bytes) -> None:
        token = _token(value)
        if self._is_part:
            self.weird("HTTP_nested_transfer_encoding_header")
        elif token == b"chunked" and self._version == "1.1":
            self.is_chunked = True
            if rest := value[len(token) :].strip():
                self.weird("HTTP_chunked_multi", text(rest))
            if self.length is not None:
                self.weird("HTTP_content_length_and_chunked")

    def _take_range(self, value: bytes) -> None:
        if not self.lasts:
            return
        if self.is_chunked:
            self.weird("HTTP_content_range_and_chunked")
        self.range = content_range(value, self.weird) or self.range
        if not self.range:
            return
        if self.length and self.length != self.range[1]:
            self.weird("HTTP_range_not_matching_len")
        self.length = max(self.length or 0, self.range[1])

    FRAMING: ClassVar[Mapping[bytes, "Taker"]] = {
        b"content-length": _take_length,
        b"content-type": _take_type,
        b"connection": _take_connection,
        b"transfer-encoding": _take_transfer,
        b"content-encoding": _take_encoding,
        b"content-disposition": _take_disposition,
        b"content-transfer-encoding": _take_transfer_of_part,
        b"content-range": _take_range,
        b"expect": _take_expect,
        b"upgrade": _take_upgrade,
        PROTOCOL: partial(_take_list, name=PROTOCOL),
        EXTENSIONS: partial(_take_list, name=EXTENSIONS),
    }
    """Who takes those that say what a body is, and what is behind it, by their names in small letters."""


Taker: TypeAlias = Callable[[Fields, bytes], None]


def _says(name: bytes, fields: Fields, value: bytes) -> None:
    fields.transaction.said[name] = text(value)


def _proxies(name: bytes, fields: Fields, value: bytes) -> None:
    said = f"{name.decode().upper()} -> {text(value)}"
    proxied = fields.transaction.proxied or []
    fields.transaction.proxied = proxied if said in proxied else [*proxied, said]


def _authorizes(fields: Fields, value: bytes) -> None:
    scheme, _, said = value.partition(b" ")
    if scheme.lower() != b"basic":
        return
    try:
        user, colon, _ = binascii.a2b_base64(said.strip()).partition(b":")
    except binascii.Error:
        colon = b""
    fields.transaction.username = text(user) if colon else f"<problem-decoding> ({text(value)})"


class _Takers(dict[bytes, Taker | None]):
    """Who takes a field, by its name as it is written: most are written in one of few ways, which are remembered."""

    def __init__(self, takers: Mapping[bytes, Taker]) -> None:
        super().__init__()
        self._takers = takers

    def __missing__(self, name: bytes) -> Taker | None:
        taker = self._takers.get(name.lower())
        if len(self) < _MOST_SPELLED and len(name) < 64:
            self[name] = taker
        return taker


_SAID: Final = b"host referer user-agent origin range traceparent x-request-id".split()
_PROXIES: Final = b"forwarded x-forwarded-for x-forwarded-from client-ip via xroxy-connection proxy-connection".split()
_ASKED: Final[Mapping[bytes, Taker]] = {
    **Fields.FRAMING,
    **{name: partial(_says, name) for name in _SAID},
    **{name: partial(_proxies, name) for name in _PROXIES},
    b"authorization": _authorizes,
    b"proxy-authorization": _authorizes,
}
_TAKERS: Final = _Takers(_ASKED), _Takers(Fields.FRAMING)


def _token(value: bytes) -> bytes:
    """What comes first in a field, in small letters."""
    return value.split(None, 1)[0].rstrip(b";,").lower() if value else b""


def _filename(name: bytes, value: bytes) -> str | None:
    """What a file is called by its field `name`, content-disposition or content-type."""
    called = mime_fields.filename(name, value)
    return None if called is None else unescaped(called, lambda *_: None)
