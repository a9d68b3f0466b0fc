"""QUIC as Google's clients spoke it before RFC 9000 (Q009 to Q046): what a client says first is not encrypted.

Its packets and tags are those of "QUIC Crypto" and "QUIC Wire Layout Specification", Google, 2016.
"""

import struct
from typing import Final

from headwater.analysis.wire import text

_MOST_TAGS: Final = 128
_MOST_BEFORE: Final = 64  # octets of a packet before the message: its number, its hash, the frame's head


def hello(octets: bytes) -> tuple[str, bytes, str | None] | None:
    """The version, the connection's id and the server's name of a client's hello; None if it is none."""
    if len(octets) < 40 or octets[0] & 0xC9 != 0x09 or octets[9:10] != b"Q" or not octets[10:13].isdigit():
        return None
    at = octets.find(b"CHLO", 13, 13 + _MOST_BEFORE)
    if at < 0 or at + 8 > len(octets):
        return None
    (count,) = struct.unpack_from("<H", octets, at + 4)
    first, values = at + 8, at + 8 + 8 * min(count, _MOST_TAGS)
    begin = 0
    name = None
    for place in range(first, min(values, len(octets) - 7), 8):
        tag, end = octets[place : place + 4], int.from_bytes(octets[place + 4 : place + 8], "little")
        if tag == b"SNI\0" and begin <= end and values + end <= len(octets):
            name = text(octets[values + begin : values + end])
        begin = end
    return octets[9:13].decode(), octets[1:9], name
