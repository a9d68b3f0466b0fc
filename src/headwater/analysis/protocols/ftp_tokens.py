"""Tokens of AUTH GSSAPI (RFC 2228), as grids send them: within them is TLS, which so is read as if it were alone."""

import binascii
import re
from typing import Final

from headwater.analysis.stream import ORIG, RESP, Stream

_GOES_ON: Final = (334, 335)
_WHOLE: Final = 235
_TOKEN = re.compile(rb"ADAT=")
_OTHER = re.compile(rb"[^A-Za-z0-9+/=]")
_PART: Final = "FTP_ADAT"  # what Zeek calls that of its own
_HANDSHAKE: Final = 0x16


class Tokens:
    """Those of one exchange. It is over at the first that is not TLS, and at a reply that ends it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begun = self.is_over = False

    def command(self, name: str, argument: bytes) -> None:
        """A command of the client."""
        if self.is_over or name not in ("ADAT", "AUTH"):
            return
        self.is_over = name == "AUTH"
        token = b"" if self.is_over else self._decoded(argument)
        if not self._begun and not self.is_over:
            self._begun = True
            if not token:
                self._stream.weird("ftp_adat_bad_first_token_encoding", source=_PART)
            self.is_over = len(token) < 5 or token[0] != _HANDSHAKE or len(token) - 5 != int.from_bytes(token[3:5], "big")
        self._feed(ORIG, token)

    def reply(self, code: int, said: bytes) -> None:
        """A reply of the server."""
        if self.is_over:
            return
        if code in (*_GOES_ON, _WHOLE) and (found := _TOKEN.match(said)):
            self._feed(RESP, self._decoded(said[found.end() :]))
        self.is_over = code not in _GOES_ON

    def _feed(self, side: int, token: bytes) -> None:
        if token and not self.is_over:
            self._stream.begin_inner().feed(side, token, self._stream.now)

    def _decoded(self, encoded: bytes) -> bytes:
        """A token; none if it is no base64."""
        if odd := _OTHER.search(encoded):
            self._stream.weird("base64_illegal_encoding", f"character {odd[0][0]} ignored by Base64 decoding")
            return b""
        try:
            return binascii.a2b_base64(encoded)
        except binascii.Error:
            return b""
