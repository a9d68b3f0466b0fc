"""The spool: what has a name is whole, what makes room is counted, and what fails is tried again without a row twice."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rows_made import rates, servers
from storing import LARGE, made
from waiting import MOST_S

from headwater.analysis import enrich
from headwater.apps.outlets import spool as spool_of
from headwater.config import Settings
from headwater.errors import SinkError
from headwater.outputs import spool as module
from headwater.outputs.outlet import NEVER, Outlet
from headwater.outputs.spool import Spool, unlocked, waiting, writers
from headwater.records import RATE, Batch, Drop
from headwater.records.messages import message
from headwater.records.stored import to_stored
from headwater.store.settings import StoreSettings
from headwater.telemetry import Entry, Ledger, imbalances

FULL, DAMAGED = Drop["spool__full"], Drop["spool__damaged"]


def numbered(first: int, count: int = 10) -> Batch:
    batch = rates(count)
    batch.rows["packets"] = first + np.arange(count)
    return batch


def found(folder: Path) -> list[int]:
    """The numbers of all rows that lie there."""
    return [int(n) for writer in writers(folder) for file in waiting(writer) for n in file.table().column("packets").to_pylist()]


def test_rows_of_all_batches_lie_there_once_and_in_order(tmp_path: Path) -> None:
    folder = made(tmp_path).spool
    with Spool(folder, LARGE) as spool:
        sent = spool.send([numbered(0), servers(5), numbered(10)])
        assert (sent.spooled, sent.acked, sent.dropped) == (25, 0, {})
        assert [(file.record, file.rows) for file in waiting(spool.folder)] == [("rate", 20), ("server", 5)]
        assert [n for file in waiting(spool.folder) if file.record == "rate" for n in file.table().column("packets").to_pylist()] == [
            *range(20)
        ]


def test_what_the_store_takes_is_acked_and_what_it_puts_aside_is_lost(tmp_path: Path) -> None:
    with Spool(made(tmp_path).spool, LARGE) as spool:
        for number in range(3):
            spool.send([numbered(number)])
        first, second, _ = waiting(spool.folder)
        first.path.unlink()
        second.refuse()
        sent = spool.flush(last=False)
        assert (sent.acked, sent.dropped, sent.spooled) == (10, {DAMAGED: 10}, -20)


def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    folder = made(tmp_path).spool
    with Spool(folder, 1) as tried:
        tried.send([numbered(0)])
        octets = waiting(tried.folder)[0].path.stat().st_size
        waiting(tried.folder)[0].path.unlink()
    with Spool(folder, 4 * octets + 500) as spool:
        told = [spool.send([numbered(10 * number)]) for number in range(10)]
    assert sum(sent.dropped.get(FULL, 0) for sent in told) == 60
    assert sum(sent.spooled for sent in told) == 40
    assert found(folder) == [*range(60, 100)]


def test_a_folder_that_a_killed_writer_left_empty_goes(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-1").mkdir()
    with Spool(tmp_path, LARGE) as living, Spool(tmp_path, LARGE) as spool:
        assert {*writers(tmp_path)} == {living.folder, spool.folder}


def test_what_the_store_is_taking_makes_no_room(tmp_path: Path) -> None:
    folder = made(tmp_path).spool
    with Spool(folder, LARGE) as spool:
        spool.send([numbered(0)])
        spool.send([numbered(10)])
        held = waiting(spool.folder)[0].hold()
        with pytest.raises(BlockingIOError):
            waiting(spool.folder)[0].hold()
        spool._most = 1
        assert spool.send([numbered(20)]).dropped == {FULL: 10}
        assert found(folder) == [*range(10), *range(20, 30)]
        os.close(held)
        assert spool.send([numbered(30)]).dropped == {FULL: 20}


def test_what_a_writer_left_is_its_successors_to_count(tmp_path: Path) -> None:
    folder = made(tmp_path).spool
    with Spool(folder, LARGE) as before:
        before.send([numbered(0)])
    ledger = Ledger()
    outlet = Outlet(Spool(folder, LARGE), ledger, pytest.fail)
    outlet.open()
    outlet.put(numbered(10))
    outlet.flush(MOST_S)
    for writer in writers(folder):
        if unlocked(writer):
            waiting(writer)[0].path.unlink()
    outlet.close()
    totals = ledger.totals()
    assert [totals[Entry("records", "store", term)] for term in ("made", "acked", "spooled", "queued")] == [20, 10, 10, 0]
    assert not imbalances(totals)


def test_messages_become_columns_once_and_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of their values is a Python object."""
    made_of = list[Batch]()

    def counted(batch: Batch) -> Any:
        made_of.append(batch)
        return to_stored(batch)

    for where in (module, enrich):
        monkeypatch.setattr(where, "to_stored", counted)
    settings = Settings(records=frozenset({"gopher"}), store=StoreSettings(path=str(tmp_path)))
    record = message("gopher", {"client": "addr", "proto": "enum"})
    rows = np.zeros(1, record.dtype)
    rows["client"][0], rows["proto"][0], rows["id.resp_p"] = b"\0" * 10 + b"\xff\xff" + bytes([8, 8, 8, 8]), "udp", 53
    with spool_of(settings, pytest.fail, float, waits=False) as spool:
        spool.send([Batch(record, rows)])
        [file] = waiting(spool.folder)
        [row] = file.table().to_pylist()
    assert (row["client_country"], row["service_name"]) == ("US", "dns")
    assert len(made_of) == 1


