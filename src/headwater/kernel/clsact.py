"""Attaching where the kernel has no tcx (before 6.6): direct-action bpf filters in an interface's clsact qdisc, by rtnetlink.

Filters stay when their process is killed. So each run has a random number, which is the handle of its filters and the name of an abstract
unix socket that it holds: the kernel keeps such names by network namespace and frees them with the process, and a filter whose number
nobody holds was left behind. Sources: net/sched/cls_bpf.c, net/sched/sch_ingress.c, linux/pkt_sched.h.
"""

import contextlib
import errno
import os
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from headwater.errors import KernelError, PermissionDenied, Unsupported
from headwater.kernel import netlink
from headwater.kernel.libbpf import WITHOUT_EBPF

_TCMSG = struct.Struct("=BxxxiIII")  # family, ifindex, handle, parent, info
_TCA_KIND, _TCA_OPTIONS, _TCA_INGRESS_BLOCK = 1, 2, 13
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS = 6, 7, 8
_DIRECT_ACTION = 1
_QDISC, _QDISC_PARENT = 0xFFFF0000, 0xFFFFFFF1
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_ALL = socket.htons(0x0003)  # ETH_P_ALL
_FIRST = 1  # the preference that comes first
_NAME, _NAME_OWN = "hw_clsact", "hw_clsact_own"  # the latter: the qdisc was made for it


class InterfaceGone(KernelError):
    """The interface went away between being found and being attached to."""


@dataclass(frozen=True)
class Filter:
    """One filter of a clsact qdisc, anybody's."""

    ifindex: int
    parent: int
    info: int  # preference in the upper half, protocol in the lower
    handle: int
    kind: str
    name: str  # of a bpf filter

    @property
    def ours(self) -> bool:
        """Whether a Headwater put it there, this one or another."""
        return self.kind == "bpf" and self.name in (_NAME, _NAME_OWN)

    @property
    def is_held(self) -> bool:
        """Whether the run that put it there, one of ours, is still there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            try:
                asking.connect(_holder(self.handle))
            except ConnectionRefusedError:
                return False
            except OSError:  # not allowed to ask
                return True
            return True

    def remove(self) -> None:
        """Raises OSError."""
        body = _TCMSG.pack(0, self.ifindex, self.handle, self.parent, self.info) + _kind(self.kind)
        netlink.change(netlink.RTM_DELTFILTER, body)


def qdiscs() -> dict[int, str]:
    """By ifindex, what is at the place where a clsact qdisc would be: clsact or ingress."""
    found = {}
    for _, body in netlink.dump(netlink.RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
        _, ifindex, handle, parent, _ = _TCMSG.unpack_from(body)
        if (handle, parent) == (_QDISC, _QDISC_PARENT):
            found[ifindex] = _text(netlink.attributes(body[_TCMSG.size :]).get(_TCA_KIND, b""))
    return found


def filters(ifindex: int) -> list[Filter]:
    """All of an interface's clsact qdisc, both directions; none if it has no such qdisc, or is gone."""
    found = []
    for parent in (_INGRESS, _EGRESS):
        with contextlib.suppress(OSError):  # without the qdisc: EINVAL or ENOENT, by the kernel's version
            for _, body in netlink.dump(netlink.RTM_GETTFILTER, _TCMSG.pack(0, ifindex, 0, parent, 0)):
                _, _, handle, _, info = _TCMSG.unpack_from(body)
                has = netlink.attributes(body[_TCMSG.size :])
                name = netlink.attributes(has.get(_TCA_OPTIONS, b"")).get(_TCA_BPF_NAME, b"")
                found.append(Filter(ifindex, parent, info, handle, _text(has.get(_TCA_KIND, b"")), _text(name)))
    return [one for one in found if one.handle]  # without a handle: only that there are filters of a preference


