"""Four questions to a week of flows: the store, DuckDB over Parquet files, and MariaDB with indexes, each with the same rows."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bench import conns
from bench.common import Figure, median, need, package_path
from bench.peer_queries import CLICKHOUSE, DUCKDB, MARIADB, MARIADB_TABLE
from headwater.apps.storing import conns_of
from headwater.outputs.spool import Spool
from headwater.records import CONN, Batch
from headwater.store.client import Client
from headwater.store.settings import Place

ROWS, DAYS = 50_000_000, 7
BATCH = 400_000
MARIADB_PART = 10  # it is given one row of so many, beside all of the beacons
ROUNDS = 5
QUIET_S = 15
ADDRESS = "10.0.3.77"  # one of the site's that speaks now and then
BEGIN_NS = 1_760_054_400 * conns.SECOND_NS  # midnight
TARGETS_S = {"by second": 0.1, "talkers": 2.0, "beacons": 3.0, "address": 1.0}
TOLD = {
    "by second": "the last 15 minutes by second and protocol",
    "talkers": "top talkers of a day",
    "beacons": "beacons of a day",
    "address": "one address in 7 days, the latest 100",
}
COLUMNS = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto duration orig_bytes resp_bytes conn_state orig_pkts resp_pkts".split()
"""That the peers are given."""


def given() -> dict[str, str]:
    """What the questions ask for: times as seconds since 1970."""
    end = BEGIN_NS // conns.SECOND_NS + DAYS * 86_400
    return {"recent": str(end - 900), "day": str(end - 86_400), "address": ADDRESS}


def _narrow(batch: Batch) -> pa.RecordBatch:
    return batch.to_arrow().select(COLUMNS)


def make(parquet: Path, csv: Path, spool: Spool) -> None:
    """The rows, into the spool, as a file of Parquet a batch, and as text."""
    with csv.open("wb") as text:
        for number, batch in enumerate(conns.batches(ROWS, BEGIN_NS, DAYS * conns.DAY_NS, BATCH, 1)):
            while spool.waiting > 20:
                time.sleep(0.05)
                spool.flush(last=False)
            spool.send([batch])
            spool.flush(last=False)
            rows = _narrow(batch)
            pq.write_table(pa.Table.from_batches([rows]), parquet / f"{number:06d}.parquet", compression="zstd")
            thinned = np.flatnonzero((np.arange(len(batch)) % MARIADB_PART == 0) | (batch.rows["id.resp_p"] == conns.BEACON_PORT))
            few = rows.take(pa.array(thinned))
            few = few.set_column(0, "ts", few.column(0).cast(pa.int64()))
            pa.csv.write_csv(pa.Table.from_batches([few]), text, pa.csv.WriteOptions(include_header=False, quoting_style="none"))


def _timed(ask: Callable[[], int]) -> tuple[float, int]:
    """The median of several times, the first of which is for caches; and the rows of the answer."""
    taken = []
    for _ in range(ROUNDS + 1):
        begin = time.monotonic()
        rows = ask()
        taken.append(time.monotonic() - begin)
    return median(taken[1:]), rows


def ours(client: Client) -> dict[str, tuple[float, int]]:
    """As `headwater query` and `headwater flows` ask."""
    sql = CLICKHOUSE | {"address": conns_of(f"ip.addr == {ADDRESS}", client.columns("conn"), "1", 100)}
    return {name: _timed(partial(_rows, client, text)) for name, text in sql.items()}


def _rows(client: Client, text: str) -> int:
    rows: int = client.table(text, given()).num_rows
    return rows


def _duck_rows(asked: Any, text: str) -> int:
    return len(asked.sql(text, params={what: value for what, value in given().items() if f"${what}" in text}).to_arrow_table())


def duck(parquet: Path) -> dict[str, tuple[float, int]]:
    sys.path.append(package_path("duckdb", "2.0.0"))
    import duckdb  # noqa: PLC0415 - it is there from now on

    with duckdb.connect() as asked:
        asked.execute("SET threads = 2; SET TimeZone = 'UTC'")
        asked.read_parquet(f"{parquet}/*.parquet").create_view("conn")
        return {name: _timed(partial(_duck_rows, asked, text)) for name, text in DUCKDB.items()}


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[Callable[[str], str]]:
    """A server of our own, with room in memory for what it has."""
    data, socket = folder / "mariadb", folder / "mariadb.sock"
    user = ["--no-defaults", f"--datadir={data}", "--user=root"]
    subprocess.run(["mariadb-install-db", *user, "--auth-root-authentication-method=normal"], check=True, stdout=subprocess.DEVNULL)
    tuned = [
        "--innodb-buffer-pool-size=6G",
        "--innodb-log-file-size=1G",
        "--local-infile=1",
        "--tmp-table-size=1G",
        "--max-heap-table-size=1G",
    ]
    server = subprocess.Popen(
        ["mariadbd", *user, f"--socket={socket}", "--skip-networking", f"--pid-file={folder}/pid", *tuned], stderr=subprocess.DEVNULL
    )

    def ask(sql: str) -> str:
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "--local-infile=1", "-N", "-B", "-e", sql]
        return subprocess.run(client, check=True, capture_output=True, text=True).stdout

    try:
        for _ in range(300):
            with contextlib.suppress(subprocess.CalledProcessError):
                ask("SELECT 1")
                break
            time.sleep(0.1)
        yield ask
    finally:
        server.terminate()
        server.wait()


def maria(folder: Path, csv: Path) -> tuple[dict[str, tuple[float, int]], float]:
    """Its answers, and rows a second that it took."""
    with mariadb(folder) as ask:
        ask(MARIADB_TABLE)
        begin = time.monotonic()
        columns = ", ".join(f"@{place}" if place in (0, 2, 4) else f"`{name}`" for place, name in enumerate(COLUMNS))
        ask(
            f"USE bench; SET unique_checks = 0; LOAD DATA LOCAL INFILE '{csv}' INTO TABLE conn FIELDS TERMINATED BY ',' ({columns}) SET "
            "ts = FROM_UNIXTIME(@0 / 1e9), `id.orig_h` = INET6_ATON(@2), `id.resp_h` = INET6_ATON(@4)"
        )
        taken = int(ask("USE bench; SELECT count(*) FROM conn")) / (time.monotonic() - begin)
        found = {}
        for name, text in MARIADB.items():
            for what, value in given().items():
                text = text.replace(f"${what}", f"'{value}'" if what == "address" else value)  # noqa: PLW2901 - one after another
            found[name] = _timed(lambda text=text: len(ask(f"USE bench; SET time_zone = '+00:00'; {text}").splitlines()))  # type: ignore[misc]
        return found, taken


def _settled(client: Client) -> list[str]:
    """Rows, octets and parts, once nothing has been merged for a while."""
    found: list[list[str]] = []
    while len(found) < QUIET_S or found[-QUIET_S] != found[-1]:
        found += client.rows("SELECT sum(rows), sum(bytes_on_disk), count() FROM system.parts WHERE active AND table = 'conn'", 3)
        time.sleep(1)
    return found[-1]


def measure() -> Figure:
    need({"mariadbd": "mariadb-server-core", "mariadb": "mariadb-client-core"})
    with TemporaryDirectory() as folder:
        root = Path(folder)
        place, parquet, csv = Place(root / "store"), root / "parquet", root / "conn.csv"
        place.spool.mkdir(parents=True)
        parquet.mkdir()
        if shutil.disk_usage(root).free < 400 * ROWS:
            raise SystemExit(f"bench: {root} has less than {400 * ROWS / 1e9:.0f} GB free: TMPDIR names another place")
        with Client(place, begin_with=("--user", "root", "--listen", "")) as client:
            begin = time.monotonic()
            with Spool(place.spool, 8 << 30) as spool:
                make(parquet, csv, spool)
                while spool.waiting:
                    time.sleep(0.1)
                    spool.flush(last=False)
            made_s = time.monotonic() - begin
            rows, octets, parts = _settled(client)
            if int(rows) != ROWS:
                raise SystemExit(f"bench: the store has {int(rows):,} rows")
            mine = ours(client)
        theirs = duck(parquet)
        files = [path.stat().st_size for path in parquet.iterdir()]
        marias, taken = maria(root, csv)
    if {found["beacons"][1] for found in (mine, theirs, marias)} != {conns.BEACONS}:
        raise SystemExit(f"bench: not all of {conns.BEACONS} beacons were found, or more: {mine}, {theirs}, {marias}")

    def of(found: dict[str, tuple[float, int]], name: str) -> str:
        return f"{1000 * found[name][0]:,.0f} ms"

    return Figure(
        title="Questions to a week of flows",
        target="; ".join(f"{TOLD[name]} {1000 * most:,.0f} ms" for name, most in TARGETS_S.items()),
        met=all(mine[name][0] < most for name, most in TARGETS_S.items()),
        ours=", ".join(of(mine, name) for name in TARGETS_S),
        peers="; ".join(
            f"{peer}: " + ", ".join(of(found, name) for name in TARGETS_S)
            for peer, found in (("DuckDB", theirs), (f"MariaDB, a {MARIADB_PART}th of the rows", marias))
        ),
        columns=("", "promised", "the store", "DuckDB, Parquet", f"MariaDB, 1 row of {MARIADB_PART}", "rows of the answer"),
        rows=[
            (TOLD[name], f"{1000 * most:,.0f} ms", of(mine, name), of(theirs, name), of(marias, name), f"{mine[name][1]:,}")
            for name, most in TARGETS_S.items()
        ],
        told=f"""\
{ROWS:,} rows of conn over {DAYS} days, with {conns.BEACONS} beacons among them, {conns.LOCAL:,} hosts of the site and
{conns.SERVERS:,} others (`bench/conns.py`). The store has all {len(CONN.columns)} columns
({int(octets) / ROWS:.0f} octets a row, in {parts} parts, as its merges left them); the peers have {len(COLUMNS)}: {len(files)} files
of Parquet, packed with zstd ({sum(files) / ROWS:.0f} octets a row), and a table of InnoDB with indexes of the time and of both
addresses with the time, in memory. To make the rows, and to take them into the store and into files, took {made_s:,.0f} s; MariaDB
took {taken:,.0f} rows/s. Medians of {ROUNDS} after one that fills the caches, two threads each. All beacons were found by each, and
nothing else. The last question is that of `headwater flows --since 7d 'ip.addr == {ADDRESS}'`.""",
    )
