"""Protocols that begin in the clear and go on in TLS, as far as to where they do: IMAP (RFC 3501), POP3 (RFC 1939, 2595), XMPP (RFC 6120),
IRC (ircv3.net/specs/extensions/tls-3.1), MySQL, RDP (MS-RDPBCGR, 2.2.1) and adb. What follows is recognised anew; one that does not ask
for TLS soon is read no further.
"""

import re
from collections.abc import Generator
from typing import ClassVar, Final

from headwater.analysis.stream import ORIG, RESP, Gap, Parser, Protocol, Skip, Stream, Until, Want
from headwater.records import Record

_MOST_LINE: Final = 8192  # octets
_MOST_LINES: Final = 200  # of a side, by which it has asked
WAITING: Final = 1 << 14
"""Octets that are for what follows, once the other side has agreed to it."""

Talk = Generator[Want, bytes, bool]


class StartTls(Protocol):
    """What they have in common: what a side says, up to where TLS (or whatever else) may begin; most say lines, each given to `line()`."""

    transports = frozenset({"tcp"})
    decides = 512
    records: ClassVar[tuple[Record, ...]] = ()
    begins: ClassVar[tuple[re.Pattern[bytes] | None, re.Pattern[bytes] | None]]
    """How the sides begin, where that tells what it is."""
    end: ClassVar[bytes] = b"\n"

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._asked: bytes | None = None  # for TLS, by what the answer will name

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """As the side begins that says first what it is."""
        begins = cls.begins[side]
        return not stream.partial and begins is not None and begins.match(octets) is not None

    def side(self, side: int) -> Parser:
        """As far as TLS, or as far as it is clear that there will be none."""
        try:
            if (yield from self.talk(side)):
                self._stream.hand_over(self)
                return
        except Gap:
            pass
        self._stream.leave(self)

    def talk(self, side: int) -> Talk:
        """What a side says, and whether TLS follows it: lines, where nothing else is said."""
        for _ in range(_MOST_LINES):
            if self.line(side, (yield Until(self.end, _MOST_LINE, "starttls_long_line"))):
                return True
        return False

    def line(self, side: int, line: bytes) -> bool:
        """Whether what follows is TLS."""
        raise NotImplementedError


class Imap(StartTls):
    """A client's STARTTLS has a tag, and so has the answer."""

    service = "imap"
    first = b"*"
    begins = None, re.compile(rb"\* (?:OK|PREAUTH|BYE)\b", re.I)

    def line(self, side: int, line: bytes) -> bool:
        """A client's with its tag, or a server's that may answer it."""
        tag, *words = line.split()[:2] or [b""]
        word = words[0].upper() if words else b""
        if side == ORIG and word == b"STARTTLS":
            self._asked = tag
        elif side == RESP and tag == b"*" and word in (b"OK", b"PREAUTH"):
            self._stream.confirm(self)
        return side == RESP and word == b"OK" and tag == self._asked


class Pop3(StartTls):
    """The next line of the server answers a client's STLS."""

    service = "pop3"
    first = b"+"
    begins = None, re.compile(rb"\+OK\b")
    _COMMANDS: Final = frozenset(b"USER PASS APOP AUTH CAPA STLS STAT LIST UIDL RETR DELE NOOP RSET TOP QUIT".split())

    def line(self, side: int, line: bytes) -> bool:
        """One that asks, or the one behind it of the server."""
        word = line.split(maxsplit=1)[0].upper() if line.strip() else b""
        if side == ORIG:
            if word in self._COMMANDS:
                self._stream.confirm(self)
            self._asked = word if word == b"STLS" else None
            return False
        asked, self._asked = self._asked, None
        return asked is not None and word == b"+OK"


