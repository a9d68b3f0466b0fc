"""CSV with a header: RFC 4180's quoting, lines that end in LF, empty for absent, times in RFC 3339 with nanoseconds, lists as in JSON.

Text that a stranger chose and that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, CSV injection).
"""

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.files import Octets, Text
from headwater.outputs.sinks.jsonl import array
from headwater.outputs.text import distinct, joined, literal, numbers, octets, times
from headwater.records import Batch, Record
from headwater.records.schema import Column, Kind

_COMMA, _NEWLINE, _QUOTE, _FLAGS = literal(","), literal("\n"), literal('"'), (literal("true"), literal("false"))


class Csv(Text):
    """As JSON Lines, readable at any time."""

    name: ClassVar[str] = "csv"
    suffix: ClassVar[str] = "csv"

    def __init__(self, record: Record, _extra: bool = False, /) -> None:
        self._record = record

    def head(self) -> Octets:
        """The columns' names."""
        return (",".join(column.name for column in self._record.columns) + "\n").encode()

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """The rows as lines."""
        return [octets(_lines(batch)) for batch in batches]


def _lines(batch: Batch) -> pa.Array:
    cells = [_cells(column, values) for column, values in zip(batch.record.columns, batch.to_arrow().columns, strict=True)]
    return joined([pc.binary_join_element_wise(*cells, _COMMA, null_handling="replace", null_replacement=""), _NEWLINE])


def _cells(column: Column, values: pa.Array) -> pa.Array:
    match column.kind:
        case Kind.TIME:
            return times(values)
        case Kind.NUMBER | Kind.INTERVAL:
            return numbers(values)[-1]
        case Kind.FLAG:
            return pc.if_else(values, *_FLAGS)
        case Kind.TEXT | Kind.INTERFACE:
            return distinct(values, quote)
        case Kind.LIST:
            return distinct(array(values), quote)
    return values


def quote(words: pa.Array) -> pa.Array:
    """Text as a cell."""
    words = pc.replace_substring_regex(words, r"^([=+\-@\t\r])", r"'\1", max_replacements=1)
    quoted = joined([_QUOTE, pc.replace_substring(words, '"', '""'), _QUOTE])
    return pc.if_else(pc.match_substring_regex(words, '[",\r\n]'), quoted, words)
