"""Captures through the kernel's table of flows (BPF_PROG_RUN, with the time of each packet), and through the native one."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from captured import Frame
from headwater._native import ffi, lib

from headwater.analysis.flows import Flows, FlowSettings
from headwater.errors import SourceError
from headwater.filters import FlowFilter, terms_of
from headwater.kernel import libbpf
from headwater.kernel.control import Control, Job
from headwater.records import CONN, DEFERRED, ENUMS, PACKET, SERVER, TUNNEL, WEIRD, Batch
from headwater.records.layouts import FilterOf
from headwater.sources.capture import Capture
from headwater.sources.kernel_flows import SWEEP, KernelFlows
from headwater.sources.tap import RATE_SLOTS
from headwater.telemetry import Entry, Ledger

Rows = np.ndarray[Any, np.dtype[Any]]
HERE = Path(__file__).parent
MULTIARCH = Path("/usr/include") / f"{os.uname().machine}-linux-gnu"
ETHERNET = 1
SMALL = 900  # octets of memory for a flow, more or less
LEAST, MOST = 14, 9000  # octets of a frame that a test run of XDP takes
YEAR_NS = 365 * 86_400 * 10**9
SEVERAL = {"tunnels__gre-aruba-amsdu"}  # a frame with several packets, of which a live one gives the first
NAMES = {0: "capture", 1: "lo"}
FINISHED = next(value for value, name in ENUMS["hw_conn_state"].items() if name == "SF")
EVICTED, OVERDUE, ATTEMPT = (next(v for v, n in ENUMS["hw_conn_end"].items() if n == name) for name in ("evicted", "timeout", "attempt"))
APART = {CONN.name: ("interface",), TUNNEL.name: ("ts",), WEIRD.name: ("interface", "direction", "addl", "source")}
"""Columns that are not to be equal: a capture's interface is none of the kernel's, and a tunnel is over when the clock is looked at."""


def build(headers: Path, into: Path) -> Path:
    """The tap with the flow.h of `headers`, for which it is what time hw_control.utc_offset says. Returns the folder of objects."""
    into.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-w", f"-I{MULTIARCH}", "-DHW_NOW=hw_control.utc_offset"]
    subprocess.run(["clang", *flags, "-c", str(headers / "tap.bpf.c"), "-o", str(into / "tap.bpf.o")], check=True, timeout=120)
    return into


class Table:
    """The kernel's table of flows, fed by hand, on one CPU."""

    def __init__(
        self,
        settings: FlowSettings,
        octets: int = 32 << 20,
        ring_bytes: int = 1 << 20,
        asked: FlowFilter | None = None,
        servers: int = 0,
        budget: int = 0,
    ) -> None:
        self.kernel = KernelFlows(settings.row(), "xdp", octets=octets, ring_bytes=ring_bytes, servers=servers, budget=budget)
        self._asked = asked
        cpus = libbpf.possible_cpus()
        entries = {"hw_packet_rings": cpus, "hw_rates": 2 * cpus * RATE_SLOTS, **self.kernel.entries()}
        self._object = libbpf.Object("tap", ("hw_xdp_flows", *self.kernel.programs), entries)
        self._settings = settings
        self.forget()
        self.now = 0

    def __enter__(self) -> "Table":
        self._object.open()
        self.control = Control(self._object.map(".bss"))
        self.control.begin(libbpf.possible_cpus(), carriers=True)
        self.control.choose(rows=False, flows=True, carries=self.kernel.carried is not None)
        self.control.set_filter(terms_of(self._asked, {}), FilterOf["flows"])
        self.kernel.open(self._object, self.control, lambda: self.now)
        self.program = self._object.program("hw_xdp_flows")
        self._options = ffi.new("struct bpf_test_run_opts *")
        self._options.sz = ffi.sizeof("struct bpf_test_run_opts")
        self._options.repeat = 1
        self._out = ffi.new("char[]", MOST)
        self._options.data_out = self._out
        return self

    def __exit__(self, *_: object) -> None:
        self._object.close()

    def forget(self) -> None:
        """What flows before have carried. Another capture may have the same ones."""
        self._flows = Flows("kernel", self._settings, elsewhere=self.kernel, messages=self.kernel.carried is not None)
        if self.kernel.carried:
            self.kernel.carried.wants["first"] = 0

    def put(self, ts: int, frame: bytes) -> None:
        """A frame at that time."""
        self.control.utc_offset[0] = ts
        self.now = max(self.now, ts)
        octets = ffi.from_buffer(frame)
        self._options.data_in, self._options.data_size_in = octets, len(frame)
        self._options.data_size_out = MOST
        failed = lib.bpf_prog_test_run_opts(self.program, self._options)
        assert not failed, (os.strerror(-failed), len(frame))

    def hand(self, rows: Rows) -> Iterator[Batch]:
        """Packets, and what carries them, as if user space had had to look at them first."""
        deferred = np.zeros(len(rows), DEFERRED.dtype)
        deferred["row"] = rows
        at = 0
        while at < len(rows):
            end = at + 1 + int(np.argmax(rows["segments"][at:] != 0))
            self.now = max(self.now, int(rows["ts"][at]))
            for batch in self.kernel.deferred.frames(deferred[at:end], NAMES):
                yield from self._found(batch)
            yield from self.told()
            at = end

    def set_filter(self, asked: FlowFilter | None) -> None:
        """Of flows that are told from now on."""
        self._flows.set_filter(asked, FilterOf["flows"])
        self.control.set_filter(terms_of(asked, {}), FilterOf["flows"])

    def expire(self, now: int) -> None:
        """End what is over by then; what is told of it lies in the rings."""
        at = 0
        while at < self.kernel.buckets:
            self.control.ask(Job.expire, OVERDUE, now=now, at=at, count=min(SWEEP, self.kernel.buckets - at))
            libbpf.run(self._object.program(self.kernel.job))
            at = self.control.reached

    def map(self, name: str) -> int:
        """The descriptor of one of its maps."""
        return self._object.map(name)

    def elsewhere(self) -> int:
        """Flows that found no room, and are not over yet."""
        key, found = ffi.new("__u64 *"), 0
        fd = self._object.map("hw_flow_elsewhere")
        before = ffi.NULL
        while not lib.bpf_map_get_next_key(fd, before, key):
            found, before = found + 1, ffi.new("__u64 *", key[0])
        return found

    def _found(self, batch: Batch) -> Iterator[Batch]:
        yield from [batch] if batch.record is SERVER else self._flows.find(batch)

    def streams(self) -> int:
        """Octets that came of what flows carry."""
        ledger = Ledger()
        self._flows.account(ledger)
        return ledger.get(Entry("octets", "kernel", "carried"))

    def told(self) -> Iterator[Batch]:
        """What the kernel has told till now."""
        for batch in self.kernel.read(NAMES):
            yield from self._found(batch)

    def end(self) -> Iterator[Batch]:
        """All that is left; after that, another capture may begin."""
        for batch in self.kernel.end(NAMES):
            yield from self._found(batch)
        yield from self._flows.end()
        self.kernel.begin()
        self.now = 0


