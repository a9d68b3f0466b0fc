"""Rows of packets made by hand: one keyword a column, and the layers that the row has."""

import socket
from typing import Any

import numpy as np

from headwater.records import ENUMS, PACKET, RATE, Batch
from headwater.records.layouts import HAS

NOON = 1_700_000_000_123_456_789  # 2023-11-14 22:13:20 UTC
WEIRD = {name: value for value, name in ENUMS["hw_weird"].items()}
IP4 = "l2 ethertype addr ip ipv4 fragment"
IP6 = "l2 ethertype addr ip ipv6"


def addr(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text if ":" in text else f"::ffff:{text}")


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def packet(has: str, **columns: Any) -> np.ndarray[Any, np.dtype[Any]]:
    row = np.zeros(1, dtype=PACKET.dtype)
    row["has"] = sum(HAS[name] for name in has.split())
    for name, value in {"ts": NOON, "interface": 1, "segments": 1, "length": 60, "hook": 4, **columns}.items():
        octets = {"src": addr, "dst": addr, "l2_src": mac, "l2_dst": mac}.get(name)
        row[name] = np.void(octets(value)) if octets else value
    return row


def batch(*rows: np.ndarray[Any, np.dtype[Any]], interfaces: dict[int, str] | None = None) -> Batch:
    return Batch(PACKET, np.concatenate(rows, dtype=PACKET.dtype), {1: "eth0", 2: "eth1"} if interfaces is None else interfaces)


def every_kind() -> Batch:
    """A row of each kind that the wire has: whole, cut, malformed, and of no known protocol."""
    here = {"l2_src": "02:00:00:00:00:01", "l2_dst": "02:00:00:00:00:02"}
    v4 = {**here, "ethertype": 0x0800, "src": "192.0.2.1", "dst": "192.0.2.2"}
    v6 = {**here, "ethertype": 0x86DD, "src": "2001:db8::1", "dst": "2001:db8:85a3:1319:8a2e:370:7344:1234"}
    return batch(
        packet(f"{IP4} ports tcp payload", **v4, proto=6, sport=50312, dport=443, tcp_flags=2, direction=2, length=74),
        packet(f"{IP6} ports tcp payload", **v6, proto=6, sport=443, dport=50312, tcp_flags=0x12, direction=1, length=94),
        packet(f"{IP4} ports payload", **{**v4, "dst": "239.255.255.250"}, proto=17, sport=40000, dport=1900, direction=2, length=150),
        packet(f"{IP6} ports payload", **{**v6, "src": "fe80::1", "dst": "ff02::fb"}, proto=17, sport=5353, dport=5353, direction=1),
        packet(f"{IP4} icmp payload", **v4, proto=1, icmp_type=8, direction=2, length=98),
        packet(f"{IP6} icmp payload", **{**v6, "dst": "ff02::1:ff00:2"}, proto=58, icmp_type=135, direction=2, length=86),
        packet("l2 ethertype addr", **{**v4, "ethertype": 0x0806, "l2_dst": "ff:ff:ff:ff:ff:ff"}, direction=2, length=42),
        packet(f"{IP4}", **v4, proto=17, fragment_offset=1480, mf=1, length=1514, direction=1),
        packet(f"{IP4}", **v4, proto=17, fragment_offset=2960, length=562, direction=1),
        packet(f"{IP4} ports payload vlan vlan_inner", **v4, proto=17, sport=68, dport=67, vlan=100, vlan_inner=20, length=350),
        packet(f"{IP4}", **{**v4, "dst": "224.0.0.22"}, proto=2, ip_options=16, length=54, direction=1),
        packet(f"{IP4}", **v4, proto=50, length=150, direction=1),
        packet(f"{IP4}", **v4, proto=253, length=150, direction=1),
        packet("l2 ethertype", l2_src="00:1b:21:aa:bb:cc", l2_dst="01:80:c2:00:00:0e", ethertype=0x88CC, length=120, direction=1),
        packet("l2 ethertype", l2_src="00:1b:21:aa:bb:cc", l2_dst="ff:ff:ff:ff:ff:ff", ethertype=0x1234, length=60),
        packet("l2", l2_src="00:1b:21:aa:bb:cc", l2_dst="01:80:c2:00:00:00", length=60, direction=1),
        packet("", length=9, weird=WEIRD["truncated_ethernet_frame"]),
        packet(f"{IP4} ports", **v4, proto=6, sport=1, dport=2, length=60, weird=WEIRD["truncated_header"]),
        packet(f"{IP4} ports tcp payload", **v4, proto=6, sport=80, dport=40000, tcp_flags=0x18, segments=44, length=65226, direction=1),
    )


def rate(has: str, **columns: Any) -> np.ndarray[Any, np.dtype[Any]]:
    row = np.zeros(1, dtype=RATE.dtype)
    row["has"] = sum(HAS[name] for name in has.split())
    for name, value in columns.items():
        row[name] = value
    return row
