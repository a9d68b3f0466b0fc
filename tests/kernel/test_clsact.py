"""clsact filters outlive their process and share their place: nothing of others is touched, and nothing of ours stays for good."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from headwater._native import lib
from netns import End, FrameSender, Veth
from test_tap import Watching, compiled, ethernet, ipv4, udp
from waiting import MOST_S, until
from watched import counted as counted_of
from watched import wait_for_file

from headwater.errors import Unsupported
from headwater.kernel import clsact, probe
from headwater.kernel.interfaces import interfaces
from headwater.records import Drop
from headwater.telemetry import imbalances, lines

pytestmark = pytest.mark.kernel
FRAME = ethernet(ipv4(udp(1, 2)))
RUN = """
import sys
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger
with Tap(Ledger(), [sys.argv[1]], hook="clsact") as tap:
    print("on", flush=True)
    for batch in tap.read():
        pass
"""


def tc(end: End, words: str) -> str:
    return end.space.run("tc", *words.split()).stdout


def shown(end: End) -> tuple[list[str], bool]:
    """Names of bpf filters and kinds of others, both directions, and whether there is the qdisc: as iproute2 tells it."""
    text = tc(end, f"filter show dev {end.interface} ingress") + tc(end, f"filter show dev {end.interface} egress")
    names = re.findall(r"handle (?:0x\w+|\w+::\w+) (\S+)", text)
    return names, "clsact" in tc(end, f"qdisc show dev {end.interface}")


def killed(end: End) -> None:
    """A run that is killed with its filters attached."""
    process = end.space.start(sys.executable, "-c", RUN, end.interface, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def counted(end: End) -> dict[str, int]:
    """What the program of the first filter has counted for the interface, as bpftool reads its map."""
    number = re.search(r" id (\d+) name hw_clsact_in", tc(end, f"filter show dev {end.interface} ingress"))[1]
    maps = json.loads(subprocess.check_output(["bpftool", "-j", "prog", "show", "id", number]))["map_ids"]
    named = {json.loads(subprocess.check_output(["bpftool", "-j", "map", "show", "id", str(one)]))["name"]: one for one in maps}
    entries = json.loads(subprocess.check_output(["bpftool", "-j", "map", "dump", "id", str(named["hw_counts"])]))
    values = [cpu["value"] for entry in entries for cpu in entry["formatted"]["values"] if cpu["value"]["ifindex"] == end.index]
    gone = int(Drop.tc__reader_gone)
    return {
        "seen": sum(value["seen"] for value in values),
        "as_row": sum(value["as_row"] for value in values),
        "gone": sum(value["dropped"][gone] for value in values),
    }


def test_the_qdisc_goes_with_its_filters(silent_veth: Veth) -> None:
    with Watching(silent_veth.near, hook="clsact") as seen:
        assert shown(silent_veth.near) == (["hw_clsact_own"] * 2, True)
    assert shown(silent_veth.near) == ([], False)
    assert lines(seen.ledger.totals(), seen.ledger.means)[0].startswith(f"packets  {silent_veth.near.interface} (clsact): 0 seen")


@pytest.mark.parametrize("act", [0, -1, 2], ids=["TC_ACT_OK", "TC_ACT_UNSPEC", "TC_ACT_SHOT"])
def test_anothers_filter_and_qdisc_stay_and_hide_nothing(silent_veth: Veth, act: int, tmp_path: Path) -> None:
    near = silent_veth.near
    path = compiled(tmp_path, "classifier", str(act))
    tc(near, f"qdisc add dev {near.interface} clsact")
    tc(near, f"filter add dev {near.interface} ingress pref 1 bpf da object-file {path} section classifier")
    before = shown(near)
    with Watching(near, hook="clsact") as seen, FrameSender(silent_veth.far) as sender:
        assert sorted(shown(near)[0]) == sorted([*before[0], "hw_clsact", "hw_clsact"])
        sender.send([FRAME] * 50)
    assert len(seen.rows) == 50
    assert seen.reports == []
    assert shown(near) == before


def test_a_filter_that_comes_while_it_runs_keeps_the_qdisc(silent_veth: Veth, tmp_path: Path) -> None:
    near = silent_veth.near
    with Watching(near, hook="clsact"):
        path = compiled(tmp_path, "classifier", "-1")
        tc(near, f"filter add dev {near.interface} egress pref 5 bpf da object-file {path} section classifier")
    names, there = shown(near)
    assert (names, there) == (["other.o:[classifier]"], True)


def test_it_says_when_anothers_filter_comes_first(silent_veth: Veth) -> None:
    near = silent_veth.near
    tc(near, f"qdisc add dev {near.interface} clsact")
    tc(near, f"filter add dev {near.interface} ingress pref 1 protocol ip u32 match u32 0 0 flowid :1")
    with Watching(near, hook="clsact") as seen, FrameSender(silent_veth.far) as sender:
        sender.send([FRAME, ethernet(bytes(40), 0x88B5)])
    assert len(seen.rows) == 1  # u32 ends IPv4 packets before
    assert seen.reports == [f"others' filters on {near.interface} come before ours: packets that they end are not seen"]


def test_two_runs_on_one_interface(silent_veth: Veth) -> None:
    near = silent_veth.near
    with FrameSender(silent_veth.far) as sender, Watching(near, hook="clsact") as first:
        with Watching(near, hook="clsact") as second:
            sender.send([FRAME] * 20)
        sender.send([FRAME] * 10)
    assert (len(first.rows), len(second.rows)) == (30, 20)
    assert first.reports == second.reports == []
    assert shown(near) == ([], False)


@pytest.mark.parametrize("others", [False, True])
def test_what_a_killed_run_leaves_is_removed_by_the_next(silent_veth: Veth, others: bool, tmp_path: Path) -> None:
    near = silent_veth.near
    killed(near)
    assert shown(near) == (["hw_clsact_own"] * 2, True)
    if others:
        path = compiled(tmp_path, "classifier", "-1")
        tc(near, f"filter add dev {near.interface} ingress pref 3 bpf da object-file {path} section classifier")
    with near.space.inside():
        (left,) = [one for one in probe.findings() if (one.area, one.name) == (f"interface {near.interface}", "clsact")]
        assert left.why.startswith("2 filters of a killed run")
    with Watching(near, hook="xdp") as seen:  # whatever its own hook is
        assert shown(near) == (["other.o:[classifier]"] if others else [], others)
    assert seen.reports == [f"removed what a killed run had left on {near.interface}"]


def test_what_a_killed_run_leaves_idles_and_counts(silent_veth: Veth) -> None:
    near = silent_veth.near
    with FrameSender(silent_veth.far) as sender:
        killed(near)
        sender.send([FRAME] * 10)
        time.sleep(6.5)
        before = counted(near)
        sender.send([FRAME] * 30)
        after = counted(near)
    assert before == {"seen": 10, "as_row": 10, "gone": 0}
    assert after == {"seen": 40, "as_row": 10, "gone": 30}


def test_a_stopped_process_finds_what_it_missed_counted(silent_veth: Veth, tmp_path: Path) -> None:
    near = silent_veth.near
    command = [
        sys.executable,
        "-m",
        "headwater",
        "run",
        "-i",
        near.interface,
        "--hook",
        "clsact",
        "--record",
        "packet",
        "-o",
        str(tmp_path),
    ]
    process = near.space.start(*command, stderr=subprocess.PIPE, text=True)
    wait_for_file(tmp_path / "packet.jsonl", process)
    wait_for_file(tmp_path / "ledger.jsonl", process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(6.5)
    with FrameSender(silent_veth.far) as sender:
        sender.send([FRAME] * 40)
    process.send_signal(signal.SIGCONT)
    until(lambda: counted_of(tmp_path, "packets", "dropped") == 40)
    with FrameSender(silent_veth.far) as sender:
        sender.send([FRAME] * 5)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=MOST_S)[1]
    assert f"packets  {near.interface} (clsact): 45 seen = 5 as_row + 40 dropped (tc: reader gone)" in told
    assert "ledger   adds up exactly" in told


def test_when_somebody_removes_the_qdisc_it_is_made_again(silent_veth: Veth) -> None:
    near = silent_veth.near
    with Watching(near, hook="clsact") as seen, FrameSender(silent_veth.far) as sender:
        sender.send([FRAME] * 10)
        tc(near, f"qdisc del dev {near.interface} clsact")
        until(lambda: len(shown(near)[0]) == 2)
        sender.send([FRAME] * 20)
    assert len(seen.rows) == seen.count("seen") == 30
    assert imbalances(seen.ledger.totals()) == []
    assert seen.reports[-1] == f"listening on {near.interface}"
    assert shown(near) == ([], False)


def test_an_ingress_qdisc_is_left_alone(silent_veth: Veth) -> None:
    near = silent_veth.near
    tc(near, f"qdisc add dev {near.interface} ingress")
    with near.space.inside():
        assert clsact.why_not(near.index).startswith("an ingress qdisc is there")
    with pytest.raises(Unsupported, match=r"its ingress qdisc, which is left alone; --hook af_packet"), Watching(near, hook="clsact"):
        pass
    assert "ingress" in tc(near, f"qdisc show dev {near.interface}")


def test_without_tcx_it_is_the_rung_and_trying_it_changes_nothing(silent_veth: Veth, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kernel before 6.6 answers."""
    near = silent_veth.near

    def without_tcx(one: object, place: int, *more: object) -> int:
        return -22

    class Kernel:
        def __getattr__(self, name: str) -> object:
            return without_tcx if name == "bpf_prog_query" else getattr(lib, name)

    monkeypatch.setattr(probe, "lib", Kernel())
    with near.space.inside():
        there = interfaces()[near.index]
        assert probe.best([there]) == "clsact"
        assert probe.ladder(there) == ("clsact", "no tcx: it came with kernel 6.6")
        assert shown(near) == ([], False)
        tc(near, f"qdisc add dev {near.interface} ingress")
        assert probe.ladder(there)[0] == "af_packet"
        assert probe.best([there, interfaces()[1]]) == "af_packet"
