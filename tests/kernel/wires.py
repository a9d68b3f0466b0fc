"""Links between two namespaces on which packets are lost, late, out of order or there twice. The near end sees what is left of them."""

import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from netns import End, Veth, namespace, unique, veth_pair

AWAY_S, LATE_S = (
    0.01,
    0.001,
)  # where all are long under way, what is late by less is that, and not sent again: whoever looks at the clock agrees
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@contextmanager
def losing() -> Iterator[Veth]:
    """Every twentieth packet each way, at the far end (drop.bpf.c)."""
    with veth_pair(offload=False) as pair, tempfile.TemporaryDirectory() as folder:
        program, far = Path(folder) / "drop.o", pair.far
        include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        source = Path(__file__).with_name("drop.bpf.c")
        subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", include, "-c", source, "-o", program], check=True, timeout=60)
        far.space.run("tc", *f"qdisc add dev {far.interface} clsact".split())
        for way in ("ingress", "egress"):
            far.space.run("tc", *f"filter add dev {far.interface} {way} bpf direct-action object-file {program} section tc".split())
        as_cut(pair.near)
        yield pair


@contextmanager
def netem() -> Iterator[Veth]:
    """The kernel's own, at the far end: what that sends is lost, late and there twice."""
    with veth_pair(offload=False) as pair:
        spoil(pair.far)
        as_cut(pair.near)
        yield pair


def as_cut(end: End) -> None:
    """TCP makes no packet that has to be cut behind it: tcx sees those whole, and tcpdump the pieces (docs/kernels.md)."""
    end.space.ip(f"link set {end.interface} gso_max_segs 1")


def spoil(end: End) -> None:
    end.space.run("tc", *f"qdisc add dev {end.interface} root netem loss 5% duplicate 2% delay 3ms 2ms reorder 10%".split())


def has_netem() -> bool:
    """Whether this kernel does. Debian's have it as a module, which is loaded when it is first asked for."""
    try:
        with veth_pair(silent=True) as pair:
            spoil(pair.far)
    except (AssertionError, OSError):
        return False
    return True


@contextmanager
def disordering() -> Iterator[Veth]:
    """Two TUN devices, and a thread that carries packets from each to the other: one in ten late, one in twenty twice."""
    with namespace("hwn") as near, namespace("hwf") as far:
        ends, files = [], []
        for number, space in enumerate((near, far), 1):
            name = unique("hwt")
            with space.inside():
                files.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
                fcntl.ioctl(files[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
                index = socket.if_nametoindex(name)
            space.ip(f"addr add 10.9.0.{number}/24 dev {name}")
            space.ip(f"addr add fd09::{number}/64 dev {name} nodad")
            space.ip(f"link set {name} up")
            ends.append(End(space, name, index, "", f"10.9.0.{number}", f"fd09::{number}"))
        as_cut(ends[0])
        enough = threading.Event()
        carrier = threading.Thread(target=carry, args=(files, enough))
        carrier.start()
        try:
            yield Veth(*ends)
        finally:
            enough.set()
            carrier.join()
            for file in files:
                os.close(file)


def carry(files: list[int], enough: threading.Event) -> None:
    """Until that is set."""
    other, dice, number = dict(zip(files, reversed(files), strict=True)), random.Random(1), itertools.count()
    waiting: list[tuple[float, int, int, bytes]] = []
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # as one_cpu()
    while not enough.is_set():
        until = max(waiting[0][0] - time.monotonic(), 0) if waiting else AWAY_S
        for file in select.select(files, [], [], until)[0]:
            packet, there = os.read(file, 65536), time.monotonic() + AWAY_S
            (late,) = dice.choices(((0.0,), (LATE_S,), (0.0, LATE_S)), (85, 10, 5))
            for more in late:
                heapq.heappush(waiting, (there + more, next(number), other[file], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            *_, file, packet = heapq.heappop(waiting)
            os.write(file, packet)


WIRES: dict[str, Callable[[], AbstractContextManager[Veth]]] = {"plain": veth_pair, "losing": losing, "disordering": disordering}
if not os.geteuid() and has_netem():
    WIRES["netem"] = netem
