"""What a long run under load shows: whether memory, descriptors and threads stay as they are, and when losses end; a line for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

SETTLING = 0.1  # of the time, from the beginning, which says nothing: caches fill, files open
MOST_GROWTH = 0.01  # of resident memory, within an hour or the whole time if that is shorter
HOUR_S = 3600.0
_MOST_POINTS = 1000  # of which every pair is looked at


@dataclass(frozen=True)
class Sample:
    """A process at a moment."""

    at: float  # Unix time
    process: str
    resident: int  # octets
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Line:
    """One thing that was measured. `met` is None where nothing was promised."""

    what: str
    measured: str
    promised: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "told"}[self.met]
        return f"{verdict:<6} {self.what}: {self.measured}{f' (promised: {self.promised})' if self.promised else ''}"


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Values a second: the median of the slopes of all pairs (Theil and Sen), which a few wild samples do not move; 0 of one sample."""
    step = -(-len(times) // _MOST_POINTS) or 1
    x, y = np.asarray(times, float)[::step], np.asarray(values, float)[::step]
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    slopes = (y[second] - y[first])[apart > 0] / apart[apart > 0]
    return float(np.median(slopes)) if len(slopes) else 0.0


def settled(samples: Iterable[Sample], begin: float, end: float) -> list[Sample]:
    """Those of [begin, end] without its first tenth."""
    return [one for one in samples if begin + SETTLING * (end - begin) <= one.at <= end]


def by_process(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """In order of their first appearance."""
    found: dict[str, list[Sample]] = {}
    for one in samples:
        found.setdefault(one.process, []).append(one)
    return found


def memory(what: str, samples: Sequence[Sample], seconds: float) -> Line:
    """Of one process, settled, in a time of `seconds`."""
    sizes = [one.resident for one in samples]
    per_hour = slope([one.at for one in samples], sizes) * HOUR_S / median(sizes)
    grown = per_hour * min(seconds, HOUR_S) / HOUR_S
    told = f"{median(sizes) / (1 << 20):.1f} MiB ({min(sizes) / (1 << 20):.1f} to {max(sizes) / (1 << 20):.1f}), "
    told += f"{per_hour:+.2%} an hour" + ("" if seconds >= HOUR_S else f", {grown:+.2%} in {seconds:.0f} s")
    return Line(f"{what}, resident memory", told, f"grows by less than {MOST_GROWTH:.0%}", grown < MOST_GROWTH)


def level(what: str, samples: Sequence[Sample], kind: str) -> Line:
    """Of one process: as many descriptors or threads (`kind`) in the last fifth of the samples as in the first. What is open for a moment
    only, as a file in the making, does not count.
    """
    counts = [getattr(one, kind) for one in samples]
    fifth = max(1, len(counts) // 5)
    before, after = median(counts[:fifth]), median(counts[-fifth:])
    told = f"{before:g} at first, {after:g} at last ({min(counts)} to {max(counts)} within)"
    return Line(f"{what}, {kind}", told, "flat", after <= before)


def constant(what: str, samples: Iterable[Sample], begin: float, end: float) -> list[Line]:
    """Memory, descriptors and threads of each process between two times; MISSED for one that was not there to the last."""
    lines = []
    last = [one.at for one in samples if one.at <= end]
    for process, those in by_process(settled(samples, begin, end)).items():
        name = f"{what}: {process}"
        lines += [memory(name, those, end - begin), level(name, those, "descriptors"), level(name, those, "threads")]
        if those[-1].at < max(last):
            lines.append(Line(name, "ended before the others", "lives to the end", met=False))
    return lines or [Line(what, "no process was seen alive", "lives to the end", met=False)]


def recovery(what: str, drops: Iterable[tuple[float, int]], begin: float, end: float, promised: float) -> Line:
    """When the last packet or row of (time, number) in [begin, end] was lost. The ledger tells once a second: times are ends of seconds."""
    late = [(at - begin, count) for at, count in drops if begin < at <= end and count]
    if end - begin <= promised:
        return Line(what, f"{end - begin:.0f} s are too short to tell", f"after {promised:.0f} s at most", met=False)
    if not late:
        return Line(what, "nothing was lost any more", f"after {promised:.0f} s at most", met=True)
    last = max(at for at, _ in late)
    told = f"the last is told after {last:.1f} s, {sum(count for _, count in late):,} in all"
    return Line(what, told, f"after {promised:.0f} s at most", last <= promised)
