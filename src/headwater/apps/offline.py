"""`headwater read`: captures into rows."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from headwater.analysis.protocols import MESSAGES
from headwater.analysis.requests import READERS, REQUEST
from headwater.apps import messages
from headwater.apps.analyses import analyses, keeps_flows, reads_captures, to_share
from headwater.apps.beside import Beside, must_be_kept
from headwater.apps.console import tell, tell_ledger, until_signal
from headwater.apps.outlets import WhereTo, outlets
from headwater.apps.table import TABLES, Table
from headwater.apps.through import Through
from headwater.apps.workers import Workers
from headwater.config import Settings, override
from headwater.errors import ConfigError, OutputClosed, SourceError
from headwater.outputs.outlet import NEVER
from headwater.outputs.pcapng import PacketFile
from headwater.pipeline import Output, Pipeline
from headwater.records import PACKET, Batch
from headwater.sources.ahead import BATCHES_IN_USE, ahead
from headwater.sources.capture import Capture
from headwater.sources.order import Order
from headwater.telemetry import Ledger

_PACKED = {
    "fd 37 7a 58": ("xz", "xz -d"),
    "42 5a 68": ("bzip2", "bzip2 -d"),
    "04 22 4d 18": ("lz4", "lz4 -d"),
    "50 4b 03 04": ("zip", "unzip"),
    "37 7a bc af": ("7-Zip", "7z x"),
    "52 61 72 21": ("RAR", "unrar x"),
}
"""How packed files begin that are not unpacked here, by what, and the command for that."""

Frames: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
"""Numbers of frames of captures that are read in turn, which rise."""

_KEPT, _LENT = 1 << 16, 1 << 14
"""Packets in a batch. Where nobody keeps them they are 4 MB, which stay in a cache from the reader to the flows."""

LOGS = ("conn", "tunnel", "weird", *MESSAGES)
"""What is written of captures unless something else is asked for: the first one always."""


def _names(files: Sequence[str]) -> list[str]:
    """What each file is called: the shortest end of its path that no other one has."""
    found: dict[Path, str] = {}
    depth, left = 0, {Path(file) for file in files}
    while left:
        depth += 1
        ends = Counter(path.parts[-depth:] for path in left)
        alone = {path for path in left if ends[path.parts[-depth:]] == 1 or len(path.parts) <= depth}
        found |= {path: str(Path(*path.parts[-depth:])) for path in alone}
        left -= alone
    return ["" if file == "-" else found[Path(file)] for file in files]


def _with_advice(error: SourceError) -> SourceError:
    """What is no capture at all may become one."""
    _, what, begins = str(error).partition(" is not a pcap or pcapng capture: it begins with ")
    if not what:
        return error
    for octets, (packer, command) in _PACKED.items():
        if begins.startswith(octets):
            return SourceError(f"{error}; it is packed with {packer}, which Headwater does not unpack: do that first ({command})")
    return SourceError(f"{error}; is it from tcpdump or Wireshark, and whole?")


class InTurn:
    """Captures one after another, as one source. One that cannot be read is reported and passed over; the end raises it. Unless
    it `decodes_ahead`, no more of them is read than batches are taken.
    """

    name = "captures"

    def __init__(self, captures: Sequence[Capture], report: Callable[[str], None] = tell, *, decodes_ahead: bool = True) -> None:
        self._captures = captures
        self._report = report
        self._decodes_ahead = decodes_ahead
        self._order = Order(report)
        self._now: Capture | None = None
        self._stopped = False

    def open(self) -> None:
        """Each is opened in its turn."""

    def close(self) -> None:
        """Each is closed in its turn."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def read(self) -> Generator[Batch]:
        """All batches of all captures."""
        failed: list[SourceError] = []
        frames = 0
        for capture in self._captures:
            if self._stopped:
                break
            capture.before = frames
            try:
                with capture, closing(ahead(capture.read(), capture.stop) if self._decodes_ahead else capture.read()) as batches:
                    self._now = capture
                    yield from self._order.follow(capture.name, batches)
            except SourceError as error:
                failed.append(_with_advice(error))
                if len(self._captures) > 1:
                    self._report(str(failed[-1]))
            frames += capture.frames
            capture.account()
            if capture.lost_before:
                lost = "1 packet before it" if capture.lost_before == 1 else f"{capture.lost_before:,} packets before they"
                self._report(f"{capture.name}: whoever captured this lost {lost} reached the file")
        if failed and len(self._captures) > 1:
            raise SourceError(f"{len(failed)} of {len(self._captures)} captures could not be read to the end")
        if failed:
            raise failed[0]

    def stop(self) -> None:
        """End soon."""
        self._stopped = True
        if self._now:
            self._now.stop()

    def account(self) -> None:
        """Totals of the capture that is being read; those before have theirs in the ledger."""
        if self._now:
            self._now.account()

    @property
    def progress(self) -> tuple[str, int, int] | None:
        """(name, octets read, octets in all) of the capture that is being read; None for a pipe."""
        progress = self._now.progress if self._now else None
        return (self._now.name, *progress) if self._now and progress else None


