"""The demo under root: tcpdump and tshark see each promised kind of traffic, and nothing of it outlives it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import until

from headwater.apps import demo
from headwater.errors import PermissionDenied

FIELDS = (
    "frame.protocols eth.type vlan.id arp.opcode ip.src ipv6.src ip.dst ipv6.dst ip.flags.mf ip.frag_offset "
    "ipv6.fraghdr.offset tcp.flags tcp.srcport tcp.dstport icmp.type icmpv6.type dns.flags.response dns.qry.type http.request http.response"
).split()
FAR4, FAR6 = "192.0.2.2", "2001:db8::2"

KINDS: dict[str, Callable[[dict[str, str]], bool]] = {
    "echo request": lambda p: p["icmp.type"] == "8",
    "echo reply": lambda p: p["icmp.type"] == "0",
    "echo request, IPv6": lambda p: p["icmpv6.type"] == "128",
    "echo reply, IPv6": lambda p: p["icmpv6.type"] == "129",
    "ARP request": lambda p: p["arp.opcode"] == "1",
    "ARP reply": lambda p: p["arp.opcode"] == "2",
    "neighbour solicitation": lambda p: p["icmpv6.type"] == "135",
    "neighbour advertisement": lambda p: p["icmpv6.type"] == "136",
    "DNS query": lambda p: p["dns.qry.type"] == "1" and p["dns.flags.response"] in ("0", "False") and p["ip.dst"] == FAR4,
    "DNS answer": lambda p: p["dns.qry.type"] == "1" and p["dns.flags.response"] in ("1", "True") and p["ip.src"] == FAR4,
    "DNS query, IPv6": lambda p: p["dns.qry.type"] == "28" and p["dns.flags.response"] in ("0", "False") and p["ipv6.dst"] == FAR6,
    "DNS answer, IPv6": lambda p: p["dns.qry.type"] == "28" and p["dns.flags.response"] in ("1", "True") and p["ipv6.src"] == FAR6,
    "HTTP request": lambda p: bool(p["http.request"]) and p["ip.dst"] == FAR4,
    "HTTP response": lambda p: bool(p["http.response"]) and p["ip.src"] == FAR4,
    "HTTP request, IPv6": lambda p: bool(p["http.request"]) and p["ipv6.dst"] == FAR6,
    "HTTP response, IPv6": lambda p: bool(p["http.response"]) and p["ipv6.src"] == FAR6,
    "TCP": lambda p: p["tcp.srcport"] == "7" and p["ip.src"] == FAR4,
    "TCP, IPv6": lambda p: p["tcp.srcport"] == "7" and p["ipv6.src"] == FAR6,
    "refused": lambda p: p["tcp.srcport"] == "81" and int(p["tcp.flags"], 16) & 4 != 0 and p["ip.src"] == FAR4,
    "refused, IPv6": lambda p: p["tcp.srcport"] == "81" and int(p["tcp.flags"], 16) & 4 != 0 and p["ipv6.src"] == FAR6,
    "dropped": lambda p: p["ip.dst"] == "198.51.100.1" and p["tcp.flags"] != "",
    "fragment": lambda p: p["ip.flags.mf"] in ("1", "True"),
    "last fragment": lambda p: p["ip.frag_offset"] not in ("", "0") and p["ip.flags.mf"] in ("0", "False"),
    "fragment, IPv6": lambda p: p["ipv6.fraghdr.offset"] not in ("", "0"),
    "VLAN": lambda p: p["vlan.id"] == "10" and p["ip.dst"] == FAR4,
    "VLAN, the other way": lambda p: p["vlan.id"] == "10" and p["ip.src"] == FAR4,
    "QinQ": lambda p: p["vlan.id"] == "100,20" or ("ieee8021ad" in p["frame.protocols"] and "20" in p["vlan.id"]),
    "mDNS": lambda p: p["ip.dst"] == "224.0.0.251" and "mdns" in p["frame.protocols"],
    "mDNS, IPv6": lambda p: p["ipv6.dst"] == "ff02::fb" and "mdns" in p["frame.protocols"],
    "SSDP": lambda p: p["ip.dst"] == "239.255.255.250" and "ssdp" in p["frame.protocols"],
    "SSDP, IPv6": lambda p: p["ipv6.dst"] == "ff02::c" and "ssdp" in p["frame.protocols"],
    "IGMP": lambda p: "igmp" in p["frame.protocols"],
    "MLD": lambda p: p["icmpv6.type"] == "143",
    "LLDP": lambda p: "lldp" in p["frame.protocols"],
}


def namespace() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def processes_in(namespaces: set[str]) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((process / "ns/net").readlink()) in namespaces:
                found.append(process.name)
    return found


def children() -> list[int]:
    return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]


def packets(capture: Path) -> Iterator[dict[str, str]]:
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", *(part for name in FIELDS for part in ("-e", name))]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():  # the end may not be written yet
        yield dict(zip(FIELDS, line.split("\t"), strict=True))


def missing_in(capture: Path) -> list[str]:
    seen = list(packets(capture)) if capture.exists() else []
    return [kind for kind, is_it in KINDS.items() if not any(map(is_it, seen))]


@pytest.mark.kernel
def test_each_promised_kind_is_there_and_nothing_is_left(tmp_path: Path) -> None:
    home, before = namespace(), set(children())
    inside: set[str] = set()
    capture = tmp_path / "demo.pcap"

    def watch(interfaces: list[str]) -> int:
        assert namespace() != home
        inside.update(str(Path(f"/proc/{pid}/ns/net").readlink()) for pid in children() if pid not in before)
        assert namespace() in inside and len(inside) == 2
        assert {name for _, name in socket.if_nameindex()} == {"lo", *interfaces}
        with subprocess.Popen(["tcpdump", "-U", "-i", interfaces[0], "-w", str(capture)], stderr=subprocess.DEVNULL) as tcpdump:
            until(lambda: not missing_in(capture), lambda: time.sleep(1))
            tcpdump.terminate()
        return 42

    assert demo.run(watch, None) == 42
    assert namespace() == home
    assert set(children()) == before
    until(lambda: not processes_in(inside))
    assert not {demo.NEAR, demo.FAR} & {name for _, name in socket.if_nameindex()}
    assert not missing_in(capture)


@pytest.mark.kernel
def test_an_error_while_watching_removes_everything() -> None:
    home, before = namespace(), set(children())

    def watch(interfaces: list[str]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.run(watch, 5)
    assert namespace() == home
    assert set(children()) == before


@pytest.mark.kernel
def test_kill_9_leaves_no_process_and_so_no_namespace() -> None:
    script = """
