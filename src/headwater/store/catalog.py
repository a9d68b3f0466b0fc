"""The tables that there are, and what a file's rows need of them."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from headwater.store import rollups, vocabulary
from headwater.store.settings import DATABASE
from headwater.store.tables import Layout, creation, named, widening


class Runs(Protocol):
    """Where statements are run: the embedded engine, or a server."""

    def run(self, sql: str) -> bytes:
        """All of the answer. Raises EngineError."""

    def rows(self, sql: str) -> list[list[str]]:
        """The answer's rows, as text. Raises EngineError."""


class Catalog:
    """The tables that there are where `runs` runs, with the names of their columns; more are made as rows need them."""

    def __init__(self, runs: Runs, layout: Layout) -> None:
        self._runs = runs
        self._layout = layout
        self._columns: dict[str, set[str]] = {}
        self._lives: dict[str, str] = {}  # of tables, what they have been made by
        self._made: set[str] = set()  # in this process: one before may have died between two statements

    def open(self) -> None:
        """Look at them, and have those that nobody's rows make. Raises EngineError."""
        for database in self._layout.databases:
            self._runs.run(f"CREATE DATABASE IF NOT EXISTS {database}{self._layout.everywhere}")
        self._made.clear()
        self._columns = self._found()
        if self._layout.expire_s:
            asked = f"SELECT name, create_table_query FROM system.tables WHERE database = '{self._layout.databases[0]}'"
            self._lives = dict(self._runs.rows(asked))
        for statement in vocabulary.creation(self._layout.everywhere):
            self._runs.run(statement)

    def _found(self) -> dict[str, set[str]]:
        """The columns of each table, and on a cluster those that it has both in its parts and over them."""
        found: dict[str, dict[str, set[str]]] = {}
        databases = self._layout.databases
        named = ", ".join(f"'{database}'" for database in databases)
        for database, table, column in self._runs.rows(f"SELECT database, table, name FROM system.columns WHERE database IN ({named})"):
            found.setdefault(table, {}).setdefault(database, set()).add(column)
        return {table: set.intersection(*(of.get(database, set()) for database in databases)) for table, of in found.items()}

    def ready(self, record: str, schema: pa.Schema) -> None:
        """Let there be a table for rows with these columns, and for what they come to. Raises StoreError."""
        if record in self._made and self._columns[record] >= set(schema.names):
            return
        for statement in self._missing(record, schema):
            self._runs.run(statement)
        self._made.add(record)
        self._columns.setdefault(record, set()).update(schema.names)

    def _missing(self, record: str, schema: pa.Schema) -> Iterator[str]:
        yield from creation(record, schema, self._layout)
        tables = [record]
        for rollup, step in rollups.kept(record, schema):
            yield from rollups.creation(rollup, step, schema, self._layout)
            tables.append(rollups.name_of(rollup, step))
        if record in self._columns:
            yield from widening(record, schema, self._columns[record], self._layout)
        for table in tables:
            if table in self._lives and self._layout.life not in self._lives[table]:
                yield f"ALTER TABLE {self._layout.place(table)}{self._layout.everywhere} MODIFY TTL {self._layout.life}"


def additions(record: str, schema: pa.Schema, rows: str) -> dict[str, str]:
    """Of each table that rows of a record go to, the statement that adds those of `rows`, a table expression."""
    columns = ", ".join(named(name) for name in schema.names)
    of_record = {record: f"INSERT INTO {DATABASE}.{named(record)} ({columns}) SELECT {columns} FROM {rows}"}
    return of_record | {rollups.name_of(*one): rollups.addition(*one, rows) for one in rollups.kept(record, schema)}
