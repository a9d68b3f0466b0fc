"""What Zeek and Suricata wrote, as tables: a log, or a directory of logs with those that were rotated away (docs/import.md)."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from headwater.errors import SourceError
from headwater.sources.log_lines import Lines, Notes
from headwater.sources.suricata import EveLog
from headwater.sources.zeek_json import JsonLog, decoded
from headwater.sources.zeek_tsv import TsvLog

LOG = re.compile(r"\.(?:log|json)(?:[.-]\d[\w:.-]*)?(?:\.(?:gz|zst))?$")
"""What the name of a log ends with."""
NO_LOG = "is no log of Zeek or Suricata: it begins neither with #separator nor with an object of JSON"
_ROTATED = re.compile(r"[_-]+\d{2,4}-?\d\d-?\d\d.*")


@dataclass(frozen=True)
class Imported:
    """Rows of one log. `name` is the table's, `skipped` what was left out since the last of this `file`, by reason (log_lines.Notes)."""

    name: str
    table: pa.RecordBatch
    skipped: dict[str, int] = field(default_factory=dict)
    file: str = ""


class Log(Protocol):
    """Reads the lines of one format."""

    format: str

    def read(self, number: int, block: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(name, rows) of whole lines."""

    def state(self) -> dict[str, Any]:
        """What a later reader of the same file needs."""


FORMATS: dict[str, Callable[[str, Notes, Any], Log]] = {one.format: one for one in (TsvLog, JsonLog, EveLog)}


def tables(path: Path, report: Callable[[str], None]) -> Iterator[Imported]:
    """The rows of a log, or of all logs below a directory: each log's rotated files in order, then the one that is being written.

    `report` is told in one line what is wrong with a file or line. Raises SourceError where there is nothing to read.
    """
    if not path.is_dir():
        yield from _file(path, report)
        return
    logs = sorted(found(path), key=lambda one: order(path, one))
    if not logs:
        raise SourceError(f"{path} has no logs: name a file, or a directory with files like conn.log or conn.00:00:00-01:00:00.log.gz")
    for one in logs:
        try:
            yield from _file(one, report)
        except SourceError as error:
            report(str(error))


def found(directory: Path) -> Iterator[Path]:
    """All logs in a directory and those below it."""
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names if LOG.search(name) and Path(folder, name).is_file())


def order(top: Path, log: Path) -> tuple[str, bool, str, str]:
    """Where a log comes among those of a directory."""
    inside = str(log.parent.relative_to(top))
    return log_of(log.name), is_live(log.name), inside, log.name


def log_of(name: str) -> str:
    """What Zeek calls the log in a file of that name: conn, of conn.2024-01-01-00-00-00.log.gz."""
    said = re.sub(r"\W", "_", _ROTATED.sub("", name.split(".", maxsplit=1)[0]), flags=re.ASCII)[:64]
    return said if said[:1].isalpha() else f"log_{said}"[:64]


def is_live(name: str) -> bool:
    """Whether that is a log that may still be written to."""
    return name == f"{log_of(name)}.log" or name == "eve.json"


def format_of(text: bytes) -> str:
    """The format of a log that begins so; none if it is no log."""
    line = text.lstrip().split(b"\n", 1)[0]
    if line.startswith(b"#"):
        return "tsv"
    try:
        row = decoded(line)
    except (ValueError, RecursionError):
        return "json" if line.startswith(b'{"') else ""
    return "eve" if "event_type" in row and "timestamp" in row else "json"


def _file(path: Path, report: Callable[[str], None]) -> Iterator[Imported]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise SourceError(f"{path} is a directory within a directory of logs that cannot be read")
        notes = Notes(str(path), report)
        yield from _read(path, fd, notes)
    except OSError as error:
        raise SourceError(f"{path} cannot be read further: {error.strerror}") from error
    finally:
        os.close(fd)


def _read(path: Path, fd: int, notes: Notes) -> Iterator[Imported]:
    lines = Lines(fd, notes)
    log: Log | None = None
    last: tuple[str, pa.Schema] | None = None
    for number, block in lines.blocks():
        if log is None:
            log = _begun(path, block, notes)
        for name, table in log.read(number, block):
            last = name, table.schema
            yield Imported(name, table, notes.news(), notes.file)
    for name, table in rest(lines, log, notes):
        last = name, table.schema
        yield Imported(name, table, notes.news(), notes.file)
    if new := notes.news():
        name, columns = last or (log_of(path.name), pa.schema([]))
        yield Imported(name, pa.RecordBatch.from_pylist([], columns), new, notes.file)


def rest(lines: Lines, log: Log | None, notes: Notes) -> Iterator[tuple[str, pa.RecordBatch]]:
    """What stands behind the last end of a line, where the file will not grow: a row, if it is a whole object."""
    if lines.damaged:
        notes.skip("damaged", 0, f"{lines.damaged}: what follows is lost")
        return
    if not lines.rest.strip():
        return
    whole = False
    if log is not None and log.format != "tsv":
        try:
            whole = bool(decoded(lines.rest))
        except (ValueError, RecursionError):
            whole = False
    if whole and log is not None:
        yield from log.read(lines.line + 1, lines.rest + b"\n")
    elif not (log is not None and lines.rest.startswith(b"#")):
        notes.skip("cut", lines.line + 1, "the last line is cut off: left out")


def _begun(path: Path, block: bytes, notes: Notes) -> Log:
    kind = format_of(block)
    if not kind:
        raise SourceError(f"{path} {NO_LOG}")
    return FORMATS[kind](log_of(path.name), notes, None)
