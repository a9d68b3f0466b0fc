"""A small disk of a test's own, which can be full, read-only, broken or without power: ext4 on a loop device. Needs root."""

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN (fs/ext4/ext4.h)
NO_LOG_FLUSH = 2  # of what was not synced, nothing is written any more


class Disk:
    """Mounted at `folder`; everything below it fails with EIO once it is broken, until it is mended."""

    def __init__(self, folder: Path, mib: int = 128) -> None:
        self.folder = folder
        self._image = folder.with_name(f"{folder.name}.img")
        folder.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(mib << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", "4096", str(self._image))  # the engine keeps many small files
        self._mount()

    def fill(self, but: int = 0) -> None:
        """Leave no room, or as many octets."""
        with (self.folder / "ballast").open("wb") as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        os.write(file.fileno(), bytes(size))
                except OSError:
                    continue
            file.truncate(max(0, file.seek(0, os.SEEK_END) - but))

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink()

    def turn_read_only(self) -> None:
        """Nobody may have a file open to write to it."""
        _run("mount", "-o", "remount,ro", str(self.folder))

    def turn_writable(self) -> None:
        _run("mount", "-o", "remount,rw", str(self.folder))

    def cut(self) -> None:
        """No read or write reaches it any more, and what was not synced is lost."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def mend(self) -> None:
        """Mount what was on it, from another image: another namespace may still have the broken one. Nobody may have a file open."""
        _run("umount", str(self.folder))
        mended = self._image.with_suffix(".mended")
        _run("cp", "--sparse=always", str(self._image), str(mended))
        mended.replace(self._image)
        self._mount()

    def close(self) -> None:
        _run("umount", str(self.folder))

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextlib.contextmanager
def unwritten() -> Iterator[None]:
    """What nobody syncs is not written by itself either, as it may be with a power cut: of the whole machine."""
    every = Path("/proc/sys/vm/dirty_writeback_centisecs")
    before = every.read_text()
    every.write_text("0")
    try:
        yield
    finally:
        every.write_text(before)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
