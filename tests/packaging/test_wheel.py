"""The wheel in an empty environment, on a machine without a compiler, headers or libbpf: it carries what it needs."""

import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

HIDDEN = "/usr/lib/*/libbpf* /usr/lib/*/libelf* /usr/lib64/libbpf* /usr/lib64/libelf* /usr/bin/*clang* /usr/bin/*gcc* /usr/bin/cc"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment that has nothing but the wheel and what it requires."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=120)
    pip = [home / "bin/pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    subprocess.run(pip, check=True, timeout=300)
    return home / "bin/headwater"


def capture(path: Path) -> Path:
    """Three Ethernet frames of one kind."""
    frame = bytes.fromhex("020000000001020000000002080045000020000100004011") + bytes(2) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    frame += struct.pack("!HHHH", 53, 5353, 12, 0) + b"abcd"
    packets = b"".join(struct.pack("<IIII", 1_700_000_000 + i, i, len(frame), len(frame)) + frame for i in range(3))
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + packets)
    return path


def test_the_wheel_carries_objects_and_libraries(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"headwater/bpf/tap.bpf.o", "headwater/bpf/records.bpf.o"} <= set(names)
    assert any(name.startswith("headwater.libs/libbpf") for name in names)
    assert "abi3-manylinux" in wheel.name


def alone(*command: object, **how: object) -> "subprocess.CompletedProcess[str]":
    """Run where libbpf, libelf, compilers and headers are hidden, in a mount namespace of its own."""
    hide = f"for f in {HIDDEN}; do [ -f $f ] && mount --bind /dev/null $f; done; mount -t tmpfs none /usr/include; "
    words = ["unshare", "--mount", "sh", "-c", hide + 'exec "$@"', "sh", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/bin:/bin", "HOME": "/"}, **how)


@pytest.mark.kernel
def test_the_libraries_are_really_hidden():
    system = alone("/usr/bin/python3", "-c", "import ctypes; ctypes.CDLL('libbpf.so.1')")
    assert system.returncode != 0


@pytest.mark.kernel
def test_an_installed_headwater_reads_a_capture(installed: Path, tmp_path: Path):
    done = alone(installed, "read", "--record", "packet", capture(tmp_path / "three.pcap"))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["dport"] for row in rows] == [5353] * 3
    assert "adds up exactly" in done.stderr


@pytest.mark.kernel
def test_an_installed_headwater_watches_live(installed: Path, tmp_path: Path):
    out = tmp_path / "rows"
    ping = "import socket,time; s=socket.socket(socket.AF_INET,2)\nwhile 1: s.sendto(b'x',('127.0.0.1',9)); time.sleep(.1)"
    with subprocess.Popen([sys.executable, "-c", ping]) as sender:
        done = alone(installed, "run", "-i", "lo", "-o", out, "--record", "packet", "--for", "1s")
        sender.kill()
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "packet.jsonl").read_text().splitlines()]
    assert any(row.get("dport") == 9 for row in rows)
    assert "adds up exactly" in done.stderr


def test_reading_needs_no_privilege(installed: Path, tmp_path: Path):
    path = capture(tmp_path / "three.pcap")
    for where in (*tmp_path.parents, tmp_path):
        if where == tmp_path or where.name.startswith("pytest"):
            where.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for parent in installed.parents:
        if parent.name.startswith(("pytest", "installed")):
            parent.chmod(0o755)
    words = [*nobody, installed, "read", "--record", "packet", path]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
