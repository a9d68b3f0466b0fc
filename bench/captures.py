"""A capture file to packet batches, beside tcpdump, tshark and scapy on the same file."""

import os
import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.common import CPUS, HEADWATER, SCRATCH, Figure, ethernet, ethertype, median, millions, package_path, tcp, udp
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

ROUNDS = 5
TARGET = 3_000_000
LARGE, MEDIUM, SMALL = 2_000_000, 200_000, 20_000  # packets: as many as the tool reads in a second or two
FIELDS = ("frame.time_epoch", "eth.src", "eth.dst", "ip.src", "ip.dst", "ip.proto", "ip.ttl", "frame.len", "tcp.srcport", "udp.srcport")
SCAPY = """
import sys
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader
count = 0
with PcapReader(sys.argv[1]) as reader:
    for packet in reader:
        ip = packet.getlayer(IP)
        if ip is not None:
            fields = packet.src, packet.dst, ip.src, ip.dst, ip.proto, ip.ttl, len(packet)
        count += 1
print(count)
"""


def write_capture(path: Path, packets: int) -> None:
    """Frames of many sizes, IPv4 and IPv6, TCP and UDP; the same each time."""
    chance = random.Random(1)
    frames = []
    for flow in range(1000):
        payload = bytes(chance.choice((6, 20, 100, 500, 1400)))
        a, b = ("10.9.1.{}", "10.9.2.{}") if chance.random() < 0.7 else ("fd09:1::{}", "fd09:2::{}")
        a, b, port = a.format(flow % 250), b.format(flow % 7), chance.choice((53, 80, 443))
        packet = tcp(a, b, 30000 + flow, port, 0x18, payload=payload) if chance.random() < 0.6 else udp(a, b, 30000 + flow, port, payload)
        frames.append(ethernet(packet, ethertype(packet)))
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(packets):
            frame = frames[number % 1000]
            file.write(struct.pack("<IIII", 1_700_000_000 + number // 100_000, number % 100_000 * 10, len(frame), len(frame)) + frame)


def batches(path: Path) -> int:
    with Capture(str(path), Ledger()) as capture:
        return sum(len(batch) for batch in capture.read())


def command(*words: str) -> Callable[[Path], None]:
    """A tool that reads the capture whose path is its last word, its output thrown away."""

    def run(path: Path) -> None:
        subprocess.run([*words, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    return run


def scapy(path: Path) -> None:
    subprocess.run(
        ["python3", "-c", SCAPY, str(path)],
        env=os.environ | {"PYTHONPATH": package_path("scapy", "2.6.1")},
        stdout=subprocess.DEVNULL,
        check=True,
    )


TOOLS: dict[str, tuple[int, Callable[[Path], object]]] = {
    "Headwater, packet batches": (LARGE, batches),
    "headwater read --format parquet": (
        LARGE,
        command(HEADWATER, "read", "--record", "packet", "-o", str(SCRATCH / "bench-rows"), "--format", "parquet"),
    ),
    "headwater read --format jsonl": (LARGE, command(HEADWATER, "read", "--record", "packet", "--format", "jsonl")),
    "tcpdump -nn -r": (LARGE, command("tcpdump", "-nn", "-r")),
    "tshark -T fields, 10 of them": (MEDIUM, command("tshark", "-n", "-T", "fields", *(f"-e{name}" for name in FIELDS), "-r")),
    "scapy PcapReader": (SMALL, scapy),
}


def measure() -> Figure:
    package_path("scapy", "2.6.1")
    rates: dict[str, list[float]] = {name: [] for name in TOOLS}
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        paths = {packets: Path(folder) / f"{packets}.pcap" for packets, _ in TOOLS.values()}
        for packets, path in paths.items():
            write_capture(path, packets)
        os.sched_setaffinity(0, {CPUS[0]})
        try:
            for _ in range(ROUNDS):
                for name, (packets, read) in TOOLS.items():
                    begin = time.perf_counter()
                    read(paths[packets])
                    rates[name].append(packets / (time.perf_counter() - begin))
        finally:
            os.sched_setaffinity(0, CPUS)
        if batches(paths[LARGE]) != LARGE:
            raise SystemExit("bench: a packet of the capture was no row")
        size = paths[LARGE].stat().st_size
    ours, *_, tcpdump, tshark, peer = TOOLS
    each = {name: median(taken) for name, taken in rates.items()}
    return Figure(
        title="A capture to packet batches",
        target="3 M packets/s on one core",
        met=each[ours] >= TARGET,
        ours=f"{millions(each[ours])}/s",
        peers=f"tcpdump {millions(each[tcpdump])}/s, tshark {millions(each[tshark])}/s, scapy {millions(each[peer])}/s",
        columns=("", "packets in the file", "packets/s (median)", "packets/s (best)", "of tcpdump"),
        rows=[
            (name, f"{TOOLS[name][0]:,}", millions(each[name]), millions(max(taken)), f"{each[name] / each[tcpdump]:.2f} x")
            for name, taken in rates.items()
        ],
        told=f"""\
One core, the file in memory ({size / LARGE:.0f} octets a packet), {ROUNDS} rounds in turn; slower tools get a shorter file, so
that their start weighs as little. The first line is the library: a file to batches of {LARGE:,} rows in all, every column
decoded. The others are whole commands with their start, their output written to memory (Parquet) or thrown away.""",
    )
