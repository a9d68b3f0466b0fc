"""What a tap's programs counted (kernel/counters.py), under the name that an interface had while they did."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from headwater.kernel.counters import OTHER, Counters
from headwater.kernel.tail import Mark
from headwater.records import Drop
from headwater.records.layouts import place_reason
from headwater.telemetry import KERNEL_FATES, Entry

RETIRE_S = 1.0  # after which no program can still be counting for an interface that is gone


class Accounts:
    """One interface after the other may have a number, a name or both; what was counted stays with the name that it had then."""

    def __init__(self) -> None:
        self._counters: Counters
        self._live: dict[int, str] = {}
        self._gone: dict[int, tuple[str, float]] = {}  # since when: its counters are still in the kernel
        self._retired: dict[str, dict[str, Any]] = {}  # counts by name of entries taken out of the kernel, or of another name now
        self._settled: dict[int, dict[str, Any]] = {}  # the latter's, which their entry still holds
        self._missed: dict[Drop, Counter[str]] = {Drop["nic__not_attached"]: Counter(), Drop["crash_tail__killed"]: Counter()}
        self.marks: dict[int, Mark] = {}
        """What entries() has told, by interface number."""

    def open(self, map_fd: int) -> None:
        """With the map in which the programs count."""
        self._counters = Counters(map_fd)

    def prepare(self, index: int, *, starts_with_ip: bool) -> None:
        """Before a program is attached. Where no place is left, its packets are counted as `other`, and read as Ethernet."""
        self._counters.open(index, starts_with_ip=starts_with_ip)

    def begin(self, index: int, name: str) -> None:
        """Its packets are counted from now on, or again."""
        before, _ = self._gone.pop(index, (name, 0))
        if before != name:
            self._settle(index, before)
        self._live[index] = name

    def rename(self, index: int, name: str) -> None:
        """What comes from now on is of the new name."""
        self._settle(index, self._live[index])
        self._live[index] = name

    def leave(self, index: int) -> None:
        """It is gone."""
        self._gone[index] = self._live.pop(index), time.monotonic()

    def miss(self, name: str, packets: int) -> None:
        """It carried so many before it was listened on."""
        self._missed[Drop["nic__not_attached"]][name] += packets

    def crashed(self, packets: Mapping[str, int]) -> None:
        """A run before had seen so many, by interface, and was killed before it told."""
        self._missed[Drop["crash_tail__killed"]].update(packets)

    def rows(self) -> int:
        """How many rows there are: of packets, and of what carries them."""
        return sum(int(counts["as_row"] + counts["also_rows"] + counts["carriers"]) for _, _, counts in self._each())

    def deferred(self) -> int:
        """How many rows there are that only analyses see."""
        return sum(int(counts["deferred_rows"]) for _, _, counts in self._each())

    def entries(self, reader: str, rows_read: int, *, ended: bool) -> dict[Entry, int]:
        """For the ledger. While packets come, `seen` is of those whose fate is known; when all has `ended` it is the programs' own."""
        totals: Counter[Entry] = Counter()
        marks: dict[int, Mark] = {}
        made = lost = 0
        for index, name, counts in self._each():
            dropped = {place_reason(drop): int(number) for drop, number in enumerate(counts["dropped"]) if number}
            known = sum(int(counts[term]) for term in KERNEL_FATES) + sum(dropped.values())
            totals[Entry("packets", name, "seen")] += int(counts["seen"]) if ended else known
            if index is not None:
                marks[index] = Mark(name, known + int(self._settled.get(index, {}).get("seen", 0)))
            for term in (*KERNEL_FATES, "octets", "segments", "consumed"):
                totals[Entry("packets", name, term)] += int(counts[term])
            for (place, reason), number in dropped.items():
                totals[Entry("packets", name, "dropped", place, reason)] += number
                lost += number if place == "ringbuf" else 0
            lost += int(counts["also_lost"])
            made += int(counts["as_row"] + counts["also_rows"] + counts["carriers"])
        for drop, missed in self._missed.items():
            for name, number in missed.items():
                totals[Entry("packets", name, "seen")] += number
                totals[Entry("packets", name, "dropped", *place_reason(drop))] += number
        self.marks = marks
        totals[Entry("records", reader, "made")] = made + lost
        totals[Entry("records", reader, "acked")] = rows_read
        totals[Entry("records", reader, "queued")] = made - rows_read
        totals[Entry("records", reader, "dropped", "ringbuf", "full")] = lost
        return dict(totals)  # a Counter would leave out what is 0 where it is put together with another

    def _each(self) -> list[tuple[int | None, str, dict[str, Any]]]:
        """(number, interface, counts) for each name that there ever was; the number while it is counted."""
        for index in [index for index, (_, since) in self._gone.items() if time.monotonic() - since > RETIRE_S]:
            self._settle(index, self._gone.pop(index)[0])
            self._counters.close(index)
            del self._settled[index]
        live = {OTHER: "other"} | self._live | {index: name for index, (name, _) in self._gone.items()}
        retired = [(None, name, counts) for name, counts in self._retired.items()]
        return [*retired, *((index, name, self._counted(index)) for index, name in live.items())]

    def _settle(self, index: int, name: str) -> None:
        """What the entry counted until now stays with `name`; a packet that is on its way just now goes with what comes after."""
        counts = self._counted(index)
        counts["seen"] = sum(counts[term] for term in KERNEL_FATES) + counts["dropped"].sum()
        self._retired[name] = _sum(self._retired.get(name, {}), counts)
        self._settled[index] = _sum(self._settled.get(index, {}), counts)

    def _counted(self, index: int) -> dict[str, Any]:
        """The counts of one interface over all CPUs, less those that stay with a name it had before."""
        settled = self._settled.get(index, {})
        return {term: count - settled.get(term, 0) for term, count in self._counters.of(index).items()}


def _sum(some: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {term: some.get(term, 0) + count for term, count in more.items()}
