"""How long something takes, for tests that promise it."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

READINGS = 3


def cpu_seconds(call: Callable[[], object], most: float) -> float:
    """Of this thread. The least of three readings, since a collection of the whole process's garbage may fall into any one (0.25 s
    have been seen); a first reading below `most` is enough.
    """
    took = math.inf
    for _ in range(READINGS):
        begun = time.thread_time()
        call()
        took = min(took, time.thread_time() - begun)
        if took < most:
            break
    return took


def spent(process: int) -> float:
    """Seconds that it has had by now, in the kernel too."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
