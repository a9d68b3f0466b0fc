"""Live packets on a mirror port: XDP with consume, beside tcpdump and dumpcap, under the same generator."""

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.common import (
    BUILD,
    CPUS,
    RING_MIB,
    SCRATCH,
    Figure,
    Veth,
    counters,
    finish,
    headwater,
    median,
    millions,
    packet_socket,
    percent,
    running,
    veth_pair,
)

ROUNDS = 5
SECONDS = 2
TARGET = 4_000_000
OPTIONS = f"numtxqueues {len(CPUS)} numrxqueues {len(CPUS)}"  # a queue for each generator: no lock between them, and nothing overflows


@dataclass(frozen=True)
class Sample:
    offered: int
    kept: int
    seconds: float
    exact: bool | None = None  # the ledger equals the generator's count


def generate(veth: Veth, seconds: float = SECONDS, nice: int = 0) -> tuple[int, int, float]:
    """One generator on each CPU, as fast as they can, of that niceness. Returns (sent, arrived, seconds)."""
    before = counters(veth.near)
    command = ["nice", "-n", str(nice), str(BUILD / "generator"), "--seconds", str(seconds), "--tuples", "1000", "--batch", "32"]
    where = [str(BUILD / "generator.bpf.o"), veth.far.interface]
    each = [
        veth.far.space.start(*command, "--cpu", str(cpu), "--seed", str(500 * place), *where, stdout=subprocess.PIPE, text=True)
        for place, cpu in enumerate(CPUS)
    ]
    told = finish(each, seconds + 20)
    arrived = (counters(veth.near) - before).received
    return sum(one["sent"] for one in told), arrived, max(one["seconds"] for one in told)


def with_headwater(hook: str, *options: str, nice: int = 0) -> Callable[[Veth], Sample]:
    def measure(veth: Veth) -> Sample:
        with headwater(veth.near, hook, *options) as run:
            sent, arrived, seconds = generate(veth, nice=nice)
        kept = run.counts.get(("as_row", ""), 0)
        counted = arrived if hook == "xdp" else kept  # in the kernel, also what the ring had no room for; or where packets are read
        exact = run.exact and run.counts[("seen", "")] == arrived == sent == kept + run.dropped() and run.rolled_up == counted
        return Sample(arrived, kept, seconds, exact)

    return measure


def with_peer(*command: str, kept: str, file: str = "", nice: int = 0) -> Callable[[Veth], Sample]:
    """A peer that is told the interface and the file (one in memory, unless it is given) last, and says in its last words what it kept."""

    def measure(veth: Veth) -> Sample:
        with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
            words = [*command, "-i", veth.near.interface, "-w", file or str(Path(folder) / "capture")]
            with running(veth.near.space, *words, ready=packet_socket, stdout=subprocess.DEVNULL) as process:
                _, arrived, seconds = generate(veth, nice=nice)
        found = re.search(kept, process.told)  # type: ignore[attr-defined]
        if not found:
            raise SystemExit(f"bench: {command[0]} does not say what it kept")
        return Sample(arrived, int(found[1]), seconds)

    return measure


TOOLS = {
    "Headwater, XDP with consume": with_headwater("xdp", "--consume"),
    "Headwater, AF_PACKET": with_headwater("af_packet"),
    "tcpdump -w": with_peer("tcpdump", "-n", "-s", "128", "-Z", "root", "-B", str(RING_MIB << 10), kept=r"(\d+) packets captured"),
    "dumpcap -w": with_peer("dumpcap", "-q", "-s", "128", "-B", str(RING_MIB), kept=r"Packets captured: (\d+)"),
}


def measure() -> Figure:
    samples: dict[str, list[Sample]] = {name: [] for name in TOOLS}
    with veth_pair(silent=True, options=OPTIONS) as veth:
        veth.near.space.run("ethtool", "-K", veth.near.interface, "gro", "on")  # so that the peers, without XDP, get live frames too
        for _ in range(ROUNDS):
            for name, tool in TOOLS.items():
                samples[name].append(tool(veth))
                last = samples[name][-1]
                print(f"    {name}: {millions(last.kept / last.seconds)}/s of {millions(last.offered / last.seconds)}/s", flush=True)
    rows, kept = [], {}
    for name, taken in samples.items():
        offered, kept[name] = (median(getattr(s, what) / s.seconds for s in taken) for what in ("offered", "kept"))
        exact = "-" if taken[0].exact is None else f"{sum(bool(s.exact) for s in taken)} of {len(taken)}"
        share = percent(sum(s.kept for s in taken), sum(s.offered for s in taken))
        best = max(s.kept / s.seconds for s in taken)
        rows.append((name, millions(offered), millions(kept[name]), millions(best), share, exact))
    ours, *_, tcpdump, dumpcap = TOOLS
    return Figure(
        title="Live: a mirror port, XDP with consume, 64-octet packets",
        target="4 M packets/s read, decoded and rolled up on two cores shared with the generator, ledger exact",
        met=kept[ours] >= TARGET and all(s.exact for s in samples[ours]),
        ours=f"{millions(kept[ours])}/s",
        peers=f"tcpdump {millions(kept[tcpdump])}/s, dumpcap {millions(kept[dumpcap])}/s",
        columns=("", "offered/s", "kept/s (median)", "kept/s (best)", "kept of offered", "ledger exact, rounds"),
        rows=rows,
        told=f"""\
A generator on each of the two CPUs sends UDP frames of 64 octets with 1,000 source tuples into a veth pair, which has a queue
for each CPU, as fast as it can: each packet is made, received and recorded on one CPU, and the reader takes what the two leave.
What one offers depends on what its packets cost at the other end, so a tool that does little offers itself more. {ROUNDS}
rounds of {SECONDS} s, the tools in turn.

Headwater is the command `headwater run --hook xdp --consume --record rate -o DIR`: each packet is decoded in the kernel, read,
and counted by protocol, port and direction and by talker. Its ledger is exact where seen = what both generators sent = what the
device counted = rows + drops, and the rates hold all packets (AF_PACKET's, all that were read). With consume the packets end at XDP; the
AF_PACKET line is Headwater where the kernel's own path runs too, as it does for the peers. Peers write 128 octets a packet into
memory, with {RING_MIB} MiB of buffer, as much as Headwater's rings have.""",
    )
