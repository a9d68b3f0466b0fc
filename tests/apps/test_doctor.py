"""What the doctor says is what then happens: with privileges taken away, beside others' programs, on interfaces with odd names."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmdb_made
import pytest
from netns import Namespace, Veth, namespace, unique, veth_pair

from headwater.apps import doctor
from headwater.kernel import hooks, libbpf, probe
from headwater.kernel.interfaces import interfaces

pytestmark = pytest.mark.kernel
WITHOUT = {  # setpriv's words for the capabilities that are taken away
    "nothing": "",
    "eBPF": "-bpf,-perfmon,-sys_admin",
    "eBPF's network": "-net_admin,-sys_admin",
    "perfmon": "-perfmon,-sys_admin",
    "packet sockets": "-net_raw",
    "everything": "-all",
}
OPEN = """
import sys
from headwater.errors import HeadwaterError
from headwater.sources.af_packet import AfPacket
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger
for source in (Tap, AfPacket):
    try:
        with source(Ledger(), [sys.argv[1]]):
            print("tcx" if source is Tap else source.name)
    except HeadwaterError:
        pass
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Veth]:
    with veth_pair() as pair:
        yield pair


def python(space: Namespace, without: str, *words: str) -> "subprocess.CompletedProcess[str]":
    drop = ["setpriv", "--bounding-set", without] if without else []
    return space.run(*drop, sys.executable, *words, check=False, timeout=60)


def examine(space: Namespace, without: str = "") -> tuple[dict[tuple[str, str], dict[str, Any]], int]:
    """The findings by (area, name), and the exit code."""
    done = python(space, without, "-m", "headwater", "doctor", "--json")
    assert not done.stderr
    found = json.loads(done.stdout)
    assert all(set(one) == {"area", "name", "state", "why", "todo", "denied"} for one in found)
    assert {one["state"] for one in found} <= {"ok", "warn", "off"}
    assert len({(one["area"], one["name"]) for one in found}) == len(found)
    return {(one["area"], one["name"]): one for one in found}, done.returncode


@pytest.mark.parametrize("missing", WITHOUT)
def test_its_verdict_is_what_then_can_be_opened(missing: str, pair: Veth) -> None:
    found, code = examine(pair.near.space, WITHOUT[missing])
    opened = python(pair.near.space, WITHOUT[missing], "-c", OPEN, pair.near.interface).stdout.split()
    verdict = found["live capture", "verdict"]
    assert (verdict["state"] == "ok") == bool(opened) == (code == 0)
    assert (found["packet sockets", "ring"]["state"] == "ok") == ("af_packet" in opened)
    said = {area: one for (area, name), one in found.items() if name == "hook"}
    assert {one["state"] for one in said.values()} == {verdict["state"]}
    hook = said[f"interface {pair.near.interface}"]["why"]
    if opened:
        assert f"by {opened[0]} " in verdict["why"]
        assert f"run listens here, by {opened[0]}: " in hook
    else:
        assert code == python(pair.near.space, WITHOUT[missing], "-m", "headwater", "run", "--for", "1s").returncode == 4
        assert "run listens here" not in hook
        assert "CAP_NET_RAW" in verdict["why"]
        assert "root" in verdict["todo"]
        assert "CAP_BPF" in verdict["why"]


def test_what_no_privilege_would_mend_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    off = probe.Finding("eBPF", "ring buffer", "off", "the BPF ring buffer is not possible here", "kernel 5.8 or newer")
    socket = probe.Finding("packet sockets", "ring", "off", "the kernel refused it (Address family not supported by protocol)")
    monkeypatch.setattr(probe, "_ebpf", lambda: [off])
    monkeypatch.setattr(probe, "_packet_socket", lambda: socket)
    assert doctor.run(as_json=True) == 3
    verdict = json.loads(capsys.readouterr().out)[0]
    assert verdict["state"] == "off"
    assert "root" not in verdict["todo"]


def test_capabilities_are_those_of_the_process(pair: Veth) -> None:
    found, _ = examine(pair.near.space, "-all,+net_raw,+sys_admin")
    states = {name: one["state"] for (area, name), one in found.items() if area == "privileges" and name.startswith("CAP_")}
    assert states == {"CAP_NET_RAW": "ok", "CAP_SYS_ADMIN": "ok", "CAP_BPF": "ok", "CAP_PERFMON": "ok", "CAP_NET_ADMIN": "off"}
    assert found["privileges", "CAP_BPF"]["why"] == "CAP_SYS_ADMIN stands for it"


def test_the_ladder_is_what_the_kernel_has_for_every_kind_of_interface() -> None:
    with namespace() as space:
        for words in (
            "link add hwk0 type veth peer name hwk1",
            "link add hwk2 type ifb",
            "tuntap add hwk3 mode tun",
            "tuntap add hwk4 mode tap",
        ):
            space.ip(words)
        with space.inside(), libbpf.Object("tap", ("hw_tcx_in",)) as programs:
            for one in interfaces().values():
                assert probe.ladder(one)[0] == "tcx"
                hooks.detach(hooks.attach_tcx(programs.program("hw_tcx_in"), one.index, one.name, egress=False))
            assert {"lo", "hwk0", "hwk1", "hwk2", "hwk3", "hwk4"} <= {one.name for one in interfaces().values()}


