"""FTP: RFC 959, 2228, 2428. A command is told with its last reply once the next one comes, as in Zeek: scripts/base/protocols/ftp."""

import re
from collections.abc import Callable
from typing import Any, Final

from headwater.analysis.protocols import ftp_commands as commands
from headwater.analysis.protocols.ftp_commands import Channel, Command
from headwater.analysis.protocols.ftp_data import FtpData
from headwater.analysis.protocols.ftp_tokens import Tokens
from headwater.analysis.stream import ORIG, Gap, Joint, Parser, Protocol, Stream, Until
from headwater.analysis.wire import Malformed, text
from headwater.records import Record
from headwater.records.address import unpacked
from headwater.records.messages import message

FTP = message("ftp")
_PORTS: Final = frozenset({21, 2811})
_TOLD: Final = frozenset("ACCT APPE DELE EPRT EPSV PASV PORT RETR STOR STOU".split())
_GUESTS: Final = frozenset({b"anonymous", b"ftp", b"ftpuser", b"guest"})
_LINE: Final = Until(b"\n", 65_536, "FTP_line_too_long")
_NAME: Final = 100  # of a command
_WAITING: Final = 20  # commands
_SHORT, _LONG = 128, 4096  # of a user or password, of an argument or reply
_TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa(?:[^\xff]|\xff(?!\xf0))*+(?:\xff\xf0|\Z)|(\xff)|.)", re.S)
_COMMAND = re.compile(rb"[ \t]*([!-~]{3,})[ \t]*")
_INSIDE = re.compile(rb"[1-9]\d\d [ -~]{10}")
_USER = re.compile(rb"(?:^|[\r\n]) *(?:USER |AUTH (?:TLS|SSL))", re.I)
_ASKED = re.compile(rb"[\r\n ]*(?:120|220)[^0-9].*[\r\n] *(?:230|234|331)[^0-9]", re.S)
_TLS: Final = frozenset({b"TLS", b"TLS-C", b"SSL"})


class Transfers(Joint):
    """Rows wait until all that came with the same packets was read: then the files are known that were transferred."""

    def __init__(self, put: Callable[[Record, tuple[Any, ...]], None]) -> None:
        super().__init__(put)
        self.told: list[Ftp] = []

    def settle(self, now: int) -> None:  # noqa: ARG002 - none waits longer
        """Put them."""
        told, self.told = self.told, []
        for one in told:
            one.put()

    def end(self) -> None:
        """Likewise."""
        self.settle(0)


