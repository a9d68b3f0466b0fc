"""Builds and runs parity.c: the same frames through the kernel and through the native parser."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headwater.records.layouts import ENUMS, OBJECTS, PACKET

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TAP = OBJECTS / "tap.bpf.o"
FAILED = 2  # the exit code that says that nothing was compared
MULTIARCH = Path("/usr/include") / f"{os.uname().machine}-linux-gnu"


@dataclass(frozen=True)
class Plan:
    """What runs: see parity.c."""

    cuts: int = 0
    mutations: int = 0
    generated: int = 0
    seed: int = 1
    stop: int = 5


@dataclass
class Outcome:
    """The sum of all processes: `runs` of each program, rows of carriers, distinct frames, what was met, the first differences as text."""

    runs: list[int]
    carriers: int
    distinct: int
    refused: int
    weirds: dict[str, int]
    layers: dict[str, int]
    differences: list[str]


def build(headers: Path, into: Path) -> Path:
    """parity.c with the packet.h of `headers`."""
    command = ["cc", "-std=gnu11", "-O2", "-w", "-DHW_STEPS_ALONE", f"-I{headers}", str(HERE / "parity.c"), "-lbpf", "-o", str(into)]
    subprocess.run(command, check=True, timeout=120)
    return into


def build_tap(headers: Path, into: Path) -> Path:
    """The tap with the packet.h of `headers`."""
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-w", f"-I{MULTIARCH}"]
    subprocess.run(["clang", *flags, "-c", str(headers / "tap.bpf.c"), "-o", str(into)], check=True, timeout=120)
    return into


def altered(old: str, new: str, into: Path) -> Path:
    """A copy of bpf/ in which the parser has `new` in place of `old`, in its steps and in what reads plain packets."""
    into.mkdir(parents=True)
    for path in (ROOT / "bpf").glob("*.[ch]"):
        (into / path.name).write_text(path.read_text())
    found = {path: path.read_text().count(old) for path in into.glob("*.h") if old in path.read_text()}
    assert found and set(found.values()) == {1}, f"{old!r} is not in the parser once: write this alteration anew"
    for path in found:
        path.write_text(path.read_text().replace(old, new))
    return into


def run(binary: Path, captures: list[Path], plan: Plan, tap: Path = TAP, timeout: float = 500) -> Outcome:
    """Run `plan` over `captures`, in a process for each CPU."""
    parts = len(os.sched_getaffinity(0))
    numbers = [plan.cuts, plan.mutations, plan.generated // parts, plan.seed, plan.stop]
    with tempfile.TemporaryFile("w+") as names:
        names.writelines(f"{path}\n" for path in captures)
        names.flush()
        processes = [_start(binary, [str(tap), str(part), str(parts), *map(str, numbers)], names.fileno()) for part in range(parts)]
        try:
            outputs = [process.communicate(timeout=timeout)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
    for process in processes:
        assert process.returncode != FAILED, "parity could not run: see standard error"
    lines = [json.loads(line) for output in outputs for line in output.splitlines(keepends=True) if line.endswith("\n")]
    lines += [{"problem": f"ended by signal {-process.returncode}"} for process in processes if process.returncode < 0]
    sums = [line for line in lines if "runs" in line]
    weirds = [sum(s["weirds"][i] for s in sums) for i in range(len(ENUMS["hw_weird"]))]
    layers = [sum(s["layers"][i] for s in sums) for i in range(32)]
    return Outcome(
        runs=[sum(column) for column in zip(*(s["runs"] for s in sums), strict=True)],
        carriers=sum(s["carriers"] for s in sums),
        distinct=sum(s["distinct"] for s in sums),
        refused=sum(s["refused"] for s in sums),
        weirds={name: weirds[value] for value, name in ENUMS["hw_weird"].items()},
        layers={name: layers[bit.bit_length() - 1] for bit, name in (ENUMS["hw_has"] | ENUMS["hw_packet_has"]).items()},
        differences=[_describe(line) for line in lines if "problem" in line],
    )


def _start(binary: Path, arguments: list[str], names: int) -> "subprocess.Popen[str]":
    own = os.open(f"/proc/self/fd/{names}", os.O_RDONLY)  # a position of its own
    try:
        return subprocess.Popen([str(binary), *arguments], stdin=own, stdout=subprocess.PIPE, text=True)
    finally:
        os.close(own)


def _describe(line: dict[str, str]) -> str:
    """A difference with the names of the columns that differ."""
    if "kernel" not in line:
        return line["problem"]
    kernel, native = bytes.fromhex(line["kernel"]), bytes.fromhex(line["native"])
    fields = PACKET.dtype.fields
    assert fields
    columns = [
        f"{name}: kernel {kernel[at : at + kind.itemsize].hex()} native {native[at : at + kind.itemsize].hex()}"
        for name, (kind, at, *_) in fields.items()
        if kernel[at : at + kind.itemsize] != native[at : at + kind.itemsize]
    ]
    return f"{line['problem']} ({line['program']}, {line['size']} octets): {'; '.join(columns)}; frame {line['frame']}"


def captures(corpora: Path) -> list[Path]:
    """Every capture of the corpora, in one order."""
    found = sorted(path for path in corpora.rglob("*") if path.suffix in (".pcap", ".pcapng"))
    if not found:
        sys.exit(f"no captures in {corpora}")
    return found
