"""Addresses as stored tables have them, 16 octets with IPv4 mapped (RFC 4291, 2.5.5.2), uids of flows, and both as text."""

import socket
import string

from headwater._native import ffi, lib

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


def uid_text(uid: bytes) -> str:
    """The text of a uid of 12 octets."""
    text, ends, octets = ffi.new("char[18]"), ffi.new("int32_t[2]"), ffi.from_buffer(uid)
    lib.hw_format_uids(octets, octets, len(uid), 1, 0, text, ends)
    return bytes(ffi.buffer(text, ends[1])).decode()


_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def uid_octets(text: str) -> bytes:
    """The 12 octets of a uid; none if the text is no uid."""
    if not text.startswith("C") or len(text) < 2 or set(text[1:]) - set(_DIGITS):
        return b""
    number = 0
    for digit in text[1:]:
        number = number * 62 + _DIGITS.index(digit)
    return number.to_bytes(12, "little") if number < 1 << 96 else b""
