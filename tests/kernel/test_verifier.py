"""What the verifier says that each program costs to check. The kernel's limit is a million instructions looked at; other versions look at
the branches in another order, so a program must stay far below."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from headwater._native import ffi, lib
from netns import Veth
from places import ROOT

from headwater.records import btf
from headwater.records.layouts import OBJECTS

pytestmark = pytest.mark.kernel

CEILING = 300_000  # instructions looked at, a program
BPF_F_XDP_DEV_BOUND_ONLY = 1 << 6
STATISTICS = 4  # log level: the last lines only
LOADED = [path for path in sorted(OBJECTS.glob("*.bpf.o")) if path.name != "records.bpf.o"]


def processed(path: str, device: int) -> dict[str, int]:
    """Instructions that the verifier looked at, by program. Some load for one `device` alone, an ifindex."""
    opened = lib.bpf_object__open_file(path.encode(), ffi.NULL)
    assert opened != ffi.NULL
    logs = {}
    program = lib.bpf_object__next_program(opened, ffi.NULL)
    while program != ffi.NULL:
        log = ffi.new("char[]", 1 << 20)
        logs[ffi.string(lib.bpf_program__name(program)).decode()] = log
        lib.bpf_program__set_autoload(program, True)
        lib.bpf_program__set_log_level(program, STATISTICS)
        lib.bpf_program__set_log_buf(program, log, len(log))
        if path.endswith("/bound.bpf.o"):  # for one device alone, whose driver tells something: loopback's does not
            lib.bpf_program__set_ifindex(program, device)
            lib.bpf_program__set_flags(program, lib.bpf_program__flags(program) | BPF_F_XDP_DEV_BOUND_ONLY)
        program = lib.bpf_object__next_program(opened, program)
    try:
        assert not lib.bpf_object__load(opened), "\n".join(ffi.string(log).decode()[-2000:] for log in logs.values())
    finally:
        lib.bpf_object__close(opened)
    counts = {name: re.findall(r"^processed (\d+) insns", ffi.string(log).decode(), re.MULTILINE) for name, log in logs.items()}
    return {name: int(count) for name, (count,) in counts.items()}


@pytest.fixture(scope="session")
def flow_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bpf/flow.h, called as the kernel's programs are to call it."""
    into = tmp_path_factory.mktemp("flow") / "flow.bpf.o"
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    where = [f"-I{ROOT / 'bpf'}", f"-I/usr/include/{os.uname().machine}-linux-gnu"]
    subprocess.run(["clang", *flags, *where, "-c", ROOT / "tests/kernel/flow.bpf.c", "-o", into], check=True)
    return into


def test_a_flow_is_kept_under_its_lock(flow_program: Path, capsys, silent_veth: Veth) -> None:
    counts = processed(str(flow_program), silent_veth.near.index)
    with capsys.disabled():
        for name, count in sorted(counts.items()):
            print(f"\n  {name}: {count:,} instructions looked at", end="")  # noqa: T201 - as below
    assert max(counts.values()) <= CEILING
    flow = btf.read(flow_program).structs["hw_flow"]
    assert flow.size <= 640
    assert next(member.offset for member in flow.members if member.name == "more") <= 192, "what each packet touches"


@pytest.mark.parametrize("path", LOADED, ids=lambda path: path.stem)
def test_every_program_stays_under_the_ceiling(path, capsys, silent_veth: Veth) -> None:
    with silent_veth.near.space.inside():
        counts = processed(str(path), silent_veth.near.index)
    assert counts
    with capsys.disabled():
        for name, count in sorted(counts.items()):
            print(f"\n  {path.stem} {name}: {count:,} instructions looked at", end="")  # noqa: T201 - the figure is the point
    assert max(counts.values()) <= CEILING
    assert min(counts.values()) > 100, "statistics of programs that were not looked at"
