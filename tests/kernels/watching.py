"""One `headwater run`, and what its files and its ledger say afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from netns import Namespace

READY_S = 180.0  # an emulated machine is slow
HEADWATER = (sys.executable, "-m", "headwater")
_SEEN = re.compile(r"packets  (\S+) \((\w+)\): ([\d,]+) seen = (.*)")


class Watching:
    """`headwater run` on devices, from when it is confined (or `keeps` its privileges) until the end of the block."""

    def __init__(
        self, space: Namespace, devices: Sequence[str], folder: Path, *words: str, become: Sequence[str] = (), keeps: bool = False
    ) -> None:
        self._folder = folder
        self._keeps = keeps
        interfaces = [word for device in devices for word in ("-i", device)]
        command = (*become, *HEADWATER, "run", *interfaces, "-o", str(folder), "--format", "jsonl", "--record", "packet", *words)
        self._told = folder.with_suffix(".told")
        with self._told.open("w") as told:
            self.process = space.start(*command, stdout=subprocess.DEVNULL, stderr=told)
        self.rows: list[dict[str, Any]] = []
        self.said = ""
        self.seen: dict[str, int] = {}
        self.dropped: dict[str, str] = {}
        self.rungs: dict[str, str] = {}

    def __enter__(self) -> Self:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if (self._folder / "packet.jsonl").exists() and (self._keeps or self.status().get("Seccomp") == "2"):
                time.sleep(1)
                return self
            time.sleep(0.1)
        self.process.kill()
        raise RuntimeError(f"the run did not begin: {self._told.read_text()}")

    def until(self, text: str, times: int = 1) -> None:
        """Wait until it has said this so often."""
        deadline = time.monotonic() + READY_S
        while self._told.read_text().count(text) < times:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the run did not say {text!r}: {self._told.read_text()}")
            time.sleep(0.1)

    def status(self) -> dict[str, str]:
        """/proc's, of the run."""
        return status(self.process.pid)

    def __exit__(self, *_: object) -> None:
        time.sleep(1)
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=READY_S)
        finally:
            self.process.kill()
        self.said = self._told.read_text()
        self.rows = [json.loads(line) for line in (self._folder / "packet.jsonl").read_text().splitlines()]
        for device, rung, seen, fates in _SEEN.findall(self.said):
            self.seen[device] = int(seen.replace(",", ""))
            self.rungs[device] = rung
            if "dropped" in fates:
                self.dropped[device] = fates

    def wrong(self) -> str:
        """What is wrong with its end; "" if nothing is."""
        if self.process.returncode or "adds up exactly" not in self.said:
            return f"ended with {self.process.returncode}: {self.said.strip()}"
        if self.dropped:
            return f"lost packets: {self.dropped}"
        return ""

    def count(self, device: str, **columns: object) -> int:
        """Rows of a device with these columns."""
        wanted = {"interface": device, **columns}
        return sum(all(row.get(name) == value for name, value in wanted.items()) for row in self.rows)

    def directions(self, device: str) -> Counter[str]:
        """Rows of a device by direction."""
        return Counter(row["direction"] for row in self.rows if row["interface"] == device)


def status(process: int) -> dict[str, str]:
    """/proc's, of a process; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def counters(space: Namespace) -> dict[str, tuple[int, int]]:
    """The devices' own counts of packets, (in, out), as iproute2 tells them."""
    links = json.loads(space.run("ip", "-s", "-j", "link", "show").stdout)
    return {link["ifname"]: (link["stats64"]["rx"]["packets"], link["stats64"]["tx"]["packets"]) for link in links}


def change(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]], device: str) -> tuple[int, int]:
    """How many packets a device counted in between, (in, out)."""
    return after[device][0] - before[device][0], after[device][1] - before[device][1]


def doctor(space: Namespace, *, become: Sequence[str] = ()) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of `headwater doctor --json`."""
    done = space.run(*become, *HEADWATER, "doctor", "--json", check=False, timeout=READY_S)
    if not done.stdout:
        raise RuntimeError(f"doctor: {done.stderr}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, found


def shorten(text: str) -> str:
    """An error as one line."""
    lines = [line for line in text.strip().splitlines() if not line.startswith(("packets ", "records ", "ledger "))]
    return " / ".join(lines[-3:]).removeprefix("headwater: ") if lines else os.strerror(0)
