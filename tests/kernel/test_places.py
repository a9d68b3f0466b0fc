"""One packet at several places: what a flow has counted, and where it was seen."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netns import FrameSender, Namespace, Veth, namespace, unique
from test_tap import ethernet, ipv4, udp
from waiting import MOST_S
from watched import Rows, watching

pytestmark = pytest.mark.kernel

Places = Callable[[Veth], tuple[list[str], str]]


def bridge(veth: Veth) -> tuple[list[str], str]:
    """The near end is a port of a bridge that has its address: (both, the address)."""
    near, name = veth.near, unique("hwbr")
    near.space.ip(f"link add {name} type bridge")
    near.space.ip(f"addr flush dev {near.interface}")
    near.space.ip(f"link set {near.interface} master {name}")
    near.space.ip(f"addr add {near.ip4}/24 dev {name}")
    near.space.ip(f"link set {name} up")
    return [near.interface, name], near.ip4


def bridge_and_pair(veth: Veth) -> tuple[list[str], str]:
    """The near end is a port of a bridge, and so is one end of a veth pair, whose other end has the address: a container's, but here."""
    near, (name, outer, inner), mac = veth.near, (unique("hwbr"), unique("hwo"), unique("hwi")), "02:00:00:09:00:11"
    near.space.ip(f"link add {name} type bridge")
    near.space.ip(f"link add {outer} type veth peer name {inner} address {mac}")
    near.space.ip(f"addr flush dev {near.interface}")
    for port in (near.interface, outer):
        near.space.ip(f"link set {port} master {name}")
    near.space.ip(f"addr add {near.ip4}/24 dev {inner}")
    veth.far.space.ip(f"neigh replace {near.ip4} lladdr {mac} dev {veth.far.interface}")  # or any of the host's would answer for it
    for one in (name, outer, inner):
        near.space.ip(f"link set {one} up")
    return [near.interface, outer, inner], near.ip4


def vlan(veth: Veth) -> tuple[list[str], str]:
    """A VLAN's device, and the one that it is on."""
    names = []
    for number, end in enumerate((veth.near, veth.far), 1):
        names.append(name := unique("hwv"))
        made = end.space.run("ip", "link", "add", "link", end.interface, "name", name, "type", "vlan", "id", "5", check=False)
        if "Unknown device type" in made.stderr:
            pytest.skip("this kernel has no VLANs; those of the kernel matrix have")
        end.space.ip(f"addr add 10.9.5.{number}/24 dev {name}")
        end.space.ip(f"link set {name} up")
    return [veth.near.interface, names[0]], "10.9.5.1"


@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
@pytest.mark.parametrize("places", [bridge, bridge_and_pair, vlan])
def test_what_passes_several_places_counts_once(veth: Veth, places: Places, hook: str, tmp_path: Path) -> None:
    """A conversation through all of them, with segments that the card would cut."""
    names, address = places(veth)
    more = [word for name in names if name != veth.near.interface for word in ("-i", name)]
    with watching(veth.near, tmp_path, "conn", *more, "--hook", hook) as rows:
        converse(veth.near.space, veth.far.space, address)
    row = whole(rows, veth.near.space, veth.far.space)
    assert sorted(row[name] for name in ("interface", "interface_2", "interface_3") if name in row) == sorted(names)
    assert "duplicate_hook" in rows.said
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    counted = Counter[str]()
    for one in ledger:
        if (one["ledger"], one["subject"]) == ("flows", "af_packet" if hook == "af_packet" else "kernel"):
            counted[one["term"]] += one["count"]
    assert counted["in_flow"] == sum(row["orig_pkts"] + row["resp_pkts"] for row in rows)
    assert counted["duplicate_hook"] >= row["orig_pkts"] / 2  # frames there, of several segments each


@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
def test_what_goes_out_of_lo_and_comes_in_counts_once(veth: Veth, hook: str, tmp_path: Path) -> None:
    space = veth.near.space
    space.ip("link set lo up")
    with watching(replace(veth.near, interface="lo"), tmp_path, "conn", "--hook", hook) as rows:
        converse(space, space, "127.0.0.1")
    row = whole(rows, space)
    assert row["interface"] == "lo"
    assert "interface_2" not in row


