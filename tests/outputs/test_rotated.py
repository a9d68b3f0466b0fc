"""Logs that are begun anew every hour and packed by the day, under a clock that is set; and what is left of them when somebody dies."""

import errno
import gzip
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from parsezeeklogs import read_zeek
from rows_made import TCP, conns
from waiting import until

from headwater.errors import SinkError
from headwater.outputs import files, packing, sinks, zeek_text
from headwater.outputs.rotated import Rotated, begin, end
from headwater.records import Batch, Drop
from headwater.sources import log_files
from headwater.sources.log_files import LogFiles
from headwater.sources.log_memory import Memory
from headwater.sources.zeek import tables

FORMS = ("zeek", "zeek-json")


class Clock:
    """Local time as a test has it."""

    def __init__(self) -> None:
        self.at(2026, 3, 5, 13, 20)

    def at(self, *date: int) -> None:
        self.now = datetime(*date).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def sink(folder: Path, form: str, clock: Clock, told: list[str] | None = None, every_s: float = 3600.0) -> Rotated:
    return Rotated(
        sinks.form_of(form), folder, frozenset({"conn", "weird"}), every_s, (told if told is not None else []).append, clock=clock
    )


def rows(*numbers: int) -> Batch:
    return conns([{**TCP, "orig_pkts": number} for number in numbers])


def packed(folder: Path, what: str = "*/*.log.gz") -> dict[str, list[int]]:
    """The numbers of the rows in each log that is packed, as the importer reads them."""
    found = {}
    for path in sorted(folder.glob(what)):
        found[str(path.relative_to(folder))] = numbers(path)
    return found


def numbers(path: Path) -> list[int]:
    told: list[str] = []
    found = [number for one in tables(path, told.append) for number in one.table.column("orig_pkts").to_pylist()]
    assert not told
    return found


def until_packed(one: Rotated) -> None:
    until(lambda: not one._packer._waiting)


def test_a_log_is_begun_anew_every_hour_and_packed_by_the_day(form: str, tmp_path: Path) -> None:
    clock = Clock()
    with sink(tmp_path / "logs", form, clock) as one:
        acked = one.flush(last=False).acked
        assert [path.name for path in (tmp_path / "logs").iterdir()] == ["current"]
        for hour, minute in ((13, 25), (13, 59), (14, 0), (14, 1), (23, 30)):
            clock.at(2026, 3, 5, hour, minute)
            acked += one.send([rows(hour, minute)]).acked + one.flush(last=False).acked
        assert (tmp_path / "logs/current/conn.log").exists()
        clock.at(2026, 3, 6, 0, 0)
        acked += one.flush(last=False).acked
        assert not (tmp_path / "logs/current/conn.log").exists()
        clock.at(2026, 3, 6, 9, 30)
        assert one.flush(last=False).acked == 0
        acked += one.send([rows(9)]).acked
        clock.at(2026, 3, 6, 9, 45)
        acked += one.flush(last=True).acked
    assert acked == 11
    assert packed(tmp_path / "logs") == {
        "2026-03-05/conn.13:20:00-14:00:00.log.gz": [13, 25, 13, 59],
        "2026-03-05/conn.14:00:00-15:00:00.log.gz": [14, 0, 14, 1],
        "2026-03-05/conn.23:00:00-00:00:00.log.gz": [23, 30],
        "2026-03-06/conn.09:00:00-09:45:00.log.gz": [9],
    }
    assert not list((tmp_path / "logs/current").iterdir())
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"current", "2026-03-05", "2026-03-06"}


def test_who_reads_zeeks_logs_reads_them(tmp_path: Path) -> None:
    clock = Clock()
    with sink(tmp_path, "zeek", clock) as one:
        one.send([rows(1, 2)])
    (path,) = tmp_path.glob("2026-03-05/*")
    text = gzip.decompress(path.read_bytes()).decode()
    assert text.startswith("#separator \\x09\n") and text.splitlines()[-1].startswith("#close\t")
    (tmp_path / "conn.log").write_text(text)
    assert [row["orig_pkts"] for row in read_zeek(tmp_path / "conn.log")] == [1, 2]
    cut = ["awk", "-F", "\t", '/^#fields/ {for (i = 2; i <= NF; i++) at[$i] = i - 1} !/^#/ {print $at["orig_pkts"]}']  # what zeek-cut does
    assert subprocess.run(cut, input=text, capture_output=True, text=True, check=True).stdout == "1\n2\n"


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_hours_are_local_and_one_that_comes_twice_is_kept_twice(tmp_path: Path) -> None:
    clock = Clock()
    first = datetime.fromisoformat("2026-10-25T02:00:00+02:00").timestamp()
    assert begin(first + 1, 86_400) == datetime.fromisoformat("2026-10-25T00:00:00+02:00").timestamp()
    assert end(first, 86_400) == datetime.fromisoformat("2026-10-25T23:00:00+01:00").timestamp()
    clock.now = first
    with sink(tmp_path, "zeek", clock) as one:
        for hour in range(4):
            clock.now = first + hour * 3600
            one.send([rows(hour)])
    assert packed(tmp_path) == {
        "2026-10-25/conn.02:00:00-02:00:00.log.gz": [0],
        "2026-10-25/conn.02:00:00-03:00:00.log.gz": [1],
        "2026-10-25/conn.03:00:00-04:00:00.log.gz": [2],
        "2026-10-25/conn.04:00:00-04:00:00.log.gz": [3],
    }


