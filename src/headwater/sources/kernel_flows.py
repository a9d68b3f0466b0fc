"""Flows that the tap's programs keep in the kernel's memory (bpf/flow_map.h): its rings, its clock, and what it cannot do alone."""

import os
import secrets
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import KernelError
from headwater.filters import AnyFilter, Filter, FlowFilter
from headwater.kernel import libbpf, sockets
from headwater.kernel.control import Control, Job
from headwater.kernel.pins import SECRET_OCTETS, Pins, layout
from headwater.kernel.ringbuf import Ring
from headwater.records import FLOW_EVENT, Batch, Drop, btf
from headwater.records.layouts import ENUMS, OBJECTS, FilterOf, dtype, place_reason
from headwater.sources.carried import FIRST, KEEPERS, Carried
from headwater.sources.deferred import Deferred
from headwater.sources.seconds import Seconds
from headwater.telemetry import Entry

TABLE = ("hw_flow_buckets", "hw_flow_entries")
WAYS = 32  # HW_WAYS
SWEEP = 128  # buckets that a run of the job looks at, HW_SWEEP at most: 3 ms where all flows are told of
LAG_NS = 100_000_000  # by which the clock is late, so that it overtakes no packet on its way to its flow
LEAST_RING, FEWER = 1 << 16, 8  # octets of a ring for what is deferred, and by how much it is smaller than the other
EVENTS = 1 << 16  # that are borrowed at a time: all that a ring of 32 MiB holds
EVERY_NS = 1_000_000_000
ELSEWHERE = 1 << 17  # flows that find no room, at a time
CONN_ENDS = {name: value for value, name in ENUMS["hw_conn_end"].items()}
WHY = {Job.expire: CONN_ENDS["timeout"], Job.report: 0, Job.end: CONN_ENDS["stopped"]}

FURTHER = {
    "tcx": ("hw_tc_further", ("hw_tc_keep",)),
    "clsact": ("hw_tc_further", ("hw_tc_keep",)),
    "xdp": ("hw_xdp_further", ("hw_xdp_keep", "hw_xdp_consume_keep")),
}


def _structs() -> Mapping[str, btf.Struct]:
    return btf.read(OBJECTS / "tap.bpf.o").structs


