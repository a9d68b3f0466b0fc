"""SMTP: RFC 5321, 3030, 3207, 2920. A row a mail, as in Zeek: scripts/base/protocols/smtp and src/analyzer/protocol/smtp/SMTP.cc."""

import re
from collections import deque
from enum import Enum
from typing import Final

from headwater.analysis.files import FILES
from headwater.analysis.protocols import smtp_headers as headers
from headwater.analysis.protocols.smtp_mail import Mail
from headwater.analysis.protocols.smtp_row import SMTP, Row
from headwater.analysis.stream import ORIG, SEGMENT, Gap, Parser, Protocol, Stream, Until
from headwater.analysis.wire import Malformed, text

_PORTS: Final = frozenset({25, 587})
_LINE: Final = 16_384  # octets; of a mail, what is longer comes in pieces
_WAITING: Final = 1000  # commands
_INVALID: Final = 25  # mails of a connection that nobody sends or gets: Zeek's max_invalid_mail_transactions
_COMMANDS: Final = frozenset(
    "EHLO HELO MAIL RCPT DATA BDAT QUIT RSET VRFY EXPN HELP NOOP STARTTLS X-ANONYMOUSTLS AUTH TURN SEND SOML SAML".split()
)
_GREETING, _END, _ANSWER, _UNKNOWN = "<greeting>", ".", "**", ""
_ENDS_MAIL: Final = b".\r\n", b".\n"
_END_BEHIND = re.compile(rb"\n(?=\.\r?\n)")
_ENDS = re.compile(rb"\r*+\n")
_HELLO = re.compile(rb"(?:^|[\r\n])\s*+(?:HELO|EHLO)", re.I)
_BDAT: Final = "SMTP_BDAT"  # what Zeek calls that part of its own
_READY = re.compile(rb"\s*+220[\s-]")


class State(Enum):
    """What the client's next octets are."""

    COMMANDS = 0
    DATA = 1
    CHUNK = 2  # of BDAT
    ANSWER = 3  # to a question of AUTH
    LOST = 4  # nobody knows, until the server replies
    FOUND = 5  # commands again, but perhaps of a mail


