"""`headwater flows`: what a run or captures give to the table, and the terminal that shows it."""

import select
import shlex
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from headwater.apps import live as runs
from headwater.apps.analyses import analyses, reads_captures
from headwater.apps.console import tell, typed, until_signal
from headwater.apps.flows.table import FlowTable
from headwater.apps.flows.view import FlowView
from headwater.apps.hosts import hosts
from headwater.apps.offline import InTurn, in_turn, told
from headwater.apps.screen import console
from headwater.config import OutputSettings, Settings
from headwater.errors import ConfigError
from headwater.pipeline import Pipeline
from headwater.sources.capture import missing
from headwater.telemetry import Ledger

_WAIT_MS = 100
_NAMED = 3  # captures, in a message


def live(settings: Settings, seconds: float | None, *said: str) -> None:
    """Show the flows of interfaces until q, a signal, or the end of `seconds`. Nothing is written or sent. Raises HeadwaterError."""
    _terminal(f"{typed()} run --record conn --format jsonl")
    runs.run(
        msgspec.structs.replace(settings, records=("conn",), sample=1, detail="flows", output=OutputSettings(), grafana=None),
        seconds,
        *said,
    )


def captures(files: Sequence[str], settings: Settings) -> None:
    """Show the flows of captures, while these are read and after that, until q or a signal.

    Raises SourceError at the end for what could not be read, or at once if there is nothing to show.
    """
    named = shlex.join(files[:_NAMED]) + (" ..." if len(files) > _NAMED else "")
    screen = _terminal(f"{typed()} read --format table {named}", files)
    settings = msgspec.structs.replace(settings, records=("conn",))
    ledger, table, notes = Ledger(), FlowTable(live=False), list[str]()
    source = in_turn(files, settings, ledger, report=notes.append, carriers=True, payloads=reads_captures(settings))
    pipeline = Pipeline([source], [table], ledger, rates=False, analyses=analyses(settings, live=False))
    problems: list[BaseException] = []

    def read() -> None:
        try:
            pipeline.run()
        except BaseException as problem:  # noqa: BLE001 - raised again in the main thread
            problems.append(problem)
            view.look.ends |= not any(ledger.totals().values())

    reading = threading.Thread(target=read, name="reading")
    view = FlowView(
        screen,
        table,
        hosts(),
        describe=lambda: _describe(files, source, reading, [*notes, *map(str, problems)]),
        totals=ledger.totals,
        busy=reading.is_alive,
    )

    def end() -> None:
        view.look.ends = True

    with told(ledger):
        with until_signal(end, view.give_back), view:
            reading.start()
            try:
                _watch(view)
            finally:
                table.shut()
                pipeline.stop()
                reading.join()
        for note in notes:
            tell(note)
        if problems:
            raise problems[0]


def _watch(view: FlowView) -> None:
    """Draw until the end is asked for."""
    while not view.look.ends:
        view.draw()
        poll = select.poll()
        if view.fileno() >= 0:
            poll.register(view.fileno(), select.POLLIN)
        poll.poll(_WAIT_MS)


def _describe(files: Sequence[str], source: InTurn, reading: threading.Thread, notes: Sequence[str]) -> str:
    if notes:
        return notes[-1]
    one = "standard input" if files[0] == "-" else Path(files[0]).name
    what = one if len(files) == 1 else f"{len(files)} captures"
    if reading.is_alive() and (progress := source.progress):
        name, done, total = progress
        return f"reading {name}: {done / max(total, 1):.0%} of {total / 1e6:,.1f} MB"
    return f"reading {what}" if reading.is_alive() else what


def _terminal(instead: str, files: Sequence[str] = ()) -> Console:
    """Raises ConfigError where standard output is no terminal that can move its cursor, or SourceError if one of `files` is missing."""
    if not (found := console()):
        for file in files:
            if file != "-" and not Path(file).exists():
                raise missing(file)
        raise ConfigError("flows", f"needs a terminal to draw on, which this is not: use {instead}")
    return found
