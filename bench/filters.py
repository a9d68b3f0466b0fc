"""What parsing a packet and filtering it cost: the kernel's own clock around thousands of runs, less an empty program's and the clock's."""

import os
import struct
from typing import Any

import numpy as np

from bench.common import BUILD, CPUS, Figure, bpf, ethernet, median, tcp, udp
from bench.testrun import TestRun
from headwater.filters import Filter
from headwater.records.layouts import FILTER

RING = 1 << 20
REPEAT = 20_000
ROUNDS = 40
PARSED_NS, VXLAN_NS, REFUSED_NS, TERMS_NS = 30, 60, 50, {8: 20, 32: 80}

PLAIN = ethernet(tcp("10.9.0.2", "10.9.0.1", 40000, 443, 0x18, payload=bytes(1400)), 0x0800)
VXLAN = ethernet(udp("10.9.0.4", "10.9.0.3", 50000, 4789, struct.pack("!II", 0x08000000, 77 << 8) + PLAIN), 0x0800)
TESTS = {  # of which none holds, so that all are looked at
    "addresses": ("ip.addr == 192.168.{}.1",),
    "ports": ("tcp.port == {}",),
    "mixed": ("tcp.port == {}", "ip.src == 172.16.{}.0/24", "ip.ttl == {}", "frame.len == {}"),
}


def _filter(tests: tuple[str, ...], terms: int) -> np.ndarray[Any, np.dtype[Any]]:
    text = " || ".join(tests[number % len(tests)].format(number) for number in range(terms))
    made = Filter(text).terms({})
    if made["count"][0] != terms:
        raise SystemExit(f"bench: {text} does not take {terms} terms")
    return made


def measure() -> Figure:
    bpf("stages")
    none, refuses = np.zeros(1, FILTER), Filter("udp.port == 53").terms({})
    cases = {
        "empty": ("stage_empty", PLAIN, none),
        "clock": ("stage_clock", PLAIN, none),
        "parsed": ("stage_parsed", PLAIN, none),
        "VXLAN": ("stage_parsed", VXLAN, none),
        "refused": ("hw_xdp", PLAIN, refuses),
        "no filter": ("stage_filtered", PLAIN, none),
    }
    cases["no filter, VXLAN"] = "stage_filtered", VXLAN, none
    for kind, tests in TESTS.items():
        for n in TERMS_NS:
            cases[f"{n} {kind}"] = "stage_filtered", PLAIN, _filter(tests, n)
            cases[f"{n} {kind}, VXLAN"] = "stage_filtered", VXLAN, _filter(tests, n)
    taken: dict[str, list[int]] = {name: [] for name in cases}
    os.sched_setaffinity(0, {CPUS[0]})
    under = TestRun(sorted({program for program, _, _ in cases.values()}), RING, str(BUILD / "stages"))
    try:
        for _ in range(ROUNDS):
            for name, (program, frame, terms) in cases.items():
                under.set_filter(terms)
                taken[name].append(under.run(program, frame, REPEAT))
        if under.drain():
            raise SystemExit("bench: a packet became a row that should have been refused")
    finally:
        under.close()
        os.sched_setaffinity(0, CPUS)
    figures: list[tuple[str, str, str, int | None]] = [
        ("plain TCP, parsed", "parsed", "empty", PARSED_NS),
        ("VXLAN with inner TCP, parsed", "VXLAN", "empty", VXLAN_NS),
        ("TCP, refused by a filter: all but the clock", "refused", "clock", REFUSED_NS),
    ]
    figures += [(f"{n} terms, {kind}", f"{n} {kind}", "no filter", most) for n, most in TERMS_NS.items() for kind in TESTS]
    figures += [(f"in VXLAN: {n} terms, {kind}", f"{n} {kind}, VXLAN", "no filter, VXLAN", None) for n in TERMS_NS for kind in TESTS]
    rows, missed = [], []
    for name, what, less, most in figures:
        least, middle = (f(taken[what]) - f(taken[less]) for f in (min, median))
        rows.append((name, f"{least:.0f}", f"{middle:.0f}", str(most or "-")))
        missed += [name] * (most is not None and least > most)
    return Figure(
        title="What parsing and a filter cost",
        target="plain TCP parsed 30 ns, VXLAN with TCP 60, refused in all 50, a filter of 8 terms 20, of 32 terms 80",
        met=not missed,
        ours=", ".join(f"{least} ns" for _, least, _, _ in rows[:3])
        + "; terms "
        + ", ".join(f"{n}: {max(int(row[1]) for row in rows[3:] if row[0].startswith(f'{n} '))} ns" for n in TERMS_NS),
        peers="-",
        columns=("", "ns (best round)", "ns (median)", "promised"),
        rows=rows,
        told=f"""\
BPF_PROG_RUN repeats programs that end after a stage {REPEAT:,} times on one frame of 1,454 octets, warm in the caches; {ROUNDS}
rounds in turn. Parsing is the frame's begin copied and all of a row but its time written, less an empty program. A refused packet is
all that `hw_xdp` does for it, counters and rates included, less a program that asks the clock. A filter is more than none, where each of
its terms is looked at and refuses; with a tunnel there are two tuples to look at.""",
    )
