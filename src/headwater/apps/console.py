"""What the commands say beside their output, on standard error."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headwater import telemetry


def tell(message: str) -> None:
    """One line."""
    sys.stderr.write(f"headwater: {message}\n")
    sys.stderr.flush()


def tell_ledger(ledger: telemetry.Ledger) -> None:
    """What became of each packet and record."""
    sys.stderr.write("".join(f"{line}\n" for line in telemetry.lines(ledger.totals())))


@contextmanager
def until_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, the first two of SIGINT, SIGTERM or SIGHUP call `stop`; a third one ends the process as usual."""
    before: dict[int, Any] = {}
    calls = 0

    def handle(number: int, _: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            signal.signal(number, before[number])
        stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