class _Bar:
    """A progress bar on standard error, as the pipeline's watcher."""

    def __init__(self, source: "InTurn | Workers") -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._source = source
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("")

    watches = frozenset[str]()

    def open(self) -> None:
        self._progress.start()

    def close(self) -> None:
        self._progress.stop()

    def update(self, batch: Batch) -> None:
        """There are none."""

    def tick(self, *_: object) -> None:
        """Nor do rates."""

    def draw(self) -> None:
        if progress := self._source.progress:
            name, done, total = progress
            self._progress.update(self._task, description=name, completed=done, total=total)

    def fileno(self) -> int:
        return -1


def read(
    files: Sequence[str],
    settings: Settings,
    records: tuple[str, ...],
    *,
    as_table: bool = False,
    packets: WhereTo | None = None,
    extra: bool = False,
    checksums: bool = False,
    only: Frames | None = None,
    where: str = "",
    workers: int = 1,
) -> None:
    """Read `files` in turn; of the settings, filter, sample, flows and output apply. Without `records`, flows are asked for, and in a
    directory or the store what else there is. With `only`, those frames alone are read. Of one record that is of messages, `where` is a
    filter of its rows. `workers` processes share what flows carry. Raises ConfigError, and SourceError or SinkError after everything before
    it is written.
    """
    ledger = Ledger()
    output = settings.output
    to_store_alone = settings.store is not None and not (output.directory or output.format or as_table)
    wanted = records or (LOGS if output.directory or to_store_alone else LOGS[:1])
    settings = override(settings, "the command line", records=list(wanted)).begun(datetime.now(UTC))
    one = next(iter(wanted)) if len(wanted) == 1 else ""
    if as_table and one not in TABLES:
        raise ConfigError(
            "--format", f"a table shows one record, {' or '.join(TABLES)}: choose it with --record, or jsonl or csv for others"
        )
    if packets:
        packets.must_not_be_read(files)
        if output.format and not output.directory:
            packets.must_be_a_file()
    file = packets.file(ledger, tell, live=False) if packets else None
    beside = Beside(settings, NEVER)
    captures = partial(
        in_turn,
        files,
        settings,
        packets=file,
        checksums=checksums,
        carriers=keeps_flows(settings),
        lends=PACKET.name not in wanted,
        payloads=reads_captures(settings),
        only=only,
    )
    source: InTurn | Workers = _shared(captures, files, settings, workers, ledger) if workers > 1 else captures(ledger)
    made: list[Output] = [file] if file else []
    on_terminal = not packets and not settings.store and not (output.directory or output.format) and sys.stdout.isatty() and one in TABLES
    if shown := as_table or on_terminal:
        made.append(Table(one, sys.stdout, Console().width if sys.stdout.isatty() else None))
    if settings.store or (not shown and (not file or output.directory or output.format)):
        later = () if records else LOGS[1:]
        to_stdout = not shown and output.directory is None and (settings.store is None or output.format is not None)
        made += outlets(settings, ledger, tell, live=False, to_stdout=to_stdout, extra=extra, later=later, patience_s=beside.patience_s)
    if where:
        change = messages.where(where, MESSAGES[one])
        made = [Through(output, change) for output in made]
    watcher = _Bar(source) if sys.stderr.isatty() and (output.directory or file or not sys.stdout.isatty()) else None
    pipeline = Pipeline(
        [source],
        made,
        ledger,
        watcher,
        rates=False,
        analyses=analyses(settings, live=False) if workers == 1 else lambda _: (),
        packet_filter=settings.packet_rows(),
    )
    with told(ledger), until_signal(pipeline.stop), beside:
        beside.begin(tell)
        pipeline.run()
        must_be_kept(ledger)


