"""1,000 kills of the store, of who writes to it, and of both, at random moments (make soak); and power cuts, where we are root.

A line for each kind of round. Fails if a row that was safe is lost, or is there twice.
"""

# ruff: noqa: T201 - what it prints is the outcome

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

from disks import Disk
from test_kills import KINDS, Kept, kill_again_and_again
from writing import ROWS

LOOK = 25  # rounds, after which all is looked at


def soak(name: str, folder: Path, kinds: list[str], disk: Disk | None = None) -> bool:
    """Whether all was well; says so in a line."""
    chance, kept, done, begun = random.Random(), Kept(), 0, time.monotonic()
    try:
        for at in range(0, len(kinds), LOOK):
            kill_again_and_again(folder, kinds[at : at + LOOK], chance, kept, disk)
            done += len(kinds[at : at + LOOK])
    except AssertionError as error:
        print(f"{name}: after {done} of {len(kinds)}: {(str(error) or 'waited in vain').splitlines()[0]}", flush=True)
        return False
    safe = len(kept.safe) * ROWS
    print(
        f"{name}: {done:,}; {safe:,} rows were safe, of which 0 are lost; of {kept.rows:,} that are there 0 are there twice; "
        f"{time.monotonic() - begun:,.0f} s",
        flush=True,
    )
    return True


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=1000, help="of kills")
    options.add_argument("--cuts", type=int, default=100, help="of power")
    chosen = options.parse_args()
    release = ".".join(platform.release().split(".")[:2])
    told = f"tests/store/soak.py --rounds {chosen.rounds} --cuts {chosen.cuts}"
    print(f"{told}, {platform.system()} {release}, {time.strftime('%Y-%m-%d')}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        well = soak("kills", Path(folder) / "killed", [random.choice(KINDS) for _ in range(chosen.rounds)])
        if os.geteuid() == 0 and chosen.cuts:
            with Disk(Path(folder) / "disk", 1024) as disk:
                well = soak("power cuts", disk.folder / "store", ["cut"] * chosen.cuts, disk) and well
    sys.exit(not well)


if __name__ == "__main__":
    main()
