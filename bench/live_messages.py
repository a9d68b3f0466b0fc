"""Messages live: so many queries of DNS a second, each of which must be a row, and what CPU that takes."""

import contextlib
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common import BUILD, HEADWATER, SCRATCH, Figure, Veth, finish, median, running, veth_pair
from bench.idle import cpu_seconds

ROUNDS = 3
SECONDS = 5
RATE = 20_000
CPU = 1.0


@dataclass
class Came:
    """What a round came to."""

    asked: int
    answered: int
    rows: int
    cpu: float
    exact: bool
    rtt_us: float


@contextlib.contextmanager
def _server(veth: Veth) -> Iterator[None]:
    server = veth.near.space.start(str(BUILD / "dns_load"), "serve", veth.near.ip4, stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.communicate()


def take(veth: Veth, rate: int, seconds: float, *more: str) -> Came:
    """One round: the server's end is watched."""
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder, _server(veth):
        command = [HEADWATER, "run", "-i", veth.near.interface, "--hook", "tcx", "--record", "dns", "-o", folder, *more]
        with running(veth.near.space, *command, ready=lambda _: any(Path(folder).iterdir()), stdout=subprocess.DEVNULL) as process:
            begin, start = cpu_seconds(process.pid), time.monotonic()
            asking = veth.far.space.start(
                str(BUILD / "dns_load"), "ask", veth.near.ip4, str(seconds), str(rate), stdout=subprocess.PIPE, text=True
            )
            (told,) = finish([asking], seconds + 20)
            cpu = (cpu_seconds(process.pid) - begin) / (time.monotonic() - start)
        said = process.told  # type: ignore[attr-defined]
        times = [json.loads(line).get("rtt") for line in (Path(folder) / "dns.jsonl").open()]
    handed = re.search(r"octets   kernel: .* ([\d,]+) handed_on", said)
    carried = re.search(r"octets   tap: ([\d,]+) carried", said)
    exact = "adds up exactly" in said and " dropped (" not in said and bool(handed and carried and handed[1] == carried[1])
    rtt = statistics.median(one for one in times if one is not None) * 1e6 if any(times) else 0.0
    return Came(told["asked"], told["answered"], len(times), cpu, exact, rtt)


def measure() -> Figure:
    """20,000 queries a second."""
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "bench/dns_load.c", "-o", BUILD / "dns_load"], check=True)
    with veth_pair() as veth:
        rounds = [take(veth, RATE, SECONDS) for _ in range(ROUNDS)]
    rows = [
        (
            f"{one.asked / SECONDS:,.0f}/s",
            f"{one.answered:,} of {one.asked:,}",
            f"{one.rows:,}",
            f"{100 * one.cpu:.0f} %",
            f"{one.rtt_us:.0f} us",
        )
        for one in rounds
    ]
    cpu = median(one.cpu for one in rounds)
    return Figure(
        title="Live: messages of DNS",
        target=f"{RATE:,} queries/s within one CPU, each a row, the ledger exact",
        met=cpu <= CPU and all(one.exact and one.rows == one.asked for one in rounds),
        ours=f"{100 * cpu:.0f} % of a CPU at {RATE:,} queries/s",
        peers="none",
        columns=("queries", "answered", "rows", "CPU of headwater run", "their rtt (median)"),
        rows=rows,
        told=f"""\
A veth pair between two namespaces; a server of a few lines of C answers in one, 64 sockets of another process ask from the other,
{SECONDS} s in each of {ROUNDS} rounds. Headwater is `headwater run --record dns -o DIR` at the server's end, tcx, both directions. Each
query and its answer must be one row, no octet may be dropped, and what the kernel has handed on must be what the streams were given.""",
    )
