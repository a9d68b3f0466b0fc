"""Messages that are made of parts, one in another: multipart/* and message/* (RFC 2046). What is taken for a part is Zeek's:
src/analyzer/protocol/mime/MIME.cc.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, Protocol

from headwater.analysis.mime_codings import CODINGS, Coding
from headwater.analysis.mime_fields import boundary
from headwater.analysis.stream import Stream

_DEEPEST: Final = 100  # in how many others an entity may be: Zeek's mime_max_depth
_MOST: Final = 1000  # parts of a message
_HEAD: Final = 1 << 18  # octets of an entity's fields
_LINE: Final = 1 << 10  # octets of a delimiter's line behind it, or of one of fields; of longer ones not all waits for their ends
_LONG: Final = 1 << 16  # likewise of a line of mail
_STOPS: Final = re.compile(rb"\n(?:(\r*+\n|\0)|--)")


class Part(Protocol):
    """Who takes the content of an entity: of the message, or of a part of it."""

    def octets(self, octets: bytes) -> None:
        """The next of it, decoded."""

    def gap(self, octets: int) -> bool:
        """So many of it were never seen; whether it is known that they were all of it."""

    def end(self) -> None:
        """There is no more of it."""


Begin = Callable[[bytes], tuple[bytes, bytes, Part]]


class _Entity:
    """The message, or a part: who takes its content, how that is coded, and what is between its own parts."""

    __slots__ = ("coding", "delimiter", "encoding", "is_over", "part")

    def __init__(self, part: Part | None, encoding: bytes, coding: Coding | None, delimiter: bytes) -> None:
        self.part, self.encoding, self.coding, self.delimiter = part, encoding, coding, delimiter
        self.is_over = False

    def end(self) -> None:
        """There is no more of it."""
        if self.part:
            if self.coding and (rest := self.coding.rest()):
                self.part.octets(rest)
            self.part.end()


class Parts:
    """Takes a message of `stream` as it comes, and finds its parts. `begin` is given the fields of each when all of them have come: it
    tells its Content-Type and Content-Transfer-Encoding (nothing where there is none), and who takes its content. A message whose
    `content_type` is known begins behind its own fields. With `bare`, a line of content ends with LF, too; else with CR and LF alone.
    `source` is the protocol as Zeek calls its analyzer.
    """

    def __init__(self, stream: Stream, source: str, begin: Begin, content_type: bytes | None = None, *, bare: bool) -> None:
        self._stream, self._source, self._begin, self._bare = stream, source, begin, bare
        self._entities: list[_Entity] = []
        self._delimiters: list[bytes] = []  # sorted; of those that begin alike, the shortest
        self._longest = 0  # octets of one
        self._leaf: _Entity | None = None  # the innermost, where it has a content of its own
        self._held_end = False  # the end of its last line is of the delimiter behind it
        self._held = b"\r\n"  # what is not read yet, and the two octets before
        self._at = 2
        self._fields: list[bytes] = []  # of an entity, as far as they have come
        self._size = 0
        self._count = 0
        self._in_head = content_type is None
        if content_type is not None:
            self._enter(content_type, b"", None)

    @property
    def in_content(self) -> bool:
        """Whether what comes next is content of a part."""
        return self._leaf is not None

    def octets(self, octets: bytes) -> None:
        """The next of the message."""
        self._held += octets
        while self._read_head() if self._in_head else self._read_content():
            pass
        if self._at > 2:
            self._held, self._at = self._held[self._at - 2 :], 2

    def gap(self, octets: int) -> bool:
        """So many were never seen: they are taken to be of the innermost entity. Whether it is known that they were."""
        if self._in_head:
            self._end_head(len(self._held), is_cut=True)
        self._give(len(self._held))
        innermost = self._entities[-1].part if self._entities else None
        return innermost is not None and innermost.gap(octets)

    def end(self) -> bool:
        """There is no more of the message. Whether its last line had no end."""
        held = self._held
        is_cut = not held.endswith(b"\n")
        if self._in_head:
            self._end_head(len(held), is_cut=True)
        elif is_cut and self._find_delimiter() < 0:
            self._give(len(held))
        self._close(0)
        return is_cut

    # -- fields -----------------------------------------------------------------------------------------------------------------------

    def _read_head(self) -> bool:
        """Whether the fields end in what is held."""
        held, at = self._held, self._at
        for stop in _STOPS.finditer(held, at - 1):
            line = stop.start() + 1
            if not stop.lastindex:
                if self._is_delimiter(line):
                    self._end_head(line, is_cut=True)
                    return self._pass(line)
            elif end := held.find(b"\n", line) + 1:
                self._end_head(line)
                self._at = end
                return True
        line = max(held.rfind(b"\n", at) + 1, at)
        self._keep_fields(line if len(held) - line < _LINE else len(held))
        return False

    def _keep_fields(self, upto: int) -> None:
        octets, self._at = self._held[self._at : upto], upto
        if self._size < _HEAD:
            self._fields.append(octets)
            if self._size + len(octets) >= _HEAD:
                self._stream.weird("exceeded_mime_max_header_bytes", str(self._size + len(octets)), self._source)
        self._size += len(octets)

    def _end_head(self, upto: int, *, is_cut: bool = False) -> None:
        """The fields end there; where they are cut, the entity has no body."""
        if upto > self._at:
            self._keep_fields(upto)
        fields = b"".join(self._fields)
        self._fields.clear()
        self._size, self._in_head = 0, False
        content_type, encoding, part = self._begin(fields)
        self._enter(b"" if is_cut else content_type, encoding, part)

    # -- entities ---------------------------------------------------------------------------------------------------------------------

    def _enter(self, content_type: bytes, encoding: bytes, part: Part | None) -> None:
        """An entity begins, whose body comes next."""
        parent = self._entities[-1] if self._entities else None
        encoding = encoding or (parent.encoding if parent else b"")
        between = boundary(content_type) if content_type else None
        if between is None:
            coding = CODINGS[encoding](self._stream) if encoding and encoding in CODINGS else None
            self._leaf = _Entity(part, encoding, coding, b"")
            self._entities.append(self._leaf)
            self._held_end = bool(coding is None and parent and parent.delimiter)
            return
        self._entities.append(_Entity(part, encoding, None, b"--" + between if between else b""))
        if between:
            self._sort()
        else:
            self._begin_child()

    def _begin_child(self) -> None:
        self._count += 1
        if self._count > _MOST:
            self._stream.weird("exceeded_mime_max_parts", str(_MOST), self._source)
            self._close(0)
        elif len(self._entities) > _DEEPEST:
            self._stream.weird("exceeded_mime_max_depth", str(len(self._entities) - 1), self._source)
        else:
            self._in_head = True

    def _close(self, depth: int) -> None:
        """Of all that are in that many others, there is no more."""
        changes = False
        while len(self._entities) > depth:
            entity = self._entities.pop()
            entity.end()
            changes |= bool(entity.delimiter)
        self._leaf = None
        if changes:
            self._sort()

    def _sort(self) -> None:
        self._delimiters.clear()
        for delimiter in sorted(entity.delimiter for entity in self._entities if entity.delimiter):
            if not self._delimiters or not delimiter.startswith(self._delimiters[-1]):
                self._delimiters.append(delimiter)
        self._longest = max(map(len, self._delimiters), default=0)

    # -- content ----------------------------------------------------------------------------------------------------------------------

    def _read_content(self) -> bool:
        """Whether there is a delimiter in what is held; all before it is given."""
        line = self._find_delimiter() if self._delimiters else -1
        if line < 0:
            self._give(self._whole())
            return False
        if line > self._at:
            self._give(self._line_end(line) if self._held_end else line)
        return self._pass(line)

    def _pass(self, line: int) -> bool:
        """A delimiter begins there; whether all of its line has come."""
        held = self._held
        end = held.find(b"\n", line) + 1
        if not end and len(held) - line < self._longest + _LINE:
            return False
        self._at = end or len(held)
        self._delimit(line)
        return True

    def _delimit(self, line: int) -> None:
        """The first of those it may be of is ended by it, or has another part."""
        held = self._held
        for depth, entity in enumerate(self._entities, 1):
            delimiter = entity.delimiter
            if not delimiter or not held.startswith(delimiter, line):
                continue
            if not entity.is_over:
                self._close(depth)
                entity.is_over = held.startswith(b"--", line + len(delimiter))
                if not entity.is_over:
                    self._begin_child()
            return

    def _find_delimiter(self) -> int:
        """Where the next one begins; -1 if it has not come."""
        held = self._held
        strict = self._leaf and not self._bare
        at = held.find(b"\n--", self._at - 1)
        while at >= 0:
            if self._is_delimiter(at + 1) and not (strict and held[at - 1] != 13):
                return at + 1
            at = held.find(b"\n--", at + 1)
        return -1

    def _is_delimiter(self, line: int) -> bool:
        """Whether one begins there. There may be a hundred: only the last that is not behind it in their order can be it."""
        place = bisect_right(self._delimiters, self._held[line : line + self._longest])
        return place > 0 and self._held.startswith(self._delimiters[place - 1], line)

    def _line_end(self, line: int) -> int:
        """Where the end of a line begins that is before that one."""
        if self._held.startswith(b"\r", line - 2):
            return line - 2
        return line - 1 if self._bare else line

    def _whole(self) -> int:
        """Up to where what is held may be given: no delimiter that has come in part is in it, and of mail, lines are whole."""
        held, at = self._held, self._at
        first = at if self._bare else max(at, len(held) - self._longest)
        line = held.rfind(b"\n", first - 1) + 1
        if line:
            return self._line_end(line) if self._held_end else line
        return at if self._bare and len(held) - at < _LONG else len(held) - held.endswith(b"\r")

    def _give(self, upto: int) -> None:
        """Content up to there goes to who takes it."""
        leaf = self._leaf
        if leaf and leaf.part and upto > self._at:
            octets = self._held[self._at : upto]
            if leaf.coding:
                octets = leaf.coding.decoded(octets)
            if octets:
                leaf.part.octets(octets)
        self._at = max(self._at, upto)