def why_not(ifindex: int) -> str:
    """What stands against a clsact qdisc on this interface, found by asking for one that cannot be made; "" if nothing does."""
    impossible = netlink.attribute(_TCA_INGRESS_BLOCK, struct.pack("=I", 0))  # EINVAL, once the kernel has found the kind of qdisc
    try:
        _make_qdisc(ifindex, impossible)
    except OSError as error:
        match error.errno:
            case errno.EINVAL:
                return ""
            case errno.EEXIST:
                return "" if qdiscs().get(ifindex) == "clsact" else "an ingress qdisc is there, which shows what arrives alone"
            case errno.ENOENT:
                return "this kernel has no clsact"
            case errno.EPERM:
                return "clsact needs CAP_NET_ADMIN"
        return f"clsact was refused ({os.strerror(error.errno or 0)})"
    return ""


def clean() -> list[int]:
    """Remove the filters that killed runs left in this network namespace, and qdiscs that were made for them. The ifindices."""
    cleaned = []
    with contextlib.suppress(OSError):  # not allowed: whoever may attach such filters may do this too
        for ifindex in [ifindex for ifindex, kind in qdiscs().items() if kind == "clsact"]:
            left = [one for one in filters(ifindex) if one.ours and not one.is_held]
            for one in left:
                one.remove()
            if any(one.name == _NAME_OWN for one in left):
                _remove_qdisc_if_empty(ifindex)
            cleaned += [ifindex] if left else []
    return cleaned


@dataclass(frozen=True)
class Attached:
    """One filter of this run."""

    filter: Filter
    first: bool  # of all filters; else packets that those before it end are not seen
    run: "Filters"

    def detach(self) -> None:
        """Remove it, and the qdisc if it was made for it and nobody else's filter is in it."""
        self.run.detach(self.filter)

    def is_there(self) -> bool:
        """Whether the interface still has it."""
        return self.filter in filters(self.filter.ifindex)


