"""QUIC: RFC 9000 and RFC 9369, as far as it can be read by others: headers, and the hellos of its first packets.

What the history has, and when a row is made, are Zeek's: scripts/base/protocols/quic/main.zeek.
"""

from typing import Final

from headwater.analysis.protocols import quic_google as google
from headwater.analysis.protocols.quic_initial import SALTS, VERSION_2, Keys
from headwater.analysis.protocols.tls import Tls
from headwater.analysis.protocols.tls_session import CLIENT_HELLO, SERVER_HELLO, SSL, Session
from headwater.analysis.protocols.tls_x509 import X509
from headwater.analysis.stream import ORIG, Protocol, Stream
from headwater.analysis.wire import Malformed, Reader, text
from headwater.records.messages import message

QUIC = message("quic")
_PORTS: Final = frozenset({443, 784, 853})
_INITIAL, _EARLY, _HANDSHAKE, _RETRY = range(4)
_LETTERS: Final = {_INITIAL: "i", _EARLY: "z", _HANDSHAKE: "h"}
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE = 0, 1, 2, 3, 6, 0x1C
_NEGOTIATION: Final = 0  # what a server has instead of a version that tells which it knows (RFC 9000, 17.2.1)
_MOST_HISTORY: Final = 100
_MOST_HELLO: Final = (1 << 14) + 256  # octets (RFC 8446)
_MOST_PIECES: Final = 256  # of a hello
_MOST_ID: Final = 20  # octets


class Hello:
    """What a side says first, as far as it has come."""

    __slots__ = ("is_whole", "pieces")

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.is_whole = False

    def add(self, at: int, octets: bytes) -> bytes | None:
        """The message with its head, once it is there. Raises Malformed if it is longer than such are."""
        if at + len(octets) > _MOST_HELLO or len(self.pieces) >= _MOST_PIECES:
            raise Malformed("QUIC_long_hello")
        if len(octets) > len(self.pieces.get(at, b"")):
            self.pieces[at] = octets
        whole = b""
        for begin, piece in sorted(self.pieces.items()):
            if begin > len(whole):
                break
            whole += piece[len(whole) - begin :]
        if len(whole) < 4 or len(whole) < (size := 4 + int.from_bytes(whole[1:4], "big")):
            return None
        self.is_whole = True
        self.pieces.clear()
        return whole[:size]


