"""Kernels before 6.8 refuse a loop whose way back is no jump: a part that clang has put before the loop's head, and that runs into it.

Newer kernels take it, so nothing but an old kernel (`make kernels`) or this would tell. Source: check_cfg() of Linux 6.1's verifier.c.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.records.layouts import OBJECTS

Function = dict[
    int, tuple[str, list[int]]
]  # by number of an instruction: its text, and which come next, in the order the kernel looks at them


def functions(path: Path) -> dict[str, Function]:
    """Those of an object, as llvm-objdump tells them."""
    listing = subprocess.run(["llvm-objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    texts: dict[str, dict[int, str]] = {}
    name = ""
    for line in listing.splitlines():
        if label := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            name = name if label[1].startswith("LBB") else label[1]
        elif instruction := re.match(r"\s+(\d+):\s+(\S.*)", line):
            texts.setdefault(name, {})[int(instruction[1])] = instruction[2]
    return {name: _with_edges(text) for name, text in texts.items()}


def _with_edges(texts: dict[int, str]) -> Function:
    following = dict(zip(texts, [*texts][1:], strict=False))
    function: Function = {}
    for at, text in texts.items():
        jump = re.search(r"goto ([+-]\d+)", text)
        nexts = [] if text == "exit" or (jump and not text.startswith("if ")) else [following[at]]
        function[at] = text, nexts + ([at + 1 + int(jump[1])] if jump else [])
    return function


def refused(function: Function) -> list[str]:
    """What the kernel would call back-edges: from what is no jump, to what is still being looked at."""
    first = next(iter(function))
    found, begun, ended = [], {first}, set()
    path: list[tuple[int, Iterator[int]]] = [(first, iter(function[first][1]))]
    while path:
        at, ahead = path[-1]
        to = next(ahead, None)
        if to is None:
            ended.add(at)
            path.pop()
        elif to not in begun:
            begun.add(to)
            path.append((to, iter(function[to][1])))
        elif to not in ended and "goto" not in function[at][0]:
            found.append(f"from {at} to {to}: {function[at][0]}")
    return found


@pytest.mark.parametrize(
    "path", [path for path in sorted(OBJECTS.glob("*.bpf.o")) if path.name != "records.bpf.o"], ids=lambda path: path.stem
)
def test_every_way_back_is_a_jump(path: Path) -> None:
    there = functions(path)
    assert there
    assert {name: edges for name, function in there.items() if (edges := refused(function))} == {}


def test_a_way_back_that_is_none_is_found() -> None:
    head, body = 1, 3  # 0 jumps to the body, which is behind the head and ends with a jump over; the step before the head runs into it
    texts = {0: "goto +2", head: "r1 += 1", 2: "r2 += 1", body: "if r1 > 5 goto +1", 4: "goto -4", 5: "exit"}
    assert refused(_with_edges(texts)) == ["from 2 to 3: r2 += 1"]
    texts = {0: "r1 = 0", 1: "if r1 > 5 goto +2", 2: "r1 += 1", 3: "goto -3", 4: "exit"}
    assert refused(_with_edges(texts)) == []
