"""What becomes of a session of TLS, whatever carries it: its messages to a row of `ssl`, its certificates to rows of `x509`.

The fields, and what makes a row of each, are Zeek's: scripts/base/protocols/ssl/main.zeek and files.zeek.
"""

from hashlib import sha256
from typing import Final

from headwater.analysis.files import File
from headwater.analysis.protocols.tls_hello import KEY_SHARE, PRE_SHARED_KEY, TICKET, Hello, ja3, ja3s, ja4
from headwater.analysis.protocols.tls_names import ALERTS, GROUPS, SUITES, name, version_name
from headwater.analysis.protocols.tls_x509 import X509, certificate, is_for
from headwater.analysis.stream import ORIG, Protocol, Stream
from headwater.analysis.wire import Malformed, Reader, text
from headwater.records.messages import message

SSL = message("ssl", {"ja3": "string", "ja3s": "string", "ja4": "string"})
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, SERVER_KEY, CLIENT_KEY, STATUS = 1, 2, 11, 12, 16, 22
_LETTERS: Final = {
    0: "h", 1: "c", 2: "s", 3: "v", 4: "t", 5: "e", 6: "j", 8: "o", 11: "x", 12: "k", 13: "r", 14: "n", 15: "y", 16: "g", 20: "f", 21: "w",
    22: "u", 23: "a", 24: "p", 254: "m",
}  # fmt: skip
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # a server's random that says so
_MOST_HISTORY: Final = 100
_MOST_CERTIFICATES: Final = 100  # of a side
_MOST_KNOWN: Final = 1 << 13  # certificates that were read
_NAMED_CURVE: Final = 3
_OCSP: Final = 1
TLS12: Final = 0x0303


