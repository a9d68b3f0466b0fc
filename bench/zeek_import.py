"""Logs of Zeek to tables and back, both formats, beside readers of its logs in Python on the same files."""

import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from parsezeeklogs import read_zeek

from bench.common import CPUS, SCRATCH, Figure, median
from headwater.outputs.zeek_tables import FORMATS, ZeekTable
from headwater.records.zeek_types import LOGS
from headwater.sources.zeek import tables

ROUNDS = 5
ROWS, FEW = 400_000, 20_000  # as many as are read in a second or two
TARGET = 100_000


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Connections as of an office: every uid and client port another, a few thousand hosts; the same each time."""
    chance = random.Random(1)
    for number in range(count):
        answered = chance.random() < 0.8
        row = {
            "ts": 1_700_000_000 + number * 0.001 + chance.randrange(1000) / 1e6,
            "uid": f"C{chance.getrandbits(96):024x}"[:18],
            "id.orig_h": f"10.{chance.randrange(4)}.{chance.randrange(8)}.{chance.randrange(250)}",
            "id.orig_p": chance.randrange(1024, 65536),
            "id.resp_h": f"203.0.{chance.randrange(100)}.{chance.randrange(250)}"
            if chance.random() < 0.8
            else f"2001:db8::{chance.randrange(9999):x}",
            "id.resp_p": chance.choice((53, 80, 443, 443)),
            "proto": chance.choice(("tcp", "udp")),
            "conn_state": "SF" if answered else "S0",
            "local_orig": True,
            "local_resp": False,
            "missed_bytes": 0,
            "history": "ShADadFf" if answered else "S",
            "orig_pkts": chance.randrange(1, 50),
            "orig_ip_bytes": chance.randrange(40, 9000),
            "resp_pkts": chance.randrange(50),
            "resp_ip_bytes": chance.randrange(90_000),
            "ip_proto": 6,
        }
        if answered:
            row |= {
                "service": chance.choice(("dns", "http", "ssl")),
                "duration": chance.random(),
                "orig_bytes": 500,
                "resp_bytes": chance.randrange(90_000),
            }
        yield {name: row[name] for name in LOGS["conn"] if name in row}


def write_logs(folder: Path, count: int) -> dict[str, Path]:
    """conn.log in both formats."""
    paths = {kind: folder / f"{kind}-{count}/conn.log" for kind in ("JSON", "TSV")}
    for path in paths.values():
        path.parent.mkdir()
    with paths["JSON"].open("w") as log:
        log.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows(count))
    parts = [one.table for one in tables(paths["JSON"], print)]
    form = ZeekTable(parts[0].schema)
    paths["TSV"].write_bytes(b"".join([form.head(), *(bytes(form.rows(part)) for part in parts), form.end()]))
    return paths


def read(path: Path) -> int:
    return sum(one.table.num_rows for one in tables(path, print))


def write(kind: str) -> Callable[[Path], int]:
    """Reads once, outside the time, and writes."""
    kept: dict[Path, list[Any]] = {}

    def run(path: Path) -> int:
        parts = kept[path] if path in kept else kept.setdefault(path, [one.table for one in tables(path, print)])
        form = FORMATS[kind](parts[0].schema)
        return sum(len(part) for part in parts if form.rows(part))

    return run


def dictionaries(path: Path) -> int:
    with path.open("rb") as log:
        return sum(1 for _ in map(msgspec.json.Decoder().decode, log))


TOOLS: dict[str, tuple[str, int, Callable[[Path], int]]] = {
    "Headwater, JSON to tables": ("JSON", ROWS, read),
    "Headwater, TSV to tables": ("TSV", ROWS, read),
    "Headwater, tables to JSON": ("JSON", ROWS, write("zeek-json")),
    "Headwater, tables to TSV": ("JSON", ROWS, write("zeek")),
    "msgspec, JSON to dictionaries": ("JSON", ROWS, dictionaries),
    "parsezeeklogs, JSON": ("JSON", FEW, lambda path: sum(1 for _ in read_zeek(path))),
    "parsezeeklogs, TSV": ("TSV", FEW, lambda path: sum(1 for _ in read_zeek(path))),
}


def measure() -> Figure:
    rates: dict[str, list[float]] = {name: [] for name in TOOLS}
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        paths = {count: write_logs(Path(folder), count) for count in (ROWS, FEW)}
        os.sched_setaffinity(0, {CPUS[0]})
        try:
            for round_ in range(ROUNDS + 1):
                for name, (kind, count, run) in TOOLS.items():
                    begin = time.process_time()
                    if run(paths[count][kind]) != count:
                        raise SystemExit(f"bench: {name} lost rows")
                    if round_:  # the first is for whatever is loaded then
                        rates[name].append(count / (time.process_time() - begin))
        finally:
            os.sched_setaffinity(0, CPUS)
        sizes = {kind: path.stat().st_size / ROWS for kind, path in paths[ROWS].items()}
    each = {name: median(taken) for name, taken in rates.items()}
    as_json, as_tsv, *_, peer_json, peer_tsv = each
    return Figure(
        title="Zeek's conn.log to tables",
        target="100,000 rows/s on one core, JSON and TSV",
        met=min(each[as_json], each[as_tsv]) >= TARGET,
        ours=f"JSON {each[as_json]:,.0f} rows/s, TSV {each[as_tsv]:,.0f}",
        peers=f"parsezeeklogs: JSON {each[peer_json]:,.0f} rows/s, TSV {each[peer_tsv]:,.0f}",
        columns=("", "rows in the file", "rows/s (median)", "rows/s (best)"),
        rows=[(name, f"{TOOLS[name][1]:,}", f"{each[name]:,.0f}", f"{max(taken):,.0f}") for name, taken in rates.items()],
        told=f"""\
One core, the file in memory ({sizes["JSON"]:.0f} octets a row of JSON, {sizes["TSV"]:.0f} of TSV; every uid another), {ROUNDS} rounds
in turn, CPU time of the process. Tables have addresses as 16 octets, times as nanoseconds, each field of its own type.""",
    )
