"""Run a command as systemd runs the unit's: under_unit.py COMMAND... may call what packaging/headwater.service leaves."""

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "packaging/headwater.service"
MOUNT = UNIT.with_name("run-headwater_bpf.mount")
NUMBERS = Path("/usr/include") / f"{os.uname().machine}-linux-gnu/asm/unistd_64.h"


def values(key: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.M)


def members(group: str) -> set[str]:
    """The system calls of one of systemd's groups, as systemd itself tells them."""
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    words = {line.strip() for line in told.splitlines()[1:] if line.strip() and not line.strip().startswith("#")}
    return set().union(*(members(word) if word.startswith("@") else {word} for word in words))


def allowed() -> set[str]:
    """What the unit's lines leave, taken in their order; systemd adds @default by itself (systemd.exec(5))."""
    calls = members("@default")
    for line in values("SystemCallFilter"):
        each = set().union(*(members(word) if word.startswith("@") else {word} for word in line.removeprefix("~").split()))
        calls = calls - each if line.startswith("~") else calls | each
    return calls


def install(names: set[str]) -> None:
    """Let this process call these alone, everything else fails with EPERM; as systemd does for SystemCallErrorNumber."""
    numbers = dict(re.findall(r"^#define __NR_(\w+) (\d+)$", NUMBERS.read_text(), re.M))
    known = sorted(int(numbers[name]) for name in names if name in numbers)
    program = [(0x20, 0, 0, 0)]  # the call's number
    for number in known:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x7FFF0000)]
    program.append((0x06, 0, 0, 0x00050000 | 1))
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, head, 0, 0) == 0  # PR_SET_SECCOMP


if __name__ == "__main__":
    install(allowed() | {"execve"})  # systemd allows that first one
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted
