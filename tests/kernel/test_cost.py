"""What a run says that it costs, against what the kernel says of it otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from netns import FrameSender, Veth
from test_tap import ethernet, ipv4, udp

from headwater.records import Batch
from headwater.sources.cost import Cost
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger

pytestmark = pytest.mark.kernel


def rows(batch: Batch) -> dict[tuple[str, str], dict[str, object]]:
    return {(row["kind"], row["name"].split()[0]): row for row in batch.to_arrow().to_pylist()}


def shown(program: int) -> dict[str, Any]:
    """A program of ours as bpftool tells it, its maps by name."""
    number = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{program}").read_text().splitlines())["prog_id"].strip()
    one = json.loads(subprocess.check_output(["bpftool", "-j", "prog", "show", "id", number]))
    maps = [json.loads(subprocess.check_output(["bpftool", "-j", "map", "show", "id", str(each)])) for each in one["map_ids"]]
    return {**one, "maps": {each["name"]: each["bytes_memlock"] for each in maps}}


def test_programs_processes_and_maps_are_told(silent_veth: Veth, monkeypatch: pytest.MonkeyPatch) -> None:
    near = silent_veth.near
    with near.space.inside(), Tap(Ledger(), [near.interface]) as tap, FrameSender(silent_veth.far) as sender:
        cost = Cost(tap, period=1.0)

        def send_instead_of_waiting(_seconds: float) -> bool:
            sender.send([ethernet(ipv4(udp(1, 2)))] * 1000)
            sum(range(5_000_000))  # at least a tick of CPU time
            return False

        monkeypatch.setattr(cost._stopping, "wait", send_instead_of_waiting)
        told = rows(next(cost.read()))
        program = shown(tap.programs()["hw_tcx_in"])
    assert told["program", "hw_tcx_in"]["runs"] == program["run_cnt"] == 1000
    assert told["program", "hw_tcx_in"]["cpu_s"] == program["run_time_ns"] / 1e9
    assert 1000 * 50e-9 < told["program", "hw_tcx_in"]["cpu_s"] < 1000 * 1e-3
    assert told["program", "hw_tcx_out"]["runs"] == 0
    process = told["process", Path("/proc/self/comm").read_text().strip().split()[0]]
    assert process["name"].endswith(f" {os.getpid()}")
    assert process["cpu_s"] > 0
    assert process["octets"] > 10 << 20
    maps = {name: row["octets"] for (kind, name), row in told.items() if kind == "map"}
    for name in ("hw_counts", "hw_rates", "hw_parsers"):
        assert maps[name] == program["maps"][name] > 0
    assert told["map", "hw_packets"]["octets"] >= 16 << 20


def test_times_are_taken_only_while_they_are_asked_for(silent_veth: Veth) -> None:
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    near = silent_veth.near
    with near.space.inside(), Tap(Ledger(), [near.interface]) as tap, FrameSender(silent_veth.far) as sender:
        before = switch.read_text()
        kinds = {kind for kind, _ in rows(next(Cost(tap, bpf_stats=False).read()))}
        sender.send([ethernet(ipv4(udp(1, 2)))] * 100)
        runs = shown(tap.programs()["hw_tcx_in"]).get("run_cnt", 0)
    assert kinds == {"process", "map"}
    assert runs == 0
    assert switch.read_text() == before


def test_a_run_writes_it_when_asked(silent_veth: Veth, tmp_path: Path) -> None:
    command = ["headwater", "run", "-i", silent_veth.near.interface, "--record", "cost", "-o", str(tmp_path), "--for", "2s"]
    silent_veth.near.space.run(sys.executable, "-m", *command)
    written = [json.loads(line) for line in (tmp_path / "cost.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in written} == {"program", "process", "map"}
    assert not (tmp_path / "packet.jsonl").exists()
