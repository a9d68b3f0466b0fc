"""The first packets of QUIC, which anybody can open: RFC 9001, 5.2 to 5.4, and RFC 9369 of version 2. Raises Malformed where that fails."""

import hmac
from typing import Final

from headwater._native import ffi, lib
from headwater.analysis.wire import Malformed

VERSION_2: Final = 0x6B3343CF
_22, _23, _29, _1, _2 = map(
    bytes.fromhex,
    (
        "7fbcdb0e7c66bbe92a96cd21519ebd7a02064490", "c3eef712c72ebb5a11a7d2432bb46365bef9f502", "afbfec289993d24c9e9786f19c6111e04390a899",
        "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "0dede3def700a6db819381be6e269dcbf9bd2ed9",
    ),
)  # fmt: skip
_FIRST_DRAFT: Final = 0xFF000000
SALTS: Final = {
    1: _1, VERSION_2: _2, 0xFACEB001: _22, 0xFACEB002: _23, 0xFACEB00E: _23,
    **{_FIRST_DRAFT + draft: _22 if draft == 22 else _23 if draft < 29 else _29 if draft < 33 else _1 for draft in range(22, 35)},
}  # fmt: skip
"""By version, what keys of its first packets are made with: RFC 9001, 5.2, its drafts, and those of Facebook's."""
_TAG: Final = 16


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1), of one block."""
    said = b"tls13 " + label
    return hmac.digest(secret, bytes([0, size, len(said)]) + said + b"\0\1", "sha256")[:size]


class Keys:
    """Those of one side."""

    __slots__ = ("header", "key", "nonce")

    def __init__(self, version: int, connection: bytes, *, of_client: bool) -> None:
        """Of packets of a version, by the first id that the client called the connection."""
        secret = hmac.digest(SALTS[version], connection, "sha256")
        secret = _expand(secret, b"client in" if of_client else b"server in", 32)
        begin = b"quicv2 " if version == VERSION_2 else b"quic "
        self.key, self.nonce, self.header = (_expand(secret, begin + what, size) for what, size in ((b"key", 16), (b"iv", 12), (b"hp", 16)))

    def open(self, packet: bytes, at: int) -> bytes:
        """The frames of a packet, whose number begins at `at`. Raises Malformed."""
        sample = packet[at + 4 : at + 20]
        if len(sample) < 16:
            raise Malformed("QUIC_short_packet")
        into = ffi.new("uint8_t[]", max(16, len(packet)))
        lib.hw_aes128(self.header, sample, into)
        mask = ffi.buffer(into, 5)[:]
        first = packet[0] ^ mask[0] & 15
        size = (first & 3) + 1
        number = bytes(one ^ other for one, other in zip(packet[at : at + size], mask[1:], strict=False))
        nonce = (int.from_bytes(self.nonce, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
        beside = bytes([first]) + packet[1:at] + number
        body = packet[at + size :]
        if lib.hw_aes128_gcm_open(self.key, nonce, beside, len(beside), body, len(body), into):
            raise Malformed("QUIC_wrong_tag")
        return bytes(ffi.buffer(into, len(body) - _TAG))
