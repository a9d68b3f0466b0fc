"""From sources to outlets: who reads, who counts, who is told, and a stop that loses nothing.

One thread reads each source and hands its batches on while they are borrowed: to the roll-up, which is C, to the outlets, which copy,
to the analyses, and to whoever watches. The calling thread ticks once a second: the ledger, the rates, the view.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Protocol

import numpy as np

from headwater.errors import HeadwaterError, SinkError
from headwater.filters import AnyFilter, Filter
from headwater.interfaces import Analysis, Counting, Filtering, Source
from headwater.records import CARRIED, FLOW_EVENT, LEDGER, PACKET, Batch
from headwater.records.layouts import FilterOf
from headwater.records.rollup import Rollup
from headwater.telemetry import Entry, Ledger

TICK_S = 1.0
FRAME_S = 0.05  # between two drawings: with the source's pause, a packet is shown within 100 ms
RESTLESS_S = 0.5  # after news, in which a watcher is asked again: it may have thought a drawing too early


class Watcher(Protocol):
    """Who looks on: the live view, a progress bar."""

    watches: frozenset[str]
    """Records whose rows it is given."""

    def open(self) -> None:
        """The run begins."""

    def close(self) -> None:
        """It has ended."""

    def update(self, batch: Batch) -> None:
        """Rows, in a source's thread or that of tick(); what is kept must be copied. Packets of a capture may have carriers among them
        (Batch.packets).
        """

    def tick(self, rates: Batch, talkers: np.ndarray[Any, np.dtype[Any]], totals: dict[Entry, int]) -> None:
        """A second's sums."""

    def draw(self) -> None:
        """Show what has changed; called once a second, and soon after each update(), about twenty times a second at most."""

    def fileno(self) -> int:
        """Readable when it wants to draw for a reason of its own, a key for instance; -1 for never."""


class Output(Protocol):
    """What batches are offered to: an outlet, or a file of packets. `failure` is why it takes nothing any more."""

    failure: SinkError | None

    def prepare(self) -> None:
        """Open what it writes to, without beginning. Raises SinkError."""

    def open(self) -> None:
        """Begin. Raises SinkError."""

    def put(self, batch: Batch) -> None:
        """Take what is of use to it, of packets not their carriers; what is kept must be copied. Raises SinkError once it has failed."""

    def flush(self) -> None:
        """Deliver what was taken. Raises as put()."""

    def close(self) -> None:
        """End: what cannot be delivered is lost, and counted."""

    def give_up(self) -> None:
        """Make close() wait for nobody. Callable from a signal handler."""


