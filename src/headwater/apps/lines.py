"""A line a flow, a packet or a message, for pipes and files: `headwater run | grep ...`. What the live view is on a terminal."""

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from headwater.apps import conns, messages
from headwater.apps.console import typed
from headwater.apps.packets import EVERYDAY, Words, safe, words
from headwater.apps.table import cut
from headwater.records import PACKET, Batch, Record
from headwater.telemetry import Entry

PATIENCE_S = 5.0  # without a packet before it says what to try
LINES_PER_DRAW = 1000  # of twenty draws a second: more than a person or grep follows, and a fifth of a core

_CALLED = {"packet": "packets", "conn": "flows"}


def tries() -> list[tuple[str, str]]:
    """What to try where no packet comes: commands, all padded alike, and what each is for."""
    command = typed()
    found = [
        ("ping 1.1.1.1", "in another window: makes traffic"),
        (f"{command} run -i any", "listens on every interface"),
        (f"{command} demo", "watches traffic that it makes itself"),
        (f"{command} doctor", "says what works here, and what does not"),
    ]
    width = max(len(one) for one, _ in found)
    return [(one.ljust(width), why) for one, why in found]


def line(packet: Words) -> str:
    """TIME INTERFACE DIRECTION PROTOCOL SOURCE > DESTINATION OCTETS, and words; what is missing is "-"."""
    ends = []
    for address, port in ((packet.src, packet.sport), (packet.dst, packet.dport)):
        ends.append((f"[{address}]:{port}" if ":" in address else f"{address}:{port}") if port else address or "-")
    parts = [
        packet.time,
        packet.interface,
        packet.direction or "-",
        packet.protocol,
        ends[0],
        ">",
        ends[1],
        str(packet.length),
        packet.what,
    ]
    if packet.weird:
        parts.append(f"weird={packet.weird}")
    if packet.src_name not in EVERYDAY:
        parts.append(f"(from {packet.src_name})")
    if packet.dst_name not in EVERYDAY:
        parts.append(f"({packet.dst_name})")
    return " ".join(part for part in parts if part)


class Lines:
    """Writes rows `of` packets, of flows (conn), or of messages, as lines to `stream`, and what it has to say itself to `notes`. What it
    is given goes through `change`.

    update() only copies rows, up to what one draw() prints; what is more is counted and told each second, so that neither memory nor
    time is lost on lines that nobody can read. draw() formats, writes and flushes. `describe` tells what is listened on.
    Raises BrokenPipeError when the reader has gone.
    """

    def __init__(
        self,
        stream: TextIO,
        notes: TextIO,
        describe: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        *,
        of: Record = PACKET,
        change: Callable[[Batch], Batch] = lambda batch: batch,
    ) -> None:
        self.watches = frozenset({of.name})
        self._of = of
        self._change = change
        self._stream = stream
        self._notes = notes
        self._describe = describe
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Batch] = deque()
        self._room = LINES_PER_DRAW
        self._unprinted = 0
        self._quiet_since: float | None = clock()  # None once there was a packet, or the hint

    def open(self) -> None:
        """Start to be patient."""
        self._quiet_since = self._clock()
        if self._of is not PACKET:
            self._write(self._notes, f"{messages.heading(self._of.name) if self._of.name in messages.SHOWN else conns.heading(None)}\n")
            self._notes.flush()

    def close(self) -> None:
        """Write what waits."""
        self.draw()
        self._tell_unprinted()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()

    def update(self, batch: Batch) -> None:
        """Take the first rows of a batch, as many as there is room for; from any thread."""
        if not len(batch):
            return
        self._quiet_since = None
        batch = self._change(batch)
        with self._lock:
            taken = min(len(batch), self._room)
            self._room -= taken
            self._unprinted += len(batch) - taken
            if taken:
                self._waiting.append(Batch(batch.record, np.array(batch.rows[:taken]), dict(batch.interfaces)))

    def tick(self, rates: Batch, talkers: np.ndarray[Any, np.dtype[Any]], totals: Mapping[Entry, int]) -> None:  # noqa: ARG002 - a watcher
        """A second has gone by."""
        self._tell_unprinted()
        if len(rates):  # a filter, or detail = "rates", leaves no packet to show
            self._quiet_since = None

    def draw(self) -> None:
        """Write the lines of what update() took, and say what to try where nothing comes."""
        with self._lock:
            waiting, self._waiting, self._room = self._waiting, deque(), LINES_PER_DRAW
        for batch in waiting:
            self._write(self._stream, "".join(f"{one}\n" for one in self._lines(batch)))
        if waiting:
            self._stream.flush()
        if self._quiet_since is not None and self._clock() - self._quiet_since >= PATIENCE_S:
            self._quiet_since = None
            what = "".join(f"  {command}  {why}\n" for command, why in tries())
            self._write(self._notes, f"headwater: no packet in {PATIENCE_S:.0f} s on {safe(self._describe())}. Try\n{what}")
            self._notes.flush()

    def fileno(self) -> int:
        """It draws when it is asked to."""
        return -1

    def _lines(self, batch: Batch) -> Iterable[str]:
        if self._of.name in messages.SHOWN:
            width = shutil.get_terminal_size().columns if self._stream.isatty() else 0
            return (cut(one, width) if width else one for one in messages.lines(batch))
        return map(line, words(batch)) if self._of is PACKET else conns.lines(batch, None)

    def _tell_unprinted(self) -> None:
        with self._lock:
            count, self._unprinted = self._unprinted, 0
        if count:
            self._write(
                self._notes,
                f"headwater: {count:,} {_CALLED.get(self._of.name, 'messages')} not printed, too many to read; -o DIR keeps all\n",
            )
            self._notes.flush()

    def _write(self, stream: TextIO, text: str) -> None:
        encoding = stream.encoding or "utf-8"
        stream.write(text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding))
