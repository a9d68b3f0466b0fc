"""The interfaces of this network namespace (by rtnetlink: /sys may show another one), which to listen on, and word of changes."""

import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from headwater.errors import ConfigError
from headwater.kernel import netlink

ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
ANY = "any"

_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFINFO = struct.Struct("=BxHiII")  # family, hardware, index, flags, change
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_LINKINFO, _IFLA_EXT_MASK, _IFLA_LINK_NETNSID, _IFLA_XDP = 18, 29, 37, 43
_IFLA_INFO_KIND = 1
_IFLA_XDP_PROG_IDS = {5: "native", 6: "generic", 7: "offloaded"}
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFLA_STATS64, _STATS64 = 23, struct.Struct("=QQ")  # struct rtnl_link_stats64 begins with rx_packets and tx_packets

_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_RTA_OIF, _RTA_MULTIPATH = 4, 9
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1
_NEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, ifindex
_RTNH_F_DEAD = 1

_CARRIED = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap")  # their frames are their parent's frames too


@dataclass(frozen=True)
class Interface:
    """One interface, as the kernel described it at one moment."""

    index: int
    name: str
    kind: str | None  # IFLA_INFO_KIND (veth, bridge, vlan ...); None for hardware and loopback
    hardware: int  # ARPHRD_*: what stands before the network header
    mtu: int  # octets
    up: bool  # the administrator's wish
    running: bool  # there is a carrier
    mac: str  # empty if it has none
    master: int  # ifindex of the bridge, bond or VRF it belongs to; 0 if none
    link: int  # ifindex of its parent or peer; 0 if none
    peer_netns: int | None  # the other namespace's id, if `link` is an index over there
    xdp: tuple[tuple[str, int], ...]  # (native | generic | offloaded, program id) of each XDP program

    @property
    def starts_with_ethernet(self) -> bool:
        """Whether its frames have an Ethernet header; those of tun, WireGuard or ppp begin with IP."""
        return self.hardware in (ARPHRD_ETHER, ARPHRD_LOOPBACK)

    @property
    def loopback(self) -> bool:
        """Whether each of its packets goes out and comes in at once."""
        return self.hardware == ARPHRD_LOOPBACK

    @property
    def physical(self) -> bool:
        """A card, also a virtual machine's: Ethernet that no other device makes."""
        return self.kind is None and self.hardware == ARPHRD_ETHER


def interfaces() -> dict[int, Interface]:
    """All interfaces of this thread's network namespace, by ifindex."""
    skip_stats = struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    found = netlink.dump(netlink.RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0) + skip_stats)
    return {one.index: one for one in (_interface(body) for kind, body in found if kind == netlink.RTM_NEWLINK)}


def carried(index: int) -> tuple[int, int]:
    """Packets that an interface has received and sent, as its driver counts them; none if it is not there."""
    for _, body in netlink.dump(netlink.RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0)):
        if _IFINFO.unpack_from(body)[2] == index:
            received, sent = _STATS64.unpack_from(netlink.attributes(body[_IFINFO.size :]).get(_IFLA_STATS64, bytes(_STATS64.size)))
            return received, sent
    return 0, 0


def _interface(body: bytes) -> Interface:
    _, hardware, index, flags, _ = _IFINFO.unpack_from(body)
    has = netlink.attributes(body[_IFINFO.size :])
    kind = netlink.attributes(has.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND)
    xdp = netlink.attributes(has.get(_IFLA_XDP, b""))
    return Interface(
        index=index,
        name=_text(has.get(_IFLA_IFNAME, b"")),
        kind=_text(kind) if kind else None,
        hardware=hardware,
        mtu=_number(has.get(_IFLA_MTU)),
        up=bool(flags & _IFF_UP),
        running=bool(flags & _IFF_RUNNING),
        mac=has.get(_IFLA_ADDRESS, b"").hex(":"),
        master=_number(has.get(_IFLA_MASTER)),
        link=_number(has.get(_IFLA_LINK)),
        peer_netns=_number(has[_IFLA_LINK_NETNSID]) if _IFLA_LINK_NETNSID in has else None,
        xdp=tuple((mode, _number(xdp[place])) for place, mode in _IFLA_XDP_PROG_IDS.items() if _number(xdp.get(place))),
    )


def _text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode(errors="replace")


def _number(octets: bytes | None) -> int:
    return int.from_bytes(octets[:4], sys.byteorder, signed=True) if octets else 0


def default_route_interfaces() -> set[int]:
    """The ifindex of each interface that a default route of the main table leaves by, IPv4 and IPv6, every path of a multipath one."""
    found: set[int] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for kind, body in netlink.dump(netlink.RTM_GETROUTE, request):
            if kind == netlink.RTM_NEWROUTE and _is_default(body):
                found.update(_exits(netlink.attributes(body[_RTMSG.size :])))
    return found


def _is_default(body: bytes) -> bool:
    _, dst_len, _, _, table, _, _, kind, _ = _RTMSG.unpack_from(body)
    return bool(dst_len == 0 and table == _RT_TABLE_MAIN and kind == _RTN_UNICAST)


