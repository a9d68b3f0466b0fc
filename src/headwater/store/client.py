"""Asking a store: the embedded one of this machine over its socket, or any ClickHouse by URL. One protocol for both."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from headwater.errors import StoreError
from headwater.filters.sql import literal
from headwater.store.server import connected
from headwater.store.settings import DATABASE, Place, StoreSettings, Url
from headwater.store.starting import answers, begin

_SHOWN = "default_kind != 'MATERIALIZED'"  # what `*` shows
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})  # a parameter is read as a TSV cell
_TIMEOUT = httpx2.Timeout(10.0, read=None)
_AS_HERE = {"join_use_nulls": "1", "distributed_product_mode": "global"}
"""What makes a server's answers those of the embedded engine, which has this anyway (engine.py): a join that finds nothing gives NULL, and
one of two tables of a cluster all of its rows.
"""


class Client:
    """Asks the store in the folder of `place`, which is started for as long as we ask if nobody has it (`begin_with`
    are its options); or the ClickHouse at `url`."""

    def __init__(
        self, place: Place | None, url: Url | None = None, password: str = "", *, ca_file: str | None = None, begin_with: Sequence[str] = ()
    ) -> None:
        self.place = place
        self.name = url.base if url else str(place and place.folder)
        self._begin_with = begin_with
        self._url = url
        self._password = password
        self._ca_file = ca_file
        self._http: httpx2.Client
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, settings: StoreSettings, user: str | None) -> "Client":
        """Of the store that these name; one that is started for us is of that `user`, and nobody else can ask it. Raises StoreError."""
        if settings.url is None:
            told = msgspec.json.encode(msgspec.structs.replace(settings, listen="")).decode()
            return cls(settings.place(), begin_with=("--settings", told, *(("--user", user) if user else ())))
        return cls(None, Url.of(settings.url), settings.password(os.environ), ca_file=settings.ca_file)

    def open(self) -> None:
        """Raises StoreError."""
        if self._url:
            self._http = connected(self._url, self._password, self._ca_file, _TIMEOUT, **{"X-ClickHouse-Database": DATABASE})
        elif self.place:
            if not self.place.folder.is_dir():
                raise StoreError(
                    f"there is no store in {self.place.folder}: `headwater run --store` or `headwater read FILE --store` makes one"
                )
            if not answers(self.place):
                self._process = begin(self.place, *self._begin_with)
            try:
                token = self._password or self.place.token.read_text().strip()
            except OSError as error:
                raise StoreError(f"{self.place.token}: {error.strerror}; use sudo, if the store is root's") from None
            self._http = httpx2.Client(
                base_url="http://store",
                transport=httpx2.HTTPTransport(uds=str(self.place.socket)),
                timeout=_TIMEOUT,
                headers={"X-ClickHouse-Key": token, "X-ClickHouse-Database": DATABASE},
                trust_env=False,
            )

    def ask(
        self, sql: str, form: str = "ArrowStream", parameters: Mapping[str, str] | None = None, *, however_long: bool = False
    ) -> Iterator[bytes]:
        """The answer in pieces, in a format of ClickHouse's; `however_long` it takes, unless a server limits it.

        Raises StoreError.
        """
        given = {f"param_{name}": value.translate(_ESCAPED) for name, value in (parameters or {}).items()} | {"default_format": form}
        if self._url:
            given |= _AS_HERE
        elif however_long:
            given["max_execution_time"] = "0"
        try:
            with self._http.stream("POST", "/", params=given, content=sql.encode()) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise StoreError(_said(answer.text))
                yield from answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise StoreError(
                f"the store did not answer to the end ({type(error).__name__}: {error}): see its log, or ask for less"
            ) from None

    def table(self, sql: str, parameters: Mapping[str, str] | None = None) -> Any:
        """The answer as a pyarrow.Table. Raises StoreError."""
        import pyarrow as pa  # noqa: PLC0415 - 0.1 s, which other formats need not

        octets = b"".join(self.ask(sql, "ArrowStream", parameters))
        return pa.ipc.open_stream(octets).read_all() if octets else pa.table({})

    def batches(self, sql: str) -> Iterator[Any]:
        """The answer as pyarrow.RecordBatches, as they come, however long it takes. Raises StoreError."""
        import pyarrow as pa  # noqa: PLC0415 - as above

        pieces = self.ask(sql, "ArrowStream", however_long=True)
        first = next(pieces, b"")
        if first:  # nothing at all has no columns either
            yield from pa.ipc.open_stream(_File(itertools.chain([first], pieces)))

    def tables(self) -> dict[str, list[str]]:
        """The columns of each table. Raises StoreError."""
        found: dict[str, list[str]] = {}
        asked = f"SELECT table, name FROM system.columns WHERE database = '{DATABASE}' AND {_SHOWN} ORDER BY table, position"
        for table, column in self.rows(asked, 2):
            found.setdefault(table, []).append(column)
        return found

    def logged(self, table: str) -> dict[str, str]:
        """The columns of a table, each with the type that an imported log said it has, or nothing. Raises StoreError."""
        which = f"database = '{DATABASE}' AND table = {literal(table)} AND {_SHOWN}"
        return {row[0]: row[1] for row in self.rows(f"SELECT name, comment FROM system.columns WHERE {which} ORDER BY position", 2)}

    def columns(self, table: str) -> dict[str, str]:
        """The types of a table's columns. Raises StoreError."""
        return {name: kind for name, kind, how in self.rows(f"DESCRIBE TABLE `{table}`", 3) if how != "MATERIALIZED"}

    def rows(self, sql: str, columns: int) -> list[list[str]]:
        """The first columns of a short answer, as text. Raises StoreError."""
        lines = b"".join(self.ask(sql, "TabSeparatedRaw")).decode(errors="replace").splitlines()
        return [line.split("\t")[:columns] for line in lines]

    def compact(self) -> Iterator[str]:
        """Have all parts merged; a line of each table and day as it is done. Raises StoreError."""
        try:
            with self._http.stream("POST", "/compact") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise StoreError(_said(answer.text))
                yield from answer.iter_lines()
        except httpx2.HTTPError as error:
            raise StoreError(f"the store did not compact to the end ({type(error).__name__}: {error}): see its log") from None

    def close(self) -> None:
        """End what open() has started."""
        with contextlib.suppress(AttributeError):
            self._http.close()
        if self._process:
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _File:
    """Octets that come in pieces, as a file."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = bytearray()

    def read(self, size: int = -1) -> bytes:
        """At most that many, fewer at the end."""
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        size = len(self._rest) if size < 0 else size
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    def close(self) -> None:
        """Nothing to give back."""


def _said(text: str) -> str:
    """ClickHouse's words, without what is of no use to who asked."""
    line = text.strip().splitlines()[0] if text.strip() else "the store gives no reason"
    return line.partition("DB::Exception: ")[2].removeprefix("default: ") or line
