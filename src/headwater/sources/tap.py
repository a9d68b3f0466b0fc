"""The tap: packets of live interfaces through XDP, tcx or clsact programs and a ring buffer for each CPU (bpf/tap.bpf.c)."""

import contextlib
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

import numpy as np

from headwater.errors import ConfigError, HeadwaterError, KernelError
from headwater.filters import AnyFilter, Filter, sample_below, terms_of
from headwater.interfaces import Detail
from headwater.kernel import clsact, libbpf
from headwater.kernel.clock import WallClock
from headwater.kernel.control import REST_S, Control
from headwater.kernel.interfaces import Interface, Watcher, carried, choose, interfaces
from headwater.kernel.ringbuf import Ring, merge
from headwater.kernel.tail import Tail, collect
from headwater.records import PACKET, Batch
from headwater.records.layouts import RATE_SLOT, FilterOf
from headwater.records.rollup import Rollup
from headwater.sources.accounts import Accounts
from headwater.sources.attaching import Attached, Attacher
from headwater.sources.kernel_flows import KernelFlows
from headwater.telemetry import Entry, Ledger

PROGRAMS = {
    "tcx": ("hw_tcx_in", "hw_tcx_out"),
    "clsact": ("hw_clsact_in", "hw_clsact_out"),
    "xdp": ("hw_xdp",),
    "xdp_consume": ("hw_xdp_consume",),
}
RATE_SLOTS = 65_536 + 1  # of each half and CPU: HW_RATE_SLOTS, and one for what finds no room
BATCH_ROWS = 65_536
SORTED_ROWS = 8_192  # up to here, what several CPUs saw in one poll is put in order of time
QUIET_S, BUSY_S = 0.025, 0.001  # the longest and the shortest pause between polls; nobody is ever woken for a packet
BUSY_ROWS = 4_096  # a poll is to find about so many: few polls, and what they read is still in the cache
HEARTBEAT_S = 1.0


