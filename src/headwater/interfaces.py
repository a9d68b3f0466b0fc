"""The shapes that plug in. A new source or sink is one file that has one of these, and one line in its registry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from headwater.records import Batch, Drop


class Resource(Protocol):
    """Construct inert; open() acts; close() gives back. As a context manager it opens and closes itself."""

    def open(self) -> None:
        """Acquire what is needed. Raises one of headwater.errors."""

    def close(self) -> None:
        """Release it; safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Source(Resource, Protocol):
    """Gives batches of packets or other records."""

    name: str

    def read(self) -> Iterator[Batch]:
        """Batches until the end, or until stop().

        A live source yields at least every 100 ms, an empty batch if there was nothing; a batch that is `borrowed` is good until
        the next one is asked for. Raises SourceError where it cannot go on; what was yielded before stands.
        """

    def stop(self) -> None:
        """Make read() end soon; callable from another thread or a signal handler."""

    def account(self) -> None:
        """Write the present totals of what was seen, made into rows and dropped into the ledger."""


@dataclass(frozen=True)
class Sent:
    """What became of the rows of one send(): durable at the other side, or lost for a reason. Together they are all of them."""

    acked: int
    dropped: Mapping[Drop, int] = field(default_factory=dict)


class Sink(Resource, Protocol):
    """Takes batches. Its queue, its retries and its record ledger are the pipeline's (pipeline.py); a sink only sends.

    `linger_s` is how long the pipeline may gather batches before one send(). `records` are the names that it takes, None for all.
    """

    name: str
    linger_s: float
    records: frozenset[str] | None

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Deliver all rows of `batches`.

        Raises SinkError: with retryable=True none was taken, and the pipeline offers the same batches again after a pause;
        otherwise all are counted as dropped{sink, rejected}.
        """
