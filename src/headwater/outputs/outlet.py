"""What stands between the pipeline and one sink: a bounded queue, a thread, sampling, gathering, retries, and the sink's record ledger.

A slow or broken sink loses its own rows, counted, and never another's.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from headwater.errors import OutputClosed, SinkError
from headwater.interfaces import Sent, Sink
from headwater.outputs.sampling import Sampler
from headwater.records import Batch, Drop
from headwater.records.layouts import place_reason
from headwater.telemetry import Entry, Ledger

QUEUE_ROWS = 1 << 17  # packets: 18 MB
SEND_ROWS = 1 << 16  # in one send(): enough that a fixed cost a batch does not count
FLUSH_S = 1.0
GRACE_S = 10.0  # beyond close()'s deadline, for a send() that is under way to end by its own time limit
WORKING_S = 5.0  # beyond it, for a sink that takes what it is given, if slowly
PATIENCE_S = 10.0
CALM_S = 1.0  # without a failure, before it is said that a sink is back
ASK_S = 5.0  # of waiting at the end, before it is said for whom
NEVER = float("inf")
_QUEUE_FULL, _REJECTED = Drop["sink_queue__full"], Drop["sink__rejected"]
_UNSAMPLED, _UNREACHABLE = Drop["sink__unsampled"], Drop["sink__unreachable"]


class Outlet:
    """Feeds `sink` in a thread of its own.

    `report` is told in one line when the sink fails and when it is back, not in between. With on_full="drop_oldest" (live) a full queue
    of `queue_rows` loses its oldest batch; with "wait" (files) put() waits until there is room, or the sink has failed for PATIENCE_S.
    What a sink cannot be given now is offered again, after a pause that is a random part (full jitter) of a time that grows from
    `backoff_s[0]` to `backoff_s[1]`.
    With always_flush the sink is flushed once a second though it has nothing, for it looks at the clock then.
    With stop_on_error the first refusal, or loss for a reason that lasts, ends the outlet: `failure` says why, and put() and flush()
    raise it from then on. A reader that has gone (OutputClosed) always ends it.
    """

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        report: Callable[[str], None],
        *,
        on_full: Literal["drop_oldest", "wait"] = "drop_oldest",
        queue_rows: int = QUEUE_ROWS,
        stop_on_error: bool = False,
        always_flush: bool = False,
        backoff_s: tuple[float, float] = (1.0, 60.0),
    ) -> None:
        self.sink = sink
        self.failure: SinkError | None = None
        self._ledger = ledger
        self._report = report
        self._waits = on_full == "wait"
        self._room = queue_rows
        self._stop_on_error = stop_on_error
        self._always_flush = always_flush
        self._backoff_s = backoff_s
        self._samplers = {name: Sampler(rows_per_s) for name, rows_per_s in sink.sample.items()}
        self._changed = threading.Condition()  # holds all below
        self._queue: deque[tuple[float, Batch]] = deque()  # with the time of arrival
        self._queued = 0  # rows in it
        self._open = 0  # rows that the sink has and has not told of
        self._unsure = 0  # of those, the rows of a send() that ended as nobody foresaw: it may have taken some of them
        self._made = self._acked = 0
        self._spooled = 0  # of the open ones, those that are safe where they wait
        self._dropped: dict[Drop, int] = {}
        self._problem: str | None = None
        self._problem_at = (0.0, 0)  # when it began, and what had been lost before
        self._reason = _UNREACHABLE  # what the rest is lost for at the end: what rows were last lost for, while that lasts
        self._given_up = False
        self._well_sent = False  # the last send(): of a format that needs an end, it is all that tells
        self._failed_at = 0.0  # the last time
        self._rest_until = 0.0  # the other side wants to be left alone
        self._flush_at = 0.0  # not before
        self._flush_wanted = False
        self._deadline: float | None = None  # of close()
        self._prepared = False
        self._abandoned = False  # what a late send() brings is not counted any more
        self._thread = threading.Thread(target=self._run, name=f"outlet {sink.name}", daemon=True)

    def prepare(self) -> None:
        """Open the sink, without beginning. Raises what the sink raises."""
        self.sink.open()
        self._prepared = True

    def open(self) -> None:
        """Open the sink, if it is not, and begin. Raises what the sink raises."""
        if not self._prepared:
            self.prepare()
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Take the rows of a batch, if the sink takes its record; borrowed ones are copied. Raises SinkError once the sink has failed."""
        if self.sink.records is not None and batch.record.name not in self.sink.records:
            return
        batch = batch.packets()
        offered = len(batch)
        if not offered:
            return
        with self._changed:
            self._made += offered
            if sampler := self._samplers.get(batch.record.name):
                batch = sampler.thin(batch)
                self._drop(_UNSAMPLED, offered - len(batch))
            if self._waits:
                while self._queue and self._queued + len(batch) > self._room and not self._ends() and not self._hopeless():
                    self._changed.wait(0.5)
            elif len(batch) > self._room:
                self._drop(_QUEUE_FULL, len(batch) - self._room)
                batch = Batch(batch.record, batch.rows[-self._room :], batch.interfaces, batch.borrowed)
            if self._ends():
                self._drop(self._reason, len(batch))
            elif len(batch):
                self._enqueue(batch.copy())
            self._publish()
            failure = self.failure
        if failure:
            raise failure

    def flush(self, deadline_s: float = 2.0) -> None:
        """Wait until all that was put is delivered or lost, but not for a sink that fails now, nor longer than `deadline_s`.

        Rows that become durable only when the sink is closed stay queued in the ledger. Raises what put() raises.
        """
        with self._changed:
            self._flush_wanted = True
            self._changed.notify_all()
            until = NEVER if self._waits else time.monotonic() + deadline_s
            asked_at = time.monotonic() + ASK_S
            while self._flush_wanted and not self._ends() and not self._given_up and time.monotonic() < until:
                if self._problem is not None and not self._waits:
                    break
                if self._problem is not None and time.monotonic() > asked_at:
                    asked_at = NEVER
                    self._report(f"{self.sink.name}: rows wait until it takes them; Ctrl-C twice gives them up")
                self._changed.wait(min(0.5, max(0.0, until - time.monotonic())))
            failure = self.failure
        if failure:
            raise failure

    def close(self, deadline_s: float = 2.0) -> None:
        """Deliver what is queued and close the sink; after `deadline_s` (and WORKING_S, if it takes what it is given) what is left is
        dropped{sink, unreachable}, or for what the sink has last refused rows for, if it still does.

        An outlet that waits takes as long as its sink takes, unless the sink fails. Safe to call twice.
        """
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + deadline_s
            self._changed.notify_all()
        if not self._thread.ident:
            self.sink.close()
            return
        asked_at = time.monotonic() + ASK_S
        while self._thread.is_alive() and not self._abandoned:
            self._thread.join(0.1)
            if time.monotonic() > asked_at:
                asked_at = NEVER
                self._report(f"{self.sink.name}: waiting for it to take what is left; Ctrl-C again gives up")
            with self._changed:
                if self._late(GRACE_S) or self._given_up:
                    self._abandoned = True
                    self._lose_the_rest()

    def give_up(self) -> None:
        """Make close() lose what is left at once. Callable from a signal handler."""
        self._given_up = True

    # -- counts, under the lock ----------------------------------------------------------------------------------------------

    def _drop(self, reason: Drop, count: int) -> None:
        if count > 0:
            self._dropped[reason] = self._dropped.get(reason, 0) + count

    def _settle(self, sent: Sent) -> None:
        if not self._abandoned:
            self._made += sent.found
            self._acked += sent.acked
            self._spooled += sent.spooled
            self._open += sent.found - sent.acked - sum(sent.dropped.values())
            for reason, count in sent.dropped.items():
                self._drop(reason, count)
            self._publish()

    def _lose_the_rest(self) -> None:
        rest = self._queued + self._open - self._spooled
        doubted, self._unsure = self._doubted(), 0
        self._drop(_REJECTED, doubted)
        self._drop(self._reason, rest - doubted)
        self._queue.clear()
        self._queued, self._open = 0, self._spooled
        self._publish()
        self._changed.notify_all()

    def _publish(self) -> None:
        name = self.sink.name
        totals = {Entry("records", name, "dropped", *place_reason(reason)): count for reason, count in self._dropped.items()}
        totals[Entry("records", name, "made")] = self._made
        totals[Entry("records", name, "acked")] = self._acked
        totals[Entry("records", name, "spooled")] = self._spooled
        totals[Entry("records", name, "queued")] = self._made - self._acked - self._spooled - sum(self._dropped.values())
        self._ledger.replace(totals)

    def _lost(self) -> int:
        return self._doubted() + sum(count for reason, count in self._dropped.items() if reason != _UNSAMPLED)

    def _doubted(self) -> int:
        """How many of the unsure rows may be lost, of all that the sink has told by now."""
        return min(self._unsure, self._open - self._spooled)

    # -- the queue, under the lock -------------------------------------------------------------------------------------------

    def _enqueue(self, batch: Batch) -> None:
        while self._queue and self._queued + len(batch) > self._room:
            _, oldest = self._queue.popleft()
            self._queued -= len(oldest)
            self._drop(_QUEUE_FULL, len(oldest))
        self._queue.append((time.monotonic(), batch))
        self._queued += len(batch)
        self._changed.notify_all()

    def _hopeless(self) -> bool:
        """Not worth waiting for: else a stop would wait for ever behind a put()."""
        return self._problem is not None and time.monotonic() > self._problem_at[0] + PATIENCE_S

    def _ends(self) -> bool:
        return self.failure is not None or self._deadline is not None

    def _late(self, grace_s: float = 0.0) -> bool:
        """Past close()'s deadline, which does not hold for a sink that waits and works."""
        return (
            self._deadline is not None and time.monotonic() >= self._deadline + grace_s and (not self._waits or self._problem is not None)
        )

    def _gather(self) -> list[Batch] | None:
        """The batches of one send(), once they are enough or have lingered; none where it is time to flush; None at the end."""
        while not self._late(0.0 if self._problem else WORKING_S) and self.failure is None:
            hurry = self._flush_wanted or self._deadline is not None
            if self._queue:
                full = hurry or self._queued >= min(SEND_ROWS, self._room)
                due = max(self._queue[0][0] + (0 if full else self.sink.linger_s), self._rest_until)
            elif self._deadline is not None:
                return None
            else:
                due = 0 if hurry else NEVER
            due = min(due, self._flush_at if self._open or self._always_flush else NEVER)
            if self._deadline is not None and due >= self._deadline and not self._waits:
                return None
            if due <= time.monotonic():
                return self._take() if self._rest_until <= time.monotonic() else []
            wait_s = due - time.monotonic() if due != NEVER else None
            self._changed.wait(wait_s if self._deadline is None else 0.05)
        return None

    def _take(self) -> list[Batch]:
        batches: list[Batch] = []
        rows = 0
        while self._queue and rows < SEND_ROWS:
            batches.append(self._queue.popleft()[1])
            rows += len(batches[-1])
        self._queued -= rows
        self._open += rows
        self._changed.notify_all()
        return batches

    # -- the thread ----------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._flush(last=False)  # so that the other side's absence is known before the first row
        while True:
            with self._changed:
                batches = self._gather()
            if batches is None:
                break
            if batches:
                self._deliver(batches)
            if not batches or (self._open and time.monotonic() >= self._flush_at):
                self._flush(last=False)
        self._flush(last=True)
        try:
            self.sink.close()
        except Exception as error:  # noqa: BLE001 - whatever a sink raises, the others go on
            self._trouble(f"cannot be closed: {_text(error)}")
        with self._changed:
            self._lose_the_rest()

    def _deliver(self, batches: Sequence[Batch]) -> None:
        rows = sum(len(batch) for batch in batches)
        attempt = 0
        self._well_sent = False
        while True:
            try:
                sent = self.sink.send(batches)
            except SinkError as error:
                if not error.retryable:
                    return self._refused(error, rows)
                self._away(error)
                if not self._pause(error.after_s, attempt):
                    return None  # what the sink may have delivered of them is told by the last flush()
                attempt += 1
            except Exception as error:  # noqa: BLE001 - as above
                return self._refused(SinkError(f"unexpected {_text(error)}; please report this", retryable=False), rows, unsure=True)
            else:
                self._well_sent = not sent.problem and (sent.acked > 0 or not sent.dropped)
                return self._sent(sent)

    def _flush(self, *, last: bool) -> None:
        try:
            self._sent(self.sink.flush(last))
        except SinkError as error:
            if error.retryable:
                self._away(error)
            else:
                self._refused(error, 0)
        except Exception as error:  # noqa: BLE001 - as above
            self._refused(SinkError(f"unexpected {_text(error)}; please report this", retryable=False), 0)
        with self._changed:
            self._flush_at = time.monotonic() + FLUSH_S
            self._flush_wanted = self._flush_wanted and bool(self._queue)  # what came meanwhile is wanted too
            self._changed.notify_all()

    def _sent(self, sent: Sent) -> None:
        with self._changed:
            self._settle(sent)
            if sent.problem:
                self._reason = max(sent.dropped, key=sent.dropped.__getitem__, default=self._reason)
                if self._stop_on_error:
                    self._fail(sent.problem)
        if sent.problem:
            self._trouble(sent.problem, sum(sent.dropped.values()))
        elif sent.acked or self._well_sent:
            self._well()

    def _refused(self, error: SinkError, rows: int, *, unsure: bool = False) -> None:
        """What of `unsure` rows was not taken is known at the end: until then they are queued."""
        closed = isinstance(error, OutputClosed)
        with self._changed:
            self._reason = _UNREACHABLE if closed else _REJECTED
            if unsure:
                self._unsure += rows
            else:
                self._settle(Sent(0, {self._reason: rows}))
            self._rest_until = time.monotonic() + error.after_s
            if closed or self._stop_on_error:
                self._fail(error)
        if not closed:
            self._trouble(str(error), rows)

    def _away(self, error: SinkError) -> None:
        with self._changed:
            self._reason = _UNREACHABLE
        self._trouble(f"{error}; trying again")

    def _fail(self, problem: str | SinkError) -> None:
        """Under the lock: nothing goes out any more but what flush() can still settle."""
        error = problem if isinstance(problem, OutputClosed) else SinkError(f"{self.sink.name}: {problem}", retryable=False)
        self.failure = self.failure or error
        self._drop(self._reason, self._queued)
        self._queue.clear()
        self._queued = 0
        self._publish()
        self._changed.notify_all()

    def _pause(self, after_s: float, attempt: int) -> bool:
        """Wait before the next try; False if there is none. close() cuts it short for one more try, unless the other side asked for it."""
        base_s, most_s = self._backoff_s
        jitter_s = random.uniform(0, min(most_s, base_s * 2.0 ** min(attempt, 30)))  # noqa: S311 - not a secret
        until = time.monotonic() + max(after_s, jitter_s)
        with self._changed:
            was_closing = self._deadline is not None
            while (now := time.monotonic()) < until:
                if self._deadline is not None and not was_closing and not after_s:
                    return now < self._deadline
                if self._deadline is not None and until >= self._deadline:
                    return False
                self._changed.wait(until - now)
            return not self._late()

    def _trouble(self, problem: str, lost: int = 0) -> None:
        """Say it, unless it is known already; `lost` are the rows that it cost by now. A failure is said by whom it is raised to."""
        with self._changed:
            news = problem != self._problem and self.failure is None
            if self._problem is None:
                self._problem_at = (time.monotonic(), self._lost() - lost)
            self._problem = problem
            self._failed_at = time.monotonic()
            self._changed.notify_all()
        if news:
            self._report(f"{self.sink.name}: {problem}")

    def _well(self) -> None:
        """Say that it is back, but not between two failures: a disk that is nearly full has room for this and not for that."""
        with self._changed:
            if self._problem is None or time.monotonic() < self._failed_at + CALM_S:
                return
            since, lost_before = self._problem_at
            self._problem, self._reason = None, _UNREACHABLE
            lost = self._lost() - lost_before
        self._report(f"{self.sink.name}: back after {time.monotonic() - since:,.0f} s, {lost:,} row{'' if lost == 1 else 's'} lost")


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['(no message)'])[0][:200]}"