def converse(serves: Namespace, asks: Namespace, address: str) -> None:
    """12 octets there, and 500,000 back."""
    with serves.inside():
        listener = socket.create_server((address, 8080))
    asking = threading.Thread(target=ask, args=(asks, address))
    asking.start()
    connection, _ = listener.accept()
    with connection, listener:
        connection.sendall(b"x" * 500_000)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass
    asking.join()


def whole(rows: Rows, *hosts: Namespace) -> dict[str, Any]:
    """That conversation between these, each octet of it once; they send again what this machine takes some milliseconds to carry."""
    found = [row for row in rows if row["id.resp_p"] == 8080]
    assert len(found) == 1, "\n".join(map(str, found))
    (row,) = found
    assert (row["conn_state"], row["orig_bytes"], row["resp_bytes"], row["missed_bytes"]) == ("SF", 12, 500_000, 0)
    assert row["orig_retransmits"] + row["resp_retransmits"] <= sum(map(sent_again, hosts))
    return row


def sent_again(host: Namespace) -> int:
    """How many segments, by its kernel's own count."""
    names, values = [line.split() for line in host.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Tcp:")]
    return int(values[names.index("RetransSegs")])


def ask(space: Namespace, address: str) -> None:
    with space.inside(), socket.create_connection((address, 8080), timeout=MOST_S) as connection:
        connection.sendall(b"GET / please")
        while connection.recv(65536):
            pass


@pytest.mark.parametrize(("pause", "counted"), [(0.0, 9), (1.3, 10)])
def test_a_flow_that_moves_to_another_interface_goes_on(silent_veth: Veth, pause: float, counted: int, tmp_path: Path) -> None:
    """At once, it cannot be told from one that both see: not more than a packet is left out."""
    near, far, name = silent_veth.near, silent_veth.far, unique("hwp")
    peer = f"{name}p"
    near.space.ip(f"link add {name} type veth peer name {peer} netns {far.space.name}")
    for space, interface in ((near.space, name), (far.space, peer)):
        space.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
        space.ip(f"link set {interface} up")
    frame, moved = ethernet(ipv4(udp(1000, 2000))), replace(far, interface=peer)
    with watching(near, tmp_path, "conn", "-i", name) as rows, FrameSender(far) as first, FrameSender(moved) as second:
        first.send([frame] * 5)
        time.sleep(pause)
        second.send([frame] * 5)
    assert [(row["orig_pkts"], row["interface"], row["interface_2"]) for row in rows] == [(counted, near.interface, name)]
    assert ("1 duplicate_hook" in rows.said) == (counted == 9)


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_short_conversations_through_a_router_are_one_flow_each(veth: Veth, hook: str, tmp_path: Path) -> None:
    """The near end passes them on to a third host: many are over before anybody looks at either interface."""
    near, many = veth.near, 20
    with namespace("hwg") as beyond:
        name, peer = unique("hwr"), unique("hws")
        near.space.ip(f"link add {name} type veth peer name {peer} netns {beyond.name}")
        near.space.ip(f"addr add 10.9.1.1/24 dev {name}")
        beyond.ip(f"addr add 10.9.1.2/24 dev {peer}")
        for space, interface in ((near.space, name), (beyond, peer)):
            space.ip(f"link set {interface} up")
        beyond.ip("route add default via 10.9.1.1")
        veth.far.space.ip(f"route add 10.9.1.0/24 via {near.ip4}")
        near.space.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        with beyond.inside():
            listener = socket.create_server(("10.9.1.2", 8080))
        with listener, watching(near, tmp_path, "conn", "-i", name, "--hook", hook) as rows:
            for _ in range(many):
                with veth.far.space.inside(), socket.create_connection(("10.9.1.2", 8080), timeout=MOST_S) as asks:
                    answers, _ = listener.accept()
                    with answers:
                        asks.sendall(b"?")
                        answers.recv(1)
                        answers.sendall(b"!")
                    asks.recv(1)
    found = [row for row in rows if row["id.resp_p"] == 8080]
    assert [(row["conn_state"], row["orig_bytes"], row["resp_bytes"]) for row in found] == [("SF", 1, 1)] * many
    assert {(row["interface"], row["interface_2"]) for row in found} == {(near.interface, name)}
