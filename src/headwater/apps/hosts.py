"""Names of addresses as this machine's own table has them. Nobody is asked."""

import re
import socket
from pathlib import Path

from headwater.records.address import MAPPED

_MOST_OCTETS = 1 << 22
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")


def hosts(path: Path = Path("/etc/hosts")) -> dict[bytes, str]:
    """The first name of each address (16 octets, IPv4 mapped). What is no address or no name is passed over; without a file all are."""
    found: dict[bytes, str] = {}
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_OCTETS).decode(errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if names and _NAME.fullmatch(names[0]) and (octets := _packed(address)):
            found.setdefault(octets, names[0])
    return found


def _packed(text: str) -> bytes:
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
        return MAPPED + socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return b""