class Tap:
    """Live packets of `names` (none: the interfaces that kernel.interfaces.choose finds), followed as they come, go and are renamed.

    `hook` is "tcx" (both directions, beside others' programs), "clsact" (the same before kernel 6.6) or "xdp" (what arrives); `consume`
    drops at XDP what was seen, for mirror ports; `generic` takes XDP's slow path where a driver has no other; with
    `metadata` the card is asked for the time, hash and VLAN tag that it has of a packet; `promiscuous` asks the card
    for everybody's frames. `ring_bytes`, a power of two, is the room for rows of each CPU. Of the packets that `filter` keeps, one in
    `sample` becomes a row; with `carriers`, what carries a tunnelled packet is a row before it. With `flows`, the kernel keeps flows, and
    batches of what it tells of them come with the others. `detail` says what leaves the kernel; with "flows" that it does not keep, packets
    are deferred: rows for analyses alone. All packets are counted in rates().
    """

    name = "tap"

    def __init__(
        self,
        ledger: Ledger,
        names: Sequence[str] = (),
        *,
        hook: Literal["tcx", "clsact", "xdp"] = "tcx",
        consume: bool = False,
        metadata: bool = False,
        generic: bool = False,
        promiscuous: bool = False,
        ring_bytes: int = 16 << 20,
        filter: Filter | None = None,
        sample: int = 1,
        detail: Detail = "packets",
        carriers: bool = False,
        flows: KernelFlows | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._names = tuple(names)
        self.hook = hook
        self._ring_bytes = ring_bytes
        self._filters: dict[FilterOf, AnyFilter | None] = {FilterOf["packets"]: filter, **(flows.filters if flows else {})}
        self._sample = sample
        self._detail = detail
        self._carriers = carriers
        self.flows = flows
        self.tail: Tail | None = None
        """What is left if this process is killed; set before open()."""
        self._rollup = Rollup()
        self._slots = np.empty((2, 0), RATE_SLOT)  # what the programs count rates in: two halves, a row for each CPU
        self._report = report
        self._programs = PROGRAMS["xdp_consume" if hook == "xdp" and consume else hook]
        if flows:
            self._programs = tuple(f"{name}_flows" for name in self._programs)
        cpus = libbpf.possible_cpus()
        entries = {"hw_packet_rings": cpus, "hw_rates": 2 * cpus * RATE_SLOTS, **(flows.entries() if flows else {})}
        self._object = libbpf.Object("tap", (*self._programs, *(flows.programs if flows else ())), entries)
        self._rings: list[Ring] = []
        self._memory: dict[str, int] = {}
        self._accounts = Accounts()
        self._attached: dict[int, Attached] = {}
        self._known: set[int] = set()  # interfaces that were there at the last look
        self._refused: set[int] = set()  # interfaces that came, and on which listening is not possible
        self._interfaces: dict[int, str] = {}
        self._rows_read = 0
        self._stopping = threading.Event()
        self._lock = threading.RLock()  # account(), listening() and set_filter() are called while read() follows interfaces
        self._clock: WallClock | None = None
        self._control: Control | None = None
        self._heart: threading.Thread | None = None
        self._closed = threading.Event()
        self._watcher = Watcher(routes=not names, filters=hook == "clsact")
        self.attacher = Attacher(
            self._object, self._programs, hook, generic=generic, metadata=metadata, promiscuous=promiscuous, report=report
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Load the programs and attach them. Raises ConfigError for an unknown interface, or a KernelError."""
        chosen = choose(self._names)
        for interface in chosen:
            if merged := self.attacher.merged(interface):
                raise KernelError(merged)
        try:
            self._load()
            self._known = set(interfaces())
            self.attacher.open()
            for interface in chosen:
                self._attach(interface)
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        self._object.open(self.flows.left() if self.flows else {})
        self._accounts.open(self._object.map("hw_counts"))
        if self.tail:
            self._accounts.crashed(owed := collect(self._report))
            self.tail.open(self._object.map("hw_counts"), owed)
        self._control = Control(self._object.map(".bss"))
        self._control.beat()
        self._control.begin(libbpf.possible_cpus(), carriers=self._carriers or self.flows is not None)
        self._slots = libbpf.shared(self._object.map("hw_rates"), RATE_SLOT, 2 * libbpf.possible_cpus() * RATE_SLOTS).reshape(2, -1)
        self.set_detail(self._detail)
        self._control.set_sampling(sample_below(self._sample))
        self._renew_filters(anew=True)
        self._clock = WallClock(self._control.utc_offset)
        self._clock.open()
        rings = self._object.map("hw_packet_rings")
        self._memory = self._object.memory()
        for cpu in range(libbpf.possible_cpus()):
            fd = libbpf.create_ring("hw_packets", self._ring_bytes)
            libbpf.put(rings, cpu, struct.pack("=I", fd))
            self._memory["hw_packets"] = self._memory.get("hw_packets", 0) + libbpf.memory_of(fd)
            self._rings.append(Ring(fd, self._ring_bytes, PACKET))
            os.close(fd)
        if self.flows:
            self._memory |= self.flows.open(self._object, self._control, self._time)
        self._watcher.open()

    def close(self) -> None:
        """Detach and give everything back."""
        for attached in self._attached.values():
            attached.detach()
        if self._heart is not None:
            self._closed.set()
            self._heart.join()
            self._heart = None
        self._watcher.close()
        if self._clock is not None:
            self._clock.close()
            self._clock = None
        self.attacher.close()
        self._object.close()
        if self.flows:
            self.flows.close()
        if self.tail:
            self.tail.close()

    def _beat(self) -> None:
        """Tell the programs each second that somebody is there."""
        control = self._control
        assert control is not None  # noqa: S101 - _load() came before

        def beat() -> None:
            while not self._closed.wait(HEARTBEAT_S):
                control.beat()

        self._heart = threading.Thread(target=beat, name="heartbeat", daemon=True)
        self._heart.start()

    def _time(self) -> int:
        """What the programs would write into a packet's row now."""
        assert self._control is not None  # noqa: S101 - open() came before
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(self._control.utc_offset[0])

    def stop(self) -> None:
        """Make read() detach, hand out what the rings still hold, and end."""
        self._stopping.set()

    def set_filter(self, filter: AnyFilter | None, of: FilterOf = FilterOf["packets"]) -> None:
        """See interfaces.Filtering. Those of rows and of flows are its own where the kernel keeps flows."""
        assert self._control is not None  # noqa: S101 - open() came before
        if of not in self._filters:
            return
        with self._lock:
            self._control.set_filter(terms_of(filter, self._interfaces), of)
            self._filters[of] = filter

    def set_detail(self, detail: Detail) -> None:
        """From the next packet on, that leaves the kernel."""
        assert self._control is not None  # noqa: S101 - as above
        self._detail = detail
        kept = self.flows is not None
        self._control.choose(
            rows=detail == "packets" or (detail == "flows" and not kept),
            flows=kept and detail != "rates",
            carries=self.flows is not None and self.flows.carried is not None and detail in ("packets", "messages"),
        )

    def rates(self, ts: int) -> Batch:
        """What all packets came to since the last call, kept or not."""
        assert self._control is not None  # noqa: S101 - as above
        half = self._control.next_second()
        time.sleep(REST_S)
        with self._lock:
            self._rollup.take_slots(self._slots[half], self._interfaces)
        counted, _ = self._rollup.take(ts)
        return counted

    def listening(self) -> list[tuple[str, str]]:
        """(interface, hook) for each that is attached now."""
        with self._lock:
            return [(attached.name, self.hook) for attached in self._attached.values()]

    def programs(self) -> dict[str, int]:
        """The file descriptor of each program that is run for itself; the time of those that it goes on to is its own."""
        return {name: self._object.program(name) for name in (*self._programs, *([self.flows.job] if self.flows else []))}

    def memory(self) -> dict[str, int]:
        """Octets by map."""
        return self._memory

    def read(self) -> Iterator[Batch]:
        """Batches as the rings fill; those of one busy ring are `borrowed`, good until the next is asked for."""
        assert self._clock is not None  # noqa: S101 - open() came before
        self._clock.follow()
        if self.hook == "clsact":
            self._beat()
        poll = select.poll()
        poll.register(self._watcher.fileno(), select.POLLIN)
        pause, last = BUSY_S, time.monotonic()
        while not self._stopping.is_set():
            most = 0
            for batch in self._poll_rings():
                most = max(most, len(batch))
                last = time.monotonic()
                yield batch
            pause = min(QUIET_S, max(BUSY_S, pause * min(BUSY_ROWS / most, 1.5) if most else pause * 1.5))
            if poll.poll(pause * 1000):
                changed = self._watcher.drain()
                with self._lock:
                    if changed:
                        self._follow()
            if not most and time.monotonic() - last > 0.1:
                last = time.monotonic()
                yield Batch(PACKET, np.empty(0, PACKET.dtype), self._interfaces)
        yield from self._drain()

    def _poll_rings(self) -> Iterator[Batch]:
        yield from self._poll_packets()
        if self.flows:
            yield from self.flows.read(self._interfaces)

    def _poll_packets(self) -> Iterator[Batch]:
        busy = [(ring, rows) for ring in self._rings if len(rows := ring.borrow(BATCH_ROWS))]
        total = sum(len(rows) for _, rows in busy)
        self._rows_read += total
        if len(busy) > 1 and total <= SORTED_ROWS:
            batch = merge(PACKET, [rows for _, rows in busy], self._interfaces)
            for ring, rows in busy:
                ring.release(len(rows))
            yield self._packets(batch)
            return
        for ring, rows in busy:
            yield self._packets(Batch(PACKET, rows, self._interfaces, borrowed=True))
            ring.release(len(rows))

    def _packets(self, batch: Batch) -> Batch:
        deferred = "packets" if self._detail == "flows" and not self.flows else ""
        return replace(batch, carriers=self._carriers, tracked=self.flows is not None, deferred=deferred)

    def _drain(self) -> Iterator[Batch]:
        """After detaching, a program may still be at its end on another CPU: read until the rows are those that it counted."""
        for attached in self._attached.values():
            attached.detach()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            time.sleep(BUSY_S)  # longer than any program runs: each that was begun before has ended
            yield from self._poll_rings()
            with self._lock:
                if self._accounts.rows() == self._rows_read and (
                    not self.flows or self._accounts.deferred() == self.flows.deferred.looked_at
                ):
                    break
        if self.flows:
            yield from self.flows.end(self._interfaces)

    # -- interfaces -----------------------------------------------------------------------------------------------------

    def _attach(self, interface: Interface) -> None:
        self._accounts.prepare(interface.index, starts_with_ip=not interface.starts_with_ethernet)
        self._attached[interface.index] = self.attacher.attach(interface)
        self._accounts.begin(interface.index, interface.name)
        if self.tail:
            self.tail.note(interface.index, interface.name)
        if len(self._attached) > 1 and self._control:
            self._control.overlap()
        self._name(interface.index, interface.name)

    def _name(self, index: int, name: str) -> None:
        self._ledger.note(name, self.hook)
        self._interfaces[index] = name
        self._renew_filters()

    def _renew_filters(self, *, anew: bool = False) -> None:
        """Those that name interfaces hold for the numbers that they have now; `anew`, put all in force."""
        for of, filter in self._filters.items():
            if filter and (anew or filter.names_interfaces):
                self.set_filter(filter, of)

    def _follow(self) -> None:
        """Bring what is attached to what is there: new ones, renamed ones, and those that are gone."""
        there = interfaces()
        for index in [i for i, attached in self._attached.items() if i not in there or not attached.is_there()]:
            attached = self._attached.pop(index)
            if attached.goes_with_interface:
                self._known.discard(index)
            attached.leave(self.attacher.spare)
            self._accounts.leave(index)
            self._report(f"{attached.name} is gone; waiting for it to come back")
        for index, attached in self._attached.items():
            if attached.up and not there[index].up:
                self._report(f"{there[index].name} is down; waiting for it to come up again")
            attached.up = there[index].up
            if there[index].name != attached.name:
                self._report(f"{attached.name} is called {there[index].name} now")
                attached.name = there[index].name
                self._accounts.rename(index, attached.name)
                self._name(index, attached.name)
        for interface in self._wanted():
            if interface.index not in self._attached and interface.index not in self._refused:
                self._begin(interface)
        self._refused &= there.keys()
        self._known = set(there)

    def _begin(self, interface: Interface) -> None:
        """Listen on one that has come. One that refuses is named once, and the others go on."""
        if merged := self.attacher.merged(interface):
            self._report(merged)
        received, sent = (0, 0) if interface.index in self._known else carried(interface.index)
        try:
            self._attach(interface)
        except clsact.InterfaceGone:
            return
        except HeadwaterError as error:
            self._refused.add(interface.index)
            self._report(str(error))
            return
        self._accounts.miss(interface.name, received + (0 if self.hook == "xdp" or interface.loopback else sent))
        self._report(f"listening on {interface.name}")

    def _wanted(self) -> list[Interface]:
        wanted: list[Interface] = []
        apart: list[tuple[str, ...]] = [(name,) for name in self._names]
        for names in apart or [()]:
            with contextlib.suppress(ConfigError):  # it was there at the start, or choose() had refused it; it may come back
                wanted += choose(names)
        return wanted

    def account(self) -> None:
        """Counts by interface name, for the ledger. See Accounts.entries()."""
        with self._lock:
            entries = self._accounts.entries(self.name, self._rows_read, ended=self._stopping.is_set())
            marks = self._accounts.marks
        if self.flows:
            entries |= self.flows.entries_of("kernel")
        self._ledger.replace(entries)
        if self.tail:
            begun, ended = (entries.get(Entry("flows", "kernel", term), 0) for term in ("begun", "ended"))
            self.tail.tell(marks, 0 if self.flows and self.flows.outlive_us else begun - ended)
