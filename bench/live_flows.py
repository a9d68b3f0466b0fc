"""An ordinary interface with flows kept in the kernel: what senders keep of their rate, and what CPU each watcher takes beside them."""

import contextlib
import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.common import BUILD, HEADWATER, SCRATCH, Figure, Veth, counters, finish, median, need, packet_socket, running, veth_pair
from bench.idle import cpu_seconds
from bench.live_tcx import tcp_stream

ROUNDS, OF_PEERS = 11, 5  # what a sender alone comes to differs by a tenth from one to the next
SECONDS = 3
RATE_KEPT = 0.80
PORT, PORTS = 5000, 100


@dataclass
class Sent:
    """What a load came to: `count` of its unit a second, and what its flows must have, if that is known: packets, and how many flows."""

    count: float
    packets: int = 0
    flows: int = 0


@dataclass
class Watched:
    """Filled when the watcher has ended: its CPU, and what its flows of the load have."""

    cpu: float = 0.0
    flows: int = 0
    packets: int = 0
    exact: bool = True


@dataclass
class Samples:
    """One load under one watcher, a round each."""

    sent: list[Sent] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)


def _udp(veth: Veth, ports: int) -> Sent:
    with contextlib.ExitStack() as stack, veth.near.space.inside():
        for port in range(PORT, PORT + ports):  # nobody reads them, and nobody says that nobody is there
            unread = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            unread.bind((veth.near.ip4, port))
        command = [str(BUILD / "udp_sender"), veth.near.ip4, str(PORT), str(SECONDS), "1000", *([str(ports)] if ports > 1 else [])]
        (told,) = finish([veth.far.space.start(*command, stdout=subprocess.PIPE, text=True)], SECONDS + 20)
    return Sent(told["sent"] / told["seconds"], told["sent"], told["tuples"])


def udp_few(veth: Veth) -> Sent:
    """64-octet frames of 1,000 flows, 64 of one after another."""
    return _udp(veth, 1)


def udp_many(veth: Veth) -> Sent:
    """The same of up to 100,000."""
    return _udp(veth, PORTS)


def tcp(veth: Veth) -> Sent:
    """One stream."""
    return Sent(tcp_stream(veth))


