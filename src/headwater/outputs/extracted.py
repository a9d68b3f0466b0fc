"""Files that flows carry, written out: each under a name of ours, never under one that a stranger gave it."""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from headwater.errors import SinkError

_MOST_OPEN: Final = 256


class Extraction:
    """Writes files whose MIME type is one of `types` (`*` stands for any part of one) into `directory`, as SOURCE-FUID. Of each there are
    `most_bytes` at most, of all `most_total_bytes`; further ones, and those beyond 256 at a time, are not written.
    """

    def __init__(self, directory: Path, types: tuple[str, ...], most_bytes: int, most_total_bytes: int) -> None:
        self._directory, self._types, self._most_bytes = directory, types, most_bytes
        self.left = most_total_bytes
        self.opened = 0

    def open(self) -> None:
        """Makes the directory if it is missing. Raises SinkError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(self._directory, error) from None

    def begin(self, source: str, fuid: str, mime_type: str) -> "ExtractedFile | None":
        """The file of that type, if it is to be written. Raises SinkError."""
        if self.opened >= _MOST_OPEN or self.left <= 0 or not any(fnmatchcase(mime_type, kind) for kind in self._types):
            return None
        return ExtractedFile(self, self._directory / f"{source}-{fuid}", self._most_bytes)


class ExtractedFile:
    """One of them, as it comes. `size` is how long it is by now, `is_cut` whether that is not all."""

    def __init__(self, extraction: Extraction, path: Path, most: int) -> None:
        self.name = path.name
        self.size = 0
        self.is_cut = False
        self._extraction, self._path, self._most = extraction, path, most
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(path, error) from None
        extraction.opened += 1

    def write(self, octets: bytes) -> None:
        """The next of it. Raises SinkError."""
        room = max(0, min(self._most - self.size, self._extraction.left))
        self.is_cut |= len(octets) > room
        view = memoryview(octets)[:room]
        self.size += len(view)
        self._extraction.left -= len(view)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _failed(self._path, error) from None

    def skip(self, octets: int) -> None:
        """So many were never seen: there are as many zeros. Raises SinkError."""
        room = max(0, self._most - self.size)
        self.is_cut |= octets > room
        self.size += min(octets, room)
        try:
            os.lseek(self._fd, self.size, os.SEEK_SET)
        except OSError as error:
            raise _failed(self._path, error) from None

    def close(self) -> None:
        """It is over. Raises SinkError."""
        self._extraction.opened -= 1
        try:
            os.ftruncate(self._fd, self.size)
            os.close(self._fd)
        except OSError as error:
            raise _failed(self._path, error) from None


def _failed(path: Path, error: OSError) -> SinkError:
    return SinkError(f"{path} cannot be written: {error.strerror}", retryable=False)