@pytest.mark.parametrize(
    ("every_s", "ends"), [(600.0, (13, 30)), (7200.0, (14, 0)), (86_400.0, (0, 0)), (5400.0, (13, 30)), (36_000.0, (20, 0))]
)
def test_intervals_count_from_midnight_and_end_with_the_day(every_s: float, ends: tuple[int, int]) -> None:
    at = datetime(2026, 3, 5, 13, 20).timestamp()
    assert time.localtime(end(at, every_s))[3:5] == ends
    assert begin(at, every_s) <= at < end(at, every_s)
    late = datetime(2026, 3, 5, 23, 59, 59).timestamp()
    assert end(late, every_s) == datetime(2026, 3, 6).timestamp()


def test_a_clock_that_is_set_back_overwrites_nothing(form: str, tmp_path: Path) -> None:
    clock = Clock()
    with sink(tmp_path, form, clock) as one:
        for number in range(3):
            clock.at(2026, 3, 5, 13, 20)
            one._begin(clock())
            one.send([rows(number)])
            clock.at(2026, 3, 5, 14, 0)
            one.flush(last=False)
            until_packed(one)
    assert sorted(number for found in packed(tmp_path).values() for number in found) == [0, 1, 2]
    assert len(packed(tmp_path)) == 3


DIES = """
import os, sys, time
from pathlib import Path
from rows_made import TCP, conns
from headwater.outputs import packing, rotated, sinks
from headwater.outputs.rotated import Rotated

def run(folder, died):
    calls = 0
    def counted(call):
        def instead(*words, **more):
            nonlocal calls
            calls += 1
            if calls == died:
                os._exit(9)
            return call(*words, **more)
        return instead
    for name in ("rename", "unlink", "mkdir"):
        setattr(Path, name, counted(getattr(Path, name)))
    packing.sync_names = rotated.sync_names = counted(rotated.sync_names)
    os.fsync = counted(os.fsync)
    now = [time.mktime((2026, 3, 5, 13, 20, 0, 0, 0, -1))]
    one = Rotated(sinks.form_of("zeek"), folder, frozenset({"conn"}), 3600.0, print, clock=lambda: now[0])
    one.open()
    for number in range(3):
        one.send([conns([{**TCP, "orig_pkts": number}])])
        if one.flush(last=False).acked:
            os.write(1, f"{died} {number}\\n".encode())
        now[0] += 3600
    one.flush(last=True)
    one.close()
    os._exit(0)

os.sched_setscheduler = lambda *_: None  # what nobody else wants may be little here
for died in range(1, 200, 4):
    child = os.fork()
    if not child:
        run(Path(sys.argv[1], str(died)), died)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


def test_whoever_dies_in_between_the_next_run_packs_what_was_left(tmp_path: Path) -> None:
    """At each call that changes names or makes them safe: what was acked is there once, whole."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, "-c", textwrap.dedent(DIES), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    acked: dict[int, list[int]] = {}
    for died, number in (map(int, line.split()) for line in done.stdout.splitlines()):
        acked.setdefault(died, []).append(number)
    last = max(acked)
    assert last > 20
    for died in range(1, last + 1, 4):
        folder = tmp_path / str(died)
        with sink(folder, "zeek", Clock()) as one:
            one.flush(last=False)
            until_packed(one)
        found = sorted(number for found in packed(folder).values() for number in found)
        assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted(Path(name).name for name in packed(folder)), died
        assert len(found) == len(set(found)) and set(acked.get(died, [])) <= set(found), died
    assert found == acked[last] == [0, 1, 2]


def test_a_log_that_was_not_ended_is_kept(form: str, tmp_path: Path) -> None:
    clock = Clock()
    left = sink(tmp_path, form, clock)
    left.open()
    left.send([rows(1)])
    for file in left._files.values():
        file.close()
    os.close(left._fds[-1])
    os.utime(tmp_path / "current/conn.log", (clock.now + 60, clock.now + 60))
    clock.at(2026, 3, 7, 8, 0)
    with sink(tmp_path, form, clock) as one:
        one.flush(last=False)
        one.send([rows(2)])
    assert packed(tmp_path) == {"2026-03-05/conn.13:00:00-13:21:00.log.gz": [1], "2026-03-07/conn.08:00:00-08:00:00.log.gz": [2]}


