"""TLS over TCP: its records, from SSL 2 to TLS 1.3 (RFC 8446, 5). What is told of a session is in tls_session.py.

When something is encrypted, and when no more is read, are Zeek's: src/analyzer/protocol/ssl/ssl-protocol.pac.
"""

from typing import Final

from headwater.analysis.protocols.tls_ocsp import OCSP
from headwater.analysis.protocols.tls_session import SSL, TLS12, Session
from headwater.analysis.protocols.tls_x509 import X509
from headwater.analysis.stream import ORIG, Gap, Parser, Protocol, Stream
from headwater.analysis.wire import Malformed, Reader

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA, HEARTBEAT = range(20, 25)
_PORTS: Final = frozenset({443, 563, 585, 614, 636, 989, 990, 992, 993, 995, 5223})
_HELLOS: Final = (1, 2)  # messages of the handshake: of a client, and of a server
_MOST_MESSAGE: Final = 1 << 17  # octets of a message of the handshake: of a chain of certificates
_OLD_HELLO, _OLD_KEY, _OLD_ANSWER = 1, 2, 4  # messages of SSL 2


class Tls(Protocol):
    """A row a session that has begun."""

    service = "ssl"
    transports = frozenset({"tcp"})
    first = bytes([*range(CHANGE_CIPHER, 31), *range(128, 256)])
    records = (SSL, X509, OCSP)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._session = Session(stream, self, "t")
        self._encrypted = [False, False]
        self._messages = [bytearray(), bytearray()]  # of which the rest has not come
        self._version = 0  # of records; 2 with SSL 2, which then stays

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """A hello, of either side: who called back is the server of TLS. On the ports of TLS any record, and a hello of SSL 2."""
        if stream.partial or len(octets) < 6:
            return False
        if octets[0] & 0x80:
            return (
                side == ORIG
                and octets[2] == _OLD_HELLO
                and octets[3:5] in (b"\0\2", b"\3\0", b"\3\1", b"\3\2", b"\3\3")
                and _is_old(octets)
            )
        if octets[0] == ALERT and octets[3:5] == b"\0\2" and len(octets) > 12:
            octets = octets[7:]  # a server may warn first
        if not _is_version(octets[1] << 8 | octets[2]):
            return False
        if octets[0] == HANDSHAKE and octets[5] in _HELLOS:
            return len(octets) < 11 or octets[9] in (3, 0x7F)
        return stream.resp_port in _PORTS and octets[0] in range(CHANGE_CIPHER, 31)

    def side(self, side: int) -> Parser:
        """Records, one after the other, until the session is established: what follows is nobody's but theirs."""
        try:
            while not self._session.is_over:
                head = yield 5
                length = self._length(side, head)
                body = (yield length) if length else b""
                if self._session.is_over:
                    return
                self._record(side, head, body)
        except Gap:
            self._stream.leave(self)  # Zeek, too, then reads neither side

    def over(self) -> None:
        """Tell of a session that was never established."""
        self._session.put()

    # -- records ----------------------------------------------------------------------------------------------------------------------

    def _length(self, side: int, head: bytes) -> int:
        """How much follows the first five octets of a record."""
        version = head[1] << 8 | head[2]
        if self._version > 2:
            if not _is_version(version):
                raise Malformed("SSL_version")
        elif self._version == 2 or head[0] & 0x80:
            if self._version != 2 and not (side == ORIG and head[2] == _OLD_HELLO):
                if side == ORIG or head[2] != _OLD_ANSWER or head[4] > 1:
                    raise Malformed("SSL_headers")
                self._version = 2
            length = ((head[0] & 0x7F) << 8 | head[1]) - 3
            if length < 0:
                raise Malformed("SSL_headers")
            return length
        elif not _is_version(version) or head[0] not in range(CHANGE_CIPHER, 31):
            raise Malformed("SSL_headers")
        else:
            self._version = version
        return head[3] << 8 | head[4]

    def _record(self, side: int, head: bytes, body: bytes) -> None:
        if self._version <= 2:
            self._old(side, head, body)
            return
        kind = head[0]
        if kind == DATA and self._session.is_13():
            self._encrypted[side] = True
        if self._encrypted[side]:
            if all(self._encrypted):
                self._establish()
        else:
            self._session.begin()
            self._plaintext(side, kind, body)

    def _plaintext(self, side: int, kind: int, body: bytes) -> None:
        if kind == HANDSHAKE:
            self._handshake(side, body)
        elif kind == CHANGE_CIPHER:
            for _ in body:
                self._session.change_cipher(side)
                if not self._session.is_13():
                    self._encrypted[side] = True
                    break
        elif kind == ALERT:
            if len(body) < 2:
                raise Malformed("SSL_alert")
            self._session.alert(side, body[1])
        elif kind == HEARTBEAT:
            self._session.add(side, "b")
        elif kind == DATA and self._session.version is not None:
            self._stream.weird("ssl_early_application_data")
        elif kind != DATA:
            raise Malformed("SSL_unknown_record")

    def _establish(self) -> None:
        self._session.established = True
        self._session.put()
        self._stream.leave(self)

    def _handshake(self, side: int, body: bytes) -> None:
        held = self._messages[side]
        held += body
        at = 0
        while len(held) - at >= 4:
            end = at + 4 + int.from_bytes(held[at + 1 : at + 4], "big")
            if end - at > _MOST_MESSAGE:
                raise Malformed("SSL_long_message")
            if end > len(held):
                break
            self._session.handshake(side, held[at], bytes(held[at + 4 : end]))
            at = end
        del held[:at]

    # -- SSL 2 ------------------------------------------------------------------------------------------------------------------------

    def _old(self, side: int, head: bytes, body: bytes) -> None:
        reader = Reader(body)
        if all(self._encrypted):
            self._establish()
        elif head[2] == _OLD_HELLO and side == ORIG:
            self._session.old_hello(side, head[3] << 8 | head[4])
        elif head[2] == _OLD_ANSWER:
            if reader.u16() != 2:
                raise Malformed("SSL_version")
            sizes = [reader.u16() for _ in range(3)]
            certificate, suites = reader.take(sizes[0]), Reader(reader.take(sizes[1]))
            self._session.old_answer(side, suites.u24() if len(suites) else 0, certificate)
        elif head[2] == _OLD_KEY:
            self._establish()
        elif head[2] == 0:
            self._session.alert(side, head[3] << 8 | head[4])
        else:
            raise Malformed("SSL_unknown_record")


def _is_version(version: int) -> bool:
    """Whether records have that version: TLS 1.3 says that it is 1.2."""
    return 0x0300 <= version <= TLS12


def _is_old(octets: bytes) -> bool:
    """Whether a hello of SSL 2 has the length that its parts have (RFC 6101, E)."""
    if len(octets) < 11:
        return False
    suites, session, challenge = (int.from_bytes(octets[at : at + 2], "big") for at in (5, 7, 9))
    return (octets[0] & 0x7F) << 8 | octets[1] == 9 + suites + session + challenge and suites % 3 == 0
