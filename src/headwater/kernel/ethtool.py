"""What a card's driver does to packets before anyone sees them (ioctl SIOCETHTOOL, linux/ethtool.h). Best effort: None is not known."""

import ctypes
import fcntl
import socket
import struct
from dataclasses import dataclass

_SIOCETHTOOL = 0x8946
_GDRVINFO, _GTSO, _GFLAGS, _GGRO = 0x03, 0x1E, 0x25, 0x2B
_FLAG_RXVLAN, _FLAG_LRO = 1 << 8, 1 << 15
_DRVINFO_OCTETS = 196


@dataclass(frozen=True)
class Card:
    """`rxvlan`: VLAN tags are taken out of frames. `gro`, `lro`: received packets are merged. `tso`: sent ones are split by the card."""

    driver: str | None
    rxvlan: bool | None
    gro: bool | None
    lro: bool | None
    tso: bool | None


def card(name: str) -> Card:
    """Ask the driver of an interface of this thread's network namespace. Needs no privilege."""
    flags = _value(name, _GFLAGS)
    gro, tso = _value(name, _GGRO), _value(name, _GTSO)
    information = _ask(name, struct.pack("=I", _GDRVINFO).ljust(_DRVINFO_OCTETS, b"\0"))
    return Card(
        driver=information[4:36].split(b"\0")[0].decode(errors="replace") or None if information else None,
        rxvlan=None if flags is None else bool(flags & _FLAG_RXVLAN),
        gro=None if gro is None else bool(gro),
        lro=None if flags is None else bool(flags & _FLAG_LRO),
        tso=None if tso is None else bool(tso),
    )


def _value(name: str, command: int) -> int | None:
    answer = _ask(name, struct.pack("=II", command, 0))
    return int(struct.unpack("=II", answer)[1]) if answer else None


def _ask(name: str, question: bytes) -> bytes | None:
    """The structure as the driver filled it in; None if it has no answer."""
    structure = ctypes.create_string_buffer(question, len(question))
    request = struct.pack("16sP", name.encode()[:15], ctypes.addressof(structure)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError:
            return None
    return structure.raw
