"""Killed at any moment, again and again: what was safe is there, once, and the store opens."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import writing
from storing import made, running

from headwater.store.starting import answers

ROUNDS = 20


def children(process: "subprocess.Popen[bytes]") -> list[int]:
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill_again_and_again(folder: Path, rounds: int) -> tuple[int, int]:
    """The writer or the store's process, in turn. Returns how many rows were told to be safe, and how many of others are there."""
    place, chance = made(folder), random.Random(7)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    store, safe, begin = None, set[int](), 0
    for number in range(rounds):
        if store is None or store.poll() is not None:
            command = [sys.executable, "-m", "headwater", "store", "--path", str(folder), "--user", "root", "--listen", ""]
            store = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        writer = subprocess.Popen(
            [sys.executable, writing.__file__, str(folder), str(begin)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert writer.stdout
        first = writer.stdout.readline()  # however long it takes to begin
        time.sleep(chance.uniform(0.1, 1.0))
        if number % 4 == 1:
            for child in children(store):
                os.kill(child, signal.SIGKILL)
        elif number % 4 == 3:
            store.kill()  # the one that begins it anew, which ends with it
            store.wait()
        writer.kill()
        told = [int(line) for line in (first + writer.communicate()[0]).splitlines(keepends=True) if line.endswith("\n")]
        safe.update(told)
        begin = max([begin, *told]) + 2  # one more may be safe and not told
    assert store
    store.kill()
    store.wait()
    while answers(place):
        time.sleep(0.01)
    with running(folder) as client:
        deadline = time.monotonic() + 60
        while any(place.spool.glob("*/*.arrow")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        [(rows, distinct)] = client.table("SELECT count(), uniqExact(packets) FROM rate").to_pandas().to_numpy().tolist()
        assert rows == distinct, "rows are there twice"
        there = set(client.table("SELECT DISTINCT intDiv(packets, 50) AS batch FROM rate").column("batch").to_pylist())
        assert not safe - there, "rows that were safe are lost"
        [rolled] = client.table("SELECT sum(rows) AS n FROM rate_minute").column("n").to_pylist()
        assert rolled == rows
    assert safe
    return len(safe) * writing.ROWS, rows - len(safe) * writing.ROWS


def test_killed_again_and_again(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, ROUNDS)
