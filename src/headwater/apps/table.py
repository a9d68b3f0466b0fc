"""Packets of a capture as a table on a terminal: `headwater read FILE`."""

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TextIO

import numpy as np
from rich.cells import cell_len, set_cell_size

from headwater.apps.packets import Columns, cells, columns, heading, words
from headwater.records import Batch

_MICROSECONDS = 15  # HH:MM:SS.ffffff
_WHOLE = Columns(_MICROSECONDS, 15, 3, 39, 9, 10, 1 << 20)


def write_table(batches: Iterable[Batch], stream: TextIO, width: int | None) -> None:
    """Write the packets of `batches` as they come, in columns that only `width` (cells; None cuts nothing) decides.

    A line with the date comes first and where the day changes; times are local. Other records are passed over.
    """
    at, day = None, ""
    for batch in batches:
        if batch.record.name != "packet" or not len(batch):
            continue
        if at is None:
            several = len(batch.interfaces) > 1
            longest = max((len(name) for name in batch.interfaces.values()), default=0) if several else 0
            at = columns(width, longest, _MICROSECONDS if width >= 96 else 12) if width is not None else _WHOLE
            _write(stream, heading(at) if width is None else _cut(heading(at), width))
        for start, stop, date in _days(batch):
            if date and date != day:
                day = date
                _write(stream, f"-- {date}")
            part = Batch(batch.record, batch.rows[start:stop], batch.interfaces)
            told = (" ".join(text for text, _ in cells(packet, at)).rstrip() for packet in words(part))
            _write(stream, "\n".join(told if width is None else (_cut(line, width) for line in told)))


def _cut(line: str, width: int) -> str:
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


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write((text if text.isascii() else text.encode(encoding, "replace").decode(encoding)) + "\n")
