"""One suite over all sinks: slow, failing, refusing, away and back. Rows in = rows out + rows counted as dropped, exactly."""

import errno
import gzip
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count as counting
from pathlib import Path
from typing import Any

import pytest
import reading_back
from grafana_stand_in import TOKEN, StandIn
from headwater._native import ffi, lib
from rows_made import START, packets, rates
from waiting import MOST_S, until

from headwater.errors import SinkError
from headwater.interfaces import Sink
from headwater.outputs import files
from headwater.outputs import outlet as outlet_module
from headwater.outputs.files import Files
from headwater.outputs.outlet import NEVER, Outlet
from headwater.outputs.rotated import Rotated
from headwater.outputs.sinks import FORMATS, form_of
from headwater.outputs.sinks.grafana import Grafana, GrafanaSettings
from headwater.records import PACKET
from headwater.telemetry import Entry, Ledger, imbalances

pytestmark = pytest.mark.alone

BATCHES, ROWS = 40, 50


class FileRig:
    """Files, on a disk whose writes and reservations can be made to fail."""

    def __init__(self, form: type[files.Format], directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(form, "group_rows", min(form.group_rows, 300))
        monkeypatch.setattr(files, "os", _Faulty(os, write=self._write))
        monkeypatch.setattr(files, "lib", _Faulty(lib, hw_reserve=self._reserve))
        self.path = directory / f"packet.{form.suffix}"
        self.sink: Sink = Files(form, directory)
        self.sink.linger_s = 0.0
        self.writes = self.hits = 0
        self.fault = "fine"

    def _write(self, fd: int, octets: Any) -> int:
        self.writes += 1
        if self.fault == "slow":
            self.hits += 1
            time.sleep(0.005)
        if self.fault == "away" or (self.fault == "failing" and self.writes % 3 == 0):
            self.hits += 1
            os.write(fd, octets[: len(octets) // 2])
            raise OSError(errno.EIO, "Input/output error")
        return os.write(fd, octets)

    def _reserve(self, fd: int, at: int, size: int) -> int:
        self.writes += 1
        if self.fault == "refusing" and self.writes % 3 == 0:
            self.hits += 1
            ffi.errno = errno.ENOSPC
            return -1
        return lib.hw_reserve(fd, at, size)

    def rows_out(self) -> int:
        return reading_back.count(self.path) if self.path.exists() else 0


class RotatedRig(FileRig):
    """Logs, which are begun anew with every few batches."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        form = type("Log", (form_of("jsonl"),), {"suffix": "log"})
        super().__init__(form, directory, monkeypatch)
        times = counting(1_800_000_000.0, 600.0)
        self.sink = Rotated(form, directory, None, 3600.0, lambda _: None, clock=lambda: next(times))
        self.sink.linger_s = 0.0

    def rows_out(self) -> int:
        logs = list(self.path.parent.rglob("*.log*"))
        return sum((gzip.decompress(log.read_bytes()) if log.suffix == ".gz" else log.read_bytes()).count(b"\n") for log in logs)


class _Faulty:
    def __init__(self, real: object, **changed: Callable[..., Any]) -> None:
        self.__dict__.update(changed)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class GrafanaRig:
    """Grafana, whose stand-in can be made to misbehave."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.sink: Sink = Grafana(GrafanaSettings(stand_in.url, TOKEN, max_rows_per_s=100_000, linger_ms=50, timeout_s=2))
        self._fault = "fine"
        self.hits = 0
        stand_in.act = self._act

    @property
    def fault(self) -> str:
        return self._fault

    @fault.setter
    def fault(self, fault: str) -> None:
        if fault == "away":
            self.stand_in.__exit__()
        elif self._fault == "away":
            self.stand_in.__enter__()
        self._fault = fault

    def _act(self, number: int, lines: list[Any]) -> object:
        bad = self._fault == "refusing" and any(dict(line.fields)["source_port"] % 7 == 3 for line in lines)
        ill = self._fault == "failing" and number % 3 == 0
        self.hits += bad or ill or self._fault == "slow"
        if self._fault == "slow":
            time.sleep(0.02)
        return 500 if bad else 503 if ill else None

    def rows_out(self) -> int:
        assert not self.stand_in.problems
        assert len({line.time for line in self.stand_in.lines}) == len(self.stand_in.lines)
        return len(self.stand_in.lines)


@pytest.fixture(params=[*(name for name in FORMATS if form_of(name).records is None), "rotated", "grafana"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileRig | GrafanaRig]:
    if request.param == "grafana":
        with StandIn() as stand_in:
            yield GrafanaRig(stand_in)
    elif request.param == "rotated":
        yield RotatedRig(tmp_path, monkeypatch)
    else:
        yield FileRig(form_of(request.param), tmp_path, monkeypatch)


def totals(ledger: Ledger) -> dict[str, int]:
    """Terms of the one sink; every loss under its reason too."""
    found: dict[str, int] = {}
    for entry, count in ledger.totals().items():
        for name in {entry.term, entry.reason or entry.term}:
            found[name] = found.get(name, 0) + count
    return found


@pytest.mark.parametrize("fault", ["fine", "slow", "failing", "refusing", "away"])
def test_rows_in_are_rows_out_and_rows_dropped(rig: FileRig | GrafanaRig, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "CALM_S", 0.15)
    ledger, said = Ledger(), []
    outlet = Outlet(rig.sink, ledger, said.append, backoff_s=(0.02, 0.1))
    outlet.open()
    halved = isinstance(rig, GrafanaRig) and fault == "refusing"  # its batch must be through before lines are taken again
    lines = fault == "refusing" and isinstance(rig, FileRig) and not rig.sink._form.needs_end  # likewise: down to one line
    for number in range(BATCHES):
        if number == 5:
            outlet.flush(MOST_S)
            rig.fault = fault
        if number == 30:
            until(lambda: fault == "fine" or said or (totals(ledger).get("rejected") if halved else rig.hits > 1 and not lines))
            rig.fault = "fine"
        if number == 35:
            time.sleep(0.2)  # for long enough to say that it is back
        outlet.put(packets(ROWS, number, START + number * 10**12))
        time.sleep(0.01)
    outlet.close(MOST_S)
    counts = totals(ledger)
    assert not list(imbalances(ledger.totals())) and not counts["queued"]
    assert counts["made"] == BATCHES * ROWS == counts["acked"] + counts.get("dropped", 0)
    assert rig.rows_out() == counts["acked"]
    assert counts["acked"] > 0
    if fault in ("fine", "slow"):
        assert counts["acked"] == BATCHES * ROWS and not said
    if isinstance(rig, FileRig) and fault not in ("fine", "slow"):
        lost = counts.get("disk_full" if fault == "refusing" else "rejected", 0)
        assert lost == counts.get("dropped", 0)
        assert lost or rig.sink._form.needs_end, "a group that waits is tried again"
        assert ("back after" in said[-1] and f"{lost:,} rows lost" in said[-1]) if lost else not said, said
    if isinstance(rig, GrafanaRig):
        assert counts.get("dropped", 0) == counts.get("rejected", 0)
        assert bool(counts.get("rejected", 0)) == (fault == "refusing")
        assert bool(said) == (fault in ("failing", "away"))
    assert len(said) <= 8, "said at changes only"


def test_a_sink_that_breaks_hurts_no_other() -> None:
    class Broken(Files):
        def send(self, batches: Any) -> Any:
            raise ValueError("of all things\nsecond line")

    ledger, said = Ledger(), []
    form = form_of("jsonl")
    with_bug = Outlet(Broken(form, Path("/nowhere"), frozenset({"packet"})), ledger, said.append)
    with_bug.sink.open = lambda: None  # type: ignore[method-assign]
    with_bug.sink.linger_s = 0.0
    with_bug.open()
    for number in range(5):
        with_bug.put(packets(10, number))
        with_bug.flush(MOST_S)
    with_bug.close()
    assert totals(ledger)["rejected"] == totals(ledger)["made"] == 50
    assert said == ["/nowhere: unexpected ValueError: of all things; please report this"]


def test_what_a_sink_has_taken_before_it_breaks_is_not_lost_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "CALM_S", 0.0)

    class Broken(form_of("jsonl")):  # type: ignore[misc]
        def encode(self, batches: Any, at: int) -> Any:
            if batches[0].record is PACKET:
                raise ValueError("of all things")
            return super().encode(batches, at)

    ledger, said = Ledger(), []
    outlet = Outlet(Files(Broken, tmp_path), ledger, said.append)
    outlet.sink.linger_s = NEVER
    outlet.open()
    for batch in (rates(7), packets(10)):
        outlet.put(batch)
    outlet.flush(MOST_S)  # both in one send()
    assert said == [f"{tmp_path}: unexpected ValueError: of all things; please report this"]
    outlet.put(rates(5))
    until(lambda: said[1:])
    assert said[1:] == [f"{tmp_path}: back after 0 s, 10 rows lost"]
    outlet.close()
    assert reading_back.count(tmp_path / "rate.jsonl") == 12
    assert {name: totals(ledger)[name] for name in ("made", "acked", "rejected", "queued")} == {
        "made": 22, "acked": 12, "rejected": 10, "queued": 0
    }  # fmt: skip


def test_a_sink_that_refuses_all_is_never_said_to_be_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "CALM_S", 0.0)

    class Refusing(Held):
        def send(self, batches: Any) -> files.Sent:
            raise SinkError("does not accept the token", retryable=False)

    ledger, said = Ledger(), []
    outlet = Outlet(Refusing(), ledger, said.append)
    outlet.open()
    for number in range(3):
        outlet.put(packets(10, number))
        outlet.flush(MOST_S)
    outlet.close()
    assert said == ["held: does not accept the token"]
    assert totals(ledger)["rejected"] == 30


class Held:
    """A sink whose send() waits until it may."""

    def __init__(self) -> None:
        self.name, self.linger_s, self.records, self.sample = "held", 0.0, frozenset({"packet"}), {}
        self.gate, self.got = threading.Event(), []

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, batches: Any) -> files.Sent:
        self.gate.wait()
        self.got += batches
        return files.Sent(sum(map(len, batches)))

    def flush(self, last: bool) -> files.Sent:
        return files.Sent()


def test_a_full_queue_loses_its_oldest() -> None:
    ledger, sink = Ledger(), Held()
    outlet = Outlet(sink, ledger, print, queue_rows=100)
    outlet.open()
    for number in range(12):
        outlet.put(packets(25, number, START + number * 10**12))
        if not number:
            while outlet._queued:  # the thread has the first
                time.sleep(0.001)
    outlet.put(packets(130, 99, START + 99 * 10**12))  # more than there is room for: its newest rows stay
    counts = totals(ledger)
    assert (counts["made"], counts["full"], counts["queued"]) == (12 * 25 + 130, 11 * 25 + 30, 25 + 100)
    sink.gate.set()
    outlet.close()
    assert [len(batch) for batch in sink.got] == [25, 100]
    assert (sink.got[1].rows["ts"] == packets(130, 99, START + 99 * 10**12).rows["ts"][30:]).all()
    assert totals(ledger)["acked"] == 125 and not list(imbalances(ledger.totals()))


def test_an_outlet_that_waits_loses_nothing() -> None:
    ledger, sink = Ledger(), Held()
    outlet = Outlet(sink, ledger, print, queue_rows=100, on_full="wait")
    outlet.open()
    writer = threading.Thread(target=lambda: [outlet.put(packets(30, number)) for number in range(40)])
    writer.start()
    writer.join(0.2)
    assert writer.is_alive(), "put() waits for room"
    assert totals(ledger)["queued"] <= 100 + 100 + 30
    sink.gate.set()
    writer.join(MOST_S)
    outlet.close()
    assert totals(ledger)["acked"] == totals(ledger)["made"] == 40 * 30


def test_borrowed_rows_are_copied_and_other_records_skipped() -> None:
    ledger, sink = Ledger(), Held()
    outlet = Outlet(sink, ledger, print)
    outlet.open()
    mine = packets(10)
    lent = type(mine)(PACKET, mine.rows.copy(), mine.interfaces, borrowed=True)
    outlet.put(lent)
    lent.rows["ts"] = 0
    outlet.put(type(mine)(PACKET, mine.rows[:0], mine.interfaces))
    outlet.put(rates(3))
    sink.gate.set()
    outlet.flush(MOST_S)
    assert len(sink.got) == 1 and (sink.got[0].rows["ts"] == mine.rows["ts"]).all()
    assert ledger.totals() == {Entry("records", "held", term): count for term, count in (("made", 10), ("acked", 10), ("queued", 0))}
    outlet.close()


def held_up() -> tuple[Ledger, Held, Outlet]:
    """A sink that has 10 rows and keeps 7 more waiting."""
    ledger, sink = Ledger(), Held()
    outlet = Outlet(sink, ledger, print)
    outlet.open()
    outlet.put(packets(10))
    while outlet._queued:
        time.sleep(0.001)
    outlet.put(packets(7))
    return ledger, sink, outlet


def test_a_sink_that_is_slow_and_works_is_waited_for() -> None:
    ledger, sink, outlet = held_up()
    threading.Timer(0.5, sink.gate.set).start()
    outlet.close(0.1)
    assert totals(ledger)["acked"] == 17


def test_what_a_hung_sink_has_is_lost_at_the_end_and_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "GRACE_S", 0.1)
    ledger, sink, outlet = held_up()
    outlet.close(0.1)
    assert totals(ledger)["unreachable"] == 17 and not list(imbalances(ledger.totals()))
    sink.gate.set()
    outlet._thread.join(MOST_S)
    assert totals(ledger)["unreachable"] == totals(ledger)["made"] == 17 and totals(ledger).get("acked", 0) == 0
    outlet.put(packets(3))
    assert totals(ledger)["unreachable"] == totals(ledger)["made"] == 20


