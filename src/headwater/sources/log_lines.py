"""Whole lines of a log, in blocks of bounded size, and what is said and counted of those that cannot be used."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from headwater.sources.octets import Damaged, Octets

BLOCK = 1 << 23  # octets
LINES = 1 << 16  # of a batch at most
LINE_MAX = 1 << 24  # octets of a line
TAIL = 4096  # octets before a position that tell whether it is in the same log
_SAID = 3  # lines of a file that are told of, for each reason; all are counted
_SAID_MOST = 100  # lines about one file
_SHOWN = 200


class Notes:
    """What was skipped of one file: counted by reason, and the first lines of each reason told in one line each.

    Reasons: `header` (a row without one), `fields` (too few or many), `value` (not of its field's type), `json` (no object of JSON), `cut`
    (the last line has no end), `long`, `damaged` (packed data that cannot be unpacked further; how many rows that are nobody knows).
    `beyond` is no row: a time that 64 bits of nanoseconds do not hold, and that became the nearest they do.
    """

    def __init__(self, file: str, report: Callable[[str], None], learned: set[str] | None = None) -> None:
        self.file = file
        self._learned = set() if learned is None else learned
        self.skipped: Counter[str] = Counter()
        self._report = report
        self._since: Counter[str] = Counter()
        self._said = 0

    def skip(self, reason: str, line: int, what: str) -> None:
        """One line that is left out."""
        self.count(reason, 1, line, what)

    def count(self, reason: str, number: int, line: int, what: str) -> None:
        """Several of them, the first of which is `line`."""
        if self.skipped[reason] < _SAID:
            self.say(line, what)
        self.skipped[reason] += number
        if self.skipped[reason] - number < _SAID <= self.skipped[reason]:
            self.say(0, f"more lines like this one are only counted, as {reason}")

    def say(self, line: int, what: str) -> None:
        """Something to know that costs no row. `line` 0 is the file as a whole."""
        self._said += 1
        if self._said <= _SAID_MOST:
            self._report(f"{_plain(self.file)}{f':{line}' if line else ''}: {_plain(what)}")
        elif self._said == _SAID_MOST + 1:
            self._report(f"{_plain(self.file)}: no more is said of this file")

    def learn(self, line: int, what: str) -> None:
        """Likewise, once for all files that have the same `learned`."""
        if what not in self._learned:
            self._learned.add(what)
            self.say(line, what)

    def news(self) -> dict[str, int]:
        """What was skipped since the last call."""
        new = dict(self.skipped - self._since)
        self._since = self.skipped.copy()
        return new


def _plain(text: str) -> str:
    """Without what a terminal would obey, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_SHOWN])


class Lines:
    """Lines of a file that is open as `fd`, packed or not. `position` and `line` are the octets and lines before those that come next,
    `tail` the last of these octets.
    """

    def __init__(self, fd: int, notes: Notes, *, plain: bool = False) -> None:
        self.position = 0
        self.line = 0
        self.tail = b""
        self.rest = b""
        """What stands behind the last line's end, when all has been read."""
        self.damaged = ""
        """Why packed data could not be read to its end."""
        self.notes = notes
        self._octets = Octets(fd, plain=plain)
        self._pending = bytearray()
        self._too_long = False
        self._open_end = False  # the last line was taken without its end

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(number of the first line, whole lines) to the end of the file."""
        room = memoryview(bytearray(1 << 20))
        while got := self._more(room):
            self._pending += room[:got]
            if len(self._pending) >= BLOCK:
                yield from self._whole()
        yield from self._whole()
        self.rest = bytes(self._pending)

    def take(self, octets: int) -> bytes:
        """So many, or what there is. They do not count as read."""
        taken = bytearray()
        room = memoryview(bytearray(1 << 20))
        while octets > len(taken) and (got := self._more(room[: octets - len(taken)])):
            taken += room[:got]
        return bytes(taken)

    def begin(self, position: int, line: int, tail: bytes) -> None:
        """What comes next, of a file that is not packed and stands at `position`."""
        self.position, self.line, self.tail = position, line, tail
        self._open_end = bool(tail) and not tail.endswith(b"\n")

    def pass_over(self, position: int, line: int) -> bool:
        """Leave out what was read before of a file that stands at its beginning; False if there is not as much."""
        room = memoryview(bytearray(1 << 20))
        left, tail = position, b""
        while left and (got := self._more(room[:left])):
            left -= got
            tail = (tail + bytes(room[:got]))[-TAIL:]
        self.begin(position, line, tail)
        return not left

    def take_rest(self) -> None:
        """The last line has been taken without its end."""
        self._pass(self.rest, 1)
        self.rest = b""
        self._open_end = True

    def _more(self, room: memoryview) -> int:
        try:
            while (got := self._octets.readinto(room)) is None:
                pass
        except Damaged as error:
            self.damaged = str(error)
            return 0
        return got

    def _whole(self) -> Iterator[tuple[int, bytes]]:
        if self._open_end and self._pending:
            self._open_end = False
            if self._pending.startswith(b"\n"):
                self._pass(b"\n", 0)
                del self._pending[:1]
        end = self._pending.rfind(b"\n") + 1
        block = bytes(self._pending[:end])
        del self._pending[:end]
        if self._too_long and end:
            first = block.index(b"\n") + 1
            self._pass(block[:first], 1)
            block, self._too_long = block[first:], False
        for text in pieces(block):
            number = self.line + 1
            self._pass(text, text.count(b"\n"))
            yield number, text
        if len(self._pending) > LINE_MAX:
            if not self._too_long:
                self.notes.skip("long", self.line + 1, f"a line of more than {LINE_MAX >> 20} MiB is left out")
            self._too_long = True
            self._pass(bytes(self._pending), 0)
            self._pending.clear()

    def _pass(self, octets: bytes, lines: int) -> None:
        self.position += len(octets)
        self.line += lines
        self.tail = (self.tail + octets[-TAIL:])[-TAIL:]


def pieces(text: bytes, lines: int = LINES) -> Iterator[bytes]:
    """Whole lines, so many at a time."""
    if text.count(b"\n") <= lines:
        if text:
            yield text
        return
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    begin = 0
    for end in [*ends[lines - 1 :: lines].tolist(), len(text)]:
        if end > begin:
            yield text[begin:end]
        begin = end