class _Bell:
    """Wakes whoever polls it. An eventfd, and not a threading.Event, whose lock a signal handler could find held by its own thread."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __del__(self) -> None:
        os.close(self._fd)

    def ring(self) -> None:
        """Wake."""
        os.eventfd_write(self._fd, 1)

    def wait(self, seconds: float, other: int = -1) -> None:
        """Until it has been rung, and is silent again then; but no longer than that, nor when the descriptor `other` is readable."""
        poll = select.poll()
        for fd in {self._fd, other} - {-1}:
            poll.register(fd, select.POLLIN)
        if self._fd in dict(poll.poll(max(seconds, 0) * 1000)):
            os.eventfd_read(self._fd)


def _together(rates: Sequence[Batch]) -> Batch:
    """What several sources counted, for a picture of them all."""
    if len(rates) == 1:
        return rates[0]
    names = {index: name for batch in rates for index, name in batch.interfaces.items()}
    record = rates[0].record
    return Batch(record, np.concatenate([batch.rows for batch in rates], dtype=record.dtype), names)


class Pipeline:
    """Runs `sources` into `outlets` until they end, `seconds` have gone by, or stop().

    `analyses` makes those of the source of a name. Of packets that a source has not chosen by it already (Batch.tracked), those that
    `packet_filter` keeps go to outlets.
    `once_open` is called when sources and sinks are open, and before any thread of theirs begins: the moment to give privileges away.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        outlets: Sequence[Output],
        ledger: Ledger,
        watcher: Watcher | None = None,
        *,
        rates: bool = True,
        analyses: Callable[[str], Sequence[Analysis]] = lambda _: (),
        packet_filter: Filter | None = None,
        once_open: Callable[[], None] | None = None,
    ) -> None:
        self._sources = sources
        self._outlets = outlets
        self._ledger = ledger
        self._watcher = watcher
        self._packet_filter: AnyFilter | None = packet_filter
        self._once_open = once_open
        self._rollup = Rollup() if rates else None
        self._analyses = [analyses(source.name) for source in sources]
        self._rollup_lock = threading.Lock()
        self._stopping = False
        self._bell = _Bell()
        self._news = False  # since the watcher was last asked to draw
        self._at_rest = False  # the calling thread sleeps until something happens
        self._ended: list[Source] = []
        self._errors: list[BaseException] = []
        self._told: dict[Entry, int] = {}
        self._last_tick = self._told_at = time.time_ns()

    def stop(self) -> None:
        """End soon, in good order; a second time, without waiting for outlets. Callable from a signal handler."""
        if self._stopping:
            for outlet in self._outlets:
                outlet.give_up()
        self._stopping = True
        self._bell.ring()

    def set_filter(self, filter: AnyFilter | None, of: FilterOf) -> None:
        """See interfaces.Filtering: that of rows for packets that become any, of flows for those that are over. While it runs."""
        analyses = (analysis for each in self._analyses for analysis in each)
        for part in (*analyses, *self._sources):  # whoever is told of flows first, then who tells
            if isinstance(part, Filtering):
                part.set_filter(filter, of)
        if of is FilterOf["rows"]:
            self._packet_filter = filter

    def run(self, seconds: float | None = None) -> None:
        """Open, run, close. Raises the first error of a source or outlet, after everything that was read is delivered or counted."""
        with ExitStack() as stack:
            for source in self._sources:  # first: a mistyped interface must not leave empty files
                source.open()
                stack.callback(source.close)
            for outlet in self._outlets:
                outlet.prepare()
                stack.callback(outlet.close)
            if self._once_open:
                self._once_open()
            for outlet in self._outlets:
                outlet.open()
            if self._watcher:
                self._watcher.open()
                stack.callback(self._watcher.close)
            self._run(time.monotonic() + seconds if seconds is not None else None)
        self._end_with_outlets()  # a file that needs an end may find only there that it has no room
        if self._errors:
            raise self._errors[0]

    def _run(self, deadline: float | None) -> None:
        threads = [
            threading.Thread(target=self._read, args=pair, name=pair[0].name) for pair in zip(self._sources, self._analyses, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads, deadline)
        finally:
            for source in self._sources:
                source.stop()
            for thread in threads:
                thread.join()
            self._tick()
            for outlet in self._outlets:  # so that the last ledger, which goes out after all else, has nothing under way
                try:
                    outlet.flush()
                except SinkError as error:
                    self._fail(error)
            self._put_ledger()
        if self._watcher:
            self._watcher.draw()

    def _watch(self, threads: Sequence[threading.Thread], deadline: float | None) -> None:
        now = time.monotonic()
        next_tick, restless_until = now + TICK_S, 0.0
        end = deadline if deadline is not None else float("inf")
        while len(self._ended) < len(threads):
            self._at_rest = now >= restless_until  # before drawing: what comes after that rings
            if self._watcher:
                self._watcher.draw()
            wake_at = min(next_tick, end, next_tick if self._at_rest else now + FRAME_S)
            self._bell.wait(wake_at - now, self._watcher.fileno() if self._watcher else -1)
            now = time.monotonic()
            if self._stopping or now >= end:
                return
            if self._news:
                self._news, restless_until = False, now + RESTLESS_S
            if now >= next_tick:
                next_tick += TICK_S
                self._tick()

    def _read(self, source: Source, analyses: Sequence[Analysis]) -> None:
        with suppress(OSError):  # a service manager may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # its turn, without interrupting those whose packets it reads
        try:
            next_tick = time.monotonic() + TICK_S
            for batch in source.read():
                if analyses and time.monotonic() >= next_tick:
                    next_tick += TICK_S
                    for analysis in analyses:
                        self._offer(analysis.tick(time.time_ns()))
                if len(batch):
                    self._take(source, batch, analyses)
        except HeadwaterError as error:
            self._errors.append(error)
        except BaseException as error:  # noqa: BLE001 - whatever ends a source ends the run, and is raised again in run()
            self._fail(error)
        finally:
            try:
                for analysis in analyses:
                    self._offer(analysis.end())
            except BaseException as error:  # noqa: BLE001 - likewise
                self._fail(error)
            self._ended.append(source)  # first: who is woken may look before this thread has gone
            self._bell.ring()

    def _take(self, source: Source, batch: Batch, analyses: Sequence[Analysis]) -> None:
        if batch.record is FLOW_EVENT or batch.record is CARRIED or batch.deferred:
            for analysis in analyses:
                self._offer(analysis.find(batch if analysis.reads_carriers else batch.packets()))
            return
        if batch.record is not PACKET:  # the roll-up, analyses and watchers read nothing else
            self._offer([batch])
            return
        if self._rollup:
            with self._rollup_lock:
                self._rollup.add(batch.packets(), rates=not isinstance(source, Counting))
        if len(shown := self._shown(batch)):
            self._offer([shown])
        for analysis in analyses:
            self._offer(analysis.find(batch if analysis.reads_carriers else batch.packets()))

    def _shown(self, batch: Batch) -> Batch:
        filter = self._packet_filter
        if not isinstance(filter, Filter) or batch.tracked:
            return batch
        packets = batch.packets()
        return packets.where(filter.mask(packets))

    def _offer(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            for outlet in self._outlets:
                try:
                    outlet.put(batch)
                except SinkError as error:
                    self._fail(error)
            if self._watcher and batch.record.name in self._watcher.watches:
                self._watcher.update(batch)
                self._news = True
                if self._at_rest:
                    self._at_rest = False
                    self._bell.ring()

    def _end_with_outlets(self) -> None:
        """One may have failed since it was last put anything: the reader of standard output has gone, and no packet comes."""
        for outlet in self._outlets:
            if outlet.failure:
                self._fail(outlet.failure)

    def _fail(self, error: BaseException) -> None:
        """End the run; it will be raised in run()."""
        if error not in self._errors:
            self._errors.append(error)
        self._stopping = True
        self._bell.ring()
        for source in self._sources:
            source.stop()

    def _tick(self) -> None:
        now = time.time_ns()
        for source in self._sources:
            source.account()
        for analyses in self._analyses:
            for analysis in analyses:
                analysis.account(self._ledger)
        if self._rollup:
            with self._rollup_lock:
                rates, talkers = self._rollup.take(self._last_tick)
            counted = [source.rates(self._last_tick) for source in self._sources if isinstance(source, Counting)]
            self._offer([rates, *counted])
            if self._watcher:
                self._watcher.tick(_together([rates, *counted]), talkers, self._ledger.totals())
        self._last_tick = now
        self._put_ledger()
        self._end_with_outlets()

    def _put_ledger(self) -> None:
        self._offer([self.ledger_batch()])

    def ledger_batch(self) -> Batch:
        """What was counted since the last one, a row a term."""
        totals, now = self._ledger.totals(), time.time_ns()
        interval = (now - self._told_at) / 1e9
        grown = [
            (e, count - self._told.get(e, 0)) for e, count in totals.items() if e.term not in ("queued", "spooled", "waiting")
        ]  # levels
        rows = np.array([(now, interval, e.ledger, e.subject, e.term, e.place, e.reason, more) for e, more in grown if more], LEDGER.dtype)
        self._told, self._told_at = totals, now
        return Batch(LEDGER, rows)
