"""Traffic that is not ours over each kind of device, watched on it and below it, by each rung: the counts must be the same everywhere."""

import contextlib
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devices import UNDER, Both, Device
from watching import Watching, change, counters, doctor

from headwater.errors import KernelError
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger

DATAGRAMS, ECHOES, PORT = 50, 30, 9
QUIET_S = (
    11.0  # WireGuard says that it lives 10 s after what it received; in the time before a run begins that would be counted by one only
)
BOTH_WAYS = ("tcx", "clsact", "af_packet")


def warm_up(both: Both, devices: list[Device]) -> None:
    """Until an answer came over each: a handshake and carriers take their time."""
    for device in devices:
        for _ in range(50):
            if _ping(both, device, 1):
                break
        else:
            raise RuntimeError(f"nothing comes through {device.kind}: {device.name}")


def _ping(both: Both, device: Device, count: int) -> int:
    """From the far end, as busybox has it. How many were sent; 0 if answers are missing that no device loses."""
    told = both.far.run("/run/ping", "-q", "-c", str(count), "-i", "0.02", "-W", "1", device.address(1), check=False, timeout=60).stdout
    sent, received = map(int, re.findall(r"(\d+) packets (?:transmitted|received)", told))
    return sent if received == sent or (device.lossy and received) else 0


def _send(both: Both, device: Device) -> None:
    family = socket.AF_INET6 if device.six else socket.AF_INET
    with both.near.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.connect((device.address(2), PORT))
        for number in range(DATAGRAMS):
            sender.send(b"%4d" % number)


def traffic(both: Both, devices: list[Device]) -> dict[str, int]:
    """Over each device: datagrams out, whose arrival is counted, and echoes in, which are answered. Returns what arrived."""
    arrived = {}
    for device in devices:
        family = socket.AF_INET6 if device.six else socket.AF_INET
        with both.far.inside():
            receiver = socket.socket(family, socket.SOCK_DGRAM)
            receiver.bind((device.address(2), PORT))
        with receiver:
            _send(both, device)
            if _ping(both, device, ECHOES) != ECHOES:
                raise RuntimeError(f"echoes were lost on {device.kind}")
            time.sleep(0.1)
            receiver.setblocking(False)
            arrived[device.kind] = len(list(_received(receiver)))
    return arrived


