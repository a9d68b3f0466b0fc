"""Rows into the store, 200,000 a second, with a question each second; what a row takes on the disk; and how soon it can be asked for."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.common import Figure, median
from headwater.outputs.spool import Spool
from headwater.records import CONN, Batch
from headwater.records.schema import Kind
from headwater.store.client import Client
from headwater.store.settings import Place

RATE, SECONDS = 200_000, 30
OCTETS, SOON_S = 110.0, 2.0
QUESTION = "SELECT proto, count(), sum(orig_bytes), uniq(id.resp_h) FROM conn WHERE ts > now64(9) - INTERVAL 1 MINUTE GROUP BY proto"
_SIZE = """
import os, sys
from headwater.store.engine import Engine
from pathlib import Path
engine = Engine(Path(sys.argv[1]), 4 << 30)
engine.open()
engine.writer.run("OPTIMIZE TABLE headwater.conn FINAL")
[[octets, rows]] = engine.writer.rows("SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'conn'")
print(octets, rows, flush=True)
os._exit(0)
"""


def rows(count: int, seed: int) -> Batch:
    """Flows with every column filled: numbers as flows have them, with a long tail; addresses of 50,000 hosts, times to the nanosecond."""
    rng = np.random.default_rng(seed)
    made = np.zeros(count, CONN.dtype)
    for column in CONN.columns:
        values = made[column.name]
        if column.kind is Kind.ADDRESS:
            octets = np.zeros((count, 16), np.uint8)
            octets[:, 10:12] = 255
            hosts = rng.integers(0, 256 if column.name == "id.orig_h" else 50_000, count)
            octets[:, 12:] = (hosts * 2654435761 % (1 << 32)).astype(">u4").view(np.uint8).reshape(-1, 4)
            made[column.name] = octets.view("V16").ravel()
        elif column.names:
            made[column.name] = rng.choice(list(column.names), count)
        elif column.kind is Kind.INTERVAL:
            made[column.name] = (rng.lognormal(16, 3, count)).astype(np.uint64)
        elif column.kind in (Kind.UID, Kind.UIDS) or values.dtype.kind == "V":
            width = values.dtype.itemsize
            made[column.name] = np.frombuffer(rng.bytes(width * count), f"V{width}")
        elif column.kind is Kind.FLAG:
            made[column.name] = rng.integers(0, 2, count)
        elif values.dtype.kind == "u" and values.ndim == 1:
            most = int(np.iinfo(values.dtype).max)
            made[column.name] = np.minimum(rng.lognormal(5 if values.dtype.itemsize > 1 else 3, 2, count), most).astype(values.dtype)
    made["has"] = np.iinfo(made["has"].dtype).max
    made["interface"] = 1
    return Batch(CONN, made, {1: "eth0"})


def _feed(spool: Spool, batch: Batch, late: list[float]) -> None:
    """RATE rows each second, of the last one; how much later than that each was safe."""
    begin = time.monotonic()
    for second in range(SECONDS):
        time.sleep(max(0.0, begin + second - time.monotonic()))
        now = time.time_ns()
        batch.rows["ts"] = now - np.sort(np.random.default_rng(second).integers(0, 10**9, len(batch))).astype(np.uint64)[::-1]
        sent = spool.send([Batch(CONN, batch.rows[at : at + (1 << 16)], batch.interfaces) for at in range(0, RATE, 1 << 16)])
        spool.flush(last=False)
        if sent.spooled != RATE:
            raise SystemExit(f"bench: the spool took {sent.spooled:,} of {RATE:,} rows")
        late.append(time.monotonic() - begin - second)


def _ask(client: Client, done: threading.Event, took: list[float]) -> None:
    while not done.wait(1.0):
        begin = time.monotonic()
        client.table(QUESTION)
        took.append(time.monotonic() - begin)


def measure() -> Figure:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.spool.mkdir()
        batch = rows(RATE, 1)
        late: list[float] = []
        took: list[float] = []
        done = threading.Event()
        with Client(place, begin_with=("--user", "root", "--listen", "")) as client:
            with Spool(place.spool, 4 << 30) as spool:
                spool.send([Batch(CONN, batch.rows[:1000], batch.interfaces)])
                begin = time.monotonic()
                while not client.tables().get("conn") or int(client.rows("SELECT count() FROM conn", 1)[0][0]) < 1000:
                    time.sleep(0.01)
                soon = time.monotonic() - begin
                asking = threading.Thread(target=_ask, args=(client, done, took))
                asking.start()
                begin = time.monotonic()
                _feed(spool, batch, late)
                while spool.waiting:
                    time.sleep(0.02)
                    spool.flush(last=False)
                all_s = time.monotonic() - begin
                done.set()
                asking.join()
            found = int(client.rows("SELECT count() FROM conn", 1)[0][0])
        if found != RATE * SECONDS + 1000:
            raise SystemExit(f"bench: the store has {found:,} rows")
        size = subprocess.run([sys.executable, "-c", _SIZE, str(place.engine)], capture_output=True, text=True, check=True)
        octets, kept = map(int, size.stdout.split())
    a_row = octets / kept
    behind = all_s - SECONDS
    met = behind < SOON_S and a_row <= OCTETS and soon < SOON_S
    return Figure(
        title="Rows into the store",
        target=f"200,000 flows/s on two CPUs with a question each second, {OCTETS:.0f} octets a row, all columns filled; found in 2 s",
        met=met,
        ours=f"{RATE * SECONDS / all_s / 1e3:,.0f} k/s, {a_row:.0f} octets a row, found after {soon:.2f} s",
        peers="-",
        columns=("what", "measured"),
        rows=[
            ("rows", f"{found:,} in {all_s:.1f} s; all were in the tables {behind:.1f} s after the last second"),
            ("a second's rows are safe in the spool after", f"{median(late):.2f} s, {max(late):.2f} at most"),
            ("a question meanwhile takes", f"{median(took):.2f} s, {max(took):.2f} at most"),
            ("octets a row, merged", f"{a_row:.1f}, in {len(CONN.columns)} columns"),
            ("the first rows of an empty store are found after", f"{soon:.2f} s"),
        ],
        told=(
            "`python -m bench store_ingest`. Rows of `conn` with every column filled at random go to the spool, 200,000 each second for "
            f"{SECONDS} s, and a question over the last minute is asked each second. Then the tables are merged, and what they take on the "
            "disk is divided by the rows."
        ),
    )
