"""What flows in the kernel's table carry: its ring, and the memory where programs look how much is wanted (bpf/flow_carry.h)."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from headwater._native import ffi
from headwater.errors import Unsupported
from headwater.kernel import libbpf
from headwater.kernel.ringbuf import OctetRing, payloads_of
from headwater.records import CARRIED, Batch

Rows = np.ndarray[Any, np.dtype[Any]]

WANTS = np.dtype([("first", "<u8"), ("sides", "<u4", (2, 4))])
"""A struct hw_wants."""
MOST = 4096  # records that are borrowed at a time
KEEPERS = {"hw_tc_keep": "hw_tc_carry", "hw_xdp_keep": "hw_xdp_carry", "hw_xdp_consume_keep": "hw_xdp_consume_carry"}
FIRST = 2  # HW_FURTHER_carry


class Carried:
    """Payload of flows, `budget` octets of each side of one to begin with (WANT_ALL: all), through a ring of `ring_bytes` for all CPUs.
    `head` is a struct hw_carried.
    """

    def __init__(self, budget: int, entries: int, ring_bytes: int, head: np.dtype[Any]) -> None:
        self.budget = budget
        self._entries = entries
        self._ring_bytes = ring_bytes
        self._head = head
        self._kept: dict[int, bytes] = {}  # by the time of the packet
        self._lent: list[bytes] = []  # to a batch
        self.octets = 0  # read
        self.wants = np.empty(0, WANTS)
        """Of each entry of the table, once it is open."""

    def entries(self) -> Mapping[str, int]:
        """How large the maps are."""
        return {"hw_carried_ring": self._ring_bytes, "hw_carried_frames": libbpf.possible_cpus() + 1, "hw_flow_wants": self._entries}

    def open(self, loaded: libbpf.Object) -> None:
        """Raises Unsupported."""
        try:
            self._ring = OctetRing(loaded.map("hw_carried_ring"), self._ring_bytes, CARRIED, MOST)
        except OSError:
            raise Unsupported("the ring for what flows carry", "kernel 5.8 or newer") from None
        self.wants = libbpf.shared(loaded.map("hw_flow_wants"), WANTS, self._entries)

    def end(self) -> int:
        """Up to where there are records now."""
        return self._ring.end()

    def read(self, end: int, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """What came before that; batches are good until the next is asked for."""
        while True:
            heads, each = self._ring.read(end)
            if not len(heads):
                return
            told = heads.view(self._head)
            late = self._complete(each, told["ts"], told["given"] > 0, told["skipped"], told["given"])
            if len(late):
                order = _in_time(told, late)
                heads, each = heads[order], each[order]
            yield Batch(CARRIED, heads, interfaces, borrowed=True, payloads=payloads_of(each))
            self._ring.release()

    def keep(self, ts: int, octets: bytes) -> None:
        """The packet of that time, which was in pieces, carries this: the kernel will tell of it without."""
        self._kept[ts] = octets

    def refused(self, rows: Rows, each: Rows) -> Rows:
        """What packets carry for whose flow there is no room (rows of DEFERRED): `each`, and of those that were in pieces what was kept."""
        packets = rows["row"]
        self._complete(each, packets["ts"], rows["is_late"] != 0, np.zeros(len(rows), np.int64), packets["payload_length"])
        return each

    def _complete(self, each: Rows, ts: Rows, told: Rows, skipped: Rows, given: Rows) -> Rows:
        """Where octets are told of that are not there, they were kept. Returns where that is."""
        self._lent.clear()
        late = np.flatnonzero(told & (each["length"] == 0)) if self._kept else np.empty(0, np.intp)
        for at in late.tolist():
            octets = self._kept.pop(int(ts[at]), b"")[int(skipped[at]) :][: int(given[at])]
            self._lent.append(octets)
            each[at] = int(ffi.cast("uintptr_t", ffi.from_buffer(octets))), len(octets), 0
        self.octets += int(each["length"].sum())
        return late


def _in_time(told: Rows, late: Rows) -> Rows:
    """The order in which datagrams that were in pieces come when they came, and all others as they are."""
    is_late = np.zeros(len(told), np.bool_)
    is_late[late] = told["key"]["proto"][late] == socket.IPPROTO_UDP
    times = told["ts"].astype(np.uint64)
    times = np.where(is_late, times, np.maximum.accumulate(np.where(is_late, 0, times)))
    return np.argsort(times, kind="stable")