def are_files(paths: Sequence[str]) -> bool:
    """Whether each can be read more than once, or is not there, which is told when it is opened."""
    return all(path != "-" and (Path(path).is_file() or not Path(path).exists()) for path in paths)


def _shared(captures: Callable[..., InTurn], files: Sequence[str], settings: Settings, count: int, ledger: Ledger) -> Workers:
    """The same read by `count` processes. Raises ConfigError where they would have nothing to share."""
    asked = set(settings.records)
    refused = {
        "packets are not shared, only what flows carry: choose other records, or leave it out": PACKET.name in asked,
        "the limits of --extract are of all files together: leave one of the two out": settings.files.directory,
        "nothing is read of what flows carry, which is what is shared: leave it out": not reads_captures(settings),
        "each of them reads the captures: name files, not a pipe": not are_files(files),
    }
    for problem, is_so in refused.items():
        if is_so:
            raise ConfigError("--workers", problem)
    flows, weirds, across = to_share(InTurn.name, settings, count)

    def of(into: Ledger, number: int) -> InTurn:
        return captures(into, report=tell if number == 0 else lambda _: None, decodes_ahead=False)

    wanted = frozenset(asked | (READERS.keys() if REQUEST.name in asked else set()))
    return Workers(InTurn.name, of, flows, weirds, across, count, wanted, ledger)


def in_turn(
    files: Sequence[str],
    settings: Settings,
    ledger: Ledger,
    *,
    packets: PacketFile | None = None,
    carriers: bool,
    checksums: bool = False,
    lends: bool = False,
    payloads: bool = False,
    only: Frames | None = None,
    report: Callable[[str], None] = tell,
    decodes_ahead: bool = True,
) -> InTurn:
    """The captures `files` as one source; with `carriers`, as flows need them, which are sampled as flows, not packet by packet; with
    `lends`, for who keeps no packets; of the frames `only`, if those are known; `decodes_ahead` is that of InTurn.
    """
    captures = [
        Capture(
            path,
            ledger,
            _LENT if lends else _KEPT,
            name=name,
            filter=settings.packets(),
            sample=1 if carriers or only is not None else settings.sample,
            packets=packets,
            carriers=carriers,
            checksums=checksums,
            lends=(BATCHES_IN_USE if decodes_ahead else 1) if lends else 0,
            payloads=payloads,
            only=only,
        )
        for path, name in zip(files, _names(files), strict=True)
    ]
    return InTurn(captures, report, decodes_ahead=decodes_ahead)


@contextmanager
def told(ledger: Ledger) -> Iterator[None]:
    """Print the ledger in any case but two: a reader that has gone (`| head`) does not miss what it has not read, and where an error
    came before anything was counted there is nothing to add up.
    """
    try:
        yield
    except (OutputClosed, BrokenPipeError):
        raise
    except BaseException:
        if any(ledger.totals().values()):
            tell_ledger(ledger)
        raise
    tell_ledger(ledger)