class Smtp(Protocol):
    """The mails of one connection."""

    service = "smtp"
    transports = frozenset({"tcp"})
    decides = 2048
    records = (SMTP, FILES)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._state = State.COMMANDS
        self._asked: deque[str] = deque([_GREETING])  # commands without a reply
        self._replied = _UNKNOWN  # what the last reply was to
        self._several = 0  # the code of a reply of several lines
        self._mail: Mail | None = None
        self._chunk = 0  # octets of it that are to come
        self._chunks = self._last = self._closing = False  # a mail is sent in chunks; the last has begun; it was not replied to
        self._row: Row | None = None
        self._sent = self._parts = self._invalid = 0
        self._from = self._to = False  # a mail has a sender, and somebody who gets it
        self._helo: str | None = None

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - both sides tell
        """On its own ports anything, but for what it carries itself; elsewhere a greeting and a client that says who it is."""
        head = stream.head or (b"", b"")
        at_home = stream.resp_port in _PORTS and not stream.outer
        return not stream.partial and (at_home or bool(_READY.match(head[1]) and _HELLO.search(head[0])))

    def side(self, side: int) -> Parser:
        """What the client sends, as the state has it, and lines of replies."""
        want = SEGMENT if side == ORIG else Until(b"\n", _LINE, "SMTP_line_too_long")
        held, lost = b"", False
        while True:
            try:
                octets = yield want
                if side == ORIG:
                    held = self._take(held + octets)
                else:
                    self._reply(octets)
                lost = False
            except Gap as gap:
                self._stream.since = self._stream.now
                self._lose(gap.octets)
                held, lost = b"", True
            except Malformed:
                if not lost:
                    raise
                held, lost = b"", False

    def over(self) -> None:
        """Tell of a mail that is not whole."""
        if self._mail:
            self._end_mail()
        self._tell()
        self._row = None

    # -- what the client sends --------------------------------------------------------------------------------------------------------

    def _take(self, octets: bytes) -> bytes:
        """Take what is whole of it; what is left waits for more. So what is in a mail begins when Zeek says so."""
        at = 0
        while (upto := self._upto(octets, at)) >= 0:
            self._client(octets[at:upto])
            at = upto
        return octets[at:]

    def _upto(self, octets: bytes, at: int) -> int:
        """Where what comes next ends: a line, a chunk, or as many lines of a mail as there are; -1 if its end has not come."""
        end = len(octets)
        if at >= end:
            return -1
        if self._state is State.CHUNK:
            return min(end, at + self._chunk)
        if self._state is State.DATA:
            if octets.startswith(_ENDS_MAIL, at):
                return octets.index(b"\n", at) + 1
            found = _END_BEHIND.search(octets, at) if octets.find(b"\n.", at) >= 0 else None
            last = found.start() if found else octets.rfind(b"\n", at)
        else:
            last = octets.find(b"\n", at)
        return last + 1 if last >= 0 else end if end - at > _LINE else -1

    def _client(self, octets: bytes) -> None:
        match self._state:
            case State.CHUNK:
                self._add_chunk(octets)
            case State.DATA if octets in _ENDS_MAIL:
                self._ask(_END)
                self._end_mail()
                self._from = self._to = False
            case State.DATA:
                self._add_lines(octets)
            case State.ANSWER:
                self._ask(_ANSWER)
            case State.LOST:
                return
            case _:
                if len(octets) > _LINE:
                    raise Malformed("SMTP_line_too_long")
                self._command(octets.rstrip(b"\r\n"))

    def _command(self, line: bytes) -> None:
        [word, argument] = [*line.replace(b"\t", b" ").strip(b" ").split(b" ", 1), b""][:2]
        name, argument = word.upper().decode("latin-1"), argument.lstrip(b" ")
        if name not in _COMMANDS:
            return
        self._ask(name)
        if self._chunks and name != "BDAT":
            self._stream.weird("smtp_missing_bdat_last_chunk", source="SMTP")
            self._end_mail()
        row = self._begun()
        match name:
            case "HELO" | "EHLO":
                self._helo = row.values["helo"] = text(argument)
            case "MAIL" if argument[:5].upper() == b"FROM:":
                self._tell()
                row = self._begun()
                if senders := headers.mailboxes(argument):
                    row.values["mailfrom"] = text(senders[0])
                row.active = self._from = True
                self._to = False
            case "RCPT" if argument[:3].upper() == b"TO:":
                row.add("rcptto", headers.mailboxes(argument))
                row.active = self._to = True
                if not self._from:
                    self._doubt("rcpt to missing mail from")
            case "DATA":
                self._send()
                self._begin_mail(State.DATA)
            case "BDAT":
                self._send()
                self._begin_chunk(argument)
            case "RSET":
                self._state = State.COMMANDS

    def _ask(self, name: str) -> None:
        self._begun()
        self._stream.confirm(self)
        if len(self._asked) < _WAITING:
            self._asked.append(name)

    def _send(self) -> None:
        if not self._to:
            self._doubt("data missing rcpt to")

    def _doubt(self, addl: str) -> None:
        self._stream.weird("smtp_mail_transaction_invalid", addl, "SMTP")
        self._invalid += 1
        if self._invalid == _INVALID + 1:
            self._stream.weird("smtp_excessive_invalid_mail_transactions", source="SMTP")
            self._stream.leave(self)

    # -- mails ------------------------------------------------------------------------------------------------------------------------

    def _begin_mail(self, state: State) -> None:
        if self._mail:
            self._stream.weird("smtp_nested_mail_transaction", source="SMTP")
            self._mail.end()
        self._state = state
        self._mail = Mail(
            self._stream, ORIG, self._next_part, lambda *header: self._begun().header(*header), lambda file: self._begun().found(file)
        )

    def _add_lines(self, octets: bytes) -> None:
        if octets.count(b"\n") != octets.count(b"\r\n"):
            octets = _ENDS.sub(b"\r\n", octets) if b"\r" in octets else octets.replace(b"\n", b"\r\n")
        octets = octets.replace(b"\n.", b"\n")
        octets = octets[1:] if octets.startswith(b".") else octets
        if self._mail:
            self._mail.octets(octets)

    def _begin_chunk(self, argument: bytes) -> None:
        try:
            size, last = headers.chunk(argument)
        except Malformed as wrong:
            self._stream.weird("smtp_invalid_bdat_command", str(wrong), "SMTP")
            return
        if size >= 1 << 63:
            self._stream.weird("smtp_huge_bdat_chunk", str(size), "SMTP")
            return
        if not self._chunks:
            self._begin_mail(State.CHUNK)
        self._chunks, self._last, self._chunk = True, last, size
        if self._last:
            self._from = self._to = False
            self._closing = True
        self._state = State.CHUNK
        self._add_chunk(b"")

    def _add_chunk(self, octets: bytes) -> None:
        self._chunk -= len(octets)
        if self._mail:
            self._mail.octets(octets)
        if not self._chunk:
            self._state = State.COMMANDS
            if self._last:
                self._end_mail()

    def _end_mail(self) -> None:
        if self._chunk:
            self._stream.weird("smtp_bdat_remaining_at_end_data", source="SMTP")
        if not self._mail:
            self._stream.weird("smtp_unmatched_end_of_data", source="SMTP")
        elif self._mail.end() and self._chunk:
            self._stream.weird("smtp_bdat_undelivered_at_done", source=_BDAT)
        self._mail, self._chunk, self._chunks = None, 0, False
        self._state = State.COMMANDS

    def _lose(self, octets: int) -> None:
        """What was not seen ends a mail: nobody knows where in it what comes is."""
        if self._mail and self._state in (State.DATA, State.CHUNK):
            self._mail.gap(octets)
            self._end_mail()
        self._asked.clear()
        self._replied = _UNKNOWN
        self._state = State.LOST

    # -- replies ----------------------------------------------------------------------------------------------------------------------

    def _reply(self, line: bytes) -> None:
        line = line.rstrip(b"\r\n")
        code = int(line[:3]) if line[:3].isdigit() and len(line) > 2 else 0
        if not 100 <= code < 600:
            raise Malformed("SMTP_invalid_reply_code")
        if not self._several or code != self._several:
            self._answer(code)
        self._several = code if line[3:4] == b"-" else 0
        self._begun().values["last_reply"] = f"{code} {text(line[4:].lstrip(b' ') if self._several else line[3:].lstrip(b' '))}"
        if self._replied == _END or (not self._several and self._replied == "BDAT" and self._closing):
            self._sent += 1
            self._closing = False
            self._tell()
            self._row = None
            self._begun()

    def _answer(self, code: int) -> None:
        """The state after the first line of a reply."""
        if self._state is State.LOST:
            self._state = State.FOUND
            self._begun()
            self._stream.confirm(self)
        self._replied = asked = self._asked.popleft() if self._asked else _UNKNOWN
        match asked:
            case "DATA" if code != 354 and self._state is State.DATA:
                self._end_mail()
            case "AUTH" | "**" if self._state not in (State.DATA, State.CHUNK):
                self._state = State.ANSWER if code == 334 else State.COMMANDS
            case "STARTTLS" | "X-ANONYMOUSTLS" if code == 220:
                row = self._begun()
                row.values["tls"] = row.active = True
                self._stream.hand_over(self)
            case "" if code == 354 and self._state is State.FOUND:
                self._begin_mail(State.DATA)

    # -- rows -------------------------------------------------------------------------------------------------------------------------

    def _begun(self) -> Row:
        """The row of this mail, which begins now if none has."""
        if self._row is None:
            self._row = Row(self._stream, self._sent + 1, self._helo)
        return self._row

    def _tell(self) -> None:
        """A row, if the client did something."""
        if self._row and self._row.active:
            self._row.put()
            self._row = None

    def _next_part(self) -> int:
        self._begun().part()
        self._parts += 1
        return self._parts
