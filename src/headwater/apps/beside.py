"""The store's process beside a run that keeps rows."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

import msgspec

from headwater.apps.amounts import many
from headwater.config import Settings
from headwater.errors import StoreError
from headwater.kernel.confine import account
from headwater.store.settings import Place
from headwater.store.starting import BEGIN_S, answers, held, start
from headwater.telemetry import Entry, Ledger


def made(place: Place, user: str | None) -> None:
    """The folder of a store, of the account that its process becomes. Raises HeadwaterError."""
    become = account(user) if user != "root" else None
    try:
        place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.spool.mkdir(mode=0o700, exist_ok=True)
        if become and place.folder.stat().st_uid != become.pw_uid:
            for path in [place.folder, *place.folder.rglob("*")]:
                os.chown(path, become.pw_uid, become.pw_gid, follow_symlinks=False)
    except OSError as error:
        raise StoreError(f"the store {place.folder}: {error.strerror}; give another path, or use sudo") from None


def must_be_kept(ledger: Ledger) -> None:
    """Raises StoreError where rows did not reach the store."""
    dropped = Entry("records", "store", "dropped")
    lost = sum(count for entry, count in ledger.totals().items() if replace(entry, place="", reason="") == dropped)
    if lost:
        raise StoreError(f"{many(lost, 'row')} did not reach the store: what is above says why; take them once more")


class Beside:
    """The store's process beside a run, if that keeps rows; it outlives the run only to take what waits, for `patience_s` at least."""

    def __init__(self, settings: Settings, patience_s: float) -> None:
        self._settings = settings
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._said: threading.Thread | None = None

    def __enter__(self) -> None:
        """Start it, unless another has that store: that one takes what we keep. Raises HeadwaterError."""
        if self._settings.store is None:
            return
        place, user = self._settings.store.place(), self._settings.user
        made(place, user)
        if not held(place):
            told = msgspec.json.encode(self._settings.store).decode()
            self._process = start(place, "--settings", told, *(["--user", user] if user else []))

    def begin(self, report: Callable[[str], None]) -> None:
        """Hear what it says, in a thread."""
        if self._process:
            self._said = threading.Thread(target=self._hear, args=(report,), name="store", daemon=True)
            self._said.start()

    def ready(self) -> None:
        """Wait until it answers. Raises StoreError where it has ended instead, which it has told."""
        deadline = time.monotonic() + BEGIN_S
        while self._settings.store and not answers(self._settings.store.place()):
            if (self._process and self._process.poll() is not None) or time.monotonic() > deadline:
                raise StoreError("the store's process does not answer: see above, or its engine.log")
            time.sleep(0.02)

    def patience_s(self) -> float:
        """How long it is worth waiting for it to take what it has been given."""
        return self._patience_s if self._process is None or self._process.poll() is None else 0.0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let it take what waits, and end."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
        if self._said:
            self._said.join()

    def _hear(self, report: Callable[[str], None]) -> None:
        assert self._process and self._process.stderr  # noqa: S101 - start() gives it one
        for line in self._process.stderr:
            report(line.decode(errors="replace").strip().removeprefix("headwater: "))
