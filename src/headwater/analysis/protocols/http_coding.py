"""How bodies of HTTP's messages are packed: gzip and deflate (RFC 9110, 8.4.1)."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

_HEADER: Final = 1024  # octets before which something must have come out
_RATIO: Final = 100  # octets that may come out for each that went in, beyond MOST
MOST: Final = 1 << 20
"""Octets that come out of a decoder at a time."""


class Unpacking:
    """Gives what was packed, MOST octets at a time, or fewer."""

    def __init__(self) -> None:
        self._decoder: Any = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begin: bytes | None = b""  # what has come, until something comes out
        self._in = self._out = 0
        self.most = MOST
        self.wrong = ""
        """A weird, if it cannot be read any further."""

    def unpacked(self, octets: bytes) -> Iterator[bytes]:
        """What comes out of the next."""
        if self.wrong:
            return
        self._in += len(octets)
        try:
            for out in self._inflated(octets):
                self._out += len(out)
                if self._out > MOST + _RATIO * self._in:
                    self.wrong = "inflate_bomb"
                    break
                if out:
                    yield out
        except zlib.error:
            self.wrong = "inflate_failed"

    def _inflated(self, octets: bytes) -> Iterator[bytes]:
        """A part at a time. Some servers' deflate has no header (RFC 9110, 8.4.1.2): what cannot be read is tried so."""
        try:
            out = self._decoder.decompress(octets, self.most)
        except zlib.error:
            if self._begin is None:
                raise
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            out = self._decoder.decompress(self._begin + octets, self.most)
        if self._begin is not None:
            self._begin = None if out or len(self._begin) > _HEADER else self._begin + octets
        yield out
        while len(out) == self.most or self._decoder.unconsumed_tail:
            out = self._decoder.decompress(self._decoder.unconsumed_tail, self.most)
            yield out
