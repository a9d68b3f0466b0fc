"""The tables that there are, and what a file's rows need of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from headwater.store import community_id, rollups, vocabulary
from headwater.store.settings import DATABASE
from headwater.store.tables import Layout, creation, fits, is_computed, kind_of, named, renamed, type_of, widening


class Runs(Protocol):
    """Where statements are run: the embedded engine, or a server."""

    def run(self, sql: str) -> bytes:
        """All of the answer. Raises EngineError."""

    def rows(self, sql: str) -> list[list[str]]:
        """The answer's rows, as text. Raises EngineError."""


class Catalog:
    """The tables that there are where `runs` runs, with their columns and the types of these; more are made as rows need them. `report`
    is told of columns that hold what others cannot.
    """

    def __init__(self, runs: Runs, layout: Layout, report: Callable[[str], None]) -> None:
        self._runs = runs
        self._layout = layout
        self._report = report
        self._columns: dict[str, dict[str, str]] = {}
        self._lives: dict[str, str] = {}  # of tables, what they have been made by
        self._made: set[str] = set()  # in this process: one before may have died between two statements
        self._told: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Look at them, and have those that nobody's rows make. Raises EngineError."""
        for database in self._layout.databases:
            self._runs.run(f"CREATE DATABASE IF NOT EXISTS {database}{self._layout.everywhere}")
        self._made.clear()
        self._columns = self._found()
        if self._layout.expire_s:
            asked = f"SELECT name, create_table_query FROM system.tables WHERE database = '{self._layout.databases[0]}'"
            self._lives = dict(self._runs.rows(asked))
        views = dict(self._runs.rows(f"SELECT name, comment FROM system.tables WHERE database = '{DATABASE}' AND engine = 'View'"))
        for statement in vocabulary.creation(views, self._layout.everywhere):
            self._runs.run(statement)

    def _found(self) -> dict[str, dict[str, str]]:
        """The columns of each table with their types, and on a cluster those that it has both in its parts and over them."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        databases = self._layout.databases
        named = ", ".join(f"'{database}'" for database in databases)
        asked = f"SELECT database, table, name, type FROM system.columns WHERE database IN ({named})"
        for database, table, column, kind in self._runs.rows(asked):
            found.setdefault(table, {}).setdefault(database, {})[column] = kind.replace("\\'", "'")  # the answer's quotes are escaped
        return {
            table: {name: kind for name, kind in of.get(DATABASE, {}).items() if all(name in of.get(one, {}) for one in databases)}
            for table, of in found.items()
        }

    def ready(self, record: str, schema: pa.Schema) -> pa.Schema:
        """Let there be a table for rows with these columns, and for what they come to. Returns what the columns are called there: one
        whose type says what the table's does not is another column, as `own_string` beside `own`. Raises StoreError.
        """
        has = self._columns.get(record, {})
        there = pa.schema([_beside(field, schema, has) for field in schema])
        if record not in self._made or not has.keys() >= set(there.names):
            self._make(record, there)
        for name, other in zip(schema.names, there.names, strict=True):
            if name != other and (record, other) not in self._told:
                self._told.add((record, other))
                self._report(f"store: {record} has {other} for values that are not of the type of its column {name}")
        return there

    def _make(self, record: str, schema: pa.Schema) -> None:
        for statement in self._missing(record, schema):
            self._runs.run(statement)
        self._made.add(record)
        has = self._columns.setdefault(record, {})
        if not has and is_computed(schema, self._layout):
            has[community_id.KEPT] = "String"
        has |= {field.name: type_of(field) for field in schema if field.name not in has}

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

    def additions(self, record: str, schema: pa.Schema, there: pa.Schema, rows: str) -> dict[str, str]:
        """Of each table that rows of a record go to, the statement that adds those of `rows`, a table expression; `there` is of ready()."""
        into = {named(column): named(name) for column, name in zip(there.names, schema.names, strict=True)}
        if community_id.KEPT in self._columns[record]:
            into.pop(named(community_id.NAME), None)
            into[named(community_id.KEPT)] = community_id.kept(schema)
        of_record = f"INSERT INTO {DATABASE}.{named(record)} ({', '.join(into)}) SELECT {', '.join(into.values())} FROM {rows}"
        return {record: of_record} | {rollups.name_of(*one): rollups.addition(*one, rows) for one in rollups.kept(record, there)}


def _beside(field: pa.Field, schema: pa.Schema, has: Mapping[str, str]) -> pa.Field:
    """The column for it in a table that has these."""
    name = str(field.name)
    while (name in has and not fits(has[name], type_of(field))) or (name != field.name and name in schema.names):
        name += f"_{kind_of(field) or 'other'}"
    return field if name == field.name else renamed(field, name)
