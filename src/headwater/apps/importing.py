"""`headwater import`: what Zeek and Suricata wrote becomes rows of the store, once, or as it is written."""

import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headwater.apps.amounts import many
from headwater.apps.beside import Beside, must_be_kept
from headwater.apps.console import tell, tell_ledger, until_signal
from headwater.apps.outlets import naming, spool
from headwater.config import Settings
from headwater.errors import SinkError, SourceError
from headwater.interfaces import Sent
from headwater.outputs.outlet import NEVER
from headwater.outputs.spool import Spool, settle
from headwater.records.layouts import place_reason
from headwater.records.stored import NAME, SYSTEM
from headwater.sources.log_files import LogFiles
from headwater.sources.log_memory import Memory
from headwater.sources.zeek import Imported, found, tables
from headwater.store.tables import storable
from headwater.telemetry import Entry, Ledger

if TYPE_CHECKING:
    from headwater.analysis.enrich import Names

POLL_S = 0.4
GRACE_S = 2.0  # that the store has to take what waits after a signal; the rest waits in the spool
PAUSE_S = 1.0  # before a full or broken disk is tried again
ROWS = 1 << 16  # that are made safe together, at least where there are so many


def read_in(paths: Sequence[str], settings: Settings, *, follow: bool, again: bool) -> None:
    """Take the logs at `paths`, files or directories, into the store; with `follow`, until a signal comes.

    Raises SourceError at the end for what could not be read, and StoreError for what could not be kept.
    """
    logs, streams, wrong = _sorted([Path(path) for path in paths], follow=follow)
    with ExitStack() as open_:
        beside = Beside(settings, NEVER)
        open_.enter_context(beside)
        beside.begin(tell)
        stopped = threading.Event()
        place = settings.kept().place()
        memory = open_.enter_context(Memory(place.imports))
        settle(place.spool, *memory.made())
        files = open_.enter_context(closing(LogFiles(logs, memory, tell, again=again, follow=follow)))
        into = open_.enter_context(
            spool(settings, tell, lambda: min(beside.patience_s(), GRACE_S if stopped.is_set() else NEVER), waits=True)
        )
        taking = _Taking(into, memory, naming(settings, tell), stopped)
        with until_signal(stopped.set):
            for path in streams:
                try:
                    taking.take([one] for one in tables(path, tell))
                except SourceError as error:
                    wrong.append(str(error))
            taking.take(files.look())
            while follow and not stopped.wait(POLL_S):
                taking.take(files.look())
            taking.end()
    wrong += files.wrong
    if files.same and not follow:
        tell(f"{many(files.same, 'log')} had nothing that was not taken before; --again takes it anew")
    for reason, count in taking.skipped.items():
        tell(f"{many(count, 'line')} left out ({reason})")
    tell_ledger(taking.ledger)
    for more in wrong[1:]:
        tell(more)
    if wrong:
        raise SourceError(wrong[0])
    must_be_kept(taking.ledger)


def _sorted(paths: Sequence[Path], *, follow: bool) -> tuple[list[Path], list[Path], list[str]]:
    """Logs, pipes, and what is wrong with what is neither."""
    logs, streams, wrong = list[Path](), list[Path](), list[str]()
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if follow:
                logs.append(path)
            else:
                wrong.append(f"{path} cannot be read: {error.strerror}")
            continue
        if follow and not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            wrong.append(f"{path} is no file that could be followed: leave --follow out")
        elif stat.S_ISDIR(mode) and not follow and next(found(path), None) is None:
            wrong.append(f"{path} has no logs: name a file, or a directory with files like conn.log or conn.00:00:00-01:00:00.log.gz")
        else:
            (logs if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else streams).append(path)
    return logs, streams, wrong


def _marked(rows: pa.RecordBatch, log: pa.Schema) -> pa.RecordBatch:
    """With whose log they were in, beside our own rows of the same table."""
    if SYSTEM in rows.schema.names:
        return rows
    whose = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), [(log.metadata or {}).get(b"system", b"").decode()])
    return rows.append_column(pa.field(SYSTEM, NAME, metadata={b"kind": b"enum"}), whose)


class _Taking:
    """Rows on their way into the spool, with what the memory has of them."""

    def __init__(self, into: Spool, memory: Memory, named: Callable[[], "Names"], stopped: threading.Event) -> None:
        self._into = into
        self._memory = memory
        self._named = named
        self._rows = 0  # that are not safe yet
        self._began = False  # whether anything was given since the last commit
        self._stopped = stopped
        self.skipped = Counter[str]()
        self.ledger = Ledger()

    def take(self, blocks: Iterator[list[Imported]]) -> None:
        """All of them, or what there was until a signal came."""
        for block in blocks:
            for one in block:
                self.skipped.update(one.skipped)
                self._encode(one.name, one.table)
            if self._rows >= ROWS:
                self._commit()
            if self._stopped.is_set():
                break
        if self._began:
            self._commit()
        self._count(self._into.flush(last=False))

    def end(self) -> None:
        """Let the store take what waits."""
        self._commit()
        self._count(self._into.flush(last=True))

    def _encode(self, name: str, rows: pa.RecordBatch) -> None:
        self._began = True
        if len(rows):
            log = rows.schema
            for field, values in self._named().of_table(rows):
                rows = rows.append_column(field, values)
            self._into.encode(name, storable(_marked(rows, log)))
            self._rows += len(rows)

    def _commit(self) -> None:
        """Once they are safe: a disk that is full or broken is tried again until it is not, or a signal comes. Then the next import has
        them. Raises SinkError.
        """
        said = ""
        while True:
            try:
                self._count(self._into.write(self._memory.commit), self._rows)
                break
            except SinkError as error:
                if str(error) != said:
                    said = str(error)
                    tell(f"{said}; trying again each second, until Ctrl-C")
                if self._stopped.wait(PAUSE_S):
                    raise
        if said:
            tell("the spool has taken what waited, and the import goes on")
        self._rows, self._began = 0, False

    def _count(self, sent: Sent, made: int = 0) -> None:
        self.ledger.add(Entry("records", "store", "made"), made + sent.found)
        self.ledger.add(Entry("records", "store", "acked"), sent.acked)
        self.ledger.add(Entry("records", "store", "spooled"), sent.spooled)
        for reason, count in sent.dropped.items():
            self.ledger.add(Entry("records", "store", "dropped", *place_reason(reason)), count)
