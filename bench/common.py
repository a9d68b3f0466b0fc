"""What the benches share: building the generators, namespaces, peers and Headwater as processes, and what a figure is."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build/bench"
_MEMORY = Path("/dev/shm")  # noqa: S108 - files in it get random names of their own
SCRATCH = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())  # where captures are written: no disk slows them
HEADWATER = str(ROOT / ".venv/bin/headwater")
CPUS = (0, 1)  # everything runs on these two
RING_MIB = 16 * len(CPUS)  # what Headwater's rings hold by default; the peers' buffers are made as large

sys.path[:0] = [str(ROOT / "tests/kernel"), str(ROOT / "tests")]
from frames import ethernet, ethertype, ip, tcp, udp  # noqa: E402 - the tests' own, which are no package
from netns import End, Namespace, Veth, veth_pair  # noqa: E402

__all__ = ["End", "Namespace", "Veth", "ethernet", "ethertype", "ip", "median", "tcp", "udp", "veth_pair"]


@dataclass
class Figure:
    """One promise and what was measured. `ours` and `peers` are its line in the summary; `rows` are the whole table, under `columns`."""

    title: str
    target: str
    met: bool | None  # None: there was nothing to promise
    ours: str
    peers: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    told: str  # Markdown: how it was measured
    others: float = 0.0  # of a CPU, what was not the bench's own


# -- building and requirements ------------------------------------------------------------------------------------------------------


def build() -> None:
    """Compile the generators. Ends with one line where a tool is missing."""
    packages = {"tcpdump": "tcpdump", "dumpcap": "tshark", "tshark": "tshark", "iperf3": "iperf3", "ethtool": "ethtool"}
    need(packages)
    if os.geteuid():
        sys.exit("bench: run as root: network namespaces and eBPF need it")
    BUILD.mkdir(parents=True, exist_ok=True)
    here = ROOT / "bench"
    bpf("generator")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", here / "generator.c", "-o", BUILD / "generator", "-lbpf"], check=True)
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", here / "udp_sender.c", "-o", BUILD / "udp_sender"], check=True)


def need(packages: dict[str, str]) -> None:
    """Of each tool, Debian's package. Ends with one line where a tool is missing."""
    missing = sorted({package for tool, package in packages.items() if not shutil.which(tool)})
    if missing:
        sys.exit(f"bench: install what Headwater is measured beside: apt-get install {' '.join(missing)}")


def bpf(name: str) -> None:
    """Compile bench/NAME.bpf.c."""
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", f"-I/usr/include/{os.uname().machine}-linux-gnu"]
    subprocess.run(["clang", *flags, "-c", ROOT / f"bench/{name}.bpf.c", "-o", BUILD / f"{name}.bpf.o"], check=True)


def package_path(package: str, version: str) -> str:
    """A folder that has one of Python's, for its path: it is never installed where Headwater is."""
    folder = BUILD / package
    if not folder.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, f"{package}=={version}"], check=True)
    return str(folder)


def interrupted(_signal: int, _frame: object) -> None:
    """SIGTERM and SIGHUP take everything away again, as Ctrl-C does."""
    raise KeyboardInterrupt


def settle() -> None:
    """Pin this process and all that it starts to CPUS, and clean up whatever ends it."""
    os.sched_setaffinity(0, CPUS)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)


# -- processes ----------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(space: Namespace, *command: str, ready: Callable[[int], bool], **how: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process in `space` that is up (`ready(pid)` is true) within the block, and interrupted and gone after it.

    What it wrote to standard error is in `.told` after the block.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = space.start(*command, stderr=errors, text=True, **how)
        try:
            deadline = time.monotonic() + 15
            while not ready(process.pid):
                if process.poll() is not None or time.monotonic() > deadline:
                    errors.seek(0)
                    raise SystemExit(f"bench: {' '.join(command)} did not start: {errors.read()}")
                time.sleep(0.01)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            errors.seek(0)
            process.told = errors.read()


def attached(links: int) -> Callable[[int], bool]:
    """Whether a process holds that many BPF links."""

    def ready(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return sum("link_type" in path.read_text() for path in Path(f"/proc/{pid}/fdinfo").iterdir()) >= links
        return False

    return ready


def packet_socket(pid: int) -> bool:
    """Whether a process of that namespace has a packet socket with a ring."""
    with contextlib.suppress(OSError):
        inodes = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        sockets = [line.split() for line in Path(f"/proc/{pid}/net/packet").read_text().splitlines()[1:]]
        return any(f"socket:[{words[-1]}]" in inodes and words[5] == "1" for words in sockets)
    return False


@dataclass
class Run:
    """What a run of Headwater wrote."""

    directory: Path
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (term, place: reason) of the packets ledger
    rolled_up: int = 0  # packets in its rates
    exact: bool = False

    def dropped(self) -> int:
        return sum(count for (term, _), count in self.counts.items() if term == "dropped")


@contextlib.contextmanager
def headwater(end: End, hook: str, *options: str) -> Iterator[Run]:
    """`headwater run` on `end`, with rates and the ledger written to memory; the Run is filled after the block."""
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        run = Run(Path(folder))
        command = [HEADWATER, "run", "-i", end.interface, "--hook", hook, "-o", folder, "--record", "rate", "--detail", "packets", *options]
        # a packet socket is there before it takes packets, but files are made once all is attached
        with running(end.space, *command, ready=lambda _: any(run.directory.iterdir()), stdout=subprocess.DEVNULL) as process:
            yield run
        run.exact = "adds up exactly" in process.told  # type: ignore[attr-defined]
        for line in (run.directory / "ledger.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["ledger"] == "packets" and entry["subject"] == end.interface:
                key = entry["term"], f"{entry['place']}: {entry['reason']}" if "place" in entry else ""
                run.counts[key] = run.counts.get(key, 0) + entry["count"]
        rates = (run.directory / "rate.jsonl").read_text().splitlines() if (run.directory / "rate.jsonl").exists() else []
        run.rolled_up = sum(json.loads(line)["packets"] for line in rates)


@dataclass(frozen=True)
class Counters:
    """What a device says: frames."""

    received: int
    sent: int

    def __sub__(self, other: "Counters") -> "Counters":
        return Counters(self.received - other.received, self.sent - other.sent)


def counters(end: End) -> Counters:
    """The device's own, from /proc/net/dev in its namespace."""
    for line in end.space.run("cat", "/proc/net/dev").stdout.splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == end.interface:
            words = numbers.split()
            return Counters(int(words[1]), int(words[9]))
    raise SystemExit(f"bench: {end.interface} is gone")


def finish(processes: "list[subprocess.Popen[str]]", seconds: float) -> list[dict[str, Any]]:
    """Wait for generators, and read the line of JSON that each ends with."""
    try:
        return [json.loads(process.communicate(timeout=seconds)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def others_since(begin: tuple[float, float, float]) -> tuple[tuple[float, float, float], float]:
    """(now, CPUs that others used since `begin`): what the system counted as used, less this process and its ended children."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    used = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # less idle and waiting for disks
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    now = time.monotonic(), used, own
    passed = max(now[0] - begin[0], 0.001)
    return now, max(0.0, (now[1] - begin[1] - (now[2] - begin[2])) / passed)


def millions(number: float) -> str:
    return f"{number / 1e6:.2f} M"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"
