"""What is old goes: by the time since it was stored, by the size of all, by what is free on the disk; a day of a table at a time.

Time is when rows were stored, and never their own: a capture of last year is as new as the day it was read on. A clock that jumps must not
cost data, so that nothing goes by age until the clock has been where it is for an hour.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headwater.outputs.files import put
from headwater.store.engine import Connection
from headwater.store.settings import DATABASE, Place, StoreSettings

LOOK_S = 60.0
STEADY_S = 3600.0
"""For which a clock that has jumped must go on evenly before it is believed."""
_JUMP_S = 120.0
_MOST_AT_ONCE = 0.1  # of all rows, by age, in one look
DAY_S = 86_400.0


@dataclass(frozen=True)
class Partition:
    """A day of a table: its size on the disk, its rows, and when the newest of them was stored."""

    table: str
    name: str
    octets: int
    rows: int
    newest: float


class Clock:
    """The wall's time, believed while it runs as evenly as the machine's own."""

    def __init__(self, place: Place, wall: Callable[[], float] = time.time, even: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._wall = wall
        self._even = even
        self._offset = wall() - even()
        self._since = even()
        before = self._known()
        self._trusted = before is not None and -_JUMP_S <= wall() - before <= DAY_S

    def now(self) -> float | None:
        """The time; None while it cannot be believed."""
        offset = self._wall() - self._even()
        if abs(offset - self._offset) > _JUMP_S:
            self._since, self._trusted = self._even(), False
        self._offset = offset
        if not self._trusted and self._even() - self._since < STEADY_S:
            return None
        self._trusted = True
        self._note(self._wall())
        return self._wall()

    def _known(self) -> float | None:
        try:
            found = json.loads(self._place.clock.read_text())
        except (OSError, ValueError):
            return None
        return float(found) if isinstance(found, (int, float)) else None

    def _note(self, now: float) -> None:
        with contextlib.suppress(OSError):  # a full disk: it is asked anew after a restart
            put(self._place.clock, json.dumps(now))


class Retention:
    """Looks after the size and the age of what `connection` has. `report` is told, in a line, what goes for want of room."""

    def __init__(self, connection: Connection, settings: StoreSettings, report: Callable[[str], None], clock: Clock | None = None) -> None:
        self._connection = connection
        self._settings = settings
        self._place = settings.place()
        self._report = report
        self._clock = clock or Clock(self._place)
        self._next = 0.0
        self._known: dict[tuple[str, str], tuple[int, float]] = {}  # rows of a partition, and when the newest was stored

    def look(self) -> None:
        """If it is time to. Raises StoreError."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_S
            self.enforce()

    def enforce(self) -> list[Partition]:
        """Drop what must go, and return it. Raises StoreError."""
        gone = []
        there = sorted(self.partitions(), key=lambda one: (one.newest, one.table, one.name))
        for part in [*self._old(there), *self._large(there)]:
            if part not in gone:
                self.drop(part)
                gone.append(part)
        return gone

    def drop(self, part: Partition) -> None:
        """Let it go, at once. Raises StoreError."""
        self._connection.run(
            f"ALTER TABLE {DATABASE}.`{part.table}` DROP PARTITION ID '{part.name}' SETTINGS max_partition_size_to_drop = 0"
        )

    def partitions(self) -> list[Partition]:
        """All that there are. Raises StoreError."""
        found = self._connection.rows(
            "SELECT table, partition_id, sum(bytes_on_disk), sum(rows) FROM system.parts "
            f"WHERE database = '{DATABASE}' AND active GROUP BY table, partition_id"
        )
        return [Partition(table, name, int(octets), int(rows), self._newest(table, name, int(rows))) for table, name, octets, rows in found]

    def _newest(self, table: str, name: str, rows: int) -> float:
        """When its newest row was stored: asked anew where rows have come."""
        known = self._known.get((table, name))
        if known is None or known[0] != rows:
            asked = f"SELECT toUnixTimestamp(max(ingested)) FROM {DATABASE}.`{table}` WHERE _partition_id = '{name}'"
            known = self._known[table, name] = (rows, float(self._connection.value(asked)))
        return known[1]

    def _old(self, there: list[Partition]) -> Iterator[Partition]:
        now = self._clock.now()
        if now is None:
            return
        left = max(1.0, sum(part.rows for part in there) * _MOST_AT_ONCE)
        for number, part in enumerate(there):
            if part.newest >= now - self._settings.retention_days * DAY_S:
                return
            if number and part.rows > left:
                return
            left -= part.rows
            yield part

    def _large(self, there: list[Partition]) -> Iterator[Partition]:
        disk = os.statvfs(self._place.folder)
        over = max(
            sum(part.octets for part in there) - self._settings.size_gib * 2**30,
            disk.f_blocks * disk.f_frsize * self._settings.free_part - disk.f_bavail * disk.f_frsize,
        )
        freed = rows = 0
        for part in there[:-1]:  # the last one is what comes in now
            if freed >= over:
                break
            freed, rows = freed + part.octets, rows + part.rows
            yield part
        if rows:
            self._report(
                f"store: {rows:,} of the rows that were stored first make room ({freed / 2**20:,.0f} MiB): [store] size_gib and free_part"
            )
