"""Flows of a capture as rows in Parquet, beside flow meters that read the same capture."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.common import HEADWATER, SCRATCH, Figure, median, millions, need, package_path
from bench.mix import Mix, captures

ROUNDS = 5
LARGE, MEDIUM, SMALL = 10_000_000, 2_000_000, 500_000  # packets: as many as the tool reads in some seconds
NFSTREAM_IS = "nfstream", "6.6.0"
NFSTREAM = """
import sys
sys.path.insert(0, sys.argv[2])
from nfstream import NFStreamer
print(sum(1 for _ in NFStreamer(source=sys.argv[1], n_dissections=0)))
"""


class Where(NamedTuple):
    """What a meter is given: a capture, a folder to write to, and a port of 127.0.0.1 that takes datagrams and forgets them."""

    capture: str
    folder: str
    port: int


@dataclass(frozen=True)
class Meter:
    packets: int
    command: Callable[[Where], list[str]]


class Cost(NamedTuple):
    seconds: float
    cpu_s: float
    octets: int  # resident, at most


METERS = {
    "headwater read --record conn --format parquet": Meter(
        LARGE, lambda at: [HEADWATER, "read", "-o", at.folder, "--record", "conn", "--format", "parquet", at.capture]
    ),
    "softflowd": Meter(LARGE, lambda at: ["softflowd", "-d", "-r", at.capture, "-n", f"127.0.0.1:{at.port}"]),
    "softflowd -v 9 -m 1048576": Meter(
        LARGE, lambda at: ["softflowd", "-d", "-r", at.capture, "-n", f"127.0.0.1:{at.port}", "-v", "9", "-m", "1048576"]
    ),
    "nfpcapd": Meter(LARGE, lambda at: ["nfpcapd", "-r", at.capture, "-w", at.folder]),
    "argus": Meter(MEDIUM, lambda at: ["argus", "-X", "-r", at.capture, "-w", f"{at.folder}/argus"]),
    "nfstream, nothing dissected": Meter(SMALL, lambda at: [sys.executable, "-c", NFSTREAM, at.capture, package_path(*NFSTREAM_IS)]),
    "tshark -z conv,tcp -z conv,udp": Meter(SMALL, lambda at: ["tshark", "-n", "-q", "-r", at.capture, "-z", "conv,tcp", "-z", "conv,udp"]),
}


@contextlib.contextmanager
def collector() -> Iterator[int]:
    """A port that takes what a meter exports. Nobody reads it: the kernel drops what comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        unread.bind(("127.0.0.1", 0))
        yield unread.getsockname()[1]


def cost_of(command: list[str]) -> Cost:
    """Run it to its end."""
    with tempfile.TemporaryFile("w+") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        watch = Watch(process.pid)
        watch.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        seconds = time.perf_counter() - begin
        watch.ended.set()
        watch.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"bench: {command[0]} ended with {process.returncode}: {errors.read()[-500:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, watch.octets)


class Watch(threading.Thread):
    """Octets that a process and its children have had at most. What wait4() tells is no less than what this process had when it began that
    one; and to look often would take time from who uses both CPUs.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.octets = 0
        self.ended = threading.Event()
        self._pid = pid

    def run(self) -> None:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        while not self.ended.wait(0.1):
            self.octets = max(self.octets, sum(map(resident, [self._pid, *children.read_text().split()])))


def resident(pid: object) -> int:
    """Octets that a process has had at most, those that it has from who started it among them; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        if told := re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M):
            return int(told[1]) << 10
    return 0


def found(folder: Path) -> tuple[int, int]:
    """(rows, packets in them) of what Headwater wrote."""
    table = pq.read_table(folder / "conn.parquet", columns=["orig_pkts", "resp_pkts"])
    return len(table), pc.sum(table["orig_pkts"]).as_py() + pc.sum(table["resp_pkts"]).as_py()


def measure() -> Figure:
    need({"softflowd": "softflowd", "nfpcapd": "nfdump", "argus": "argus-server"})
    package_path(*NFSTREAM_IS)
    mix = Mix(captures())
    costs: dict[str, list[Cost]] = {name: [] for name in METERS}
    ours, quickest, *_ = METERS
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as scratch, collector() as port:
        packets: dict[int, int] = {}
        for wanted in (LARGE, MEDIUM, SMALL):
            with (Path(scratch) / f"{wanted}.pcap").open("wb") as file:
                packets[wanted] = mix.write(file, wanted)
        size = (Path(scratch) / f"{LARGE}.pcap").stat().st_size
        for _ in range(ROUNDS):
            for name, meter in METERS.items():
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    costs[name].append(cost_of(meter.command(Where(f"{scratch}/{meter.packets}.pcap", folder, port))))
                    if name == ours:
                        rows, counted = found(Path(folder))
    rate = {name: packets[METERS[name].packets] / median([cost.seconds for cost in each]) for name, each in costs.items()}
    best = {name: packets[METERS[name].packets] / min(cost.seconds for cost in each) for name, each in costs.items()}
    peers = max((name for name in METERS if name != ours), key=rate.__getitem__)
    return Figure(
        title="A capture to flows in Parquet",
        target="more packets a second than softflowd, the quickest of the flow meters",
        met=rate[ours] > rate[peers],
        ours=f"{millions(rate[ours])}/s",
        peers=", ".join(
            f"{name.split()[0].rstrip(',')} {millions(rate[name])}/s" for name in METERS if name not in (ours, "softflowd -v 9 -m 1048576")
        ),
        columns=("", "packets in the file", "packets/s (median)", "packets/s (best)", "of softflowd", "CPU s, 1 M packets", "resident"),
        rows=[
            (
                name,
                f"{packets[METERS[name].packets]:,}",
                millions(rate[name]),
                millions(best[name]),
                f"{rate[name] / rate[quickest]:.2f} x",
                f"{median([cost.cpu_s for cost in each]) / packets[METERS[name].packets] * 1e6:.2f}",
                f"{median([cost.octets for cost in each]) / (1 << 20):.0f} MiB",
            )
            for name, each in costs.items()
        ],
        told=f"""\
`bench/mix.py` makes the capture: {packets[LARGE] // mix.packets} copies of
{mix.told()}.
In each copy each capture is between other addresses, and ten seconds later than in the copy before. What is inside a tunnel stays
as it is. The file of {size / 1e9:.1f} GB is in memory, both CPUs may be used, {ROUNDS} rounds in turn; slower tools get a shorter file.
All are whole commands with their start.

Headwater writes {rows:,} rows with {counted:,} packets in them, with Zeek's states and histories and a community id each, and
looks into tunnels. softflowd exports to a port that nobody reads: as it comes (NetFlow 5, of 8,192 flows at a time), and as
NetFlow 9, which has IPv6, with room for as many flows as Headwater has. nfpcapd and argus write their files; nfstream's flows
are counted, and tshark's table is thrown away.""",
    )
