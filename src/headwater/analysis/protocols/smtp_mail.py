"""Mail and its parts: RFC 5322, 2045, 2046. Each part that has a content of its own is a file. What is taken for a part is Zeek's:
src/analyzer/protocol/mime/MIME.cc.
"""

import binascii
import re
from collections.abc import Callable
from typing import Final

from headwater.analysis.files import File
from headwater.analysis.protocols.smtp_headers import field, filename
from headwater.analysis.stream import Stream
from headwater.analysis.wire import text

_DEPTH: Final = 32  # of parts in parts
_LINE: Final = 65_536  # octets; what is longer is taken in pieces
_HEADER: Final = 1 << 18  # octets of one
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TYPE = re.compile(rb"\s*+([^\s/;]++)\s*+/\s*+([^\s;]++)")
_BOUNDARY = re.compile(rb';\s*+boundary\s*+=\s*+(?:"((?:[^"\\]|\\.)++)"|([^\s;"]++))', re.I | re.S)
_BLANK: Final = b" \r", b"\t\r", b" \n", b"\t\n"  # at the end of a line, where they are not of what was sent
_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")


class Part:
    """A mail, or a part of one. `boundary` is what separates its own parts."""

    __slots__ = ("boundary", "code", "file", "filename", "header", "held", "in_header", "is_over", "kind", "number", "odd", "size")

    def __init__(self, number: int, code: bytes) -> None:
        self.number, self.code = number, code
        self.in_header, self.is_over, self.odd = True, False, False
        self.header: list[bytes] = []  # the lines of the one that is read
        self.size = 0  # of those that continue it
        self.kind, self.boundary = b"text", b""
        self.filename: str | None = None
        self.file: File | None = None
        self.held = b""  # of its content, until more is known


