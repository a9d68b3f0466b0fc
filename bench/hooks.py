"""What a packet costs in each program: the kernel's own clock around thousands of runs, record written."""

import os

from bench.common import CPUS, Figure, ethernet, ethertype, median, tcp, udp
from bench.testrun import TestRun

PROGRAMS = {"hw_xdp": "XDP", "hw_xdp_consume": "XDP, consume", "hw_tcx_in": "tcx, in", "hw_tcx_out": "tcx, out"}
RING = 16 << 20
REPEAT = 20_000  # fits the ring
ROUNDS = 50


def _framed(packet: bytes, size: int, tags: tuple[tuple[int, int], ...] = ()) -> bytes:
    frame: bytes = ethernet(packet, ethertype(packet), tags=tags)
    return frame.ljust(size, b"\0")


FRAMES = {
    "IPv4 UDP, 64 octets": _framed(udp("10.9.0.2", "10.9.0.1", 5353, 53, bytes(18)), 64),
    "IPv6 TCP, 1,514 octets": _framed(tcp("fd09::2", "fd09::1", 40000, 443, 0x18, payload=bytes(1440)), 1514),
    "QinQ IPv4 TCP, 128 octets": _framed(tcp("10.9.0.2", "10.9.0.1", 40000, 80, 0x10, payload=bytes(60)), 128, ((0x88A8, 7), (0x8100, 9))),
}


def measure() -> Figure:
    os.sched_setaffinity(0, {CPUS[0]})  # a test run stays on its CPU, so its rows are in one ring
    taken: dict[tuple[str, str], list[int]] = {}
    under = TestRun(list(PROGRAMS), RING)
    try:
        for _ in range(ROUNDS):
            for program in PROGRAMS:
                for name, frame in FRAMES.items():
                    taken.setdefault((program, name), []).append(under.run(program, frame, REPEAT))
                    if under.drain() != REPEAT:
                        raise SystemExit(f"bench: {program} did not write a row for each run")
    finally:
        under.close()
        os.sched_setaffinity(0, CPUS)
    rows = [(label, *(f"{median(taken[program, name]):.0f}" for name in FRAMES)) for program, label in PROGRAMS.items()]
    cheapest, dearest = (f(median(times) for times in taken.values()) for f in (min, max))
    return Figure(
        title="What a packet costs at each hook",
        target="told",
        met=None,
        ours=f"{cheapest:.0f}-{dearest:.0f} ns a packet",
        peers="-",
        columns=("ns a packet (median)", *FRAMES),
        rows=rows,
        told=f"""\
BPF_PROG_RUN repeats each program {REPEAT:,} times on one frame, parsed and written to the ring each time, and the kernel's
clock says how long that took; {ROUNDS} rounds in turn. Everything is warm in the caches, so a live packet costs more: the
sender's loss above is the whole price.""",
    )
