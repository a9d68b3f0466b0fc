"""Zeek's logs as it writes them with LogAscii::use_json=T: an object a row, whose keys are the fields' names; unset ones are left out.

Numbers are bare, times and intervals too: seconds, as doubles. JSON Lines (jsonl.py) are ours instead: all columns, times in RFC 3339.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.files import Octets, Text
from headwater.outputs.sinks.jsonl import QUOTE, escape, objects, together
from headwater.outputs.text import distinct, literal, numbers, octets
from headwater.outputs.zeek_logs import FIXED, LOGS, Field, fields
from headwater.records import Batch, Record
from headwater.records.schema import Kind

_BARE = {"time", "interval", "count", "int", "port", "bool"}
_LIST_END, _WHOLE = literal('"]'), literal(".0")


class ZeekJson(Text):
    """As JSON Lines, readable at any time. It has neither header nor end."""

    name: ClassVar[str] = "zeek-json"
    suffix: ClassVar[str] = "log"
    records: ClassVar[frozenset[str] | None] = frozenset(LOGS)

    def __init__(self, record: Record, extra: bool = False, /) -> None:
        there = [field for field in fields(record, extra) if field.column or field.name in FIXED]
        keys = [f"{',' if place else '{'}{json.dumps(field.name)}:" for place, field in enumerate(there)]
        self._fields = list(zip(there, keys, strict=True))

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """The rows as lines."""
        return [octets(objects(self._cells(batch))) for batch in batches]

    def _cells(self, batch: Batch) -> Iterator[tuple[object, list[Any]]]:
        arrow = batch.to_arrow()
        for field, key in self._fields:
            if field.column is None:
                yield 0, [literal(key + json.dumps(FIXED[field.name]))]
            else:
                values = field.values(arrow)
                yield together(field.beside or field.column, values), _parts(field, key, values)


def _parts(field: Field, key: str, values: pa.Array) -> list[Any]:
    before = literal(key if field.type in _BARE else f'{key}"')
    match field.type:
        case "time" | "interval":
            return [before, doubles(values)]
        case "count" | "int" | "port":
            return numbers(values, before)
        case "bool":
            return [pc.if_else(values, literal(f"{key}true"), literal(f"{key}false"))]
        case "set[string]":
            return [literal(f'{key}["'), distinct(values, _list), _LIST_END]
    return [before, distinct(values, escape) if field.column and field.column.kind in {Kind.TEXT, Kind.INTERFACE} else values, QUOTE]


def _list(words: pa.Array) -> pa.Array:
    """What has commas between them, between quotes each."""
    return pc.replace_substring(escape(words), ",", '","')


def doubles(values: pa.Array) -> pa.Array:
    """Microseconds as seconds: the shortest text that is read as that double; null where null."""
    there = pc.divide(values.cast(pa.float64()), 1e6)
    text = there.cast(pa.string())
    whole = pc.equal(there, pc.floor(there))
    return pc.if_else(whole, pc.binary_join_element_wise(text, _WHOLE, ""), text) if pc.any(whole).as_py() else text
