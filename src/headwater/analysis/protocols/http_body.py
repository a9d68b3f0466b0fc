"""Bodies of HTTP's messages: how they are framed, and the files in them. RFC 9110 (8, 14), RFC 9112 (6, 7), as Zeek reads them."""

import re
from typing import Final

from headwater.analysis.files import File
from headwater.analysis.mime_fields import boundary
from headwater.analysis.mime_parts import Parts
from headwater.analysis.protocols.http_coding import Unpacking
from headwater.analysis.protocols.http_fields import MOST_LONG, Fields
from headwater.analysis.protocols.http_head import without_end
from headwater.analysis.protocols.http_transaction import Transaction, Transactions
from headwater.analysis.stream import SEGMENT, SOME, Gap, Lines, Parser, Some, Until
from headwater.analysis.wire import text

_AFTER_GAP: Final = 4096  # octets that are unpacked at a time behind a gap: the part in which it fails is lost, and this is Zeek's
_DIGITS: Final = re.compile(rb"[0-9A-Fa-f]+")
_MOST_DIGITS: Final = 40  # with zeros before them
LINE: Final = Until(b"\n", 1 << 16, "HTTP_line_too_long", partial=True)
HEAD: Final = Lines(1 << 17, "HTTP_head_too_long")


class Body:
    """Takes the octets of a body that `fields` tell of, as they are sent but for chunks, and makes files of them. `length` is how many
    came, unpacked. What fields of its parts say, the last of `transactions` is told.
    """

    def __init__(self, fields: Fields, transactions: Transactions) -> None:
        self.length = 0
        self._parts: Parts | None = None
        self._leaf: Leaf | None = None
        self._fields, self._transactions = fields, transactions
        self._unpacking = Unpacking() if fields.encoding else None
        self._is_apart = False  # whether octets of several segments are to come one by one
        if boundary(fields.content_type) is None:
            self._leaf = Leaf(fields, fields.transaction)
        else:
            self._parts = Parts(fields.stream, "HTTP", self._begin_part, fields.content_type, bare=False)
            self._is_apart = True

    @property
    def handle(self) -> bytes:
        """What names its file, if some of that was never seen."""
        return self._leaf.file.handle if self._leaf and self._leaf.file and self._leaf.file.missing else b""

    def octets(self, octets: bytes) -> None:
        """The next of them."""
        unpacking = self._unpacking
        if not unpacking:
            self._clear(octets)
        elif not unpacking.wrong:
            for out in unpacking.unpacked(octets):
                self._clear(out)
            if unpacking.wrong:
                self._fields.stream.weird(unpacking.wrong, "", "ZIP")

    def gap(self, octets: int) -> bool:
        """So many were never seen. Whether it is known what they were of."""
        if not self.length:
            return False
        if self._parts:
            return self._parts.in_content and self._parts.gap(octets)
        self.length += octets
        self._is_apart = True
        if self._unpacking:
            self._unpacking.most = _AFTER_GAP
        if self._leaf:
            self._leaf.gap(octets)
        return True

    def end(self) -> None:
        """There is no more of it."""
        if self._parts:
            self._parts.end()
        if self._leaf:
            self._leaf.end()

    def _clear(self, octets: bytes) -> None:
        self.length += len(octets)
        if self._parts:
            self._parts.octets(octets)
        elif self._leaf:
            self._leaf.octets(octets)

    def _begin_part(self, head: bytes) -> tuple[bytes, bytes, "Leaf"]:
        whole = self._fields
        fields = Fields(self._transactions.of(whole.side), whole.side, "0.0", lasts=whole.lasts, is_part=True)
        if head:
            fields.take(head)
        return fields.content_type, fields.transfer, Leaf(fields, whole.transaction)

    # -- how it is framed ---------------------------------------------------------------------------------------------------------------

    def parser(self, *, of_answer: bool) -> Parser | None:
        """What reads it, if it is known where it ends: that of an answer does where the answer does, at the latest."""
        fields = self._fields
        if fields.is_chunked:
            return self._read_chunks()
        if fields.length is not None:
            return self._read(fields.length)
        if self._parts or fields.encoding or (of_answer and fields.closes):
            return self._read_all()
        return self._read_lines() if of_answer else None

    def _read(self, left: int) -> Parser:
        while left:
            try:
                octets = yield Some(left, apart=self._is_apart)
            except Gap as gap:
                if gap.octets > left or not self.gap(gap.octets):
                    raise
                left -= gap.octets
            else:
                left -= len(octets)
                self.octets(octets)

    def _read_chunks(self) -> Parser:
        while True:
            line = without_end((yield LINE))
            size = _size(line)
            if size is None:
                self._fields.weird("HTTP_bad_chunk_size", text(line))
            if not size:
                break
            yield from self._read(size)
            yield LINE
        yield HEAD

    def _read_all(self) -> Parser:
        while True:
            try:
                self.octets((yield SEGMENT if self._is_apart else SOME))
            except Gap as gap:
                if not self.gap(gap.octets) or not self._parts:
                    raise

    def _read_lines(self) -> Parser:
        """Zeek reads a body whose length nobody told line by line, and ends each with CR and LF."""
        held = b""
        try:
            while True:
                whole, end, held = (held + (yield SEGMENT)).rpartition(b"\n")
                if end:
                    self.octets(whole.replace(b"\r\n", b"\n").removesuffix(b"\r").replace(b"\n", b"\r\n") + b"\r\n")
        finally:
            if held:
                self.octets(held + b"\r\n")


class Leaf:
    """A body or part without parts: a file, or a range of one, of which more may come in another message."""

    def __init__(self, fields: Fields, transaction: Transaction) -> None:
        self._fields, self._transaction = fields, transaction
        self.file: File | None = None
        self._at = fields.range[0] if fields.range else 0

    def octets(self, octets: bytes) -> None:
        """The next of it."""
        file = self.file or self._begin()
        if self._fields.range:
            file.range(self._at, octets)
        else:
            file.octets(octets)
        self._at += len(octets)

    def gap(self, octets: int) -> bool:
        """So many were never seen; whether it is known that they were all of it."""
        file = self.file or self._begin()
        if self._fields.range:
            file.skip(self._at, octets)
        else:
            file.gap(octets)
        self._at += octets
        first = self._fields.range[0] if self._fields.range else 0
        return self._fields.length is not None and self._at - first <= self._fields.length

    def end(self) -> None:
        """There is no more of it."""
        if self.file and not self._fields.lasts:
            self.file.end()

    def _begin(self) -> File:
        fields, one = self._fields, self._transaction
        stream, side = fields.stream, fields.side
        handle = one.range_of(side) if fields.lasts else b""
        file = stream.files.lasting.get(handle) if handle else None
        if not file:
            total = fields.range[2] if fields.range else fields.length
            total = None if fields.encoding else total or None
            file = File(stream, side, "HTTP", filename=fields.filename, total=total, handle=handle)
            one.carries(side, file)
            if fields.lasts:
                stream.files.keep(file)
        elif stream.uid not in file.uids:
            file.follow(stream)
            one.carries(side, file)
        self.file = file
        return file


def _size(line: bytes) -> int | None:
    """Of a chunk. Whoever took part of the digits of one that is too large would find requests within what others take for a body."""
    digits = _DIGITS.match(line)
    size = int(digits[0], 16) if digits and len(digits[0]) <= _MOST_DIGITS else MOST_LONG
    return size if size < MOST_LONG else None
