"""A share of a CPU for processes, by a control group, as CPUQuota= of systemd gives: a machine that is too slow for its network."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LEAST_US, PERIOD_US = 1000, 10_000  # the kernel grants no less at once; a short period keeps the processes from standing still for long


def _root() -> tuple[Path, int]:
    """Where groups with a CPU controller are made, and of which version. Ends with one line where there is none."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(where), 1
        if kind == "cgroup2" and "cpu" in (Path(where) / "cgroup.subtree_control").read_text().split():
            return Path(where), 2
    raise SystemExit("bench: no control group limits the CPU here: mount cgroup2, and write +cpu to its cgroup.subtree_control")


@dataclass(frozen=True)
class Quota:
    """A group of its own."""

    folder: Path
    version: int

    def set(self, share: float) -> None:
        """At most `share` of one CPU from now on."""
        period = max(PERIOD_US, round(LEAST_US / share))
        quota = max(LEAST_US, round(share * period))
        if self.version == 2:
            (self.folder / "cpu.max").write_text(f"{quota} {period}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(period))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))

    def hold(self, processes: Iterable[int]) -> None:
        """Put them in, with all of their threads."""
        for process in processes:
            (self.folder / "cgroup.procs").write_text(str(process))


@contextlib.contextmanager
def quota() -> Iterator[Quota]:
    """A group that is there within the block; whoever is still in it then is put back."""
    root, version = _root()
    made = Quota(root / f"headwater-bench-{os.getpid()}", version)
    made.folder.mkdir()
    try:
        yield made
    finally:
        for process in (made.folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(process)
        for _ in range(100):  # a process that has just ended may still be in it
            with contextlib.suppress(OSError):
                made.folder.rmdir()
                break
            time.sleep(0.05)
