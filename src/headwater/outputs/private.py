"""What messages say that nobody needs to keep: query strings, user names and passwords are left out of rows on their way to who keeps
them, unless the settings say otherwise. Cookies, authorization and bodies are no columns of any record.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from headwater.records import Batch

_SECRET: Final[Mapping[str, tuple[str, ...]]] = {"http": ("username", "password"), "ftp": ("password",)}
_URIS: Final[Mapping[str, tuple[str, ...]]] = {"http": ("uri", "referrer"), "websocket": ("uri",)}
_USER: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")  # RFC 3986, 3.2.1: what is asked of a proxy may have it
HIDDEN: Final = "?..."
"""Stands where a query string was."""


def private(*, queries: bool, credentials: bool) -> Callable[[Batch], Batch]:
    """What makes of a batch one without query strings, unless `queries` are kept, and without names and passwords, unless `credentials`."""
    uris = {} if queries and credentials else _URIS
    secret = {} if credentials else _SECRET

    def kept(uri: str) -> str:
        said = uri if credentials or "@" not in uri else _USER.sub(r"\1", uri)
        return said if queries else _cut(said)

    def without(batch: Batch) -> Batch:
        name = batch.record.name
        there = batch.rows.dtype.names or ()
        changes: list[tuple[str, Callable[[str], str | None]]] = [(column, kept) for column in uris.get(name, ()) if column in there]
        changes += [(column, _nothing) for column in secret.get(name, ()) if column in there]
        changed = {column: values for column, change in changes if (values := _changed(batch.rows[column], change)) is not None}
        if not changed:
            return batch
        rows = batch.rows.copy()  # other outputs have the same
        for column, values in changed.items():
            rows[column] = values
        return Batch(batch.record, rows, batch.interfaces)

    return without


def _changed(values: np.ndarray[Any, Any], change: Callable[[str], str | None]) -> list[str | None] | None:
    """None where there is nothing to change."""
    before: list[str | None] = values.tolist()
    after = [None if value is None else change(value) for value in before]
    return after if after != before else None


def _cut(uri: str) -> str:
    before, mark, _ = uri.partition("?")
    return before + HIDDEN if mark else uri


def _nothing(_: str) -> None:
    return None
