"""Bodies that are made of parts: multipart/* (RFC 2046) and message/*, one in another."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

_DEEPEST: Final = 100  # entities in one another, as Zeek's mime_max_depth
_MOST: Final = 1000  # parts of a message
_HEAD: Final = 1 << 16  # octets of a part's fields
_AT_ONCE: Final = 1 << 13  # octets that are looked through: each part found moves what is behind it
_LINE: Final = 1 << 10  # octets behind a boundary
_BOUNDARY: Final = re.compile(rb";[ \t]*boundary[ \t]*=[ \t]*(?:\"([^\"]*)\"|([^\s;\"()<>@,\\/\[\]?=]+|[^\s;]+))", re.IGNORECASE)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


class Part(Protocol):
    """What takes a part's content."""

    def octets(self, octets: bytes) -> None:
        """The next of it."""

    def gap(self, octets: int) -> bool:
        """So many of it were never seen; whether it is known that they were all of it."""

    def end(self) -> None:
        """There is no more of it."""


Begin = Callable[[bytes], tuple[bytes, Part]]


def boundary(content_type: bytes) -> bytes | None:
    """What is between the parts of a body of that type: nothing if it is a message itself, None if it has no parts."""
    kind = content_type.lstrip()[:10].lower()
    if kind.startswith(b"message/"):
        return b""
    found = _BOUNDARY.search(content_type) if kind == b"multipart/" else None
    return (found[1] if found[1] is not None else found[2]) or None if found else None


class Parts:
    """Takes a body as it comes, and finds its parts. `begin` is called with the fields of each: it gives the part's own type, and who
    takes its content; `too_deep` is called where they are too deep in one another.
    """

    def __init__(self, first: bytes, begin: Begin, too_deep: Callable[[], None]) -> None:
        self._begin, self._too_deep = begin, too_deep
        self._levels: list[bytes] = []  # boundaries; those of messages are empty
        self._part: Part | None = None
        self._in_head = False
        self._held = b"\r\n"  # a boundary may come at once
        self._given = 2  # octets of it that are not the content's
        self._count = 0
        self._enter(first)

    def octets(self, octets: bytes) -> None:
        """The next of the body."""
        for at in range(0, len(octets), _AT_ONCE):
            self._held += octets[at : at + _AT_ONCE]
            while self._held and (self._head() if self._in_head else self._content()):
                pass

    def gap(self, octets: int) -> bool:
        """So many were never seen. Whether it is known what they were of."""
        if not self._part or self._in_head:
            return False
        self._give(len(self._held))
        return self._part.gap(octets)

    def end(self) -> None:
        """There is no more of the body."""
        if self._part and not self._in_head:
            self._give(len(self._held))
        self._held = b""
        self._end_part()

    def _enter(self, boundary: bytes) -> None:
        self._levels.append(boundary)
        self._look()
        self._in_head = not boundary

    def _leave(self, level: int) -> None:
        """What is above that many levels is over."""
        self._end_part()
        if level < len(self._levels):
            del self._levels[level:]
            self._look()

    def _look(self) -> None:
        """For these boundaries, from now on."""
        self._delimiters = _delimiters(tuple(filter(None, self._levels)))
        self._keep = max(map(len, self._levels), default=0) + 6

    def _end_part(self) -> None:
        if self._part:
            self._part.end()
            self._part = None

    def _give(self, upto: int) -> None:
        """Content up to there goes to the part."""
        if self._part and upto > self._given:
            self._part.octets(self._held[self._given : upto])
        self._given = max(0, self._given - upto)
        self._held = self._held[upto:]

    def _head(self) -> bool:
        found = _HEAD_END.search(self._held)
        if not found:
            if len(self._held) > _HEAD:
                self._in_head, self._held, self._given = False, b"", 0
            return False
        fields, self._held = self._held[: found.start()], b"\r\n" + self._held[found.end() :]
        self._given, self._in_head = 2, False
        self._count += 1
        if self._count > _MOST:
            self._levels.clear()
            self._look()
            return False
        content_type, part = self._begin(fields[2:])
        inner = boundary(content_type)
        if inner is None:
            self._part = part
        elif len(self._levels) >= _DEEPEST:
            self._too_deep()
        else:
            self._enter(inner)
        return True

    def _content(self) -> bool:
        """Looks for the end of a part, or the begin of the first."""
        found = self._delimiters[self._part is not None].search(self._held) if self._delimiters else None
        if not found:
            self._give(max(len(self._held) - self._keep, 0) if self._delimiters else len(self._held))
            return False
        boundary = found[1]
        self._give(found.start())
        start = self._held.index(boundary) + len(boundary)
        closes, line_end = self._held.startswith(b"--", start), self._held.find(b"\n", start)
        if line_end < 0 and not closes and len(self._held) < start + _LINE:
            return False
        self._leave(self._levels.index(boundary) + (not closes))
        if closes:
            self._held, self._given = self._held[start:], 0
            return bool(self._levels)
        self._held, self._given, self._in_head = b"\r\n" + self._held[line_end + 1 :], 2, True
        return True


@lru_cache(64)
def _delimiters(boundaries: tuple[bytes, ...]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]] | None:
    """What to look for elsewhere and in content, where lines end with CR and LF."""
    some = b"|".join(map(re.escape, boundaries))
    return (re.compile(rb"\r?\n--(" + some + rb")"), re.compile(rb"\r\n--(" + some + rb")")) if some else None
