"""A run that is killed under load, a thousand times, and all captures over a veth pair (make soak). Fails if one is not as it should be."""

# ruff: noqa: T201 - what it prints is the outcome

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from netns import veth_pair
from replay import captures, replay_all
from test_crash import SOON_S, kill_again_and_again, remembering

TOGETHER = 8


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=1000, help="0: captures alone")
    rounds = options.parse_args().rounds
    release = ".".join(platform.release().split(".")[:2])
    print(f"tests/kernel/soak.py --rounds {rounds}, {platform.system()} {release}, {time.strftime('%Y-%m-%d')}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if rounds:
            kills(rounds, Path(folder))
        replays(Path(folder))


def kills(rounds: int, folder: Path) -> None:
    begin = time.monotonic()
    with veth_pair(silent=True) as veth, remembering(folder) as state:
        tails, said, both = kill_again_and_again(veth, "tcx", rounds, state, folder)
    took = [seconds for seconds, _ in both]
    exact = "exact" if "adds up exactly" in said else "NOT exact"
    told = f"0 programs left attached, 0 packets off, {tails:,} told by the next run, ledger {exact}"
    soon = f"{sum(one < SOON_S for one in took):,} of {len(took):,} runs listened within {SOON_S:.0f} s"
    slow = f"the middle one after {statistics.median(took):.2f} s, the last after {max(took):.2f} s"
    print(f"kill -9: {rounds:,} times, {told}; {soon}, {slow}; in {time.monotonic() - begin:,.0f} s", flush=True)


def replays(folder: Path) -> None:
    begin, left_out = time.monotonic(), Counter[str]()
    found = list(captures(left_out))
    told = replay_all(found, folder, TOGETHER)
    counts = f"{len(found):,} captures, {sum(len(one.taken) for one in found):,} frames, {sum(one.flows for one in found):,} flows"
    without = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    print(f"replay: {counts}, {len(told)} differences, in {time.monotonic() - begin:,.0f} s; not sent: {without}", flush=True)
    if told:
        sys.exit("\n".join(told))


if __name__ == "__main__":
    main()
