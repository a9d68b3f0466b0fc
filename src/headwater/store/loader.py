"""From the spool into tables: each file once, whatever dies in between.

A file's rows go into their table, and what they come to into those of the sums; then it is removed. Before that a note says which file it
is, and the last block that each of these tables had. Who dies in between finds that note, and in each table a later block or none: an
insert of a day's rows is one part, which is there or not. The engine's own deduplication is no help in this: it may know of a part that was
never finished.
"""

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from headwater.errors import StoreError
from headwater.filters.sql import literal
from headwater.outputs import spool
from headwater.outputs.files import put
from headwater.outputs.spool import Spooled
from headwater.store import rollups
from headwater.store.engine import Connection, EngineError
from headwater.store.settings import DATABASE
from headwater.store.tables import creation, named, type_of, widening

_LATER = {159, 164, 202, 241, 243, 252, 394, 425, 999}
"""Time, memory, disk, parts, too many at once: what says nothing of the rows (ErrorCodes.cpp)."""


class Tables:
    """The tables that there are, with the names of their columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._columns: dict[str, set[str]] = {}
        self._made: set[str] = set()  # in this process: one before may have died between two statements

    def open(self) -> None:
        """Look at them. Raises StoreError."""
        for table, column in self._connection.rows(f"SELECT table, name FROM system.columns WHERE database = '{DATABASE}'"):
            self._columns.setdefault(table, set()).add(column)

    def ready(self, record: str, schema: pa.Schema) -> None:
        """Let there be a table for rows with these columns. Raises StoreError."""
        has = self._columns.get(record, set())
        if record in self._made and has >= set(schema.names):
            return
        statements = [creation(record, schema), *(rollups.creation(*one, schema) for one in rollups.kept(record, schema))]
        for statement in [*statements, *(widening(record, schema, has) if has else ())]:
            self._connection.run(statement)
        self._made.add(record)
        self._columns[record] = has | set(schema.names)


class Loader:
    """Takes what lies in the folder `spool` into the tables of `connection`. `note` is the file in which it says what it has begun;
    `report` is told in a line what cannot be taken.
    """

    def __init__(self, connection: Connection, folder: Path, note: Path, report: Callable[[str], None]) -> None:
        self._connection = connection
        self._folder = folder
        self._note = note
        self._begun: tuple[str, dict[str, int]] = ("", {})  # the file that was begun last, and the last blocks before it
        self._report = report
        self._tables = Tables(connection)
        self._problem = ""
        self.rows = 0

    def open(self) -> None:
        """Look at the tables that there are, and at what was begun."""
        self._tables.open()
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            said = json.loads(self._note.read_text())
            self._begun = said["file"], said["blocks"]

    def load(self) -> int:
        """All that waits now. Returns how many files were taken; those that cannot be now are left for the next time."""
        taken = 0
        for writer in spool.writers(self._folder):
            try:
                files = spool.waiting(writer)
                if not files and spool.unlocked(writer):
                    writer.rmdir()
            except OSError:
                continue  # it has gone, or has what no writer leaves
            for file in files:
                if not file.refused:
                    if not self._take(file):
                        return taken
                    taken += 1
        if taken:
            self._say("")
        return taken

    def _take(self, file: Spooled) -> bool:
        """Whether one may go on to the next."""
        try:
            schema = file.read().schema
            self._tables.ready(file.record, schema)
            self._insert(file, schema)
        except FileNotFoundError:
            return True  # its writer needed the room
        except EngineError as error:
            if error.code in _LATER:
                self._say(f"the store takes no rows now ({error}); they wait in the spool")
                return False
            self._refuse(file, str(error))
        except (StoreError, ValueError, pa.ArrowInvalid) as error:
            self._refuse(file, str(error))
        except OSError as error:
            self._say(f"{file.path}: {error.strerror}; its rows wait there")
            return False
        else:
            self.rows += file.rows
            file.path.unlink(missing_ok=True)
        return True

    def _insert(self, file: Spooled, schema: pa.Schema) -> None:
        columns = ", ".join(named(name) for name in schema.names)
        structure = ", ".join(f"{named(field.name)} {type_of(field)}" for field in schema)
        rows = f"file({literal(str(file.path))}, 'Arrow', {literal(structure)})"
        steps = {file.record: f"INSERT INTO {DATABASE}.{named(file.record)} ({columns}) SELECT {columns} FROM {rows}"}
        steps |= {rollups.name_of(*one): rollups.addition(*one, rows) for one in rollups.kept(file.record, schema)}
        blocks = self._blocks(steps)
        if self._begun[0] != file.token:
            self._begin(file.token, blocks)
        for table, statement in steps.items():
            if blocks.get(table, 0) <= self._begun[1].get(table, 0):
                self._connection.run(statement)

    def _blocks(self, tables: Iterable[str]) -> dict[str, int]:
        """The last block of each of them that has any."""
        names = ", ".join(f"'{table}'" for table in tables)
        found = self._connection.rows(
            f"SELECT table, max(max_block_number) FROM system.parts WHERE database = '{DATABASE}' AND table IN ({names}) GROUP BY table"
        )
        return {table: int(block) for table, block in found}

    def _begin(self, token: str, blocks: dict[str, int]) -> None:
        put(self._note, json.dumps({"file": token, "blocks": blocks}))
        self._begun = token, blocks

    def _refuse(self, file: Spooled, why: str) -> None:
        self._report(f"store: {file.rows:,} rows of {file.record} cannot be taken ({why}); they lie aside in {file.path.parent}")
        file.refuse()

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._report(f"store: {problem}")
        self._problem = problem