def _buckets(octets: int, structs: Mapping[str, btf.Struct]) -> int:
    return max(1, octets // (structs["hw_flow_bucket"].size + WAYS * structs["hw_flow_entry"].size))


def room_of(octets: int) -> int:
    """Flows that a table of so much memory has room for."""
    return _buckets(octets, _structs()) * WAYS


class KernelFlows:
    """The kernel's table of flows, beside the tap whose programs fill it.

    `settings` is a struct hw_flow_settings; the table takes about `octets` of memory, and there are rings of `ring_bytes` for each CPU.
    Of flows that `asked` does not keep, nothing is told; `known` connections were there before (sockets.begun). What so many `servers` do
    in each second is told. With a `budget`, so many octets of what each side of a flow carries come with it (WANT_ALL: all), and more of
    those where a protocol asks. With `keep`, flows outlive the process: the next one goes on with them. `report` is told of that.
    """

    job = "hw_flows"
    """The program that is run by read() and end()."""

    def __init__(
        self,
        settings: np.ndarray[Any, np.dtype[Any]],
        hook: str,
        *,
        octets: int,
        ring_bytes: int,
        asked: FlowFilter | None = None,
        packet_filter: Filter | None = None,
        known: np.ndarray[Any, np.dtype[Any]] | None = None,
        servers: int = 0,
        budget: int = 0,
        keep: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        structs = _structs()
        self.buckets = _buckets(octets, structs)
        self._row_at = next(member.offset for member in structs["hw_parser"].members if member.name == "row")
        self._ways = dtype(structs["hw_flow_way"])
        self.salt = secrets.token_bytes(SECRET_OCTETS)
        layouts = [structs["hw_flow_bucket"], structs["hw_flow_entry"]]
        self._pins = Pins(TABLE, layout(layouts, WAYS, self.buckets), report) if keep else None
        self._settings = settings
        self.filters: Mapping[FilterOf, AnyFilter | None] = {FilterOf["rows"]: packet_filter, FilterOf["flows"]: asked}
        """Those to begin with: of packets that become rows beside flows, and of flows that are told."""
        self._known = known
        self._seconds = Seconds(servers) if servers else None
        self._ring_bytes = ring_bytes
        self.carried = Carried(budget, self.room, 2 * ring_bytes, dtype(structs["hw_carried"])) if budget else None
        self.deferred = Deferred(int(settings["apart"][0]), self.carried, self._hand, weirds=bool(settings["weirds_a_second"][0]))
        self._further, self._keepers = FURTHER[hook]
        self._carriers = tuple(KEEPERS[name] for name in self._keepers) if budget else ()
        self.programs = (*self._keepers, *self._carriers, self.job)
        self._events: list[Ring] = []
        self._alone = bytearray(structs["hw_parser"].size)
        self._ways_fd = self._handed_fd = self._elsewhere_fd = self._program = -1
        self._next = 0  # when the clock is looked at
        self._report_at = 0
        self.heard = 0  # events read

    def begin(self) -> None:
        """As if no packet had come yet; what lies in the table stays. Raises MemoryError."""
        self.deferred.begin()
        self._next = 0
        self._report_at = 0

    @property
    def room(self) -> int:
        """Flows that there is room for."""
        return self.buckets * WAYS

    @property
    def outlive_us(self) -> bool:
        """Whether flows are kept for the next run."""
        return self._pins is not None

    def entries(self) -> Mapping[str, int]:
        """How large the maps are."""
        cpus = libbpf.possible_cpus()
        return {
            **dict(zip(TABLE, (self.buckets, self.buckets * WAYS), strict=True)),
            "hw_flow_elsewhere": ELSEWHERE,
            "hw_flow_known": sockets.MOST,
            **({Seconds.maps: self._seconds.entries()} if self._seconds else {}),
            **(self.carried.entries() if self.carried else {}),
            "hw_flow_rings": cpus,
            "hw_deferred_rings": cpus,
        }

    def left(self) -> Mapping[str, int]:
        """Maps that an earlier run has left for this one, by name; the programs are to be loaded with them. Raises KernelError."""
        found = self._pins.open() if self._pins else {}
        if found and self._pins:
            self.salt = self._pins.secret
        return found

    def close(self) -> None:
        """Let go of what is kept."""
        if self._pins:
            self._pins.close()

    def open(self, loaded: libbpf.Object, control: Control, now: Callable[[], int]) -> dict[str, int]:
        """Make the rings, and let the programs begin. `now` is the time that packets would have. Returns the memory of rings."""
        memory: dict[str, int] = {}
        for cpu in range(libbpf.possible_cpus()):
            fewer = max(LEAST_RING, self._ring_bytes // FEWER)
            for name, octets in (("hw_flow_rings", self._ring_bytes), ("hw_deferred_rings", fewer)):
                fd = libbpf.create_ring(name, octets)
                libbpf.put(loaded.map(name), cpu, struct.pack("=I", fd))
                memory[name] = memory.get(name, 0) + libbpf.memory_of(fd)
                if name == "hw_flow_rings":
                    self._events.append(Ring(fd, octets, FLOW_EVENT))
                else:
                    self.deferred.open(fd, octets)
                os.close(fd)
        for place, name in (*enumerate(self._keepers), *enumerate(self._carriers, FIRST)):
            libbpf.put(loaded.map(self._further), place, struct.pack("=I", loaded.program(name)))
        self._ways_fd = loaded.map("hw_flow_ways_taken")
        self._handed_fd = loaded.map("hw_flow_handed")
        self._elsewhere_fd = loaded.map("hw_flow_elsewhere")
        self._program = loaded.program(self.job)
        if self._pins:
            self._pins.keep({name: loaded.map(name) for name in TABLE}, self.salt)
        self._control, self._now = control, now
        if self._seconds:
            self._seconds.open(loaded.map(Seconds.maps), control)
        if self.carried:
            self.carried.open(loaded)
            control.carry(self.carried.budget)
        control.keep_flows(self.salt, self.buckets, self._settings, known=self._know(loaded.map("hw_flow_known")))
        return memory

    def _know(self, known_fd: int) -> bool:
        if self._known is None or not len(self._known):
            return False
        hashes, origs = np.empty((2, len(self._known)), np.uint64)
        into = [ffi.cast("uint64_t *", array.ctypes.data) for array in (hashes, origs)]
        lib.hw_flow_known_of(ffi.from_buffer(self._known), len(self._known), ffi.from_buffer(self.salt), *into)
        for one, orig in zip(hashes.tolist(), origs.tolist(), strict=True):
            libbpf.put_word(known_fd, one, orig)
        return True

    def read(self, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """What has come since the last call, and once a second what the clock brings; batches are good until the next is asked for."""
        yield from self._read(interfaces)
        if self._seconds and (told := self._seconds.read(self._now(), interfaces)):
            yield told
        now = self._now() - LAG_NS
        if now < self._next:
            return
        self._next = now + EVERY_NS
        progress = int(self._settings["progress"][0])
        if progress and now >= self._report_at:
            if self._report_at:
                yield from self._sweep(Job.report, self._report_at, interfaces)
            self._report_at = (now // progress + 1) * progress
        yield from self._sweep(Job.expire, now, interfaces)

    def end(self, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """All that are left, once no packet comes any more; those that are over, where the others are kept."""
        yield from self._read(interfaces)
        now = self._now()
        yield from self._sweep(Job.expire, now, interfaces)
        if not self._pins:
            yield from self._sweep(Job.end, now, interfaces)
        for _ in range(1000):
            totals = self.totals()
            if self.heard == totals["told"] and (not self.carried or self.carried.octets == totals["handed"]):
                break
            yield from self._read(interfaces)
        if self._seconds:
            yield from self._seconds.end(interfaces)

    def forget(self, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        """Flows that found no room here are over elsewhere."""
        for one in hashes.tolist():
            libbpf.remove_word(self._elsewhere_fd, one)

    def next_place(self) -> int:
        """See analysis.flows.Elsewhere."""
        return self._control.next_place(FilterOf["flows"])

    def totals(self) -> dict[str, int]:
        """What all CPUs counted: a struct hw_flow_totals."""
        ways = np.zeros((2, libbpf.possible_cpus()), self._ways)
        for place in range(2):  # those of packets, and of jobs
            libbpf.get(self._ways_fd, place, ways[place])
        totals = ways["totals"]
        return {name: int(totals[name].sum()) for name in totals.dtype.names or ()}

    def entries_of(self, name: str) -> dict[Entry, int]:
        """For the ledger: what became of packets and their carriers, of flows, and of what was to be told of them."""
        heard = self.heard  # first: what is told meanwhile is queued
        totals = self.totals()
        lost = totals["unheard"] + totals["weirds_lost"]
        terms = {
            "in_flow": totals["packets"],
            "no_flow": totals["no_flow"],
            "sampled_out": totals["sampled_out"],
            "duplicate_hook": totals["duplicate_hook"],
            "deferred": totals["refused"] + totals["postponed"],
        }
        drops = {Drop["flows__contended"]: totals["contended"], Drop["flows__ring_full"]: totals["ring_full"]}
        told = {**terms, **{name: totals[name] for name in ("begun", "ended", "evicted", "unasked")}}
        return {
            **{Entry("flows", name, term): count for term, count in told.items()},
            **{Entry("flows", name, "dropped", *place_reason(drop)): count for drop, count in drops.items()},
            **(self._octets_of(name, totals) if self.carried else {}),
            Entry("flows", name, "given"): sum(terms.values()) + sum(drops.values()),
            Entry("records", name, "made"): totals["told"] + lost,
            Entry("records", name, "acked"): heard,
            Entry("records", name, "queued"): totals["told"] - heard,
            Entry("records", name, "dropped", *place_reason(Drop["flows__ring_full"])): lost,
        }

    def _octets_of(self, name: str, totals: Mapping[str, int]) -> dict[Entry, int]:
        lost = {Drop["carried__full"]: totals["carried_lost"], Drop["carried__unreadable"]: totals["carried_unreadable"]}
        return {
            Entry("octets", name, "carried"): totals["handed"] + totals["unwanted"] + totals["beyond"] + sum(lost.values()),
            Entry("octets", name, "handed_on"): totals["handed"],
            Entry("octets", name, "unwanted"): totals["unwanted"],
            Entry("octets", name, "beyond_budget"): totals["beyond"],
            **{Entry("octets", name, "dropped", *place_reason(drop)): count for drop, count in lost.items()},
        }

    # -- rings ------------------------------------------------------------------------------------------------------------

    def _read(self, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        yield from self.deferred.read(interfaces)
        told = [(ring, events) for ring in self._events if len(events := ring.borrow(EVENTS))]
        if self.carried:  # what flows carried came before their end was told
            yield from self.carried.read(self.carried.end(), interfaces)
        for ring, events in told:
            yield Batch(FLOW_EVENT, events, interfaces, borrowed=True)
            self.heard += len(events)
            ring.release(len(events))

    def _hand(self, frame: bytes | bytearray, job: Job) -> int:
        """A frame (struct hw_parser), or a row alone, to the program. Returns what that returns."""
        if len(frame) < len(self._alone):
            self._alone[self._row_at : self._row_at + len(frame)] = frame
            frame = self._alone
        libbpf.put(self._handed_fd, 0, bytes(frame))
        self._control.ask(job)
        return libbpf.run(self._program)

    # -- the clock -----------------------------------------------------------------------------------------------------

    def _sweep(self, job: Job, now: int, interfaces: Mapping[int, str]) -> Iterator[Batch]:
        """Do the job with all of the table, a part at a time, between which what it tells is read."""
        at, stuck = 0, 0
        while at < self.buckets:
            self._control.ask(job, WHY[job], now=now, at=at, count=min(SWEEP, self.buckets - at))
            libbpf.run(self._program)
            before, at = at, self._control.reached
            stuck = stuck + 1 if at == before else 0
            if stuck > 1000:
                raise KernelError("the kernel's table of flows cannot be gone through: its rings take nothing")
            yield from self._read(interfaces)
