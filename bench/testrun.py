"""The tap's programs run by BPF_PROG_RUN on frames of ours, into rings of the size that Headwater has."""

import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from headwater._native import ffi, lib

from headwater.kernel import libbpf
from headwater.kernel.control import Control
from headwater.kernel.ringbuf import HEADER, Ring
from headwater.records import PACKET
from headwater.records.layouts import COUNTERS
from headwater.sources.tap import RATE_SLOTS

SLOT = HEADER + PACKET.dtype.itemsize


class TestRun:
    """A loaded tap whose programs only we call. `ring_octets` for each CPU; `path`: another object with a tap, less .bpf.o."""

    __test__ = False

    def __init__(self, programs: Sequence[str], ring_octets: int, path: str = "tap") -> None:
        cpus = libbpf.possible_cpus()
        self._object = libbpf.Object(path, programs, {"hw_packet_rings": cpus, "hw_rates": 2 * cpus * RATE_SLOTS})
        self._object.open()
        self.rings: list[Ring] = []
        for cpu in range(cpus):
            fd = libbpf.create_ring("bench", ring_octets)
            libbpf.put(self._object.map("hw_packet_rings"), cpu, struct.pack("=I", fd))
            self.rings.append(Ring(fd, ring_octets, PACKET))
            os.close(fd)
        libbpf.put(self._object.map("hw_counts"), 0, np.zeros(cpus, COUNTERS).tobytes())
        self._control = Control(self._object.map(".bss"))
        self._control.begin(cpus, carriers=False)

    def set_filter(self, terms: np.ndarray[Any, np.dtype[Any]]) -> None:
        """Filter.terms(); zeros for none."""
        self._control.set_filter(terms)

    def run(self, program: str, frame: bytes, repeat: int) -> int:
        """Nanoseconds that one run took, on average, as the kernel measured it."""
        data = ffi.from_buffer(frame)
        options = ffi.new("struct bpf_test_run_opts *", {"data_in": data, "data_size_in": len(frame), "repeat": repeat})
        options.sz = ffi.sizeof("struct bpf_test_run_opts")
        failed = lib.bpf_prog_test_run_opts(self._object.program(program), options)
        if failed:
            raise SystemExit(f"bench: {program} did not run: {os.strerror(-failed)}")
        return int(options.duration)

    def take(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The rows that were in the rings."""
        parts = []
        for ring in self.rings:
            rows = ring.borrow(1 << 30)
            parts.append(rows.copy())
            ring.release(len(rows))
        return np.concatenate(parts, dtype=PACKET.dtype)

    def drain(self) -> int:
        """How many rows were in the rings."""
        return len(self.take())

    def close(self) -> None:
        """Unload."""
        self._object.close()
