"""The store's process: takes what is in the spool, removes what is old, and answers questions. One a folder."""

import contextlib
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headwater.errors import StoreError
from headwater.outputs.files import put
from headwater.store.door import Door
from headwater.store.engine import Engine, reading
from headwater.store.loader import Loader
from headwater.store.retention import Retention
from headwater.store.settings import Place, StoreSettings

VERSION = 1
"""Of what lies in the folder. A store with a higher one is not touched."""

LOOK_S = 0.1


class Store:
    """The store of `settings`, whose folder is there (apps/beside.py); `report` is told what is unusual, a line each."""

    def __init__(self, settings: StoreSettings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._place = settings.place()
        self._lock = -1
        self._stop = threading.Event()
        self._memory = int(memory() * settings.memory_part)
        self._engine = Engine(self._place.engine, self._memory)
        self.loader: Loader
        self._retention: Retention
        self.door: Door | None = None

    def open(self) -> None:
        """Be the one that has it. Raises StoreError."""
        try:
            self._lock = os.open(self._place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another process has the store {self._place.folder}: end that one, or give this one another path") from None
        except OSError as error:
            raise StoreError(f"the store {self._place.folder}: {error.strerror}; give another path, or use sudo") from None
        check_version(self._place)
        self._engine.open()
        self.loader = Loader(self._engine.writer, self._place.spool, self._place.note, self._report)
        self.loader.open()
        self._retention = Retention(self._engine.writer, self._settings, self._report)
        budget = reading(int(self._memory * self._settings.query_memory_part), self._settings.query_time_s)
        door = Door(lambda: self._engine.connect(budget), token_of(self._place), self._settings.query_time_s, self._report)
        door.open(self._place.socket, self._settings.listen)
        self.door = door
        self._place.address.write_text(door.address)

    def run(self, *, once: bool = False) -> None:
        """Until stop(), or once all that waits has been taken."""
        while not self._stop.is_set():
            self._retention.look()
            if not self.loader.load():
                if once:
                    return
                self._stop.wait(LOOK_S)
        while self.loader.load():
            pass

    def stop(self) -> None:
        """End soon. Callable from a signal handler."""
        self._stop.set()

    def close(self) -> None:
        """Answer nobody any more. The engine's threads end with the process (os._exit)."""
        if self.door:
            self.door.close()
            with contextlib.suppress(OSError):
                self._place.socket.unlink()
                self._place.address.unlink()


def memory() -> int:
    """Octets that this process may use: the machine's, or the control group's limit."""
    octets = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
        octets = min(octets, int((Path("/sys/fs/cgroup") / group / "memory.max").read_text()))
    return octets


def check_version(place: Place) -> None:
    """Raises StoreError where a later Headwater has made it; a new one gets ours."""
    try:
        found = json.loads(place.about.read_text())["version"]
    except FileNotFoundError:
        put(place.about, json.dumps({"version": VERSION, "made": time.time_ns()}))
        return
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StoreError(f"{place.about} cannot be read ({error}): restore it, or move the store away") from None
    if not isinstance(found, int) or found > VERSION:
        raise StoreError(
            f"the store {place.folder} is of a newer Headwater (version {found}, this one knows {VERSION}): upgrade, or give another path"
        )


def token_of(place: Place) -> str:
    """What who asks must know; made when it is first needed. Raises StoreError."""
    try:
        with contextlib.suppress(FileExistsError):
            fd = os.open(place.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
                file.flush()
                os.fsync(fd)
        return place.token.read_text().strip()
    except OSError as error:
        raise StoreError(f"{place.token}: {error.strerror}; use sudo, if the store is root's") from None
