"""headwater.open(): a store in Python (docs/python.md)."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from headwater.errors import StoreError
from headwater.records.stored import as_text
from headwater.store.client import Client
from headwater.store.settings import Place, StoreSettings, Url

if TYPE_CHECKING:
    import pyarrow as pa


class Store:
    """A store that can be asked, in ClickHouse's SQL: its folder, or the URL of a ClickHouse server, for instance
    https://user:password@host:8443. Without either, this user's own.

    A context manager; without `with`, close() is to be called. Where no process has the store of a folder, one is started for as long.
    Raises StoreError.
    """

    def __init__(self, at: str | Path | None = None) -> None:
        if str(at or "").startswith(("http://", "https://")):
            try:
                url = Url.of(str(at))
            except ValueError as error:
                raise StoreError(str(error)) from None
            self._client = Client(None, url, url.password or StoreSettings().password(os.environ))
        else:
            place = Place(Path(at).absolute()) if at else StoreSettings().place()
            self._client = Client(place, begin_with=("--listen", ""))
        self._client.open()

    def tables(self) -> dict[str, list[str]]:
        """The columns of each table."""
        return self._client.tables()

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        """The answer as Arrow; addresses are text. `parameters` are values for {name:Type} in the text."""
        return as_text(self._client.table(sql, {name: str(value) for name, value in (parameters or {}).items()}))

    def pandas(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The same as a pandas.DataFrame whose columns are Arrow's. Needs pandas."""
        import pandas as pd  # noqa: PLC0415 - not among our dependencies

        return self.arrow(sql, parameters).to_pandas(types_mapper=pd.ArrowDtype)

    def polars(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The same as a polars.DataFrame. Needs polars."""
        import polars as pl  # noqa: PLC0415 - not among our dependencies

        return pl.from_arrow(self.arrow(sql, parameters))

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open(at: str | Path | None = None) -> Store:
    """A store, opened. Raises StoreError."""
    return Store(at)
