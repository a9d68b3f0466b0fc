"""The table of flows on a terminal, with what was lost above it and the keys below."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from headwater.apps import amounts
from headwater.apps.console import lost_packets
from headwater.apps.flows.columns import heading, layout, lines
from headwater.apps.flows.detail import detail
from headwater.apps.flows.keys import keys
from headwater.apps.flows.look import Look
from headwater.apps.flows.table import FlowTable, Kept
from headwater.apps.lines import PATIENCE_S
from headwater.apps.packets import fit, safe
from headwater.apps.screen import LEAST_S, OnScreen, speed
from headwater.records import CONN, CONN_LONG, Batch
from headwater.telemetry import Entry

FRAME_S = 0.5
_BAD = "bold white on red"
_FOOT = "Enter all | < > sort | r reverse | / filter | n names | p pause | ? help | q end"
_HELP = """\
up down j k        mark a flow              Home End g G   the first, the last
PgUp PgDn Space    a screen up or down      Enter          all of it, and back
< > s left right   sort by another column   r              the other way round
/                  filter by words          n              numbers, not names
p                  pause, and go on         q  Ctrl-C      end

A filter is words, all of which must be found: in addresses, their names and
kinds, protocols, services, interfaces. A number is a port too, and :80 nothing
else; S1 and REJ are states, rst and timeout what flows end by. !word must not
be found. Esc clears it.

