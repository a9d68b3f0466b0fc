"""A run that is killed under load, a thousand times (make soak). Fails at the first that is not as it should be."""

# ruff: noqa: T201 - what it prints is the outcome

import argparse
import platform
import tempfile
import time
from pathlib import Path

from netns import veth_pair
from test_crash import kill_again_and_again, remembering


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=1000)
    rounds = options.parse_args().rounds
    release = ".".join(platform.release().split(".")[:2])
    print(f"tests/kernel/soak.py --rounds {rounds}, {platform.system()} {release}, {time.strftime('%Y-%m-%d')}", flush=True)
    with tempfile.TemporaryDirectory() as folder, veth_pair(silent=True) as veth, remembering(Path(folder)) as state:
        begin = time.monotonic()
        tails, said = kill_again_and_again(veth, "tcx", rounds, state, Path(folder))
        took = time.monotonic() - begin
    exact = "exact" if "adds up exactly" in said else "NOT exact"
    told = f"0 programs left attached, 0 packets off, {tails:,} told by the next run, ledger {exact}"
    print(f"kill -9: {rounds:,} times, {told}, in {took:,.0f} s")


if __name__ == "__main__":
    main()
