"""The live view: the latest packets, rates by protocol, top talkers and the ledger, in a terminal, in place."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from textwrap import wrap
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from headwater.analysis import names
from headwater.apps import amounts
from headwater.apps.console import RING_FULL, lost_packets, ring_loss
from headwater.apps.lines import PATIENCE_S, tries
from headwater.apps.packets import cells, columns, fit, fit_address, heading, safe, words
from headwater.apps.screen import LEAST_S, OnScreen, speed
from headwater.records import PACKET, Batch
from headwater.records.layouts import HAS
from headwater.telemetry import Entry

FRAME_S = 0.25
ENDS = "q or Ctrl-C ends"
KEPT_ROWS = 200  # packets and groups: more than a screen has lines
HISTORY_S = 60
_SHADES = " ▁▂▃▄▅▆▇█"
_STYLES = {
    "time": "dim",
    "interface": "cyan",
    "direction": "dim",
    "name": "italic cyan",
    "weird": "bold red",
}
_BAR, _BAD = "green", "bold white on red"
_PROTOCOL_STYLES = {"TCP": "green", "UDP": "blue", "ICMP": "magenta", "ICMPv6": "magenta", "ARP": "yellow", "IGMP": "magenta"}


class View(OnScreen):
    """Draws at most four times a second, only lines that changed. `describe` tells what is listened on; `clock` is monotonic, in seconds.

    The key q calls `stop`. update() may be called from any thread; the other methods from one.
    """

    watches = frozenset({PACKET.name})

    def __init__(
        self,
        console: Console,
        describe: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        stop: Callable[[], None] = lambda: None,
        spent: Callable[[], str] = lambda: "",
    ) -> None:
        super().__init__(console, clock)
        self._describe = describe
        self._stop = stop
        self._spent = spent
        self._lock = threading.Lock()
        self._latest: deque[Batch] = deque()
        self._interfaces: dict[str, None] = {}  # names that have been seen, in order
        self._rates: list[tuple[str, float, float]] = []  # what, packets/s, bits/s
        self._talkers: list[tuple[bytes, float, float]] = []
        self._history: deque[float] = deque([0.0], maxlen=HISTORY_S)  # bits/s
        self._now = (0.0, 0.0)  # packets/s, bits/s
        self._lost = 0  # packets, when that was summed up
        self._at_least = False  # some were lost meanwhile
        self._totals: Mapping[Entry, int] = {}
        self._changed = True
        self._packets = False  # have come since the last drawing
        self._drawn_at = float("-inf")

    def close(self) -> None:
        """Give the screen back, and leave the last picture on it."""
        self._screen.close(lambda width, height: self.lines(width, height) if self._latest else [])

    def update(self, batch: Batch) -> None:
        """Keep the last rows of a batch of packets."""
        if not len(batch):
            return
        rows = np.array(batch.rows[-KEPT_ROWS:], dtype=batch.record.dtype)
        with self._lock:
            self._latest.append(Batch(batch.record, rows, dict(batch.interfaces)))
            spare = sum(map(len, self._latest)) - KEPT_ROWS
            while spare >= len(self._latest[0]):
                spare -= len(self._latest.popleft())
            self._changed = self._packets = True

    def tick(self, rates: Batch, talkers: np.ndarray[Any, np.dtype[Any]], totals: Mapping[Entry, int]) -> None:
        """The sums since the last tick, and the ledger's totals. What comes sooner than half a second after it is too little for a rate."""
        seconds = self._since_tick()
        self._totals, self._changed = totals, True
        if seconds < LEAST_S and self._rates:
            return
        self._rates = _by_protocol(rates, seconds)
        top = talkers[np.argsort(talkers["octets"])[: -KEPT_ROWS - 1 : -1]]
        self._talkers = [(addr, packets / seconds, octets * 8 / seconds) for addr, packets, octets in top.tolist()]
        self._now = speed(rates, seconds)
        lost = lost_packets(totals)
        self._lost, self._at_least = lost, lost > self._lost
        self._history.append(self._now[1])

    def draw(self) -> None:
        """Draw what has changed, if it is time, and obey the keys."""
        if not self._screen.take():
            return
        if "q" in self._screen.pressed():
            self._stop()
        now = self._clock()
        if not self._screen.is_new() and (not self._changed or now - self._drawn_at < FRAME_S):
            return
        if self._packets:  # a packet after a quiet second must not wait because the ledger was drawn just now
            self._drawn_at = now
        self._changed = self._packets = False
        self._screen.draw(self.lines)

    def lines(self, width: int, height: int) -> list[Text]:
        """The picture: at most `height` lines of at most `width` cells."""
        made = [*self._head(width), self._rate_line(width), *self._ledger_lines(width)]
        if height >= 20 and (spent := self._spent()):
            made.append(Text(fit(f"cost {spent}", width).rstrip(), "dim"))
        if height >= 14:
            count = min((height - len(made) - 2) // 3, 14)
            if width >= 70:
                left = (width - 2) // 2
                pairs = zip_longest(self._rate_lines(left, count), self._talker_lines(width - 2 - left, count), fillvalue=Text())
                made += [_beside(a, b, left + 2) for a, b in pairs]
            else:
                made += [*self._rate_lines(width, count // 2), *self._talker_lines(width, count // 2)]
        made += self._packet_lines(width, max(height - len(made), 0))
        for line in made:
            line.truncate(width, overflow="crop")
        return made[:height]

    def _head(self, width: int) -> list[Text]:
        """What is listened on, in two lines at most, and the time since the start."""
        elapsed = f" {amounts.elapsed(self._clock() - self._began)}"
        if width >= 70:
            elapsed = f" {ENDS} {elapsed}"
        room = max(width - len("headwater ") - len(elapsed), 1)
        first, *more = wrap(safe(self._describe()), room, max_lines=2, placeholder="…") or [""]
        return [Text.assemble(("headwater ", "bold"), fit(first, room), (elapsed, "dim")), *(Text(" " * 10 + line) for line in more)]

    def _rate_line(self, width: int) -> Text:
        packets, bits = amounts.count(self._now[0]), amounts.count(self._now[1], "b/s")
        line = Text("at least " if self._at_least else "").append(f"{packets:>6} packets/s {bits:>9}  ")
        most = max(*self._history, 1.0)
        past = list(self._history)[-max(width - len(line), 1) :]
        return line.append("".join(_SHADES[-int(-bits / most * 8 // 1)] for bits in past), _BAR)

    def _ledger_lines(self, width: int) -> Iterator[Text]:
        """seen, rows and what else became of packets; where anything was dropped, by whom and why, in red."""
        terms: dict[str, int] = {}
        lost: dict[str, int] = {}
        for entry, count in sorted(self._totals.items()):
            if entry.term == "dropped" and count and (entry.ledger == "packets" or (entry.place, entry.reason) not in RING_FULL):
                place = f"{entry.place} {entry.reason}".replace("_", " ")
                what = place if entry.ledger == "packets" else f"{safe(entry.subject)}: {place}"
                lost[what] = lost.get(what, 0) + count
            if entry.ledger == "packets":
                terms[entry.term] = terms.get(entry.term, 0) + count
        seen, segments = terms.get("seen", 0), terms.get("segments", 0)
        line = Text(f"seen {seen:,}")
        if segments > seen * 1.01:  # a packet a CPU may be between the two counts
            line.append(f" frames ({segments:,} packets)")
        line.append(f" = rows {terms.get('as_row', 0):,}")
        for term in ("filtered", "in_flow", "sampled_out", "counted_only", "duplicate_hook"):
            if terms.get(term):
                line.append(f" + {term.replace('_', ' ')} {terms[term]:,}")
        dropped = terms.get("dropped", 0)
        line.append(" + ").append(f"dropped {dropped:,}", _BAD if dropped else "")
        yield line
        if lost:
            what = ", ".join(f"{count:,} {what}" for what, count in lost.items())
            part, _ = ring_loss(self._totals)
            yield Text(fit(f"lost: {what}{f' ({part}): make ring_bytes larger' if part else ''}", width).rstrip(), _BAD)

    def _rate_lines(self, width: int, count: int) -> Iterator[Text]:
        label = min(max(width - 26, 8), 22)
        bar = min(max(width - label - 21, 0), 20)
        yield Text().append(f"{'protocol':<{label}} packets/s    bits/s", "bold")
        most = max((bits for _, _, bits in self._rates), default=1.0) or 1.0
        for what, packets, bits in self._rates[:count]:
            line = Text().append(fit(what, label), _PROTOCOL_STYLES.get(what.split(" ")[0], ""))
            line.append(f" {amounts.count(packets):>9} {amounts.count(bits, 'b/s'):>9} ")
            yield line.append("█" * max(round(bits / most * bar), 1), _BAR)
        yield from [Text()] * max(count - len(self._rates), 0)

    def _talker_lines(self, width: int, count: int) -> Iterator[Text]:
        room = max(width - 20, 8)
        yield Text(f"{'top talker':<{room}} packets/s    bits/s", "bold")
        for address, packets, bits in self._talkers[:count]:
            text, name = fit_address(names.address_text(address), names.address(address), room)
            line = Text(text).append(f" {name}" if name else "", _STYLES["name"])
            line.append(" " * (room - len(line)))
            yield line.append(f" {amounts.count(packets):>9} {amounts.count(bits, 'b/s'):>9}")
        yield from [Text()] * max(count - len(self._talkers), 0)

    def _packet_lines(self, width: int, height: int) -> Iterator[Text]:
        with self._lock:
            latest = list(self._latest)
        packets = [packet for batch in latest for packet in words(Batch(batch.record, batch.rows[-height:], batch.interfaces))][
            1 - height :
        ]
        if not packets:
            yield from self._nothing_yet()
            return
        self._interfaces.update(dict.fromkeys(packet.interface for packet in packets))
        while len(self._interfaces) > KEPT_ROWS:
            del self._interfaces[next(iter(self._interfaces))]
        at = columns(width, max(map(len, self._interfaces)) if len(self._interfaces) > 1 else 0)
        yield Text(heading(at), "bold")
        for packet in packets:
            line = Text()
            for text, kind in cells(packet, at):
                style = _PROTOCOL_STYLES.get(packet.protocol, "") if kind == "protocol" else _STYLES.get(kind, "")
                line.append(text, style).append(" ")
            line.rstrip()
            yield line

    def _nothing_yet(self) -> Iterator[Text]:
        seconds = self._clock() - self._began
        if seconds < PATIENCE_S:
            yield Text("waiting for the first packet", "dim")
            return
        if self._rates:
            yield Text("Packets come, and none becomes a row: the filter keeps none of them, or detail is rates.", "dim")
            return
        yield Text(f"No packet in {int(seconds)} s. Listening on {safe(self._describe())}.", "bold")
        yield Text("Try")
        for command, why in tries():
            yield Text.assemble(f"  {command}  ", (why, "dim"))


def _beside(left: Text, right: Text, column: int) -> Text:
    line = left.copy()
    line.truncate(column, overflow="crop")
    line.append(" " * (column - line.cell_len))
    return line.append_text(right)


def _by_protocol(rates: Batch, seconds: float) -> list[tuple[str, float, float]]:
    """(protocol and service, packets/s, bits/s) of all interfaces and directions, the most bits first."""
    rows = rates.rows
    has = rows["has"]
    kind = np.select([has & HAS["ip"] != 0, has & HAS["ethertype"] != 0, has != 0], [3, 2, 1], 0).astype(np.uint64)
    number = np.select([kind == 3, kind == 2], [rows["proto"], rows["ethertype"]], 0).astype(np.uint64)
    keys = kind << 40 | number << 20 | np.where(has & HAS["ports"] != 0, rows["port"].astype(np.uint64) + 1, 0)
    keys, places = np.unique(keys, return_inverse=True)
    packets = np.bincount(places, rows["packets"], len(keys))
    octets = np.bincount(places, rows["bytes"], len(keys))
    order = np.argsort(octets)[: -KEPT_ROWS - 1 : -1]
    found = zip(keys[order].tolist(), packets[order].tolist(), octets[order].tolist(), strict=True)
    return [(_protocol(key), count / seconds, size * 8 / seconds) for key, count, size in found]


def _protocol(key: int) -> str:
    kind, number, port = key >> 40, key >> 20 & 0xFFFFF, (key & 0xFFFFF) - 1
    if kind == 3:
        return f"{names.protocol(number)} {names.service(number, port) or port}" if port >= 0 else names.protocol(number)
    if kind == 2:
        return names.ethertype(number)
    return "LLC" if kind else "other"