bit/s, bytes   what originator → and responder ← send, IP headers included
RTT            there and back; with a ≥ before it, only the half that is known
resent, res%   TCP packets that were sent again, and what part of all that is
state          Zeek's: S0 no answer, S1 open, SF closed, REJ refused, RSTO and
               RSTR reset, OTH begun before"""


class FlowView(OnScreen):
    """Draws `table` twice a second, and at once when a key was pressed. `describe` tells where flows come from, `stop` ends that (q).

    `totals` are the ledger's; `busy` says whether anything may still change. All in one thread, but for update().
    """

    watches = frozenset({CONN.name, CONN_LONG.name})

    def __init__(
        self,
        console: Console,
        table: FlowTable,
        hosts: Mapping[bytes, str],
        *,
        describe: Callable[[], str],
        totals: Callable[[], Mapping[Entry, int]],
        stop: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, clock)
        self.look = Look("rate" if table.live else "bytes")
        self.table = table
        self._hosts = hosts
        self._describe = describe
        self._totals = totals
        self._stop = stop
        self._busy = busy
        self._drawn_at = float("-inf")
        self._was_busy = True
        self._rates: tuple[float, float] | None = None  # packets/s, bits/s
        self._frozen: Kept | None = None
        self._one: Kept | None = None  # the marked flow, as it was last told of

    def close(self) -> None:
        """Give the screen back, and leave the last picture on it."""
        self.look.pane = ""
        self._screen.close(lambda width, height: [line for line in self.lines(width, height)[:-1] if line] if len(self.table) else [])

    def update(self, batch: Batch) -> None:
        """Flows, for the table."""
        self.table.put(batch)

    def tick(self, rates: Batch, talkers: np.ndarray[Any, np.dtype[Any]], totals: Mapping[Entry, int]) -> None:  # noqa: ARG002 - a watcher
        """The sums since the last tick; what comes sooner than half a second after it is too little for a rate."""
        seconds = self._since_tick()
        if seconds >= LEAST_S or self._rates is None:
            self._rates = speed(rates, seconds)

    def draw(self) -> None:
        """Obey the keys, and draw if it is time."""
        if not self._screen.take():
            return
        pressed = list(keys(self._screen.pressed()))
        for key in pressed:
            self.look.press(key)
        if self.look.ends:
            self._stop()
        busy, now = self._busy(), self._clock()
        due = (busy or self._was_busy) and now - self._drawn_at >= FRAME_S
        if pressed or due or self._screen.is_new():
            self._drawn_at, self._was_busy = now, busy
            self._screen.draw(self.lines)

    def lines(self, width: int, height: int) -> list[Text]:
        """The picture: at most `height` lines of at most `width` cells, the keys in the last one."""
        look, room = self.look, max(height - 4, 1)
        hosts = self._hosts if look.by_name else {}
        with self._kept() as kept:
            chosen = look.choose(kept, hosts, room)
            shown = kept.where(chosen.places)
            one = kept.find(look.uid) if look.pane == "flow" else None
            count, over = len(kept), int(kept.over.sum())
        made = [self._first_line(width)]
        if look.pane == "flow":
            made += self._pane(self._about(one, hosts, width), height - 2)
        elif look.pane:
            made += self._pane([Text(line) for line in _HELP.splitlines()], height - 2)
        else:
            at = layout(width)
            made += [self._second_line(width, count, over, chosen.of), heading(at, look.column)]
            made += _marked(lines(shown, at, hosts, live=self.table.live), chosen.marked) or [Text(self._why_none(count), "dim")]
        made = made[: max(height - 1, 0)]
        made += [Text()] * (height - 1 - len(made))
        made.append(self._last_line())
        for line in made:
            line.truncate(width, overflow="crop")
        return made[:height]

    def _kept(self) -> AbstractContextManager[Kept]:
        if not self.look.pane:
            self._one = None
        if not self.look.paused:
            self._frozen = None
            return self.table.kept()
        if self._frozen is None:
            with self.table.kept() as kept:
                self._frozen = kept.where(np.ones(len(kept), np.bool_))
        return nullcontext(self._frozen)

    def _first_line(self, width: int) -> Text:
        elapsed = f" {amounts.elapsed(self._clock() - self._began)}" if self.table.live else ""
        room = max(width - len("headwater flows ") - len(elapsed), 1)
        return Text.assemble(("headwater flows ", "bold"), fit(safe(self._describe()), room), (elapsed, "dim"))

    def _second_line(self, width: int, kept: int, over: int, chosen: int) -> Text:
        """How many flows and packets, what was lost, and how the flows are shown; of the last what there is room for."""
        lost = lost_packets(self._totals())
        line = Text(self._how_many(kept, over))
        if self._rates is not None:
            line.append(f"  {amounts.count(self._rates[0])} packets/s  {amounts.count(self._rates[1], 'b/s')}")
        line.append("  ").append(f"lost {lost:,}", _BAD if lost else "")
        look = self.look
        more = [("  PAUSED", "bold")] if look.paused else []
        if look.text and look.typed is None:
            more.append((f"  {chosen:,} with {look.text}", "bold"))
        more.append((f"  by {look.column.name} {'↓' if look.falling else '↑'}", "dim"))
        for text, style in more:
            if len(line) + len(text) <= width:
                line.append(text, style)
        return line

    def _how_many(self, kept: int, over: int) -> str:
        if self.table.live:
            return f"{'the fastest ' if self.table.left_out else ''}{kept - over:,} flows"
        left_out = self.table.left_out
        return f"the {kept:,} largest of {kept + left_out:,} flows" if left_out else f"{kept:,} flows"

    def _about(self, one: Kept | None, hosts: Mapping[bytes, str], width: int) -> list[Text]:
        gone = Text("" if one else "this flow has gone; it was", "bold")
        self._one = one or self._one
        return [gone, *detail(self._one, hosts, width)] if self._one else [gone]

    def _why_none(self, kept: int) -> str:
        if kept:
            return " none of them has these words"
        if not self.table.live:
            return " none yet" if self._busy() else " there are none"
        patient = self._clock() - self._began < PATIENCE_S
        return " waiting for the first flow" if patient else " no flow yet; -i any listens on every interface"

    def _pane(self, made: list[Text], room: int) -> list[Text]:
        self.look.pane_top = max(min(self.look.pane_top, len(made) - room), 0)
        return made[self.look.pane_top :][: max(room, 0)]

    def _last_line(self) -> Text:
        if self.look.typed is not None:
            return Text(f"/{self.look.typed}_  (Enter keeps it, Esc does not)", "bold")
        return Text("Enter or Esc goes back" if self.look.pane else _FOOT, "dim")


def _marked(made: Iterable[Text], marked: int) -> list[Text]:
    """The lines, with the one of that number marked: by more than a style, which not every terminal has."""
    found = list(made)
    if found:
        line = found[marked]
        line.plain = f">{line.plain[1:]}"
        line.stylize("reverse")
    return found
