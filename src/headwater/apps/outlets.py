"""The outlets that the settings ask for."""

import sys
from collections.abc import Callable
from pathlib import Path

from headwater.config import Settings
from headwater.errors import SinkError
from headwater.outputs.files import Files
from headwater.outputs.outlet import Outlet
from headwater.outputs.sinks import formats
from headwater.outputs.sinks.grafana import Grafana
from headwater.records import COST, LEDGER, PACKET, RATE
from headwater.telemetry import Ledger

RECORDS = {record.name: record for record in (PACKET, RATE, COST)}


def outlets(settings: Settings, ledger: Ledger, report: Callable[[str], None], *, live: bool, to_stdout: bool) -> list[Outlet]:
    """Files or standard output, and Grafana. Live, a slow one loses its own rows; a capture waits for it, and ends where it fails."""
    made = []
    directory = settings.output.directory
    records = [RECORDS[name] for name in settings.records]
    if directory or to_stdout:
        wanted = records if to_stdout else [*records, LEDGER]
        form = next(form for form in formats() if form.suffix == (settings.output.format or "jsonl"))
        if to_stdout and form.needs_end and sys.stdout.isatty():
            problem = f"{form.suffix} is not for a terminal: give a directory with -o, or send standard output to a file"
            raise SinkError(problem, retryable=False)
        files = Files(
            form,
            Path(directory) if directory else None,
            frozenset(record.name for record in wanted),
            at_once=wanted,
        )
        made.append(Outlet(files, ledger, report, on_full="drop_oldest" if live else "wait", stop_on_error=not live))
    if live and settings.grafana:
        made.append(Outlet(Grafana(settings.grafana), ledger, report))
    return made
