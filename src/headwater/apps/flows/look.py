"""How somebody looks at the flows: which of them, in which order, from where on. Keys change it. Nothing is drawn here."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from headwater.apps.flows.columns import COLUMNS, Column, ordered
from headwater.apps.flows.match import matching
from headwater.apps.flows.table import Array, Kept

_MOST_TYPED = 200
_FAR = 1 << 40


class Chosen(NamedTuple):
    """The indices of the flows to be shown, and which of these is marked; and of how many they are."""

    places: Array
    marked: int
    of: int


class Look:
    """One person's, sorted by the column `by` at first.

    `pane` is what is shown instead of the table: "flow" (the marked one), "help" or "" (nothing).
    """

    def __init__(self, by: str = "rate") -> None:
        self.falling = True
        self.text = ""
        self.typed: str | None = None
        """What is typed for `text` just now; it holds already."""
        self.pane = ""
        self.pane_top = 0
        self.by_name = True
        self.paused = False
        self.ends = False
        self.uid = b""
        """Of the flow that is marked; empty where none is."""
        self._column = next(place for place, column in enumerate(COLUMNS) if column.name == by)
        self._at = self._top = 0
        self._steps = 0
        self._page = 10

    @property
    def column(self) -> Column:
        """What flows are sorted by."""
        return COLUMNS[self._column]

    def press(self, key: str) -> None:
        """Do what that key is for; one that is for nothing does nothing."""
        if self.typed is not None:
            self._type(key)
            return
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page_up": -self._page, "page_down": self._page, " ": self._page}
        steps |= {"home": -_FAR, "g": -_FAR, "end": _FAR, "G": _FAR}
        if key in steps and self.pane:
            self.pane_top = max(self.pane_top + steps[key], 0)
        elif key in steps:
            self._steps = max(min(self._steps + steps[key], _FAR), -_FAR)
        else:
            self._command(key)

    def choose(self, kept: Kept, hosts: Mapping[bytes, str], room: int) -> Chosen:
        """At most `room` flows around the marked one, which stays so wherever it goes. Only on the first line the mark stays there."""
        self._page = max(room - 1, 1)
        text = self.text if self.typed is None else self.typed
        order = ordered(kept, self.column, self.falling)
        if text:
            order = order[matching(kept, text, hosts)[order]]
        if not len(order):
            self._at = self._top = self._steps = 0
            self.uid = self.uid if self.pane == "flow" else b""
            return Chosen(order, 0, 0)
        if self._at or self.pane == "flow":
            same = np.flatnonzero(kept.octets("uid")[order] == self.uid.rstrip(b"\0"))
            self._at = int(same[0]) if len(same) else self._at
        self._at = max(min(self._at + self._steps, len(order) - 1), 0)
        moved, self._steps = self._steps != 0, 0
        self._top = max(min(self._top, self._at, len(order) - room), self._at - room + 1, 0)
        places = order[self._top : self._top + room]
        if self.pane != "flow" or moved:  # by a key before the one that opened it
            self.uid = kept.batch.rows["uid"][order[self._at]].item()
        return Chosen(places, self._at - self._top, len(order))

    def _command(self, key: str) -> None:
        match key:
            case "q":
                self.ends = True
            case "escape":
                if self.pane:
                    self.pane = ""
                else:
                    self.text = ""
            case "enter":
                self._show("flow" if self.uid and not self.pane else "")
            case "?":
                self._show("" if self.pane == "help" else "help")
            case "/":
                self._show("")
                self.typed = self.text
            case "s" | ">" | "right":
                self._sort(1)
            case "<" | "left":
                self._sort(-1)
            case "r":
                self.falling = not self.falling
            case "n":
                self.by_name = not self.by_name
            case "p":
                self.paused = not self.paused

    def _show(self, pane: str) -> None:
        self.pane, self.pane_top = pane, 0

    def _sort(self, step: int) -> None:
        self._column = (self._column + step) % len(COLUMNS)
        self.falling = self.column.falling

    def _type(self, key: str) -> None:
        assert self.typed is not None  # noqa: S101 - press() has seen to that
        match key:
            case "enter":
                self.text, self.typed = self.typed, None
            case "escape":
                self.typed = None
            case "backspace":
                self.typed = self.typed[:-1]
            case "clear":
                self.typed = ""
            case _ if len(key) == 1 and len(self.typed) < _MOST_TYPED:
                self.typed += key