class Ftp(Protocol):
    """A control connection."""

    service = "ftp"
    transports = frozenset({"tcp"})
    decides = 2048
    records = (FTP,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._user, self._directory = b"<unknown>", b"."
        self._password: bytes | None = None
        self._waiting: dict[int, Command] = {}  # for their replies
        self._count = 0
        self._current: Command | None = None  # what the last reply belongs to
        self._code: int | None = None
        self._said: bytes | None = None
        self._several = 0  # the code of a reply of several lines
        self._size: int | None = None
        self._channel: Channel | None = None  # that the next row tells of
        self._free: Channel | None = None  # for the next transfer
        self._auth = b""
        self._tokens: Tokens | None = None
        host = unpacked(stream.resp)
        self._host = f"ftp://[{host}]".encode() if ":" in host else f"ftp://{host}".encode()
        self._rows: list[tuple[Command, tuple[Any, ...], tuple[Any, ...]]] = []

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - both sides tell
        """On its own ports anything, but for what it carries itself; elsewhere a greeting, and a user or TLS that is agreed to."""
        head = stream.head or (b"", b"")
        return (stream.resp_port in _PORTS and not stream.outer) or bool(_ASKED.match(head[1]) and _USER.search(head[0]))

    def side(self, side: int) -> Parser:
        """Lines, whatever they end with."""
        lost = False
        while True:
            try:
                line = yield _LINE
                self._line(side, line)
                lost = False
            except Gap:
                lost = True
            except Malformed:
                if not lost:
                    raise
                lost = False

    def over(self) -> None:
        """Tell of what is left."""
        for one in tuple(self._waiting.values()):
            self._current = one
            self._tell()
        self._waiting.clear()

    def _line(self, side: int, line: bytes) -> None:
        line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if b"\xff" in line:
            line = _TELNET.sub(rb"\1", line)
        if b"\r" in line:
            line = line.replace(b"\r\0", b"")
            if b"\r" in line:
                self._stream.weird("line_terminated_with_single_CR", source="NVT")
        if b"\0" in line:
            self._stream.weird("NUL_in_line", source="NVT")
            line = line.replace(b"\0", b"")
        if not line:
            return
        if side == ORIG:
            self._command(line)
        else:
            self._reply(line)

    # -- commands ---------------------------------------------------------------------------------------------------------------------

    def _command(self, line: bytes) -> None:
        found = _COMMAND.match(line)
        if not found or (found.end() < len(line) and found.end(1) == found.end()):
            self._odd("FTP_invalid_command")
            return
        if len(found[1]) > _NAME:
            self._odd("FTP_max_command_length_exceeded", str(len(found[1])))
            return
        self._stream.confirm(self)
        name, argument = found[1].upper().decode("ascii"), line[found.end() :]
        if self._current and self._code is not None and self._waiting.pop(self._current.number, None):
            self._tell()
        self._wait(name, argument)
        match name:
            case "USER":
                self._user = self._cut(argument, _SHORT, "FTP_user_too_long")
            case "PASS":
                self._password = self._cut(argument, _SHORT, "FTP_password_too_long")
            case "PORT" | "EPRT":
                self._expect(self._stream.resp, (commands.port if name == "PORT" else commands.eprt)(argument), passive=False)
            case "AUTH":
                self._auth = argument.strip().upper()
        if self._tokens:
            self._tokens.command(name, argument)

    def _wait(self, name: str, argument: bytes) -> None:
        if not self._count:  # nobody asked for the greeting
            self._count = 1
            self._waiting[1] = Command(self._stream.now, 1, "<init>")
        if not name:
            return
        if len(self._waiting) >= _WAITING:
            self._stream.weird("FTP_too_many_pending_commands", str(len(self._waiting)), "FTP")
            return
        self._count += 1
        one = self._waiting[self._count] = Command(self._stream.now, self._count, name, argument)
        if name in commands.TRANSFERS:
            one.channel, self._free = self._free, None

    # -- replies ----------------------------------------------------------------------------------------------------------------------

    def _code_of(self, line: bytes) -> tuple[int, bool]:
        """(code, whether more lines follow) of a line of a reply; 0 of one in its middle. Raises Malformed."""
        code, behind = int(line[:3]) if line[:3].isdigit() and len(line) > 2 else 0, line[3:4]
        if self._several:
            if (code, behind) != (self._several, b" "):
                return 0, True
            self._several = 0
        elif code < 100:
            raise Malformed("FTP_invalid_reply_code")
        elif behind == b"-":
            self._several = code
        elif behind not in (b"", b" "):
            raise Malformed("FTP_invalid_reply_line")
        return code, self._several > 0

    def _reply(self, line: bytes) -> None:
        code, goes_on = self._code_of(line)
        said = line[4:].lstrip(b" \t") if code else line
        if code == 234 and self._auth in _TLS:
            self._stream.hand_over(self)
        elif code == 334 and self._auth == b"GSSAPI" and self._tokens is None:
            self._tokens = Tokens(self._stream)
        elif self._tokens:
            self._tokens.reply(code, said)
        self._wait("", b"")
        if goes_on and not code and self._code is not None and not _INSIDE.match(said):
            return
        one = commands.answered(self._waiting.values(), code, said) or Command(self._stream.now, 0)
        self._current, self._code, self._said = one, code, said
        if goes_on:
            return
        if (one.name, code) in (("RETR", 150), ("SIZE", 213)):
            self._size = commands.last_number(said)
        elif (one.name, code) in (("PASV", 227), ("EPSV", 227)):
            self._expect(self._stream.orig, commands.pasv(said), passive=True)
        elif (one.name, code) in (("PASV", 229), ("EPSV", 229)):
            self._expect(self._stream.orig, commands.epsv(said), passive=True)
        self._directory = commands.moved(self._directory, one, code, said)
        if len(self._waiting) > 1:
            self._waiting.pop(one.number, None)
            self._tell()

    def _expect(self, orig: bytes, endpoint: commands.Endpoint | None, *, passive: bool) -> None:
        if endpoint:
            if endpoint[0] == bytes(16):
                endpoint = self._stream.resp if passive else self._stream.orig, endpoint[1]
            agreed = self._channel = Channel(passive, orig, endpoint)
            self._stream.expect(FtpData, *endpoint, orig, agreed)
            for one in self._waiting.values():
                if one.name in commands.TRANSFERS and not one.channel:  # it did not wait for the reply
                    one.channel = agreed
                    return
            self._free = agreed

    # -- rows -------------------------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """A row of the current command, where it is of those that have one; what is of one command alone is forgotten."""
        one, agreed, size, code = self._current, self._channel, self._size, self._code
        self._channel = self._size = None
        if one is None:
            return
        argument = one.argument
        if one.name in commands.OF_FILES:
            path = commands.joined(self._directory, argument)
            argument = self._host + (b"" if path.startswith(b"/") else b"/") + path
        argument = self._cut(argument, _LONG, "FTP_arg_too_long")
        if self._said is not None:
            self._said = self._cut(self._said, _LONG, "FTP_reply_msg_too_long")
        if one.name not in _TOLD:
            return
        said, password = self._said, self._password
        self._rows.append((one, (
            text(self._user), None if password is None else text(password) if self._user.lower() in _GUESTS else "<hidden>",
            one.name, text(argument) if argument else None,
        ), (
            size, code, None if said is None else text(said),
            *((agreed.passive, agreed.orig, *agreed.endpoint) if agreed else (None,) * 4),
        )))  # fmt: skip
        if len(self._rows) == 1:
            self._stream.joint(Transfers).told.append(self)

    def put(self) -> None:
        """The rows, now that the files of what came with the same packets are known."""
        for one, asked, told in self._rows:
            file = one.channel.file if one.channel else None
            self._stream.put(FTP, one.ts, (*asked, file.mime_type if file else None, *told, file.fuid if file else None))
        self._rows.clear()

    def _cut(self, octets: bytes, most: int, weird: str) -> bytes:
        if len(octets) > most:
            self._stream.weird(weird, str(len(octets)), "FTP")
        return octets[:most]

    def _odd(self, weird: str, addl: str = "") -> None:
        if self.service in self._stream.services:
            self._stream.weird(weird, addl, "FTP")
