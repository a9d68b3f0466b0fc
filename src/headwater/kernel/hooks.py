"""Attaching to an interface by bpf_link: what is attached goes away when its file descriptor closes, whatever ends the process.

Where there is no tcx, a filter in a clsact qdisc takes its place (kernel/clsact.py); detach() and is_attached() know both.
"""

import errno
import os
from pathlib import Path
from typing import NoReturn

from headwater._native import ffi, lib
from headwater.errors import KernelError, PermissionDenied, Unsupported
from headwater.kernel import clsact
from headwater.kernel.clsact import InterfaceGone
from headwater.kernel.interfaces import interfaces
from headwater.kernel.libbpf import LOAD_CAPABILITIES, named

BPF_XDP, BPF_TCX_INGRESS, BPF_TCX_EGRESS = 37, 46, 47
_BPF_F_BEFORE = 1 << 3
_XDP_FLAGS_SKB_MODE, _XDP_FLAGS_DRV_MODE = 1 << 1, 1 << 2
_IP_LINK = {"native": "xdpdrv", "generic": "xdpgeneric", "offloaded": "xdpoffload"}  # what `ip link set` calls them
_BY_ITSELF = 'without --hook (hook = "auto") there is a way that works'


def attach_tcx(program: int, ifindex: int, name: str, *, egress: bool) -> int:
    """Attach before other programs of that direction, leaving them their say. Returns the link; os.close() detaches."""
    return _link(program, ifindex, name, BPF_TCX_EGRESS if egress else BPF_TCX_INGRESS, _BPF_F_BEFORE)


def attach_xdp(program: int, ifindex: int, name: str, *, generic: bool = False) -> int:
    """Attach to native XDP, or to generic XDP if asked. Never replaces another program. Returns the link."""
    return _link(program, ifindex, name, BPF_XDP, _XDP_FLAGS_SKB_MODE if generic else _XDP_FLAGS_DRV_MODE)


def detach(link: int | clsact.Attached) -> None:
    """Take away what attach_* or a clsact.Filters put there."""
    if isinstance(link, clsact.Attached):
        link.detach()
    else:
        os.close(link)


def is_attached(link: int | clsact.Attached) -> bool:
    """Whether its interface is still there: one that was made again with the same index has nothing of ours (kernel: bpf_link's fdinfo)."""
    if isinstance(link, clsact.Attached):
        return link.is_there()
    return "\nifindex:\t0\n" not in Path(f"/proc/self/fdinfo/{link}").read_text()


def _link(program: int, ifindex: int, name: str, place: int, flags: int) -> int:
    options = ffi.new("struct bpf_link_create_opts *")
    options.sz = ffi.sizeof("struct bpf_link_create_opts")
    options.flags = flags
    link = int(lib.bpf_link_create(program, ifindex, place, options))
    if link < 0:
        _refuse(-link, place, ifindex, name)
    return link


def _refuse(failed: int, place: int, ifindex: int, name: str) -> NoReturn:
    what = f"{'XDP' if place == BPF_XDP else 'tcx'} on {name}"
    match failed:
        case errno.EPERM:
            raise PermissionDenied(f"attaching {what}", LOAD_CAPABILITIES)
        case errno.ENODEV:
            raise InterfaceGone(f"{what}: the interface is gone")
        case errno.EBUSY | errno.EEXIST if place == BPF_XDP:
            raise KernelError(f'{what}: {_other(ifindex, name)}; without --hook (hook = "auto") what it passes is seen')
        case errno.ERANGE if place == BPF_XDP:
            raise Unsupported(what, f"a smaller MTU, or a driver that takes frames in fragments; {_BY_ITSELF}")
        case errno.EOPNOTSUPP | errno.EINVAL if place == BPF_XDP:
            raise Unsupported(f"native {what}", f"a driver with XDP; {_BY_ITSELF}")
        case errno.EINVAL:
            raise Unsupported(what, f"kernel 6.6 or newer; {_BY_ITSELF}")
    raise KernelError(f"{what} was refused ({os.strerror(failed)}): see `headwater doctor`")


def _other(ifindex: int, name: str) -> str:
    """Who has XDP's place, and how to free it. It may also be a device above this one, such as a bond."""
    one = interfaces().get(ifindex)
    if one is None or not one.xdp:
        return "another program, perhaps of a device above it, is there and is left alone: see `bpftool net`"
    mode, program = one.xdp[0]
    return (
        f"program {named(program)} is there ({mode}) and is left alone: detach it with `ip link set dev {name} {_IP_LINK[mode]} off`, "
        "or end the process that holds it (`bpftool link` tells which)"
    )
