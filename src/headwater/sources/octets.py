"""The octets of a capture: of a file, a FIFO or standard input, unpacked if they are gzip (RFC 1952) or zstd (RFC 8878)."""

import os
import select
import stat
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

SLICE = 1024  # octets unpacked at a time: no slice of either format can become more than 32 MiB
PATIENCE_S = 0.1
FORMATS: dict[bytes, tuple[str, Callable[[], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(wbits=31)),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda: zstandard.ZstdDecompressor().decompressobj()),
}


class Damaged(Exception):
    """The packed data cannot be unpacked further. The text is to be read behind the file's name: `is cut off ...`."""


class Octets:
    """A stream of octets from a file descriptor, packed or not as its first octets tell.

    Several gzip members or zstd frames behind one another are one stream. Memory is bounded, whatever the data is.
    """

    def __init__(self, fd: int, *, plain: bool = False) -> None:
        """`plain` says that they are not packed, whatever comes first."""
        self.position = 0
        """Octets of the file that are read: packed ones where it is packed."""
        self._fd = fd
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)
        self._buffer = memoryview(bytearray(1 << 18))
        self._head = -1 if plain else 0  # octets at the start of the buffer that may tell the format; -1 when it is known
        self._format = ""
        self._start: Callable[[], Any] | None = None  # makes an unpacker
        self._unpacker: Any = None  # of the member that we are in
        self._packed = self._buffer[:0]
        self._ready = self._buffer[:0]

    def readinto(self, room: memoryview) -> int | None:
        """How many octets came into `room`: 0 at the end, None if there are none yet. Raises Damaged, OSError.

        A pipe is waited for no longer than 100 ms, so that who reads can be stopped.
        """
        if self._head >= 0:
            got = self._read(self._buffer[self._head : 4])
            if got is None:
                return None
            self._head += got
            if got and self._head < 4:
                return None
            self._recognise()
        if not self._ready and self._start:
            if not self._packed:
                got = self._read(self._buffer)
                if not got:
                    if got == 0 and self._unpacker:
                        raise Damaged(f"is cut off in its {self._format} data (byte {self.position})")
                    return got
                self._packed = self._buffer[:got]
            while self._packed and not self._ready:
                self._unpack()
            if not self._ready:
                return None
        if not self._ready:
            return self._read(room)
        size = min(len(room), len(self._ready))
        room[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _read(self, room: memoryview) -> int | None:
        if self._waits and not select.select([self._fd], [], [], PATIENCE_S)[0]:
            return None
        got = os.readv(self._fd, [room])
        self.position += got
        return got

    def _recognise(self) -> None:
        first, self._head = self._buffer[: self._head], -1
        for magic, (name, start) in FORMATS.items():
            if bytes(first).startswith(magic):
                self._format, self._start, self._unpacker, self._packed = name, start, start(), first
                return
        self._ready = first

    def _unpack(self) -> None:
        if not self._unpacker:
            if not self._packed[0]:
                self._packed = self._packed[1:]  # zeros behind a member, as tapes and block devices leave them
                return
            assert self._start  # noqa: S101 - only packed data comes here
            self._unpacker = self._start()
        piece = self._packed[:SLICE]
        try:
            self._ready = memoryview(self._unpacker.decompress(piece))
        except (zlib.error, zstandard.ZstdError) as error:
            place = self.position - len(self._packed)
            raise Damaged(f"is damaged in its {self._format} data near byte {place} ({error})") from error
        unused = 0
        if self._unpacker.eof:
            unused = len(self._unpacker.unused_data)
            self._unpacker = None
        self._packed = self._packed[len(piece) - unused :]
