"""What Headwater takes where nothing happens, and how long it takes to the first row."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.common import HEADWATER, Figure, Namespace, Veth, attached, median, packet_socket, running, veth_pair

SECONDS = 20
STARTS = 10
TICK = os.sysconf("SC_CLK_TCK")
CPU_TARGET, MEMORY_TARGET, START_TARGET = 0.01, 150 << 20, 1.0


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def memory(pid: int) -> tuple[int, int]:
    """(resident octets of the process without BPF maps, octets of its BPF maps)."""
    resident = int(re.search(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) << 10  # type: ignore[index]
    mapped = 0
    of_maps = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            of_maps = "bpf-map" in line
        elif of_maps and line.startswith("Rss:"):
            mapped += int(line.split()[1]) << 10
    maps = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        info = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
        if "map_id" in info:
            maps[info["map_id"]] = int(info["memlock"])
    return resident - mapped, sum(maps.values())


def idle(space: Namespace, *command: str, links: int) -> tuple[float, int, int]:
    """(share of a core, resident octets, octets of maps)."""
    with running(space, *command, ready=attached(links) if links else packet_socket, stdout=subprocess.DEVNULL) as process:
        time.sleep(3)
        before = cpu_seconds(process.pid)
        time.sleep(SECONDS)
        used = (cpu_seconds(process.pid) - before) / SECONDS
        return used, *memory(process.pid)


def first_row(space: Namespace, *command: str) -> float:
    """Seconds from the command to its first line of a packet, while sender() runs."""
    begin = time.perf_counter()
    process = space.start(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if "5000" in line:  # the port
                return time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait(20)
    raise SystemExit(f"bench: {command[0]} showed no packet")


@contextlib.contextmanager
def sender(veth: Veth) -> Iterator[None]:
    """A datagram each 5 ms from the far end."""
    with veth.far.space.inside():
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.005):
            out.sendto(b"bench", (veth.near.ip4, 5000))

    thread = threading.Thread(target=send)
    with out, veth.near.space.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
        unread.bind((veth.near.ip4, 5000))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def measure() -> Figure:
    with veth_pair(silent=True) as veth:
        name, space = veth.near.interface, veth.near.space
        ours = (HEADWATER, "run", "-i", name, "--hook", "tcx", "--detail", "packets")
        peer = ("tcpdump", "-n", "-l", "-i", name)
        (used, resident, maps), (peer_used, peer_resident, _) = idle(space, *ours, links=2), idle(space, *peer, links=0)
    with veth_pair() as veth:
        space = veth.near.space
        times: dict[str, list[float]] = {"headwater": [], "tcpdump": []}
        with sender(veth):
            for _ in range(STARTS):
                times["headwater"].append(
                    first_row(space, HEADWATER, "run", "-i", veth.near.interface, "--hook", "tcx", "--detail", "packets")
                )
                times["tcpdump"].append(first_row(space, "tcpdump", "-n", "-l", "-i", veth.near.interface))
    start, peer_start = median(times["headwater"]), median(times["tcpdump"])
    mib = 1 << 20
    return Figure(
        title="Idle, and the start",
        target="under 1 % of a core, under 150 MB without maps, under 1 s to the first row",
        met=used < CPU_TARGET and resident < MEMORY_TARGET and start < START_TARGET,
        ours=f"{used:.2%} of a core, {resident / mib:.0f} MiB and {maps / mib:.0f} MiB of maps, first row after {start:.2f} s",
        peers=f"tcpdump {peer_used:.2%}, {peer_resident / mib:.0f} MiB, {peer_start:.2f} s",
        columns=("", "of a core", "resident", "BPF maps", "start to first row (median)", "(longest)"),
        rows=[
            (
                "headwater run",
                f"{used:.2%}",
                f"{resident / mib:.0f} MiB",
                f"{maps / mib:.0f} MiB",
                f"{start:.2f} s",
                f"{max(times['headwater']):.2f} s",
            ),
            (
                "tcpdump -n -l",
                f"{peer_used:.2%}",
                f"{peer_resident / mib:.0f} MiB",
                "-",
                f"{peer_start:.2f} s",
                f"{max(times['tcpdump']):.2f} s",
            ),
        ],
        told=f"""\
A veth pair on which nothing is sent, watched through tcx for {SECONDS} s after 3 s. Maps are the rings (16 MiB for each
possible CPU by default, `ring_bytes`) and the tables beside them, in kernel memory; the process's own resident memory is told
without them. The start is from the command to the first packet on standard output, {STARTS} times, with a ping each 5 ms on the
line.""",
    )
