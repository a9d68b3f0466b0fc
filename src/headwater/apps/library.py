"""Headwater in Python: headwater.read() and headwater.tap(), which give batches of packets (docs/python.md)."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from headwater import telemetry
from headwater.filters import Filter
from headwater.interfaces import Source
from headwater.records import PACKET, Batch
from headwater.records.columns import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa


class Packets:
    """Batches of packets, one after another, in memory of their own: `for batch in packets`.

    As a context manager it opens at once, and closes itself; without, it opens with the first batch. What could not go on raises one of
    headwater.errors, after the batches before it.
    """

    def __init__(self, source: Source, ledger: telemetry.Ledger, seconds: float | None = None) -> None:
        self._source = source
        self._ledger = ledger
        self._seconds = seconds
        self._opened = contextlib.ExitStack()
        self._is_open = False

    def open(self) -> None:
        """Open the capture, or attach. Raises SourceError, ConfigError or KernelError."""
        self._source.open()
        self._opened.callback(self._source.close)
        self._is_open = True

    def close(self) -> None:
        """Close the capture, or detach; safe to call twice."""
        if self._is_open:
            self._source.account()  # the last totals: what is closed has none to tell
        self._is_open = False
        self._opened.close()

    def stop(self) -> None:
        """End the batches soon, with all that was seen until now; from any thread."""
        self._source.stop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        with contextlib.ExitStack() as stack:
            if not self._is_open:
                self.open()
                stack.callback(self.close)
            if self._seconds is not None:
                timer = threading.Timer(self._seconds, self.stop)
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)
            for batch in self._source.read():
                if len(batch) and batch.record is PACKET:
                    yield batch.copy()

    def to_arrow(self) -> "pa.Table":
        """All packets to the end, as one table."""
        import pyarrow as pa  # noqa: PLC0415 - takes 0.1 s to import, and numpy's users need none of it

        return pa.Table.from_batches([batch.to_arrow() for batch in self], schema=arrow_schema(PACKET))

    @property
    def ledger(self) -> list[str]:
        """What became of each packet until now, or until it was closed: the lines that the commands print."""
        if self._is_open:
            self._source.account()
        return telemetry.lines(self._ledger.totals(), self._ledger.means)


def read(path: str, *, filter: str | None = None, sample: int = 1) -> Packets:
    """The packets of a capture (pcap, pcapng, also compressed; "-" is standard input).

    Of those that `filter` keeps (docs/filters.md), one in `sample` is given. Raises FilterError; reading raises SourceError.
    """
    from headwater.sources.capture import Capture  # noqa: PLC0415 - each source brings its own libraries

    ledger = telemetry.Ledger()
    return Packets(Capture(str(path), ledger, filter=Filter(filter) if filter else None, sample=sample), ledger)


def tap(
    interfaces: Sequence[str] = (),
    *,
    filter: str | None = None,
    sample: int = 1,
    seconds: float | None = None,
    hook: Literal["auto", "tcx", "clsact", "xdp", "af_packet"] = "auto",
) -> Packets:
    """The packets of live interfaces (none: those with a default route, and the other physical ones), until stop() or for `seconds`.

    `filter` and `sample` are as for read(). Raises ConfigError or FilterError; opening raises ConfigError or KernelError.
    """
    from headwater.apps.live import make_source  # noqa: PLC0415 - as above
    from headwater.config import Settings  # noqa: PLC0415

    if filter:
        Filter(filter)
    ledger = telemetry.Ledger()
    settings = Settings(interfaces=tuple(interfaces), filter=filter or "", sample=sample, hook=hook, detail="packets")
    return Packets(make_source(settings, ledger, lambda _: None), ledger, seconds)
