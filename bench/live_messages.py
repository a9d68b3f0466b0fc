"""Messages live: so many queries of DNS or requests of HTTP a second, each of which must be a row, and what CPU that takes."""

import contextlib
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import BUILD, HEADWATER, SCRATCH, Figure, Veth, finish, median, running, veth_pair
from bench.idle import cpu_seconds

ROUNDS = 3
SECONDS = 5
STILL_S = 1.0  # without a row, after which no more will come
CPU = 1.0
PORT = "8080"
CONNECTIONS, LARGE = 64, 25  # at a time, and one answer of so many is of 20,000 octets


def _is_dns(row: dict[str, Any]) -> bool:
    return row.get("answers") == ["192.0.2.1"]


def _is_http(row: dict[str, Any]) -> bool:
    """Whether it has what /STATUS/OCTETS/NUMBER asked for."""
    _, status, octets, _ = row["uri"].split("/")
    return (row["status_code"], row["response_body_len"]) == (int(status), int(octets))


@dataclass(frozen=True)
class Load:
    """So many messages of a `record` a second, which `program` (bench/PROGRAM.c) asks and answers. `is_whole` says whether a row is as it
    must be; its field `asks` tells it from others, and `took` is how long the answer took.
    """

    name: str
    record: str
    rate: int
    program: str
    serve: tuple[str, ...]
    how: tuple[str, ...]
    is_whole: Callable[[dict[str, Any]], bool]
    asks: str
    took: str


LOADS = (
    Load("DNS", "dns", 20_000, "dns_load", (), (), _is_dns, "query", "rtt"),
    Load("HTTP, kept open", "http", 5_000, "http_load", (PORT,), (f"{CONNECTIONS}", "100", f"{LARGE}"), _is_http, "uri", "latency"),
    Load("HTTP, a connection each", "http", 5_000, "http_load", (PORT,), (f"{CONNECTIONS}", "1", f"{LARGE}"), _is_http, "uri", "latency"),
)


@dataclass
class Came:
    """What a round came to: messages, rows that are whole, the CPU seconds that those took, and how long it was asked."""

    asked: int
    rows: int
    cpu: float
    seconds: float
    exact: bool
    took: float


@contextlib.contextmanager
def _server(veth: Veth, load: Load) -> Iterator[None]:
    command = [str(BUILD / load.program), "serve", veth.near.ip4, *load.serve]
    server = veth.near.space.start(*command, stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.communicate()


def _until_still(path: Path) -> None:
    """Nothing is written to it any more."""
    size = -1
    while size != (size := path.stat().st_size):
        time.sleep(STILL_S)


def take(veth: Veth, load: Load, rate: int, seconds: float, *more: str) -> Came:
    """One round: the server's end is watched."""
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder, _server(veth, load):
        command = [HEADWATER, "run", "-i", veth.near.interface, "--hook", "tcx", "--record", load.record, "-o", folder, *more]
        with running(veth.near.space, *command, ready=lambda _: any(Path(folder).iterdir()), stdout=subprocess.DEVNULL) as process:
            begin = cpu_seconds(process.pid)
            asks = [str(BUILD / load.program), "ask", veth.near.ip4, *load.serve, str(seconds), str(rate), *load.how]
            (told,) = finish([veth.far.space.start(*asks, stdout=subprocess.PIPE, text=True)], seconds + 20)
            written = Path(folder) / f"{load.record}.jsonl"
            _until_still(written)  # what waits in rings is to be paid for, too
            cpu = cpu_seconds(process.pid) - begin
        said = process.told  # type: ignore[attr-defined]
        rows = [json.loads(line) for line in written.open()]
    handed = re.search(r"octets   kernel: .* ([\d,]+) handed_on", said)
    carried = re.search(r"octets   tap: ([\d,]+) carried", said)
    exact = "adds up exactly" in said and " dropped (" not in said and bool(handed and carried and handed[1] == carried[1])
    whole = {row[load.asks] for row in rows if load.is_whole(row)}
    exact &= len(rows) == len(whole)
    took = statistics.median(row[load.took] for row in rows if row.get(load.took) is not None)
    return Came(told["asked"], len(whole), cpu, told["seconds"], exact, took)


def measure() -> Figure:
    """20,000 queries a second, and 5,000 requests."""
    for program in {load.program for load in LOADS}:
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", f"bench/{program}.c", "-o", BUILD / program], check=True)
    with veth_pair() as veth:
        rounds = [(load, take(veth, load, load.rate, SECONDS)) for _ in range(ROUNDS) for load in LOADS]
    rows = [
        (
            load.name,
            f"{one.asked / SECONDS:,.0f}/s",
            f"{one.rows:,} of {one.asked:,}",
            f"{100 * one.cpu / one.seconds:.0f} %",
            f"{1e6 * one.cpu / max(one.rows, 1):.1f} us",
            f"{1e6 * one.took:.0f} us",
        )
        for load, one in rounds
    ]
    shares = {load.name: median(one.cpu / one.seconds for of, one in rounds if of is load) for load in LOADS}
    return Figure(
        title="Live: messages of DNS and HTTP",
        target=", ".join(f"{load.name}: {load.rate:,}/s" for load in LOADS) + " within one CPU, each a row, the ledger exact",
        met=all(share <= CPU for share in shares.values())
        and all(one.exact and one.rows == one.asked >= 0.99 * SECONDS * load.rate for load, one in rounds),
        ours=", ".join(f"{name}: {100 * share:.0f} % of a CPU" for name, share in shares.items()),
        peers="none",
        columns=("load", "asked", "rows", "CPU of headwater run", "of each message", "answered after (median)"),
        rows=rows,
        told=f"""\
A veth pair between two namespaces; a server of a few lines of C answers in one, another process asks from the other, {SECONDS} s in each of
{ROUNDS} rounds: queries from 64 sockets, and requests over {CONNECTIONS} connections at a time, each of which ends after 100 of them, or
after one. One answer in {LARGE} has a body of 20,000 octets, the others one of 20, and one in ten is a 404. Headwater is
`headwater run --record dns -o DIR` (or http) at the server's end, tcx, both directions. Each question and its answer must be one row, with
what was asked for; no octet may be dropped, and what the kernel has handed on must be what the streams were given.""",
    )
