"""What is odd, as rows of the record `weird`: malformed packets, routing loops, addresses that change hands (native/weird.c)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.analysis.odd import Repeats, rows_of_packets
from headwater.records import ENUMS, PACKET, WEIRD, Batch
from headwater.records.layouts import WEIRD_ROW
from headwater.telemetry import Ledger

A_SECOND = 100  # rows of one name
IGNORED = ("unsolicited_SYN_response", "spontaneous_FIN", "spontaneous_RST", "FIN_after_reset")
"""What Zeek leaves out of its weird.log unless told otherwise (ACTION_IGNORE in scripts/base/frameworks/notice/weird.zeek)."""


def bits(names: Iterable[str]) -> tuple[int, int]:
    """Two words of 64 bits, in which each of these names has its own; protocols' names have none."""
    numbers = {name: number for number, name in ENUMS["hw_weird"].items()}
    every = sum(1 << numbers[name] for name in set(names) & numbers.keys())
    return every % 2**64, every >> 64


class Weirds:
    """Finds what is odd in the packets of one source.

    A row each is given to `a_second` packets of one name and second; the rest of that second share one, which has their number and no
    more. Those called as in `ignored` have none. The last `neighbors` addresses and `passages` packets are remembered, in 56 and 16 octets
    each. What is told again of the same ends says odd.Repeats. Not for several threads at once. Raises MemoryError.
    """

    reads_carriers = False

    def __init__(
        self, *, neighbors: int = 4096, passages: int = 65_536, a_second: int = A_SECOND, ignored: Iterable[str] = (), again_s: float = 0
    ) -> None:
        weirds = lib.hw_weirds_new(neighbors, passages, a_second, ffi.new("uint64_t[2]", bits(ignored)))
        if weirds == ffi.NULL:
            raise MemoryError(f"no memory for {neighbors} addresses and {passages} packets")
        self._weirds = ffi.gc(weirds, lib.hw_weirds_free)
        self._found = np.empty(lib.HW_WEIRDS_ROOM, WEIRD_ROW)
        self._into = ffi.cast("void *", self._found.ctypes.data)
        self._repeats = Repeats(again_s)
        self._done = ffi.new("size_t *")
        self._interfaces: Mapping[int, str] = {}

    def find(self, batch: Batch) -> Iterator[Batch]:
        """What a batch of packets shows. Numbers of interfaces mean what the batch says: with other names, all before is forgotten."""
        if batch.record is not PACKET:
            return
        if batch.interfaces is not self._interfaces:
            self._interfaces = batch.interfaces
            lib.hw_weirds_forget(self._weirds)
        rows, at = batch.rows, 0
        while at < len(rows):
            first = ffi.cast("char *", rows.ctypes.data) + at * rows.strides[0]
            yield from self._batch(lib.hw_weirds_add(self._weirds, first, rows.strides[0], len(rows) - at, self._into, self._done))
            at += self._done[0]

    def tick(self, now: int) -> Iterator[Batch]:  # noqa: ARG002 - an analysis
        """Nothing: packets tell the time."""
        yield from ()

    def account(self, ledger: Ledger) -> None:
        """Nothing: rows that share are counted in them."""

    def end(self) -> Iterator[Batch]:
        """What is left to be told when no more packets come."""
        yield from self._batch(lib.hw_weirds_end(self._weirds, self._into))
        if len(rest := self._repeats.rest()):
            yield Batch(WEIRD, rest, self._interfaces)

    def _batch(self, made: Any) -> Iterator[Batch]:
        if made and len(rows := self._repeats.new_of(rows_of_packets(self._found[:made]))):
            yield Batch(WEIRD, rows, self._interfaces)
