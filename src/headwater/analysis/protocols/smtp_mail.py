"""Mail (RFC 5322): its own header, and a file of each part that has a content of its own."""

import re
from collections.abc import Callable
from typing import Final

from headwater.analysis.files import File
from headwater.analysis.mime_parts import Parts
from headwater.analysis.protocols.smtp_headers import field, filename
from headwater.analysis.stream import Stream
from headwater.analysis.wire import text

_FOLDS: Final = re.compile(rb"\r*\n(?=[ \t])")


class Mail(Parts):
    """What a side sends as one mail, with its ends of lines. `begins` gives the number of each part; `headers` is told those of the mail
    itself, `found` each file.
    """

    def __init__(
        self, stream: Stream, side: int, begins: Callable[[], int], headers: Callable[[str, bytes], None], found: Callable[[File], None]
    ) -> None:
        super().__init__(stream, "SMTP", self._begin_part, bare=True)
        self._side, self._begins, self._headers, self._found = side, begins, headers, found
        self._is_first = True

    def _begin_part(self, head: bytes) -> tuple[bytes, bytes, "Content"]:
        kind = encoding = b""
        content = Content(self._stream, self._side, self._begins(), self._found)
        for line in _FOLDS.sub(b"", head).split(b"\n") if head else ():
            if not (read := field(line.rstrip(b"\r"))):
                continue
            name, value = read
            if name == "CONTENT-TYPE":
                kind = value
            elif name == "CONTENT-TRANSFER-ENCODING":
                encoding = value.partition(b";")[0].strip().lower()
            if (called := filename(name, value)) is not None:
                content.filename = text(called)
            if self._is_first:
                self._headers(name, value)
        self._is_first = False
        return kind, encoding, content


class Content:
    """What a part carries: a file, if anything."""

    __slots__ = ("_file", "_found", "_number", "_side", "_stream", "filename")

    def __init__(self, stream: Stream, side: int, number: int, found: Callable[[File], None]) -> None:
        self._stream, self._side, self._number, self._found = stream, side, number, found
        self.filename: str | None = None
        self._file: File | None = None

    def octets(self, octets: bytes) -> None:
        """The next of it."""
        self._begun().octets(octets)

    def gap(self, octets: int) -> bool:
        """So many of it were never seen: what comes behind them is of nobody knows which part."""
        self._begun().gap(octets)
        return False

    def end(self) -> None:
        """There is no more of it."""
        if self._file:
            self._file.end()

    def _begun(self) -> File:
        if self._file is None:
            self._file = File(self._stream, self._side, "SMTP", filename=self.filename, depth=self._number)
            self._found(self._file)
        return self._file
