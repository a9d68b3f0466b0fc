"""Logs that are over (rotated.py), packed into a folder for their day, as zeekctl's archive has them."""

import os
import re
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from headwater.outputs.files import explain, sync_names, write_all

CURRENT = "current"
"""The folder in which they wait."""
OVER = re.compile(r"(\w+?)__(\d{4}-\d\d-\d\d)-(\d\d)-(\d\d)-(\d\d)__\d{4}-\d\d-\d\d-(\d\d)-(\d\d)-(\d\d)__\.log", re.ASCII)
"""What they are called there: as Zeek's own writer calls them for its archiver."""
AGAIN_S = 60.0  # before what could not be packed is tried again
END_S = 5.0  # for packing, when the run ends; the next one does what is left
_PIECE = 1 << 20


class Packer:
    """Packs logs that are over into folders of `top`, in a thread that has what time nobody else wants."""

    def __init__(self, directory: Path, report: Callable[[str], None]) -> None:
        self.top = directory
        self._name = directory
        self._report = report
        self._waiting: deque[Path] = deque()
        self._wanted = threading.Event()
        self._ending = self._stopped = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start, if it has not."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="packing logs", daemon=True)
            self._thread.start()

    def put(self, path: Path) -> None:
        """A log that nobody writes to any more."""
        self._waiting.append(path)
        self._wanted.set()

    def end(self) -> None:
        """Pack what is over, in END_S at most."""
        if self._thread is None:
            return
        self._ending = True
        self._wanted.set()
        self._thread.join(END_S)
        self._stopped = True
        self._thread.join()
        self._thread = None
        if self._waiting:
            self._report(f"{self._name}: logs that are not packed yet wait in {CURRENT} for the next run")

    def _run(self) -> None:
        with suppress(OSError):  # a service manager may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        told = ""
        while not self._stopped:
            last = self._ending
            self._wanted.clear()
            problem = self._pack_all()
            if problem and problem != told:
                self._report(f"{self._name}: logs cannot be packed now, and wait in {CURRENT}: {problem}")
            told = problem
            if last:
                return
            self._wanted.wait(AGAIN_S)

    def _pack_all(self) -> str:
        """What is wrong with any of them."""
        problem = ""
        for path in list(self._waiting):
            try:
                self._pack(path)
            except OSError as error:
                problem = explain(error)
            if self._stopped:
                break
            if not path.exists():
                self._waiting.remove(path)
        return problem

    def _pack(self, path: Path) -> None:
        """Raises OSError."""
        over = OVER.fullmatch(path.name)
        assert over  # noqa: S101 - _end() has named it
        record, day, *clock = over.groups()
        folder = self.top / day
        with suppress(FileExistsError):
            folder.mkdir()
            sync_names(self.top)
        new = folder / f".{path.name}.gz.new"
        try:
            trailer = self._packed(path, new)
            if self._stopped:
                return
            whole = f"{record}.{':'.join(clock[:3])}-{':'.join(clock[3:])}"
            name = next(name for name in _names(whole) if not (folder / name).exists() or _trailer(folder / name) == trailer)
            if not (folder / name).exists():  # else who packed it died before it was removed
                new.rename(folder / name)
            sync_names(folder)
        finally:
            new.unlink(missing_ok=True)
        path.unlink()
        sync_names(path.parent)

    def _packed(self, path: Path, new: Path) -> bytes:
        """What the packed file ends with: the checksum and size of what is in it (RFC 1952)."""
        pack = zlib.compressobj(wbits=31)
        log = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                while (piece := os.read(log, _PIECE)) and not self._stopped:
                    write_all(file, pack.compress(piece))
                rest = pack.flush()
                write_all(file, rest)
                os.fsync(file)
            finally:
                os.close(file)
        finally:
            os.close(log)
        return rest[-8:]


def _names(whole: str) -> Iterator[str]:
    """What it may be called: where the clock is set back an hour comes twice."""
    yield f"{whole}.log.gz"
    yield from (f"{whole}-{number}.log.gz" for number in count(2))


def _trailer(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        return file.read(8)
