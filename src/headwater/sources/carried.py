"""What flows in the kernel's table carry: its ring, and the memory where programs look how much is wanted (bpf/flow_carry.h)."""

import mmap
from collections.abc import Iterator, Mapping

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import Unsupported
from headwater.kernel import libbpf
from headwater.records import CARRIED, Batch
from headwater.records.batch import Payloads

WANTS = np.dtype([("first", "<u8"), ("sides", "<u4", (2, 4))])
"""A struct hw_wants."""
MOST = 4096  # records that are borrowed at a time
KEEPERS = {"hw_tc_keep": "hw_tc_carry", "hw_xdp_keep": "hw_xdp_carry", "hw_xdp_consume_keep": "hw_xdp_consume_carry"}
FIRST = 2  # HW_FURTHER_carry


class Carried:
    """Payload of flows, `budget` octets of each side of one to begin with (WANT_ALL: all), through a ring of `ring_bytes` for all CPUs."""

    def __init__(self, budget: int, entries: int, ring_bytes: int) -> None:
        self.budget = budget
        self._entries = entries
        self._octets = ring_bytes
        self._heads = np.empty(MOST, CARRIED.dtype)
        self._each = ffi.new("struct hw_payload[]", MOST)
        self._position = ffi.new("uint64_t *")
        self._lengths = np.frombuffer(ffi.buffer(self._each), np.dtype([("at", "<u8"), ("length", "<u4"), ("unused", "<u4")]))["length"]
        self.octets = 0  # read
        self.wants = np.empty(0, WANTS)
        """Of each entry of the table, once it is open."""

    def entries(self) -> Mapping[str, int]:
        """How large the maps are."""
        return {"hw_carried_ring": self._octets, "hw_carried_frames": libbpf.possible_cpus(), "hw_flow_wants": self._entries}

    def open(self, loaded: libbpf.Object) -> None:
        """Raises Unsupported."""
        ring = loaded.map("hw_carried_ring")
        try:
            self._consumer = mmap.mmap(ring, mmap.PAGESIZE)
            self._data = mmap.mmap(ring, mmap.PAGESIZE + 2 * self._octets, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        except OSError:
            raise Unsupported("the ring for what flows carry", "kernel 5.8 or newer") from None
        self._consumer_address, self._producer_address = ffi.from_buffer(self._consumer), ffi.from_buffer(self._data)
        self._position[0] = lib.hw_ring_position(self._consumer_address)
        self.wants = libbpf.shared(loaded.map("hw_flow_wants"), WANTS, self._entries)

    def end(self) -> int:
        """Up to where there are records now."""
        return int(lib.hw_ring_end(self._producer_address))

    def read(self, end: int, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """What came before that; batches are good until the next is asked for."""
        while self._position[0] < end:
            count = lib.hw_ring_read(
                self._producer_address + mmap.PAGESIZE,
                self._octets - 1,
                self._position,
                end,
                CARRIED.dtype.itemsize,
                ffi.from_buffer(self._heads),
                self._each,
                MOST,
            )
            if not count:
                return
            self.octets += int(self._lengths[:count].sum())
            yield Batch(CARRIED, self._heads[:count], interfaces, borrowed=True, payloads=Payloads(self._each, self._data))
            lib.hw_ring_release(self._consumer_address, self._position[0])
