"""The engine's own files on a disk that is full, read-only or broken: rows wait, one line says so, and nothing is there twice."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from disks import Disk, unwritten
from rows_made import rates
from storing import LARGE, kill, made, until_taken
from waiting import MOST_S, until

from headwater.outputs.spool import Spool
from headwater.store.client import Client
from headwater.store.settings import Place
from headwater.store.starting import answers

pytestmark = pytest.mark.kernel
FILES, ROWS, DAY_NS = 8, 50, 86_400 * 10**9


class Store:
    """The store's process by itself, and what it says."""

    running: ClassVar[list["Store"]] = []

    def __init__(self, place: Place, free_part: float = 0.0) -> None:
        self.place = place
        self._log = place.folder / "said"
        config = place.folder / "headwater.toml"
        config.write_text(f'user = "root"\n[store]\npath = "{place.folder}"\nlisten = ""\nfree_part = {free_part}\n')
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "headwater", "store", "-c", str(config)], stderr=log)
        Store.running.append(self)
        until(lambda: answers(place))

    def said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def kill(self) -> None:
        kill(self.process)
        Store.running.remove(self)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(MOST_S)
        Store.running.remove(self)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return made(tmp_path / "store")


@pytest.fixture
def disk(place: Place) -> Iterator[Disk]:
    with Disk(place.engine / "store") as disk:
        yield disk
        for store in list(Store.running):
            store.kill()


def send(spool: Spool, number: int) -> int:
    """How many others made room."""
    batch = rates(ROWS)
    batch.rows["packets"] = range(number * ROWS, number * ROWS + ROWS)
    return sum(spool.send([batch]).dropped.values())


def there(place: Place) -> list[str]:
    """Rows, how many are distinct, and how many the sums have."""
    with Client(place) as client:
        [[rows, distinct]] = client.rows("SELECT count(), uniqExact(packets) FROM rate", 2)
        [[summed]] = client.rows("SELECT sum(rows) FROM rate_minute", 1)
    return [rows, distinct, summed]


FAULTS = {"full": (Disk.fill, Disk.free), "read-only": (Disk.turn_read_only, Disk.turn_writable)}


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_wait_for_room_and_are_taken_once(fault: str, place: Place, disk: Disk) -> None:
    begin, end = FAULTS[fault]
    store = Store(place)
    with Spool(place.spool, LARGE) as spool:
        for number in range(3):
            send(spool, number)
        until_taken(spool)
        begin(disk)
        for number in range(3, FILES):
            send(spool, number)
        until(lambda: bool(store.said()))
        time.sleep(0.5)
        assert there(place)[0] == str(3 * ROWS), "what is there can be asked for"
        assert not spool.flush(last=False).dropped and spool.waiting == FILES - 3
        end(disk)
        assert not until_taken(spool).dropped
    assert there(place) == [str(FILES * ROWS)] * 3
    store.end()
    assert [line.partition(" takes ")[2].partition(" (")[0] for line in store.said()] == ["no rows now", "rows again"]


@pytest.mark.parametrize("has_rows", [0, ROWS])
def test_a_store_that_starts_on_a_full_disk_answers_and_takes_rows_once_there_is_room(has_rows: int, place: Place, disk: Disk) -> None:
    with Spool(place.spool, LARGE) as spool:
        if has_rows:
            store = Store(place)
            send(spool, 0)
            until_taken(spool)
            store.kill()
        disk.fill()
        store = Store(place)
        if has_rows:
            assert there(place) == [str(ROWS)] * 3
        send(spool, 1)
        until(lambda: bool(store.said()))
        assert "takes no rows now" in store.said()[0]
        disk.free()
        assert not until_taken(spool).dropped
    assert there(place) == [str(has_rows + ROWS)] * 3
    store.end()


def test_on_one_full_disk_rows_are_kept_or_counted(tmp_path: Path) -> None:
    """Spool and tables on the same: what came first makes room, and what is left is taken when there is some."""
    with Disk(tmp_path / "store") as disk:
        place = made(disk.folder)
        store = Store(place)
        try:
            with Spool(place.spool, LARGE) as spool:
                send(spool, 0)
                until_taken(spool)
                disk.fill(but=1 << 20)
                lost = sum(send(spool, number) for number in range(1, FILES))
                time.sleep(0.5)
                assert spool.waiting, "nothing is taken while there is no room"
                disk.free()
                acked = until_taken(spool).acked
            assert lost > 0
            assert acked + lost == (FILES - 1) * ROWS
            assert there(place) == [str(FILES * ROWS - lost)] * 3
        finally:
            store.kill()


def test_on_a_full_disk_what_was_stored_first_makes_room_and_questions_are_answered(tmp_path: Path) -> None:
    """Where something else has taken all, too: the engine wants a little room before it drops anything."""
    with Disk(tmp_path / "store") as disk:
        place = made(disk.folder)
        store = Store(place)
        try:
            until(place.reserve.exists)
            with Spool(place.spool, LARGE) as spool:
                for day in range(2):
                    batch = rates(ROWS)
                    batch.rows["ts"] += day * DAY_NS
                    spool.send([batch])
                    until_taken(spool)
                    time.sleep(1.1)  # by the second is known when rows were stored
            store.kill()
            disk.fill()
            store = Store(place, free_part=0.05)
            until(lambda: any("stored first made room" in line for line in store.said()))
            with Client(place) as client:
                assert client.rows("SELECT uniqExact(toDate(ts)), count() FROM rate", 2) == [["1", str(ROWS)]], "what came last stays"
            disk.free()
            store.end()
        finally:
            for store in list(Store.running):
                store.kill()


def test_what_was_merged_outlives_a_power_cut(place: Place, disk: Disk) -> None:
    """Also where the engine was begun anew in between: what is old then, of which there is something merged, goes soon."""
    numbers = itertools.count()
    with Spool(place.spool, LARGE) as spool, unwritten():

        def one_more() -> None:
            send(spool, next(numbers))
            until_taken(spool)

        store = Store(place)
        for _ in range(FILES):
            one_more()
        with Client(place) as client:
            assert list(client.compact())
        store.kill()
        parts = [one for one in disk.folder.glob("*/*/*_*_*_*") if one.is_dir()]
        for part in parts:
            os.utime(part, (0, 0))
        store = Store(place)
        until(lambda: sum(part.exists() for part in parts) < len(parts) / 2, one_more)  # it looks for them while others come
        disk.cut()
        store.kill()
        disk.mend()
    store = Store(place)
    assert there(place) == [str(next(numbers) * ROWS)] * 3
    store.end()


def test_a_disk_that_breaks_costs_nothing_that_was_safe(place: Place, disk: Disk) -> None:
    store = Store(place)
    with Spool(place.spool, LARGE) as spool:
        for number in range(3):
            send(spool, number)
        until_taken(spool)
        disk.cut()
        for number in range(3, FILES):
            send(spool, number)
        until(lambda: bool(store.said()))
        time.sleep(0.5)
        assert not spool.flush(last=False).dropped and spool.waiting == FILES - 3
        [said] = store.said()
        assert said.startswith("headwater: store: the store takes no rows now (the engine's files: Input/output error)")
        store.kill()
        disk.mend()
        store = Store(place)
        assert not until_taken(spool).dropped
    assert there(place) == [str(FILES * ROWS)] * 3
    store.end()