def through_kernel(table: Table, taken: list[Frame]) -> dict[str, Rows]:
    """Rows by record."""
    found: list[Batch] = []
    for frame in taken:
        table.put(frame.ts, frame.octets)
        found += [batch.copy() for batch in table.told()]
    found += [batch.copy() for batch in table.end()]
    return _rows(found)


def through_native(path: Path, settings: FlowSettings) -> dict[str, Rows]:
    """The same of the capture in user space."""
    given = rows_of(path)
    assert given is not None, path
    return rows_through_native(given, settings)


def rows_of(path: Path) -> Rows | None:
    """The rows of a capture's packets, and of what carries them; None if it is broken, or empty."""
    with Capture(str(path), Ledger(), carriers=True) as capture:
        try:
            found = [batch.copy().rows for batch in capture.read()]
        except SourceError:
            return None
    return np.concatenate(found, dtype=PACKET.dtype) if found else None


def rows_through_kernel(table: Table, given: Rows) -> dict[str, Rows]:
    """Rows by record, of packets row by row."""
    found = [batch.copy() for batch in table.hand(given)]
    return _rows(found + [batch.copy() for batch in table.end()])


def rows_through_native(given: Rows, settings: FlowSettings) -> dict[str, Rows]:
    """The same in user space."""
    flows = Flows("native", settings)
    found = [batch.copy() for batch in flows.find(Batch(PACKET, given, NAMES, carriers=True))]
    return _rows(found + [batch.copy() for batch in flows.end()])