def test_two_runs_do_not_write_in_one_place(tmp_path: Path) -> None:
    with sink(tmp_path, "zeek", Clock()), pytest.raises(SinkError, match="another run writes there"):
        sink(tmp_path, "zeek", Clock()).open()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/current").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match="current"):
        sink(tmp_path / "logs", "zeek", Clock()).open()


def test_a_folder_that_the_account_cannot_write_in_is_said(tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir(mode=0o755)
    one = sink(tmp_path / "roots", "zeek", Clock())
    one._owner = (65534, 65534)
    with pytest.raises(SinkError, match=r"chown 65534 .*roots, or name a folder that is not there yet"):
        one.open()


def test_what_has_no_room_is_counted_and_what_cannot_be_packed_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(), list[str]()
    monkeypatch.setattr(packing, "AGAIN_S", 0.05)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with sink(tmp_path, "zeek", clock, told) as one:
        one.send([rows(1)])
        assert one.flush(last=False).acked == 1
        with monkeypatch.context() as on_full:
            on_full.setattr(files.Stream, "append", full)
            on_full.setattr(packing, "write_all", full)
            sent = one.send([rows(2)])
            assert sent.dropped == {Drop["sink__disk_full"]: 1} and "no room left" in sent.problem
            clock.at(2026, 3, 5, 14, 0)
            one.flush(last=False)
            until(lambda: told)
            time.sleep(0.3)
            assert [path.name for path in (tmp_path / "current").iterdir()] == ["conn__2026-03-05-13-20-00__2026-03-05-14-00-00__.log"]
        until_packed(one)
        one.send([rows(3)])
    assert told == [f"{tmp_path}: logs cannot be packed now, and wait in current: {told[0].partition('current: ')[2]}"]
    assert packed(tmp_path) == {"2026-03-05/conn.13:20:00-14:00:00.log.gz": [1], "2026-03-05/conn.14:00:00-14:00:00.log.gz": [3]}


def test_whoever_follows_them_has_each_row_once(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(), list[int]()
    # by their times such logs are told apart
    monkeypatch.setattr(zeek_text, "_now", lambda: time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(clock())))
    monkeypatch.setattr(log_files, "SETTLED_S", -100.0)  # nobody waits for them
    logs = tmp_path / "logs"
    with Memory(tmp_path / "memory.sqlite") as memory, closing(LogFiles([logs / "current", logs], memory, print, follow=True)) as follow:

        def look() -> None:
            for block in follow.look():
                memory.commit("", 0)
                found.extend(number for got in block if len(got.table) for number in got.table.column("orig_pkts").to_pylist())

        with sink(logs, form, clock) as one:
            look()
            for number in range(6):
                clock.now += 1200
                one.send([rows(2 * number), rows(2 * number + 1)])
                one.flush(last=False)
                if number % 2:
                    until_packed(one)
                if number % 3:
                    look()
        look()
    assert found == list(range(12))


def test_a_log_that_cannot_get_its_name_is_written_on(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with sink(tmp_path, form, clock) as one:
        one.send([rows(1)])
        clock.at(2026, 3, 5, 14, 0)
        with monkeypatch.context() as refusing:
            refusing.setattr(Path, "rename", refused)
            assert "Read-only" in one.flush(last=False).problem
        one.send([rows(2)])
        clock.at(2026, 3, 5, 15, 0)
        one.flush(last=False)
        until_packed(one)
    assert packed(tmp_path) == {"2026-03-05/conn.14:00:00-15:00:00.log.gz": [1, 2]}


def test_packing_does_not_hold_up_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(), list[str]()
    monkeypatch.setattr(packing, "END_S", 0.1)
    monkeypatch.setattr(packing, "write_all", lambda *_: until(lambda: one._packer._stopped))  # that long it takes
    with sink(tmp_path, "zeek-json", clock, told) as one:
        one.send([rows(1)])
        clock.at(2026, 3, 5, 14, 0)
        one.flush(last=False)
        one.send([rows(2)])
        assert one.flush(last=False).acked == 1
    assert told == [f"{tmp_path}: logs that are not packed yet wait in current for the next run"]
    left = sorted((tmp_path / "current").iterdir())
    assert [json.loads(path.read_text())["orig_pkts"] for path in left] == [1, 2]
    assert [numbers(path) for path in left] == [[1], [2]], "they can be imported as they are"
    assert {one.name for path in left for one in tables(path, told.append)} == {"conn"}
