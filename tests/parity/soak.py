"""Parity for long (make soak): many seeds of mutations and generated frames, and each number in the parser wrong by one.

A wrong number that makes no difference is printed: either the frames do not reach it, or it does not matter; EQUAL says which do not.
"""

# ruff: noqa: T201 - run by hand, it tells how far it is

import argparse
import datetime
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import parity
from parity import ROOT, Plan

CORPORA = ROOT.parent / "shared/corpora"
HEADERS = [ROOT / "bpf" / f"{name}.h" for name in "parser link network transport tunnel packet".split()]
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-f]+|\d+)(?!\w)")
UNTOLD = re.compile(
    r"return [0-2];|.*hw_short(_transport)?\(|.*HW_TUNNEL_\w+, -2,"  # only not 0, only too large, only below 0 matters
    r"|__s64 id = -2;"
    r"|p->headers \+?= "  # no row shows it: what is cut there is, and tests/outputs/test_pcapng.py looks at that
)
EQUAL = {  # lines with a wrong number that change no row, and why
    "p->l4_length = 1;": "set anew before it is read",
    "p->subframe = 1;": "no row shows it: captures read on from there, and tests/sources/test_amsdu.py looks at that",
    "__builtin_memset(to, 0, 11);": "written over by the next line",
    "__builtin_memset(to + 10, 0xff, 3);": "written over by the next line",
    "__builtin_memcpy(p->row.l2_dst, eth, 7);": "written over by the next line but one",
    "__builtin_memcpy(row->src, ip + 8, 17);": "written over by the next line",
    "__builtin_memcpy(row->dst, ip + 24, 17);": "written over by hw_ip_extent()",
    "__u32 there = p->limit > start ? p->limit - start : 1;": "a header at start was read, so the layer ends behind it",
    "header = hw_look(p, at, 5);": "the last address must be there, or nothing follows",
    "target = advertised ? hw_look(p, p->at + 8, 17) : p->row.src;": "an option behind it was read",
    "teredo = hw_see(p, p->at, 5);": "40 octets must be there, or nothing follows",
    "return hw_enter(p, HW_TUNNEL_pptp, id < 1 ? id : id & 0xffff, next);": "0 either way",
    "if (flags & 32769 || (flags & 15) != 2)": "the lowest bit is the version's, which is even",
    "at = p->at + (flags & 16385 ? 4 : 2); /* behind the length */": "likewise",
    "at += flags & 2049 ? 8 : 4; /* sequence numbers */": "likewise",
    "if (flags & 513) {": "likewise",
    "if (flags & 16385)": "version 1 has returned before",
    "return type == 0x88be && !(flags & 4097) ? hw_enter(p, HW_TUNNEL_erspan, -1, HW_NEXT_frame) : next;": "likewise",
    "__u32 size = 24, qos = 1;": "its highest bit alone is looked at",
    "if (header[0] & 129) { /* quality of service */": "the lowest bit is the version's, which is 0",
    "if (header[0] & 65 || header[1] & 0x40 || header[22] & 15) /* without data, encrypted, a later fragment */": "likewise",
    "p->at += padded ? (size + 4) & ~3u : size;": "only captures have frames that are padded, and tests/oracle looks at those",
    "for (i = 1; i < HW_MAX_LABELS; i++) {": "the window has no room for so many behind a frame's header",
    "for (i = 1; type && i < HW_MAX_GTP_EXTENSIONS; i++) {": "nor for so many of these",
    "extension = hw_see(p, at + size - 1, 2);": "IP, or another extension, must be behind it, or nothing follows",
    "for (i = 1; next && i < HW_MAX_STEPS; i++)": "39 are more than four tunnels take too",
    "for (i = 1; header > 20 && i < HW_MAX_OPTION_OCTETS && at; i++)": "39 options of one octet end where 40 do",
    "for (i = 0; header > 21 && i < HW_MAX_OPTION_OCTETS && at; i++)": "headers are multiples of 4 octets",
}


def mutants() -> list[tuple[Path, str, str]]:
    """(header, its line with a wrong number, its whole text with it) for each number outside comments and directives."""
    found = []
    for header in HEADERS:
        text = header.read_text()
        code = re.sub(r"/\*.*?\*/|^#.*?[^\\\\]$", lambda match: re.sub(r"\S", " ", match[0]), text, flags=re.DOTALL | re.MULTILINE)
        for match in NUMBER.finditer(code):
            wrong = text[: match.start()] + str(int(match[0], 0) + 1) + text[match.end() :]
            line = wrong[wrong.rindex("\n", 0, match.start()) + 1 : wrong.index("\n", match.start())].strip()
            if not UNTOLD.match(line) and line not in EQUAL:
                found.append((header, line, wrong))
    return found


def survives(wrong: tuple[Path, str, str], captures: list[Path], into: Path) -> bool:
    """Whether no frame tells it from the right parser."""
    header, line, text = wrong
    into.mkdir()
    for path in (ROOT / "bpf").glob("*.h"):
        (into / path.name).write_text(path.read_text())
    (into / header.name).write_text(text)
    try:
        binary = parity.build(into, into / "parity")
    except subprocess.CalledProcessError:  # a case of the same switch
        return False
    if parity.run(binary, captures, Plan(mutations=1, generated=400_000, stop=1)).differences:
        return False
    print(f"not told apart: {header.name}: {line}", flush=True)
    return True


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--mutations", type=int, default=100)
    options.add_argument("--numbers", action="store_true", help="each number of the parser wrong by one, instead")
    chosen = options.parse_args()
    captures = parity.captures(CORPORA)
    words = " ".join(["tests/parity/soak.py", *(["--numbers"] if chosen.numbers else [f"--seeds {chosen.seeds}"])])
    print(f"{words}, Linux {'.'.join(platform.release().split('.')[:2])}, {datetime.datetime.now(datetime.UTC):%F}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.numbers:
            wrongs = mutants()
            with ThreadPoolExecutor(2) as pool:  # while one is compiled, the other runs
                alive = sum(pool.map(lambda wrong: survives(wrong[1], captures, Path(folder) / str(wrong[0])), enumerate(wrongs)))
            print(f"{len(wrongs):,} wrong numbers, {len(wrongs) - alive:,} of them told apart", flush=True)
            sys.exit(1 if alive else 0)
        binary = parity.build(ROOT / "bpf", Path(folder) / "parity")
        for seed in range(1, chosen.seeds + 1):
            plan = Plan(cuts=200 if seed == 1 else 0, mutations=chosen.mutations, generated=300_000, seed=seed)
            outcome = parity.run(binary, captures, plan, timeout=3600)
            print(
                f"seed {seed}: {outcome.distinct:,} frames, {sum(outcome.runs):,} runs, {len(outcome.differences)} differences", flush=True
            )
            if outcome.differences:
                sys.exit("\n".join(outcome.differences))


if __name__ == "__main__":
    main()
