"""A little netlink: dumps, requests and attributes (rtnetlink(7), sock_diag(7)). It sees the thread's own network namespace."""

import os
import socket
import struct
from collections.abc import Iterator

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
RTMGRP_TC = 0x8
RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x1, 0x40, 0x400

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_RECEIVE = 1 << 16  # the kernel's dumps come in pieces of 32 KiB at most
_TRIES = 10


SOCK_DIAG = 4
"""The protocol of sock_diag(7), linux/netlink.h."""


def dump(request: int, body: bytes, protocol: int = socket.NETLINK_ROUTE) -> list[tuple[int, bytes]]:
    """(type, body) of each message of a dump. Begun again where the kernel says that it changed meanwhile. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as sock:
        for sequence in range(1, _TRIES + 1):
            sock.send(_HEADER.pack(_HEADER.size + len(body), request, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0) + body)
            found, consistent = _collect(sock, sequence)
            if consistent:
                break
        return found


def change(request: int, body: bytes, flags: int = 0) -> None:
    """Ask for a change, and wait for the answer. Raises OSError with the kernel's errno."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.send(_HEADER.pack(_HEADER.size + len(body), request, _NLM_F_REQUEST | _NLM_F_ACK | flags, 1, 0) + body)
        while True:
            for kind, _, _, answer in messages(sock.recv(_RECEIVE)):
                if kind == _NLMSG_ERROR:
                    failed = -int(struct.unpack_from("=i", answer)[0])
                    if failed:
                        raise OSError(failed, os.strerror(failed))
                    return


def _collect(sock: socket.socket, sequence: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Messages up to the dump's end, and whether they belong to one state."""
    found: list[tuple[int, bytes]] = []
    consistent = True
    while True:
        for kind, flags, number, body in messages(sock.recv(_RECEIVE)):
            if number != sequence:
                continue
            consistent &= not flags & _NLM_F_DUMP_INTR
            if kind == _NLMSG_DONE:
                return found, consistent
            if kind == _NLMSG_ERROR:
                failed = -int(struct.unpack_from("=i", body)[0])
                raise OSError(failed, "netlink dump")
            found.append((kind, body))


def messages(octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, body) of each message in a datagram."""
    at = 0
    while at + _HEADER.size <= len(octets):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(octets, at)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, octets[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute; several make a nested one's value."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def attributes(octets: bytes) -> dict[int, bytes]:
    """Attribute type to value; nested ones are read by giving their value again."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = octets[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found