@pytest.mark.parametrize("more", [True, False])
def test_behind_a_bug_what_was_written_is_not_lost_and_others_go_on(more: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, ledger, said, encoded = made(tmp_path).spool, Ledger(), list[str](), module._encoded

    def broken(rows: Any) -> bytes:
        if "direction" not in rows.schema.names:  # which rates have
            raise ValueError("of all things")
        return encoded(rows)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_encoded", broken)
        outlet = Outlet(Spool(folder, LARGE), ledger, said.append)
        outlet.sink.linger_s = NEVER
        outlet.open()
        for batch in (numbered(0), servers(5)):
            outlet.put(batch)
        outlet.flush(MOST_S)  # both in one send()
    assert said == ["store: unexpected ValueError: of all things; please report this"]
    if more:
        outlet.put(numbered(10))
    outlet.close()
    assert found(folder) == [*range(20 if more else 10)]
    totals = ledger.totals()
    assert [totals[Entry("records", "store", term)] for term in ("spooled", "queued")] == [20 if more else 10, 0]
    assert totals[Entry("records", "store", "dropped", "sink", "rejected")] == 5
    assert not imbalances(totals)


CALLS = {"open": 2, "write": 2, "fsync": 4, "rename": 2}


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.ENOSPC])
def test_each_call_may_fail_and_is_made_again(code: int, call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = made(tmp_path).spool, 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*given: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number + 1:
                raise OSError(code, os.strerror(code))
            return real(*given, **more)

        return instead

    with Spool(folder, LARGE) as spool:
        batches = [numbered(0), servers(5)]
        where: Any = Path if call == "rename" else module.os
        monkeypatch.setattr(where, call, failing(getattr(where, call)))
        for tries in range(3):
            try:
                sent = spool.send(batches)
                break
            except SinkError as error:
                assert error.retryable
                assert tries < 2
        monkeypatch.undo()
    lie = [(file.record, file.rows) for writer in writers(folder) for file in waiting(writer)]
    lost = sum(sent.dropped.values())  # on a full disk, what came first makes room for what comes next
    assert sorted(lie) == ([("rate", 10), ("server", 5)] if not lost else [("server", 5)])
    assert (lost == 0 or code == errno.ENOSPC) and sum(rows for _, rows in lie) + lost == 15


def test_a_folder_that_the_store_removes_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, made_by = made(tmp_path).spool, Path.mkdir
    (folder / "00000000000000000001-1").mkdir()  # which goes while it is looked at
    removed = 0

    def removing(path: Path, *given: Any, **more: Any) -> None:
        nonlocal removed
        made_by(path, *given, **more)
        removed += 1
        if path.parent == folder and removed < 4:
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", removing)
    monkeypatch.setattr(module, "unlocked", lambda other: other.rmdir() or True)
    monkeypatch.setattr(module, "waiting", lambda other: list(other.iterdir()))
    with Spool(folder, LARGE) as spool:
        monkeypatch.undo()
        spool.send([numbered(0)])
    assert removed == 4
    assert found(folder) == [*range(10)]


def test_what_is_larger_than_the_spool_is_not_waited_for_where_nothing_waits(tmp_path: Path) -> None:
    with Spool(made(tmp_path).spool, 1, taken_within_s=lambda: float("inf"), waits=True) as spool:
        assert spool.send([numbered(0)]).spooled == 10


@pytest.mark.kernel
def test_on_a_full_disk_the_newest_stay(small_disk: Path) -> None:
    folder = made(small_disk).spool
    with Spool(folder, LARGE) as spool:
        told = [spool.send([numbered(1000 * number, 1000)]) for number in range(60)]
        lost = sum(sum(sent.dropped.values()) for sent in told)
        there = found(folder)
        assert lost > 0
        assert there == [*range(lost, 60_000)]
        free = os.statvfs(folder)
        assert free.f_bavail >= 0.05 * free.f_blocks - 20


@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_file_that_was_changed_is_not_read(at: int, tmp_path: Path) -> None:
    with Spool(made(tmp_path).spool, LARGE) as spool:
        spool.send([Batch(RATE, numbered(0).rows)])
        [file] = waiting(spool.folder)
        octets = bytearray(file.path.read_bytes())
        octets[at] ^= 1
        file.path.write_bytes(octets)
        with pytest.raises(ValueError, match="checksum"):
            file.table()
