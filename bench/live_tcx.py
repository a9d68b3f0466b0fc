"""An ordinary interface, watched through tcx: what a UDP sender and a TCP stream keep of their rate, and how many packets become rows."""

import contextlib
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.common import (
    BUILD,
    RING_MIB,
    SCRATCH,
    Figure,
    Veth,
    counters,
    finish,
    headwater,
    median,
    packet_socket,
    percent,
    running,
    veth_pair,
)

ROUNDS = 9
SECONDS = 3
RATE_KEPT, ROWS_KEPT = 0.85, 0.999


@dataclass
class Kept:
    """Filled when the watcher has ended. `recorded` of the `seen` frames that passed the device."""

    seen: int = 0
    recorded: int = 0
    exact: bool = True


@dataclass
class Samples:
    """One load under one watcher: rates (packets or bits a second) and what was kept, a round each."""

    rates: list[float] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


def udp_sender(veth: Veth) -> float:
    """64-octet UDP frames by sendmmsg, to a socket that nobody reads. Packets a second."""
    with veth.near.space.inside():
        unread = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        unread.bind((veth.near.ip4, 5000))
    with unread:
        command = [str(BUILD / "udp_sender"), veth.near.ip4, "5000", str(SECONDS), "16"]
        (told,) = finish([veth.far.space.start(*command, stdout=subprocess.PIPE, text=True)], SECONDS + 20)
    return float(told["sent"] / told["seconds"])


def tcp_stream(veth: Veth) -> float:
    """One iperf3 stream. Bits a second that arrived. Its two ends sometimes lose each other when the time is up, and tell nothing."""
    for _ in range(3):
        if told := _iperf(veth)["end"].get("sum_received"):
            return float(told["bits_per_second"])
    raise SystemExit("bench: iperf3 tells nothing")


def _iperf(veth: Veth) -> dict[str, Any]:
    server = veth.near.space.start("iperf3", "-s", "-1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        deadline = time.monotonic() + 10
        while not any(":1451 " in Path(f"/proc/{server.pid}/net/{table}").read_text() for table in ("tcp", "tcp6")):  # 5201
            if time.monotonic() > deadline:
                raise SystemExit("bench: iperf3 does not listen")
            time.sleep(0.01)
        command = ["iperf3", "-c", veth.near.ip4, "-t", str(SECONDS), "-J"]
        (told,) = finish([veth.far.space.start(*command, stdout=subprocess.PIPE, text=True)], SECONDS + 20)
    finally:
        server.kill()
        server.wait()
    return dict(told)


LOADS: dict[str, tuple[Callable[[Veth], float], str, float]] = {
    "64-octet UDP by sendmmsg": (udp_sender, "k packets/s", 1e3),
    "one iperf3 TCP stream": (tcp_stream, "Gbit/s", 1e9),
}


@contextlib.contextmanager
def nobody(_veth: Veth) -> Iterator[Kept]:
    yield Kept()


@contextlib.contextmanager
def ourselves(veth: Veth) -> Iterator[Kept]:
    kept = Kept()
    with headwater(veth.near, "tcx") as run:
        before = counters(veth.near)
        yield kept
        passed = counters(veth.near) - before
    kept.seen = passed.received + passed.sent
    kept.recorded = run.counts.get(("as_row", ""), 0)
    kept.exact = run.exact and run.counts[("seen", "")] >= kept.seen


@contextlib.contextmanager
def tcpdump(veth: Veth) -> Iterator[Kept]:
    kept = Kept()
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        command = ["tcpdump", "-n", "-s", "128", "-Z", "root", "-B", str(RING_MIB << 10), "-i", veth.near.interface]
        with running(veth.near.space, *command, "-w", str(Path(folder) / "capture"), ready=packet_socket) as process:
            before = counters(veth.near)
            yield kept
            passed = counters(veth.near) - before
    kept.seen = passed.received + passed.sent
    kept.recorded = int(re.findall(r"(\d+) packets captured", process.told)[0])  # type: ignore[attr-defined]


WATCHERS = {"nobody": nobody, "Headwater": ourselves, "tcpdump -w": tcpdump}


def measure() -> Figure:
    samples = {(load, watcher): Samples() for load in LOADS for watcher in WATCHERS}
    with veth_pair() as veth:
        for load, (run, unit, per) in LOADS.items():
            for _ in range(ROUNDS):
                for watcher, watch in WATCHERS.items():
                    with watch(veth) as kept:
                        rate = run(veth)
                    samples[load, watcher].rates.append(rate)
                    samples[load, watcher].kept.append(kept)
                    print(f"    {load}, {watcher}: {rate / per:.1f} {unit}, {percent(kept.recorded, kept.seen)}", flush=True)
    rows, shares = [], {}
    met = True
    for (load, watcher), taken in samples.items():
        _, unit, per = LOADS[load]
        alone = samples[load, "nobody"].rates
        share = shares[load, watcher] = median(with_it / without for with_it, without in zip(taken.rates, alone, strict=True))
        seen, recorded = sum(k.seen for k in taken.kept), sum(k.recorded for k in taken.kept)
        rows.append((load, watcher, f"{median(taken.rates) / per:.1f} {unit}", f"{100 * share:.0f} %", percent(min(recorded, seen), seen)))
        if watcher == "Headwater":
            met = met and share >= RATE_KEPT and recorded >= ROWS_KEPT * seen and all(k.exact for k in taken.kept)
    ours, peers = ([f"{100 * shares[load, who]:.0f} %" for load in LOADS] for who in ("Headwater", "tcpdump -w"))
    return Figure(
        title="Live: an ordinary interface, through tcx",
        target="a UDP sender and a TCP stream keep 85 % of their rate, 99.9 % of the packets become rows",
        met=met,
        ours=f"UDP {ours[0]}, TCP {ours[1]} of the rate kept",
        peers=f"tcpdump: UDP {peers[0]}, TCP {peers[1]}",
        columns=("load", "watched by", "rate (median)", "of the rate alone (median)", "packets kept"),
        rows=rows,
        told=f"""\
A veth pair between two namespaces; the load is sent from one, and the other, which receives, is watched, both directions.
{ROUNDS} rounds of {SECONDS} s; in each round the load runs alone, beside Headwater, and beside tcpdump, and the rates are
compared within the round. Headwater is `headwater run --hook tcx --record rate -o DIR`. Packets kept are compared with the
device's own count of frames in both directions (a TCP stream's are large ones: segmentation is left to the device, as on any
host), and the ledger must add up.""",
    )
