"""A PPP interface over PPPoE without any daemon: the kernel's own session and unit, with nothing negotiated."""

import ctypes
import fcntl
import os
import socket
import struct

from netns import Namespace

_AF_PPPOX = 24
_GET_CHANNEL, _ATTACH_CHANNEL = 0x80047437, 0x40047438  # linux/ppp-ioctl.h
_NEW_UNIT, _CONNECT = 0xC004743E, 0x4004743A


class Session:
    """One end, over an Ethernet device, to a MAC address. `name` is the PPP interface, which goes with close()."""

    def __init__(self, space: Namespace, device: str, remote: str, number: int) -> None:
        self._held: list[int] = []
        with space.inside():
            over = socket.socket(_AF_PPPOX, socket.SOCK_STREAM, 0)
            self._socket = over
            address = struct.pack("=HI", _AF_PPPOX, 0) + struct.pack("!H", number) + bytes.fromhex(remote.replace(":", ""))
            address += device.encode().ljust(16, b"\0")
            if ctypes.CDLL(None, use_errno=True).connect(over.fileno(), address, len(address)):
                raise OSError(ctypes.get_errno(), f"a PPPoE session on {device}")
            channel, unit = self._open(), self._open()
            _ioctl(channel, _ATTACH_CHANNEL, _ioctl(over.fileno(), _GET_CHANNEL, 0))
            self.name = f"ppp{_ioctl(unit, _NEW_UNIT, -1)}"
            _ioctl(channel, _CONNECT, int(self.name.removeprefix("ppp")))

    def _open(self) -> int:
        self._held.append(os.open("/dev/ppp", os.O_RDWR))
        return self._held[-1]

    def close(self) -> None:
        """Give it back."""
        for one in self._held:
            os.close(one)
        self._socket.close()


def _ioctl(descriptor: int, request: int, value: int) -> int:
    answer: bytes = fcntl.ioctl(descriptor, request, struct.pack("=i", value))
    return int(struct.unpack("=i", answer)[0])
