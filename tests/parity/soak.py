"""Parity for long (make soak): many seeds of mutations and generated frames, and each number in packet.h wrong by one.

A wrong number that makes no difference is printed: either the frames do not reach it, or it does not matter; EQUAL says which do not.
"""

# ruff: noqa: T201 - run by hand, it tells how far it is

import argparse
import re
import sys
import tempfile
from pathlib import Path

import parity
from parity import ROOT, Plan

CORPORA = ROOT.parent / "shared/corpora"
PACKET = ROOT / "bpf/packet.h"
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-f]+|\d+)(?!\w)")
EQUAL = {  # a line of packet.h: why a wrong number in it changes no row
    "p->l4_length = 0;": "set anew before it is read",
}


def mutants() -> list[tuple[str, str]]:
    """(line, the whole text with one number in it wrong) for each number outside comments and directives."""
    text = PACKET.read_text()
    code = re.sub(r"/\*.*?\*/|^#.*?$", lambda match: re.sub(r"\S", " ", match[0]), text, flags=re.DOTALL | re.MULTILINE)
    found = []
    for match in NUMBER.finditer(code):
        line = text[text.rindex("\n", 0, match.start()) + 1 : text.index("\n", match.end())].strip()
        found.append((line, text[: match.start()] + str(int(match[0], 0) + 1) + text[match.end() :]))
    return found


def survivors(captures: list[Path], into: Path) -> list[str]:
    """The lines of those that no frame tells from the right parser."""
    alive = []
    for number, (line, text) in enumerate(mutants()):
        headers = into / str(number)
        headers.mkdir()
        for path in (ROOT / "bpf").glob("*.h"):
            (headers / path.name).write_text(path.read_text())
        (headers / "packet.h").write_text(text)
        wrong = parity.build(headers, headers / "parity")
        plan = Plan(cuts=0, mutations=1, generated=400_000, stop=1)
        if line not in EQUAL and not parity.run(wrong, captures, plan).differences:
            alive.append(f"{number}: {line}")
            print(f"not told apart: {line}", flush=True)
    return alive


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--mutations", type=int, default=100)
    options.add_argument("--numbers", action="store_true", help="each number of packet.h wrong by one, instead")
    chosen = options.parse_args()
    captures = parity.captures(CORPORA)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.numbers:
            alive = survivors(captures, Path(folder))
            sys.exit(f"{len(alive)} of {len(mutants())} wrong numbers were not told apart" if alive else 0)
        binary = parity.build(ROOT / "bpf", Path(folder) / "parity")
        for seed in range(1, chosen.seeds + 1):
            plan = Plan(cuts=200 if seed == 1 else 0, mutations=chosen.mutations, generated=1_000_000, seed=seed)
            outcome = parity.run(binary, captures, plan, timeout=3600)
            print(
                f"seed {seed}: {outcome.distinct:,} frames, {sum(outcome.runs):,} runs, {len(outcome.differences)} differences", flush=True
            )
            if outcome.differences:
                sys.exit("\n".join(outcome.differences))


if __name__ == "__main__":
    main()
