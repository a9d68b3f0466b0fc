"""The screen of a live view: its lines, of which only those that changed are drawn; and what all such views are."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import zip_longest
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from headwater.apps.terminal import Terminal
from headwater.records import Batch

Lines = Callable[[int, int], Sequence[Text]]
"""Makes a picture: at most `height` lines of at most `width` cells, by (width, height)."""
LEAST_S = 0.5  # between two ticks, for a rate
_ASCII = str.maketrans("▁▂▃▄▅▆▇█…·≥→←↑↓", "__..--##~->><^v")


def console() -> Console | None:
    """That of standard output, if it is a terminal that can move its cursor."""
    made = Console(color_system=None if os.environ.get("NO_COLOR") else "auto")  # rich alone would leave what is bold
    return made if sys.stdout.isatty() and os.environ.get("TERM") and not made.is_dumb_terminal else None


class Screen:
    """The terminal that `console` writes to, while a view has it. All in one thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._terminal = Terminal(console.file)  # type: ignore[arg-type]  # rich's IO[str]
        self._drawn: Sequence[Text] = []
        self._drawn_for = (0, 0, 0)

    @property
    def has_styles(self) -> bool:
        """Whether colours, bold and reverse are to be seen."""
        return self._console.color_system is not None

    def open(self) -> None:
        """Take it, or in the background wait for it."""
        self._terminal.open()

    def close(self, last: Lines) -> None:
        """Give it back, and leave a last picture on it."""
        if self._terminal.close():
            for line in last(*self._console.size):
                self._console.print(self._plain(line), no_wrap=True, overflow="crop")

    def give_back(self) -> None:
        """At once, because the process ends. Callable from a signal handler."""
        self._terminal.give_back()

    def take(self) -> bool:
        """Whether it is ours; it is taken again where it may be."""
        return self._terminal.take()

    def pressed(self) -> str:
        """What was typed since the last time."""
        return self._terminal.pressed()

    def fileno(self) -> int:
        """Readable when keys were pressed; -1 while there are none to come."""
        return self._terminal.fileno()

    def is_new(self) -> bool:
        """Whether it is of another size, or was taken again, since the last picture."""
        return self._now() != self._drawn_for

    def draw(self, lines: Lines) -> None:
        """Show a picture: what differs from the last one, in one write."""
        now = self._now()
        new = lines(*now[:2])
        with self._console:
            if now != self._drawn_for:
                self._console.control(Control.clear())
                self._drawn = []
            for y, (line, old) in enumerate(zip_longest(new, self._drawn)):
                if line != old:
                    self._console.control(Control.move_to(0, y), Control((ControlType.ERASE_IN_LINE, 2)))
                    self._console.print(self._plain(line or Text()), end="", no_wrap=True, overflow="crop")
        self._drawn, self._drawn_for = new, now

    def _now(self) -> tuple[int, int, int]:
        return self._console.width, self._console.height, self._terminal.times_taken

    def _plain(self, line: Text) -> Text:
        """`line` in what the terminal's encoding has."""
        if self._console.encoding.startswith("utf") or line.plain.isascii():
            return line
        line = line.copy()
        line.plain = line.plain.translate(_ASCII).encode("ascii", "replace").decode()
        return line


class OnScreen(ABC):
    """A view that has a screen from open() to close(). `clock` is monotonic, in seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._screen = Screen(console)
        self._clock = clock
        self._began = self._ticked = clock()

    def open(self) -> None:
        """Take the screen."""
        self._began = self._ticked = self._clock()
        self._screen.open()

    @abstractmethod
    def close(self) -> None:
        """Give the screen back, and leave the last picture on it."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when keys were pressed."""
        return self._screen.fileno()

    def give_back(self) -> None:
        """Give the screen back at once, because the process ends. Callable from a signal handler."""
        self._screen.give_back()

    def _since_tick(self) -> float:
        """Seconds; the next ones are from now on. Fewer than LEAST_S are too few for a rate."""
        now = self._clock()
        seconds, self._ticked = max(now - self._ticked, 0.05), now
        return seconds


def speed(rates: Batch, seconds: float) -> tuple[float, float]:
    """(packets/s, bits/s) of rows of the record rate."""
    return int(rates.rows["packets"].sum()) / seconds, int(rates.rows["bytes"].sum()) * 8 / seconds
