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

from headwater.errors import StoreError
from headwater.outputs.files import put
from headwater.store.engine import Connection, EngineError
from headwater.store.rollups import SUMS
from headwater.store.settings import DATABASE, Place, StoreSettings

LOOK_S = 60.0
STEADY_S = 3600.0
"""For which a clock that has jumped must go on evenly before it is believed."""
_JUMP_S = 120.0
_MOST_AT_ONCE = 0.1  # of all rows, by age, in one look
DAY_S = 86_400.0
RESERVE = 4 << 20
_NOT_ENOUGH_SPACE = 243


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
        self._known: dict[tuple[str, str], tuple[int, float]] = {}  # last block of a partition, and when the newest row was stored
        self._problem = ""

    def look(self) -> None:
        """If it is time to. What cannot be done now is told once, and tried again at the next look: rows are taken meanwhile."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_S
        try:
            self.enforce()
            problem = ""
        except StoreError as error:
            problem = str(error)
        if problem and not self._problem:
            self._report(f"store: what should go stays for now ({problem}); it is tried again each minute")
        self._problem = problem

    def enforce(self) -> list[Partition]:
        """Drop what must go, and return it. Raises StoreError where that fails, behind what can be dropped."""
        gone: list[Partition] = []
        problem: StoreError | None = None
        there = sorted(self.partitions(), key=lambda one: (one.newest, one.table in SUMS, one.table, one.name))
        old, large = [*self._old(there)], [*self._large(there)]
        for part in dict.fromkeys([*old, *large]):
            try:
                self.drop(part)
            except StoreError as error:
                problem = error
            else:
                gone.append(part)
        if rows := sum(part.rows for part in gone if part in large):
            octets = sum(part.octets for part in gone if part in large)
            self._report(
                f"store: {rows:,} of the rows that were stored first made room ({octets / 2**20:,.0f} MiB): [store] size_gib and free_part"
            )
        self._reserve()
        if problem:
            raise problem
        return gone

    def drop(self, part: Partition) -> None:
        """Let it go, at once. Raises StoreError."""
        statement = f"ALTER TABLE {DATABASE}.`{part.table}` DROP PARTITION ID '{part.name}' SETTINGS max_partition_size_to_drop = 0"
        try:
            self._connection.run(statement)
        except EngineError as error:
            if error.code != _NOT_ENOUGH_SPACE or not self._place.reserve.exists():
                raise
            self._place.reserve.unlink()
            self._connection.run(statement)

    def _reserve(self) -> None:
        """Have some room that can be given up: on a full disk the engine wants a MiB before it drops anything."""
        if not self._place.reserve.exists():
            try:
                with self._place.reserve.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE)
            except OSError:  # the next look tries again
                self._place.reserve.unlink(missing_ok=True)

    def partitions(self) -> list[Partition]:
        """All that there are. Raises StoreError."""
        found = self._connection.rows(
            "SELECT table, partition_id, sum(bytes_on_disk), sum(rows), max(max_block_number) FROM system.parts "
            f"WHERE database = '{DATABASE}' AND active GROUP BY table, partition_id"
        )
        return [
            Partition(table, name, int(octets), int(rows), self._newest(table, name, int(block)))
            for table, name, octets, rows, block in found
        ]

    def _newest(self, table: str, name: str, block: int) -> float:
        """When its newest row was stored: asked anew where rows have come, of which there may be as many as went before."""
        known = self._known.get((table, name))
        if known is None or known[0] != block:
            asked = f"SELECT toUnixTimestamp(max(ingested)) FROM {DATABASE}.`{table}` WHERE _partition_id = '{name}'"
            known = self._known[table, name] = (block, float(self._connection.value(asked)))
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
        freed = 0
        last = max((number for number, part in enumerate(there) if part.table not in SUMS), default=0)
        for part in there[:last]:  # the last rows, and the sums that were stored with them, are what comes in now
            if freed >= over:
                return
            freed += part.octets
            yield part
