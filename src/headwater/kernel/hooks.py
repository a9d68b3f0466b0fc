"""Attaching to an interface by bpf_link: what is attached goes away when its file descriptor closes, whatever ends the process."""

import errno
import os
from pathlib import Path
from typing import NoReturn

from headwater._native import ffi, lib
from headwater.errors import KernelError, PermissionDenied, Unsupported
from headwater.kernel.libbpf import LOAD_CAPABILITIES

BPF_XDP, BPF_TCX_INGRESS, BPF_TCX_EGRESS = 37, 46, 47
_BPF_F_BEFORE = 1 << 3
_XDP_FLAGS_SKB_MODE, _XDP_FLAGS_DRV_MODE = 1 << 1, 1 << 2


def attach_tcx(program: int, ifindex: int, name: str, *, egress: bool) -> int:
    """Attach before other programs of that direction, leaving them their say. Returns the link; os.close() detaches."""
    return _link(program, ifindex, BPF_TCX_EGRESS if egress else BPF_TCX_INGRESS, _BPF_F_BEFORE, f"tcx on {name}")


def attach_xdp(program: int, ifindex: int, name: str, *, generic: bool = False) -> int:
    """Attach to native XDP, or to generic XDP if asked. Never replaces another program. Returns the link."""
    return _link(program, ifindex, BPF_XDP, _XDP_FLAGS_SKB_MODE if generic else _XDP_FLAGS_DRV_MODE, f"XDP on {name}")


def detach(link: int) -> None:
    """Take away what attach_* put there."""
    os.close(link)


def is_attached(link: int) -> bool:
    """Whether its interface is still there: one that was made again with the same index has nothing of ours (kernel: bpf_link's fdinfo)."""
    return "\nifindex:\t0\n" not in Path(f"/proc/self/fdinfo/{link}").read_text()


def _link(program: int, ifindex: int, place: int, flags: int, what: str) -> int:
    options = ffi.new("struct bpf_link_create_opts *")
    options.sz = ffi.sizeof("struct bpf_link_create_opts")
    options.flags = flags
    link = int(lib.bpf_link_create(program, ifindex, place, options))
    if link < 0:
        _refuse(-link, place, what)
    return link


def _refuse(failed: int, place: int, what: str) -> NoReturn:
    match failed:
        case errno.EPERM:
            raise PermissionDenied(f"attaching {what}", LOAD_CAPABILITIES)
        case errno.ENODEV:
            raise InterfaceGone(f"{what}: the interface is gone")
        case errno.EBUSY | errno.EEXIST:
            raise KernelError(f'{what}: there is another program, which is left alone: use hook = "tcx", or detach that one first')
        case errno.ERANGE:
            raise Unsupported(what, 'a smaller MTU, or a driver that takes frames in fragments; hook = "tcx" works as it is')
        case errno.EOPNOTSUPP | errno.EINVAL if place == BPF_XDP:
            raise Unsupported(f"native {what}", 'a driver with XDP; hook = "tcx" works as it is')
        case errno.EINVAL:
            raise Unsupported(what, 'kernel 6.6 or newer; hook = "af_packet" works as it is')
    raise KernelError(f"{what} was refused ({os.strerror(failed)}): see `headwater doctor`")


class InterfaceGone(KernelError):
    """The interface went away between being found and being attached to."""
