"""Flows of packets that reach user space: rows of `conn` when they end, of `conn_long` while they go on, and of `weird` for what is odd in
them (native/flows.c, bpf/flow.h, bpf/flow_weird.h).
"""

import ipaddress
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from headwater._native import ffi, lib
from headwater.analysis.files import FileSettings
from headwater.analysis.odd import rows_of_packets, rows_of_streams
from headwater.analysis.streams import MOST, WAITING, Streams
from headwater.analysis.weirds import bits
from headwater.filters import AnyFilter, FlowFilter, sample_below, terms_of
from headwater.records import CARRIED, CONN, CONN_LONG, DEFERRED, ENUMS, FLOW_EVENT, SERVER, TUNNEL, WEIRD, Batch, Drop
from headwater.records.address import MAPPED
from headwater.records.layouts import FLOW_SETTINGS, WEIRD_ROW, FilterOf, place_reason
from headwater.records.numbered import SERVICES
from headwater.telemetry import Entry, Ledger

TUNNEL_SERVICES = {
    value: {"gtp": "gtpv1"}.get(name, name)
    for value, name in ENUMS["hw_tunnel"].items()
    if name in ("vxlan", "geneve", "gtp", "teredo", "ayiya")
}
_DISCOVER = next(value for value, name in ENUMS["hw_tunnel_action"].items() if name == "discover")

OF_FLOWS = frozenset(record.name for record in (CONN, CONN_LONG, TUNNEL, SERVER))
"""Records that only flows make."""

LOCAL_NETS = tuple(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 "
    "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 64:ff9b:1::/48 100::/64 2001::/23 2001:2::/48 2001:db8::/32 "
    "fc00::/7 fe80::/10".split()
)
"""What Zeek takes for local unless told: its private_address_space_is_local (RFC 6890), and IPv4 multicast."""


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


@dataclass(frozen=True)
class FlowSettings:
    """How flows are kept. `most` at a time, of which one in `sample` is kept at all; `timeouts_s` that differ from Zeek's, by their names.

    `secret`, 16 octets, is what uids are made with: the same secret and times give the same uids. `community_id_seed` is what all who
    compare community ids have agreed on. `flow_key` is what keeps flows apart besides endpoints: names of enum hw_flow_apart. Each
    `progress_s` those that go on are rows of `conn_long`; 0 is never. What flows do in each second is told as rows of `server`, for so many
    `servers` of their own; 0 is none. Of weirds, `weirds_a_second` of one name and second have a row each, as in Weirds, but for those
    called as in `ignored_weirds`; 0 is none. `asked` says which flows become rows of `conn` and `conn_long`; None is all. `headers` are
    names of HTTP's fields, in small letters, that are told with messages; where it `joins`, also those of connections whose begin was not
    seen.
    """

    secret: bytes
    most: int = 1 << 20
    sample: int = 1
    local_nets: Sequence[str] = LOCAL_NETS
    timeouts_s: Mapping[str, float] = field(default_factory=dict)
    community_id_seed: int = 0
    flow_key: Sequence[str] = ()
    progress_s: float = 0.0
    servers: int = 0
    weirds_a_second: int = 0
    ignored_weirds: Sequence[str] = ()
    asked: FlowFilter | None = None
    headers: Sequence[str] = ()
    joins: bool = True

    def row(self) -> np.ndarray[Any, np.dtype[Any]]:
        """A struct hw_flow_settings."""
        row = np.zeros(1, FLOW_SETTINGS)
        row["secret"] = np.frombuffer(self.secret, "<u8")
        row["most"] = self.most
        row["community_id_seed"] = self.community_id_seed
        row["progress"] = round(self.progress_s * 1e9)
        row["apart"] = sum(bit for bit, name in ENUMS["hw_flow_apart"].items() if name in self.flow_key)
        row["weirds_a_second"] = self.weirds_a_second
        row["ignored_weirds"] = bits(self.ignored_weirds)
        row["sample_below"] = sample_below(self.sample)
        for name, seconds in {**TIMEOUTS_S, **self.timeouts_s}.items():
            row[name] = round(seconds * 1e9)
        return row


