"""Flows that outlive the process that has them kept: ended, killed, of another version, or still there."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import FrameSender, Veth
from test_tap import ethernet, ipv4, udp
from waiting import MOST_S, until
from watched import wait_for_file

from headwater.kernel import pins

pytestmark = pytest.mark.kernel

SETTINGS = "keep_flows = true\n[flows]\nudp_timeout_s = {udp}\nmemory_mib = {mib}\n"
FRAME = ethernet(ipv4(udp(1000, 2000)))


@pytest.fixture
def folder(silent_veth: Veth) -> Iterator[Path]:
    """Where the flows of the network namespace are kept. Not every machine has the file system mounted."""
    mounted = pins.mounted()
    if not mounted:
        subprocess.run(["mount", "-t", "bpf", "bpf", str(pins.folder().parent)], check=True)
    found = pins.folder() / f"flows-{Path('/run/netns', silent_veth.near.space.name).stat().st_ino}"
    yield found
    shutil.rmtree(found, ignore_errors=True)
    if not mounted:
        subprocess.run(["umount", str(pins.folder().parent)], check=True)


class Run:
    """A run in the network namespace alone: `ip netns exec` would hide the BPF file system."""

    def __init__(self, veth: Veth, into: Path, *, udp: float = 20.0, mib: int = 8) -> None:
        into.mkdir()
        self.rows = into / "rows/conn.jsonl"
        settings = into / "headwater.toml"
        settings.write_text(SETTINGS.format(udp=udp, mib=mib))
        words = ["run", "-i", veth.near.interface, "-c", str(settings), "-o", str(into / "rows")]
        enter = ["nsenter", f"--net=/run/netns/{veth.near.space.name}"]
        self.process = subprocess.Popen([*enter, sys.executable, "-m", "headwater", *words], stderr=subprocess.PIPE, text=True)

    def begun(self) -> "Run":
        wait_for_file(self.rows, self.process)
        return self

    def end(self, by: signal.Signals = signal.SIGINT) -> str:
        """What it said."""
        time.sleep(0.3)
        self.process.send_signal(by)
        return self.process.communicate(timeout=MOST_S)[1]

    def conns(self) -> list[int]:
        return [json.loads(line)["orig_pkts"] for line in self.rows.read_text().splitlines()]


def test_the_next_run_goes_on_whatever_ended_the_one_before(silent_veth: Veth, folder: Path, tmp_path: Path) -> None:
    with FrameSender(silent_veth.far) as sender:
        for number, by in enumerate((signal.SIGINT, signal.SIGKILL, signal.SIGTERM)):
            run = Run(silent_veth, tmp_path / str(number)).begun()
            sender.send([FRAME] * (number + 1))
            said = run.end(by)
            assert ("flows of the run before go on" in said) == (number > 0)
            assert by is signal.SIGKILL or "adds up exactly" in said
            assert run.conns() == []
    last = Run(silent_veth, tmp_path / "last").begun()
    until(last.conns)
    assert "adds up exactly" in last.end()
    assert last.conns() == [1 + 2 + 3]
    assert folder.is_dir()


def test_what_is_of_another_layout_is_put_away(silent_veth: Veth, folder: Path, tmp_path: Path) -> None:
    with FrameSender(silent_veth.far) as sender:
        run = Run(silent_veth, tmp_path / "one").begun()
        sender.send([FRAME])
        run.end()
        run = Run(silent_veth, tmp_path / "two", mib=16).begun()
        sender.send([FRAME] * 2)
        assert "flows that a run before had kept are given up" in run.end()
        (folder / "hw_flow_entries").unlink()
        run = Run(silent_veth, tmp_path / "three", mib=16, udp=0.5).begun()
        sender.send([FRAME] * 4)
        until(run.conns)
        assert "flows that a run before had kept are given up" in run.end()
    assert run.conns() == [4]


def test_a_second_run_is_refused_while_the_first_has_them(silent_veth: Veth, folder: Path, tmp_path: Path) -> None:
    first = Run(silent_veth, tmp_path / "one").begun()
    second = Run(silent_veth, tmp_path / "two")
    said = second.process.communicate(timeout=MOST_S)[1]
    assert "adds up exactly" in first.end()
    assert second.process.returncode == 3
    assert f"another run keeps its flows in {folder}: end that one, or leave keep_flows out here" in said
