"""Rows into the embedded engine: each file's once.

A file's rows go into their table, and what they come to into those of the sums; then it is removed. Before that a note says which file it
is, and the last block that each of these tables had. Who dies in between finds that note, and in each table a later block or none: an
insert of a day's rows is one part, which is there or not. The engine's own deduplication is no help in this: it may know of a part that was
never finished.
"""

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from headwater.filters.sql import literal
from headwater.outputs.files import put
from headwater.outputs.spool import Spooled
from headwater.store.catalog import Catalog
from headwater.store.engine import Connection
from headwater.store.settings import DATABASE
from headwater.store.tables import HERE, structure


class Embedded:
    """The tables of `connection`; `note` is the file in which is said what was begun, `report` is the catalog's."""

    def __init__(self, connection: Connection, note: Path, report: Callable[[str], None]) -> None:
        self._connection = connection
        self._note = note
        self._begun: tuple[str, dict[str, int]] = ("", {})  # the file that was begun last, and the last blocks before it
        self._catalog = Catalog(connection, HERE, report)

    def open(self) -> None:
        """Look at the tables that there are, and at what was begun. Raises StoreError."""
        self._catalog.open()
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            said = json.loads(self._note.read_text())
            self._begun = said["file"], said["blocks"]

    def put(self, file: Spooled) -> None:
        """Take what of it is not there. Raises StoreError, ValueError, OSError."""
        schema = file.read().schema
        there = self._catalog.ready(file.record, schema)
        steps = self._catalog.additions(
            file.record, schema, there, f"file({literal(str(file.path))}, 'Arrow', {literal(structure(schema))})"
        )
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
