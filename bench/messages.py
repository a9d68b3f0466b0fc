"""A capture to all logs, by one process and by two: beside tshark, which dissects the same protocols, and nfstream, which names them."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.common import HEADWATER, SCRATCH, Figure, median, millions, need, package_path
from bench.flows import NFSTREAM_IS, Cost, Where, cost_of
from bench.mix import Mix, captures

ROUNDS = 5
LARGE, SMALL = 2_000_000, 200_000  # packets: as many as the tool reads in some seconds
WANTED = 200_000  # packets/s
ONE, TWO = ["taskset", "-c", "0"], ["taskset", "-c", "0,1"]
FIELDS = (
    "frame.time_epoch ip.src ip.dst tcp.stream udp.stream dns.qry.name dns.a dns.flags.rcode http.request.method http.host "
    "http.request.uri http.response.code tls.handshake.extensions_server_name tls.handshake.version tls.handshake.ciphersuite "
    "x509sat.uTF8String ssh.protocol dhcp.option.hostname smtp.req.command ftp.request.command ntp.stratum"
).split()
NFSTREAM = """
import sys
sys.path.insert(0, sys.argv[2])
from nfstream import NFStreamer
print(sum(1 for _ in NFStreamer(source=sys.argv[1], n_meters=1)))
"""


@dataclass(frozen=True)
class Tool:
    packets: int
    command: Callable[[Where], list[str]]


READ = [HEADWATER, "read", "--no-hashes", "--format", "zeek", "-o"]
SHARED = "the same, --workers 2 on two cores"
TOOLS = {
    "headwater read, all logs": Tool(LARGE, lambda at: [*ONE, *READ, at.folder, at.capture]),
    SHARED: Tool(LARGE, lambda at: [*TWO, *READ, at.folder, at.capture, "--workers", "2"]),
    "headwater read --record conn": Tool(
        LARGE, lambda at: [*ONE, HEADWATER, "read", "-o", at.folder, "--record", "conn", "--format", "zeek", at.capture]
    ),
    "tshark -T fields": Tool(
        SMALL, lambda at: [*ONE, "tshark", "-n", "-r", at.capture, "-T", "fields", *(word for name in FIELDS for word in ("-e", name))]
    ),
    "nfstream, dissected": Tool(SMALL, lambda at: [*ONE, sys.executable, "-c", NFSTREAM, at.capture, package_path(*NFSTREAM_IS)]),
}


def rows(folder: Path) -> str:
    """How many each log has, of those that Headwater wrote."""
    counts = {
        path.stem: subprocess.run(["grep", "-vc", "^#", path], capture_output=True, text=True, check=False) for path in folder.glob("*.log")
    }
    return ", ".join(f"{name} {int(count.stdout):,}" for name, count in sorted(counts.items()) if name != "ledger")


def measure() -> Figure:
    need({"tshark": "tshark", "taskset": "util-linux"})
    package_path(*NFSTREAM_IS)
    mix = Mix(captures())
    costs: dict[str, list[Cost]] = {name: [] for name in TOOLS}
    ours, _, _, *peers = TOOLS
    made = ""
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as scratch:
        packets: dict[int, int] = {}
        for wanted in (LARGE, SMALL):
            with (Path(scratch) / f"{wanted}.pcap").open("wb") as file:
                packets[wanted] = mix.write(file, wanted)
        for _ in range(ROUNDS):
            for name, tool in TOOLS.items():
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    costs[name].append(cost_of(tool.command(Where(f"{scratch}/{tool.packets}.pcap", folder, 0))))
                    made = rows(Path(folder)) if name == ours else made
    rate = {name: packets[TOOLS[name].packets] / median([cost.seconds for cost in each]) for name, each in costs.items()}
    return Figure(
        title="A capture to all logs, on one core",
        target=f"at least {millions(WANTED)}/s",
        met=rate[ours] >= WANTED,
        ours=f"{millions(rate[ours])}/s; {millions(rate[SHARED])}/s with --workers 2 on two cores",
        peers=", ".join(f"{name} {millions(rate[name])}/s" for name in peers),
        columns=("", "packets in the file", "packets/s (median)", "CPU s, 1 M packets", "resident"),
        rows=[
            (
                name,
                f"{packets[TOOLS[name].packets]:,}",
                millions(rate[name]),
                f"{median([cost.cpu_s for cost in each]) / packets[TOOLS[name].packets] * 1e6:.2f}",
                f"{median([cost.octets for cost in each]) / (1 << 20):.0f} MiB",
            )
            for name, each in costs.items()
        ],
        told=f"""\
`bench/mix.py` makes the capture: {packets[LARGE] // mix.packets} copies of
{mix.told()}.
Each tool may use one core but where it says two, {ROUNDS} rounds in turn, whole commands with their start; slower ones get a shorter file.
Headwater writes
Zeek's logs, without hashes of files: {made}. tshark writes {len(FIELDS)} fields of the same protocols, which follow TCP as ours
do; nfstream names what flows speak, by nDPI.""",
    )
