"""Live packets through packet sockets with a mapped ring (native/af_packet.c): where the kernel has no tcx, or eBPF is not allowed."""

import contextlib
import errno
import os
import queue
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import ConfigError, HeadwaterError, KernelError, PermissionDenied, Unsupported
from headwater.filters import Filter, sample_below
from headwater.interfaces import PacketWriter
from headwater.kernel.interfaces import Interface, Watcher, choose, interfaces
from headwater.records import PACKET, RATE, Batch
from headwater.records.layouts import FILTER
from headwater.records.rollup import Rollup
from headwater.telemetry import Entry, Ledger

BATCH_ROWS = 16_384
WAIT_MS = 100
FATES = ("as_row", "filtered", "sampled_out", "counted_only")  # of packets that were read
LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101  # https://www.tcpdump.org/linktypes.html
DRAIN_S = 1.0  # without a packet: the kernel hands the last block over 20 ms after it was begun; a busy machine may take longer


class _Rings:
    """The rings of one interface, `fanout` of them. `counts` are as of the last call of count(), since the interface has had this name."""

    def __init__(self, interface: Interface, ring_bytes: int, fanout: int, *, promiscuous: bool, whole: bool) -> None:
        self.interface = interface
        self._rings: list[Any] = []
        try:
            # loopback shows each packet twice; what arrives is all there is, and only a ring alone can choose it
            for _ in range(1 if interface.loopback else fanout):
                self._open(ring_bytes, promiscuous=promiscuous)
            for ring in self._rings if len(self._rings) > 1 else ():
                first = self._rings[0] if ring != self._rings[0] else ffi.NULL
                self._expect(lib.hw_af_packet_join(ring, first) == 0, ring_bytes)
            for ring in self._rings:
                self._expect(lib.hw_af_packet_start(ring, whole) == 0, ring_bytes)
        except BaseException:
            self.close()
            raise
        self.fds = [int(lib.hw_af_packet_fd(ring)) for ring in self._rings]
        self._counts = ffi.new("struct hw_af_packet_counts *")
        self._before: Counter[str] = Counter()

    def _open(self, ring_bytes: int, *, promiscuous: bool) -> None:
        one, ip = self.interface, not self.interface.starts_with_ethernet
        ring = lib.hw_af_packet_open(one.index, ip, ring_bytes, one.loopback, promiscuous and not self._rings)
        self._expect(ring != ffi.NULL, ring_bytes)
        self._rings.append(ring)

    def _expect(self, done: bool, ring_bytes: int) -> None:
        if not done:
            _refuse(ffi.errno, self.interface.name, ring_bytes)

    def read(self, place: int, rows: np.ndarray[Any, np.dtype[Any]], rates: Rollup) -> int:
        """Fill `rows` with what has arrived in one ring; how many there are. `rates` counts every packet, kept or not."""
        if place >= len(self._rings):
            return 0
        memory = ffi.from_buffer(rows)
        return int(lib.hw_af_packet_read(self._rings[place], self.interface.mtu, memory, rows.dtype.itemsize, len(rows), rates.table))

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
        return counts

    def close(self) -> None:
        """Give the rings back."""
        while self._rings:
            lib.hw_af_packet_close(self._rings.pop())

    def _total(self) -> Counter[str]:
        total = Counter[str]()
        for ring in self._rings:
            lib.hw_af_packet_counts_of(ring, self._counts)
            total.update({name: int(getattr(self._counts, name)) for name in ("seen", *FATES, "octets", "segments", "ring_full")})
        return total


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
    ring an interface; with `rates_only` none does. All packets are counted in
    rates(). `report` is told, in a line, of what becomes of interfaces.
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
        rates_only: bool = False,
        packets: PacketWriter | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._names = tuple(names)
        self._promiscuous = promiscuous
        self._ring_bytes = ring_bytes
        self._lanes = [_Lane(place) for place in range(fanout)]
        self._filled: queue.SimpleQueue[tuple[_Lane, np.ndarray[Any, np.dtype[Any]], Batch]] = queue.SimpleQueue()
        self._filter = filter
        self._sample = sample
        self._rates_only = rates_only
        self._packets = packets
        self._numbers: dict[tuple[str, int], int] = {}  # there, of interfaces by name and link type
        self._report = report
        self._rings: dict[int, _Rings] = {}
        self._ended: Counter[tuple[str, str]] = Counter()  # (interface, term): of rings that are closed, and of names that were
        self._interfaces: dict[int, str] = {}
        self._rows = np.empty(0, PACKET.dtype)
        self._stopping = threading.Event()
        self._watcher = Watcher(routes=not names)

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
            for interface in choose(self._names):
                self._begin(interface)
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

    def stop(self) -> None:
        """Make read() hand out what the rings still hold, and end."""
        self._stopping.set()

    def set_filter(self, filter: Filter | None) -> None:
        """From the next packet on, keep what it keeps. Raises FilterError, and leaves all as it was, if it is too long."""
        terms = self._terms(filter)
        with self._alone():
            self._filter = filter
            for ring in self._rings.values():
                ring.choose(terms, sample_below(self._sample), rates_only=self._rates_only)

    def _terms(self, filter: Filter | None) -> np.ndarray[Any, np.dtype[Any]]:
        return filter.terms(self._interfaces) if filter else np.zeros(1, FILTER)

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
            for rings in list(self._rings.values()):
                for batch in self._batches(rings):
                    yielded = True
                    yield batch
            if not yielded:
                yield self._batch(self._rows[:0])
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
                    batch = self._batch(rows[: rings.read(lane.place, rows, lane.rollup)])
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

    def _batches(self, rings: _Rings) -> Iterator[Batch]:
        """At most a batch of each ring. One that is always full does not keep the others waiting."""
        if self._packets and not self._packets.ready():
            return
        for lane in self._lanes:
            with lane.lock:
                made = rings.read(lane.place, self._rows, lane.rollup)
            if made:
                yield self._batch(self._rows[:made])

    def _batch(self, rows: np.ndarray[Any, np.dtype[Any]]) -> Batch:
        return Batch(PACKET, rows, self._interfaces, borrowed=True)

    def _finish(self, indices: list[int]) -> Iterator[Batch]:
        """Take nothing more for these rings, hand out what they hold, and close them."""
        rings = [self._rings[index] for index in indices]
        for ring in rings:
            ring.stop()
        deadline = time.monotonic() + DRAIN_S
        while rings and time.monotonic() < deadline:
            for ring in rings:
                for batch in self._batches(ring):
                    yield batch
                    deadline = time.monotonic() + DRAIN_S  # what comes is waited for, however slowly a busy machine reads it
            with self._alone():
                rings = [ring for ring in rings if _unread(ring.count())]
            if rings:
                time.sleep(0.002)
        for index in indices:
            self._end(index)

    # -- interfaces -----------------------------------------------------------------------------------------------------

    def _begin(self, interface: Interface) -> None:
        whole = self._packets is not None and not self._packets.headers_only
        ring = _Rings(interface, self._ring_bytes, len(self._lanes), promiscuous=self._promiscuous, whole=whole)
        self._describe(ring)
        self._ledger.note(interface.name, self.name)
        with self._alone():
            self._rings[interface.index] = ring
        self._interfaces = self._interfaces | {interface.index: interface.name}
        self.set_filter(self._filter)

    def _describe(self, ring: _Rings) -> None:
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
            counts["cut"] = _unread(counts)
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
                try:
                    self._begin(interface)
                    self._report(f"listening on {interface.name}")
                except HeadwaterError as error:  # gone again, or not allowed any more: the others go on
                    self._report(str(error))

    def _wanted(self) -> dict[int, Interface]:
        wanted = {}
        each: list[tuple[str, ...]] = [(name,) for name in self._names]
        for names in each or [()]:
            try:
                wanted.update({one.index: one for one in choose(names)})
            except ConfigError:
                continue  # it was there at the start, or choose() had refused it; it may come back
        return wanted

    def _rename(self, ring: _Rings, now: Interface) -> None:
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
        for name in {name for name, _ in counts}:
            full, cut = counts[name, "ring_full"], counts[name, "cut"]
            totals[Entry("packets", name, "seen")] = sum(counts[name, term] for term in FATES) + full + cut
            for term in FATES:
                totals[Entry("packets", name, term)] = counts[name, term]
            totals[Entry("packets", name, "octets")] = counts[name, "octets"]
            totals[Entry("packets", name, "segments")] = counts[name, "segments"]
            totals[Entry("packets", name, "dropped", "af_packet", "ring_full")] = full
            totals[Entry("packets", name, "dropped", "af_packet", "cut")] = cut
        self._ledger.replace(totals)


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


def _unread(counts: Counter[str]) -> int:
    return counts["seen"] - sum(counts[term] for term in FATES) - counts["ring_full"]


def _refuse(failed: int, name: str, ring_bytes: int) -> None:
    match failed:
        case errno.EPERM | errno.EACCES:
            raise PermissionDenied("opening a packet socket", "CAP_NET_RAW")
        case errno.ENOMEM:
            raise KernelError(f"no memory for a ring of {ring_bytes:,} octets on {name}: make ring_bytes smaller")
        case errno.ENODEV | errno.ENXIO:
            raise KernelError(f"{name} is gone")
        case errno.EAFNOSUPPORT:
            raise Unsupported("a packet socket", "a kernel with CONFIG_PACKET")
        case errno.ENOPROTOOPT:
            raise Unsupported("leaving out loopback's second sight", "kernel 4.20 or newer")
    raise KernelError(f"a packet socket on {name} was refused ({os.strerror(failed)}): see `headwater doctor`")
