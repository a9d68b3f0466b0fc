"""What servers do in a second, as the kernel counts it where it keeps flows (bpf/flow_seconds.h): rows of `server`."""

import time
from collections.abc import Iterator, Mapping

import numpy as np

from headwater._native import ffi, lib
from headwater.kernel import libbpf
from headwater.kernel.control import REST_S, Control
from headwater.records import SERVER, Batch

SECOND_NS = 1_000_000_000


class Seconds:
    """`most` servers have a row of their own in a second. Raises MemoryError."""

    maps = "hw_flow_seconds"

    def __init__(self, most: int) -> None:
        self._most = most
        self.slots = 1 << max(5, (most - 1).bit_length())
        """A CPU's, in each half."""
        self._seconds = ffi.gc(lib.hw_seconds_new(most), lib.hw_seconds_free)
        if self._seconds == ffi.NULL:
            raise MemoryError(f"no memory for {most} servers")
        self._rows = np.empty(most + 1, SERVER.dtype)
        self._begun = 0
        self._left: tuple[int, int, float] | None = None  # a half, of which second, since when nobody counts into it

    def entries(self) -> int:
        """How large the map is."""
        return 2 * libbpf.possible_cpus() * (self.slots + 1)

    def open(self, map_fd: int, control: Control) -> None:
        """Let the programs count."""
        self._control = control
        self._slots = libbpf.shared(map_fd, SERVER.dtype, self.entries()).reshape(2, libbpf.possible_cpus(), -1)
        control.count_servers(self.slots)

    def read(self, now: int, interfaces: Mapping[int, str]) -> Batch | None:
        """The rows of a second that is over; call it often."""
        if self._left and time.monotonic() - self._left[2] > REST_S:
            half, ts, _ = self._left
            self._left = None
            return self._take(half, ts, interfaces)
        if not self._left and now // SECOND_NS != self._begun // SECOND_NS:
            ts, self._begun = self._begun, now
            if ts:
                self._left = self._control.next_half(now), ts // SECOND_NS * SECOND_NS, time.monotonic()
        return None

    def end(self, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """What is left, once nothing is counted any more; each is good until the next is asked for."""
        if self._left:
            yield self._take(self._left[0], self._left[1], interfaces)
        self._left = None
        ts, self._begun = self._begun, 0
        yield self._take(self._control.next_half(-1), ts // SECOND_NS * SECOND_NS, interfaces)

    def _take(self, half: int, ts: int, interfaces: Mapping[int, str]) -> Batch:
        for slots in self._slots[half]:
            lib.hw_seconds_take(self._seconds, ffi.cast("void *", slots.ctypes.data), len(slots))
        count = int(lib.hw_seconds_put(self._seconds, ts, ffi.cast("void *", self._rows.ctypes.data)))
        return Batch(SERVER, self._rows[:count], interfaces, borrowed=True)
