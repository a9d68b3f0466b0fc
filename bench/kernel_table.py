"""What a packet costs that the kernel gives to a flow in its table: BPF_PROG_RUN, a flow of many each time."""

import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from headwater._native import ffi, lib

from bench.common import BUILD, CPUS, Figure, bpf, ethernet, median, udp
from headwater.analysis.flows import FlowSettings
from headwater.kernel import libbpf
from headwater.kernel.control import Control
from headwater.sources.kernel_flows import KernelFlows

CHOICE = np.dtype([("random", "<u8"), ("hot", "<u4"), ("few", "<u4"), ("many", "<u4"), ("unused", "<u4")])
FRAME = ethernet(udp("10.0.0.1", "10.1.0.1", 32768, 9000, bytes(24)), 0x0800)
REPEAT = 1_000_000
ROUNDS = 5
OCTETS = 6 << 30  # room for six million
SETTINGS = FlowSettings(bytes(16), timeouts_s={"udp_timeout": 86_400.0})


@dataclass(frozen=True)
class Case:
    """Of 1024 packets, `hot` are of `few` flows, and the others of `many`; at most so many nanoseconds, all included, were promised."""

    name: str
    hot: int
    few: int
    many: int
    most: int


CASES = (
    Case("one flow", 1024, 1, 1, 160),
    Case("1,000 flows", 1024, 1_000, 1_000, 350),
    Case("90 % of 1,000 flows, the rest of a million", 922, 1_000, 1_000_000, 350),
    Case("a million flows", 0, 1, 1_000_000, 700),
    Case("four million flows", 0, 1, 4_000_000, 1_400),
)


class Run:
    """The programs, loaded with a table."""

    def __init__(self, settings: FlowSettings = SETTINGS, octets: int = OCTETS, ring_bytes: int = 1 << 20) -> None:
        self.flows = KernelFlows(settings.row(), "xdp", octets=octets, ring_bytes=ring_bytes)
        programs = ("table_empty", "table_parsed", "table_kept", *self.flows.programs)
        self._object = libbpf.Object(str(BUILD / "kernel_table"), programs, {"hw_packet_rings": 1, "hw_rates": 1, **self.flows.entries()})
        self._object.open()
        control = Control(self._object.map(".bss"))
        self.flows.open(self._object, control, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._options = ffi.new("struct bpf_test_run_opts *")
        self._out = ffi.new("char[]", 256)

    def choose(self, case: Case) -> None:
        choice = np.zeros(1, CHOICE)
        choice[0] = (88172645463325252, case.hot, case.few, case.many, 0)
        libbpf.put(self._object.map("bench_choice"), 0, choice.tobytes())

    def time(self, program: str, repeat: int) -> int:
        """Nanoseconds of one run."""
        o: Any = self._options
        o.sz, o.repeat, frame = ffi.sizeof("struct bpf_test_run_opts"), repeat, ffi.from_buffer(FRAME)
        o.data_in, o.data_size_in, o.data_out, o.data_size_out = frame, len(FRAME), self._out, 256
        failed = lib.bpf_prog_test_run_opts(self._object.program(program), o)
        if failed:
            raise SystemExit(f"bench: {program} did not run: {os.strerror(-failed)}")
        return int(o.duration)

    def totals(self) -> dict[str, int]:
        return self.flows.totals()

    def close(self) -> None:
        self._object.close()


def measure() -> Figure:
    bpf("kernel_table")
    os.sched_setaffinity(0, {CPUS[0]})
    run, rows, missed = Run(), [], []
    try:
        for case in CASES:
            run.choose(replace(case, hot=0))
            run.time("table_kept", max(case.many * 6, 100_000))  # until nearly each flow is there
            run.choose(case)
            before = run.totals()
            if before["begun"] - before["ended"] < 0.99 * case.many:
                raise SystemExit(f"bench: {before['begun'] - before['ended']:,} flows are there, of {case.many:,}")
            names = ("table_empty", "table_parsed", "table_kept")
            taken: dict[str, list[int]] = {name: [] for name in names}
            for _ in range(ROUNDS):
                for name in names:
                    taken[name].append(run.time(name, REPEAT))
            totals = run.totals()
            if totals["packets"] - before["packets"] != ROUNDS * REPEAT:
                raise SystemExit(f"bench: of {ROUNDS * REPEAT:,} packets, {totals['packets'] - before['packets']:,} came to a flow")
            empty, parsed, kept = (min(taken[name]) for name in names)
            rows.append((case.name, str(empty), str(parsed), str(kept), f"{median(taken['table_kept']):.0f}", str(case.most)))
            missed += [case.name] * (kept > case.most)
    finally:
        run.close()
        os.sched_setaffinity(0, CPUS)
    return Figure(
        title="What a packet costs in the kernel's table of flows",
        target="one flow 160 ns, 90 % of 1,000 flows of a million 350, a million 700, four million 1,400",
        met=not missed,
        ours=", ".join(f"{row[0]} {row[3]} ns" for row in rows),
        peers="-",
        columns=("packets of", "empty program", "made and parsed", "and kept, ns (best round)", "(median)", "promised"),
        rows=rows,
        told=f"""\
BPF_PROG_RUN repeats a program {REPEAT:,} times, each of which writes another source address into the window, a random one; {ROUNDS}
rounds in turn. UDP one way, 66 octets. All is included: the kernel's own repetition, making the packet, and parsing it.""",
    )
