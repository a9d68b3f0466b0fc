"""Rows into the store, 200,000 a second, with a question each second; what a row takes on the disk; and how soon it can be asked for."""

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import conns
from bench.common import Figure, median
from headwater.outputs.spool import Spool
from headwater.records import CONN, Batch
from headwater.records.zeek_types import LOGS
from headwater.store.client import Client
from headwater.store.settings import Place

RATE, SECONDS = 200_000, 30
OCTETS, ZEEKS_OCTETS, SOON_S = 110.0, 90.0, 2.0
QUESTION = "SELECT proto, count(), sum(orig_bytes), uniq(id.resp_h) FROM conn WHERE ts > now64(9) - INTERVAL 1 MINUTE GROUP BY proto"
_PART = 1 << 16  # rows of a batch, as sources have them
_SIZE = """
import os, sys
from headwater.store.engine import Engine
from pathlib import Path
engine = Engine(Path(sys.argv[1]), 4 << 30)
engine.open()
engine.writer.run("OPTIMIZE TABLE headwater.conn FINAL")
[[octets, rows]] = engine.writer.rows("SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND table = 'conn'")
print(octets, rows)
for column in engine.writer.rows("SELECT name, data_compressed_bytes FROM system.columns WHERE table = 'conn'"):
    print(*column)
sys.stdout.flush()
os._exit(0)
"""


def _parts(batch: Batch) -> list[Batch]:
    return [Batch(CONN, batch.rows[at : at + _PART], batch.interfaces) for at in range(0, len(batch), _PART)]


def _feed(spool: Spool, seconds: list[Batch], late: list[float]) -> None:
    """A batch each second, of rows of the last one; how much later than that each was safe."""
    begin = time.monotonic()
    for second, batch in enumerate(seconds):
        time.sleep(max(0.0, begin + second - time.monotonic()))
        batch.rows["ts"] += time.time_ns() - conns.SECOND_NS  # which were made as of 1970
        sent = spool.send(_parts(batch))
        spool.flush(last=False)
        if sent.spooled != len(batch):
            raise SystemExit(f"bench: the spool took {sent.spooled:,} of {len(batch):,} rows")
        late.append(time.monotonic() - begin - second)


def _ask(client: Client, done: threading.Event, took: list[float]) -> None:
    while not done.wait(1.0):
        begin = time.monotonic()
        client.table(QUESTION)
        took.append(time.monotonic() - begin)


def _taken(spool: Spool) -> None:
    while spool.waiting:
        time.sleep(0.02)
        spool.flush(last=False)


def _cpu(of: int) -> float:
    used = resource.getrusage(of)
    return used.ru_utime + used.ru_stime


def _size(engine: Path) -> tuple[float, float]:
    """Octets of a row of all columns, once merged; and of those columns that Zeek's log has too."""
    told = subprocess.run([sys.executable, "-c", _SIZE, str(engine)], capture_output=True, text=True, check=True).stdout.splitlines()
    octets, rows = map(int, told[0].split())
    columns = {name: int(of) for name, of in map(str.split, told[1:])}
    return octets / rows, sum(of for name, of in columns.items() if name in LOGS["conn"] or name == "ts") / rows


def measure() -> Figure:
    begin_cpu = _cpu(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.spool.mkdir()
        seconds = [next(conns.batches(RATE, 0, conns.SECOND_NS, RATE, seed)) for seed in range(SECONDS)]
        late: list[float] = []
        took: list[float] = []
        done = threading.Event()
        with Client(place, begin_with=("--user", "root", "--listen", "")) as client, Spool(place.spool, 4 << 30) as spool:
            begin = time.monotonic()
            spool.send([conns.made(1000, time.time_ns() - conns.SECOND_NS, conns.SECOND_NS, conns.seeded(0))])
            while "conn" not in client.tables() or int(client.rows("SELECT count() FROM conn", 1)[0][0]) < 1000:
                time.sleep(0.01)
            soon = time.monotonic() - begin
            asking = threading.Thread(target=_ask, args=(client, done, took))
            asking.start()
            begin, own = time.monotonic(), _cpu(resource.RUSAGE_SELF)
            _feed(spool, seconds, late)
            _taken(spool)
            all_s, own = time.monotonic() - begin, _cpu(resource.RUSAGE_SELF) - own
            done.set()
            asking.join()
            found = int(client.rows("SELECT count() FROM conn", 1)[0][0])
        if found != RATE * SECONDS + 1000:
            raise SystemExit(f"bench: the store has {found:,} rows")
        its = _cpu(resource.RUSAGE_CHILDREN) - begin_cpu
        of_all, of_zeeks = _size(place.engine)
    behind = all_s - SECONDS
    return Figure(
        title="Rows into the store",
        target=f"{RATE:,} flows/s on two CPUs in batches of a second, with a question each second; {ZEEKS_OCTETS:.0f} octets a row with "
        f"all of Zeek's columns, {OCTETS:.0f} with ours too; the first found in {SOON_S:.0f} s",
        met=behind < SOON_S and of_all <= OCTETS and of_zeeks <= ZEEKS_OCTETS and soon < SOON_S,
        ours=f"{RATE * SECONDS / all_s / 1e3:,.0f} k/s; {of_zeeks:.0f} and {of_all:.0f} octets a row; found after {soon:.2f} s",
        peers="-",
        columns=("what", "measured"),
        rows=[
            ("rows", f"{found:,} in {all_s:.1f} s; all were in the tables {max(behind, 0):.1f} s after the last second"),
            (
                "CPU time of a second's rows",
                f"{own / SECONDS:.2f} s where they are made, {its / SECONDS:.2f} s in the store, merges and all",
            ),
            ("a second's rows are safe in the spool after", f"{median(late):.2f} s, {max(late):.2f} at most"),
            ("a question meanwhile takes", f"{median(took):.2f} s, {max(took):.2f} at most"),
            (f"octets a row, merged, all {len(CONN.columns)} columns", f"{of_all:.1f}"),
            ("those of columns that Zeek's log has", f"{of_zeeks:.1f}"),
            ("the first rows of an empty store are found after", f"{soon:.2f} s"),
        ],
        told=(
            "`bench/conns.py` makes the rows: every column of `conn` filled, at random and as skewed as at a site; no two uids alike. "
            f"{RATE:,} go to the spool each second, for {SECONDS} s, and a question over the last minute is asked each second. Then the "
            "tables are merged, and what they take on the disk is divided by the rows."
        ),
    )
