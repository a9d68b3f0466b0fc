"""What a run itself costs: run time of its eBPF programs, CPU time and memory of its processes, memory of its maps (record `cost`)."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from headwater.interfaces import Priced
from headwater.kernel import libbpf
from headwater.records import COST, Batch

PERIOD_S = 60.0
SAMPLE_S = 1.0  # of each period, for which the kernel takes the programs' times: all programs of the machine pay for it
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Spent:
    """What a run has cost until now, in words."""

    def __init__(self, source: Priced) -> None:
        self._source = source
        self._began, self._cpu = time.monotonic(), 0.0
        self._octets = 0

    def begin(self) -> None:
        """What it cost to start does not count. `source` is open, and will have closed its rings and maps when the last words are said."""
        self._began, self._cpu = time.monotonic(), sum(os.times()[:4])
        self._octets = sum(self._source.memory().values())

    def __str__(self) -> str:
        """CPU time of this process and of children that have ended, and how much of a CPU that is; memory, and that of rings and maps."""
        cpu, seconds = sum(os.times()[:4]) - self._cpu, max(time.monotonic() - self._began, 0.1)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        memory = f"{resident >> 20:,} MiB of memory, {self._octets >> 20:,} MiB of rings and maps"
        return f"{cpu:,.1f} s of CPU time in {seconds:,.0f} s ({cpu / seconds:.0%} of one CPU), {memory}"


class Cost:
    """A row for each program, process and map of `source`, at once and then each `period` seconds.

    Without `bpf_stats`, or the privilege for it (CAP_SYS_ADMIN), there are no rows of programs.
    """

    name = "cost"

    def __init__(
        self, source: Priced, *, bpf_stats: bool = True, take_times: Callable[[], int] = libbpf.take_times, period: float = PERIOD_S
    ) -> None:
        self._source = source
        self._bpf_stats = bpf_stats
        self._take_times = take_times
        self._period = period
        self._stopping = threading.Event()
        self._cpu: dict[int, float] = {}

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing is held."""

    def stop(self) -> None:
        """Make read() end."""
        self._stopping.set()

    def account(self) -> None:
        """It sees no packets."""

    def read(self) -> Iterator[Batch]:
        """A batch a period."""
        begin = time.monotonic()
        list(self._processes())  # what they took before is no part of an interval
        while True:
            programs = self._sample()
            now, interval = time.time_ns(), time.monotonic() - begin
            begin += interval
            rows = [*programs, *self._processes(), *(("map", name, 0.0, 0, octets) for name, octets in self._source.memory().items())]
            columns = [(now, SAMPLE_S if kind == "program" else interval, kind, *rest) for kind, *rest in rows]
            yield Batch(COST, np.array(columns, COST.dtype))
            if self._stopping.wait(max(0.0, self._period - SAMPLE_S)):
                return

    def _sample(self) -> list[tuple[str, str, float, int, int]]:
        """Kind, name, seconds, runs, 0 of each program over SAMPLE_S."""
        fds = self._source.programs()
        switch = self._take_times() if self._bpf_stats and fds else -1
        if switch < 0:
            self._stopping.wait(SAMPLE_S)
            return []
        try:
            before = {name: libbpf.times(fd) for name, fd in fds.items()}
            self._stopping.wait(SAMPLE_S)
            after = {name: libbpf.times(fd) for name, fd in fds.items()}
        finally:
            os.close(switch)
        return [("program", name, (ns - before[name][0]) / 1e9, runs - before[name][1], 0) for name, (ns, runs) in after.items()]

    def _processes(self) -> Iterator[tuple[str, str, float, int, int]]:
        """This process and its children: CPU time since the last call, and resident memory."""
        own = os.getpid()
        children = Path(f"/proc/{own}/task/{own}/children")
        for pid in [own, *(int(word) for word in (children.read_text().split() if children.exists() else ()))]:
            try:
                name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:  # it has ended
                continue
            words = rest.split()
            cpu = (int(words[11]) + int(words[12])) / _TICKS
            yield "process", f"{name} {pid}", cpu - self._cpu.get(pid, 0.0), 0, pages * _PAGE
            self._cpu[pid] = cpu
