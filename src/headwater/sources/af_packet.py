"""Live packets through packet sockets with a mapped ring (native/af_packet.c): where the kernel has no tcx, or eBPF is not allowed."""

import contextlib
import queue
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import ConfigError, HeadwaterError
from headwater.filters import AnyFilter, Filter, sample_below, terms_of
from headwater.interfaces import Detail, PacketWriter
from headwater.kernel.interfaces import Interface, Watcher, carried, choose, interfaces
from headwater.kernel.spare import SpareSockets
from headwater.kernel.tail import Tail, collect
from headwater.records import PACKET, RATE, Batch, Drop
from headwater.records.batch import Payloads
from headwater.records.layouts import FilterOf, place_reason
from headwater.records.rollup import Rollup
from headwater.sources.packet_rings import PacketRings, read, unread
from headwater.telemetry import FATES, Entry, Ledger

BATCH_ROWS = 16_384
PAYLOADS = 4 << 20  # octets of a batch
WAIT_MS = 100
REST_S = 0.005  # where what has come waits for its turn, which poll() does not
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101  # https://www.tcpdump.org/linktypes.html
DRAIN_S = 1.0  # without a packet: the kernel hands the last block over 20 ms after it was begun; a busy machine may take longer


def _payloads() -> Payloads:
    return Payloads(ffi.new("struct hw_payload[]", BATCH_ROWS), ffi.from_buffer("char[]", np.empty(PAYLOADS, np.uint8)))