class Quic(Protocol):
    """A row a connection."""

    service = "quic"
    transports = frozenset({"udp"})
    records = (QUIC, SSL, X509)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ts = 0  # when the row began; 0: there is none
        self._opened = 0
        self._short = [0, 0]  # packets
        self._begin()

    def _again(self) -> None:
        """Tell of a connection that the server does not take, and be ready for the next attempt."""
        self._put()
        self._session.put()
        self._begin()

    def _begin(self) -> None:
        """From the start, or anew after a Retry or where versions are negotiated."""
        self._session = Session(self._stream, Tls(self._stream), "q")
        self._hellos = [Hello(), Hello()]
        self._keys: list[Keys] = []
        self._ids = [0, 0]  # octets of the ids that packets to each side have

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """A packet with a long header on QUIC's ports; elsewhere a client's first one."""
        if len(octets) < 7 or octets[0] & 0xC0 != 0xC0:
            return side == ORIG and google.hello(octets) is not None
        version = int.from_bytes(octets[1:5], "big")
        return stream.resp_port in _PORTS or (side == ORIG and version in SALTS and _kind(octets[0], version) == _INITIAL)

    def datagram(self, side: int, octets: bytes) -> None:
        """Packets, several perhaps."""
        if octets[0] & 0xC0 == 0x40 and (self._ts or side != ORIG):
            self._count(side)
            return
        try:
            self._packets(side, octets)
        except Malformed:
            if not self._opened and self._stream.resp_port not in _PORTS:
                self._ts = 0  # it only looked as if
            raise

    def over(self) -> None:
        """Tell of what is not told yet."""
        self._put()
        self._session.put()

    # -- packets ----------------------------------------------------------------------------------------------------------------------

    def _packets(self, side: int, octets: bytes) -> None:
        reader = Reader(octets)
        if side == ORIG and not self._ts and (said := google.hello(octets)):
            self._google(*said)
            return
        while len(reader):
            first = octets[reader.at]
            negotiates = first & 0x80 and octets[reader.at + 1 : reader.at + 5] == bytes(4)
            if not first & 0x40 and not negotiates:
                reader.rest()
                if self._opened:
                    self._add(side, "x")
            elif first & 0x80:
                self._long(side, octets, reader)
            else:
                reader.rest()
                self._count(side)

    def _count(self, side: int) -> None:
        """One with a short header, whose end is the datagram's."""
        self._short[side] += 1
        if self._short[side].bit_count() == 1:
            self._add(side, "o")

    def _google(self, version: str, connection: bytes, name: str | None) -> None:
        self._stream.confirm(self)
        self._stream.put(QUIC, self._stream.now, (version, connection.hex(), None, None, name, None, "I"))
        self._stream.leave(self)

    def _long(self, side: int, octets: bytes, reader: Reader) -> None:
        at = reader.at
        first, version = reader.u8(), reader.u32()
        to, of = reader.take(reader.u8()), reader.take(reader.u8())
        if version == _NEGOTIATION and side != ORIG:
            reader.rest()
            self._tell(side, version, to, of)
            self._add(side, "u")
            self._again()
            return
        if version not in SALTS:
            self._tell(side, version, to, of)
            self._add(side, "u")
            raise Malformed("QUIC_unhandled_version")
        if max(len(to), len(of)) > _MOST_ID:
            raise Malformed("QUIC_long_id")
        kind = _kind(first, version)
        if kind == _RETRY:
            reader.take(16)
            reader.rest()
            self._tell(side, version, to, of)
            self._add(side, "r")
            self._again()
            return
        if kind == _INITIAL:
            reader.take(_number(reader))
        size = _number(reader)
        number_at = reader.at
        if kind == _INITIAL and size < 20:
            raise Malformed("QUIC_short_packet")
        reader.take(size)
        self._tell(side, version, to, of)
        self._add(side, _LETTERS[kind])
        if kind == _INITIAL and not self._hellos[side].is_whole:
            self._initial(side, version, to, octets[at : reader.at], number_at - at)

    def _initial(self, side: int, version: int, to: bytes, packet: bytes, number_at: int) -> None:
        if not self._keys:
            if side != ORIG:
                return
            self._keys = [Keys(version, to, of_client=is_client) for is_client in (True, False)]
        frames = Reader(self._keys[side].open(packet, number_at))
        self._opened += 1
        self._stream.confirm(self)
        while len(frames):
            self._frame(side, frames)

    def _frame(self, side: int, frames: Reader) -> None:
        kind = frames.u8()
        if kind == _PADDING:
            frames.at = frames.end - len(frames.rest().lstrip(b"\0"))
        elif kind in (_ACK, _ACK_ECN):
            for _ in range(2):
                _number(frames)
            for _ in range(1 + 2 * _number(frames) + (3 if kind == _ACK_ECN else 0)):
                _number(frames)
        elif kind == _CRYPTO:
            at = _number(frames)
            octets = frames.take(_number(frames))
            if not self._hellos[side].is_whole and (hello := self._hellos[side].add(at, octets)):
                self._hello(side, hello)
        elif kind == _CLOSE:
            _number(frames)
            _number(frames)
            frames.take(_number(frames))
            if self._ts:
                self._add(side, "c")
                self._put()
        elif kind != _PING:
            raise Malformed("QUIC_unhandled_frame")

    def _hello(self, side: int, octets: bytes) -> None:
        self._session.handshake(side, octets[0], octets[4:])
        if octets[0] in (CLIENT_HELLO, SERVER_HELLO):
            self._add(side, "s")

    # -- the row ----------------------------------------------------------------------------------------------------------------------

    def _tell(self, side: int, version: int, to: bytes, of: bytes) -> None:
        if not self._ts:
            self._ts, self._version, self._history = self._stream.now, version, ""
            self._client_first: str | None = None
            self._client: str | None = None
            self._server: str | None = None
        if side != ORIG:
            self._server = of.hex()
            return
        self._client = of.hex()
        if to and self._client_first is None:
            self._client_first = to.hex()

    def _add(self, side: int, letter: str) -> None:
        if self._ts and len(self._history) < _MOST_HISTORY:
            self._history += letter.upper() if side == ORIG else letter

    def _put(self) -> None:
        if self._ts:
            protocols = self._session.offered_protocols
            self._stream.put(QUIC, self._ts, (
                _name(self._version), self._client_first, self._client, self._server, self._session.server_name,
                text(protocols[0]) if protocols else None, self._history,
            ))  # fmt: skip
            self._ts = 0


def _kind(first: int, version: int) -> int:
    """Which packet it is: in version 2 they are numbered otherwise (RFC 9369, 3.2)."""
    return ((first >> 4) - (version == VERSION_2)) & 3


def _number(reader: Reader) -> int:
    """A number whose first two bits say how long it is (RFC 9000, 16)."""
    first = reader.u8()
    number = first & 63
    for octet in reader.take((1 << (first >> 6)) - 1):
        number = number << 8 | octet
    return number


def _name(version: int) -> str:
    if version == 1:
        return "1"
    if version == VERSION_2:
        return "quicv2"
    if version >> 8 == 0xFF0000 and version in SALTS:
        return f"draft-{version & 0xFF}"
    return f"mvfst ({version:x})" if version >> 16 == 0xFACE else f"unknown-{version:x}"
