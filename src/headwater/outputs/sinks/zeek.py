"""Zeek's logs as its ASCII writer has them: tab-separated, with a header that names fields and types, and a last line that closes.

What reads Zeek's logs reads these: zeek-cut, RITA, Zui. What is escaped, and how, is Zeek's rule (its src/Desc.cc); what else is harmful
to a terminal is escaped too, and comes out the same for whoever unescapes. No row begins with "#", as its first field is a time.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.files import Octets, Text
from headwater.outputs.text import ANY_HARMFUL, HARMFUL, distinct, joined, literal, numbers, octets
from headwater.outputs.zeek_logs import FIXED, LOGS, Field, fields
from headwater.records import Batch, Record
from headwater.records.schema import Kind

UNSET, EMPTY = "-", "(empty)"
END, TRUE, FALSE = literal("\n"), literal("T"), literal("F")
_SPECIAL = f"[\\\\{ANY_HARMFUL}]"
_MILLIS, _MICROS = pa.array([f".{number:03d}" for number in range(1000)]), pa.array([f"{number:03d}" for number in range(1000)])


class Zeek(Text):
    """As JSON Lines, readable at any time; Zeek's own readers do not miss a closing line that a crash left out."""

    name: ClassVar[str] = "zeek"
    suffix: ClassVar[str] = "log"
    records: ClassVar[frozenset[str] | None] = frozenset(LOGS)

    def __init__(self, record: Record, extra: bool = False, /) -> None:
        self._path = record.name
        self._fields = fields(record, extra)

    def head(self) -> Octets:
        """What tells a reader all about the lines behind it."""
        return header(self._path, {field.name: field.type for field in self._fields})

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """The rows as lines."""
        return [octets(self._lines(batch)) for batch in batches]

    def end(self) -> Octets:
        """When the file was closed."""
        return closing()

    def end_room(self) -> int:
        """It is always as long."""
        return len(self.end())

    def _lines(self, batch: Batch) -> pa.Array:
        arrow = batch.to_arrow()
        cells = [_cell(field, arrow) for field in self._fields]
        return joined([pc.binary_join_element_wise(*cells, "\t", null_handling="replace", null_replacement=UNSET), END])


def header(path: str, fields: Mapping[str, str]) -> bytes:
    """The lines that tell a reader all about those behind them: `fields` are names and Zeek's types."""
    lines = [
        r"#separator \x09",
        "#set_separator\t,",
        f"#empty_field\t{EMPTY}",
        f"#unset_field\t{UNSET}",
        f"#path\t{path}",
        f"#open\t{_now()}",
        "\t".join(["#fields", *fields]),
        "\t".join(["#types", *fields.values()]),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def closing() -> bytes:
    """The last line."""
    return f"#close\t{_now()}\n".encode()


def _now() -> str:
    return time.strftime("%Y-%m-%d-%H-%M-%S")  # the local time, as Zeek's


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


def seconds(values: pa.Array) -> pa.Array:
    """Microseconds as seconds with six decimals; null where null."""
    micros = np.asarray(values.fill_null(0))
    whole = micros // 1_000_000
    micros = micros - whole * 1_000_000
    millis = micros // 1000
    micros -= millis * 1000
    there = pc.if_else(values.is_valid(), pa.array(whole), None) if values.null_count else pa.array(whole)
    return joined([there.cast(pa.string()), _MILLIS.take(pa.array(millis)), _MICROS.take(pa.array(micros))], "emit_null")


def escape(words: pa.Array) -> pa.Array:
    """Text as a field. What would be read as unset or as empty has its first octet escaped."""
    if pc.any(pc.match_substring_regex(words, _SPECIAL)).as_py():
        words = pc.replace_substring(words, "\\", "\\\\")
        for code in HARMFUL:
            words = pc.replace_substring(words, chr(code), "".join(f"\\x{octet:02x}" for octet in chr(code).encode()))
    for reserved in (UNSET, EMPTY):
        words = pc.if_else(pc.equal(words, reserved), f"\\x{ord(reserved[0]):02x}{reserved[1:]}", words)
    return pc.if_else(pc.equal(words, ""), EMPTY, words)
