"""Where everything is too small, or will not stay: nothing but counted loss, and nothing stale."""

import gc
import importlib.util
import subprocess
from pathlib import Path

import pytest
from netns import End, FrameSender, namespace, unique
from places import ROOT
from test_af_packet import capture
from test_tap import Watching, ethernet, ipv4, udp
from waiting import until

from headwater.kernel import counters, libbpf
from headwater.sources import tap
from headwater.telemetry import Entry, imbalances

pytestmark = pytest.mark.kernel
PLACES = SLOTS = 16


@pytest.fixture
def small_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs built with counters for 16 interfaces (one place is for those that find none) and 16 rates a CPU and second."""
    spec = importlib.util.spec_from_file_location("headwater_setup", ROOT / "setup.py")
    assert spec and spec.loader
    setup = importlib.util.module_from_spec(spec)
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    spec.loader.exec_module(setup)
    few = [f"-DHW_PLACES={PLACES}", f"-DHW_RATE_SLOTS={SLOTS}"]
    flags = [*setup.BPF_FLAGS, f"-I{setup.MULTIARCH}", *few]
    subprocess.run([setup.CLANG, *flags, "-c", ROOT / "bpf/tap.bpf.c", "-o", tmp_path / "tap.bpf.o"], check=True)
    monkeypatch.setattr(libbpf, "OBJECTS", tmp_path)
    monkeypatch.setattr(counters, "PLACES", PLACES)
    monkeypatch.setattr(tap, "RATE_SLOTS", SLOTS + 1)


@pytest.mark.usefixtures("small_maps")
def test_maps_of_16_entries_and_rings_of_4_kib_lose_nothing_uncounted() -> None:
    with namespace("hwn", ipv6=False) as near, namespace("hwf", ipv6=False) as far:
        ends = []
        for index in range(10, 34):
            names = unique("hwa"), unique("hwb")
            near.ip(f"link add {names[0]} index {index} type veth peer name {names[1]} netns {far.name}")
            near.ip(f"link set {names[0]} up addrgenmode none arp off")
            far.ip(f"link set {names[1]} up addrgenmode none arp off")
            ends.append((End(near, names[0], index, "", "", ""), End(far, names[1], 0, "", "", "")))
        watched = [end.interface for end, _ in ends]
        with Watching(ends[0][0], *watched, ring_bytes=4096) as seen:
            sent = 0
            for port, (_, end) in enumerate(ends):
                with FrameSender(end) as sender:
                    sender.send(ethernet(ipv4(udp(1, 1 + (port * 200 + n) % 1000))) for n in range(200))
                    sent += sender.sent
            rates = seen.tap.rates(0)
    totals = seen.ledger.totals()
    assert imbalances(totals) == []

    def count(term: str) -> int:
        return sum(number for entry, number in totals.items() if (entry.ledger, entry.term) == ("packets", term))

    assert count("seen") == sent == 24 * 200
    assert count("as_row") == len(seen.rows) == sent - count("dropped")
    assert 0 < totals[Entry("packets", "other", "seen")] < sent  # interfaces that found no place
    assert rates.rows["packets"].sum() == sent
    assert len(rates) < 2 * 2 * (SLOTS + 1)


def descriptors() -> int:
    """How many this process has open, but for what it forgot."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_100_flaps_renames_and_returns_leave_nothing_stale(hook: str) -> None:
    """Down and up, another name, deleted and made again: all that was sent is seen, and as much is open as before."""
    frame = ethernet(ipv4(udp(1, 2)))
    with namespace("hwn", ipv6=False) as near, namespace("hwf", ipv6=False) as far:
        name, peer = unique("hwn"), unique("hwp")

        def made() -> End:
            near.ip(f"link add {name} type veth peer name {peer} netns {far.name}")
            for space, one in ((near, name), (far, peer)):
                space.ip(f"link set {one} up addrgenmode none arp off")
            return End(far, peer, 0, "", "", "")

        end = made()
        watched = capture(near, name) if hook == "af_packet" else Watching(End(near, name, 0, "", "", ""), hook=hook)
        with watched as seen:
            source = seen.source if hook == "af_packet" else seen.tap
            sent, before = 0, descriptors()
            for turn in range(100):
                far.carries(peer)
                with FrameSender(end) as sender:
                    sender.send([frame] * 3)
                    sent += sender.sent
                match turn % 4:
                    case 0 | 1:
                        near.ip(f"link set {name} down")
                        near.ip(f"link set {name} up")
                    case 2:
                        near.ip(f"link set {name} name {name}b")
                        near.ip(f"link set {name}b name {name}")
                    case 3:
                        listened_on = seen.reports.count(f"listening on {name}")
                        near.ip(f"link del {name}")
                        end = made()
                        until(lambda: seen.reports.count(f"listening on {name}") > listened_on)  # noqa: B023 - called at once
            until(lambda: source.listening() == [(name, hook)] and descriptors() == before)
            far.carries(peer)
            with FrameSender(end) as sender:
                sender.send([frame] * 10)
    totals = seen.ledger.totals()
    assert imbalances(totals) == []
    rows = seen.count() if hook == "af_packet" else len(seen.rows)
    assert rows == sent + 10


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_what_an_interface_carried_before_it_was_listened_on_is_on_the_ledger(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with namespace("hwn", ipv6=False) as near, namespace("hwf", ipv6=False) as far:
        name, peer = unique("hwn"), unique("hwp")
        near.ip("link set lo up")
        watched = capture(near, "any") if hook == "af_packet" else Watching(End(near, "any", 0, "", "", ""), hook=hook)
        with watched as seen:
            source = seen.source if hook == "af_packet" else seen.tap
            with monkeypatch.context() as looking_away:
                looking_away.setattr(source._watcher, "drain", lambda: False)
                near.ip(f"link add {name} type veth peer name {peer} netns {far.name}")
                for space, one in ((near, name), (far, peer)):
                    space.ip(f"link set {one} up addrgenmode none arp off")
                far.carries(peer)
                with FrameSender(End(far, peer, 0, "", "", "")) as sender:
                    sender.send([ethernet(ipv4(udp(1, 2)))] * 7)
            until(lambda: f"listening on {name}" in seen.reports)
            with FrameSender(End(far, peer, 0, "", "", "")) as sender:
                sender.send([ethernet(ipv4(udp(1, 2)))] * 5)
    totals = seen.ledger.totals()
    assert imbalances(totals) == []
    assert totals[Entry("packets", name, "dropped", "nic", "not_attached")] == 7
    assert totals[Entry("packets", name, "seen")] == 12
