"""A BPF ring buffer mapped into Python and read as a numpy array, without a copy.

Layout: kernel/bpf/ringbuf.c. The consumer's position is a page that we may write; behind it the producer's position, then the data
twice in a row, so that a run of records never wraps. Each record has 8 octets before it.
"""

import mmap
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.records import Batch, Record
from headwater.records.batch import Payloads, joined

HEADER = 8
PAYLOAD = np.dtype([("at", "<u8"), ("length", "<u4"), ("frame", "<u4")])
"""A struct hw_payload."""


class Ring:
    """The records of one ring, all of `record`'s size rounded up to 8. `fd` is the ring's map; it is not closed here."""

    def __init__(self, fd: int, octets: int, record: Record) -> None:
        self._record = record
        self._slot = HEADER + (record.dtype.itemsize + 7) // 8 * 8
        self._mask = octets - 1
        self._none = np.empty(0, record.dtype)
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE)
        self._data = mmap.mmap(fd, mmap.PAGESIZE + 2 * octets, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._consumer_address = ffi.from_buffer(self._consumer)
        self._producer_address = ffi.from_buffer(self._data)
        self._data_address = self._producer_address + mmap.PAGESIZE
        self._position = int(lib.hw_ring_position(self._consumer_address))

    def borrow(self, most: int) -> np.ndarray[Any, np.dtype[Any]]:
        """Up to `most` rows in the ring's own memory, good until release(). Records that a program is still writing end it."""
        ready = lib.hw_ring_ready(self._producer_address, self._data_address, self._mask, self._position, self._slot, most)
        if not ready:
            return self._none  # a quiet line asks fifty times a second
        start = mmap.PAGESIZE + (self._position & self._mask) + HEADER
        return np.ndarray((ready,), self._record.dtype, self._data, start, (self._slot,))

    def release(self, rows: int) -> None:
        """Give `rows` borrowed rows back to the kernel, oldest first."""
        self._position += rows * self._slot
        lib.hw_ring_release(self._consumer_address, self._position)


class OctetRing:
    """The records of one ring, each with a head of `record`'s size and any number of octets behind it; `most` of them at a time. `fd` as
    in Ring.
    """

    def __init__(self, fd: int, octets: int, record: Record, most: int) -> None:
        self._mask = octets - 1
        self._heads = np.empty(most, record.dtype)
        self._each = np.empty(most, PAYLOAD)
        self._consumer = mmap.mmap(fd, mmap.PAGESIZE)
        self._data = mmap.mmap(fd, mmap.PAGESIZE + 2 * octets, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
        self._consumer_address, self._producer_address = ffi.from_buffer(self._consumer), ffi.from_buffer(self._data)
        self._position = ffi.new("uint64_t *", lib.hw_ring_position(self._consumer_address))

    def end(self) -> int:
        """Up to where there are records now."""
        return int(lib.hw_ring_end(self._producer_address))

    def read(self, end: int) -> tuple[np.ndarray[Any, np.dtype[Any]], np.ndarray[Any, np.dtype[Any]]]:
        """What came before that: heads, good until the next call, and the octets behind each (PAYLOAD), good until release()."""
        data, size = self._producer_address + mmap.PAGESIZE, self._heads.itemsize
        heads, each = (ffi.cast("void *", made.ctypes.data) for made in (self._heads, self._each))
        count = lib.hw_ring_read(
            data, self._mask, self._position, end, size, heads, ffi.cast("struct hw_payload *", each), len(self._heads)
        )
        return self._heads[:count], self._each[:count]

    def release(self) -> None:
        """Give what was read back to the kernel."""
        lib.hw_ring_release(self._consumer_address, self._position[0])


def payloads_of(each: np.ndarray[Any, np.dtype[Any]]) -> Payloads:
    """What rows carry, for a batch."""
    return Payloads(ffi.cast("struct hw_payload *", each.ctypes.data), each)


def merge(record: Record, parts: list[np.ndarray[Any, np.dtype[Any]]], interfaces: dict[int, str]) -> Batch:
    """The rows of several CPUs' rings in the order of time, in memory of their own; those of one time as they were."""
    (batch,) = joined([Batch(record, part, interfaces) for part in parts])
    return batch.where(np.argsort(batch.rows["ts"], kind="stable"))
