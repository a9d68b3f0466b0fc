"""A process that is begun anew when it dies, so that a question which kills the store costs no more than that moment."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

ANEW = 90
"""The exit code of what asks for it."""
ENDS = {signal.SIGINT, signal.SIGTERM}
_LONG_S = 60.0


def begun_anew(command: Sequence[str], report: Callable[[str], None], *, while_asked: bool) -> int:
    """Run `command`, and again when that has died or ended with ANEW, after a pause that grows. Returns its exit code once it has ended by
    itself, or was told to.

    It is told by the end of its standard input, which is ours `while_asked`, and else ends at one of ENDS or with us, however. It is
    executed each time: a fork would have the layout of our memory, and what kills a library as it is loaded would do so again. ENDS and
    SIGCHLD are blocked in it: until it has said what they do.
    """
    awaited = {*(() if while_asked else ENDS), signal.SIGCHLD}
    if while_asked:  # Ctrl-C is for whoever asks: their end is ours
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    pause = 0.0
    while True:
        begun, told = time.monotonic(), False
        with subprocess.Popen(command, stdin=None if while_asked else subprocess.PIPE) as process:
            while process.poll() is None:
                if signal.sigwait(awaited) in ENDS and process.stdin:
                    told = True
                    process.stdin.close()
        code = process.returncode
        if told or not (code < 0 or code == ANEW):
            return max(code, 0)
        pause = min(_LONG_S, 2 * pause + 0.5) if time.monotonic() - begun < _LONG_S else 0.5
        if code < 0:
            report(f"the store's process has died ({signal.Signals(-code).name}), and begins anew; rows wait in the spool")
        if signal.sigtimedwait(ENDS & awaited, pause):
            return 0
