"""Stored tables as Zeek's logs, TSV and JSON: what came out of a log goes into one that is equal (records/log_columns.py has the types).

sinks/zeek.py and zeek_json.py write our own records; how a field is escaped, and the lines around rows, are theirs. One thing differs from
Zeek: an interval or time with more than six decimals keeps them in TSV.
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.sinks.jsonl import QUOTE, objects
from headwater.outputs.sinks.jsonl import escape as json_escape
from headwater.outputs.text import distinct, joined, lists, literal, octets
from headwater.outputs.zeek_text import EMPTY, END, FALSE, TRUE, UNSET, closing, doubles, header, seconds
from headwater.outputs.zeek_text import escape as tsv_escape
from headwater.records.address import unpacked
from headwater.records.batch import Batch
from headwater.records.log_columns import ARROW, TEXT, WORDS, kinds, zeek_type
from headwater.records.schema import Record
from headwater.records.stored import stored_schema, to_stored
from headwater.records.zeek_types import ALWAYS

_OCTETS = re.compile(r"((?:\\x[89a-f][0-9a-f])+)")
_NULL, _JSON_TRUE, _JSON_FALSE = literal("null"), literal("true"), literal("false")


class ZeekTable:
    """Tables of one schema as Zeek's ASCII writer has them."""

    suffix = "log"

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def head(self) -> bytes:
        """What stands before the rows."""
        path = (self._schema.metadata or {}).get(b"path", b"log").decode()
        return header(path, {column.name: zeek_type(column) for column in self._schema})

    def rows(self, table: pa.RecordBatch) -> memoryview:
        """The rows as lines."""
        cells = [_cell(values, column) for values, column in zip(table.columns, table.schema, strict=True)]
        return octets(joined([pc.binary_join_element_wise(*cells, "\t", null_handling="replace", null_replacement=UNSET), END]))

    def end(self) -> bytes:
        """What stands behind them."""
        return closing()


class ZeekJsonTable:
    """Tables of one schema as Zeek writes them with LogAscii::use_json=T."""

    suffix = "log"

    def __init__(self, schema: pa.Schema) -> None:
        self._keys = [f"{',' if place else '{'}{json.dumps(column.name)}:" for place, column in enumerate(schema)]

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, table: pa.RecordBatch) -> memoryview:
        """The rows as lines."""
        return octets(pc.replace_substring_regex(objects(self._members(table)), "^}", "{}"))

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def _members(self, table: pa.RecordBatch) -> Iterator[tuple[object, list[Any]]]:
        for key, values, column in zip(self._keys, table.columns, table.schema, strict=True):
            texts = _value(values, column)
            yield column.name if texts.null_count else 0, [literal(key), texts]


Table = TypeVar("Table", ZeekTable, ZeekJsonTable)


class Messages(Generic[Table]):
    """A record of messages as Zeek's log: its columns, with `extra` all, as `form` writes them."""

    def __init__(self, record: Record, form: Callable[[pa.Schema], Table], *, extra: bool) -> None:
        kept = stored_schema(record)
        self._names = [name for name in kept.names if extra or name in ALWAYS[record.name]]
        self._ts = self._names.index("ts"), kept.field("ts")
        self.table: Table = form(pa.schema([kept.field(name) for name in self._names], metadata={b"path": record.name.encode()}))

    def rows(self, batch: Batch) -> memoryview:
        """The rows as lines."""
        rows = to_stored(batch).select(self._names)
        micros = pc.divide(rows.column("ts").cast(pa.int64()), 1000)  # libpcap cuts nanoseconds off before Zeek sees them
        return self.table.rows(rows.set_column(*self._ts, pc.multiply(micros, 1000).cast(ARROW["time"])))


def messages(record: Record, form: Callable[[pa.Schema], Table], *, extra: bool) -> Messages[Table] | None:
    """None of records that are not of messages."""
    return Messages(record, form, extra=extra) if any(column.zeek for column in record.columns) else None


FORMATS: dict[str, Callable[[pa.Schema], ZeekTable | ZeekJsonTable]] = {"zeek": ZeekTable, "zeek-json": ZeekJsonTable}


# -- TSV ----------------------------------------------------------------------------------------------------------------------------


def _cell(values: pa.Array, column: pa.Field) -> pa.Array:
    kind, element = kinds(column)
    if not element:
        return _tsv(values, kind)
    parts = _tsv(values.flatten(), element)
    if element in WORDS:
        parts = pc.replace_substring(parts, ",", r"\x2c")
    return pc.replace_substring_regex(lists(values, pc.coalesce(parts, UNSET)), "^$", EMPTY)


def _tsv(values: pa.Array, kind: str) -> pa.Array:
    values = _plain(values, kind)
    match kind:
        case "time":
            return _decimals(values, values.cast(pa.int64()), 1000, lambda number: Decimal(number).scaleb(-9))
        case "interval":
            return _decimals(values, values, 1e-6, lambda number: Decimal(repr(number)))
        case "bool":
            return pc.if_else(values, TRUE, FALSE)
        case "address":
            return distinct(values, _addresses)
    return distinct(values, _words) if kind in WORDS else values.cast(TEXT)


