"""Merging the parts of tables: as the engine does by itself in time, but all of them, and now."""

from collections.abc import Iterator

from headwater.store.engine import Connection, EngineError
from headwater.store.settings import DATABASE


def compact(connection: Connection) -> Iterator[str]:
    """Merge the parts of each table and day that has several; a line of each, and of all. What cannot be merged is left as it is: there may
    be no room for a copy. Raises EngineError.
    """
    whole = _size(connection, "")
    asked = (
        f"SELECT table, partition_id FROM system.parts WHERE active AND database = '{DATABASE}' GROUP BY table, partition_id "
        "HAVING count() > 1 ORDER BY table, partition_id"
    )
    for table, partition in connection.rows(asked):
        of = f"AND table = '{table}' AND partition_id = '{partition}'"
        before = _size(connection, of)
        try:
            connection.run(f"OPTIMIZE TABLE {DATABASE}.`{table}` PARTITION ID '{partition}' FINAL SETTINGS optimize_throw_if_noop = 1")
        except EngineError as error:
            yield f"{table} {partition}: left as it is ({error})"
            continue
        yield _said(f"{table} {partition}", before, _size(connection, of))
    yield _said("all", whole, _size(connection, ""))


def _size(connection: Connection, of: str) -> tuple[int, int]:
    """Parts and octets."""
    [[parts, octets]] = connection.rows(
        f"SELECT count(), sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{DATABASE}' {of}"
    )
    return int(parts), int(octets)


def _said(what: str, before: tuple[int, int], after: tuple[int, int]) -> str:
    return f"{what}: {before[0]:,} parts, {before[1]:,} octets; now {after[0]:,}, {after[1]:,}"