import os, time
from pathlib import Path
from headwater.apps import demo

def watch(names):
    children = Path("/proc/thread-self/children").read_text().split()
    print(*(os.readlink(f"/proc/{pid}/ns/net") for pid in children), flush=True)
    time.sleep(60)
    return 0

demo.run(watch, None)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    inside = set(process.stdout.readline().split())
    assert len(inside) == 2 and len(processes_in(inside)) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: not processes_in(inside))


@pytest.mark.kernel
def test_ctrl_c_at_the_terminal_does_not_reach_the_traffic() -> None:
    def watch(interfaces: list[str]) -> int:
        return len([pid for pid in children() if os.getsid(pid) == pid and os.getpgid(pid) != os.getpgid(0)])

    assert demo.run(watch, None) == 2


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionDenied, match=r"CAP_SYS_ADMIN: run as root"):
        demo.run(lambda _: 0, None)


def test_without_ip_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(demo.DemoError, match="install iproute2"):
        demo.run(lambda _: 0, None)


@pytest.mark.kernel
@pytest.mark.parametrize(("fails_at", "says"), [("add", "Unknown device type"), ("-batch", "Cannot find device")])
def test_what_ip_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails_at: str, says: str) -> None:
    fake = tmp_path / "ip"
    fake.write_text(f'#!/bin/sh\ncase "$*" in *{fails_at}*) echo "{says}" >&2; exit 2;; esac\nexit 0\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = set(children())
    with pytest.raises(demo.DemoError, match=says):
        demo.run(lambda _: 0, None)
    assert set(children()) == before
