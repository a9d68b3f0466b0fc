"""Trouble that a kernel or a neighbour makes, seen live: `headwater run --record weird` in a network namespace."""

import socket
from pathlib import Path

import pytest
from frames import ethernet, tcp, udp
from neighbors import advertisement, arp
from netns import FrameSender, Veth
from watched import watching

pytestmark = pytest.mark.kernel

A, C = ("02:00:00:00:00:0a", "192.0.2.1"), ("02:00:00:00:00:0c", "192.0.2.1")
STRANGER, STRANGER6, NOWHERE, NOWHERE6 = "198.51.100.7", "2001:db8:7::7", "203.0.113.9", "2001:db8:9::9"


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_addresses_that_change_hands(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    with watching(silent_veth.near, tmp_path, "weird", "--hook", hook) as rows, FrameSender(silent_veth.far) as sender:
        sender.send([arp(2, A, "192.0.2.2"), arp(2, C, "192.0.2.2"), arp(1, C, C[1])])
        sender.send([advertisement("2001:db8::1", A[0]), advertisement("2001:db8::1", C[0], src="fe80::c")])
    columns = ("name", "interface", "direction", "neighbor", "mac", "mac_before", "count")
    where = (silent_veth.near.interface, "in")
    assert [tuple(row.get(column) for column in columns) for row in rows] == [
        ("duplicate_arp_answer", *where, C[1], C[0], A[0], 1),
        ("gratuitous_arp", *where, C[1], C[0], None, 1),
        ("ipv6_neighbor_changed", *where, "2001:db8::1", C[0], A[0], 1),
    ]


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_a_handshake_that_is_none(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    ends = (STRANGER, NOWHERE, 4000, 9)
    frames = [tcp(*ends, 0x02, seq=7, payload=b"at once"), tcp(*ends, 0x11, seq=15)]  # a SYN, a FIN
    with watching(silent_veth.near, tmp_path, "weird", "--hook", hook) as rows, FrameSender(silent_veth.far) as sender:
        sender.send([ethernet(frame, 0x0800) for frame in frames])
    columns = ("name", "interface", "direction", "src", "sport", "dst", "dport", "is_orig", "count")
    rest = (silent_veth.near.interface, "in", STRANGER, 4000, NOWHERE, 9, True, 1)
    assert [tuple(row.get(column) for column in columns) for row in rows] == [("SYN_with_data", *rest), ("inappropriate_FIN", *rest)]
    assert len({row["uid"] for row in rows}) == 1


def test_two_routers_that_send_to_each_other(veth: Veth, tmp_path: Path) -> None:
    """Each has the other as its default: a packet for nowhere goes to and fro until its TTL ends."""
    for end, other in ((veth.near, veth.far), (veth.far, veth.near)):
        end.space.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        end.space.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", f"net.ipv4.conf.{end.interface}.rp_filter=0")
        end.space.ip(f"route add default via {other.ip4}")
        end.space.ip(f"-6 route add default via {other.ip6}")
        for address in (other.ip4, other.ip6):  # IPv6 asks a second time only after a second, if the other was not ready to answer
            end.space.ip(f"neigh replace {address} lladdr {other.mac} dev {end.interface} nud permanent")
    lost = [
        ethernet(udp(STRANGER, NOWHERE, 4000, 9, b"lost", ttl=64), 0x0800, src=veth.far.mac, dst=veth.near.mac),
        ethernet(udp(STRANGER6, NOWHERE6, 4000, 9, b"lost", ttl=64), 0x86DD, src=veth.far.mac, dst=veth.near.mac),
    ]
    with watching(veth.near, tmp_path, "weird", "--detail", "packets") as rows:  # one packet alone shows no loop
        with FrameSender(veth.far) as sender:
            sender.send(lost)
        with veth.near.space.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as arriving:
            for _ in range(10):
                arriving.sendto(b"what arrives is in no loop", (veth.far.ip4, 9))
    loops = [row for row in rows if row["name"] == "routing_loop"]
    udp_loops = {(row["src"], row["dst"], row["direction"], row["ttl_before"] - row["ttl"]) for row in loops if row["proto"] == 17}
    assert udp_loops == {(STRANGER, NOWHERE, way, 8) for way in ("in", "out")} | {(STRANGER6, NOWHERE6, way, 8) for way in ("in", "out")}
    assert {row["sport"] for row in loops if row["proto"] == 17} == {4000}