def _received(one: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield one.recv(100)


def check(both: Both, devices: list[Device], rung: str, *, forced: bool) -> Iterator[tuple[str, str, str, str]]:
    """One run on all devices by one rung. For each kind: (kind, rung, what was seen, what is wrong with it)."""
    watched = [device for device in devices if rung != "xdp" or device.native_xdp]
    names = [*(device.name for device in watched), UNDER]
    names += [name for device in devices for name in device.below if name not in names]
    time.sleep(QUIET_S)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        before = counters(both.near)
        with Watching(both.near, names, folder / "rows", *(["--hook", rung] if forced else [])) as seen:
            arrived = traffic(both, devices)
            time.sleep(0.5)
            after = counters(both.near)
    wrong = seen.wrong()
    for device in devices:
        if wrong:
            yield device.kind, rung, "", wrong
            continue
        told, problems = (
            _above(seen, device, rung, change(before, after, device.name)) if device in watched else (f"below it, {ECHOES} in", [])
        )
        problems += _below(seen, device, rung)
        if not device.lossy and arrived[device.kind] != DATAGRAMS:
            problems.append(f"{arrived[device.kind]} of {DATAGRAMS} datagrams arrived")
        yield device.kind, rung, told, "; ".join(problems)


def _above(seen: Watching, device: Device, rung: str, counted: tuple[int, int]) -> tuple[str, list[str]]:
    """On the device itself: rows equal what was sent, and the ledger what the device counted."""
    name = device.name
    problems: list[str] = []
    expect = _Expectations(problems)
    proto, request, reply = (58, 128, 129) if device.six else (1, 8, 0)
    here, there = device.address(1), device.address(2)
    sent = seen.count(name, direction="out", proto=17, src=here, dst=there, dport=PORT)
    asked = seen.count(name, direction="in", proto=proto, icmp_type=request, src=there, dst=here)
    answered = seen.count(name, direction="out", proto=proto, icmp_type=reply, src=here, dst=there)
    ways = seen.directions(name)
    expect("rung", seen.rungs.get(name), rung)
    if not device.lossy:
        expect("echoes in", asked, ECHOES)
    if device.opaque:
        counted = asked, sent + answered  # WireGuard's own counts are of handshakes too
    expect("rows in", ways["in"], counted[0])
    if rung in BOTH_WAYS:
        after_queue = device.lossy and rung == "af_packet"  # it sees what the queueing discipline has let through
        if not after_queue:
            expect("datagrams out", sent, DATAGRAMS)
            expect("answers out", answered, asked)
        expect("rows out", ways["out"], counted[1] if after_queue or not device.lossy else sent + answered)
    expect("ledger", seen.seen.get(name), ways["in"] + ways["out"])
    with_ethernet = sum(row["interface"] == name and "l2_src" in row for row in seen.rows)
    expect("rows with Ethernet", with_ethernet, ways["in"] + ways["out"] if device.ethernet else 0)
    return f"{ways['in']} in, {ways['out']} out" if rung in BOTH_WAYS else f"{ways['in']} in", problems


def _below(seen: Watching, device: Device, rung: str) -> list[str]:
    """Below it: as many, with the inner addresses and what wraps them."""
    if not device.below:
        return []
    problems: list[str] = []
    expect = _Expectations(problems)
    here, there = device.address(1), device.address(2)
    proto = 58 if device.six else 1

    def total(**columns: Any) -> int:
        return sum(seen.count(below, **columns, **_turned(wrap, columns["direction"], rung)) for below, wrap in device.below.items())

    if device.opaque:
        expect("below, echoes in", total(direction="in", payload_length=device.opaque[1]), ECHOES)
        if rung in BOTH_WAYS:
            expect("below, answers out", total(direction="out", payload_length=device.opaque[1]), ECHOES)
            expect("below, datagrams out", total(direction="out", payload_length=device.opaque[0]), DATAGRAMS)
        return problems
    expect("below, echoes in", total(direction="in", proto=proto, src=there, dst=here), ECHOES)
    if rung in BOTH_WAYS:
        expect("below, datagrams out", total(direction="out", proto=17, src=here, dst=there, dport=PORT), DATAGRAMS)
        expect("below, answers out", total(direction="out", proto=proto, src=here, dst=there), ECHOES)
    return problems


def _turned(wrap: dict[str, object], direction: str, rung: str) -> dict[str, object]:
    """The columns that a packet of this direction has there. XDP does not see a tag that is beside the frame, as veth hands it over."""
    if "vlan" in wrap and rung == "xdp":
        return {"vlan": None}
    if "tunnel" not in wrap:
        return wrap
    near, far = ("outer_src", "outer_dst") if direction == "out" else ("outer_dst", "outer_src")
    return {**wrap, near: "10.9.0.1", far: "10.9.0.2"}


class _Expectations:
    """Collects what is other than it should be."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def __call__(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self._problems.append(f"{what}: {found} instead of {wanted}")


def refused_by_xdp(both: Both, devices: list[Device]) -> dict[str, str]:
    """By kind, what is said where XDP is asked for and not possible; "" where it is."""
    said = {}
    for device in devices:
        try:
            with both.near.inside(), Tap(Ledger(), [device.name], hook="xdp"):
                said[device.kind] = ""
        except KernelError as error:
            said[device.kind] = str(error)
    return said


def doctor_agrees(both: Both, devices: list[Device], rung: str) -> str:
    """Whether `headwater doctor` names that rung for each device; what it says else."""
    code, found = doctor(both.near)
    hooks_of = {one["area"].removeprefix("interface "): one["why"] for one in found if one["name"] == "hook"}
    others = {device.name: hooks_of.get(device.name) for device in devices if f"by {rung}" not in (hooks_of.get(device.name) or "")}
    verdict = found[0]["why"]
    if code or others or not verdict.startswith(f"by {rung} "):
        return f"doctor ends with {code} and says: {verdict}; {others}"
    return ""


def addresses(both: Both) -> str:
    """What there is, for the console."""
    return subprocess.run(["ip", "-n", both.near.name, "-br", "addr"], capture_output=True, text=True, check=True, timeout=20).stdout
