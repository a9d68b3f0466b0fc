"""The fuzzers for long (make soak): each target from the corpora's seeds, two at a time, then each protocol; a line for each. Fails if
something breaks.

What a run found stays in build/fuzz, and the next one goes on from there.
"""

# ruff: noqa: T201 - what it prints is the outcome

import argparse
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import fuzz_protocols
from fuzzing import ROOT, TARGETS, Outcome, fuzz, make_seeds

from headwater.analysis.protocols import PROTOCOLS

FOUND = ROOT / "build/fuzz"
SERVICES = sorted({protocol.service for protocol in PROTOCOLS})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=600, help="of each target")
    options.add_argument("names", nargs="*", default=[*TARGETS, *SERVICES], help=", ".join((*TARGETS, *SERVICES)))
    chosen = options.parse_args()
    targets = [name for name in chosen.names if name in TARGETS]
    services = [name for name in chosen.names if name in SERVICES]
    release = ".".join(platform.release().split(".")[:2])
    print(f"tests/fuzz/soak.py --seconds {chosen.seconds}, {platform.system()} {release}, {time.strftime('%Y-%m-%d')}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        seeds = Path(folder) / "seeds"
        make_seeds(seeds)

        def run(name: str) -> Outcome:
            binary = TARGETS[name].build(Path(folder) / f"fuzz_{name}")
            return fuzz(name, binary, seeds, FOUND / name, chosen.seconds)

        outcomes = dict(zip(targets, pool.map(run, targets), strict=True))
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}", flush=True)
    shares = repeat(chosen.seconds / len(SERVICES))
    # In processes of their own: tracemalloc does not give back all that it takes, and what is begun from a large one counts as large.
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as processes:
        tried = processes.map(fuzz_protocols.fuzz, services, shares, repeat(time.time_ns()))
        for service, inputs in zip(services, tried, strict=True):
            print(f"{service}: {inputs:,} inputs, 0 broke it", flush=True)
    broken = any(outcome.broke for outcome in outcomes.values())
    with ThreadPoolExecutor(2) as pool:

        def guided(service: str) -> tuple[str, bool]:
            """Under atheris."""
            command = [sys.executable, Path(__file__).parent / "guided.py", FOUND / service, str(chosen.seconds), service]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            (runs,) = re.findall(r"Done (\d+) runs", done.stderr)[-1:] or ["?"]
            said = f"{runs} inputs that atheris chose, {'0 broke it' if not done.returncode else done.stderr[-2000:]}"
            return f"{service}: {said}", done.returncode != 0

        for line, is_broken in pool.map(guided, services):
            print(line, flush=True)
            broken |= is_broken
    sys.exit(broken)


if __name__ == "__main__":
    main()
