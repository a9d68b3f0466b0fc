"""Wall-clock time for what the kernel stamps with its own clock.

The programs add `offset` (UTC less CLOCK_BOOTTIME) to the boot clock, so it must follow when somebody sets the time. A timer that
the kernel cancels at such a step (timerfd, TFD_TIMER_CANCEL_ON_SET) tells at once; boot time counts suspension, so that resume
needs nothing more. NTP's slewing runs both clocks alike.
"""

import ctypes
import os
import threading
import time
from typing import Any

import numpy as np

_TFD_CLOEXEC, _TFD_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_ABSTIME, _CANCEL_ON_SET = 1, 2
_YEAR_9999 = 253_402_300_799
_libc = ctypes.CDLL(None, use_errno=True)


def utc_offset() -> int:
    """UTC less CLOCK_BOOTTIME in nanoseconds: the tightest of five readings, so that being interrupted between two does no harm."""
    readings = []
    for _ in range(5):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        utc = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        readings.append((after - before, utc - (before + after) // 2))
    return min(readings)[1]


class WallClock:
    """Keeps `target` (one int64, seen by the kernel's programs) at utc_offset() from follow() until close()."""

    def __init__(self, target: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        self._target = target
        self._timer = -1
        self._thread = threading.Thread(target=self._follow, name="clock", daemon=True)

    def open(self) -> None:
        """Set the offset."""
        self._timer = _libc.timerfd_create(time.CLOCK_REALTIME, _TFD_CLOEXEC)
        self._arm()
        self._target[0] = utc_offset()

    def follow(self) -> None:
        """Renew it at each step of the clock, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        timer, self._timer = self._timer, -1
        if timer >= 0:
            _libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(0, 0, 0, 1), None)  # ends the read() in _follow
            if self._thread.ident:
                self._thread.join()
            os.close(timer)

    def _arm(self) -> None:
        _libc.timerfd_settime(self._timer, _ABSTIME | _CANCEL_ON_SET, (ctypes.c_long * 4)(0, 0, _YEAR_9999, 0), None)

    def _follow(self) -> None:
        timer = self._timer
        while True:
            try:
                os.read(timer, 8)
            except OSError:  # ECANCELED: the clock was set
                self._arm()
                self._target[0] = utc_offset()
            if self._timer < 0:
                return