class _Lane:
    """What reads one ring of each interface: with several, in a thread of its own."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.rollup = Rollup()
        self.lock = threading.Lock()  # while a ring of this lane is read, nobody counts, closes or renames
        self.free: queue.SimpleQueue[np.ndarray[Any, np.dtype[Any]]] = queue.SimpleQueue()

    def open(self) -> None:
        """Make room for rows: one batch is filled while another is handed out."""
        for _ in range(2):
            self.free.put(np.empty(BATCH_ROWS, PACKET.dtype))


class AfPacket:
    """Live packets of `names` (none: the interfaces that kernel.interfaces.choose finds), followed as they come, go and are renamed.

    `promiscuous` asks the card for frames that are addressed to others; each interface has `fanout` rings of `ring_bytes`, each for some of
    the CPUs. Of the packets that `filter` keeps, one in `sample` becomes a row, and goes whole to `packets`, for which there must be one
    ring an interface; with `carriers`, what carries a tunnelled packet is a row before it; with `payloads`, likewise,
    rows come with what their packets carry. With `detail` "flows" or "messages" rows are deferred, for analyses alone, and with
    "rates" there are none. All packets are counted in rates(). `report` is told, in a line, of what becomes of
    interfaces.
    """

    name = "af_packet"

    def __init__(
        self,
        ledger: Ledger,
        names: Sequence[str] = (),
        *,
        promiscuous: bool = False,
        ring_bytes: int = 16 << 20,
        fanout: int = 1,
        filter: Filter | None = None,
        sample: int = 1,
        detail: Detail = "packets",
        carriers: bool = False,
        payloads: bool = False,
        packets: PacketWriter | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._names = tuple(names)
        self._promiscuous = promiscuous
        self._ring_bytes = ring_bytes
        self._lanes = [_Lane(place) for place in range(fanout)]
        self._filled: queue.SimpleQueue[tuple[_Lane, np.ndarray[Any, np.dtype[Any]], Batch]] = queue.SimpleQueue()
        self._filter: AnyFilter | None = filter
        self._sample = sample
        self._detail = detail
        self._carriers = carriers
        self._packets = packets
        self._payloads = _payloads() if payloads else None
        self._numbers: dict[tuple[str, int], int] = {}  # there, of interfaces by name and link type
        self._report = report
        self._rings: dict[int, PacketRings] = {}
        self._ended: Counter[tuple[str, str]] = Counter()  # (interface, term): of rings that are closed, and of names that were
        self._interfaces: dict[int, str] = {}
        self._rows = np.empty(0, PACKET.dtype)
        self._stopping = threading.Event()
        self._missed: Counter[str] = Counter()  # by interface: what it carried before it was listened on
        self._known: set[int] = set()  # interfaces that were there at the last look
        self.tail: Tail | None = None
        """As Tap.tail."""
        self._crashed: Counter[str] = Counter()
        self._watcher = Watcher(routes=not names)
        self._spare = SpareSockets()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Open a ring for each interface. Raises ConfigError for an unknown interface, or a KernelError."""
        self._rows = np.empty(BATCH_ROWS, PACKET.dtype)
        for lane in self._lanes if len(self._lanes) > 1 else ():
            lane.open()
        try:
            self._watcher.open()
            self._known = set(interfaces())
            for interface in choose(self._names):
                self._begin(interface)
            self._spare.open()
            if self.tail:
                self._crashed = collect(self._report)
                self.tail.open(-1, self._crashed)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give everything back. What a ring still holds, because read() was not brought to its end, is dropped{af_packet, cut}."""
        self._watcher.close()
        for ring in self._rings.values():
            ring.stop()
        for index in list(self._rings):
            self._end(index)
        self._spare.close()
        if self.tail:
            self.tail.close()

    def stop(self) -> None:
        """Make read() hand out what the rings still hold, and end."""
        self._stopping.set()

    def set_filter(self, filter: AnyFilter | None, of: FilterOf = FilterOf["packets"]) -> None:
        """See interfaces.Filtering."""
        if of is not FilterOf["packets"]:
            return
        terms = terms_of(filter, self._interfaces)
        with self._alone():
            self._filter = filter
            for ring in self._rings.values():
                ring.choose(terms, sample_below(self._sample), rates_only=self._detail == "rates")

    def set_detail(self, detail: Detail) -> None:
        """From the next packet on, that becomes of them."""
        self._detail = detail
        self.set_filter(self._filter)

    def rates(self, ts: int) -> Batch:
        """What all packets came to since the last call, kept or not."""
        with self._alone():
            each = [lane.rollup.take(ts)[0].rows for lane in self._lanes]
        return Batch(RATE, _summed(each) if len(each) > 1 else each[0], self._interfaces)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no ring is read."""
        with contextlib.ExitStack() as held:
            for lane in self._lanes:
                held.enter_context(lane.lock)
            yield

    def listening(self) -> list[tuple[str, str]]:
        """(interface, hook) for each that is open now."""
        return [(ring.interface.name, "af_packet") for ring in list(self._rings.values())]

    def programs(self) -> dict[str, int]:
        """None: these packets are parsed here."""
        return {}

    def memory(self) -> dict[str, int]:
        """Octets of rings."""
        return {"rings": self._ring_bytes * sum(len(rings.fds) for rings in list(self._rings.values()))}

    def read(self) -> Iterator[Batch]:
        """Batches as the kernel hands over blocks, all `borrowed`: good until the next is asked for."""
        if len(self._lanes) > 1:
            yield from self._read_lanes()
        while not self._stopping.is_set():
            if self._wait():
                yield from self._follow()
            yielded = False
            for batch in self._batches(list(self._rings.values())):
                yielded = True
                yield batch
            if not yielded:
                yield self._batch(self._rows[:0])
                if len(self._rings) > 1:
                    time.sleep(REST_S)
        yield from self._finish(list(self._rings))

    def _read_lanes(self) -> Iterator[Batch]:
        """The same, where each lane's thread reads and this one hands out."""
        threads = [threading.Thread(target=self._fill, args=(lane,), name=f"af_packet {lane.place}", daemon=True) for lane in self._lanes]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) or not self._filled.empty():
                if self._watcher.drain() and not self._stopping.is_set():
                    yield from self._follow()
                try:
                    lane, rows, batch = self._filled.get(timeout=WAIT_MS / 1000)
                except queue.Empty:
                    yield self._batch(self._rows[:0])
                    continue
                yield batch
                lane.free.put(rows)
        finally:  # nobody asks for more batches, and lanes may wait for room
            self._stopping.set()
            for lane in self._lanes:
                lane.free.put(self._rows)
            for thread in threads:
                thread.join()

    def _fill(self, lane: _Lane) -> None:
        """Of each interface the ring of one lane, until stop()."""
        while not self._stopping.is_set():
            poll = select.poll()
            for rings in list(self._rings.values()):
                for fd in rings.fds[lane.place : lane.place + 1]:
                    poll.register(fd, select.POLLIN)
            poll.poll(WAIT_MS)
            for rings in list(self._rings.values()):
                rows = lane.free.get()
                if self._stopping.is_set():  # these may be somebody else's; what is unread is read at the end
                    return
                with lane.lock:
                    batch = self._batch(rows[: read([rings], lane.place, rows, lane.rollup)])
                if len(batch):
                    self._filled.put((lane, rows, batch))
                else:
                    lane.free.put(rows)

    def _wait(self) -> bool:
        """Until a ring has something, but no longer than WAIT_MS; whether the interfaces changed."""
        poll = select.poll()
        poll.register(self._watcher.fileno(), select.POLLIN)
        for rings in self._rings.values():
            for fd in rings.fds:
                poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(WAIT_MS)}
        return self._watcher.fileno() in ready and self._watcher.drain()

    def _batches(self, rings: Sequence[PacketRings]) -> Iterator[Batch]:
        """At most a batch of each lane. What has waited longest comes first, so that no ring keeps the others waiting."""
        if self._packets and not self._packets.ready():
            return
        for lane in self._lanes:
            payloads = self._payloads if self._detail in ("messages", "packets") else None
            with lane.lock:
                made = read(rings, lane.place, self._rows, lane.rollup, payloads)
            if made:
                yield replace(self._batch(self._rows[:made]), payloads=payloads)

    def _batch(self, rows: np.ndarray[Any, np.dtype[Any]]) -> Batch:
        deferred = "packets" if self._detail in ("flows", "messages") else ""
        return Batch(PACKET, rows, self._interfaces, borrowed=True, carriers=self._carriers, deferred=deferred)

    def _finish(self, indices: list[int]) -> Iterator[Batch]:
        """Take nothing more for these rings, hand out what they hold, and close them."""
        rings = [self._rings[index] for index in indices]
        for ring in rings:
            ring.stop()
        deadline = time.monotonic() + DRAIN_S
        while rings and time.monotonic() < deadline:
            for batch in self._batches(rings):
                yield batch
                deadline = time.monotonic() + DRAIN_S  # what comes is waited for, however slowly a busy machine reads it
            with self._alone():
                rings = [ring for ring in rings if unread(ring.count())]
            if rings:
                time.sleep(0.002)
        for index in indices:
            self._end(index)

    # -- interfaces -----------------------------------------------------------------------------------------------------

    def _begin(self, interface: Interface) -> None:
        whole = self._payloads is not None or (self._packets is not None and not self._packets.headers_only)
        fanout = 1 if self._spare.are_limited else len(self._lanes)  # sockets of a fanout group cannot serve again
        ring = PacketRings(
            interface, self._spare, self._ring_bytes, fanout, promiscuous=self._promiscuous, whole=whole, carriers=self._carriers
        )
        self._describe(ring)
        self._ledger.note(interface.name, self.name)
        with self._alone():
            self._rings[interface.index] = ring
        self._interfaces = self._interfaces | {interface.index: interface.name}
        self.set_filter(self._filter)

    def _describe(self, ring: PacketRings) -> None:
        """Say whose the packets of this ring are. An interface that comes back is the one it was."""
        if self._packets:
            link_type = LINKTYPE_ETHERNET if ring.interface.starts_with_ethernet else LINKTYPE_RAW
            key = ring.interface.name, link_type
            if key not in self._numbers:
                self._numbers[key] = lib.hw_pcapng_writer_interface(self._packets.memory, ring.interface.name.encode(), link_type)
            if self._numbers[key] < 0:
                raise MemoryError
            ring.write(self._packets, self._numbers[key])

    def _end(self, index: int) -> None:
        with self._alone():
            ring = self._rings.pop(index)
            counts = ring.count()
            counts["cut"] = unread(counts)
            self._keep(ring.interface.name, counts)
            ring.close()

    def _keep(self, name: str, counts: Counter[str]) -> None:
        self._ended.update({(name, term): count for term, count in counts.items()})

    def _follow(self) -> Iterator[Batch]:
        """Bring the rings to what is there: interfaces that are gone, renamed, new, or shown by another one now."""
        there = interfaces()
        wanted = self._wanted()
        gone = [index for index, ring in self._rings.items() if index not in there or not ring.bound()]
        for index in gone:
            self._report(f"{self._rings[index].interface.name} is gone; waiting for it to come back")
        yield from self._finish(gone)
        if not self._names and wanted:
            yield from self._finish([index for index in self._rings if there[index].up and index not in wanted])
        for index, ring in self._rings.items():
            self._rename(ring, there[index])
        for interface in wanted.values():
            if interface.index not in self._rings:
                received, sent = (0, 0) if interface.index in self._known - set(gone) else carried(interface.index)
                try:
                    self._begin(interface)
                    self._missed[interface.name] += received + (0 if interface.loopback else sent)
                    self._report(f"listening on {interface.name}")
                except HeadwaterError as error:  # gone again, or not allowed any more: the others go on
                    self._report(str(error))

        self._known = set(there)

    def _wanted(self) -> dict[int, Interface]:
        wanted = {}
        each: list[tuple[str, ...]] = [(name,) for name in self._names]
        for names in each or [()]:
            try:
                wanted.update({one.index: one for one in choose(names)})
            except ConfigError:
                continue  # it was there at the start, or choose() had refused it; it may come back
        return wanted

    def _rename(self, ring: PacketRings, now: Interface) -> None:
        old = ring.interface.name
        if ring.interface.up and not now.up:
            self._report(f"{old} is down; waiting for it to come up again")
        with self._alone():
            self._keep(old, ring.rename(now))
            self._describe(ring)
        if now.name != old:
            self._ledger.note(now.name, self.name)
            self._interfaces = self._interfaces | {now.index: now.name}  # batches that were handed out keep the old name
            self.set_filter(self._filter)
            self._report(f"{old} is called {now.name} now")

    # -- the ledger ---------------------------------------------------------------------------------------------------------

    def account(self) -> None:
        """Counts by interface name. `seen` is of those whose fate is known; at the end that is all of them."""
        with self._alone():
            counts = self._ended.copy()
            for ring in self._rings.values():
                counts.update({(ring.interface.name, term): count for term, count in ring.count().items()})
        totals = {}
        for name in {name for name, _ in counts} | self._crashed.keys():
            full, cut = counts[name, "ring_full"], counts[name, "cut"]
            missed, crashed = self._missed[name], self._crashed[name]
            totals[Entry("packets", name, "seen")] = sum(counts[name, term] for term in FATES) + full + cut + missed + crashed
            totals[Entry("packets", name, "dropped", "nic", "not_attached")] = missed
            totals[Entry("packets", name, "dropped", *place_reason(Drop["crash_tail__killed"]))] = crashed
            for term in FATES:
                totals[Entry("packets", name, term)] = counts[name, term]
            totals[Entry("packets", name, "octets")] = counts[name, "octets"]
            totals[Entry("packets", name, "segments")] = counts[name, "segments"]
            totals[Entry("packets", name, "dropped", "af_packet", "ring_full")] = full
            totals[Entry("packets", name, "dropped", "af_packet", "cut")] = cut
        self._ledger.replace(totals)
        if self.tail:
            self.tail.tell({}, 0)


def _summed(each: list[np.ndarray[Any, np.dtype[Any]]]) -> np.ndarray[Any, np.dtype[Any]]:
    """What several lanes counted of one key as one row."""
    octets = f"V{RATE.dtype.itemsize}"
    rates = np.concatenate([rows.view(octets) for rows in each]).view(RATE.dtype)  # structs would lose their padding
    if not len(rates):
        return rates
    keys = rates.copy()
    keys["packets"] = keys["bytes"] = 0
    _, first, place = np.unique(keys.view("u1").reshape(len(keys), -1), axis=0, return_index=True, return_inverse=True)
    sums: np.ndarray[Any, np.dtype[Any]] = keys[first]
    for name in ("packets", "bytes"):
        np.add.at(sums[name], place.reshape(-1), rates[name])
    return sums
