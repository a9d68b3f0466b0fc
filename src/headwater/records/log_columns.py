"""The columns of stored tables: what Zeek's types are in Arrow, so that a log comes into the store and goes out again equal.

A field's metadata says its kind; a list's says `set` or `vector`, and in `of` the kind of its elements; `type` is what Zeek calls that.
A table's schema says in `path` what Zeek calls the log, and in `system` whose it is. Null is unset; an empty set or text is itself.
"""

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

TEXT = pa.string()
ARROW: dict[str, pa.DataType] = {
    "address": pa.binary(16),  # IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2)
    "subnet": TEXT,
    "time": pa.timestamp("ns", "UTC"),
    "interval": pa.float64(),  # seconds: Zeek's own have more digits than nanoseconds would keep
    "port": pa.uint16(),
    "count": pa.uint64(),
    "int": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "string": TEXT,
    "enum": TEXT,
    "pattern": TEXT,
    "func": TEXT,
    "other": TEXT,
}
"""By kind, how a column is stored."""

WORDS = frozenset(kind for kind, arrow in ARROW.items() if arrow is TEXT)
"""The kinds that are text."""

LISTS = frozenset({"set", "vector"})
_SPELLED = {"address": "addr", "other": "string"}  # what Zeek calls these kinds; the others are its own words
_LIST = re.compile(r"(set|vector)\[(\w+)\]")


def field(name: str, of: str) -> pa.Field:
    """The column of a field whose type Zeek writes as `of`: count, addr, set[string]. A type that is none of Zeek's is `other`: text."""
    if found := _LIST.fullmatch(of):
        kind, element = found[1], kind_of(found[2])
        said = f"{kind}[{_SPELLED.get(element, element)}]"
        metadata = {b"kind": kind.encode(), b"of": element.encode(), b"type": said.encode()}
        return pa.field(name, pa.list_(ARROW[element]), metadata=metadata)
    kind = kind_of(of)
    return pa.field(name, ARROW[kind], metadata={b"kind": kind.encode(), b"type": _SPELLED.get(kind, kind).encode()})


def kind_of(of: str) -> str:
    """The kind that Zeek's type `of`, which is no list, is stored as."""
    return "address" if of == "addr" else of if of in ARROW else "other"


def is_known(of: str) -> bool:
    """Whether `of` is one of Zeek's types that a log can have."""
    found = _LIST.fullmatch(of)
    of = found[2] if found else of
    return of == "addr" or (of in ARROW and of not in {"address", "other"})


def kinds(column: pa.Field) -> tuple[str, str]:
    """(kind, kind of the elements or nothing) of a column; where its metadata was lost, what its type suggests."""
    metadata: Mapping[bytes, bytes] = column.metadata or {}
    kind, element = metadata.get(b"kind", b"").decode(), metadata.get(b"of", b"").decode()
    if kind in ARROW:
        return kind, ""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return kind if kind in LISTS else "vector", element if element in ARROW else _suggested(column.type.value_type)
    return _suggested(column.type), ""


def _suggested(of: pa.DataType) -> str:
    if pa.types.is_timestamp(of):
        return "time"
    return next((kind for kind in ("address", "bool", "count", "int", "double", "port") if of == ARROW[kind]), "string")


def zeek_type(column: pa.Field) -> str:
    """What Zeek's #types line calls the column."""
    kind, element = kinds(column)
    return f"{kind}[{_SPELLED.get(element, element)}]" if element else _SPELLED.get(kind, kind)


def schema(fields: Mapping[str, str], path: str, system: str) -> pa.Schema:
    """The columns of a table whose fields have these types, in this order."""
    metadata: Any = {b"path": path.encode(), b"system": system.encode()}
    return pa.schema([field(name, of) for name, of in fields.items()], metadata=metadata)
