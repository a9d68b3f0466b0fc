"""Records of messages: those that Zeek logs, with its fields and types, and further ones of ours behind them.

Their rows are made by Python, a tuple each: values are objects, None where they are absent, but for what names the flow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from headwater.records.schema import Column, Kind, Record
from headwater.records.zeek_types import ALWAYS, ANY

_KINDS = {
    "addr": Kind.ADDRESS,
    "bool": Kind.FLAG,
    "count": Kind.NUMBER,
    "double": Kind.NUMBER,
    "int": Kind.NUMBER,
    "interval": Kind.INTERVAL,
    "port": Kind.NUMBER,
    "time": Kind.TIME,
}
_OF_FLOWS: Mapping[str, tuple[str, Kind, str]] = {
    "ts": ("u8", Kind.TIME, "hw_ktime"),
    "uid": ("V12", Kind.UID, "hw_uid"),
    "id.orig_h": ("V16", Kind.ADDRESS, "hw_addr"),
    "id.orig_p": ("u2", Kind.NUMBER, "hw_port"),
    "id.resp_h": ("V16", Kind.ADDRESS, "hw_addr"),
    "id.resp_p": ("u2", Kind.NUMBER, "hw_port"),
}


def message(path: str, ours: Mapping[str, str] | None = None, *, of_flow: bool = True) -> Record:
    """The record of Zeek's log `path`: the fields that it always has, and `ours` behind them, by their names and Zeek's types. Of what Zeek
    has no log of, those of a flow come first, or the time alone.

    Times are integers (nanoseconds of UTC), intervals seconds, addresses 16 octets, text is str, and lists are lists of such.
    """
    fields = {**ALWAYS.get(path, ANY if of_flow else {"ts": "time"}), **(ours or {})}
    columns = tuple(_column(name, of) for name, of in fields.items())
    return Record(path, columns, np.dtype([(column.name, _OF_FLOWS.get(column.name, ("O",))[0]) for column in columns]))


def _column(name: str, of: str) -> Column:
    if name in _OF_FLOWS:
        _, kind, ctype = _OF_FLOWS[name]
        return Column(name, kind, ctype)
    kind = Kind.LIST if of.endswith("]") else _KINDS.get(of, Kind.TEXT)
    return Column(name, kind, of, zeek=of)


def rows(record: Record, made: list[tuple[Any, ...]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Tuples in the order of the record's columns as its rows."""
    return np.array(made, record.dtype)
