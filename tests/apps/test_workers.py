"""Several processes that read captures tell what one tells; what ends one of them ends the read with a line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conversations import START, UDP, Packet, rows
from places import CORPORA, ROOT
from sharing import compared
from test_cli import make_capture

from bench.mix import Mix, captures
from headwater.analysis.flows import Flows, FlowSettings
from headwater.apps import offline
from headwater.apps.workers import Workers
from headwater.errors import SourceError
from headwater.records import PACKET, Batch
from headwater.telemetry import Entry, Ledger, imbalances

TRACES = (
    "dhcp__dhcp_flood ftp__bruteforce ftp__ipv4 http__206_example_a smtp__rfc3030-bdat-example1 tls__ocsp-stapling "
    "tunnels__teredo_bubble_with_payload"
).split()


def same(capture: Path, workers: int) -> None:
    rows, unlike = compared(capture, workers)
    assert rows
    assert unlike == []


def test_one_of_several_processes_is_as_good_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "_LENT", 64)
    same(ROOT / "docs/trace.pcap", 3)


@pytest.mark.corpora
@pytest.mark.parametrize("name", TRACES)
def test_rows_are_those_of_one_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches so small that there are many; all captures by `make soak`."""
    monkeypatch.setattr(offline, "_LENT", 64)
    same(CORPORA / "zeek" / name / "trace.pcap", 2)


@pytest.mark.corpora
def test_rows_of_many_hosts_at_a_time_are_those_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, ten seconds apart: the same certificates, and what is odd again."""
    monkeypatch.setattr(offline, "_LENT", 1024)
    mix = Mix(captures())
    with (tmp_path / "mix.pcap").open("wb") as file:
        mix.write(file, mix.packets + 1)
    same(tmp_path / "mix.pcap", 2)


# -- processes that are given what the test says -------------------------------------------------------------------------------------------

PER_STEP = 32  # hosts: each process has some, whatever the salt
CHANGED = "have changed while they were read"


def calm(_: int) -> None:
    """All is well."""


class Made:
    """Steps of questions to as many hosts as there are packets in a step; `before` is called with the number of each."""

    progress = None

    def __init__(self, ledger: Ledger, steps: int, before: Callable[[int], None] = calm) -> None:
        self._ledger, self._steps, self._before = ledger, steps, before
        self._taken = 0

    def read(self) -> Generator[Batch]:
        for step in range(self._steps):
            self._before(step)
            self._taken += PER_STEP
            sent = [Packet(START + step * 10**9, "10.0.0.1", f"10.0.1.{host}", UDP, 1000 + step, 9, 1) for host in range(PER_STEP)]
            yield Batch(PACKET, rows(sent), {0: "made"})

    def account(self) -> None:
        self._ledger.replace({Entry("packets", "made", term): self._taken for term in ("seen", "as_row")})


@contextmanager
def workers(made: Callable[[Ledger, int], Made], ledger: Ledger | None = None) -> Iterator[Workers]:
    flows = Flows("made", FlowSettings(bytes(16)), messages=True, sharers=2)
    with Workers("made", made, flows, (), (), 2, frozenset({"conn"}), ledger or Ledger()) as source:
        yield source


def ends(batches: Sequence[Batch]) -> list[tuple[Any, ...]]:
    return [row for batch in batches for row in batch.rows[["id.resp_h", "id.orig_p"]].tolist()]


def test_flows_are_shared_and_counted_once() -> None:
    ledger = Ledger()
    with workers(lambda into, _: Made(into, 100), ledger) as source:
        found = list(source.read())
        source.account()
    assert len(set(ends(found))) == len(ends(found)) == 100 * PER_STEP
    first, second = ({resp for resp, _ in ends([batch])} for batch in found[-2:])  # of those that were left
    assert first and second and not first & second
    totals = ledger.totals()
    assert totals[Entry("packets", "made", "seen")] == totals[Entry("flows", "made", "given")] == 100 * PER_STEP
    assert imbalances(totals) == []


def test_they_stop_behind_the_same_packet() -> None:
    ledger = Ledger()
    with workers(lambda into, _: Made(into, 100_000), ledger) as source:
        read = source.read()
        found = [next(read)]  # a minute after the first packets their flows are over
        source.stop()
        found += read
        source.account()
    seen = ledger.get(Entry("packets", "made", "seen"))
    assert 60 * PER_STEP < seen < 200 * PER_STEP
    assert len(ends(found)) == len(set(ends(found))) == seen
    assert imbalances(ledger.totals()) == []


@pytest.mark.parametrize("number", [0, 1])
def test_one_that_is_killed_ends_the_read(number: int) -> None:
    def die(step: int) -> None:
        if step == 70:
            os.kill(os.getpid(), signal.SIGKILL)

    found = []
    said = f"worker {number + 1} of 2 was ended by SIGKILL: .* read the captures again"
    with workers(lambda into, which: Made(into, 1000, die if which == number else calm)) as source, pytest.raises(SourceError, match=said):
        for batch in source.read():
            found.append(batch)
    assert 0 < len(ends(found)) <= 10 * PER_STEP  # those that were over by then


def test_a_fault_in_one_is_told() -> None:
    def fail(step: int) -> None:
        if step == 3:
            raise ValueError("no such thing")

    said = "worker 2 of 2: ValueError: no such thing"
    with workers(lambda into, which: Made(into, 10, fail if which else calm)) as source, pytest.raises(RuntimeError, match=said):
        list(source.read())


@pytest.mark.parametrize(("first", "second"), [(10, 11), (11, 10)])
def test_captures_that_are_not_the_same_for_all_are_refused(first: int, second: int) -> None:
    with workers(lambda into, which: Made(into, second if which else first)) as source, pytest.raises(SourceError, match=CHANGED):
        list(source.read())


def test_what_one_of_them_counts_otherwise_is_refused() -> None:
    class Counting(Made):
        def account(self) -> None:
            self._ledger.replace({Entry("packets", "made", "seen"): 7})

    with workers(lambda into, which: (Counting if which else Made)(into, 3)) as source, pytest.raises(SourceError, match=CHANGED):
        list(source.read())


def test_ctrl_c_reaches_all_and_ends_the_read_in_good_order(tmp_path: Path) -> None:
    """Wherever it is by then."""
    capture = make_capture(tmp_path / "long.pcap", 200_000)
    command = [Path(sys.executable).parent / "headwater", "read", capture, "--workers", "2", "-o", tmp_path / "rows"]
    read = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{read.pid}/task/{read.pid}/children")
    while read.poll() is None and not children.read_text():
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.killpg(read.pid, signal.SIGINT)
    _, said = read.communicate(timeout=60)
    assert read.returncode == 0, said
    assert "ledger   adds up exactly\n" in said
    rows = [json.loads(line) for line in (tmp_path / "rows/conn.jsonl").read_text().splitlines()]
    [seen] = re.findall(r"packets  long.pcap: ([\d,]+) seen", said)
    assert sum(row["orig_pkts"] + row["resp_pkts"] for row in rows) == int(seen.replace(",", ""))


def test_they_end_with_whoever_started_them() -> None:
    """Though nobody tells them to."""
    told, tell = os.pipe()
    starter = os.fork()
    if not starter:
        source = Workers(
            "made", lambda into, _: Made(into, 10**9), Flows("made", FlowSettings(bytes(16)), sharers=2), (), (), 2, frozenset(), Ledger()
        )
        source.open()
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(tell)
    os.waitpid(starter, 0)
    begun = time.monotonic()
    assert os.read(told, 1) == b""  # all that had the other end are gone
    assert time.monotonic() - begun < 60
    os.close(told)
