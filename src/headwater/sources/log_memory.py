"""Which logs were taken, and how far: so that no row is taken twice, whatever a log is called by then.

A log is known by its content: a digest of its first octets, and one of the last before the position up to which it was taken.
Device and inode only say which entry to try first. So a log that was renamed, packed, copied or moved is the same, and another in its
place is not.

Entries lie in a small SQLite database. Those that were changed become true together, with the name of what was made of their rows: commit()
is what Spool.write() calls when that is safe, and before anybody takes it.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headwater.errors import SinkError, SourceError

HEAD = 512  # octets that tell a log from others: Zeek's header has in its first 128 what is open since when
_HEAD_LEAST = 128
_VERSION = 1


@dataclass
class Entry:
    """A log, of which `position` octets and `line` lines were taken, as unpacked. `file` is its device and inode, none if those are
    another's by now; `stamp` its size and time when it had no more.
    """

    number: int | None = None
    file: str = ""
    stamp: str = ""
    log: str = ""
    head_octets: int = 0
    head: bytes = b""
    tail: bytes = b""
    position: int = 0
    line: int = 0
    format: str = ""
    reader: str = ""

    def begins(self, first: bytes) -> bool:
        """Whether a log that begins so can be this one."""
        return len(first) >= self.head_octets and digest(first[: self.head_octets]) == self.head

    def forget(self) -> None:
        """Nothing of it was taken."""
        self.stamp, self.head_octets, self.head, self.tail = "", 0, b"", b""
        self.position, self.line, self.format, self.reader = 0, 0, "", ""

    def reach(self, first: bytes, tail: bytes, position: int, line: int) -> None:
        """It was taken so far, and begins with `first`."""
        self.position, self.line, self.tail = position, line, digest(tail)
        if (octets := min(HEAD, len(first), position)) > self.head_octets:
            self.head_octets, self.head = octets, digest(first[:octets])


_BY_FILE = "SELECT * FROM log WHERE file = ?"
_BY_HEAD = "SELECT * FROM log WHERE head_octets = ? AND head = ?"
_KEEP = "INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TABLES = """
CREATE TABLE log (number INTEGER PRIMARY KEY, file TEXT, stamp TEXT, log TEXT, head_octets INTEGER, head BLOB, tail BLOB, position INTEGER,
                  line INTEGER, format TEXT, reader TEXT);
CREATE INDEX of_file ON log (file);
CREATE INDEX of_head ON log (head_octets, head);
CREATE TABLE made (writer TEXT, number INTEGER);
"""


class Memory:
    """The entries in the database `path`, which is made, and belongs to whoever has its folder. One process has it at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection

    def open(self) -> None:
        """Have it. Raises SourceError."""
        try:
            _lay(self._path)
            self._database = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                self._run(f"PRAGMA {setting}")
            self._begin()
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise SourceError(f"another process imports logs into {self._path.parent}: wait for its end, or end it") from None
            raise SourceError(f"{self._path}: {error}; move it away, and every log is taken as one that was never seen") from None

    def _begin(self) -> None:
        self._run("BEGIN IMMEDIATE")
        [(version,)] = self._run("PRAGMA user_version")
        if version > _VERSION:
            raise SourceError(f"{self._path} is of a newer Headwater: upgrade, or give another path")
        if version == 0:
            for statement in _TABLES.split(";"):
                self._run(statement)
            self._run(f"PRAGMA user_version = {_VERSION}")
            self._run("COMMIT")
            self._run("BEGIN IMMEDIATE")

    def made(self) -> tuple[str, int]:
        """What the last commit() was given; if there was none, what nobody has."""
        rows = self._run("SELECT writer, number FROM made")
        return (rows[0][0], rows[0][1]) if rows else ("", 0)

    def at(self, file: str) -> Entry | None:
        """The entry of what has this device and inode, or had when it was seen last."""
        rows = self._run(_BY_FILE, file)
        return Entry(*rows[0]) if rows else None

    def alike(self, first: bytes, whole: bool) -> Iterator[Entry]:
        """The entries of logs that begin with these octets, which are all there are if `whole`."""
        for (octets,) in self._run("SELECT DISTINCT head_octets FROM log ORDER BY head_octets DESC"):
            if octets <= len(first) and (octets >= _HEAD_LEAST or (whole and octets == len(first))):
                for row in self._run(_BY_HEAD, octets, digest(first[:octets])):
                    yield Entry(*row)

    def keep(self, entry: Entry) -> None:
        """Have this entry as it is now, when commit() comes. It gets its number."""
        entry.number = self._database.execute(_KEEP, astuple(entry)).lastrowid

    def commit(self, writer: str, number: int) -> None:
        """Let what was kept be true. Raises SinkError where there is no room now, SourceError where it is lost."""
        try:
            self._run("DELETE FROM made")
            self._run("INSERT INTO made VALUES (?, ?)", writer, number)
            self._run("COMMIT")
            self._run("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                raise SinkError(f"{self._path}: {error}", retryable=True) from error
            raise SourceError(f"{self._path}: {error}; import again: what was taken last comes then") from error

    def close(self) -> None:
        """What was not committed never was."""
        self._database.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, values).fetchall()


def _lay(path: Path) -> None:
    """Let there be a file, of whoever has its folder. As root we follow no link that they could have laid; nor does SQLite for what it
    makes beside the file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, path.parent.stat().st_uid, -1)
    finally:
        os.close(fd)


def digest(octets: bytes) -> bytes:
    """What stands for them."""
    return hashlib.sha256(octets).digest()[:16]