def _prefixes(nets: Sequence[str]) -> Any:
    made = ffi.new("struct hw_prefix[]", len(nets))
    for prefix, net in zip(made, map(ipaddress.ip_network, nets), strict=True):
        mapped = net.network_address.packed if net.version == 6 else MAPPED + net.network_address.packed
        prefix.addr = tuple(mapped)
        prefix.bits = net.prefixlen + (0 if net.version == 6 else 96)
    return made


PICK = np.dtype([("frame", np.uint32), ("uid", np.uint32)])
"""A frame with a packet of the flow that has the uid of this number: a struct hw_pick."""
_TAKERS = {FLOW_EVENT.name: lib.hw_flows_hear, CARRIED.name: lib.hw_flows_hear_carried, DEFERRED.name: lib.hw_flows_add_refused}


class Wanted(Protocol):
    """What the flows of the kernel's table carry: how much of each is wanted, a struct hw_wants for each of its places."""

    wants: np.ndarray[Any, np.dtype[Any]]
    budget: int


class Elsewhere(Protocol):
    """Another table of flows (the kernel's), whose packets come here where it has no room for their flow."""

    salt: bytes

    @property
    def carried(self) -> Wanted | None:
        """What its flows carry, if that comes here too."""

    def forget(self, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        """These are over here: whatever comes of them next is its own again."""

    def next_place(self) -> int:
        """It has two places for a filter of flows, and says with each flow by which it was asked: the one that the next filter comes to."""


class Flows:
    """The flows of the source called `name`; `live`, if the clock tells when they end, and not the packets alone. Of `known` connections,
    which were there before, each a row of `packet`, the sender is the originator. With `messages`, what they carry is read;
    `files` says what becomes of files in it. Of `sharers`, processes that each have a copy of it, each calls share().

    Not for several threads at once, but for account() and set_filter(). Raises MemoryError.
    """

    reads_carriers = True

    def __init__(
        self,
        name: str,
        settings: FlowSettings,
        *,
        live: bool = False,
        elsewhere: Elsewhere | None = None,
        known: np.ndarray[Any, np.dtype[Any]] | None = None,
        messages: bool = False,
        files: FileSettings | None = None,
        sharers: int = 1,
    ) -> None:
        flows = lib.hw_flows_new(ffi.from_buffer(settings.row()), _prefixes(settings.local_nets), len(settings.local_nets))
        if flows == ffi.NULL:
            raise MemoryError("no memory for flows")
        self._name = name
        self._live = live
        self._flows = ffi.gc(flows, lib.hw_flows_free)
        if settings.servers and lib.hw_flows_tell_servers(flows, settings.servers):
            raise MemoryError(f"no memory for {settings.servers} servers")
        if known is not None and len(known) and lib.hw_flows_know(flows, ffi.from_buffer(known), len(known)):
            raise MemoryError(f"no memory for {len(known)} connections")
        self._streams = None
        if messages:
            files = replace(files or FileSettings(), local_nets=settings.local_nets)
            self._streams = Streams(flows, files, settings.headers, WAITING // sharers, joins=settings.joins)
        self._sharers = sharers
        self._tells_packets = True
        self._tells_weirds = settings.weirds_a_second > 0
        self._ignored = frozenset(settings.ignored_weirds)
        self._carrying: dict[bytes, str] = {}  # by uid, what flows are as tunnels
        self._elsewhere = elsewhere
        self._hears = False  # what its flows carry
        self._to_ask = deque((terms_of(settings.asked, {}), place) for place in (0, 1))
        self._left = np.empty(lib.HW_CONNS_ROOM, np.uint64)
        self._conns = np.empty(lib.HW_CONNS_ROOM, CONN.dtype)
        self._longs = np.empty(lib.HW_CONNS_ROOM, CONN_LONG.dtype)
        self._tunnels = np.empty(lib.HW_CONNS_ROOM, TUNNEL.dtype)
        self._servers = np.empty(settings.servers + 1, SERVER.dtype)
        self._weirds = np.empty(lib.HW_WEIRDS_ROOM, WEIRD_ROW)
        self._found = ffi.new("struct hw_found *")
        self._found.conns = ffi.cast("void *", self._conns.ctypes.data)
        self._found.longs = ffi.cast("void *", self._longs.ctypes.data)
        self._found.tunnels = ffi.cast("void *", self._tunnels.ctypes.data)
        self._found.servers = ffi.cast("void *", self._servers.ctypes.data)
        self._found.left = ffi.cast("uint64_t *", self._left.ctypes.data)
        self._found.weirds = ffi.cast("void *", self._weirds.ctypes.data)
        self._conn_streams = np.empty(lib.HW_CONNS_ROOM, np.uint32)
        self._long_streams = np.empty(lib.HW_CONNS_ROOM, np.uint32)
        self._found.conn_streams = ffi.cast("uint32_t *", self._conn_streams.ctypes.data)
        self._found.long_streams = ffi.cast("uint32_t *", self._long_streams.ctypes.data)
        self._interfaces: dict[int, str] = {}  # of all batches, by numbers of our own
        self._given: Mapping[int, str] = {}
        self._first = 0  # our number of the batch's 0
        self._count = 0  # packets and carriers
        self._counts = self.counts(), 0  # with the packets given, as of the last batch: account() may run in another thread

    def __len__(self) -> int:
        return int(self.counts().flows)

    def share(self, number: int) -> None:
        """Before any packet: this is the process of that number, and all are given the same packets. Each keeps all flows, and tells of its
        share alone, by the addresses of both ends; what packets and servers show is told by number 0.
        """
        lib.hw_flows_share(self._flows, number, self._sharers)
        self._tells_packets = number == 0

    def pick(self, uids: Sequence[bytes]) -> None:
        """Before any packet: tell in which frames packets of these flows are. Raises MemoryError."""
        wanted = b"".join(uids)
        if lib.hw_flows_follow(self._flows, MOST, WAITING) or lib.hw_flows_pick(self._flows, ffi.from_buffer(wanted), len(uids)):
            raise MemoryError("no memory for flows that are picked")  # what flows carry says who began some of them

    def picked(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Those frames since the last time, in no order, by what each batch's `payloads` say. Raises MemoryError."""
        picks = ffi.new("const struct hw_pick **")
        count = lib.hw_flows_picked(self._flows, picks)
        if count < 0:
            raise MemoryError("no memory for frames that are picked")
        return np.frombuffer(ffi.buffer(picks[0], count * PICK.itemsize), PICK).copy() if count else np.empty(0, PICK)

    def counts(self) -> Any:
        """What became of packets and flows until now: a struct hw_flows_counts."""
        counts = ffi.new("struct hw_flows_counts *")
        lib.hw_flows_counts_of(self._flows, counts)
        return counts

    def set_filter(self, filter: AnyFilter | None, of: FilterOf) -> None:
        """See interfaces.Filtering. To come before the other table's, which then tells of flows by this one."""
        if of is FilterOf["flows"]:
            self._to_ask.append((terms_of(filter, {}), self._elsewhere.next_place() if self._elsewhere else 0))

    def _ask(self) -> None:
        while self._to_ask:
            terms, place = self._to_ask.popleft()
            lib.hw_flows_ask(self._flows, ffi.from_buffer(terms), place)

    def find(self, batch: Batch) -> Iterator[Batch]:
        """Take packets, or what the kernel tells of its flows; those flows come out that have ended by then, and what is odd in any."""
        if batch.tracked or batch.deferred == "weird":
            return
        self._ask()
        if self._elsewhere and batch.record is DEFERRED:
            lib.hw_flows_tell_left(self._flows, self._elsewhere.salt)
        self._learn(batch.interfaces)
        if self._live and len(self._interfaces) > 1 and lib.hw_flows_overlap(self._flows):
            raise MemoryError("no memory for the places where flows are seen")
        if batch.record is CARRIED and not self._hears:
            self._hear_of_flows()
        take = _TAKERS.get(batch.record.name, lib.hw_flows_add)
        rows, at = batch.rows, 0
        while at < len(rows):
            first = ffi.cast("char *", rows.ctypes.data) + at * rows.strides[0]
            if batch.payloads is not None:
                lib.hw_flows_carry(self._flows, batch.payloads.each + at)
            at += take(self._flows, first, rows.strides[0], len(rows) - at, self._first, self._found)
            yield from self._batches()
        self._count += len(rows) if batch.record not in (FLOW_EVENT, CARRIED) and batch.deferred != "frame" else 0
        self._counts = self.counts(), self._count

    def tick(self, now: int) -> Iterator[Batch]:
        """Live, those that have been silent too long at that time (nanoseconds)."""
        self._ask()
        more = self._live
        while more:
            more = lib.hw_flows_expire(self._flows, now, self._found)
            yield from self._batches()
        if self._live and self._streams:
            yield from self._streams.tick(now)
        self._counts = self.counts(), self._count

    def end(self) -> Iterator[Batch]:
        """All that are left."""
        self._ask()
        more = True
        while more:
            more = lib.hw_flows_end(self._flows, self._found)
            yield from self._batches()
        if self._streams:
            yield from self._streams.end()
        self._counts = self.counts(), self._count

    def account(self, ledger: Ledger) -> None:
        """Write what was known after the last batch into the ledger; from any thread."""
        counts, given = self._counts
        if self._streams:
            ledger.replace(self._streams.entries(self._name))
        if not given:
            return
        terms = {
            "given": given,
            "in_flow": counts.in_flow,
            "no_flow": counts.no_flow,
            "fragment": counts.fragments,
            "damaged": counts.damaged,
            "sampled_out": counts.sampled_out,
            "duplicate_hook": counts.duplicate_hook,
            "begun": counts.begun,
            "ended": counts.ended,
            "evicted": counts.evicted,
            "unasked": counts.unasked,
            "letters_lost": counts.letters_lost,
        }
        entries = {Entry("flows", self._name, term): count for term, count in terms.items()}
        if counts.no_memory:
            entries[Entry("flows", self._name, "dropped", *place_reason(Drop["flows__no_memory"]))] = counts.no_memory
        ledger.replace(entries)

    def _hear_of_flows(self) -> None:
        assert self._elsewhere and self._elsewhere.carried and self._streams  # noqa: S101 - it gives what flows carry because they are read
        carried = self._elsewhere.carried
        if lib.hw_flows_hear_of(self._flows, ffi.from_buffer(carried.wants), len(carried.wants)):
            raise MemoryError("no memory for what the kernel's flows carry")
        self._streams.limit(carried.budget)
        self._hears = True

    def _learn(self, given: Mapping[int, str]) -> None:
        """Flows outlive the captures and interfaces that they began on: where a number has another name by now, it gets another number."""
        if given is self._given and len(given) + self._first == len(self._interfaces):
            return
        self._given = given
        if any(self._interfaces.get(self._first + number, name) != name for number, name in given.items()):
            self._first = max(self._interfaces) + 1
        self._interfaces |= {self._first + number: name for number, name in given.items()}

    def _batches(self) -> Iterator[Batch]:
        if self._streams:
            yield from self._streams.read()
            if odd := [one for one in self._streams.odd() if self._tells_weirds and one[6] not in self._ignored]:
                yield Batch(WEIRD, rows_of_streams(odd), self._interfaces)
            self._tell_services(self._streams)
        if self._elsewhere and self._found.left_count:
            self._elsewhere.forget(self._left[: self._found.left_count])
        if self._found.weird_count and self._tells_packets:
            yield Batch(WEIRD, rows_of_packets(self._weirds[: self._found.weird_count]), self._interfaces)
        found = (
            (CONN, self._conns, self._found.conn_count),
            (CONN_LONG, self._longs, self._found.long_count),
            (TUNNEL, self._tunnels, self._found.tunnel_count),
            (SERVER, self._servers, self._found.server_count if self._tells_packets else 0),
        )
        for record, rows, count in found:
            if count:
                yield Batch(record, rows[:count], self._interfaces, borrowed=True)

    def _tell_services(self, streams: Streams) -> None:
        """What flows speak, and first what they carry as tunnels."""
        tunnels = self._tunnels[: self._found.tunnel_count][["uid", "tunnel_type", "action"]].tolist()
        for uid, kind, action in tunnels:
            if action == _DISCOVER and kind in TUNNEL_SERVICES:
                self._carrying[uid] = TUNNEL_SERVICES[kind]
        for rows, numbers in (
            (self._conns[: self._found.conn_count], self._conn_streams),
            (self._longs[: self._found.long_count], self._long_streams),
        ):
            if len(rows):
                services = streams.services(numbers[: len(rows)].tolist())
                if self._carrying:
                    of_tunnels = [self._carrying.get(uid, "") for uid in rows["uid"].tolist()]
                    services = [",".join(filter(None, both)) for both in zip(of_tunnels, services, strict=True)]
                rows["service"] = [SERVICES[service] for service in services]
        for uid, _, action in tunnels:
            if action != _DISCOVER:
                self._carrying.pop(uid, None)
