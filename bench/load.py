"""`.venv/bin/python -m bench.load [mirror] [host]`: hours of load. What `make soak` adds to docs/soak.txt, and docs/promises.md shows.

First the ceiling is measured: what is kept while generators send as fast as they can. Then the product runs as its users run it, an hour
at 70 % of that, and ten minutes at three times what it can keep. No generator of this machine sends three times what the product keeps
of a whole CPU, so there its CPU time is limited, until it keeps less than a third of what is sent; and afterwards, still so limited, it
gets 70 % of what it kept.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from bench import common
from bench.common import BUILD, CPUS, median, millions
from bench.flat import Line, constant, recovery
from bench.loaded import WAYS, Run, Way, command, drive, dropped, say
from bench.page import machine

ROUNDS, PROBES = 3, 6
SHARE = 0.7
TIMES = 3.0  # how much more than it can keep
LEAST_KEPT, MOST_KEPT = 0.2, 0.28  # the part that it is to keep then; less than 1 in TIMES, because no two runs are the same
WAITING_ROWS = len(CPUS) * (16 << 20) // 248 + (1 << 17)  # that the rings of each CPU and the queue of a sink hold
LEAST_SHARE = 0.004  # of a CPU
LATE_S = 2.0  # after a load its last losses are told
CALM_S, BACK_S = 60.0, 10.0  # after the overload: how long it is watched, and when the losses must have ended


def kept(run: Run, *, waiting: int = 0) -> float:
    """Packets/s of its first load that were not lost, nor among those that rings and queues can hold (`waiting`) till a load ends."""
    load = run.loads[0]
    lost = run.lost(end=load.end + LATE_S if run.loads[1:] else float("inf"))
    return max(0.0, load.sent - run.refused - lost - waiting) / (load.end - load.begin)


def ceiling(way: Way, seconds: float) -> tuple[float, float, float, list[Run]]:
    """(packets/s kept, packets/s sent, of a CPU used), each the median."""
    runs = []
    for _ in range(ROUNDS):
        runs.append(drive(way, (seconds, 0)))
        say(f"  ceiling: {millions(kept(runs[-1]))}/s kept of {millions(runs[-1].loads[0].rate)}/s, {runs[-1].cpu:.0%} of a CPU")
    return median(map(kept, runs)), median(run.loads[0].rate for run in runs), median(run.cpu for run in runs), runs


def limited(way: Way, seconds: float, cpu: float) -> tuple[float, float]:
    """The share of a CPU with which less than a third of what can be sent is kept, and how many packets/s that is."""
    share, best = cpu * MOST_KEPT, None
    for _ in range(PROBES):
        run = drive(way, (seconds, 0), share=share)
        rate = kept(run, waiting=WAITING_ROWS * way.sample)
        part = rate / run.loads[0].rate
        say(f"  with {share:.1%} of a CPU: {millions(rate)}/s kept of {millions(run.loads[0].rate)}/s")
        if 0 < part <= MOST_KEPT and (best is None or rate > best[1]):
            best = share, rate
        if LEAST_KEPT <= part <= MOST_KEPT:
            break
        share = max(LEAST_SHARE, share * min(2.0, max(0.3, (LEAST_KEPT + MOST_KEPT) / 2 / max(part, 0.01))))
    return best or (share, rate)


def common_lines(what: str, run: Run) -> Iterator[Line]:
    total = sum(load.sent for load in run.loads)
    counts = f"{run.off():,} off of {total:,} sent" + (f" ({run.refused:,} of them refused by the sending device)" if run.refused else "")
    yield Line(f"{what}: packets and rows in sender, device, ledger and files", counts, "0 off", run.off() == 0)
    fine = run.confined and run.code == 0
    yield Line(f"{what}: ends", f"code {run.code}, {'no privilege' if run.confined else 'with privileges'}", "code 0, no privilege", fine)


def steady(name: str, way: Way, most: float, seconds: float) -> Iterator[Line]:
    run = drive(way, (seconds, SHARE * most))
    keep(run, f"{name}-steady")
    what, load = f"{name}, {SHARE:.0%} of the ceiling", run.loads[0]
    told = f"{millions(load.rate)}/s for {load.end - load.begin:,.0f} s, {load.rate / most:.1%} of the ceiling"
    yield Line(f"{what}: sent", told, f"{SHARE:.0%}", load.rate >= (SHARE - 0.01) * most)
    lost = dropped(run.packets) + way.sample * dropped(run.sink)
    yield Line(f"{what}: lost", f"{lost:,} packets", "0", lost == 0)
    yield from common_lines(what, run)
    yield from constant(what, run.samples, load.begin, load.end)
    yield Line(f"{what}: used", f"{run.cpu:.0%} of a CPU; everything else on the machine {run.others:.2f} of a CPU")


def overload(name: str, way: Way, cpu: float, seconds: float, probe: float) -> Iterator[Line]:
    share, least = limited(way, 3 * probe, cpu)  # for long enough that what waits in queues matters little
    run = drive(way, (seconds, 0), (CALM_S if seconds >= CALM_S else seconds, SHARE * least), share=share)
    keep(run, f"{name}-overload")
    what, (load, calm) = f"{name}, overload", run.loads
    rate = kept(run)
    times = load.rate / rate if rate else float("inf")
    told = f"{millions(load.rate)}/s for {load.end - load.begin:,.0f} s, {times:.1f} times the {millions(rate)}/s that it keeps"
    yield Line(f"{what}: sent", f"{told} with {share:.1%} of a CPU", f"{TIMES:.0f} times", rate > 0 and times >= TIMES)
    lost = dropped(run.packets) + way.sample * dropped(run.sink)
    yield Line(f"{what}: lost and told while it lasted", f"{run.lost():,} packets, {lost:,} in all", "equal", run.lost() == lost)
    yield from common_lines(what, run)
    yield from constant(what, run.samples, load.begin, load.end)
    told = f"{what}: back at {SHARE:.0%} of that ({millions(calm.rate)}/s), losses end"
    yield recovery(told, run.drops, calm.begin, calm.end, BACK_S)
    yield Line(f"{what}: used", f"everything else on the machine {run.others:.2f} of a CPU")


def keep(run: Run, name: str) -> None:
    """All that was sampled, for whoever wants to look closer."""
    (BUILD / f"load-{name}.json").write_text(json.dumps(asdict(replace(run, sums={})) | {"sums": [*run.sums.items()]}))


def measure(name: str, seconds: float, more: float, probe: float) -> Iterator[Line]:
    way = WAYS[name]
    yield Line(f"{name}, {way.told}", " ".join(["headwater", *command(way, "IF", "DIR")[1:]]))
    most, sent, cpu, runs = ceiling(way, probe)
    bound = "; no more could be sent" if most >= 0.99 * sent else f" of {millions(sent)}/s"
    yield Line(f"{name}: ceiling", f"{millions(most)} packets/s kept{bound}, {ROUNDS} runs of {probe:.0f} s, {cpu:.0%} of a CPU")
    off = sum(run.off() for run in runs)
    yield Line(f"{name}: ceiling, packets and rows in sender, device, ledger and files", f"{off:,} off", "0 off", off == 0)
    yield from steady(name, way, most, seconds)
    if way.too_much:
        yield from overload(name, way, cpu, more, probe)


def main(words: Sequence[str]) -> int:
    options = argparse.ArgumentParser(
        prog="python -m bench.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("ways", nargs="*", metavar="WAY", help=f"{' or '.join(WAYS)}; both unless given")
    options.add_argument("--seconds", type=float, default=3600, help="at 70 %% of the ceiling (3600)")
    options.add_argument("--overload", type=float, default=600, help="seconds at three times of what it can keep (600)")
    options.add_argument("--probe", type=float, default=20, help="seconds of each short measurement before (20)")
    chosen = options.parse_args(words)
    if unknown := set(chosen.ways) - set(WAYS):
        options.error(f"no way {', '.join(sorted(unknown))}; there are {', '.join(WAYS)}")
    common.build()
    common.settle()
    named = " ".join(chosen.ways or WAYS)
    print(
        f"bench.load {named} --seconds {chosen.seconds:g} --overload {chosen.overload:g}, {machine()}, {datetime.now(UTC):%Y-%m-%d}",
        flush=True,
    )
    missed = False
    for name in chosen.ways or WAYS:
        for line in measure(name, chosen.seconds, chosen.overload, chosen.probe):
            print(line, flush=True)
            missed = missed or line.met is False
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
