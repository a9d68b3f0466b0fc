"""What goes, and in which order: by the time since it was stored, by the size of all, by what is free on the disk. And what never does."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from store.engine import Engine
from storing import made, running

from headwater.store import retention
from headwater.store.engine import EngineError
from headwater.store.retention import DAY_S, STEADY_S, Clock, Retention
from headwater.store.settings import Place, StoreSettings

NOW = 1_800_000_000
DAYS = ("20260103", "20260102", "20260101")
"""Of rows' own times, in the order in which they were stored."""


class Asked:
    """A connection to an engine of a test's own; what has one of the words `fails` in it does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.fails: list[str] = []

    def run(self, sql: str) -> str:
        if any(word in sql for word in self.fails):
            raise EngineError("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space")
        return self.engine.ask(sql)

    def rows(self, sql: str) -> list[list[str]]:
        return [line.split("\t") for line in self.run(sql).splitlines()]

    def value(self, sql: str) -> int:
        return int(self.run(sql))

    def store(self, day: str, stored: float, rows: int = 100, table: str = "kept") -> None:
        made = f"toDateTime('{day[:4]}-{day[4:6]}-{day[6:]} 12:00:00', 'UTC'), rand64(), toDateTime({int(stored)})"
        self.run(f"INSERT INTO headwater.{table} SELECT {made} FROM numbers({rows})")

    def left(self) -> set[str]:
        return {day for [day] in self.rows("SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = 'headwater'")}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine"), readonly=0) as running:
        yield running


@pytest.fixture
def there(engine: Engine) -> Asked:
    engine.ask("DROP DATABASE headwater SYNC")
    engine.ask("CREATE DATABASE headwater")
    columns = "ts DateTime('UTC'), random UInt64, ingested DateTime"
    for table in ("kept", "rate_hour"):
        engine.ask(f"CREATE TABLE headwater.{table} ({columns}) ENGINE = MergeTree PARTITION BY toYYYYMMDD(ts) ORDER BY ts")
    return Asked(engine)


def looking(there: Any, folder: Path, said: list[str], **settings: float) -> Retention:
    """At a time that is believed."""
    place = made(folder)
    place.clock.write_text(json.dumps(NOW))
    chosen = StoreSettings(path=str(folder), **{"free_part": 0.0, **settings})  # type: ignore[arg-type]
    return Retention(there, chosen, said.append, Clock(place, lambda: NOW, lambda: 0.0))


def test_what_was_stored_again_stays_though_it_has_as_many_rows_as_what_went(there: Asked, tmp_path: Path) -> None:
    """An old capture that is read once more, by a store that has seen its rows go."""
    keeping = looking(there, tmp_path, [])
    there.store("20200101", NOW - 40 * DAY_S)
    there.store("20260101", NOW - DAY_S)
    assert [part.name for part in keeping.enforce()] == ["20200101"]
    there.store("20200101", NOW)
    assert keeping.enforce() == []
    assert there.left() == {"20200101", "20260101"}


def test_beyond_its_size_what_was_stored_first_goes_and_the_last_stays(there: Asked, tmp_path: Path) -> None:
    said: list[str] = []
    for number, day in enumerate(DAYS):
        there.store(day, NOW - 10 + number)
    octets = there.value("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'headwater'")
    assert looking(there, tmp_path, said, size_gib=octets / 2**30).enforce() == []
    assert [part.name for part in looking(there, tmp_path, said, size_gib=(octets - 1) / 2**30).enforce()] == [DAYS[0]]
    assert said == ["store: 100 of the rows that were stored first made room (0 MiB): [store] size_gib and free_part"]
    there.store(DAYS[1], NOW, rows=1)  # a row that is new makes its day the newest
    assert [part.name for part in looking(there, tmp_path, said, size_gib=1 / 2**30).enforce()] == [DAYS[2]]
    assert there.left() == {DAYS[1]}


@pytest.mark.parametrize("later", [0, 1])
def test_the_last_rows_stay_though_their_sums_were_stored_after_them(later: int, there: Asked, tmp_path: Path) -> None:
    for number, day in enumerate(DAYS[:2]):
        there.store(day, NOW - 10 + 2 * number)
        there.store(day, NOW - 10 + 2 * number + later, table="rate_hour")
    gone = looking(there, tmp_path, [], size_gib=1 / 2**30).enforce()
    assert {(part.table, part.name) for part in gone} == {("kept", DAYS[0]), ("rate_hour", DAYS[0])}


@pytest.mark.kernel
def test_where_the_disk_has_too_little_left_what_was_stored_first_goes(there: Asked, small_disk: Path) -> None:
    for number, day in enumerate(DAYS):
        there.store(day, NOW - 10 + number)
    keeping = looking(there, small_disk, [], free_part=0.5)
    assert keeping.enforce() == []
    (small_disk / "of others").write_bytes(bytes(200 << 10))
    assert [part.name for part in keeping.enforce()] == [*DAYS[:2]]


def test_what_cannot_go_is_told_once_and_holds_up_nothing(there: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(retention, "LOOK_S", 0.0)
    keeping = looking(there, tmp_path, said)
    for day in DAYS[:2]:
        there.store(day, NOW - 40 * DAY_S, rows=1)
    there.store(DAYS[2], NOW, rows=1000)
    there.fails = [f"DROP PARTITION ID '{DAYS[0]}'"]
    for _ in range(3):
        keeping.look()
    assert there.left() == {DAYS[0], DAYS[2]}
    assert len(said) == 1 and said[0].startswith("store: what should go stays for now (Cannot reserve 1.00 MiB")
    there.fails = ["system.parts"]
    keeping.look()
    there.fails = []
    keeping.look()
    assert there.left() == {DAYS[2]}
    assert len(said) == 1


class Times:
    """A wall clock and an even one, which a test sets."""

    def __init__(self) -> None:
        self.wall, self.even = 1_800_000_000.0, 1000.0

    def go(self, seconds: float, jump: float = 0.0) -> None:
        self.wall += seconds + jump
        self.even += seconds


@pytest.mark.parametrize("jump", [3600.0, 365 * 86_400.0, -3600.0, -365 * 86_400.0])
def test_a_clock_that_jumps_is_believed_after_an_hour(jump: float, tmp_path: Path) -> None:
    times, place = Times(), made(tmp_path)
    place.clock.write_text(json.dumps(times.wall))
    clock = Clock(place, lambda: times.wall, lambda: times.even)
    assert clock.now() == times.wall
    times.go(60)
    assert clock.now() == times.wall
    times.go(60, jump)
    for _ in range(int(STEADY_S / 60)):
        assert clock.now() is None
        times.go(60)
    assert clock.now() == times.wall
    assert Clock(place, lambda: times.wall, lambda: times.even).now() == times.wall
    times.go(0, 3 * 86_400.0)  # while nobody looked
    assert Clock(place, lambda: times.wall, lambda: times.even).now() is None


def test_a_store_lets_go_what_it_was_told_to_once_it_knows_its_clock(tmp_path: Path) -> None:
    config, store = tmp_path / "headwater.toml", Place(tmp_path / "store")

    def headwater(*words: str) -> None:
        done = subprocess.run([sys.executable, "-m", "headwater", *words], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr

    config.write_text(f'user = "root"\n[store]\npath = "{store.folder}"\nlisten = ""\n')
    headwater("read", "-c", str(config), "--record", "conn", "--store", str(ROOT / "docs/trace.pcap"))
    config.write_text(f"{config.read_text()}retention_days = 0.00001\n")
    for is_known in (False, True):
        store.clock.unlink(missing_ok=True)
        if is_known:
            store.clock.write_text(json.dumps(time.time()))
        time.sleep(1.1)  # more than a day's 0.00001
        headwater("store", "-c", str(config), "--once")
        with running(store.folder) as client:
            left = int(client.rows("SELECT count() FROM conn", 1)[0][0])
            assert (left == 0) == is_known, "a clock that nobody knows is not believed, one that was seen is"