def http(veth: Veth) -> Sent:
    """Connections one after another, as fast as they go."""
    server = veth.near.space.start(str(BUILD / "http_load"), "serve", veth.near.ip4, "8080", stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        command = [str(BUILD / "http_load"), "ask", veth.near.ip4, "8080", str(SECONDS), "0"]
        (told,) = finish([veth.far.space.start(*command, stdout=subprocess.PIPE, text=True)], SECONDS + 20)
    finally:
        server.kill()
        server.communicate()
    return Sent(told["asked"] / told["seconds"], 0, told["asked"])


LOADS: dict[str, tuple[Callable[[Veth], Sent], str, float]] = {
    "UDP, 1,000 flows": (udp_few, "k packets/s", 1e3),
    "UDP, 100,000 flows": (udp_many, "k packets/s", 1e3),
    "one TCP stream": (tcp, "Gbit/s", 1e9),
    "short connections": (http, "/s", 1.0),
}


@contextlib.contextmanager
def nobody(_veth: Veth) -> Iterator[Watched]:
    yield Watched()


@contextlib.contextmanager
def ourselves(veth: Veth) -> Iterator[Watched]:
    watched = Watched()
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        command = [HEADWATER, "run", "-i", veth.near.interface, "--hook", "tcx", "--record", "conn", "-o", folder]
        with running(veth.near.space, *command, ready=lambda _: any(Path(folder).iterdir()), stdout=subprocess.DEVNULL) as process:
            begin, before = cpu_seconds(process.pid), counters(veth.near)
            start = time.monotonic()
            yield watched
            watched.cpu = (cpu_seconds(process.pid) - begin) / (time.monotonic() - start)
            passed = counters(veth.near) - before
        told = process.told  # type: ignore[attr-defined]
        seen = re.search(r"([\d,]+) seen", told)
        watched.exact = "adds up exactly" in told and " dropped (" not in told
        watched.exact &= seen is not None and int(seen[1].replace(",", "")) >= passed.received + passed.sent
        for line in (Path(folder) / "conn.jsonl").open():
            row = json.loads(line)
            if PORT <= row["id.resp_p"] < PORT + PORTS or row["id.resp_p"] == 8080:
                watched.flows += 1
                watched.packets += row["orig_pkts"]


def meter(*words: str, into: str = "") -> Callable[[Veth], "contextlib.AbstractContextManager[Watched]"]:
    """Another one, which is told the interface behind `words`, and with `into` a folder or file behind that."""

    @contextlib.contextmanager
    def watch(veth: Veth) -> Iterator[Watched]:
        watched = Watched()
        with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
            where = [into, folder + ("/capture" if words[0] == "tcpdump" else "")] if into else []
            with running(veth.near.space, *words, veth.near.interface, *where, ready=packet_socket, stdout=subprocess.DEVNULL) as process:
                begin, start = cpu_seconds(process.pid), time.monotonic()
                yield watched
                watched.cpu = (cpu_seconds(process.pid) - begin) / (time.monotonic() - start)

    return watch


WATCHERS: dict[str, Callable[[Veth], "contextlib.AbstractContextManager[Watched]"]] = {
    "nobody": nobody,
    "Headwater": ourselves,
    "softflowd": meter("softflowd", "-d", "-n", "127.0.0.1:9995", "-m", "1048576", "-i"),
    "nfpcapd": meter("nfpcapd", "-i", into="-w"),
    "tcpdump -w": meter("tcpdump", "-n", "-s", "128", "-Z", "root", "-B", "32768", "-i", into="-w"),
}


def measure() -> Figure:
    need({"softflowd": "softflowd", "nfpcapd": "nfdump"})
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "bench/http_load.c", "-o", BUILD / "http_load"], check=True)
    samples = {(load, watcher): Samples() for load in LOADS for watcher in WATCHERS}
    with veth_pair() as veth:
        veth.near.space.run("ip", "link", "set", "lo", "up")
        for load, (run, unit, per) in LOADS.items():
            for number in range(ROUNDS):
                for watcher, watch in WATCHERS.items():
                    if number >= OF_PEERS and watcher not in ("nobody", "Headwater"):
                        continue
                    with watch(veth) as watched:
                        sent = run(veth)
                    samples[load, watcher].sent.append(sent)
                    samples[load, watcher].watched.append(watched)
                    if watcher == "Headwater" and sent.flows:
                        watched.exact &= watched.flows == sent.flows and (not sent.packets or watched.packets == sent.packets)
                    said = f", {'exact' if watched.exact else 'NOT exact'}" if watcher == "Headwater" else ""
                    print(f"    {load}, {watcher}: {sent.count / per:.1f} {unit}, CPU {100 * watched.cpu:.0f} %{said}", flush=True)
    rows, shares, met = [], {}, True
    for (load, watcher), taken in samples.items():
        _, unit, per = LOADS[load]
        pairs = [(sent.count, alone.count) for sent, alone in zip(taken.sent, samples[load, "nobody"].sent, strict=False)]
        share = shares[load, watcher] = median(sent / alone for sent, alone in pairs)
        cost = median(1e9 / sent - 1e9 / alone for sent, alone in pairs) if "packets" in unit else None
        rows.append(
            (
                load,
                watcher,
                f"{median(one.count for one in taken.sent) / per:.1f} {unit}",
                f"{100 * share:.0f} %",
                "" if cost is None or watcher == "nobody" else f"{cost:.0f} ns",
                "" if watcher == "nobody" else f"{100 * median(one.cpu for one in taken.watched):.1f} %",
            )
        )
        if watcher == "Headwater":
            met = met and share >= RATE_KEPT and all(one.exact for one in taken.watched)
    return Figure(
        title="Live: flows kept in the kernel, beside flow meters",
        target="senders keep 80 % of their rate, and every flow's counts are exact",
        met=met,
        ours=", ".join(f"{load} {100 * shares[load, 'Headwater']:.0f} %" for load in LOADS),
        peers=", ".join(f"{who}: " + " ".join(f"{100 * shares[load, who]:.0f}" for load in LOADS) for who in list(WATCHERS)[2:]),
        columns=("load", "watched by", "rate (median)", "of the rate alone (median)", "a packet costs its sender", "CPU of the watcher"),
        rows=rows,
        told=f"""\
A veth pair between two namespaces; the load is sent from one, and the other, which receives, is watched, both directions.
{ROUNDS} rounds of {SECONDS} s, in each of which the load runs alone and beside Headwater, in the first {OF_PEERS} beside the others, too;
rates are compared within the round.
Headwater is `headwater run --record conn -o DIR`; each flow's packets are counted exactly (of UDP by the sender, of connections
their number), and the ledger must add up with nothing dropped. UDP is sent 64 datagrams of one flow after another, by one process
on one of two CPUs, on which the receiving side runs, too. The CPU is that of the watcher's process over the load; what is done in
the kernel for it is part of what the sender loses.""",
    )
