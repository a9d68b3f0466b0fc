"""The systemd unit: what it closes, and that a run still does its work with all of that closed."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import under_unit
from netns import Veth

HEADWATER = Path(sys.executable).parent / "headwater"


def test_the_exposure_that_systemd_reckons_is_at_most_2() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", str(under_unit.UNIT)]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    level = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert level, told
    assert float(level[1]) <= 2.0


@pytest.mark.kernel
def test_a_run_does_its_work_with_the_units_capabilities_and_system_calls(veth: Veth, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o055)
    keep = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in under_unit.values("AmbientCapabilities")[0].split())
    keep += ",+dac_read_search"  # so that Python is found, wherever it is
    sets = [f"--inh-caps=-all,{keep}", f"--ambient-caps=-all,{keep}", f"--bounding-set=-all,{keep}"]
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *sets, sys.executable, under_unit.__file__]
    command = [*become, str(HEADWATER), "run", "-i", veth.near.interface, "-o", str(folder), "--format", "parquet", "--record", "packet"]
    process = veth.near.space.start(*command, text=True, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while "Seccomp_filters:\t2" not in (status := Path(f"/proc/{process.pid}/status").read_text()):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        veth.far.space.run(sys.executable, "-c", f"import socket; socket.socket(2, 2).sendto(b'x', ('{veth.near.ip4}', 9))")
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    assert process.returncode == 0, said
    assert "confined without" not in said
    assert "adds up exactly" in said
    assert (folder / "packet.parquet").stat().st_size > 500
