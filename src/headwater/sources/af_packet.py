"""Live packets through packet sockets with a mapped ring (native/af_packet.c): where the kernel has no tcx, or eBPF is not allowed."""

import errno
import os
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
from headwater.kernel.interfaces import Interface, Watcher, choose, interfaces
from headwater.records import PACKET, Batch
from headwater.records.layouts import FILTER
from headwater.records.rollup import Rollup
from headwater.telemetry import Entry, Ledger

BATCH_ROWS = 16_384
WAIT_MS = 100
FATES = ("as_row", "filtered", "sampled_out", "counted_only")  # of packets that were read
DRAIN_S = 1.0  # without a packet: the kernel hands the last block over 20 ms after it was begun; a busy machine may take longer


class _Ring:
    """The ring of one interface. `counts` are as of the last call of count(), since the interface has had this name."""

    def __init__(self, interface: Interface, ring_bytes: int, *, promiscuous: bool) -> None:
        self.interface = interface
        ip = not interface.starts_with_ethernet
        # loopback shows each packet twice; what arrives is all there is
        self._ring = lib.hw_af_packet_open(interface.index, ip, ring_bytes, interface.loopback, promiscuous)
        if self._ring == ffi.NULL:
            _refuse(ffi.errno, interface.name, ring_bytes)
        self.fd = int(lib.hw_af_packet_fd(self._ring))
        self._counts = ffi.new("struct hw_af_packet_counts *")
        self._before: Counter[str] = Counter()

    def read(self, rows: np.ndarray[Any, np.dtype[Any]], rates: Rollup) -> int:
        """Fill `rows` with what has arrived; how many there are. `rates` counts every packet, kept or not."""
        memory = ffi.from_buffer(rows)
        return int(lib.hw_af_packet_read(self._ring, self.interface.mtu, memory, rows.dtype.itemsize, len(rows), rates.table))

    def choose(self, terms: np.ndarray[Any, np.dtype[Any]], below: int, *, rates_only: bool) -> None:
        """Which packets become rows: Filter.terms() and sample_below(), or none. Not while read() runs."""
        lib.hw_af_packet_choose(self._ring, ffi.from_buffer(terms), below, rates_only)

    def bound(self) -> bool:
        """Whether packets can still come."""
        return bool(lib.hw_af_packet_bound(self._ring))

    def stop(self) -> None:
        """Take nothing more from the kernel; what the ring holds can still be read."""
        lib.hw_af_packet_stop(self._ring)

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
        """Give the ring back."""
        lib.hw_af_packet_close(self._ring)

    def _total(self) -> Counter[str]:
        lib.hw_af_packet_counts_of(self._ring, self._counts)
        return Counter({name: int(getattr(self._counts, name)) for name in ("seen", *FATES, "octets", "segments", "ring_full")})


class AfPacket:
    """Live packets of `names` (none: the interfaces that kernel.interfaces.choose finds), followed as they come, go and are renamed.

    `promiscuous` asks the card for frames that are addressed to others; `ring_bytes` is the ring of each interface. Of the packets that
    `filter` keeps, one in `sample` becomes a row; with `rates_only` none does. All packets are counted in rates(). `report` is told, in a
    line, of what becomes of interfaces.
    """

    name = "af_packet"

    def __init__(
        self,
        ledger: Ledger,
        names: Sequence[str] = (),
        *,
        promiscuous: bool = False,
        ring_bytes: int = 16 << 20,
        filter: Filter | None = None,
        sample: int = 1,
        rates_only: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._names = tuple(names)
        self._promiscuous = promiscuous
        self._ring_bytes = ring_bytes
        self._filter = filter
        self._sample = sample
        self._rates_only = rates_only
        self._rollup = Rollup()
        self._report = report
        self._rings: dict[int, _Ring] = {}
        self._ended: Counter[tuple[str, str]] = Counter()  # (interface, term): of rings that are closed, and of names that were
        self._interfaces: dict[int, str] = {}
        self._rows = np.empty(0, PACKET.dtype)
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # account() is called while read() runs
        self._watcher = Watcher(routes=not names)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Open a ring for each interface. Raises ConfigError for an unknown interface, or a KernelError."""
        self._rows = np.empty(BATCH_ROWS, PACKET.dtype)
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
        with self._lock:
            self._filter = filter
            for ring in self._rings.values():
                ring.choose(terms, sample_below(self._sample), rates_only=self._rates_only)

    def _terms(self, filter: Filter | None) -> np.ndarray[Any, np.dtype[Any]]:
        return filter.terms(self._interfaces) if filter else np.zeros(1, FILTER)

    def rates(self, ts: int) -> Batch:
        """What all packets came to since the last call, kept or not."""
        with self._lock:
            counted, _ = self._rollup.take(ts)
        return Batch(counted.record, counted.rows, self._interfaces)

    def listening(self) -> list[tuple[str, str]]:
        """(interface, hook) for each that is open now."""
        return [(ring.interface.name, "af_packet") for ring in list(self._rings.values())]

    def read(self) -> Iterator[Batch]:
        """Batches as the kernel hands over blocks, all `borrowed`: good until the next is asked for."""
        while not self._stopping.is_set():
            if self._wait():
                yield from self._follow()
            yielded = False
            for ring in list(self._rings.values()):
                for batch in self._batches(ring):
                    yielded = True
                    yield batch
            if not yielded:
                yield self._batch(0)
        yield from self._finish(list(self._rings))

    def _wait(self) -> bool:
        """Until a ring has something, but no longer than WAIT_MS; whether the interfaces changed."""
        poll = select.poll()
        poll.register(self._watcher.fileno(), select.POLLIN)
        for ring in self._rings.values():
            poll.register(ring.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(WAIT_MS)}
        return self._watcher.fileno() in ready and self._watcher.drain()

    def _batches(self, ring: _Ring) -> Iterator[Batch]:
        """One batch, or none. A ring that is always full does not keep the others waiting."""
        with self._lock:
            made = ring.read(self._rows, self._rollup)
        if made:
            yield self._batch(made)

    def _batch(self, rows: int) -> Batch:
        return Batch(PACKET, self._rows[:rows], self._interfaces, borrowed=True)

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
            with self._lock:
                rings = [ring for ring in rings if _unread(ring.count())]
            if rings:
                time.sleep(0.002)
        for index in indices:
            self._end(index)

    # -- interfaces -----------------------------------------------------------------------------------------------------

    def _begin(self, interface: Interface) -> None:
        ring = _Ring(interface, self._ring_bytes, promiscuous=self._promiscuous)
        with self._lock:
            self._rings[interface.index] = ring
        self._interfaces = self._interfaces | {interface.index: interface.name}
        self.set_filter(self._filter)

    def _end(self, index: int) -> None:
        with self._lock:
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

    def _rename(self, ring: _Ring, now: Interface) -> None:
        old = ring.interface.name
        if ring.interface.up and not now.up:
            self._report(f"{old} is down; waiting for it to come up again")
        with self._lock:
            self._keep(old, ring.rename(now))
        if now.name != old:
            self._interfaces = self._interfaces | {now.index: now.name}  # batches that were handed out keep the old name
            self.set_filter(self._filter)
            self._report(f"{old} is called {now.name} now")

    # -- the ledger ---------------------------------------------------------------------------------------------------------

    def account(self) -> None:
        """Counts by interface name. `seen` is of those whose fate is known; at the end that is all of them."""
        with self._lock:
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
