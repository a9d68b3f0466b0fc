"""The systemd unit: what it closes, and that a run still does its work with all of that closed."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import under_unit
from netns import Namespace, Veth
from test_crash import Load, tail_told, told_before
from waiting import MOST_S, until
from watched import wait_for_file

HEADWATER = Path(sys.executable).parent / "headwater"
ACCOUNT = 65534
SETTINGS = "keep_flows = true\n[flows]\nmemory_mib = 8\nudp_timeout_s = 2\n"


def test_the_exposure_that_systemd_reckons_is_at_most_2() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", str(under_unit.UNIT)]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    level = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert level, told
    assert float(level[1]) <= 2.0


def start(space: Namespace, *words: str) -> "subprocess.Popen[str]":
    """`headwater run` with what the unit leaves it, as the account ACCOUNT."""
    keep = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in under_unit.values("AmbientCapabilities")[0].split())
    keep += ",+dac_read_search"  # so that Python is found, wherever it is
    sets = [f"--inh-caps=-all,{keep}", f"--ambient-caps=-all,{keep}", f"--bounding-set=-all,{keep}"]
    become = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", *sets, sys.executable, under_unit.__file__]
    return space.start(*become, str(HEADWATER), "run", *words, text=True, stderr=subprocess.PIPE)


def confined(process: "subprocess.Popen[str]") -> str:
    """/proc's status of it once it has closed more than the unit did."""
    assert process.poll() is None, process.communicate()[1]
    status = Path(f"/proc/{process.pid}/status").read_text()
    return status if "Seccomp_filters:\t2" in status else ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that the account can reach, and write to."""
    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    made = tmp_path / "service"
    made.mkdir()
    os.chown(made, ACCOUNT, ACCOUNT)
    return made


@pytest.mark.kernel
def test_a_run_does_its_work_with_the_units_capabilities_and_system_calls(veth: Veth, folder: Path) -> None:
    process = start(veth.near.space, "-i", veth.near.interface, "-o", str(folder), "--format", "parquet", "--record", "packet")
    try:
        status = until(lambda: confined(process))
        veth.far.space.run(sys.executable, "-c", f"import socket; socket.socket(2, 2).sendto(b'x', ('{veth.near.ip4}', 9))")
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=MOST_S)
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    assert process.returncode == 0, said
    assert "confined without" not in said
    assert "adds up exactly" in said
    assert (folder / "packet.parquet").stat().st_size > 500


@pytest.fixture
def pins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A BPF file system as the unit of its mount has it, in a place of ours; and the service's folder of states."""
    made = folder.parent / "pins"
    made.mkdir()
    [kind], [options] = (under_unit.values(key, under_unit.MOUNT) for key in ("Type", "Options"))
    monkeypatch.setenv("HEADWATER_PINS", str(made))
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    subprocess.run(["mount", "-t", kind, "-o", options, "bpf", str(made)], check=True)
    yield made
    subprocess.run(["umount", str(made)], check=True)


def before_it_starts(pins: Path) -> None:
    """What the unit has done with its own each time."""
    [given], [line] = under_unit.values("Where", under_unit.MOUNT), under_unit.values("ExecStartPre")
    words = line.removeprefix("+-").replace(given, str(pins)).replace("headwater -g headwater", f"{ACCOUNT} -g {ACCOUNT}")
    subprocess.run(shlex.split(words), check=True)


def test_both_units_mean_one_place() -> None:
    [place] = under_unit.values("Where", under_unit.MOUNT)
    assert under_unit.MOUNT.name == f"{place.strip('/').replace('/', '-')}.mount"
    assert under_unit.values("Wants") == [under_unit.MOUNT.name]
    assert under_unit.MOUNT.name in under_unit.values("After")[0].split()
    assert f"HEADWATER_PINS={place}" in under_unit.values("Environment")
    assert under_unit.values("ReadWritePaths") == [f"-{place}"]


@pytest.mark.kernel
def test_a_crash_of_the_service_is_told_exactly_and_its_flows_go_on(silent_veth: Veth, folder: Path, pins: Path) -> None:
    near, settings = silent_veth.near, folder / "headwater.toml"
    settings.write_text(SETTINGS)
    for name in ("killed", "next"):
        rows = folder / name
        before_it_starts(pins)
        assert (pins.stat().st_uid, pins.stat().st_mode & 0o777) == (ACCOUNT, 0o700)
        process = start(near.space, "-i", near.interface, "-c", str(settings), "-o", str(rows))
        wait_for_file(rows / "conn.jsonl", process)
        if name == "killed":
            load = Load(silent_veth.far)
            time.sleep(0.7)
            sent = load.stop()
            process.kill()
            process.communicate(timeout=MOST_S)
            told = told_before(folder / "runs")
            assert told <= sent
    wait_for_file(rows / "conn.jsonl", process, lines=1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=MOST_S)[1]
    assert told + tail_told(said) == sent
    assert "flows of the run before go on" in said
    assert "adds up exactly" in said
    assert [json.loads(line)["orig_pkts"] for line in (rows / "conn.jsonl").read_text().splitlines()] == [sent]
    assert list(pins.glob("run-*/*")) == []
