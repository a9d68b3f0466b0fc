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
from headwater.outputs.zeek_logs import FIXED, LOGS, Field, fields, logged
from headwater.outputs.zeek_tables import ZeekJsonTable, messages
from headwater.outputs.zeek_text import doubles
from headwater.records import Batch, Record
from headwater.records.schema import Kind
from headwater.records.zeek_types import ALWAYS

_BARE = {"time", "interval", "count", "int", "port", "bool"}
_LIST_END = literal('"]')


class ZeekJson(Text):
    """As JSON Lines, readable at any time. It has neither header nor end."""

    name: ClassVar[str] = "zeek-json"
    suffix: ClassVar[str] = "log"
    records: ClassVar[frozenset[str] | None] = frozenset(LOGS) | frozenset(ALWAYS)

    def __init__(self, record: Record, extra: bool = False, /) -> None:
        self._messages = messages(record, ZeekJsonTable, extra=extra)
        there = [] if self._messages else [field for field in fields(record, extra) if field.column or field.name in FIXED]
        keys = [f"{',' if place else '{'}{json.dumps(field.name)}:" for place, field in enumerate(there)]
        self._fields = list(zip(there, keys, strict=True))

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """The rows as lines."""
        if self._messages:
            return [self._messages.rows(batch) for batch in batches]
        return [octets(objects(self._cells(batch))) for batch in batches]

    def _cells(self, batch: Batch) -> Iterator[tuple[object, list[Any]]]:
        arrow = logged(batch.record, batch.to_arrow())
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
