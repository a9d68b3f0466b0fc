"""Ring memory to a batch and two aggregations."""

import os
import random
import time

from bench.common import CPUS, Figure, ethernet, ethertype, median, millions, tcp, udp
from bench.testrun import SLOT, TestRun
from headwater.records import PACKET, Batch
from headwater.records.rollup import Rollup
from headwater.sources.tap import BATCH_ROWS

RING = 16 << 20
ROUNDS = 40
TARGET = 50_000_000
FLOWS = 1000


def _frames() -> list[bytes]:
    """Of as many sources, to a few ports."""
    chance = random.Random(1)
    frames = []
    for flow in range(FLOWS):
        source, port = f"10.{flow >> 8}.{flow & 255}.7", chance.choice((53, 80, 123, 443, 8080))
        packet = udp(source, "10.9.0.1", 40000 + flow, port) if flow % 2 else tcp(source, "10.9.0.1", 40000 + flow, port, 0x10)
        frames.append(ethernet(packet, ethertype(packet)).ljust(64, b"\0"))
    return frames


def measure() -> Figure:
    os.sched_setaffinity(0, {CPUS[0]})
    under = TestRun(["hw_tcx_in"], RING)
    try:
        frames = _frames()
        for number in range(RING // SLOT - 1):
            under.run("hw_tcx_in", frames[number % FLOWS], 1)
        ring = under.rings[CPUS[0]]
        total = len(ring.borrow(1 << 30))
        if total != RING // SLOT - 1:
            raise SystemExit("bench: the ring was not filled")
        rollup = Rollup()
        seconds = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            rows = ring.borrow(1 << 30)  # never released: the same rows again
            for at in range(0, total, BATCH_ROWS):
                rollup.add(Batch(PACKET, rows[at : at + BATCH_ROWS], {}, borrowed=True))
            seconds.append(time.perf_counter() - begin)
            rates, talkers = rollup.take(0)
            if int(rates.rows["packets"].sum()) != total or len(talkers) != FLOWS:
                raise SystemExit("bench: the aggregations do not hold every row")
    finally:
        under.close()
        os.sched_setaffinity(0, CPUS)
    each = total / median(seconds)
    return Figure(
        title="Ring memory to a batch and two aggregations",
        target="50 M records/s",
        met=each >= TARGET,
        ours=f"{millions(each)}/s",
        peers="-",
        columns=("rows", "rounds", "records/s (median)", "records/s (best)", "ns a record"),
        rows=[(f"{total:,}", str(ROUNDS), millions(each), millions(total / min(seconds)), f"{1e9 / each:.1f}")],
        told=f"""\
A ring of 16 MiB, the default for a CPU, is filled by the tap's own program with packets of {FLOWS:,} sources; then, on one
core, all of it is borrowed as batches and each row counted by interface, direction, protocol and port, and by source address:
the two aggregations that every live run has. The records are {SLOT} octets apart, so this reads {each * SLOT / 1e9:.0f} GB of
memory a second.""",
    )
