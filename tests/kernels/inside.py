"""What runs in a guest: all checks, each told as a line of JSON on the second serial port.

usage: inside.py WG [devices|privileges|suite...], where WG is the path of the command wg
"""

import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import capabilities
import counts
import devices
import suite
from findings import PARTS
from netns import namespace


class Report:
    """Findings on their way out: group, what, rung, what was seen, and what is wrong (empty: nothing)."""

    def __init__(self) -> None:
        self._port = os.open("/dev/ttyS1", os.O_WRONLY | os.O_NOCTTY)
        self._told = 0

    def say(self, group: str, what: str, rung: str, told: str, wrong: str = "") -> None:
        """One finding."""
        self._told += 1
        self._write({"group": group, "what": what, "rung": rung, "told": told, "wrong": wrong})
        print(f"[{time.monotonic():.0f}] {group} {what} {rung}: {told or '-'} {'WRONG ' + wrong if wrong else ''}", flush=True)

    def end(self) -> None:
        """The last line, by which the host knows that nothing is missing."""
        self._write({"end": self._told, "release": platform.release()})

    def _write(self, line: dict[str, object]) -> None:
        os.write(self._port, json.dumps(line).encode() + b"\n")


def check_devices(report: Report, wg: Path) -> None:
    """Each kind of device by each rung that this kernel has."""
    devices.load()
    with ExitStack() as closing:
        near, far = (closing.enter_context(namespace(stem, ipv6=False)) for stem in ("near", "far"))
        both = devices.Both(near, far, closing, wg)
        made = devices.make(both)
        print(counts.addresses(both), flush=True)
        counts.warm_up(both, made)
        best = best_rung()
        report.say("devices", "doctor", best, "names it for each device", counts.doctor_agrees(both, made, best))
        for rung, forced in ((best, False), ("clsact", True), ("af_packet", True), ("xdp", True)):
            if forced and rung == best:
                continue
            for found in counts.check(both, made, rung, forced=forced):
                report.say("devices", *found)
        for kind, said in counts.refused_by_xdp(both, made).items():
            has = next(one for one in made if one.kind == kind).native_xdp
            report.say("xdp", kind, "xdp", said or "attaches", "" if has == (not said) else "not as its driver is known")


def best_rung() -> str:
    """What a kernel of this number has to choose by itself."""
    major, minor, *_ = platform.release().split(".")
    return "tcx" if (int(major), int(minor)) >= (6, 6) else "clsact"


def main() -> None:
    """All parts, or those named."""
    report = Report()
    wg = Path(sys.argv[1])
    parts: dict[str, Callable[[], None]] = {
        "devices": lambda: check_devices(report, wg),
        "privileges": lambda: capabilities.check(best_rung(), lambda *said: report.say("privileges", *said)),
        "suite": lambda: suite.run(best_rung(), lambda *said: report.say("suite", *said)),
    }
    for name in sys.argv[2:] or PARTS:
        try:
            parts[name]()
        except Exception as error:
            report.say(name, "whole part", "", "", f"{type(error).__name__}: {error}")
            traceback.print_exc()
    report.end()


if __name__ == "__main__":
    main()
