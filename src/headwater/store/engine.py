"""The embedded engine, chDB: one per process and per folder. What writes goes through one connection, what asks through another each.

Not for a process that forks (chdb#355), and one that has had it ends with os._exit: its threads cannot be stopped (chdb-core#177).
"""

import io
import re
import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from headwater.errors import StoreError
from headwater.store.settings import DATABASE
from headwater.store.starting import of_the_extra

IN_PIECES = frozenset(
    "tabseparated tsv tabseparatedraw tsvraw csv jsoneachrow jsonlines ndjson jsoncompacteachrow native rowbinary arrowstream".split()
)
"""Formats without a head or an end, in small letters, or whose pieces we join. An answer in another one is made whole, within the limit of
reading()."""
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.S)
_FATAL = [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS]
_WRITER = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "insert_deduplicate": 0,
    "insert_allow_materialized_columns": 1,  # of the community ids that are kept
    "enable_alp_codec": 1,
    "join_use_nulls": 1,
}


class EngineError(StoreError):
    """What the engine says: `code` is ClickHouse's own (src/Common/ErrorCodes.cpp), 0 where it gave none."""

    def __init__(self, error: Exception | str) -> None:
        text = str(error).removeprefix("Streaming query failed: ")
        found = _CODE.search(text)
        self.code = int(found[1]) if found else 0
        self.text = text
        super().__init__((found[2] if found else text).splitlines()[0][:500] if text else type(error).__name__)


class Connection:
    """One way to the engine, with settings of its own; for one thread at a time."""

    def __init__(self, session: Any, settings: Mapping[str, object]) -> None:
        self._session = session
        self.spoilt = False  # an answer was not read to its end: what was left of it would be the next one's beginning
        self.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        self.run(f"USE {DATABASE}")
        for name, value in settings.items():
            self.run(f"SET {name} = {value}")

    def run(self, sql: str, form: str = "TabSeparated") -> bytes:
        """All of the answer. Raises EngineError."""
        try:
            return bytes(self._session.query(sql, form).bytes())
        except RuntimeError as error:
            raise EngineError(error) from None

    def rows(self, sql: str) -> list[list[str]]:
        """The answer's rows, as text."""
        return [line.split("\t") for line in self.run(sql).decode().splitlines()]

    def value(self, sql: str) -> int:
        """The answer, where it is one whole number."""
        return int(self.run(sql).strip() or 0)

    def stream(self, sql: str, form: str, parameters: Mapping[str, str], *, in_pieces: bool) -> Generator[bytes, None, None]:
        """The answer; `in_pieces`, which is for a SELECT in one of IN_PIECES, so that nobody need have it whole. Raises EngineError."""
        if in_pieces and form.lower() == "arrowstream":
            yield from _one_stream(self._pieces(sql, form, parameters))
        elif in_pieces:
            yield from self._pieces(sql, form, parameters)
        else:
            try:
                yield bytes(self._session.query(sql, form, params=dict(parameters) or None).bytes())
            except (RuntimeError, ValueError, TypeError) as error:
                raise EngineError(error) from None

    def _pieces(self, sql: str, form: str, parameters: Mapping[str, str]) -> Generator[bytes, None, None]:
        """Each is whole in its format: what has a head or an end has one in each."""
        try:
            found = self._session.send_query(sql, form, params=dict(parameters) or None)
        except (RuntimeError, ValueError, TypeError) as error:
            raise EngineError(error) from None
        done = False
        try:
            for piece in found:
                yield bytes(piece.bytes())
            done = True
        except RuntimeError as error:
            done = self.spoilt = True
            raise EngineError(error) from None
        finally:
            self.spoilt = self.spoilt or not done
            if not done:
                found.cancel()

    def close(self) -> None:
        """Give it back."""
        self._session.close()


def _one_stream(pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Arrow streams with one schema as one."""
    with closing(pieces):
        sink, writer = _Taken(), None
        for piece in pieces:
            reader = pa.ipc.open_stream(piece)
            writer = writer or pa.ipc.new_stream(sink, reader.schema)
            for batch in reader:
                writer.write_batch(batch)
            yield sink.take()
        if writer:
            writer.close()
            yield sink.take()


class _Taken(io.RawIOBase):
    """A file of which what was written is taken at once."""

    def __init__(self) -> None:
        super().__init__()
        self._octets = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, octets: Any) -> int:
        self._octets += octets
        return len(octets)

    def take(self) -> bytes:
        taken, self._octets = bytes(self._octets), bytearray()
        return taken


class Engine:
    """The engine with its files in `folder`, and at most `memory` octets for all that it does."""

    def __init__(self, folder: Path, memory: int) -> None:
        self._folder = folder
        self._memory = memory
        self._lock = threading.Lock()
        self.writer: Connection

    def open(self) -> None:
        """Open it, and the connection that writes; in the main thread. Raises StoreError."""
        load()
        self.writer = self.connect(_WRITER)
        _die_at_once()  # the first of them sets those handlers again

    def connect(self, settings: Mapping[str, object]) -> Connection:
        """One more. Raises StoreError."""
        from chdb.session import Session  # noqa: PLC0415 - as above

        make: Any = Session  # it has no types

        caches = "&".join(
            f"{name}={self._memory // 16}" for name in ("mark_cache_size", "primary_index_cache_size", "index_mark_cache_size")
        )
        with self._lock:
            try:
                session = make(f"{self._folder}?max_server_memory_usage={self._memory}&{caches}")
            except (RuntimeError, ValueError) as error:
                raise EngineError(error) from None
        return Connection(session, settings)


def load() -> None:
    """Load the engine's library, which nothing else does. Raises StoreError where it is not installed."""
    with of_the_extra():
        import chdb.session  # noqa: F401, PLC0415 - a second, and of an extra
    _die_at_once()


def _die_at_once() -> None:
    """The library has handlers for these, which wait up to five minutes until one of its threads has written of it. It has none that does,
    and the process would answer nobody.
    """
    for number in _FATAL:
        signal.signal(number, signal.SIG_DFL)


def reading(memory: int, time_s: float) -> dict[str, object]:
    """The settings of a connection that asks: `memory` octets and `time_s` seconds for one question."""
    return {
        "asterisk_include_alias_columns": 1,  # community ids are columns as others are
        "join_use_nulls": 1,  # else LEFT JOIN ... IS NULL finds nothing, and does not say so
        "max_memory_usage": memory,
        "max_bytes_before_external_group_by": memory // 4,
        "max_bytes_before_external_sort": memory // 4,
        "max_bytes_before_external_distinct": memory // 4,
        **{f"max_bytes_ratio_before_external_{what}": 0 for what in ("group_by", "sort", "distinct")},  # of all that the process may have
        "max_execution_time": time_s,
        "timeout_overflow_mode": "'throw'",
        "max_result_bytes": memory // 4,
        "result_overflow_mode": "'throw'",
        "readonly": 2,  # last: nothing else can be set after it but in a question, which the wall reads
    }
