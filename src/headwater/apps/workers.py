"""`headwater read --workers`: processes that share what flows of captures carry, which Python reads, and so one process on one CPU.

Each of them reads all packets and keeps all flows, in C, which costs a small part of it; so each knows of every flow when it ends and what
it is called. What flows carry it reads of its share. Whoever started them gathers their rows a step, a batch of packets, at a time. They
are let on a step at a time, too, so that they stop behind the same packet.
"""

import fcntl
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from headwater.analysis.across import Across, ended, found
from headwater.analysis.flows import Flows
from headwater.analysis.weirds import Weirds
from headwater.apps.shares import Packed, Part, Sender, unpacked
from headwater.errors import SourceError
from headwater.records import Batch
from headwater.telemetry import Entry, Ledger

_FORK: Final = get_context("fork")
_AHEAD: Final = 8  # steps that one of them may be before another
_PIPE: Final = 1 << 20  # octets: what an account may have by default


class Captures(Protocol):
    """What each process reads."""

    @property
    def progress(self) -> tuple[str, int, int] | None:
        """See offline.InTurn."""

    def read(self) -> Generator[Batch]:
        """The same batches in each process."""

    def account(self) -> None:
        """As of the last batch."""


class _Worker:
    """One of the processes, as whoever started it sees it. It closes what it has of those `before` it, or their end would not be seen."""

    def __init__(self, name: str, work: Callable[[Connection, int], None], before: Sequence["_Worker"]) -> None:
        self.name = name
        self.totals: Mapping[Entry, int] = {}
        self._decoder = msgspec.msgpack.Decoder(Part)
        self._pipe, theirs = _FORK.Pipe(duplex=False)
        with suppress(OSError):
            fcntl.fcntl(theirs.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        turns, self._turns = os.pipe()
        self._process = _FORK.Process(target=self._run, args=(work, theirs, turns, before), name=name, daemon=True)
        self._process.start()
        theirs.close()
        os.close(turns)
        self.let_on(_AHEAD)

    def _run(self, work: Callable[[Connection, int], None], pipe: Connection, turns: int, before: Sequence["_Worker"]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to all: who started it says when to end
            signal.signal(number, signal.SIG_IGN)
        for worker in (*before, self):
            worker.let_go()
        with suppress(BrokenPipeError):
            work(pipe, turns)

    def let_on(self, steps: int = 1) -> None:
        """It may take so many more."""
        with suppress(BrokenPipeError):  # it is over, and has told that
            os.write(self._turns, bytes(steps))

    def let_no_more(self) -> None:
        """It ends when it has taken those that it may. Safe to call twice."""
        if self._turns >= 0:
            os.close(self._turns)
            self._turns = -1

    def let_go(self) -> None:
        """Take nothing of it any more. Safe to call twice."""
        self.let_no_more()
        self._pipe.close()

    def receive(self) -> Part:
        """The next part. Raises SourceError where there is none: it was killed."""
        try:
            part = self._decoder.decode(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            raise SourceError(
                f"{self.name} {how}: of the packets from there on no rows are told; read the captures again, with fewer workers if "
                "memory was short"
            ) from None
        if part.fault:
            raise RuntimeError(f"{self.name}: {part.fault}")
        return part

    def end(self) -> None:
        """At once. Safe to call twice."""
        self.let_go()
        self._process.kill()
        self._process.join()


class Workers:
    """Captures as a source of the rows that flows and weirds make of them, of which `wanted` are told. `captures` makes what each of
    `count` processes reads, `across` is what is told of all flows together. Inert until open(), when the processes begin as copies of this
    one: of tables with the same salts the same becomes with the same packets.
    """

    def __init__(
        self,
        name: str,
        captures: Callable[[Ledger, int], Captures],
        flows: Flows,
        weirds: Sequence[Weirds],
        across: Sequence[Across],
        count: int,
        wanted: frozenset[str],
        ledger: Ledger,
    ) -> None:
        self.name = name
        self.progress: tuple[str, int, int] | None = None
        """That of the first."""
        self._captures = captures
        self._flows = flows
        self._weirds = weirds
        self._across = across
        self._count = count
        self._wanted = wanted
        self._ledger = ledger
        self._workers: list[_Worker] = []
        self._packed: list[Packed] = []  # what packets made, of this step
        self._stopped = False

    # -- in each process --------------------------------------------------------------------------------------------------------------

    def _work(self, number: int, pipe: Connection, turns: int) -> None:
        sender = Sender(pipe, self._wanted)
        try:
            self._share(number, sender, turns)
        except BrokenPipeError:
            raise
        except Exception as error:
            sender.over(fault=f"{type(error).__name__}: {error}")
            sender.end({}, None)
            if os.environ.get("HEADWATER_DEBUG"):
                raise

    def _share(self, number: int, sender: Sender, turns: int) -> None:
        self._flows.share(number)
        weirds = () if number else self._weirds
        ledger = Ledger()
        captures = self._captures(ledger, number)

        def end() -> None:
            captures.account()
            self._flows.account(ledger)
            sender.end(ledger.totals(), captures.progress)

        problem = ""
        with closing(captures.read()) as batches:
            try:
                while os.read(turns, 1) and (batch := next(batches, None)) is not None:
                    for each in weirds:
                        for made in each.find(batch.packets()):
                            sender.put(made, of_packets=True)
                    for made in self._flows.find(batch):
                        sender.put(made, of_packets=False)
                    end()
            except SourceError as error:
                problem = str(error)
        sender.over(problem)
        for each in weirds:
            for made in each.end():
                sender.put(made, of_packets=True)
        for made in self._flows.end():
            sender.put(made, of_packets=False)
        end()

    # -- where they were started ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start them."""
        for number in range(self._count):

            def work(pipe: Connection, turns: int, number: int = number) -> None:
                self._work(number, pipe, turns)

            self._workers.append(_Worker(f"worker {number + 1} of {self._count}", work, tuple(self._workers)))

    def close(self) -> None:
        """End them. Safe to call twice."""
        for worker in self._workers:
            worker.end()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def read(self) -> Iterator[Batch]:
        """All rows: of each batch of packets those of one process after those of another. Raises SourceError behind them where a capture
        cannot be read to its end, or a process was killed.
        """
        while not (parts := [worker.receive() for worker in self._workers])[0].is_over:
            yield from found(self._across, self._rows(parts))
            yield from self._of_packets()
            for worker in self._workers:
                if self._stopped:
                    worker.let_no_more()
                else:
                    worker.let_on()
        yield from ended(self._across, self._rows(parts))
        yield from self._of_packets()
        first, *others = ({e: count for e, count in worker.totals.items() if e.ledger != "octets"} for worker in self._workers)
        if any(other != first for other in others):
            self._refuse()
        if parts[0].problem:
            raise SourceError(parts[0].problem)

    def _rows(self, parts: Sequence[Part]) -> Iterator[Batch]:
        """Those of a step of which these are the first parts."""
        if len({part.is_over for part in parts}) > 1:
            self._refuse()
        for worker, part in zip(self._workers, parts, strict=True):
            while not part.is_last:
                yield from map(unpacked, part.flows)
                self._packed += part.packets
                part = worker.receive()  # noqa: PLW2901 - the next of the same
            yield from map(unpacked, part.flows)
            self._packed += part.packets
            worker.totals = dict(part.counts)
            if worker is self._workers[0]:
                self.progress = part.progress

    def _of_packets(self) -> Iterator[Batch]:
        packed, self._packed = self._packed, []
        yield from map(unpacked, packed)

    def _refuse(self) -> None:
        raise SourceError("the captures have changed while they were read: read them again when nobody writes them")

    def stop(self) -> None:
        """End soon, each behind the same packet."""
        self._stopped = True

    def account(self) -> None:
        """Totals as of the last step: what becomes of packets is the same in each process, and octets are of one of them."""
        first, *others = [worker.totals for worker in self._workers]
        totals = dict(first)
        for other in others:
            for entry, count in other.items():
                if entry.ledger == "octets":
                    totals[entry] = totals.get(entry, 0) + count
        self._ledger.replace(totals)
