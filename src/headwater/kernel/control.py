"""What the running programs are told: the clock's offset, the filter, the sampling (struct hw_control in bpf/records.h)."""

import threading
import time
from enum import IntEnum
from typing import Any

import numpy as np

from headwater.kernel.libbpf import shared
from headwater.records.layouts import CONTROL, FilterOf

REST_S = 0.02
"""After which no program that began before can still be reading: the filter that is not in force may be written."""


class Job(IntEnum):
    """What the program hw_flows does when it is run (enum hw_flow_job in bpf/flow_job.h)."""

    expire = 0
    report = 1
    end = 2
    frame = 3
    blame = 4


class Control:
    """The memory that a loaded object shares with us, by the map of its data section."""

    def __init__(self, map_fd: int) -> None:
        self._shared = shared(map_fd, CONTROL)
        self._changed_at = 0.0
        self._lock = threading.Lock()

    @property
    def utc_offset(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Nanoseconds, one element, to be written to."""
        return self._shared["utc_offset"]

    def set_filter(self, terms: np.ndarray[Any, np.dtype[Any]], of: FilterOf = FilterOf["packets"]) -> None:
        """Put a filter (Filter.terms) in force. A program that runs just now ends with the one it began with."""
        with self._lock:
            time.sleep(max(0.0, self._changed_at + REST_S - time.monotonic()))
            self._shared["filters"][0, of, self.next_place(of)] = terms[0]
            self._shared["filter"] ^= 1 << of
            self._changed_at = time.monotonic()

    def next_place(self, of: FilterOf) -> int:
        """Which of its two places the next filter is put in."""
        return ~int(self._shared["filter"][0]) >> of & 1

    def beat(self) -> None:
        """Somebody reads: programs that outlive their process idle when this is 5 s ago (HW_HEARTBEAT_OLD)."""
        self._shared["heartbeat"] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def begin(self, cpus: int, *, carriers: bool) -> None:
        """What does not change while programs run: the CPUs that hw_rates has room for, and whether carriers become rows."""
        self._shared["cpus"] = cpus
        self._shared["carries"] = carriers

    def choose(self, *, rows: bool, flows: bool, carries: bool = False) -> None:
        """From the next packet on, they become rows or not, go to their flows or not, and what they carry to user space or not."""
        self._shared["rates_only"] = not rows
        self._shared["flows"]["keeps"] = flows
        self._shared["flows"]["carries"] = carries

    def next_second(self) -> int:
        """Let the programs count rates into the other half. The half that they counted into until now; after REST_S none writes to it."""
        half = int(self._shared["second"][0])
        self._shared["second"] = 1 - half
        return half

    def set_sampling(self, below: int) -> None:
        """See sample_below()."""
        self._shared["sample_below"] = below

    def keep_flows(self, salt: bytes, buckets: int, settings: np.ndarray[Any, np.dtype[Any]], *, known: bool) -> None:
        """How flows are kept, once they are (choose()): in so many buckets, as a struct hw_flow_settings says."""
        flows = self._shared["flows"]
        flows["salt"] = np.frombuffer(salt, "<u8")
        flows["settings"] = settings
        flows["weirds"] = settings["weirds_a_second"] > 0
        flows["known"] = known
        flows["buckets"] = buckets

    def count_servers(self, slots: int) -> None:
        """What they do in a second, in so many slots a CPU."""
        self._shared["flows"]["servers"] = slots

    def carry(self, budget: int) -> None:
        """So many octets of each side of a flow, to begin with."""
        self._shared["flows"]["budget"] = budget

    def next_half(self, now: int) -> int:
        """As next_second(), of these; the other half begins after that time."""
        half = int(self._shared["flows"]["half"][0])
        self._shared["flows"]["half_at"] = now + 1
        self._shared["flows"]["half"] = 1 - half
        return half

    def overlap(self) -> None:
        """From now on a packet may be seen at several places."""
        self._shared["flows"]["overlap"] = 1

    def ask(self, job: Job, why: int = 0, *, now: int = 0, at: int = 0, count: int = 0) -> None:
        """What hw_flows is to do when it is run next: with `count` buckets from `at` on, at that time."""
        flows = self._shared["flows"]
        flows["job"], flows["why"], flows["now"], flows["at"], flows["count"] = job, why, now, at, count

    @property
    def reached(self) -> int:
        """Where it has stopped: the first bucket that it has not done."""
        return int(self._shared["flows"]["at"][0])
