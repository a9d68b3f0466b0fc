"""Packets and octets by group, a second at a time: the rates and the talkers of the live view. The counting is C (native/rollup.c)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from headwater._native import ffi, lib
from headwater.records.batch import Batch
from headwater.records.layouts import RATE

TALKER = np.dtype([("addr", "V16"), ("packets", "<u8"), ("octets", "<u8")])
"""struct hw_talker: what one source address sent."""


class Rollup:
    """Counts rows of packets until take() hands out the sums.

    At most `groups` interface-direction-protocol-port groups and as many addresses are kept apart, in 64 octets each; a rate without
    any column is what found no room. Not for several threads at once. Raises MemoryError.
    """

    def __init__(self, groups: int = 65_536) -> None:
        table = lib.hw_rollup_new(groups)
        if table == ffi.NULL:
            raise MemoryError(f"no memory for {groups} groups")
        self._table = ffi.gc(table, lib.hw_rollup_free)
        self._groups = groups
        self._rates = np.empty(groups + 1, dtype=RATE.dtype)
        self._talkers = np.empty(groups + 1, dtype=TALKER)
        self._interfaces: Mapping[int, str] = {}

    @property
    def table(self) -> Any:
        """For native code that counts by itself: struct hw_rollup."""
        return self._table

    def add(self, batch: Batch, *, rates: bool = True, talkers: bool = True) -> Self:
        """Count the rows of a batch of packets, for the one, the other or both."""
        rows = batch.rows
        if len(rows):
            self._interfaces = batch.interfaces
            lib.hw_rollup_add(self._table, _pointer(rows), rows.strides[0], len(rows), rates, talkers)
        return self

    def take_slots(self, slots: np.ndarray[Any, np.dtype[Any]], interfaces: Mapping[int, str]) -> None:
        """Count what the kernel did (struct hw_rate_slot), and empty it. No program may be writing to it any more."""
        self._interfaces = interfaces
        lib.hw_rollup_take_slots(self._table, _pointer(slots), len(slots))

    def take(self, ts: int) -> tuple[Batch, np.ndarray[Any, np.dtype[Any]]]:
        """The sums since the last call, and a new beginning: rates (with `ts` as their second) and talkers (TALKER), in no order.

        Talkers that found no room are not among them: rates have their packets.
        """
        rates = lib.hw_rollup_take_rates(self._table, _pointer(self._rates), ts)
        talkers = lib.hw_rollup_take_talkers(self._table, ffi.cast("struct hw_talker *", self._talkers.ctypes.data))
        return Batch(RATE, self._rates[:rates].copy(), self._interfaces), self._talkers[: min(talkers, self._groups)].copy()


def _pointer(rows: np.ndarray[Any, np.dtype[Any]]) -> Any:
    return ffi.cast("void *", rows.ctypes.data)  # __array_interface__ would describe every field first: 47 µs
