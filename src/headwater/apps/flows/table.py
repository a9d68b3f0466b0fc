"""The flows that are shown: the last that was told of each. In arrays; of a flow, Python has the uid and nothing else."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from headwater.errors import SinkError
from headwater.records import CONN, CONN_LONG, Batch

MOST = 100_000
OVER_S = 5.0  # how long a flow that is over stays to be seen
SILENT_S = 2.5  # without a report, which comes each half second to one and a half while there are packets
_SLACK = 2  # half as many again may gather before the least are left out, which takes its time
_WAIT = 8  # an eighth of them may wait to be looked at
_OCTETS = ("orig_ip_bytes", "resp_ip_bytes")
_LEAST_S = 0.05  # less is too short for a rate

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Kept:
    """Flows as of one moment, `now` (nanoseconds of UTC): rows of conn, and beside each what its row does not tell.

    `rates` are octets a second, of the originator and of the responder; NaN where there is none. `over` says which have ended.
    """

    batch: Batch
    rates: Array
    over: Array
    now: int

    def __len__(self) -> int:
        return len(self.batch)

    def where(self, places: Array) -> "Kept":
        """Some of them, by mask or indices, in memory of their own."""
        return Kept(self.batch.where(places), self.rates[places], self.over[places], self.now)

    def octets(self, column: str) -> Array:
        """A column of octets, an address or a uid, so that it can be compared and sorted."""
        values = self.batch.rows[column]
        return np.ascontiguousarray(values).view(f"S{values.dtype.itemsize}")

    def numbers(self, column: str) -> Array:
        """A column as floats, NaN where it is absent."""
        found = self.batch.rows[column].astype(np.float64)
        found[~self.batch.present(column)] = np.nan
        return found

    def names(self, column: str) -> list[str]:
        """A column of enumerators by name."""
        known = self.batch.record.column(column).names or {}
        return [known.get(value, "?") for value in self.batch.rows[column].tolist()]

    def find(self, uid: bytes) -> "Kept | None":
        """The flow of that uid alone, if it is kept."""
        found = np.flatnonzero(self.octets("uid") == uid.rstrip(b"\0"))
        return self.where(found[:1]) if len(found) else None


class FlowTable:
    """Takes rows of conn and conn_long, in an outlet's place, and keeps the last one of each flow.

    Live, rates are those between two reports of a flow; one that is over goes after OVER_S. Else they are those over its whole
    duration, and nothing goes. `most` are kept, or half as many again: live the fastest, else those with the most octets; `left_out`
    tells how often one was not.
    """

    def __init__(self, *, live: bool, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.failure: SinkError | None = None
        self.left_out = 0
        self.live = live
        self._most = most
        self._clock = clock
        self._shut = False
        self._waiting: list[Batch] = []
        self._waiting_rows = 0
        self._waiting_lock = threading.Lock()
        self._lock = threading.Lock()  # of all that follows
        self._index: dict[bytes, int] = {}  # uid to place
        self._interfaces: Mapping[int, str] = {}
        self._rows = np.empty(0, CONN.dtype)
        self._rates = np.empty((0, 2))
        self._told = np.empty(0, np.int64)  # the time that the row tells of, UTC
        self._heard = np.empty(0)  # when it came, by our clock
        self._over = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return len(self._index)

    def prepare(self) -> None:
        """Nothing to open."""

    def open(self) -> None:
        """Nothing to begin."""

    def put(self, batch: Batch) -> None:
        """Take rows, in the source's thread. They wait until somebody looks, or until they are many."""
        if batch.record.name not in (CONN.name, CONN_LONG.name) or not len(batch) or self._shut:
            return
        with self._waiting_lock:
            self._waiting.append(batch.copy())
            self._waiting_rows += len(batch)
        if self._waiting_rows > self._most // _WAIT:
            with self._lock:
                self._take()

    def flush(self) -> None:
        """Nothing is on its way."""

    def close(self) -> None:
        """Nothing to close: what was kept can still be looked at."""

    def give_up(self) -> None:
        """It waits for nobody."""

    def shut(self) -> None:
        """Take no more: nobody will look."""
        self._shut = True

    @contextmanager
    def kept(self) -> Iterator[Kept]:
        """All that are to be shown. They are the table's own memory: good until the end of the block, in which put() may have to wait."""
        with self._lock:
            self._take()
            if self.live:
                self._forget(self._over & (self._clock() - self._heard > OVER_S))
            count = len(self._index)
            rates = self._rates[:count]
            if self.live:
                rates = np.where((self._clock() - self._heard[:count] > SILENT_S)[:, None] & ~np.isnan(rates), 0.0, rates)
            yield Kept(Batch(CONN, self._rows[:count], self._interfaces), rates, self._over[:count], time.time_ns())

    def _take(self) -> None:
        with self._waiting_lock:
            waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        for batch in waiting:
            self._merge(batch)
            if len(self._index) > self._most + self._most // _SLACK:
                self._leave_out()

    def _merge(self, batch: Batch) -> None:
        rows, index, before = batch.rows, self._index, len(self._index)
        places = np.fromiter((index.setdefault(uid, len(index)) for uid in rows["uid"].tolist()), np.intp, len(rows))
        self._grow(len(index))
        over = batch.record.name == CONN.name
        told = (rows["ts"] + rows["duration"] if over else rows["progress"]).astype(np.int64)
        known = places < before
        octets = np.stack([rows[column] for column in _OCTETS], axis=1).astype(np.float64)
        if over:
            seconds = rows["duration"] / 1e9
            rates = np.full_like(octets, np.nan)
            if not self.live:
                np.divide(octets, seconds[:, None], out=rates, where=seconds[:, None] > 0)
        else:
            since = np.where(known, self._told[places], rows["ts"].astype(np.int64))
            since = np.maximum(since, told - round(SILENT_S * 1e9))  # before that it was silent
            had = np.stack([self._rows[column][places] for column in _OCTETS], axis=1) * known[:, None]
            seconds = (told - since) / 1e9
            rates = np.where(known[:, None], self._rates[places], np.nan)
            np.divide(octets - had, seconds[:, None], out=rates, where=seconds[:, None] > _LEAST_S)
        _octets(self._rows)[places] = _octets(rows)
        self._rates[places] = rates
        self._told[places] = told
        self._heard[places] = self._clock()
        self._over[places] = over
        self._interfaces = batch.interfaces

    def _grow(self, count: int) -> None:
        room = len(self._rows)
        if count <= room:
            return
        more = max(count, 2 * room, 1024) - room
        self._rows = np.concatenate([_octets(self._rows), np.empty(more, f"V{CONN.dtype.itemsize}")]).view(CONN.dtype)
        self._rates = np.concatenate([self._rates, np.full((more, 2), np.nan)])
        self._told = np.concatenate([self._told, np.zeros(more, np.int64)])
        self._heard = np.concatenate([self._heard, np.zeros(more)])
        self._over = np.concatenate([self._over, np.zeros(more, np.bool_)])

    def _forget(self, gone: Array) -> None:
        """Go on without these."""
        count = len(self._index)
        if not gone[:count].any():
            return
        left = np.flatnonzero(~gone[:count])
        uids = self._rows["uid"][left].tolist()
        _octets(self._rows)[: len(left)] = _octets(self._rows)[left]
        for of in (self._rates, self._told, self._heard, self._over):
            of[: len(left)] = of[left]
        self._index = dict(zip(uids, range(len(left)), strict=True))

    def _leave_out(self) -> None:
        """All but the `most` that matter most."""
        count = len(self._index)
        rows = self._rows[:count]
        octets = rows[_OCTETS[0]] + rows[_OCTETS[1]]
        if self.live:
            fast = np.nan_to_num(self._rates[:count]).sum(axis=1) * (self._clock() - self._heard[:count] <= SILENT_S)
            order = np.lexsort((octets, fast, ~self._over[:count]))
        else:
            order = np.argsort(octets, kind="stable")
        gone = np.zeros(count, np.bool_)
        gone[order[: count - self._most]] = True
        self.left_out += int((gone & ~self._over[:count]).sum()) if self.live else int(gone.sum())
        self._forget(gone)


def _octets(rows: Array) -> Array:
    """The rows as opaque octets, which numpy copies faster than structs."""
    return rows.view(f"V{rows.dtype.itemsize}")
