"""TCP connections that this host's own sockets have, and who began each (sock_diag(7), linux/inet_diag.h)."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headwater.kernel import netlink
from headwater.records import PACKET
from headwater.records.address import MAPPED
from headwater.records.layouts import HAS

MOST = 1 << 16
"""Connections that are told of."""

_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2: family, protocol, extensions, states
_SOCKET = struct.Struct("=BBxx2s2s16s16s")  # struct inet_diag_msg: family, state, ports, addresses
_SYN_SENT, _SYN_RECV, _TIME_WAIT, _CLOSE, _LISTEN = 2, 3, 6, 7, 10  # net/tcp_states.h
_STATES = 0xFFE & ~(1 << _TIME_WAIT | 1 << _CLOSE)
_ANY = {bytes(16), MAPPED + bytes(4)}
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORTS = 32_768, 60_999  # unless the system's is known (ip-sysctl.rst)


def begun() -> np.ndarray[Any, np.dtype[Any]]:
    """A row of `packet` for each whose originator is known, as if that had sent it: addresses, ports and protocol.

    Who answers listens on its port, and who asks has a port that the kernel chose; of others nothing is known. Nothing comes where the
    kernel tells nothing.
    """
    try:
        sockets = [one for family in (socket.AF_INET, socket.AF_INET6) for one in _sockets(family)]
    except OSError:
        return np.zeros(0, PACKET.dtype)
    lowest, highest = _PORTS
    with contextlib.suppress(OSError):  # a service manager may hide it
        lowest, highest = map(int, _RANGE.read_text().split())
    listening = {(addr, port) for state, addr, port, _, _ in sockets if state == _LISTEN}
    found: list[tuple[bytes, bytes, int, int]] = []
    for state, addr, port, peer, peer_port in sockets:
        if state == _LISTEN:
            continue
        answers = state == _SYN_RECV or any((one, port) in listening for one in (addr, *_ANY))
        if answers and state != _SYN_SENT:
            found.append((peer, addr, peer_port, port))
        elif state == _SYN_SENT or lowest <= port <= highest:
            found.append((addr, peer, port, peer_port))
    rows = np.zeros(min(len(found), MOST), PACKET.dtype)
    rows["has"] = HAS["addr"] | HAS["ip"] | HAS["ports"]
    rows["proto"] = socket.IPPROTO_TCP
    for row, (src, dst, sport, dport) in zip(rows, found, strict=False):
        row["src"], row["dst"], row["sport"], row["dport"] = src, dst, sport, dport
    return rows


def _sockets(family: int) -> Iterator[tuple[int, bytes, int, bytes, int]]:
    """(state, address, port, the other's address, its port) of each; addresses as in rows. Raises OSError."""
    for _, body in netlink.dump(_BY_FAMILY, _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _STATES), netlink.SOCK_DIAG):
        _, state, port, peer_port, addr, peer = _SOCKET.unpack_from(body)
        ends = [MAPPED + one[:4] if family == socket.AF_INET else one for one in (addr, peer)]
        yield state, ends[0], int.from_bytes(port, "big"), ends[1], int.from_bytes(peer_port, "big")
