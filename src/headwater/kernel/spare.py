"""Packet sockets made while that was allowed: a process that has given its privileges away can still bind them to what comes."""

import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from headwater.errors import KernelError, PermissionDenied

KEPT = 128
_SOL_PACKET, _ADD_MEMBERSHIP, _MR_PROMISC = 263, 1, 1


class SpareSockets:
    """Packet sockets, bound to nothing: new ones while they may be made, then up to `count` that were kept."""

    def __init__(self, count: int = KEPT) -> None:
        self._count = count
        self._kept: list[int] = []
        self._opened = False

    def open(self) -> None:
        """Make those that are kept. Raises PermissionDenied."""
        try:
            self._kept = [_new() for _ in range(self._count)]
        except PermissionError:
            raise PermissionDenied("opening a packet socket", "CAP_NET_RAW") from None
        self._opened = True

    def close(self) -> None:
        """Give back those that were not taken; safe to call twice."""
        kept, self._kept = self._kept, []
        if kept:
            with ThreadPoolExecutor(len(kept)) as closing:  # the kernel waits 15 ms in each, for what may still use it
                list(closing.map(os.close, kept))

    @property
    def are_limited(self) -> bool:
        """Whether no new ones can be made any more."""
        try:
            os.close(_new())
        except PermissionError:
            return True
        return False

    def take(self) -> int:
        """One of them; whoever takes it closes it, or puts it back. Raises KernelError or PermissionDenied when there is none."""
        try:
            return _new()
        except PermissionError:
            if not self._opened:
                raise PermissionDenied("opening a packet socket", "CAP_NET_RAW") from None
        if self._kept:
            return self._kept.pop()
        raise KernelError(f"none of the {self._count} packet sockets that were made at the start is left: start again")

    def put_back(self, one: int) -> None:
        """Keep one that is bound to nothing any more."""
        if len(self._kept) < self._count:
            self._kept.append(one)
        else:
            os.close(one)

    def promiscuous(self, ifindex: int) -> int:
        """Ask a card for everybody's frames, until the socket that is returned is closed or put back, or the interface is gone."""
        one = self.take()
        with socket.socket(fileno=os.dup(one)) as asking:
            try:
                asking.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8s", ifindex, _MR_PROMISC, 0, b""))
            except OSError:
                self.put_back(one)
                raise
        return one


def _new() -> int:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0).detach()