def test_machine_and_card_are_told_as_others_tell_them(pair: Veth) -> None:
    space, name = pair.near.space, pair.near.interface
    space.run("ethtool", "-K", name, "gro", "on", "rxvlan", "on")
    found, _ = examine(space)
    area = f"interface {name}"
    assert platform.release() in found["kernel", "release"]["why"]
    assert found[area, "device"]["why"] == "veth, MTU 1500, up"
    assert "XDP does not see VLAN tags" in found[area, "rxvlan"]["why"]
    assert found[area, "rxvlan"]["todo"] == f"for --hook xdp: ethtool -K {name} rxvlan off"
    assert "generic XDP" in found[area, "GRO"]["why"]
    space.run("ethtool", "-K", name, "gro", "off", "rxvlan", "off")
    found, _ = examine(space)
    assert not {(area, "rxvlan"), (area, "GRO")} & set(found)
    assert found["interface lo", "hook"]["why"] == "run leaves it out; with -i lo it is seen by tcx"


def test_programs_that_others_attached_are_named(pair: Veth) -> None:
    space, name = pair.near.space, pair.near.interface
    with space.inside(), libbpf.Object("tap", ("hw_xdp", "hw_tcx_out")) as programs:
        links = [
            hooks.attach_xdp(programs.program("hw_xdp"), pair.near.index, name),
            hooks.attach_tcx(programs.program("hw_tcx_out"), pair.near.index, name, egress=True),
        ]
        found, code = examine(space)
        shown = space.run("ip", "-json", "-details", "link", "show", name).stdout
        for link in links:
            hooks.detach(link)
    area = f"interface {name}"
    number = json.loads(shown)[0]["xdp"]["prog"]["id"]
    assert found[area, "XDP"]["state"] == "warn"
    assert f"native: program {number} (hw_xdp)" in found[area, "XDP"]["why"]
    assert "(hw_tcx_out); ours goes before it" in found[area, "tcx out"]["why"]
    assert (area, "tcx in") not in found
    assert code == 0


def test_where_nothing_is_up_it_says_so() -> None:
    with namespace() as space:
        space.ip("link set lo down")
        found, code = examine(space)
    assert "no interface is up" in found["interfaces", "choice"]["why"]
    assert "ip link set" in found["interfaces", "choice"]["todo"]
    assert code == 0


def test_for_a_person_it_fits_a_terminal_and_obeys_no_name(pair: Veth) -> None:
    odd = unique("h") + "\x1b[7m"
    pair.near.space.run("ip", "link", "add", odd, "type", "ifb")
    done = python(pair.near.space, "", "-m", "headwater", "doctor", "--all")
    short = python(pair.near.space, "", "-m", "headwater", "doctor").stdout
    found, _ = examine(pair.near.space)
    pair.near.space.run("ip", "link", "delete", odd)
    assert (f"interface {odd}", "device") in found
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]
    words, fewer = " ".join(done.stdout.split()), " ".join(short.split())
    assert len(short.splitlines()) < len(done.stdout.splitlines()) - 10
    for (area, name), one in found.items():
        if "\x1b" not in area:
            assert f"{one['state']} {name} {' '.join(one['why'].split())}" in words
            assert (name if one["state"] == "ok" else f"{one['state']} {name} {' '.join(one['why'].split())}") in fewer


def test_files_of_names_are_told_each_in_one_line(tmp_path: Path) -> None:
    """Broken, missing, old, and as it should be."""
    now = int(time.time())
    files = {"broken": tmp_path / "broken.mmdb", "missing": tmp_path / "missing.mmdb"}
    files["broken"].write_bytes(b"<html>404</html>")
    for name, age in (("old", 120), ("new", 3)):
        files[name] = mmdb_made.write(
            tmp_path / name, {"192.0.2.0/24": mmdb_made.as_record(1, "x")}, kind="Some-ASN", built=now - age * 86_400
        )

    def finding(name: str) -> dict[str, Any]:
        settings = tmp_path / "headwater.toml"
        settings.write_text(f'[names]\nasn = "{files[name]}"\n')
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "doctor", "--json", "-c", settings], capture_output=True, text=True, check=False
        )
        assert not done.stderr
        (one,) = [one for one in json.loads(done.stdout) if one["area"] == "names"]
        return dict(one)

    assert (finding("broken")["state"], finding("broken")["todo"][:13]) == ("warn", "give an .mmdb")
    assert finding("broken")["why"] == f"{files['broken']}: cannot be used: no MaxMind DB file"
    assert finding("missing")["why"] == f"{files['missing']}: cannot be read: No such file or directory"
    assert "120 days old" in finding("old")["why"]
    assert finding("old")["todo"] == f"put a newer one at {files['old']}"
    assert finding("new")["state"] == "ok"
    assert finding("new")["why"].startswith("Some-ASN of 20")
