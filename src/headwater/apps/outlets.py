"""The outlets that the settings ask for."""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import headwater
from headwater.analysis.protocols import MESSAGES
from headwater.analysis.requests import REQUEST
from headwater.apps.through import Through
from headwater.config import Settings
from headwater.errors import ConfigError, SinkError
from headwater.kernel.confine import account
from headwater.outputs.files import Files, Format
from headwater.outputs.outlet import Outlet
from headwater.outputs.pcapng import PacketFile
from headwater.outputs.private import private
from headwater.outputs.rotated import Rotated
from headwater.outputs.sinks import form_of
from headwater.outputs.sinks.grafana import Grafana
from headwater.pipeline import Output
from headwater.records import CONN, CONN_LONG, COST, LEDGER, PACKET, RATE, SERVER, TUNNEL, WEIRD, Batch, Record
from headwater.store.starting import of_the_extra
from headwater.telemetry import Ledger

if TYPE_CHECKING:
    from headwater.analysis.enrich import Names
    from headwater.outputs.spool import Spool

LOOK_S = 5.0  # after which files of names are looked at again
RECORDS = {record.name: record for record in (PACKET, CONN, CONN_LONG, TUNNEL, SERVER, RATE, WEIRD, COST, REQUEST, *MESSAGES.values())}


@dataclass(frozen=True)
class WhereTo:
    """What -w and --cut say: a path or "-" for standard output."""

    path: str
    headers_only: bool

    def file(self, ledger: Ledger, report: Callable[[str], None], *, live: bool) -> PacketFile:
        """The file, not open yet."""
        path = None if self.path == "-" else Path(self.path)
        application = f"Headwater {headwater.__version__}"
        return PacketFile(path, ledger, report, headers_only=self.headers_only, live=live, application=application)

    def must_not_be_read(self, captures: Sequence[str]) -> None:
        """Raises ConfigError where it is one of the captures that are read, which it would empty."""
        written = _status(self.path, 1)
        for capture in captures:
            read = _status(capture, 0)
            if written and read and stat.S_ISREG(read.st_mode) and os.path.samestat(written, read):
                raise ConfigError(f"-w {self.path}", "that capture is read: choose another file to write")

    def must_be_a_file(self) -> None:
        """Raises ConfigError where standard output is to take rows already."""
        if self.path == "-":
            raise ConfigError("-w -", "standard output cannot take both rows and packets: give a directory with -o, or -w a file")


def _status(path: str, standard: int) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return os.fstat(standard) if path == "-" else Path(path).stat()
    return None


def outlets(
    settings: Settings,
    ledger: Ledger,
    report: Callable[[str], None],
    *,
    live: bool,
    to_stdout: bool,
    extra: bool = False,
    later: Sequence[str] = (),
    patience_s: Callable[[], float] = lambda: 0.0,
) -> list[Output]:
    """Files or standard output, the store, and Grafana. Live, a slow one loses its own rows; a capture waits for it, and ends where it
    fails. What is kept, and all that is live, is without what the settings keep private.

    Raises ConfigError where the format has no place for a record that is asked for. `extra` is the format's; files of `later` records are
    made with their first row.
    """
    made: list[Outlet] = []
    directory = settings.output.directory
    records = [RECORDS[name] for name in settings.records]
    if directory or to_stdout:
        form = form_of(settings.output.format or "jsonl")
        for record in records:
            _must_be_written(form, record)
        wanted = [*records, LEDGER] if not to_stdout and _writes(form, LEDGER) else records
        if to_stdout and form.needs_end and sys.stdout.isatty():
            problem = f"{form.name} is not for a terminal: give a directory with -o, or send standard output to a file"
            raise SinkError(problem, retryable=False)
        names = frozenset(record.name for record in wanted)
        every_s = settings.output.rotated_s() if live else 0.0
        if directory and every_s:
            become = account(settings.user) if settings.user != "root" else None
            owner = (become.pw_uid, become.pw_gid) if become else None
            made.append(Outlet(Rotated(form, Path(directory), names, every_s, report, owner), ledger, report, always_flush=True))
        else:
            at_once = [record for record in wanted if record.name not in later]
            files = Files(form, Path(directory) if directory else None, names, at_once, extra, linger_s=0.25 if live else 5.0)
            made.append(Outlet(files, ledger, report, on_full="drop_oldest" if live else "wait", stop_on_error=not live))
    without = hidden(settings)
    found: list[Output] = [Through(outlet, without) if live else outlet for outlet in made]
    if settings.store:
        kept = Outlet(spool(settings, report, patience_s, waits=not live), ledger, report, on_full="drop_oldest" if live else "wait")
        found.append(Through(kept, without))
    if live and settings.grafana:
        found.append(Outlet(Grafana(settings.grafana), ledger, report))
    return found


def hidden(settings: Settings) -> Callable[[Batch], Batch]:
    """What makes of a batch one without what the settings keep private."""
    return private(queries=settings.privacy.queries, credentials=settings.privacy.credentials)


def spool(settings: Settings, report: Callable[[str], None], patience_s: Callable[[], float], *, waits: bool) -> "Spool":
    """What becomes files for the store, with names beside its addresses; the store has `patience_s` at the end (Spool)."""
    from headwater.outputs.spool import Spool  # noqa: PLC0415 - pyarrow, as above

    named = naming(settings, report)
    store = settings.kept()
    records = frozenset([*(store.records or settings.records), LEDGER.name])
    return Spool(
        store.place().spool,
        store.spool_mib << 20,
        records,
        columns=lambda batch, rows: named().columns(batch, rows),
        taken_within_s=patience_s,
        waits=waits,
    )


def naming(settings: Settings, report: Callable[[str], None]) -> "Callable[[], Names]":
    """What names addresses: to be called for each batch, so that a file of names is read again when it has changed."""
    with of_the_extra():
        from headwater.analysis.enrich import Names  # noqa: PLC0415 - its countries take a tenth of a second, which only a store needs

    names, looked_at = Names(country=settings.names.country, asn=settings.names.asn, city=settings.names.city), 0.0

    def looked() -> Names:
        nonlocal looked_at
        if time.monotonic() >= looked_at + LOOK_S:
            looked_at = time.monotonic()
            for problem in names.look():
                report(problem)
        return names

    return looked


def _writes(form: type[Format], record: Record) -> bool:
    return form.records is None or record.name in form.records


def _must_be_written(form: type[Format], record: Record) -> None:
    if not _writes(form, record):
        others = " or ".join(f"--record {name}" for name in RECORDS if name in (form.records or ()))
        problem = f"there is no such log of the record {record.name}: choose {others}, or another format"
        raise ConfigError(f"--format {form.name}", problem)
