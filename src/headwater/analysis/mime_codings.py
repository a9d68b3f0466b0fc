"""How the content of a part of a message is coded: base64 and quoted-printable (RFC 2045, 6), decoded as Zeek decodes them."""

import binascii
import re
from collections.abc import Callable
from typing import Final, Protocol

from headwater.analysis.stream import Stream

_LINE: Final = 1 << 16  # octets; what is longer is taken in pieces
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANK: Final = b" \r", b"\t\r", b" \n", b"\t\n"  # at the end of a line, where they are not of what was sent
_BLANKS: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")


class Coding(Protocol):
    """Decodes one part."""

    def decoded(self, octets: bytes) -> bytes:
        """As much as is known of what was sent as that."""

    def rest(self) -> bytes:
        """What is left when no more comes."""


class _QuotedPrintable:
    """Line by line."""

    def __init__(self, _: Stream) -> None:
        self._held = b""  # a line, until its end comes

    def decoded(self, octets: bytes) -> bytes:
        octets = self._held + octets
        end = octets.rfind(b"\n") + 1
        end = end if len(octets) - end < _LINE else len(octets)
        octets, self._held = octets[:end], octets[end:]
        if any(mark in octets for mark in _BLANK):
            octets = _BLANKS.sub(b"", octets)
        return binascii.a2b_qp(octets)

    def rest(self) -> bytes:
        return binascii.a2b_qp(self._held)


class _Base64:
    """What is no base64 is left out, and so is what follows its end."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = b""  # a group that is not whole
        self._is_over = self._is_odd = False

    def decoded(self, octets: bytes) -> bytes:
        if self._is_over:
            return b""
        octets, ends, _ = octets.translate(None, b"\r\n").partition(b"=")
        if others := octets.translate(None, _ALPHABET):
            self._illegal(f"character {others[0]} ignored by Base64 decoding")
            octets = octets.translate(None, others)
        octets = self._held + octets
        whole = len(octets) & ~3
        self._held = octets[whole:]
        decoded = binascii.a2b_base64(octets[:whole])
        if ends:
            self._is_over = True
            decoded += self._group()
        return decoded

    def rest(self) -> bytes:
        if self._held:
            self._illegal(f"incomplete base64 group, padding with {24 - 6 * len(self._held)} bits of 0")
        return self._group()

    def _group(self) -> bytes:
        """The octets of one that is not whole."""
        held, self._held = self._held, b""
        return binascii.a2b_base64(held + b"=" * (4 - len(held))) if len(held) > 1 else b""

    def _illegal(self, addl: str) -> None:
        if not self._is_odd:
            self._stream.weird("base64_illegal_encoding", addl)
        self._is_odd = True


CODINGS: Final[dict[bytes, Callable[[Stream], Coding]]] = {b"base64": _Base64, b"quoted-printable": _QuotedPrintable}
"""By Content-Transfer-Encoding, in small letters; any other content is as it is sent."""
