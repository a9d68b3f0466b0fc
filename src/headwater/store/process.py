"""The store's process: takes what is in the spool, removes what is old, and answers questions; or sends it to a server that does. One a
folder.
"""

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
from headwater.outputs.files import explain, put, sync_names
from headwater.outputs.spool import write_whole
from headwater.store.anew import ANEW
from headwater.store.door import Door
from headwater.store.embedded import Embedded
from headwater.store.engine import Engine, EngineError, load, reading
from headwater.store.loader import Loader
from headwater.store.remote import Remote
from headwater.store.retention import DAY_S, Retention
from headwater.store.server import Server
from headwater.store.settings import Place, StoreSettings
from headwater.store.tables import Layout

VERSION = 1
"""Of what lies in the folder. A store with a higher one is not touched."""

LINGER_S = 10.0
"""For which a server is given what is left, at the end."""
PAUSES_S = (1.0, 60.0)
"""Between two attempts at a server that is not there."""


class Store:
    """The store of `settings`, whose folder is there (apps/beside.py); `report` is told what is unusual, a line each.

    Who only asks, for which it is `removing` nothing, may not know how long rows are to be kept.
    """

    def __init__(self, settings: StoreSettings, report: Callable[[str], None], *, removing: bool = True) -> None:
        self._settings = settings
        self._report = report
        self._removing = removing
        self._place = settings.place()
        self._lock = -1
        self._stop = threading.Event()
        self._server: Server | None = None
        self.loader: Loader
        self._retention: Retention | None = None
        self.door: Door | None = None

    def prepare(self) -> None:
        """Read what nobody may who has given his privileges away. Raises StoreError."""
        if self._settings.url:
            self._server = Server.of(self._settings, self._settings.url)
        else:
            load()

    def open(self) -> None:
        """Be the one that has it. Raises StoreError."""
        try:
            self._lock = os.open(self._place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another process has the store {self._place.folder}: end that one, or give this one another path") from None
        except OSError as error:
            raise StoreError(f"the store {self._place.folder}: {error.strerror}; give another path, or use sudo") from None
        made = check_version(self._place)
        if self._server:
            self.loader = Loader(self._remote(self._server, made), self._place.spool, self._report, PAUSES_S, self._server.name)
        else:
            self._open_engine()

    def _remote(self, server: Server, made: int) -> Remote:
        expire_s = max(1, int(self._settings.retention_days * DAY_S)) if self._settings.expire else 0
        return Remote(server, Layout(server=True, cluster=self._settings.cluster, expire_s=expire_s), str(made), self._report)

    def _open_engine(self) -> None:
        octets = int(memory() * self._settings.memory_part)
        engine = Engine(self._place.engine, octets)
        try:
            engine.open()
        except EngineError as error:
            raise StoreError(f"the engine cannot open {self._place.engine} ({error}): {self._place.log} says why") from None
        self.loader = Loader(Embedded(engine.writer, self._place.note, self._report), self._place.spool, self._report)
        with contextlib.suppress(
            EngineError, OSError
        ):  # there may be no room for anything new: what is there can be asked for, and rows wait
            self.loader.open()
        if self._removing:
            self._retention = Retention(engine.writer, self._settings, self._report)
        budget = reading(int(octets * self._settings.query_memory_part), self._settings.query_time_s)
        door = Door(
            lambda: engine.connect(budget),
            lambda: engine.connect({}),
            token_of(self._place),
            self._settings.query_time_s,
            self._report,
            self._begin_anew,
        )
        if self._settings.listen:
            door.listen(self._settings.listen)
        with contextlib.suppress(OSError):  # of a full disk: it answers all the same
            self._place.address.write_text(door.address)
        door.open(self._place.socket)  # last: who finds it there finds the address, too
        self.door = door

    def run(self, *, once: bool = False) -> None:
        """Until stop(), or once all that waits has been taken."""
        while not self._stop.is_set():
            if self._retention:
                self._retention.look()
            if not self.loader.load():
                if once:
                    return
                self._stop.wait(self.loader.pause_s)
        while self.loader.load():
            pass

    def stop(self) -> None:
        """End soon, and in the midst of an insert that a server does not answer: it will be known. Callable from a signal handler."""
        self._stop.set()
        if self._server:
            end = threading.Timer(LINGER_S, os._exit, (0,))
            end.daemon = True
            end.start()

    def _begin_anew(self) -> None:
        self._report("a question went on past its time, and nothing else ends it: the store begins anew; rows wait in the spool")
        os._exit(ANEW)

    def close(self) -> None:
        """Answer nobody any more. The engine's threads end with the process (os._exit)."""
        if self._server:
            self._server.close()
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


def check_version(place: Place) -> int:
    """When it was made, in nanoseconds. Raises StoreError where a later Headwater has made it; a new one gets our version."""
    try:
        about = json.loads(place.about.read_text())
    except FileNotFoundError:
        about = {"version": VERSION, "made": time.time_ns()}
        put(place.about, json.dumps(about))
    except (ValueError, OSError) as error:
        raise StoreError(f"{place.about} cannot be read ({error}): restore it, or move the store away") from None
    found, made = (about.get("version"), about.get("made")) if isinstance(about, dict) else (None, None)
    if not isinstance(found, int) or found > VERSION:
        raise StoreError(
            f"the store {place.folder} is of a newer Headwater (version {found}, this one knows {VERSION}): upgrade, or give another path"
        )
    return int(made or 0)


def token_of(place: Place) -> str:
    """What who asks must know; made when it is first needed. Raises StoreError."""
    try:
        with contextlib.suppress(FileNotFoundError):
            if token := place.token.read_text().strip():  # an empty one would let everybody in
                return token
        token = secrets.token_urlsafe(24)
        new = place.token.with_suffix(".new")
        write_whole(new, f"{token}\n".encode())
        new.rename(place.token)
        sync_names(place.folder)
        return token
    except OSError as error:
        raise StoreError(f"the store {place.folder}: {explain(error)}") from None