class Mail:
    """What a side sends as one mail, with its ends of lines. `begins` gives the number of each part; `headers` is told those of the mail
    itself, `found` each file.
    """

    def __init__(
        self, stream: Stream, side: int, begins: Callable[[], int], headers: Callable[[str, bytes], None], found: Callable[[File], None]
    ) -> None:
        self._stream, self._side, self._begins, self._headers, self._found = stream, side, begins, headers, found
        self._parts = [Part(begins(), b"")]
        self._alone = True
        self._boundaries: tuple[bytes, ...] = ()
        self._held = b""  # a line, until its end comes
        self._inside = False  # what comes does not begin a line

    def octets(self, octets: bytes) -> None:
        """The next of them."""
        octets = self._held + octets if self._held else octets
        end = octets.rfind(b"\n") + 1
        if len(octets) - end < _LINE:
            self._held, octets = octets[end:], octets[:end]
        else:
            self._held = b""
        self._take(octets)

    def gap(self, octets: int) -> None:
        """So many were never seen."""
        self._file(self._parts[-1]).gap(octets)

    def end(self) -> bool:
        """There are no more; whether its last line had no end."""
        held, self._held = self._held, b""
        self._take(held)
        while self._parts:
            self._end()
        return bool(held)

    def _take(self, octets: bytes) -> None:
        at = 0
        while at < len(octets):
            delimiter = self._delimiter(octets, at)
            if delimiter == at:
                at = octets.find(b"\n", at) + 1 or len(octets)
                self._delimit(octets[delimiter:at])
            elif self._parts[-1].in_header:
                begin, at = at, octets.find(b"\n", at) + 1 or len(octets)
                self._line(octets[begin:at])
            else:
                self._content(self._parts[-1], octets[at:delimiter])
                at = delimiter
            self._inside = not octets.endswith(b"\n", 0, at)

    # -- parts ------------------------------------------------------------------------------------------------------------------------

    def _delimiter(self, octets: bytes, at: int) -> int:
        """Where the next line is that separates parts; the end if there is none. In a header only the line there is looked at."""
        if self._boundaries:
            if not self._inside and octets.startswith(self._boundaries, at):
                return at
            if not self._parts[-1].in_header:
                while at := octets.find(b"\n--", at) + 1:
                    if octets.startswith(self._boundaries, at):
                        return at
        return len(octets)

    def _delimit(self, line: bytes) -> None:
        for depth, part in enumerate(self._parts):
            delimiter = b"--" + part.boundary
            if not part.boundary or not line.startswith(delimiter):
                continue
            if not part.is_over:
                while len(self._parts) > depth + 1:
                    self._end()
                part.is_over = line.startswith(b"--", len(delimiter))
                if not part.is_over:
                    self._begin(part)
            return

    def _begin(self, parent: Part) -> None:
        if len(self._parts) > _DEPTH:
            self._stream.weird("exceeded_mime_max_depth", str(len(self._parts) - 1), "SMTP")
            return
        self._parts.append(Part(self._begins(), parent.code))
        self._alone = False

    def _end(self) -> None:
        part = self._parts[-1]
        if part.in_header:
            self._header(part)
        elif part.code == b"base64":
            self._put(part, self._rest(part))
        self._parts.pop()
        self._boundaries = tuple(b"--" + one.boundary for one in self._parts if one.boundary)
        if part.file:
            part.file.end()

    # -- headers ----------------------------------------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        part, line = self._parts[-1], line.rstrip(b"\r\n")
        if self._inside or (part.header and line[:1] in (b" ", b"\t")):
            part.size += len(line) + 1
            if part.size < _HEADER:
                part.header.append(line)
            elif part.size - len(line) - 1 < _HEADER:
                self._stream.weird("exceeded_mime_max_header_bytes", str(part.size), "SMTP")
            return
        self._header(part)
        if line and line[0]:
            part.header.append(line.lstrip(b" \t"))
            return
        part.in_header = False
        if part.boundary:
            self._boundaries += (b"--" + part.boundary,)
        elif part.kind == b"message":
            self._begin(part)

    def _header(self, part: Part) -> None:
        """The header that is over."""
        read, part.header, part.size = field(b"".join(part.header)), [], 0
        if not read:
            return
        name, value = read
        if name == "CONTENT-TYPE" and (kind := _TYPE.match(value)):
            part.kind, part.boundary = kind[1].lower(), b""
            if part.kind == b"multipart" and (found := _BOUNDARY.search(value)):
                part.boundary = re.sub(rb"\\(.)", rb"\1", found[1], flags=re.S) if found[1] else found[2]
        elif name == "CONTENT-TRANSFER-ENCODING":
            part.code = value.split(b";")[0].strip().lower()
        if name in ("CONTENT-TYPE", "CONTENT-DISPOSITION") and (called := filename(name, value)) is not None:
            part.filename = text(called)
        if self._alone:
            self._headers(name, value)

    # -- contents ---------------------------------------------------------------------------------------------------------------------

    def _content(self, part: Part, octets: bytes) -> None:
        if part.boundary or part.kind == b"message" or part.is_over:
            return
        if part.code == b"base64":
            octets = self._base64(part, octets)
        elif part.code == b"quoted-printable":
            if any(mark in octets for mark in _BLANK):
                octets = _BLANKS.sub(b"", octets)
            octets = binascii.a2b_qp(octets)
        else:
            octets = part.held + octets
            # the last end of a line is of the delimiter that comes behind it
            end = len(octets.removesuffix(b"\n").removesuffix(b"\r")) if len(self._parts) > 1 and self._parts[-2].boundary else len(octets)
            octets, part.held = octets[:end], octets[end:]
        self._put(part, octets)

    def _put(self, part: Part, octets: bytes) -> None:
        if octets:
            self._file(part).octets(octets)

    def _file(self, part: Part) -> File:
        if part.file is None:
            part.file = File(self._stream, self._side, "SMTP", filename=part.filename, depth=part.number)
            self._found(part.file)
        return part.file

    def _base64(self, part: Part, octets: bytes) -> bytes:
        """As much as is known of it; what is no base64 is left out, and so is what follows its end."""
        octets = octets.translate(None, b"\r\n")
        octets, ends, _ = octets.partition(b"=")
        if others := octets.translate(None, _BASE64):
            self._illegal(part, f"character {others[0]} ignored by Base64 decoding")
            octets = octets.translate(None, others)
        octets = part.held + octets
        whole = len(octets) & ~3
        part.held = octets[whole:]
        decoded = binascii.a2b_base64(octets[:whole])
        if ends:
            decoded += self._rest(part, ends=True)
            part.is_over = True
        return decoded

    def _rest(self, part: Part, *, ends: bool = False) -> bytes:
        """The octets of a group that is not whole."""
        held, part.held = part.held, b""
        if held and not ends:
            self._illegal(part, f"incomplete base64 group, padding with {24 - 6 * len(held)} bits of 0")
        return binascii.a2b_base64(held + b"=" * (4 - len(held))) if len(held) > 1 else b""

    def _illegal(self, part: Part, addl: str) -> None:
        if not part.odd:
            self._stream.weird("base64_illegal_encoding", addl)
        part.odd = True
