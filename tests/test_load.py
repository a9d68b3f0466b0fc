"""How bench/load.py judges: made samples of processes that leak, breathe or stay as they are, and made counts that differ."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.flat import Line, Sample, constant, recovery, slope
from bench.load import kept
from bench.loaded import WAYS, Load, Run, look, read, understand

HOUR, MIB = 3600.0, 1 << 20
BEGIN = 1_700_000_000.0


def samples(leak: float = 0.0, *, noise: float = 0.0, seconds: float = HOUR, fds: int = 0, process: str = "sensor") -> list[Sample]:
    """A process of 200 MiB that warms up for 5 % of the time, leaks that part of it an hour, and opens `fds` descriptors an hour."""
    rng = random.Random(7)
    made = []
    for number in range(int(seconds / 10) + 1):
        past = number * 10 / HOUR
        size = 200 * MIB * (1 + leak * past + rng.gauss(0, noise)) - (40 * MIB if past < 0.05 * seconds / HOUR else 0)
        made.append(Sample(BEGIN + number * 10, process, int(size), 25 + int(fds * past) + (number % 9 == 3), 7))
    return made


def verdicts(lines: list[Line]) -> dict[str, bool | None]:
    return {line.what.rpartition(", ")[2]: line.met for line in lines}


@pytest.mark.parametrize(
    ("leak", "met"),
    [(0.0, True), (0.009, True), (0.012, False), (0.2, False), (-0.05, True)],
    ids="even almost leaks floods shrinks".split(),
)
def test_a_leak_of_memory_is_found_under_noise_and_after_a_warm_up(leak: float, met: bool) -> None:
    lines = constant("it", samples(leak, noise=0.01), BEGIN, BEGIN + HOUR)
    assert verdicts(lines) == {"resident memory": met, "descriptors": True, "threads": True}


def test_a_few_wild_samples_change_no_slope() -> None:
    times = [float(n) for n in range(100)]
    values = [3.0 * t for t in times]
    values[20:35] = [1e9] * 15
    assert slope(times, values) == pytest.approx(3.0)
    assert slope([1.0], [5.0]) == slope([], []) == 0.0
    assert slope([float(n) for n in range(5000)], [2.0 * n for n in range(5000)]) == pytest.approx(2.0)


def test_one_descriptor_that_is_never_closed_is_found_and_one_of_a_moment_is_not() -> None:
    assert verdicts(constant("it", samples(), BEGIN, BEGIN + HOUR))["descriptors"] is True
    assert verdicts(constant("it", samples(fds=2), BEGIN, BEGIN + HOUR))["descriptors"] is False


def test_a_short_run_is_judged_by_what_it_grew() -> None:
    """6 % an hour is 1 % in ten minutes."""
    for leak, met in ((0.05, True), (0.07, False)):
        (line, *_) = constant("it", samples(leak, seconds=600), BEGIN, BEGIN + 600)
        assert (line.met, "in 600 s" in line.measured) == (met, True)


def test_a_process_that_ends_is_missed() -> None:
    short = samples(process="keeper")[:200]
    lines = constant("it", sorted([*samples(), *short], key=lambda one: one.at), BEGIN, BEGIN + HOUR)
    assert [str(line) for line in lines if line.met is False] == ["MISSED it: keeper: ended before the others (promised: lives to the end)"]
    assert [line.met for line in constant("it", [], BEGIN, BEGIN + HOUR)] == [False]


@pytest.mark.parametrize(
    ("drops", "met"), [([], True), ([(-5.0, 9), (0.8, 100), (9.5, 1)], True), ([(3.0, 1), (10.5, 1)], False), ([(70.0, 5)], True)]
)
def test_losses_must_end_in_time(drops: list[tuple[float, int]], met: bool) -> None:
    """Those of before and after are none of it."""
    assert recovery("it", [(BEGIN + at, count) for at, count in drops], BEGIN, BEGIN + 60, 10).met is met


def test_what_is_too_short_to_tell_is_not_met() -> None:
    assert recovery("it", [], BEGIN, BEGIN + 8, 10).met is False


TOLD = """\
headwater: listening
packets  hwa1x0 (tcx): 1,000 seen = 45 as_row + 945 sampled_out + 10 dropped (ringbuf: full)
records  tap: 55 made = 45 acked + 10 dropped (ringbuf: full)
records  /tmp/x: 60 made = 58 acked + 2 dropped (sink_queue: full)
ledger   adds up exactly
"""


def a_run(**changes: object) -> Run:
    way = replace(WAYS["host"], sample=20)
    run = Run(way, [Load(BEGIN, BEGIN + 10, 1003)], arrived=1000, refused=3, rated=1000, written=43)
    understand(TOLD, run)
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def test_the_told_ledger_is_understood() -> None:
    run = a_run()
    assert run.packets == {"seen": 1000, "as_row": 45, "sampled_out": 945, "dropped (ringbuf: full)": 10}
    assert run.sink == {"made": 60, "acked": 58, "dropped (sink_queue: full)": 2}
    assert run.off() == 0
    with pytest.raises(SystemExit, match="told no ledger, and ended with -9: killed"):
        understand("killed", Run(WAYS["host"], code=-9))


@pytest.mark.parametrize(
    ("changes", "off"),
    [
        ({"refused": 2}, 1),
        ({"arrived": 999}, 2),
        ({"written": 42}, 1),
        ({"exact": False}, 1),
        ({"loads": [Load(BEGIN, BEGIN + 1, 1103)]}, 100),
    ],
)
def test_each_count_that_differs_is_told(changes: dict[str, object], off: int) -> None:
    assert a_run(**changes).off() == off


def test_drops_are_read_from_the_ledgers_rows_as_packets(tmp_path: Path) -> None:
    """A row that the sink lost stands for those that were sampled out with it; the tap's are the interface's."""
    columns = {
        "ts": pa.array([int((BEGIN + at) * 1e9) for at in (1, 6, 6, 9, 9)], pa.timestamp("ns", "UTC")),
        "ledger": ["packets", "packets", "records", "records", "packets"],
        "subject": ["hwa", "hwa", "tap", "/tmp/x", "hwa"],  # noqa: S108 - only told
        "term": ["seen", "dropped", "dropped", "dropped", "dropped"],
        "count": [1000, 10, 10, 2, 100],
    }
    pq.write_table(pa.table(columns), tmp_path / "ledger.parquet")
    pq.write_table(pa.table({"packets": [400, 600]}), tmp_path / "rate.parquet")
    run = a_run(rated=0)
    read(tmp_path, run)
    assert run.drops == [(BEGIN + 6, 10), (BEGIN + 9, 40), (BEGIN + 9, 100)]
    assert (run.rated, run.lost(BEGIN + 6, BEGIN + 9)) == (1000, 140)
    assert kept(run) == pytest.approx((1000 - 150) / 10)
    assert (kept(run, waiting=50), kept(run, waiting=5000)) == (pytest.approx((1000 - 200) / 10), 0)


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print("ready", flush=True)
input()
child.communicate(b"")
"""


def test_a_process_and_its_children_are_looked_at() -> None:
    """One of its own, with nothing open but what is known: this one may close what it forgot at any time."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout and parent.stdout.readline() == b"ready\n"
        now = look(parent.pid)
        parent.communicate(b"\n")
    assert [one.process for one in now] == ["sensor", "keeper"]
    assert [one.descriptors for one in now] == [4, 3]  # standard ones, and the input of the other
    assert all(MIB < one.resident < 100 * MIB and one.threads == 1 for one in now)
