"""What is told of all flows together, and not of each: oddities once in a while, certificates once a day (Zeek's log of known ones).

It is made of the rows of flows, so that these may be read by several processes, and this by who gathers their rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from headwater.analysis.flows import Flows
from headwater.analysis.odd import Repeats
from headwater.analysis.protocols import MESSAGES
from headwater.filters import AnyFilter
from headwater.records import WEIRD, Batch
from headwater.records.layouts import FilterOf
from headwater.telemetry import Ledger

X509: Final = MESSAGES["x509"]
_A_DAY: Final = 86_400 * 10**9
_MOST_KNOWN: Final = 100_000  # certificates


class Across(Protocol):
    """Takes the rows that flows have told since the last call, and gives what is to be told of them."""

    def find(self, batches: Iterable[Batch], now: int = 0) -> Iterator[Batch]:
        """Of `batches`, each good until the next one is taken. `now` is what the clock says (nanoseconds), where that is asked."""

    def end(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same of the last ones, with what is left."""


class Once:
    """Leaves out what was told of late: weirds of the same ends (odd.Repeats), and certificates of the last day. What came with the same
    packets is looked at in the order of time, whichever flow was read first.
    """

    def __init__(self, again_s: float) -> None:
        self._weirds = Repeats(again_s)
        self._certificates: dict[tuple[str, bool, bool], int] = {}  # when they were told

    def find(self, batches: Iterable[Batch], now: int = 0) -> Iterator[Batch]:  # noqa: ARG002 - packets tell the time
        """See Across."""
        odd: list[Batch] = []
        seen: list[Batch] = []
        for batch in batches:
            if batch.record is WEIRD:
                odd.append(batch)
            elif batch.record is X509:
                seen.append(batch)
            else:
                yield batch
        if odd and len(rows := self._weirds.new_of(_in_time(odd, "uid"))):
            yield Batch(WEIRD, rows, odd[-1].interfaces)
        if seen and len(rows := self._new_of(_in_time(seen, "fingerprint"))):
            yield Batch(X509, rows)

    def end(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """See Across."""
        yield from self.find(batches)
        if len(rest := self._weirds.rest()):
            yield Batch(WEIRD, rest)

    def _new_of(self, rows: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
        return rows[[self._is_new(*row) for row in rows[["ts", "fingerprint", "host_cert", "client_cert"]].tolist()]]

    def _is_new(self, ts: int, *certificate: Any) -> bool:
        known = self._certificates
        if ts - known.get(certificate, -_A_DAY) < _A_DAY:
            return False
        known.pop(certificate, None)
        if len(known) >= _MOST_KNOWN:
            del known[next(iter(known))]
        known[certificate] = ts
        return True


def _in_time(batches: Sequence[Batch], then: str) -> np.ndarray[Any, np.dtype[Any]]:
    """All their rows by their times, and those of one time by that column."""
    rows = np.concatenate([batch.rows for batch in batches])
    order = list(zip(rows["ts"].tolist(), rows[then].tolist(), strict=True))
    return rows[sorted(range(len(rows)), key=order.__getitem__)]


def found(across: Sequence[Across], batches: Iterable[Batch], now: int = 0) -> Iterable[Batch]:
    """What all of them leave of `batches`, one after another."""
    for one in across:
        batches = one.find(batches, now)
    return batches


def ended(across: Sequence[Across], batches: Iterable[Batch]) -> Iterable[Batch]:
    """The same at the end."""
    for one in across:
        batches = one.end(batches)
    return batches


class Together:
    """The analysis of flows with what is told across them."""

    reads_carriers = True

    def __init__(self, flows: Flows, across: Sequence[Across], *, live: bool) -> None:
        self._flows = flows
        self._across = across
        self._live = live

    def find(self, batch: Batch) -> Iterator[Batch]:
        """See interfaces.Analysis."""
        yield from found(self._across, self._flows.find(batch))

    def tick(self, now: int) -> Iterator[Batch]:
        """See interfaces.Analysis. Of captures, packets tell the time."""
        if self._live:
            yield from found(self._across, self._flows.tick(now), now)

    def end(self) -> Iterator[Batch]:
        """See interfaces.Analysis."""
        yield from ended(self._across, self._flows.end())

    def account(self, ledger: Ledger) -> None:
        """See interfaces.Analysis."""
        self._flows.account(ledger)

    def set_filter(self, filter: AnyFilter | None, of: FilterOf) -> None:
        """See interfaces.Filtering."""
        self._flows.set_filter(filter, of)
