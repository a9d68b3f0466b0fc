"""TLS in datagrams: DTLS 1.0 to 1.3 (RFC 4347, 6347, 9147). What is told of a session is in tls_session.py."""

from typing import Final

from headwater.analysis.protocols.tls import ALERT, CHANGE_CIPHER, DATA, HANDSHAKE, HEARTBEAT
from headwater.analysis.protocols.tls_session import SSL, Session
from headwater.analysis.protocols.tls_x509 import X509
from headwater.analysis.stream import Protocol, Stream
from headwater.analysis.wire import Malformed, Reader

_VERSIONS: Final = frozenset({0xFEFF, 0xFEFD})  # of records: 1.3 says that it is 1.2
_PORT: Final = 443
_MOST_MESSAGE: Final = 1 << 16  # octets
_MOST_PIECES: Final = 64  # of a message
_STUN: Final = b"\x21\x12\xa4\x42"  # the cookie of what shares its port
_CLIENT_HELLO: Final = 1
_CID: Final = 25  # a record with a connection's id: RFC 9146


class Pieces:
    """A message of the handshake, as far as it has come."""

    __slots__ = ("number", "octets", "seen", "size")

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size = number, size
        self.octets = bytearray(size)
        self.seen: dict[int, int] = {}  # from where, to where

    def add(self, at: int, octets: bytes) -> bytes | None:
        """All of it, once it is there."""
        if len(self.seen) < _MOST_PIECES and at + len(octets) <= self.size:
            self.octets[at : at + len(octets)] = octets
            self.seen[at] = max(self.seen.get(at, 0), at + len(octets))
        reached = 0
        for begin, end in sorted(self.seen.items()):
            if begin > reached:
                return None
            reached = max(reached, end)
        return bytes(self.octets) if reached == self.size else None


class Dtls(Protocol):
    """A row a session that has begun."""

    service = "dtls"
    transports = frozenset({"udp"})
    first = bytes([HANDSHAKE])
    records = (SSL, X509)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._session = Session(stream, self, "d")
        self._encrypted = [False, False]
        self._pieces: list[Pieces | None] = [None, None]

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - with STUN, either side may begin
        """A client's hello, whole or its first piece."""
        if len(octets) < 25 or octets[0] != HANDSHAKE or octets[13] != _CLIENT_HELLO:
            return False
        return octets[1] << 8 | octets[2] in _VERSIONS and octets[3:5] == b"\0\0" and octets[25:26] in (b"\xfe", b"")

    def datagram(self, side: int, octets: bytes) -> None:
        """Records, several perhaps."""
        if self._session.is_over or (len(octets) > 20 and octets[4:8] == _STUN):
            return
        reader = Reader(octets)
        while len(reader) and not self._session.is_over:
            self._record(side, reader)

    def over(self) -> None:
        """Tell of a session that was never established."""
        self._session.put()

    def _record(self, side: int, reader: Reader) -> None:
        kind = reader.u8()
        if kind & 0xE0 == 0x20:  # RFC 9147, 4: encrypted, and perhaps with an id whose length only the hello of the other side says
            reader.rest()
            self._ciphertext(side, begins=True)
            return
        if reader.u16() not in _VERSIONS:
            raise Malformed("DTLS_version")
        epoch = reader.u16()
        reader.take(6)
        if kind == _CID:
            reader.rest()
            self._ciphertext(side, begins=True)
            return
        body = reader.sub(reader.u16())
        if epoch:
            self._ciphertext(side, begins=False)
            return
        self._session.begin()
        if kind == HANDSHAKE:
            self._handshake(side, body)
        elif kind == CHANGE_CIPHER:
            self._session.change_cipher(side)
            self._encrypted[side] |= not self._session.is_13()
        elif kind == ALERT:
            body.u8()
            self._session.alert(side, body.u8())
        elif kind == HEARTBEAT:
            self._session.add(side, "b")
        elif kind != DATA:
            raise Malformed("SSL_unknown_record")

    def _ciphertext(self, side: int, *, begins: bool) -> None:
        self._encrypted[side] |= begins
        if all(self._encrypted):
            self._session.established = True
            self._session.put()
            self._stream.leave(self)

    def _handshake(self, side: int, reader: Reader) -> None:
        while len(reader):
            kind, size, number, at = reader.u8(), reader.u24(), reader.u16(), reader.u24()
            octets = reader.take(reader.u24())
            if size > _MOST_MESSAGE or at + len(octets) > size:
                raise Malformed("DTLS_fragment")
            if len(octets) == size:
                self._session.handshake(side, kind, octets)
                continue
            pieces = self._pieces[side]
            if pieces is None or pieces.number != number or pieces.size != size:
                pieces = self._pieces[side] = Pieces(number, size)
            if whole := pieces.add(at, octets):
                self._pieces[side] = None
                self._session.handshake(side, kind, whole)
