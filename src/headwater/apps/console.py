"""What the commands say beside their output, on standard error."""

import io
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater import telemetry

RING_FULL = {("ringbuf", "full"), ("af_packet", "ring_full")}
"""Places and reasons of losses that a larger ring would have made smaller."""


class _Forgiving(io.FileIO):
    """Takes what cannot be written for written."""

    def write(self, octets: Any) -> int:
        try:
            return super().write(octets) or len(octets)
        except OSError:
            return len(octets)


def open_stderr() -> None:
    """Make standard error cost nothing where it is full or closed: neither the run, nor the file that would get its number."""
    if sys.stderr is None:
        fd = os.open(os.devnull, os.O_WRONLY)
        if fd != 2:
            os.dup2(fd, 2)
            os.close(fd)
    octets = io.BufferedWriter(_Forgiving(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(octets, getattr(sys.stderr, "encoding", None), "backslashreplace", line_buffering=True)


def typed() -> str:
    """This command as the user can type it: its name where the shell would find it by that, else the path that it was started by."""
    path = sys.argv[0] if Path(sys.argv[0]).name == "headwater" else "headwater"
    found = shutil.which("headwater")
    name = shlex.quote(path) if not found or os.path.realpath(found) != os.path.realpath(path) else "headwater"
    return f"sudo {name}" if "SUDO_UID" in os.environ else name


def tell(message: str) -> None:
    """One line."""
    sys.stderr.write(f"headwater: {message}\n")
    sys.stderr.flush()


def ring_loss(totals: Mapping[telemetry.Entry, int]) -> tuple[str, str]:
    """What part of all packets was lost because the ring to user space was full, and how many of how many; nothing if none was."""
    packets = [(entry, count) for entry, count in totals.items() if entry.ledger == "packets"]
    seen = sum(count for entry, count in packets if entry.term == "seen")
    lost = sum(count for entry, count in packets if (entry.place, entry.reason) in RING_FULL)
    percent = 100 * lost / seen if seen else 0
    part = "under 1" if percent < 1 else "over 99" if 99 < percent < 100 else f"{percent:.0f}"
    return (f"{part} % of packets", f"{lost:,} of {seen:,}") if lost else ("", "")


def lost_packets(totals: Mapping[telemetry.Entry, int]) -> int:
    """How many packets were dropped, wherever that was."""
    return sum(count for entry, count in totals.items() if (entry.ledger, entry.term) == ("packets", "dropped"))


def tell_ledger(ledger: telemetry.Ledger, spent: object = "") -> None:
    """What became of each packet and record, and what that has cost."""
    told = telemetry.lines(ledger.totals(), ledger.means)
    told += _of_flows(ledger.totals())
    told += [f"cost     {spent}"] if told and str(spent) else []
    sys.stderr.write("".join(f"{line}\n" for line in told))


def _of_flows(totals: Mapping[telemetry.Entry, int]) -> Iterator[str]:
    """What of flows was not kept, though each packet is accounted for."""
    evicted, letters, unasked = (
        sum(count for entry, count in totals.items() if (entry.ledger, entry.term) == ("flows", term))
        for term in ("evicted", "letters_lost", "unasked")
    )
    if unasked:
        yield f"flows    that the flow filter leaves out: {unasked:,}"
    if evicted:
        yield f"flows    evicted for want of room, before they were over: {evicted:,}; a larger most ([flows] in a file for -c) makes room"
    if letters:
        yield f"flows    letters of histories and parts of streams that flows had no room for: {letters:,}; no setting changes that room"


@contextmanager
def until_signal(stop: Callable[[], None], last: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Within the block, the first two of SIGINT, SIGTERM or SIGHUP call `stop`; a third one calls `last` and ends the process as usual."""
    before: dict[int, Any] = {}
    calls = 0

    def handle(number: int, _: object) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            stop()
            return
        last()
        signal.signal(number, before[number])
        os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
