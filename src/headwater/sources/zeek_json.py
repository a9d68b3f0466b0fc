"""Zeek's logs as JSON: an object a line (src/threading/formatters/JSON.cc), whose fields have no types and come and go.

Types are those of Zeek's own records (records/zeek_types.py); in other logs `ts`, `uid` and `id.*` are what they are in these. Fields
that are not there have the type of their first value, to the end of the file: number, bool, text, or a list of one of them; what is none
of that is kept as the text of its JSON.
Arrow reads whole blocks; one that it refuses is read line by line, so that only lines that are wrong are lost.
"""

import json
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from headwater.records.log_columns import schema
from headwater.records.zeek_types import ANY, EVERYWHERE, LOGS
from headwater.sources.log_lines import Notes, pieces
from headwater.sources.log_values import MILLIS_FROM, Column, batch_of, finished, from_values, storage
from headwater.sources.zeek_tsv import CELLS, FIELDS_MAX, NAME_MAX, PATHS_MAX

DEPTH_MAX = 64
_PATH = re.compile(rb'"_path"\s*:\s*"([A-Za-z_][\w-]{0,63})"')
_DECODE = msgspec.json.Decoder().decode


class JsonLog:
    """Reads blocks of one log, whose `path` is what the file's name says; rows that have a `_path` are of the log that it names."""

    format = "json"

    def __init__(self, path: str, notes: Notes, state: Mapping[str, Any] | None = None) -> None:
        self._notes = notes
        self._logs: dict[str, _Log] = {}
        self._name = path
        for name, one in (state or {}).items():
            self._log(name).resume(one)

    def state(self) -> dict[str, Any]:
        """What a later reader of the same file needs, as JSON can hold it."""
        return {name: log.state() for name, log in self._logs.items()}

    def read(self, number: int, block: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(path, rows) of whole lines, the first of which is line `number`."""
        if b'"_path"' not in block:
            log = self._log(self._name)
            for piece in pieces(block, log.lines()):
                lines = piece.count(b"\n")
                yield from log.read(np.arange(number, number + lines), piece)
                number += lines
            return
        those: dict[str, tuple[list[int], list[bytes]]] = {}
        for place, line in enumerate(
            block.splitlines(keepends=True) if b"\r" not in block else block.replace(b"\r", b" ").splitlines(True)
        ):
            found = _PATH.search(line)
            path = found[1].decode() if found else self._name
            if path not in self._logs and path not in those and len(self._logs) + len(those) >= PATHS_MAX:
                self._notes.skip("fields", number + place, f"more than {PATHS_MAX} logs in one file: left out")
                continue
            numbers, texts = those.setdefault(path, ([], []))
            numbers.append(number + place)
            texts.append(line)
        for path, (numbers, texts) in those.items():
            log = self._log(path)
            step = log.lines()
            for begin in range(0, len(texts), step):
                yield from log.read(np.array(numbers[begin : begin + step]), b"".join(texts[begin : begin + step]))

    def _log(self, path: str) -> "_Log":
        return self._logs.setdefault(path, _Log(path, self._notes))


class _Log:
    """The rows of one path."""

    def __init__(self, path: str, notes: Notes) -> None:
        self._path = path
        self._notes = notes
        self._known = {**EVERYWHERE, **LOGS.get(path, ANY)}
        self._learned: dict[str, str] = {}
        self._seen: set[str] = set()
        self._clock = ""

    def state(self) -> dict[str, Any]:
        return {"learned": dict(self._learned), "seen": sorted(self._seen), "clock": self._clock}

    def resume(self, state: Mapping[str, Any]) -> None:
        self._learned = dict(state["learned"])
        self._seen = set(state["seen"])
        self._clock = state["clock"]
        self._known |= self._learned

    def lines(self) -> int:
        return min(1 << 16, CELLS // max(1, len(self._known)))

    def read(self, numbers: "np.ndarray[Any, Any]", text: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        self._clock = self._clock or _clock(text)
        columns = schema(self._known, self._path, "zeek")
        rows = self._at_once(text, columns, len(numbers))
        if rows is None:
            yield from self._one_by_one(numbers, text)
            return
        made: list[tuple[pa.Field, Column]] = []
        for column, chunks in zip(columns, rows.columns, strict=True):
            if chunks.null_count < len(chunks) or column.name in self._seen:
                made.append((column, finished(chunks.combine_chunks(), column, self._clock)))
        yield from self._batch(numbers, made, columns.metadata)

    def _at_once(self, text: bytes, columns: pa.Schema, lines: int) -> pa.Table | None:
        """All lines by Arrow; None if it does not find a good object in each."""
        stored = pa.schema([pa.field(column.name, storage(column, self._clock)) for column in columns])
        try:
            text.decode()
            rows = arrow_json.read_json(
                BytesIO(text),
                arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
                arrow_json.ParseOptions(explicit_schema=stored, unexpected_field_behavior="error"),
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        return rows if rows.num_rows == lines else None

    def _one_by_one(self, numbers: "np.ndarray[Any, Any]", text: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        rows, places = [], []
        for number, line in zip(numbers.tolist(), text.split(b"\n"), strict=False):
            try:
                row = decoded(line)
            except (ValueError, RecursionError):
                self._notes.skip("json", number, "no object of JSON: left out")
                continue
            if self._learn(row, number):
                rows.append(row)
                places.append(number)
        if not rows:
            return
        columns = schema(self._known, self._path, "zeek")
        made = []
        for column in columns:
            values = [row.get(column.name) for row in rows]
            if column.name in self._seen or any(value is not None for value in values):
                if (column.metadata or {})[b"kind"] == b"other":
                    values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
                made.append((column, from_values(values, column, self._clock)))
        yield from self._batch(np.array(places), made, columns.metadata)

    def _learn(self, row: dict[str, Any], number: int) -> bool:
        """Know each field of `row` that has a value. False if there are too many."""
        for name, value in row.items():
            if name in self._known or value is None:
                continue
            if len(self._known) >= FIELDS_MAX or len(name) > NAME_MAX:
                self._notes.skip("fields", number, f"more than {FIELDS_MAX} fields, or a name of more than {NAME_MAX} letters: left out")
                return False
            of = inferred(value)
            self._known[name] = self._learned[name] = of
            if self._path in LOGS:
                self._notes.learn(number, f"{name} is no field of Zeek's {self._path}: it is kept as {of}")
        return True

    def _batch(
        self, numbers: "np.ndarray[Any, Any]", made: list[tuple[pa.Field, Column]], metadata: Any
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        if not made:
            self._notes.count("fields", len(numbers), int(numbers[0]), "objects without a field are left out")
            return
        self._seen.update(column.name for column, _ in made)
        yield self._path, batch_of(made, numbers, self._notes, metadata)


def _clock(text: bytes) -> str:
    """How times are written (JSON::TimestampFormat): what the first row with a `ts` has."""
    for line in text.split(b"\n", 100)[:100]:
        try:
            ts = decoded(line).get("ts")
        except (ValueError, RecursionError):
            continue
        if ts is not None:
            return "text" if isinstance(ts, str) else "millis" if isinstance(ts, (int, float)) and abs(ts) >= MILLIS_FROM else "seconds"
    return "seconds"


def inferred(value: Any) -> str:
    """The type of a field that nobody has said it of."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "double"
        case str():
            return "string"
        case []:
            return "vector[string]"
        case [*elements]:
            of = {inferred(element) for element in elements if element is not None}
            return f"vector[{of.pop()}]" if len(of) == 1 and of <= {"bool", "double", "string"} else "other"
    return "other"


def decoded(line: bytes) -> dict[str, Any]:
    """An object of JSON. Octets that are no UTF-8 come out as \\xe9. Raises ValueError, RecursionError."""
    try:
        row = _DECODE(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        row = _mended(json.loads(line.decode("utf-8", "surrogateescape"), parse_constant=_refuse))
    if not isinstance(row, dict) or _is_deep(row, line):
        raise ValueError("no object, or one that is nested too deep")
    return row


def _is_deep(row: dict[str, Any], line: bytes) -> bool:
    if line.count(b"[") + line.count(b"{") <= DEPTH_MAX:
        return False
    level: list[Any] = [row]
    for _ in range(DEPTH_MAX):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def _refuse(word: str) -> None:
    raise ValueError(word)


def _mended(value: Any) -> Any:
    """Without lone surrogates, which are how Python holds octets that are no UTF-8."""
    match value:
        case str():
            try:
                return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            except UnicodeEncodeError:
                return value.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")
        case list():
            return [_mended(one) for one in value]
        case dict():
            return {_mended(name): _mended(one) for name, one in value.items()}
    return value
