"""ARP and neighbour discovery by hand, for tests of what addresses say of each other."""

import struct
from ipaddress import ip_address

from frames import ethernet, icmpv6

ROUTERS = "33:33:00:00:00:01"


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def arp(operation: int, sender: tuple[str, str], target: str, *, target_mac: str = "00:00:00:00:00:00") -> bytes:
    """A frame from the sender (MAC, address) to all."""
    mac, address = sender
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + _mac(mac) + ip_address(address).packed
    return ethernet(packet + _mac(target_mac) + ip_address(target).packed, 0x0806, src=mac, dst="ff:ff:ff:ff:ff:ff")


def advertisement(target: str, mac: str, *, src: str = "", hops: int = 255, before: bytes = b"") -> bytes:
    """An unsolicited neighbour advertisement that overrides, to all nodes. `before` are other options."""
    option = before + b"\2\1" + _mac(mac)
    message = struct.pack("!BBHI", 136, 0, 0, 1 << 29) + ip_address(target).packed + option
    return ethernet(icmpv6(message, src or target, "ff02::1", ttl=hops), 0x86DD, src=mac, dst=ROUTERS)


def solicitation(target: str, src: str, mac: str = "") -> bytes:
    """A neighbour solicitation; without `mac` as a host that looks whether the address is free."""
    message = struct.pack("!BBHI", 135, 0, 0, 0) + ip_address(target).packed + (b"\1\1" + _mac(mac) if mac else b"")
    return ethernet(icmpv6(message, src, "ff02::1", ttl=255), 0x86DD, src=mac or "02:00:00:00:00:99", dst=ROUTERS)
