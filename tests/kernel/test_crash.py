"""A run that is killed under load: nothing of it stays attached, the next one listens soon, and tells what the last one could not."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from cpu import spent
from netns import End, FrameSender, Veth
from test_tap import attached, ethernet, ipv4, udp
from waiting import MOST_S, until
from watched import wait_for_file

from headwater.kernel import pins

pytestmark = pytest.mark.kernel

ROUNDS = 20
SOON_S = 5.0  # of CPU; and on a machine that has nothing else to do, by the clock
FRAME = ethernet(ipv4(udp(1000, 2000)))


@contextlib.contextmanager
def remembering(folder: Path) -> Iterator[Path]:
    """What runs leave behind lies below `folder`; the folder of states. Not every machine has the BPF file system mounted."""
    mounted, top = pins.mounted(), pins.folder()
    if not mounted:
        subprocess.run(["mount", "-t", "bpf", "bpf", str(top.parent)], check=True)
    before = set(top.glob("run-*"))
    try:
        with mock.patch.dict(os.environ, STATE_DIRECTORY=str(folder / "state")):
            yield folder / "state/runs"
    finally:
        for left in set(top.glob("run-*")) - before:
            shutil.rmtree(left)
        if not mounted:
            subprocess.run(["umount", str(top.parent)], check=True)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    with remembering(tmp_path) as states:
        yield states


def begin(end: End, into: Path, *more: str, took: list[tuple[float, float]] | None = None) -> "subprocess.Popen[str]":
    """In the network namespace alone: `ip netns exec` would hide the BPF file system.

    How long it `took` to listen, by the clock and of CPU, is added there.
    """
    words = ["run", "-i", end.interface, "-o", str(into), *more]
    enter = ["nsenter", f"--net=/run/netns/{end.space.name}"]
    begun = time.monotonic()
    run = subprocess.Popen([*enter, sys.executable, "-m", "headwater", *words], stderr=subprocess.PIPE, text=True)
    wait_for_file(into / "ledger.jsonl", run)
    if took is not None:
        took.append((time.monotonic() - begun, spent(run.pid)))
    return run


class Load:
    """Frames without a pause, in a thread."""

    def __init__(self, end: End) -> None:
        self.sender = FrameSender(end)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._stopping.is_set():
            self.sender.send([FRAME] * 50)
            time.sleep(0.001)

    def stop(self) -> int:
        self._stopping.set()
        self._thread.join()
        self.sender.close()
        return self.sender.sent


def told_before(state: Path) -> int:
    """What the killed run's ledger knew of."""
    [one] = state.glob("*/state.json")
    return sum(told for _, _, told in json.loads(one.read_text())["marks"])


def tail_told(said: str) -> int:
    """What the run after it tells for it."""
    found = re.search("the run before was killed after .*: ([0-9,]+) packets that it saw are told of here, as crash_tail", said)
    assert found, said
    return int(found[1].replace(",", ""))


def kill_again_and_again(veth: Veth, hook: str, rounds: int, state: Path, folder: Path) -> tuple[int, str, list[tuple[float, float]]]:
    """Each time somewhere in its second: what it told, and what the next one tells for it, are all packets that it saw.

    Returns how many packets the next ones told, what the last run said, which was not killed, and after how long each listened.
    """
    near, chance = veth.near, random.Random(6)
    told = least = most = tails = 0
    took: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        is_last = number == rounds
        into = folder / str(number)
        run = begin(near, into, "--hook", hook, took=took)
        load = Load(veth.far)
        time.sleep(0.1 if is_last else chance.uniform(0.1, 1.3))
        if number % 2:  # all that was sent has been seen
            load.stop()
        before = load.sender.sent
        run.send_signal(signal.SIGINT if is_last else signal.SIGKILL)
        said = run.communicate(timeout=MOST_S)[1]
        sent = load.stop()
        shutil.rmtree(into)
        if number:
            tail = tail_told(said)
            assert least <= told + tail <= most
            tails += tail
        if not is_last:
            until(lambda: not attached(near))  # the kernel releases links in its own time
            told, least, most = told_before(state), before, sent
    return tails, said, took


@pytest.mark.parametrize(("hook", "rounds"), [("tcx", ROUNDS), ("xdp", 2)])
def test_killed_again_and_again(silent_veth: Veth, hook: str, rounds: int, state: Path, tmp_path: Path) -> None:
    tails, said, took = kill_again_and_again(silent_veth, hook, rounds, state, tmp_path)
    assert max(cpu for _, cpu in took) < SOON_S
    assert tails > 0
    assert "adds up exactly" in said
    assert "dropped (crash tail: killed)" in said
    assert list(state.glob("*/*")) == []


def test_where_nothing_was_pinned_it_is_told_as_unknown(silent_veth: Veth, state: Path, tmp_path: Path) -> None:
    near = silent_veth.near
    for hook, by in (("af_packet", signal.SIGKILL), ("tcx", signal.SIGINT)):
        run = begin(near, tmp_path / hook, "--hook", hook)
        run.send_signal(by)
        said = run.communicate(timeout=MOST_S)[1]
    assert re.search("the run before was killed after [-0-9: ]+ UTC: what it lost since then is not known", said)
    assert "adds up exactly" in said
    assert list(state.glob("*/*")) == []


def test_of_a_run_that_is_still_there_nothing_is_told(silent_veth: Veth, state: Path, tmp_path: Path) -> None:
    near = silent_veth.near
    runs = [begin(near, tmp_path / name) for name in ("one", "two")]
    assert len(list(state.glob("*/state.json"))) == 2
    for run in runs[::-1]:
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=MOST_S)[1]
        assert "the run before" not in said
        assert "adds up exactly" in said
    assert list(state.glob("*/*")) == []
