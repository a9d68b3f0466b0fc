"""Rows that user space has to look at before flows of the kernel's table have them, or instead (struct hw_deferred): parts of datagrams,
packets for whose flow there is no room, ICMP errors that came too early, and what is odd.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.kernel.control import Job
from headwater.kernel.ringbuf import PAYLOAD, OctetRing, payloads_of
from headwater.records import DEFERRED, PACKET, Batch
from headwater.records.layouts import ENUMS
from headwater.sources.carried import Carried

Rows = np.ndarray[Any, np.dtype[Any]]

MOST = 1 << 14  # rows of a ring at a time
DATAGRAMS = 4096  # in pieces, at a time
WHY = ENUMS["hw_deferred_why"]
_FRAME = next(value for value, name in WHY.items() if name == "frame")


class Deferred:
    """Reads those rows. `apart` is that of a struct hw_flow_settings. Frames that are whole go to `hand`, which returns whether the kernel
    tells of what they carry. With `weirds`, what is odd in parts of datagrams is told; with `carried`, rows come with their octets.
    """

    def __init__(self, apart: int, carried: Carried | None, hand: Callable[[bytes | bytearray, Job], int], *, weirds: bool) -> None:
        self._apart = apart
        self._carried = carried
        self._hand = hand
        self._weirds = weirds
        self._rings: list[OctetRing] = []
        self._begun: list[Rows] = []  # of each ring, what carries a packet that is not there yet
        self._frame = bytearray(lib.hw_frames_octets())
        self.looked_at = 0  # rows read
        self.begin()

    def begin(self) -> None:
        """As if no packet had come yet. Raises MemoryError."""
        self._frames = ffi.gc(lib.hw_frames_new(DATAGRAMS, self._apart), lib.hw_frames_free)
        if self._frames == ffi.NULL:
            raise MemoryError("no memory for datagrams in pieces")
        if self._carried:
            lib.hw_frames_keep(self._frames)

    def open(self, fd: int, octets: int) -> None:
        """With one ring more."""
        self._rings.append(OctetRing(fd, octets, DEFERRED, MOST))
        self._begun.append(np.empty(0, DEFERRED.dtype))

    def read(self, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """What has come, as far as the kernel does not get it back; batches are good until the next is asked for."""
        rows, each = self._ready()
        blamed: list[bytes] = []
        for begin, end in _runs(rows["why"]):
            part, carried, why = rows[begin:end], each[begin:end], WHY[int(rows["why"][begin])]
            if why == "blame":
                blamed += [row.tobytes() for row in part["row"]]
            elif why == "frame":
                yield from self.frames(part, interfaces, carried)
            elif why == "flow":
                payloads = payloads_of(self._carried.refused(part, carried)) if self._carried else None
                yield Batch(DEFERRED, part, interfaces, borrowed=True, deferred=why, payloads=payloads)
            else:
                yield Batch(PACKET, np.array(part["row"]), interfaces, deferred=why)
        self.looked_at += len(rows)
        for ring in self._rings:
            ring.release()
        for row in blamed:  # now that what they are about may be there
            self._hand(row, Job.blame)

    def frames(self, rows: Rows, interfaces: Mapping[int, str], each: Rows | None = None) -> Iterator[Batch]:
        """Whole frames with datagrams in pieces, `each` row's octets beside them: those datagrams that are whole go to the kernel's table.
        What is odd comes back.
        """
        ready, payload = ffi.new("int *"), ffi.new("struct hw_payload *")
        into = ffi.from_buffer(self._frame)
        at = 0
        while at < len(rows):
            first = ffi.cast("char *", rows.ctypes.data) + at * rows.itemsize
            carried = ffi.cast("struct hw_payload *", each.ctypes.data) + at if each is not None else ffi.NULL
            taken = lib.hw_frames_take(self._frames, first, carried, len(rows) - at, into, payload, ready)
            if not taken:
                break
            at += int(taken)
            if ready[0] and self._hand(self._frame, Job.frame) and self._carried:
                self._carried.keep(int(rows["row"]["ts"][at - 1]), ffi.buffer(payload.octets, payload.length)[:])
        if self._weirds and len(odd := rows[rows["odd"] != 0]):
            yield Batch(DEFERRED, odd, interfaces, deferred="frame")

    def _ready(self) -> tuple[Rows, Rows]:
        """Rows of all rings and what they carry, in the order of time, but those at a ring's end whose packet is not there yet."""
        parts = []
        for number, ring in enumerate(self._rings):
            rows, each = ring.read(ring.end())
            if len(begun := self._begun[number]):
                rows, each = np.concatenate([begun, rows], dtype=rows.dtype), np.concatenate([np.zeros(len(begun), PAYLOAD), each])
            carries = (rows["why"] == _FRAME) & (rows["row"]["segments"] == 0)
            done = 1 + int(np.flatnonzero(~carries)[-1]) if not carries.all() else 0
            self._begun[number] = rows[done:].copy()
            if done:
                parts.append((rows[:done], each[:done]))
        if len(parts) == 1:
            return parts[0]
        octets = f"V{DEFERRED.dtype.itemsize}"  # numpy copies structs field by field: 500 ns a row, and so 25
        rows = np.concatenate([np.empty(0, octets), *(rows.view(octets) for rows, _ in parts)])
        each = np.concatenate([np.empty(0, PAYLOAD), *(each for _, each in parts)])
        order = np.argsort(rows.view(DEFERRED.dtype)["row"]["ts"], kind="stable")
        return rows[order].view(DEFERRED.dtype), each[order]


def _runs(column: Rows) -> Iterator[tuple[int, int]]:
    """Where stretches of equal values begin and end."""
    places = [0, *(np.flatnonzero(np.diff(column)) + 1).tolist(), len(column)]
    yield from pairwise(places) if len(column) else ()
