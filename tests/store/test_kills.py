"""Killed at any moment, again and again: what was safe is there, once, and the store opens. Also where the power goes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import writing
from disks import Disk
from storing import children, kill, lying, made, running
from waiting import until

from headwater.store.settings import Place
from headwater.store.starting import answers

KINDS = ("writer", "child", "store", "both")
"""Who is killed: `child` has the engine, and is begun anew by its parent; `store` is the two of them."""
ROUNDS = 20


@dataclass
class Kept:
    """What a folder is known to have: the numbers of batches that were told to be safe, and the next one."""

    safe: set[int] = field(default_factory=set)
    next: int = 0
    rows: int = 0
    """What was found there at the last look."""


def kill_again_and_again(folder: Path, kinds: Sequence[str], chance: random.Random, kept: Kept, disk: Disk | None = None) -> None:
    """A writer and the store's process, of which one of `kinds` a round is killed at any moment while they write; `cut` is the power of
    `disk`. Looks at the end.
    """
    place = made(folder)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    store: subprocess.Popen[bytes] | None = None
    writer: subprocess.Popen[str] | None = None

    def end_writer() -> None:
        if writer:
            writer.kill()
            told = [int(line) for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
            kept.safe.update(told)
            kept.next = max(kept.safe, default=0) + 2  # one more may be safe and not told

    for kind in kinds:
        if store is None or store.poll() is not None:
            command = [sys.executable, "-m", "headwater", "store", "--path", str(folder), "--user", "root", "--listen", ""]
            store = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        if writer is None or writer.poll() is not None:
            command = [sys.executable, writing.__file__, str(folder), str(kept.next)]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
            assert writer.stdout
            kept.safe.add(int(writer.stdout.readline()))
        if chance.random() < 0.5:  # else it may die before it is open
            until(lambda: answers(place))
        time.sleep(chance.uniform(0.1, 0.8))
        if kind == "cut":
            assert disk
            disk.cut()
        if kind == "child":
            for child in children(store):
                os.kill(child, signal.SIGKILL)
        if kind in ("store", "both", "cut"):
            kill(store)
        if kind in ("writer", "both", "cut"):
            end_writer()
            writer = None
        if kind == "cut" and disk:
            disk.mend()
    end_writer()
    assert store
    kill(store)
    look(place, kept)


def look(place: Place, kept: Kept) -> None:
    """Whether all is there that was safe, and nothing twice, once what waits is taken."""
    with running(place.folder) as client:
        until(lambda: all(file.refused for file in lying(place.spool)))
        [[rows, distinct]] = client.rows("SELECT count(), uniqExact(packets) FROM rate", 2)
        assert rows == distinct, "rows are there twice"
        there = {int(batch) for [batch] in client.rows(f"SELECT DISTINCT intDiv(packets, {writing.ROWS}) FROM rate", 1)}
        assert not kept.safe - there, "rows that were safe are lost"
        [[rolled]] = client.rows("SELECT sum(rows) FROM rate_minute", 1)
        assert rolled == rows, "sums are not those of the rows"
        assert not any(file.refused for file in lying(place.spool)), "rows were put aside"
        assert int(rows) >= kept.rows
        kept.rows = int(rows)


def test_killed_again_and_again(tmp_path: Path) -> None:
    kept = Kept()
    kill_again_and_again(tmp_path, [KINDS[number % len(KINDS)] for number in range(ROUNDS)], random.Random(7), kept)
    assert kept.safe


@pytest.mark.kernel
def test_what_was_safe_outlives_a_power_cut(tmp_path: Path) -> None:
    kept = Kept()
    with Disk(tmp_path / "disk") as disk:
        kill_again_and_again(disk.folder / "store", ["cut"] * 3, random.Random(7), kept, disk)
    assert kept.safe