def _exits(route: dict[int, bytes]) -> Iterator[int]:
    if _RTA_OIF in route:
        yield _number(route[_RTA_OIF])
    paths = route.get(_RTA_MULTIPATH, b"")
    at = 0
    while at + _NEXTHOP.size <= len(paths):
        length, flags, _, index = _NEXTHOP.unpack_from(paths, at)
        if length < _NEXTHOP.size:
            return
        if not flags & _RTNH_F_DEAD:
            yield index
        at += (length + 3) & ~3


def choose(names: Sequence[str]) -> list[Interface]:
    """The interfaces to listen on, in the order of ifindex.

    Named ones as they are; `any` is all that are up. Without names: those with a default route and the other cards, of those that are
    up, else whatever is up; of interfaces that would show the same frames, one. Raises ConfigError for a name that is not there.
    """
    there = interfaces()
    if ANY in names:
        return _or_refuse([one for one in there.values() if one.up], there)
    if names:
        by_name = {one.name: one for one in there.values()}
        for name in names:
            if name not in by_name:
                raise ConfigError(f"no interface named {name}", "there are " + ", ".join(sorted(by_name)))
        return sorted({by_name[name] for name in names}, key=lambda one: one.index)
    routed = default_route_interfaces()
    up = {one.index: one for one in there.values() if one.up and not one.loopback}
    wanted = {index for index, one in up.items() if one.physical or index in routed}
    chosen = without_overlap(wanted or set(up), there, routed)
    return _or_refuse([there[index] for index in sorted(chosen)] or [one for one in there.values() if one.up], there)


def _or_refuse(chosen: list[Interface], there: dict[int, Interface]) -> list[Interface]:
    if not chosen:
        raise ConfigError("no interface is up", f"there are {', '.join(sorted(one.name for one in there.values()))}: ip link set NAME up")
    return chosen


def without_overlap(wanted: set[int], there: dict[int, Interface], routed: set[int]) -> set[int]:
    """`wanted` without those whose frames another of them shows as well.

    A port goes where its master (bridge, bond, VRF) stays; a VLAN or MACVLAN device goes where its parent stays, and so does a bridge
    over such devices; of a veth pair with both ends here, the end with a default route stays, else the lower ifindex.
    """
    kept = {index for index in wanted if not wanted & _reach(index, lambda at: _masters(at, there))}
    kept -= {index for index in kept if kept & (_reach(index, lambda at: _parents(at, there)) - _ports(index, there))}
    for index in sorted(kept):
        peer = _veth_peer(index, there)
        if peer in kept and index in kept:
            kept.discard(index if peer in routed and index not in routed else max(peer, index))
    return kept


def _reach(start: int, step: Callable[[int], set[int]]) -> set[int]:
    """Everything that steps lead to from `start`, without it."""
    found: set[int] = set()
    ahead = step(start)
    while ahead:
        found |= ahead
        ahead = set().union(*(step(index) for index in ahead)) - found
    return found - {start}


def _masters(index: int, there: dict[int, Interface]) -> set[int]:
    return {there[index].master} & there.keys()


def _ports(index: int, there: dict[int, Interface]) -> set[int]:
    return {one.index for one in there.values() if one.master == index}


def _parents(index: int, there: dict[int, Interface]) -> set[int]:
    one = there[index]
    below = {one.link} if one.kind in _CARRIED and one.peer_netns is None else set()
    return (below | _ports(index, there)) & there.keys()


def _veth_peer(index: int, there: dict[int, Interface]) -> int:
    one = there[index]
    return one.link if one.kind == "veth" and one.peer_netns is None else 0


class Watcher:
    """Tells that interfaces came, went, were renamed or changed state; with `routes`, also that a default route did; with `filters`, that
    a qdisc's filters, or it with them, were removed.

    Readable (select, poll) when there is something to drain().
    """

    def __init__(self, *, routes: bool = False, filters: bool = False) -> None:
        self._groups = netlink.RTMGRP_LINK | (netlink.RTMGRP_TC if filters else 0)
        self._groups |= netlink.RTMGRP_IPV4_ROUTE | netlink.RTMGRP_IPV6_ROUTE if routes else 0
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Begin to listen, in this thread's network namespace."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, self._groups))

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """For select and poll."""
        return self._socket.fileno() if self._socket is not None else -1

    def drain(self) -> bool:
        """Take what has arrived; whether anything changed. Where messages were lost (ENOBUFS), something did."""
        changed = False
        while self._socket is not None:
            try:
                octets = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                changed = True
                continue
            changed |= any(_matters(kind, body) for kind, _, _, body in netlink.messages(octets))
        return changed


def _matters(kind: int, body: bytes) -> bool:
    return kind in (netlink.RTM_NEWLINK, netlink.RTM_DELLINK, netlink.RTM_DELQDISC, netlink.RTM_DELTFILTER) or (
        kind in (netlink.RTM_NEWROUTE, netlink.RTM_DELROUTE) and _is_default(body)
    )
