"""The shapes that plug in. A new source or sink is one file that has one of these, and one line in its registry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

from headwater.filters import AnyFilter
from headwater.records import Batch, Drop
from headwater.records.layouts import FilterOf
from headwater.telemetry import Ledger

Detail: TypeAlias = Literal["flows", "messages", "packets", "rates"]
"""What leaves the kernel."""


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


class PacketWriter(Protocol):
    """Where a source puts whole packets, not only their rows."""

    memory: Any
    """A struct hw_pcapng_writer, which native readers fill; `struct` as cffi has it."""
    headers_only: bool

    def ready(self) -> bool:
        """Before packets are read, by the thread that does: whether there is room for any. Waits for it, but no longer than 100 ms."""


class Analysis(Protocol):
    """Makes rows of other records out of the packets of one source. Called by that source's thread, but for account()."""

    reads_carriers: bool
    """Whether it is given the rows of what carries packets, too (Batch.carriers)."""

    def find(self, batch: Batch) -> Iterator[Batch]:
        """What packets show. Batches that are borrowed are good until the next one is asked for."""

    def tick(self, now: int) -> Iterator[Batch]:
        """What the clock shows, in nanoseconds of UTC; called once a second while the source reads."""

    def end(self) -> Iterator[Batch]:
        """What is left when no more packets come."""

    def account(self, ledger: Ledger) -> None:
        """Write the present totals into the ledger."""


@runtime_checkable
class Counting(Protocol):
    """A source that counts every packet by itself, also those that become no rows."""

    def rates(self, ts: int) -> Batch:
        """Rows of the record `rate`, of the second `ts`: the sums since the last call."""


@runtime_checkable
class Filtering(Protocol):
    """A source or analysis that can be told another filter while it runs."""

    def set_filter(self, filter: AnyFilter | None, of: FilterOf) -> None:
        """From the next packet or end of a flow on, keep what it keeps; None keeps all. One of what is not its own is none of its business.

        From any one thread. Raises FilterError, and leaves all as it was, if it is too long.
        """


class Priced(Protocol):
    """A source that can say what it has in the kernel."""

    def programs(self) -> Mapping[str, int]:
        """The file descriptor of each eBPF program by name, while it is open."""

    def memory(self) -> Mapping[str, int]:
        """Octets of kernel memory by name."""


@dataclass(frozen=True)
class Sent:
    """What became of rows: durable at the other side, or lost for a reason.

    Rows of a send() that are in neither are still on the way (a file's, before its fsync); a later send() or flush() tells of them.
    `problem`, if rows were lost for a reason that lasts, is what the user should know and do.

    A sink that keeps rows safe until the other side has them tells how many more (or, below 0, fewer) are `spooled`: they outlive the
    run, and are lost with it no more. `found` are those that runs before have left there, for which this one answers from now on.
    """

    acked: int = 0
    dropped: Mapping[Drop, int] = field(default_factory=dict)
    problem: str = ""
    spooled: int = 0
    found: int = 0


class Sink(Resource, Protocol):
    """Takes batches. Its queue, its sampling, its retries and its record ledger are the outlet's (outputs/outlet.py); a sink only sends.

    `linger_s` is how long the outlet may gather batches before one send(). `records` are the names that it takes, None for all.
    `sample` holds, for a record that may be thinned out, the rows a second at most.
    """

    name: str
    linger_s: float
    records: frozenset[str] | None
    sample: Mapping[str, int]

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Deliver the rows of `batches`.

        Raises SinkError: with retryable=True, the outlet offers the same sequence again after a pause; otherwise all of its rows are
        counted as dropped{sink, rejected}. OutputClosed ends the run.
        """

    def flush(self, last: bool) -> Sent:
        """Make durable what can be, and tell what became of rows that were still on the way: all of them if this is the last call.

        Called when the run begins, about once a second while there are such rows, and once before close(). Raises SinkError where
        the other side is not there, or will take nothing: that is said, and costs no row.
        """