def _decimals(values: pa.Array, numbers: pa.Array, micro: float, exactly: Callable[[Any], Decimal]) -> pa.Array:
    """Seconds with six decimals, or more where six do not say all. `micro` is a microsecond in the unit of `numbers`."""
    micros, exact = _micros(numbers, micro)
    text = seconds(pa.array(micros, mask=np.asarray(values.is_null())))
    odd = ~exact | (micros < 0)
    if not odd.any():
        return text
    texts = text.to_pylist()
    for place in np.flatnonzero(odd & np.asarray(values.is_valid())).tolist():
        whole, _, decimals = f"{exactly(numbers[place].as_py()):f}".partition(".")
        texts[place] = f"{whole}.{decimals:0<6}" if whole[-1].isdigit() else whole[: 4 if whole[0] == "-" else 3].lower()  # -inf, nan
    return pa.array(texts, TEXT)


def _micros(numbers: pa.Array, micro: float) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Microseconds, and of which that is the very number."""
    there = np.asarray(numbers.fill_null(0))
    if micro == 1000:
        micros = there // 1000
        return micros, micros * 1000 == there
    near = np.abs(there) < 9e9
    micros = np.rint(np.where(near, there, 0.0) * 1e6)
    return micros.astype(np.int64), near & (micros / 1e6 == there)


def _words(words: pa.Array) -> pa.Array:
    """Text as cells. Octets that were no UTF-8, which are \\xe9 in stored text, are written as Zeek writes them."""
    escaped = tsv_escape(words)
    if not pc.any(pc.match_substring_regex(words, _OCTETS.pattern)).as_py():
        return escaped
    has = pc.fill_null(pc.match_substring_regex(words, _OCTETS.pattern), False).to_pylist()
    return pa.array(
        [_apart(word) if is_one else said for word, said, is_one in zip(words.to_pylist(), escaped.to_pylist(), has, strict=True)], TEXT
    )


def _apart(word: str) -> str:
    """A text with such octets: these as they are, and what is between them escaped."""
    pieces = _OCTETS.split(word)
    return "".join(piece if at % 2 and _is_octets(piece) else _escaped(piece) for at, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    return str(tsv_escape(pa.array([text], TEXT))[0].as_py()) if text else ""


def _is_octets(said: str) -> bool:
    """Whether those octets are no UTF-8, so that they can have come of nothing else."""
    return bytes.fromhex(said.replace("\\x", "")).decode("utf-8", "backslashreplace") == said


# -- JSON ---------------------------------------------------------------------------------------------------------------------------


def _value(values: pa.Array, column: pa.Field) -> pa.Array:
    kind, element = kinds(column)
    if not element:
        return _json(values, kind)
    elements = pc.coalesce(_json(values.flatten(), element), _NULL)
    return joined([literal("["), lists(values, elements), literal("]")], "emit_null")


def _json(values: pa.Array, kind: str) -> pa.Array:
    values = _plain(values, kind)
    match kind:
        case "time":
            return _epoch(values)
        case "interval" | "double":
            text = pc.if_else(pc.is_finite(values), values, None).cast(TEXT)
            return pc.replace_substring_regex(text, r"^(-?\d+)$", r"\1.0")
        case "bool":
            return pc.if_else(values, _JSON_TRUE, _JSON_FALSE)
        case "address":
            return joined([QUOTE, distinct(values, _addresses), QUOTE], "emit_null")
    return joined([QUOTE, distinct(values, json_escape), QUOTE], "emit_null") if kind in WORDS else values.cast(TEXT)


def _epoch(values: pa.Array) -> pa.Array:
    numbers = values.cast(pa.int64())
    micros, exact = _micros(numbers, 1000)
    exact &= np.abs(micros) < 1 << 53  # what a double holds
    text = doubles(pa.array(np.where(exact, micros, 0), mask=np.asarray(values.is_null())))
    if exact.all():
        return text
    texts = text.to_pylist()
    for place in np.flatnonzero(~exact & np.asarray(values.is_valid())).tolist():
        texts[place] = repr(numbers[place].as_py() / 10**9)  # Python's division of integers is exact to the last bit of a double
    return pa.array(texts, TEXT)


# -- both ---------------------------------------------------------------------------------------------------------------------------


def _plain(values: pa.Array, kind: str) -> pa.Array:
    """As records/log_columns.py has the kind: a store may give dictionaries, or wider integers."""
    return values if values.type == ARROW[kind] else values.cast(ARROW[kind])


def _addresses(packed: pa.Array) -> pa.Array:
    return pa.array([None if one is None else unpacked(one) for one in packed.to_pylist()], TEXT)