class Xmpp(StartTls):
    """An element each way."""

    service = "xmpp"
    first = b"< \t\r\n\f\v"
    begins = (re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<stream:stream\b"),) * 2
    end = b">"

    def line(self, side: int, line: bytes) -> bool:
        """An element, with what is before it."""
        if b"<stream:stream" in line and side == RESP:
            self._stream.confirm(self)
        elif side == ORIG and line.lstrip().startswith(b"<starttls"):
            self._asked = line
        return side == RESP and self._asked is not None and line.lstrip().startswith(b"<proceed")


class Irc(StartTls):
    """A server's answers have numbers; that its lines have a prefix, too, makes them known. A client's tell alone but for the first ones,
    which FTP and POP3 have as well.
    """

    service = "irc"
    first = b":CcPpNnUuSsJjEe"
    _TALKS: Final = re.compile(rb"(?:PRIVMSG|JOIN|NICK|NOTICE) [^\r\n]+\r?\n")
    _ANSWER: Final = re.compile(rb":\S+ +(\d{3}|NOTICE|CAP|PONG|MODE|JOIN|NICK) |(?:NOTICE|PING|ERROR) ")
    begins = re.compile(rb"(?i:(?:NICK|USER|PASS|CAP) [^\r\n]+|STARTTLS)\r?\n|" + _TALKS.pattern), re.compile(rb":\S+ (?:\d{3}|[A-Z]+) ")
    _SUCCESSFUL: Final = b"670"

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - its lines tell, wherever it begins
        """Also within a connection."""
        return cls.begins[side].match(octets) is not None

    def talk(self, side: int) -> Talk:
        """Commands, or answers, of which the first shows whether it is IRC."""
        is_known = False
        for _ in range(_MOST_LINES):
            line = yield Until(self.end, _MOST_LINE, "starttls_long_line")
            if found := (self._TALKS, self._ANSWER)[side].match(line):
                is_known = True
                self._stream.confirm(self)
            if side == ORIG and line.strip().upper() == b"STARTTLS":
                self._asked = line
            elif side == RESP and not is_known:
                return False
            elif side == RESP and found and self._asked and found[1] == self._SUCCESSFUL:
                return True
        return False


class Mysql(StartTls):
    """A client asks for TLS and begins with it at once: its first packet has no name of a user."""

    service = "mysql"
    begins = None, re.compile(rb"..\0\0\x0a[0-9][ -~]{0,63}\0", re.S)
    _SSL: Final = 0x0800  # of what a client can do

    def talk(self, side: int) -> Talk:
        """The first packet of each."""
        size = int.from_bytes((yield 4)[:3], "little")
        body = yield min(size, _MOST_LINE)
        if side == RESP:
            yield WAITING
            return False
        self._stream.confirm(self)
        return len(body) == 32 and bool(int.from_bytes(body[:4], "little") & self._SSL)


class Rdp(StartTls):
    """The server chooses how to go on of what the client can do."""

    service = "rdp"
    first = b"\3"
    begins = re.compile(rb"\x03\0..[\x06-\xfe]\xe0", re.S), None
    _CHOSEN, _FAILED = b"\2", b"\3"

    def talk(self, side: int) -> Talk:
        """The first packet of each."""
        head = yield 4
        body = yield max(0, int.from_bytes(head[2:4], "big") - 4)
        if side == ORIG:
            yield WAITING
        elif head[0] == 3 and body[1:2] == b"\xd0":
            chosen = body[7:15]  # behind the header of X.224: what, flags, length, and a bit of how to go on
            if len(chosen) == 8 and chosen[:1] == self._CHOSEN and any(chosen[4:]):
                return True
            if chosen[:1] != self._FAILED:
                self._stream.confirm(self)
        return False


class Adb(StartTls):
    """Android's debugger: both sides say STLS (packages/modules/adb/protocol.txt)."""

    service = "adb"
    first = b"C"
    begins = re.compile(rb"CNXN.{16}\xbc\xb1\xa7\xb1", re.S), None

    def talk(self, side: int) -> Talk:  # noqa: ARG002 - both say the same
        """Messages of 24 octets, and what is behind them."""
        for _ in range(_MOST_LINES):
            head = yield 24
            self._stream.confirm(self)
            if head[:4] == b"STLS":
                if self._asked is None:
                    self._asked = head
                    yield WAITING
                    return False
                return True
            yield Skip(int.from_bytes(head[12:16], "little"))
        return False
