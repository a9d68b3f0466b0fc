"""A process that is begun anew when it dies, so that a question which kills the store costs no more than that moment."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection

ANEW = 90
"""The exit code of what asks for it."""
_LONG_S = 60.0


def begun_anew(work: Callable[[int], None], ends: Collection[signal.Signals], report: Callable[[str], None]) -> int:
    """Call `work`, which ends with os._exit, in a process of its own, and again when that has died or ended with ANEW, after a pause that
    grows. Returns its exit code once it has ended by itself, or was told to by one of the signals `ends`, which reach it blocked.

    `work` gets a descriptor that is at its end when we are gone, however. Not for a process with threads.
    """
    gone, kept = os.pipe2(os.O_CLOEXEC)
    child, pause, told = 0, 0.0, False

    def tell(*_: object) -> None:
        nonlocal told
        told = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    for number in ends:
        signal.signal(number, tell)
    code = ANEW
    while not told and (code < 0 or code == ANEW):
        time.sleep(pause)
        begun = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        child = os.fork()
        if not child:
            os.close(kept)
            work(gone)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        pause = min(_LONG_S, 2 * pause + 0.5) if time.monotonic() - begun < _LONG_S else 0.5
        if code < 0 and not told:
            report(f"the store's process has died ({signal.Signals(-code).name}), and begins anew; rows wait in the spool")
    return max(code, 0)
