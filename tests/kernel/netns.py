"""Network namespaces for tests: a veth pair between two of them, commands and code run inside, frames sent raw and counted.

Python 3.11 has no os.setns; entering is per thread, so whatever opens sockets must do it in the thread that entered.
"""

import contextlib
import itertools
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater._native import ffi, lib
from waiting import MOST_S, until

_number = itertools.count()


def unique(stem: str) -> str:
    """An interface or namespace name (15 characters at most) that no other test process uses."""
    return f"{stem}{os.getpid() % 100_000}x{next(_number)}"


@dataclass(frozen=True)
class Namespace:
    """A network namespace that `ip netns` knows."""

    name: str

    def run(self, *command: str, check: bool = True, timeout: float = MOST_S, **how: Any) -> "subprocess.CompletedProcess[str]":
        """A command inside, waited for; a test fails with its error text."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command], capture_output=True, text=True, check=False, timeout=timeout, **how
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
        return done

    def start(self, *command: str, **how: Any) -> "subprocess.Popen[Any]":
        """A command inside that keeps running; the caller ends it."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], **how)

    def ip(self, words: str) -> None:
        """`ip -n NAME words`."""
        _ip(f"-n {self.name} {words}")

    def carries(self, interface: str) -> None:
        """Waits until that end of a pair does: the kernel gives it its queue a little after its carrier, and drops what comes before."""
        until(lambda: "state UP" in self.run("ip", "link", "show", "dev", interface).stdout)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in the namespace until the end of the block."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(there)
            os.close(before)


def _enter(fd: int) -> None:
    if lib.hw_enter_net(fd):
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False, timeout=MOST_S)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


@contextlib.contextmanager
def namespace(stem: str = "hw", *, ipv6: bool = True) -> Iterator[Namespace]:
    """A fresh namespace with loopback up, removed again whatever happens. Without `ipv6`, the kernel says nothing by itself in it."""
    space = Namespace(unique(stem))
    _ip(f"netns add {space.name}")
    try:
        with space.inside():
            for where in ("all", "default"):
                conf = Path(f"/proc/sys/net/ipv6/conf/{where}")
                (conf / "disable_ipv6").write_text("0" if ipv6 else "1")
                (conf / "accept_dad").write_text("0")  # an address can be used at once
                (conf / "router_solicitations").write_text("0")
        space.ip("link set lo up")
        yield space
    finally:
        subprocess.run(["ip", "netns", "delete", space.name], capture_output=True, check=False, timeout=MOST_S)


@dataclass(frozen=True)
class End:
    """One end of a veth pair. ip4 and ip6 are empty on a silent pair."""

    space: Namespace
    interface: str
    index: int
    mac: str
    ip4: str
    ip6: str


@dataclass(frozen=True)
class Veth:
    """Two namespaces and the veth pair between them: `near` is watched, `far` sends and answers."""

    near: End
    far: End


@contextlib.contextmanager
def veth_pair(*, mtu: int = 1500, silent: bool = False, offload: bool = True, options: str = "") -> Iterator[Veth]:
    """A veth pair, up, with a namespace for each end: 10.9.0.1/24 and fd09::1/64 near, .2 and ::2 far.

    `silent`: no addresses and no IPv6, so that nothing is on the wire but the frames that a test sends raw.
    `offload=False`: no GSO, TSO, GRO or checksum offload on either end, as packets are on a cable. `options` go to `ip link add`.
    """
    with namespace("hwn", ipv6=not silent) as near, namespace("hwf", ipv6=not silent) as far:
        names = unique("hwa"), unique("hwb")
        near.ip(f"link add {names[0]} mtu {mtu} {options} type veth peer name {names[1]} mtu {mtu} {options} netns {far.name}")
        ends = []
        for number, (space, name) in enumerate(zip((near, far), names, strict=True), 1):
            if not offload:
                features = ("tso", "gso", "gro", "tx", "sg")
                space.run("ethtool", "-K", name, *(word for feature in features for word in (feature, "off")))
            space.ip(f"link set {name} address 02:00:00:09:00:0{number}")
            if silent:
                space.ip(f"link set {name} addrgenmode none arp off")
            else:
                space.ip(f"addr add 10.9.0.{number}/24 dev {name}")
                space.ip(f"addr add fd09::{number}/64 dev {name} nodad")
            space.ip(f"link set {name} up")
        for number, (space, name) in enumerate(zip((near, far), names, strict=True), 1):
            with space.inside():
                index = socket.if_nametoindex(name)
            ip4, ip6 = ("", "") if silent else (f"10.9.0.{number}", f"fd09::{number}")
            ends.append(End(space, name, index, f"02:00:00:09:00:0{number}", ip4, ip6))
            space.carries(name)
        yield Veth(*ends)


class FrameSender:
    """Sends whole frames out of one interface, and counts those that the kernel took. Construct it anywhere; it enters the namespace."""

    def __init__(self, end: End) -> None:
        self.sent = 0
        self.octets = 0
        with end.space.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((end.interface, 0))

    def send(self, frames: Iterable[bytes]) -> None:
        """Send them in order, each as it stands."""
        for frame in frames:
            self.octets += self._socket.send(frame)
            self.sent += 1

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def __enter__(self) -> "FrameSender":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
