"""The packet sockets of one interface, each with a ring that it shares with the kernel (native/af_packet.c)."""

import errno
import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import KernelError, Unsupported
from headwater.interfaces import PacketWriter
from headwater.kernel.interfaces import Interface
from headwater.kernel.spare import SpareSockets
from headwater.records.batch import Payloads
from headwater.records.rollup import Rollup
from headwater.telemetry import FATES

HOLD_NS = 40_000_000
"""After which the kernel has handed over what came before: 20 ms (RETIRE_MS), its own timer's tick, and something for a busy machine."""


class PacketRings:
    """The rings of one interface, `fanout` of them. `counts` are as of the last call of count(), since the interface has had this name."""

    def __init__(
        self,
        interface: Interface,
        sockets: SpareSockets,
        ring_bytes: int,
        fanout: int,
        *,
        promiscuous: bool,
        whole: bool,
        carriers: bool,
    ) -> None:
        self.interface = interface
        self._sockets = sockets
        self._rings: list[Any] = []
        try:
            # loopback shows each packet twice; what arrives is all there is, and only a ring alone can choose it
            for _ in range(1 if interface.loopback else fanout):
                self._open(ring_bytes, promiscuous=promiscuous)
            for ring in self._rings if len(self._rings) > 1 else ():
                first = self._rings[0] if ring != self._rings[0] else ffi.NULL
                self._expect(lib.hw_af_packet_join(ring, first) == 0, ring_bytes)
            for ring in self._rings:
                if carriers:
                    lib.hw_af_packet_carry(ring)
                lib.hw_af_packet_mtu(ring, interface.mtu)
                self._expect(lib.hw_af_packet_start(ring, whole) == 0, ring_bytes)
        except BaseException:
            self.close()
            raise
        self.fds = [int(lib.hw_af_packet_fd(ring)) for ring in self._rings]
        self._counts = ffi.new("struct hw_af_packet_counts *")
        self._before: Counter[str] = Counter()

    def _open(self, ring_bytes: int, *, promiscuous: bool) -> None:
        one, ip = self.interface, not self.interface.starts_with_ethernet
        ring = lib.hw_af_packet_open(self._sockets.take(), one.index, ip, ring_bytes, one.loopback, promiscuous and not self._rings)
        self._expect(ring != ffi.NULL, ring_bytes)
        self._rings.append(ring)

    def _expect(self, done: bool, ring_bytes: int) -> None:
        if not done:
            _refuse(ffi.errno, self.interface.name, ring_bytes)

    def of(self, place: int) -> list[Any]:
        """Its ring of that place, if it has so many."""
        return self._rings[place : place + 1]

    def choose(self, terms: np.ndarray[Any, np.dtype[Any]], below: int, *, rates_only: bool) -> None:
        """Which packets become rows: Filter.terms() and sample_below(), or none. Not while read() runs."""
        for ring in self._rings:
            lib.hw_af_packet_choose(ring, ffi.from_buffer(terms), below, rates_only)

    def write(self, packets: PacketWriter, number: int) -> None:
        """Put the packets that become rows there too, as those of its interface `number`. Not while read() runs."""
        for ring in self._rings:
            lib.hw_af_packet_write(ring, packets.memory, number)

    def bound(self) -> bool:
        """Whether packets can still come."""
        return all(lib.hw_af_packet_bound(ring) for ring in self._rings)

    def stop(self) -> None:
        """Take nothing more from the kernel; what the ring holds can still be read."""
        for ring in self._rings:
            lib.hw_af_packet_stop(ring)

    def count(self) -> Counter[str]:
        """seen, as_row, filtered, sampled_out, octets, segments, ring_full since the interface has had this name."""
        return self._total() - self._before

    def rename(self, interface: Interface) -> Counter[str]:
        """From now on it is called otherwise, or has another MTU. Returns what the old name has counted, unread packets left to the new."""
        counts = Counter[str]()
        if interface.name != self.interface.name:
            counts = self.count()
            counts["seen"] = sum(counts[term] for term in FATES) + counts["ring_full"]
            self._before += counts
        self.interface = interface
        for ring in self._rings:
            lib.hw_af_packet_mtu(ring, interface.mtu)
        return counts

    def close(self) -> None:
        """Give the rings back, and the sockets to those that are kept, if they can serve again."""
        while self._rings:
            socket = lib.hw_af_packet_give_back(self._rings.pop())
            if socket >= 0:
                self._sockets.put_back(socket)

    def _total(self) -> Counter[str]:
        total = Counter[str]()
        for ring in self._rings:
            lib.hw_af_packet_counts_of(ring, self._counts)
            total.update({name: int(getattr(self._counts, name)) for name in ("seen", *FATES, "octets", "segments", "ring_full")})
        return total


def read(
    each: Sequence[PacketRings], place: int, rows: np.ndarray[Any, np.dtype[Any]], rates: Rollup, payloads: Payloads | None = None
) -> int:
    """Fill `rows` with what has arrived in the rings of that place, in the order of time, and `payloads` with what it carries; how many
    there are. `rates` counts every packet, kept or not. Of several rings, what came in the last HOLD_NS waits.
    """
    rings = [ring for one in each for ring in one.of(place)]
    room = ffi.new("struct hw_af_packet_room *")
    room.rows, room.stride, room.capacity = ffi.cast("void *", rows.ctypes.data), rows.dtype.itemsize, len(rows)
    if payloads:
        room.payloads, room.octets, room.octet_room = payloads.each, ffi.cast("uint8_t *", payloads.octets), len(payloads.octets)
    until = time.time_ns() - HOLD_NS if len(rings) > 1 else 2**64 - 1
    return int(lib.hw_af_packet_read(ffi.new("struct hw_af_packet *[]", rings), len(rings), until, room, rates.table))


def unread(counts: Counter[str]) -> int:
    """Packets that a ring still holds, or did when it was closed."""
    return counts["seen"] - sum(counts[term] for term in FATES) - counts["ring_full"]


def _refuse(failed: int, name: str, ring_bytes: int) -> None:
    match failed:
        case errno.ENOMEM:
            raise KernelError(f"no memory for a ring of {ring_bytes:,} octets on {name}: make ring_bytes smaller")
        case errno.ENODEV | errno.ENXIO:
            raise KernelError(f"{name} is gone")
        case errno.EAFNOSUPPORT:
            raise Unsupported("a packet socket", "a kernel with CONFIG_PACKET")
        case errno.ENOPROTOOPT:
            raise Unsupported("leaving out loopback's second sight", "kernel 4.20 or newer")
    raise KernelError(f"a packet socket on {name} was refused ({os.strerror(failed)}): see `headwater doctor`")
