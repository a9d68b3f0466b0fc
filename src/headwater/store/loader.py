"""From the spool into tables: each file once, whatever dies in between.

A file's rows go in with its token, and it is removed after they are on the disk. Who dies before that offers it again, and the engine,
which has the tokens of the last ten thousand, takes nothing twice.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from headwater.errors import StoreError
from headwater.outputs import spool
from headwater.outputs.spool import Spooled
from headwater.store.engine import Connection, EngineError
from headwater.store.rollups import rollups
from headwater.store.settings import DATABASE
from headwater.store.tables import creation, named, widening

_LATER = {159, 164, 202, 241, 243, 252, 394, 425, 999}
"""Time, memory, disk, parts, too many at once: what says nothing of the rows (ErrorCodes.cpp)."""


class Tables:
    """The tables that there are, with their columns' types."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._columns: dict[str, dict[str, str]] = {}

    def open(self) -> None:
        """Look at them. Raises StoreError."""
        for table, column, kind in self._connection.rows(
            f"SELECT table, name, type FROM system.columns WHERE database = '{DATABASE}' FORMAT TabSeparatedRaw"
        ):
            self._columns.setdefault(table, {})[column] = kind

    def ready(self, record: str, schema: pa.Schema) -> None:
        """Let there be a table for rows with these columns. Raises StoreError."""
        has = self._columns.get(record)
        if has is not None and has.keys() >= set(schema.names):
            return
        new = [*creation(record, schema), *rollups(record, schema)] if has is None else widening(record, schema, has)
        for statement in new:
            self._connection.run(statement)
        found = self._connection.rows(f"SELECT name, type FROM system.columns WHERE database = '{DATABASE}' AND table = '{record}'")
        self._columns[record] = {one[0]: one[1] for one in found}


class Loader:
    """Takes what lies in the folder `spool` into the tables of `connection`. `report` is told in a line what cannot be taken."""

    def __init__(self, connection: Connection, folder: Path, report: Callable[[str], None]) -> None:
        self._connection = connection
        self._folder = folder
        self._report = report
        self._tables = Tables(connection)
        self._problem = ""
        self.rows = 0

    def open(self) -> None:
        """Look at the tables that there are."""
        self._tables.open()

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
            octets = file.path.read_bytes()
            if zlib.crc32(octets) != file.checksum:
                raise ValueError("the disk gives back other octets than were written")
            schema = pa.ipc.open_file(pa.py_buffer(octets)).schema
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
        path = str(file.path).replace("\\", "\\\\").replace("'", "\\'")
        self._connection.run(
            f"INSERT INTO {DATABASE}.{named(file.record)} ({columns}) "
            f"SETTINGS insert_deduplication_token = '{file.token}', deduplicate_blocks_in_dependent_materialized_views = 1 "
            f"SELECT {columns} FROM file('{path}', 'Arrow')"
        )

    def _refuse(self, file: Spooled, why: str) -> None:
        self._report(f"store: {file.rows:,} rows of {file.record} cannot be taken ({why}); they lie aside in {file.path.parent}")
        file.refuse()

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._report(f"store: {problem}")
        self._problem = problem
