"""The product under load: a way of using it, what is sent to it, and all that is counted meanwhile and at the end."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from bench.common import BUILD, CPUS, HEADWATER, Veth, attached, counters, finish, others_since, running, veth_pair
from bench.flat import Sample
from bench.idle import cpu_seconds
from bench.live_xdp import OPTIONS
from bench.quota import quota

SAMPLE_S = 10.0


@dataclass(frozen=True)
class Way:
    """A way of using the product."""

    told: str
    hook: str
    links: int
    options: tuple[str, ...]
    form: str = "jsonl"
    sample: int = 1
    too_much: bool = True  # whether it can be sent three times what it keeps


WAYS = {
    "mirror": Way("a mirror port", "xdp", 1, ("--consume", "--record", "rate", "--detail", "packets")),
    "host": Way(  # with one packet in 50 as a row, so that an hour's file fits on a disk: no load of this kind is too much
        "an ordinary interface",
        "tcx",
        2,
        ("--record", "packet", "--record", "rate", "--record", "cost", "--sample", "50"),
        "parquet",
        50,
        too_much=False,
    ),
}


def command(way: Way, interface: str, folder: str) -> list[str]:
    return [HEADWATER, "run", "-i", interface, "--hook", way.hook, *way.options, "--format", way.form, "-o", folder]


@dataclass(frozen=True)
class Load:
    """What was sent between two times (Unix)."""

    begin: float
    end: float
    sent: int

    @property
    def rate(self) -> float:
        return self.sent / (self.end - self.begin)


@dataclass
class Run:
    """One run of the product under loads."""

    way: Way
    loads: list[Load] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    arrived: int = 0  # frames that the watched device counted
    refused: int = 0  # that the sending device had no room for
    cpu: float = 0.0  # of one CPU, under the loads
    others: float = 0.0
    code: int = 0
    confined: bool = False  # no capability, seccomp and no new privileges
    sums: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)  # (ledger, subject): term: count, as told at the end
    exact: bool = False
    drops: list[tuple[float, int]] = field(default_factory=list)  # (time, packets) from the ledger's rows
    rated: int = 0  # packets in the rates
    written: int = 0  # rows in the file of packets

    @property
    def packets(self) -> dict[str, int]:
        return next(terms for (ledger, _), terms in self.sums.items() if ledger == "packets")

    @property
    def sink(self) -> dict[str, int]:
        return next(terms for (ledger, subject), terms in self.sums.items() if ledger == "records" and subject != "tap")

    def lost(self, begin: float = 0.0, end: float = float("inf")) -> int:
        """Packets, also those that rows lost behind the ring would have stood for."""
        return sum(count for at, count in self.drops if begin < at <= end)

    def off(self) -> int:
        """By how much the counts of sender, device, ledger, rates and files differ, in all. What the sink lost may lack in files."""
        seen, spared = self.packets["seen"], dropped(self.sink)
        sent = sum(load.sent for load in self.loads)
        parts = sum(count for term, count in self.packets.items() if term != "seen")
        apart = [sent - self.refused - self.arrived, self.arrived - seen, seen - parts, max(0, abs(seen - self.rated) - (spared and seen))]
        if "packet" in self.way.options:
            apart.append(max(0, abs(self.packets.get("as_row", 0) - self.written) - spared))
        return sum(abs(one) for one in apart) + (not self.exact)


def dropped(terms: dict[str, int]) -> int:
    return sum(count for term, count in terms.items() if term.startswith("dropped"))


# -- running ------------------------------------------------------------------------------------------------------------------------


def family(process: int) -> list[int]:
    """It and its children."""
    found = [process]
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
    return found


def look(process: int) -> list[Sample]:
    """At it and its children, now."""
    samples, now = [], time.time()
    for number in family(process):
        with contextlib.suppress(OSError):
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines() if ":\t" in line)
            descriptors = sum(1 for _ in Path(f"/proc/{number}/fd").iterdir())
            name = "sensor" if number == process else "keeper"
            samples.append(Sample(now, name, int(status["VmRSS"].split()[0]) << 10, descriptors, int(status["Threads"])))
    return samples


def is_confined(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    return all(re.search(rf"^{line}$", status, re.M) for line in (r"CapEff:\t0+", r"CapPrm:\t0+", r"NoNewPrivs:\t1", r"Seccomp:\t2"))


def send(veth: Veth, seconds: float, rate: float, run: Run, process: int) -> None:
    """A load of `rate` packets/s in all, or as fast as it goes with 0, by a generator on each CPU. Looks at the process meanwhile."""
    words = [str(BUILD / "generator"), "--seconds", str(seconds), "--tuples", "1000", "--batch", "32"]
    words += ["--rate", str(round(rate / len(CPUS)))] if rate else []
    where = [str(BUILD / "generator.bpf.o"), veth.far.interface]
    begin = time.time()
    each = [
        veth.far.space.start(*words, "--cpu", str(cpu), "--seed", str(500 * place), *where, stdout=subprocess.PIPE, text=True)
        for place, cpu in enumerate(CPUS)
    ]
    looked, told_at = 0, begin
    while each[0].poll() is None and time.time() < begin + seconds + 20:
        run.samples += look(process)
        looked += 1
        if time.time() > told_at + 60:
            told_at = time.time()
            last = run.samples[-1]
            say(f"    {told_at - begin:,.0f} s: {last.process} {last.resident / (1 << 20):.1f} MiB, {last.threads} threads")
        with contextlib.suppress(subprocess.TimeoutExpired):
            each[0].wait(max(0.1, min(begin + looked * SAMPLE_S, begin + seconds + 20) - time.time()))
    told = finish(each, 20)
    run.loads.append(Load(begin, time.time(), sum(one["sent"] for one in told)))


def drive(way: Way, *steps: tuple[float, float], share: float = 0.0) -> Run:
    """The product under loads of (seconds, packets/s) one after another, with that `share` of one CPU, or all it wants."""
    run = Run(way)
    beginning, _ = others_since((0, 0, 0))
    with contextlib.ExitStack() as stack:
        limit = stack.enter_context(quota()) if share else None
        veth = stack.enter_context(veth_pair(silent=True, options=OPTIONS))
        veth.near.space.run("ethtool", "-K", veth.near.interface, "gro", "on")  # so that live frames get here without XDP
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-load"))  # on a disk, as users have it
        words = command(way, veth.near.interface, folder)
        before, refused = counters(veth.near), no_room(veth)
        with running(veth.near.space, *words, ready=attached(way.links), stdout=subprocess.DEVNULL) as process:
            time.sleep(1)
            run.confined = is_confined(process.pid)
            if limit:
                limit.set(share)
                limit.hold(family(process.pid))
            used = cpu_seconds(process.pid)
            for seconds, rate in steps:
                send(veth, seconds, rate, run, process.pid)
            run.cpu = (cpu_seconds(process.pid) - used) / (run.loads[-1].end - run.loads[0].begin)
            run.samples += look(process.pid)
            if limit:
                limit.set(len(CPUS))  # the end is not what is measured
        run.code = process.returncode
        run.arrived, run.refused = (counters(veth.near) - before).received, no_room(veth) - refused
        understand(process.told, run)  # type: ignore[attr-defined]
        read(Path(folder), run)
    _, run.others = others_since(beginning)
    return run


def no_room(veth: Veth) -> int:
    """Frames that the sending device threw away, because the queue between the two was full."""
    return int(veth.far.space.run("cat", f"/sys/class/net/{veth.far.interface}/statistics/tx_dropped").stdout)


def understand(told: str, run: Run) -> None:
    """The ledger as it is told at the end."""
    for ledger, subject, whole, number, parts in re.findall(
        r"^(packets|records) +(.*?)(?: \(.*?\))?: ([\d,]+) (seen|made) = (.*)$", told, re.M
    ):
        of = {term: int(count.replace(",", "")) for count, term in re.findall(r"([\d,]+) ([a-z_]+(?: \([^)]*\))?)", parts)}
        run.sums[ledger, subject] = {number: int(whole.replace(",", ""))} | of
    run.exact = "adds up exactly" in told
    if not run.sums:
        raise SystemExit(f"bench: headwater run told no ledger, and ended with {run.code}: {told}")


def read(folder: Path, run: Run) -> None:
    """The files that it wrote."""
    ledger, rates = (table(folder / f"{name}.{run.way.form}") for name in ("ledger", "rate"))
    lost = ledger.filter(
        pc.and_(pc.equal(ledger["term"], "dropped"), pc.not_equal(ledger["subject"], "tap"))
    )  # the tap's are the interface's
    times = pc.cast(pc.cast(lost["ts"], pa.timestamp("ns", "UTC")), pa.int64()).to_pylist()
    for at, of, count in zip(times, lost["ledger"].to_pylist(), lost["count"].to_pylist(), strict=True):
        run.drops.append((at / 1e9, count * (run.way.sample if of == "records" else 1)))
    run.rated = pc.sum(rates["packets"]).as_py() or 0 if rates.num_rows else 0
    if (folder / "packet.parquet").exists():
        run.written = pq.ParquetFile(folder / "packet.parquet").metadata.num_rows


def table(path: Path) -> pa.Table:
    return pq.read_table(path) if path.suffix == ".parquet" else pyarrow.json.read_json(path)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
