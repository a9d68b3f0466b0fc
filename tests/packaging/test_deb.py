"""The Debian package: laid over this system's /usr, its command runs with Debian's own Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

pytestmark = pytest.mark.alone

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def package(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    (folder / "dist").mkdir()
    (folder / "packaging").symlink_to(ROOT / "packaging")
    words = ["packaging/deb.sh", str(wheel), sys.executable]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


def test_it_says_what_it_is_and_keeps_what_was_configured(package: Path) -> None:
    fields = subprocess.check_output(["dpkg-deb", "--field", package], text=True)
    assert "Package: headwater\n" in fields
    assert "Depends: python3 (>= 3.11), python3 (<< 3.12), adduser\n" in fields
    files = subprocess.check_output(["dpkg-deb", "--contents", package], text=True)
    assert "-rw-r----- root/root" in next(line for line in files.splitlines() if line.endswith("./etc/headwater/headwater.toml"))
    assert "./usr/lib/systemd/system/headwater.service" in files
    assert "./usr/lib/systemd/system/run-headwater_bpf.mount" in files


@pytest.mark.kernel
@pytest.mark.skipif(not Path(PYTHON).exists(), reason="there is no Python of the system's")
def test_its_command_runs(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    (tmp_path / "etc/headwater/headwater.toml").chmod(0o644)

    def run(words: str) -> "subprocess.CompletedProcess[str]":
        over = f"mount -t overlay none -o lowerdir={tmp_path}/usr:/usr /usr && exec /usr/bin/headwater {words}"
        environ = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
        command = ["unshare", "--mount", "sh", "-c", over]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)

    doctor, check = run("doctor --json"), run(f"config check {tmp_path}/etc/headwater/headwater.toml")
    assert (doctor.returncode, check.returncode) == (0, 0), doctor.stderr + check.stderr
    assert {"area": "live capture", "state": "ok"}.items() <= json.loads(doctor.stdout)[0].items()