class Session:
    """One of a stream. `carrier` is JA4's letter."""

    __slots__ = (
        "_alert", "_chain_names", "_cipher", "_client_key", "_curve", "_flipped", "_history", "_ja3", "_ja3s", "_ja4", "_next_protocol",
        "_offered", "_offers_key", "_protocol", "_resumed", "_retry", "_stream", "_ticket", "_ts", "carrier", "chains", "established",
        "is_over", "offered_protocols", "server_name", "version",
    )  # fmt: skip

    def __init__(self, stream: Stream, protocol: Protocol, carrier: str) -> None:
        self._stream, self._protocol, self.carrier = stream, protocol, carrier
        self._ts = 0
        self.version: int | None = None  # that which the server chose
        self.established = self.is_over = False
        self.chains: list[list[str]] | None = None  # of the server, of the client
        self._history: list[str] = []
        self._flipped = self._resumed = self._ticket = self._client_key = self._retry = self._offers_key = False
        self._offered = b""  # session that the client offers to resume
        self._chain_names: list[str] | None = None
        self._cipher: int | None = None
        self._curve: str | None = None
        self.server_name: str | None = None
        self.offered_protocols: list[bytes] = []
        self._next_protocol: str | None = None
        self._alert: str | None = None
        self._ja3: str | None = None
        self._ja3s: str | None = None
        self._ja4: str | None = None

    def is_client(self, side: int) -> bool:
        """Whether that side has said, or would say, what clients do."""
        return (side == ORIG) is not self._flipped

    def begin(self) -> None:
        """There is something to be told of it."""
        self._ts = self._ts or self._stream.now

    def add(self, side: int, letter: str) -> None:
        """A letter of the history."""
        self.begin()
        if len(self._history) < _MOST_HISTORY:
            self._history.append(letter.upper() if self.is_client(side) else letter)

    def put(self) -> None:
        """The row, once; nothing if nothing was to be told."""
        if self.is_over or not self._ts:
            return
        self.is_over = True
        server, client = self.chains or (None, None)
        matches = is_for(self._chain_names, self.server_name) if self.server_name is not None and self._chain_names is not None else None
        self._stream.put(SSL, self._ts, (
            None if self.version is None else version_name(self.version), None if self._cipher is None else name(SUITES, self._cipher),
            self._curve, self.server_name, self._resumed, self._alert, self._next_protocol, self.established, "".join(self._history),
            server, client, matches, self._ja3, self._ja3s, self._ja4,
        ))  # fmt: skip

    # -- messages ---------------------------------------------------------------------------------------------------------------------

    def handshake(self, side: int, kind: int, body: bytes) -> None:
        """One message, whole. Raises Malformed."""
        if kind == CLIENT_HELLO:
            self._client_hello(side, Hello(body, is_client=True, has_cookie=self.carrier == "d"))
        elif kind == SERVER_HELLO:
            self._server_hello(Hello(body, is_client=False))
        elif kind == CERTIFICATE:
            self._certificates(side, body)
        elif kind == SERVER_KEY:
            self._server_key(body)
        elif kind == STATUS:
            self._status(side, body)
        elif kind not in _LETTERS:
            raise Malformed("SSL_unknown_handshake_message")
        self._client_key |= kind == CLIENT_KEY and self.is_client(side)
        self.add(side, "j" if kind == SERVER_HELLO and self._retry else _LETTERS[kind])
        self._retry &= kind != SERVER_HELLO

    def change_cipher(self, side: int) -> None:
        """What follows of that side is encrypted, or pretends to be (TLS 1.3)."""
        self.add(side, "i")
        self._resumed |= self.is_client(side) and self._ticket and not self._client_key

    def alert(self, side: int, description: int) -> None:
        """Something is over, or wrong."""
        self.add(side, "l")
        self._alert = name(ALERTS, description)

    def old_hello(self, side: int, version: int) -> None:
        """A client's of SSL 2."""
        self._known(version)
        self._stream.confirm(self._protocol)
        self.add(side, "c")

    def old_answer(self, side: int, suite: int, certificate: bytes) -> None:
        """A server's of SSL 2, with its certificate."""
        self.version, self._cipher = 2, suite
        self.add(side, "s")
        if certificate:
            self._chain(side, [certificate])

    @staticmethod
    def _known(version: int) -> None:
        if version != 2 and not 0x0300 <= version <= 0x0304 and version >> 8 not in (0x7F, 0xFE):
            raise Malformed("SSL_unknown_version")

    def _client_hello(self, side: int, hello: Hello) -> None:
        self._known(hello.version)
        if not self.is_client(side):
            self._flipped = not self._flipped
            self.begin()
            self._history.append("^")
        self.begin()
        if names := hello.names():
            self.server_name = text(names[0])
            if len(names) > 1:
                self._stream.weird("SSL_many_server_names", text(b",".join(names)), "SSL")
        self.offered_protocols = hello.protocols()
        self._ticket |= bool(hello.of(TICKET))
        if hello.session.strip(b"\0"):
            self._offered, self._ticket = hello.session, False
        self._retry = False
        if self._ja3 is None:
            self._ja3, self._ja4 = ja3(hello), ja4(hello, self.carrier)
        self._offers_key = hello.of(PRE_SHARED_KEY) is not None
        self._stream.confirm(self._protocol)

    def _server_hello(self, hello: Hello) -> None:
        self._known(hello.version)
        versions = hello.versions()
        if len(versions) == 1:
            self.version = versions[0]
        elif self.version is None:
            self.version = hello.version
        self._cipher = hello.suites[0]
        self._retry = hello.random == _RETRY
        share = hello.of(KEY_SHARE)
        if share is not None and len(share) >= 2:
            self._curve = name(GROUPS, share[0] << 8 | share[1])
        if protocols := hello.protocols():
            self._next_protocol = text(protocols[0])
        self._resumed |= hello.of(PRE_SHARED_KEY) is not None and self._offers_key
        self._resumed |= bool(self._offered) and self._offered == hello.session and not self.is_13()
        self._ja3s = ja3s(hello)

    def is_13(self) -> bool:
        """Whether the server chose TLS 1.3, or a draft of it: with that, what changes ciphers means nothing."""
        return self.version is not None and self.version not in (2, 0x0300, 0x0301, 0x0302, 0x0303, 0xFEFF, 0xFEFD)

    def _server_key(self, body: bytes) -> None:
        suite = SUITES.get(self._cipher or 0, "")
        if "_ECDH" in suite and body[:1] == bytes([_NAMED_CURVE]) and len(body) > 2:
            self._curve = name(GROUPS, body[1] << 8 | body[2])

    def _status(self, side: int, body: bytes) -> None:
        """What an authority says of the certificate (RFC 6066, 8): a file."""
        if len(body) > 4 and body[0] == _OCSP:
            self._stream.since = self._stream.now
            file = File(self._stream, side, "SSL")
            file.octets(body[4:])
            file.end()

    # -- certificates -----------------------------------------------------------------------------------------------------------------

    def _certificates(self, side: int, body: bytes) -> None:
        reader = Reader(body)
        reader = reader.sub(reader.u24())
        found: list[bytes] = []
        while len(reader):
            if octets := reader.take(reader.u24()):
                found.append(octets)
        if len(found) > _MOST_CERTIFICATES:
            raise Malformed("SSL_many_certificates")
        self.begin()
        self._chain(side, found)

    def _chain(self, side: int, found: list[bytes]) -> None:
        is_client = side == ORIG
        for at, octets in enumerate(found):
            if self.chains is None:
                self.chains = [[], []]
            fingerprint, names = self._told(octets, is_host=not at, is_client=is_client)
            if not is_client and not self.chains[0]:
                self._chain_names = names
            self.chains[is_client].append(fingerprint)

    def _told(self, octets: bytes, *, is_host: bool, is_client: bool) -> tuple[str, list[str] | None]:
        """The fingerprint of a certificate, and the names that it is for; with its row, of which across.Once tells one a day."""
        known = self._stream.files.known
        fingerprint = sha256(octets).hexdigest()
        if (read := known.pop(fingerprint, None)) is None:
            try:
                read = certificate(octets)
            except Malformed:
                read = None, ()
            if len(known) >= _MOST_KNOWN:
                del known[next(iter(known))]
        known[fingerprint] = read  # as the last one that goes
        names, values = read
        if values:
            self._stream.put_row(X509, (self._stream.now, fingerprint, *values, is_host, is_client))
        return fingerprint, names