class Filters:
    """The filters of one run. While this is open they are known to be somebody's.

    Attaching and detaching need CAP_NET_ADMIN each time: with `ask`, another process does it, whose Filters is a copy of this one and which
    calls act() with the number.
    """

    def __init__(self) -> None:
        self.ask: Callable[[int], object] | None = None
        self._handle = 1 + secrets.randbelow(0x7FFFFFFF)
        self._held: socket.socket | None = None
        self._programs = (-1, -1)

    def open(self, ingress: int, egress: int) -> None:
        """Hold the number, in this thread's network namespace. The programs' descriptors stay their owner's."""
        self._programs = ingress, egress
        self._held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._held.bind(_holder(self._handle))

    def close(self) -> None:
        """Give the number back; filters that are still there count as left behind."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def attach(self, ifindex: int, interface: str, *, egress: bool) -> Attached:
        """Attach before others' filters where that is possible. Raises a KernelError."""
        parent = _EGRESS if egress else _INGRESS
        try:
            if self.ask:
                self.ask(ifindex << 2 | egress << 1)
            else:
                self._attach(self._programs[egress], ifindex, interface, parent)
        except OSError as error:
            _refuse(error.errno or 0, ifindex, interface)
        except KernelError:
            _expect_there(ifindex, f"clsact on {interface}")
            raise
        there = [one for one in filters(ifindex) if one.parent == parent]
        own = next((one for one in there if one.ours and one.handle == self._handle), None)
        if own is None:
            raise InterfaceGone(f"clsact on {interface}: the interface is gone")
        others = [one.info >> 16 for one in there if one != own]
        return Attached(own, own.info >> 16 <= min(others, default=own.info >> 16), self)

    def detach(self, one: Filter) -> None:
        """Remove one of this run, and the qdisc if it was made for it and nobody else's filter is in it."""
        if self.ask:
            with contextlib.suppress(KernelError):
                self.ask(one.ifindex << 2 | (one.parent == _EGRESS) << 1 | 1)
            return
        with contextlib.suppress(OSError):  # the interface is gone, or somebody was faster
            one.remove()
        if one.name == _NAME_OWN:
            with contextlib.suppress(OSError):
                _remove_qdisc_if_empty(one.ifindex)

    def act(self, number: int) -> None:
        """Attach or detach as a copy of this asks. Raises KernelError or OSError."""
        ifindex, parent = number >> 2, _EGRESS if number & 2 else _INGRESS
        if number & 1:
            for one in self._own(ifindex):
                if one.parent == parent:
                    self.detach(one)
        else:
            self._attach(self._programs[number >> 1 & 1], ifindex, socket.if_indextoname(ifindex), parent)

    def detach_all(self) -> None:
        """Wherever this run is attached."""
        for ifindex in qdiscs():
            for one in self._own(ifindex):
                self.detach(one)

    def _own(self, ifindex: int) -> list[Filter]:
        return [one for one in filters(ifindex) if one.ours and one.handle == self._handle]

    def _attach(self, program: int, ifindex: int, interface: str, parent: int) -> None:
        own = True
        try:
            _make_qdisc(ifindex)
        except FileExistsError:
            if qdiscs().get(ifindex) != "clsact":
                raise Unsupported(
                    f"clsact on {interface}", f"the place of its ingress qdisc, which is left alone; {WITHOUT_EBPF}"
                ) from None
            own = any(one.name == _NAME_OWN for one in filters(ifindex) if one.ours)
        others = {one.info >> 16: (one.kind, one.info & 0xFFFF) for one in filters(ifindex) if one.parent == parent}
        preference = _FIRST
        while others.get(preference, ("bpf", _ALL)) != ("bpf", _ALL):  # of one preference, all are of one kind, and the newest comes first
            preference += 1
        made = Filter(ifindex, parent, preference << 16 | _ALL, self._handle, "bpf", _NAME_OWN if own else _NAME)
        options = (
            netlink.attribute(_TCA_BPF_FD, struct.pack("=I", program))
            + netlink.attribute(_TCA_BPF_NAME, made.name.encode() + b"\0")
            + netlink.attribute(_TCA_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
        )
        body = _TCMSG.pack(0, ifindex, made.handle, parent, made.info) + _kind("bpf") + netlink.attribute(_TCA_OPTIONS, options)
        try:
            netlink.change(netlink.RTM_NEWTFILTER, body, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL)
        except OSError:
            if own:
                _remove_qdisc_if_empty(ifindex)
            raise


def _make_qdisc(ifindex: int, more: bytes = b"") -> None:
    body = _TCMSG.pack(0, ifindex, _QDISC, _QDISC_PARENT, 0) + _kind("clsact") + more
    netlink.change(netlink.RTM_NEWQDISC, body, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL)


def _remove_qdisc_if_empty(ifindex: int) -> None:
    """The kernel has no such step: a filter that somebody adds between the two is lost."""
    if not filters(ifindex) and qdiscs().get(ifindex) == "clsact":
        netlink.change(netlink.RTM_DELQDISC, _TCMSG.pack(0, ifindex, _QDISC, _QDISC_PARENT, 0) + _kind("clsact"))


def _holder(handle: int) -> str:
    return f"\0headwater-clsact-{handle:08x}"


def _kind(name: str) -> bytes:
    return netlink.attribute(_TCA_KIND, name.encode() + b"\0")


def _text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode(errors="replace")


def _expect_there(ifindex: int, what: str) -> None:
    try:
        socket.if_indextoname(ifindex)
    except OSError:
        raise InterfaceGone(f"{what}: the interface is gone") from None


def _refuse(failed: int, ifindex: int, interface: str) -> NoReturn:
    what = f"clsact on {interface}"
    _expect_there(ifindex, what)
    match failed:
        case errno.EPERM:
            raise PermissionDenied(f"attaching {what}", "CAP_NET_ADMIN")
        case errno.ENOENT:
            raise Unsupported(what, f"a kernel with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF; {WITHOUT_EBPF}")
    raise KernelError(f"{what} was refused ({os.strerror(failed)}): see `headwater doctor`")
