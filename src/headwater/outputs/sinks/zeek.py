"""Zeek's logs as its ASCII writer has them: tab-separated, with a header that names fields and types, and a last line that closes.

What reads Zeek's logs reads these: zeek-cut, RITA, Zui. What is escaped, and how, is Zeek's rule (its src/Desc.cc); what else is harmful
to a terminal is escaped too, and comes out the same for whoever unescapes. No row begins with "#", as its first field is a time.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.files import Octets, Text
from headwater.outputs.text import distinct, joined, literal, numbers, octets
from headwater.outputs.zeek_logs import FIXED, LOGS, Field, fields, logged
from headwater.outputs.zeek_tables import ZeekTable, messages
from headwater.outputs.zeek_text import END, FALSE, TRUE, UNSET, closing, escape, header, seconds
from headwater.records import Batch, Record
from headwater.records.schema import Kind
from headwater.records.zeek_types import ALWAYS


class Zeek(Text):
    """As JSON Lines, readable at any time; Zeek's own readers do not miss a closing line that a crash left out."""

    name: ClassVar[str] = "zeek"
    suffix: ClassVar[str] = "log"
    records: ClassVar[frozenset[str] | None] = frozenset(LOGS) | frozenset(ALWAYS)

    def __init__(self, record: Record, extra: bool = False, /) -> None:
        self._path = record.name
        self._messages = messages(record, ZeekTable, extra=extra)
        self._fields = [] if self._messages else fields(record, extra)

    def head(self) -> Octets:
        """What tells a reader all about the lines behind it."""
        if self._messages:
            return self._messages.table.head()
        return header(self._path, {field.name: field.type for field in self._fields})

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """The rows as lines."""
        if self._messages:
            return [self._messages.rows(batch) for batch in batches]
        return [octets(self._lines(batch)) for batch in batches]

    def end(self) -> Octets:
        """When the file was closed."""
        return closing()

    def end_room(self) -> int:
        """It is always as long."""
        return len(self.end())

    def _lines(self, batch: Batch) -> pa.Array:
        arrow = logged(batch.record, batch.to_arrow())
        cells = [_cell(field, arrow) for field in self._fields]
        return joined([pc.binary_join_element_wise(*cells, "\t", null_handling="replace", null_replacement=UNSET), END])


def _cell(field: Field, arrow: pa.RecordBatch) -> Any:
    if field.column is None:
        fixed = FIXED.get(field.name, UNSET)
        return literal(fixed) if isinstance(fixed, str) else (TRUE if fixed else FALSE)
    values = field.values(arrow)
    match field.type:
        case "time" | "interval":
            return seconds(values)
        case "count" | "int" | "port":
            return numbers(values)[-1]
        case "bool":
            return pc.if_else(values, TRUE, FALSE)
    return distinct(values, escape) if field.column.kind in {Kind.TEXT, Kind.INTERFACE} else values
