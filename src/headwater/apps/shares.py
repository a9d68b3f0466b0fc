"""What processes that share the reading of captures tell: rows and counts, as MessagePack through a pipe."""

from collections.abc import Collection, Mapping
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec
import numpy as np

from headwater.apps.outlets import RECORDS
from headwater.records import Batch, Record, messages
from headwater.records.layouts import WEIRDS
from headwater.records.numbered import SERVICES, Numbered
from headwater.telemetry import Entry

_ROWS: Final = 1 << 14
"""After so many a part is sent."""


class Packed(msgspec.Struct, array_like=True):
    """A batch: rows of C as they lie, or those of Python as tuples. Texts that have a number in the sender are told with it."""

    record: str
    octets: bytes
    rows: list[tuple[Any, ...]]
    texts: dict[int, str]
    interfaces: dict[int, str]


class Part(msgspec.Struct, array_like=True):
    """What one process found in the packets of a step, or the next of it; the last part has the counts by then.

    `is_over`: no more packets are read, and this is of what was left. `problem` is why the captures could not be read to their end, `fault`
    what nobody foresaw.
    """

    packets: list[Packed] = []
    """Rows that packets made by themselves,"""
    flows: list[Packed] = []
    """and flows."""
    is_last: bool = False
    is_over: bool = False
    problem: str = ""
    fault: str = ""
    counts: list[tuple[Entry, int]] = []
    progress: tuple[str, int, int] | None = None


@cache
def _numbered(record: Record) -> tuple[str, Numbered] | None:
    """The column of a record whose numbers a process gives by itself."""
    found = ((column.name, texts) for column in record.columns for texts in (SERVICES, WEIRDS) if column.names is texts.names)
    return next(found, None)


def packed(batch: Batch) -> Packed:
    """As it is sent."""
    rows, texts = batch.rows, {}
    if column := _numbered(batch.record):
        name, numbered = column
        texts = {number: numbered.names[number] for number in np.unique(rows[name]).tolist() if number}
    of_python = rows.dtype.hasobject
    return Packed(
        batch.record.name, b"" if of_python else rows.tobytes(), rows.tolist() if of_python else [], texts, dict(batch.interfaces)
    )


def unpacked(one: Packed) -> Batch:
    """As it was, in memory of its own."""
    record = RECORDS[one.record]
    rows = messages.rows(record, one.rows) if one.rows else np.frombuffer(bytearray(one.octets), record.dtype)
    if (column := _numbered(record)) and one.texts:
        name, numbered = column
        ours = np.zeros(max(one.texts) + 1, rows.dtype[name])
        for number, text in one.texts.items():
            ours[number] = numbered[text]
        rows[name] = ours[rows[name]]
    return Batch(record, rows, one.interfaces)


class Sender:
    """Where a process puts what it finds. Raises BrokenPipeError where nobody takes it any more."""

    def __init__(self, pipe: Connection, wanted: Collection[str]) -> None:
        self._pipe = pipe
        self._wanted = wanted
        self._encode = msgspec.msgpack.Encoder().encode
        self._part = Part()
        self._rows = 0

    def put(self, batch: Batch, *, of_packets: bool) -> None:
        """Rows of a record, if it is wanted."""
        if batch.record.name not in self._wanted:
            return
        (self._part.packets if of_packets else self._part.flows).append(packed(batch))
        self._rows += len(batch)
        if self._rows >= _ROWS:
            self._send(Part(is_over=self._part.is_over))

    def over(self, problem: str = "", fault: str = "") -> None:
        """What comes from now on is what was left."""
        self._part.is_over, self._part.problem, self._part.fault = True, problem, fault

    def end(self, totals: Mapping[Entry, int], progress: tuple[str, int, int] | None) -> None:
        """Of a step."""
        part = self._part
        part.is_last, part.progress = True, progress
        part.counts = list(totals.items())
        self._send(Part())

    def _send(self, following: Part) -> None:
        self._pipe.send_bytes(self._encode(self._part))
        self._part, self._rows = following, 0