def test_who_gives_up_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "ASK_S", 0.1)
    monkeypatch.setattr(outlet_module, "GRACE_S", NEVER)
    ledger, sink, said = Ledger(), Held(), []
    outlet = Outlet(sink, ledger, said.append)
    outlet.open()
    outlet.put(packets(10, 0))
    ends = threading.Thread(target=outlet.close)
    ends.start()
    while not said:  # that it waits
        time.sleep(0.01)
    outlet.give_up()
    ends.join(MOST_S)
    assert not ends.is_alive()
    assert said == ["held: waiting for it to take what is left; Ctrl-C again gives up"]
    assert totals(ledger)["unreachable"] == 10 and not list(imbalances(ledger.totals()))
    sink.gate.set()


def test_who_gives_up_does_not_wait_for_room_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a capture, whose rows wait for as long as a disk is full."""

    class Full(Held):
        def send(self, batches: object) -> files.Sent:
            raise SinkError("no room left", retryable=True)

    monkeypatch.setattr(outlet_module, "ASK_S", 0.1)
    ledger, said = Ledger(), list[str]()
    outlet = Outlet(Full(), ledger, said.append, on_full="wait")
    outlet.open()
    outlet.put(packets(10, 0))
    ends = threading.Thread(target=outlet.flush)
    ends.start()
    while len(said) < 2:  # that it waits
        time.sleep(0.01)
    outlet.give_up()
    ends.join(MOST_S)
    assert not ends.is_alive()
    outlet.close()
    assert said[:2] == ["held: no room left; trying again", "held: rows wait until it takes them; Ctrl-C twice gives them up"]
    assert totals(ledger)["unreachable"] == 10 and not list(imbalances(ledger.totals()))


def test_what_is_put_while_the_sink_flushes_is_waited_for_too() -> None:
    class Asking(Held):
        def flush(self, last: bool) -> files.Sent:
            asking.set()
            asked.wait(MOST_S)
            return files.Sent()

    asking, asked = threading.Event(), threading.Event()
    ledger, sink = Ledger(), Asking()
    sink.gate.set()
    outlet = Outlet(sink, ledger, print)
    outlet.open()
    asking.wait(MOST_S)
    outlet.put(packets(10))
    threading.Timer(0.1, asked.set).start()
    outlet.flush(MOST_S)
    assert totals(ledger)["acked"] == 10
    outlet.close()


def test_a_sample_is_even_and_the_rest_counted() -> None:
    ledger, sink = Ledger(), Held()
    sink.sample = {"packet": 500}
    outlet = Outlet(sink, ledger, print)
    outlet.open()
    sink.gate.set()
    batch = packets(10_000)
    outlet.put(batch)
    outlet.close()
    counts = totals(ledger)
    assert counts["acked"] == 500 and counts["unsampled"] == 9_500
    chosen = {int(ts) for ts in sink.got[0].rows["ts"]}
    places = [place for place, ts in enumerate(batch.rows["ts"]) if int(ts) in chosen]
    assert all(place // 20 == number for number, place in enumerate(places)), "one of each twenty"
