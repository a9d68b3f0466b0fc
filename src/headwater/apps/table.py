"""Rows of a capture as a table on a terminal: `headwater read FILE`."""

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TextIO

import numpy as np
from rich.cells import cell_len, set_cell_size

from headwater.apps import conns, messages, packets
from headwater.errors import OutputClosed, SinkError
from headwater.records import Batch

_MICROSECONDS = 15  # HH:MM:SS.ffffff
_WHOLE = packets.Columns(_MICROSECONDS, 15, 3, 39, 9, 10, 1 << 20)
TABLES = ("conn", "packet", *messages.SHOWN)
"""The records that there is a table of."""


class Table:
    """Writes the rows of one record as they come, in columns that only `width` (cells; None cuts nothing) decides. An outlet's place.

    A line with the date comes first and where the day changes; times are local. Other records are passed over.
    """

    def __init__(self, record: str, stream: TextIO, width: int | None) -> None:
        self.failure: SinkError | None = None
        self._record = record
        self._stream = stream
        self._width = width
        self._at: packets.Columns | None = None
        self._day = ""

    def prepare(self) -> None:
        """Nothing to open."""

    def open(self) -> None:
        """Nothing to begin."""

    def put(self, batch: Batch) -> None:
        """Write the rows. Raises OutputClosed."""
        if batch.record.name != self._record:
            return
        batch = batch.packets()
        if not len(batch):
            return
        try:
            self._write_heading(batch)
            for start, stop, date in _days(batch):
                if date and date != self._day:
                    self._day = date
                    self._write([f"-- {date}"])
                self._write(self._lines(Batch(batch.record, batch.rows[start:stop], batch.interfaces)))
        except BrokenPipeError:
            self.failure = OutputClosed()
            raise self.failure from None

    def flush(self) -> None:
        """What was written is on the screen. Raises OutputClosed."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise OutputClosed from None

    def close(self) -> None:
        """Nothing to close."""

    def give_up(self) -> None:
        """It waits for nobody."""

    def _write_heading(self, batch: Batch) -> None:
        if self._at is not None:
            return
        several = len(batch.interfaces) > 1
        longest = max((len(name) for name in batch.interfaces.values()), default=0) if several else 0
        precise = self._width is None or self._width >= 96
        self._at = _WHOLE if self._width is None else packets.columns(self._width, longest, _MICROSECONDS if precise else 12)
        if self._record in messages.SHOWN:
            self._write([messages.heading(self._record)])
        else:
            self._write([conns.heading(self._width) if self._record == "conn" else packets.heading(self._at)])

    def _lines(self, batch: Batch) -> Iterable[str]:
        if self._record == "conn":
            return conns.lines(batch, self._width)
        if self._record in messages.SHOWN:
            return messages.lines(batch)
        assert self._at is not None  # noqa: S101 - the heading comes first
        at = self._at
        return (" ".join(text for text, _ in packets.cells(packet, at)).rstrip() for packet in packets.words(batch))

    def _write(self, lines: Iterable[str]) -> None:
        text = "\n".join(line if self._width is None else cut(line, self._width) for line in lines)
        encoding = self._stream.encoding or "utf-8"
        self._stream.write((text if text.isascii() else text.encode(encoding, "replace").decode(encoding)) + "\n")


def cut(line: str, width: int) -> str:
    """As much of it as goes into so many cells."""
    return line if cell_len(line) <= width else set_cell_size(line, width)


def _days(batch: Batch) -> Iterator[tuple[int, int, str]]:
    """(first, behind the last, local date) of stretches of rows of one quarter of an hour: a day begins with one in every time zone.

    Rows without a time have no date.
    """
    quarters = batch.rows["ts"] // 900_000_000_000
    edges = [0, *(np.flatnonzero(quarters[1:] != quarters[:-1]) + 1).tolist(), len(batch)]
    for start, stop in pairwise(edges):
        quarter = int(quarters[start])
        yield start, stop, time.strftime("%Y-%m-%d", time.localtime(quarter * 900)) if quarter else ""