def _rows(found: list[Batch]) -> dict[str, Rows]:
    """By record."""
    return {
        record.name: np.concatenate([np.empty(0, record.dtype), *(b.rows for b in found if b.record is record)], dtype=record.dtype)
        for record in (CONN, TUNNEL, WEIRD, SERVER)
    }


def sums_of_servers(rows: Rows) -> dict[tuple[bytes, ...], dict[str, int]]:
    """What all seconds of each server come to: counts, the shortest handshake and the longest."""
    found: dict[tuple[bytes, ...], dict[str, int]] = {}
    counts = [column.name for column in SERVER.columns if column.name not in {"ts", "addr", "port", "proto", "half_open"}]
    for row in rows:
        mine = found.setdefault(tuple(row[name].tobytes() for name in ("addr", "port", "proto")), dict.fromkeys(counts, 0))
        for name in counts:
            if name == "handshake_min" and row["handshakes"]:
                mine[name] = min(mine[name] or 1 << 63, int(row[name]))
            elif name == "handshake_max":
                mine[name] = max(mine[name], int(row[name]))
            elif name not in {"handshake_min", "handshake_mean"}:
                mine[name] += int(row[name])
    return {server: counts for server, counts in found.items() if any(counts.values())}


def suits(taken: list[Frame]) -> bool:
    """Whether the kernel can be shown these frames as they are."""
    return bool(taken) and all(f.link_type == ETHERNET and LEAST <= len(f.octets) <= MOST and f.length == len(f.octets) for f in taken)


def is_clock(times: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> bool:
    """Whether a host's clock could have said so, which runs, and not by a year at a time: when a flow ends depends on that."""
    later = np.diff(times.astype(np.int64))
    return bool(np.all((later >= 0) & (later < YEAR_NS)))


def differences(kernel: dict[str, Rows], native: dict[str, Rows]) -> list[str]:
    """What one has and the other has not, and of which columns' sake."""
    told = []
    for name, record in ((r.name, r) for r in (CONN, TUNNEL, WEIRD) if r.name in kernel):
        columns = [column for column in record.dtype.names or () if column not in APART[name]]
        one, other = (Counter(tuple(row[c].tobytes() for c in columns) for row in rows[name]) for rows in (kernel, native))
        left = sorted((other - one).elements())
        for row in sorted((one - other).elements()):
            nearest = min(left, key=lambda which: sum(a != b for a, b in zip(row, which, strict=True)), default=None)
            if nearest is None:
                told.append(f"{name}, kernel alone: {dict(zip(columns, row, strict=True))}")
                continue
            left.remove(nearest)
            pairs = zip(columns, row, nearest, strict=True)
            told.append(f"{name}: " + ", ".join(f"{c}: kernel {a.hex()} native {b.hex()}" for c, a, b in pairs if a != b))
        told += [f"{name}, native alone: {dict(zip(columns, row, strict=True))}" for row in left]
    return told


def timed_out(conns: Rows) -> int:
    """Flows that ended by a clock."""
    return int(np.isin(conns["end_reason"], (OVERDUE, ATTEMPT)).sum())
