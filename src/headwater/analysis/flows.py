"""Flows of packets that reach user space, as rows of the record `conn` when they end (native/flows.c, bpf/flow.h)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.records import CONN, Batch


class Flows:
    """The flows of one source. `secret`, 16 octets, is what their uids are made with: the same secret and times give the same uids.

    Not for several threads at once. Raises MemoryError.
    """

    def __init__(self, secret: bytes) -> None:
        flows = lib.hw_flows_new(ffi.from_buffer("uint64_t[]", secret))
        if flows == ffi.NULL:
            raise MemoryError("no memory for flows")
        self._flows = ffi.gc(flows, lib.hw_flows_free)
        self._found = np.empty(lib.HW_CONNS_ROOM, CONN.dtype)
        self._into = ffi.cast("void *", self._found.ctypes.data)
        self._done = ffi.new("size_t *")
        self._interfaces: Mapping[int, str] = {}

    def __len__(self) -> int:
        return int(lib.hw_flows_count(self._flows))

    def find(self, batch: Batch) -> Iterator[Batch]:
        """Take packets; those flows come out that have ended by then."""
        self._interfaces = batch.interfaces
        rows, at = batch.rows, 0
        while at < len(rows):
            first = ffi.cast("char *", rows.ctypes.data) + at * rows.strides[0]
            yield from self._batch(lib.hw_flows_add(self._flows, first, rows.strides[0], len(rows) - at, self._into, self._done))
            at += self._done[0]

    def tick(self, now: int) -> Iterator[Batch]:
        """Flows that have been silent too long at that time (nanoseconds), where no packet tells the time."""
        while made := lib.hw_flows_expire(self._flows, now, self._into):
            yield from self._batch(made)

    def end(self) -> Iterator[Batch]:
        """All that are left."""
        while made := lib.hw_flows_end(self._flows, self._into):
            yield from self._batch(made)

    def _batch(self, made: Any) -> Iterator[Batch]:
        if made:
            yield Batch(CONN, self._found[:made], self._interfaces, borrowed=True)
