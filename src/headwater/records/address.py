"""Addresses as stored tables have them, 16 octets with IPv4 mapped (RFC 4291, 2.5.5.2), and as text."""

import socket

MAPPED = bytes(10) + b"\xff\xff"
"""What is before an IPv4 address."""


def packed(text: str) -> bytes:
    """The 16 octets of an address; none if the text is no address."""
    try:
        return socket.inet_pton(socket.AF_INET6, text) if ":" in text else MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return b""


def unpacked(octets: bytes) -> str:
    """The text of an address of 16 octets."""
    if octets.startswith(MAPPED):
        return socket.inet_ntop(socket.AF_INET, octets[12:])
    return socket.inet_ntop(socket.AF_INET6, octets)
