"""Flows of packets that reach user space, as rows of the record `conn` when they end (native/flows.c, bpf/flow.h)."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.records import CONN, TUNNEL, Batch
from headwater.records.layouts import FLOW_SETTINGS

LOCAL_NETS = tuple(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 "
    "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b:1::/48 100::/64 2001::/23 2001:2::/48 2001:db8::/32 "
    "fc00::/7 fe80::/10".split()
)
"""What Zeek takes for local unless told: its private_address_space_is_local (RFC 6890), and IPv4 multicast."""


@dataclass(frozen=True)
class FlowSettings:
    """How flows are kept. Seconds of silence after which one is over; `most` flows at a time."""

    secret: bytes = bytes(16)
    most: int = 1 << 20
    sample: int = 1
    local_nets: Sequence[str] = LOCAL_NETS
    timeouts: Mapping[str, float] = field(default_factory=dict)


TIMEOUTS_S: Mapping[str, float] = {
    "tcp_timeout": 300.0,
    "handshake_timeout": 60.0,
    "attempt_timeout": 5.0,
    "close_timeout": 5.0,
    "linger_timeout": 5.0,
    "udp_timeout": 60.0,
    "dns_timeout": 10.0,
    "icmp_timeout": 60.0,
    "other_timeout": 60.0,
    "tunnel_timeout": 86400.0,
}
"""Zeek's."""


def _settings(settings: FlowSettings) -> Any:
    row = np.zeros(1, FLOW_SETTINGS)
    row["secret"] = np.frombuffer(settings.secret, "<u8")
    row["most"] = settings.most
    row["sample_below"] = (1 << 32) // settings.sample if settings.sample > 1 else 0
    for name, seconds in {**TIMEOUTS_S, **settings.timeouts}.items():
        row[name] = round(seconds * 1e9)
    return ffi.from_buffer(row)


def _prefixes(nets: Sequence[str]) -> Any:
    made = ffi.new("struct hw_prefix[]", len(nets))
    for prefix, net in zip(made, map(ipaddress.ip_network, nets), strict=True):
        mapped = net.network_address.packed if net.version == 6 else bytes(10) + b"\xff\xff" + net.network_address.packed
        prefix.addr = tuple(mapped)
        prefix.bits = net.prefixlen + (0 if net.version == 6 else 96)
    return made


class Flows:
    """The flows of one source.

    The same secret and times give the same uids. Not for several threads at once. Raises MemoryError.
    """

    def __init__(self, settings: FlowSettings) -> None:
        flows = lib.hw_flows_new(_settings(settings), _prefixes(settings.local_nets), len(settings.local_nets))
        if flows == ffi.NULL:
            raise MemoryError("no memory for flows")
        self._flows = ffi.gc(flows, lib.hw_flows_free)
        self._conns = np.empty(lib.HW_CONNS_ROOM, CONN.dtype)
        self._tunnels = np.empty(lib.HW_CONNS_ROOM, TUNNEL.dtype)
        self._found = ffi.new("struct hw_found *")
        self._found.conns = ffi.cast("void *", self._conns.ctypes.data)
        self._found.tunnels = ffi.cast("void *", self._tunnels.ctypes.data)
        self._interfaces: Mapping[int, str] = {}

    def __len__(self) -> int:
        return int(self.counts().flows)

    def counts(self) -> Any:
        """What became of packets and flows until now: a struct hw_flows_counts."""
        counts = ffi.new("struct hw_flows_counts *")
        lib.hw_flows_counts_of(self._flows, counts)
        return counts

    def find(self, batch: Batch) -> Iterator[Batch]:
        """Take packets; those flows come out that have ended by then."""
        self._interfaces = batch.interfaces
        rows, at = batch.rows, 0
        while at < len(rows):
            first = ffi.cast("char *", rows.ctypes.data) + at * rows.strides[0]
            at += lib.hw_flows_add(self._flows, first, rows.strides[0], len(rows) - at, self._found)
            yield from self._batches()

    def tick(self, now: int) -> Iterator[Batch]:
        """Flows that have been silent too long at that time (nanoseconds), where no packet tells the time."""
        while True:
            lib.hw_flows_expire(self._flows, now, self._found)
            if not self._found.conn_count + self._found.tunnel_count:
                return
            yield from self._batches()

    def end(self) -> Iterator[Batch]:
        """All that are left."""
        while True:
            lib.hw_flows_end(self._flows, self._found)
            if not self._found.conn_count + self._found.tunnel_count:
                return
            yield from self._batches()

    def _batches(self) -> Iterator[Batch]:
        if count := self._found.conn_count:
            yield Batch(CONN, self._conns[:count], self._interfaces, borrowed=True)
        if count := self._found.tunnel_count:
            yield Batch(TUNNEL, self._tunnels[:count], self._interfaces, borrowed=True)
