"""Packet sockets made while that was allowed: a process that has given its privileges away can still bind them to what comes."""

import socket
import struct

from headwater.errors import KernelError, PermissionDenied

KEPT = 32
_SOL_PACKET, _ADD_MEMBERSHIP, _MR_PROMISC = 263, 1, 1


class SpareSockets:
    """Up to `count` of them, unbound, until each is taken."""

    def __init__(self, count: int = KEPT) -> None:
        self._count = count
        self._spare: list[socket.socket] = []

    def open(self) -> None:
        """Make them. Raises PermissionDenied."""
        try:
            self._spare = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(self._count)]
        except PermissionError:
            raise PermissionDenied("opening a packet socket", "CAP_NET_RAW") from None

    def close(self) -> None:
        """Give back those that were not taken; safe to call twice."""
        for one in self._spare:
            one.close()
        self._spare = []

    def take(self) -> socket.socket:
        """One of them; whoever takes it closes it. Raises KernelError when there is none left."""
        if not self._spare:
            raise KernelError(f"no packet socket is left of the {self._count} that were made at the start: start again")
        return self._spare.pop()

    def promiscuous(self, ifindex: int) -> socket.socket:
        """Ask a card for everybody's frames, until the socket that is returned is closed."""
        asking = self.take()
        asking.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8s", ifindex, _MR_PROMISC, 0, b""))
        return asking
