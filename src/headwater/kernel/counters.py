"""The programs' counters (hw_counts in bpf/tap.bpf.c): a set for each CPU and interface, in one of the few places where it is sought."""

from typing import Any

import numpy as np

from headwater.kernel import libbpf
from headwater.records.layouts import COUNTERS

OTHER = 0  # the place of packets of an interface that has none
PLACES, PROBES = 1024, 4  # HW_PLACES, HW_PROBES
TERMS = [name for name in COUNTERS.names or () if name not in ("ifindex", "starts_with_ip")]


def _places(ifindex: int) -> list[int]:
    """Where the programs look for an interface's (hw_counters_of)."""
    return [1 + (ifindex + probe) % (PLACES - 1) for probe in range(PROBES)]


class Counters:
    """By the map's file descriptor."""

    def __init__(self, map_fd: int) -> None:
        self._map = map_fd
        self._places: dict[int, int] = {}

    def open(self, ifindex: int, *, starts_with_ip: bool) -> bool:
        """Take a place for an interface, before its first packet; what it has counted before stays. False if there is none left."""
        taken = set(self._places.values())
        free = [place for place in _places(ifindex) if place not in taken]
        if ifindex in self._places or not free:
            return ifindex in self._places
        self._places[ifindex] = free[0]
        self._put(free[0], ifindex, starts_with_ip)
        return True

    def close(self, ifindex: int) -> None:
        """Give the place back; nothing counts for that interface any more."""
        if ifindex in self._places:
            self._put(self._places.pop(ifindex), 0, False)

    def of(self, ifindex: int) -> dict[str, Any]:
        """The counts of one interface, or of OTHER, over all CPUs."""
        each = np.zeros(libbpf.possible_cpus(), COUNTERS)
        if ifindex == OTHER or ifindex in self._places:
            libbpf.get(self._map, self._places.get(ifindex, OTHER), each)
        return {term: each[term].sum(axis=0) for term in TERMS}

    def _put(self, place: int, ifindex: int, starts_with_ip: bool) -> None:
        fresh = np.zeros(libbpf.possible_cpus(), COUNTERS)
        fresh["ifindex"], fresh["starts_with_ip"] = ifindex, starts_with_ip
        libbpf.put(self._map, place, fresh.tobytes())


def seen_of(map_fd: int, ifindex: int) -> int:
    """Packets of an interface that programs have counted into a map which nobody has open but us."""
    total = 0
    each = np.zeros(libbpf.possible_cpus(), COUNTERS)
    for place in [OTHER] if ifindex == OTHER else _places(ifindex):
        if libbpf.get(map_fd, place, each) and (ifindex == OTHER or each["ifindex"][0] == ifindex):
            total += int(each["seen"].sum())
    return total
