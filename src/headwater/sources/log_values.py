"""Values of logs, from text or from JSON, as columns of stored tables: a column at a time, and one by one only where a value is wrong.

The row of what is wrong is in `bad`. Text is as Zeek escapes it (src/Desc.cc), but that octets which are no UTF-8
stay as they are escaped, \\xe9, as in its JSON (src/threading/formatters/JSON.cc): Arrow's text is UTF-8.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.records.address import packed
from headwater.records.log_columns import ARROW, TEXT, WORDS, kinds, zeek_type
from headwater.sources.log_lines import Notes

MILLIS_FROM = 1e11  # a `ts` from here on counts milliseconds: in seconds it would be of the year 5138
_NS = 10**9
_TIMES = -(1 << 63), (1 << 63) - 1  # 1677 to 2262
_EPOCH = date(1970, 1, 1).toordinal()
_SECONDS = pa.decimal128(38, 9)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|\\)")
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_INTEGERS = {"count": (0, 1 << 64), "port": (0, 1 << 16), "int": (-(1 << 63), 1 << 63)}


@dataclass
class Column:
    """`values` of one field, the rows that are `bad`, and how many times were beyond what 64 bits of nanoseconds hold (1677 to 2262): those
    are the nearest that can be.
    """

    values: pa.Array
    bad: Collection[int] = ()
    beyond: int = 0


def batch_of(made: Sequence[tuple[pa.Field, Column]], numbers: "np.ndarray[Any, Any]", notes: Notes, metadata: Any) -> pa.RecordBatch:
    """The rows of these columns that are right; of the others, which are the lines `numbers`, `notes` has the count."""
    left = np.ones(len(numbers), bool)
    for column, done in made:
        for row in sorted(done.bad):
            if left[row]:
                notes.skip("value", int(numbers[row]), f"{column.name} is no {zeek_type(column)}: left out")
            left[row] = False
        if done.beyond:
            notes.count("beyond", done.beyond, int(numbers[0]), f"{column.name} has times before 1677 or after 2262")
    batch = pa.RecordBatch.from_arrays(
        [done.values for _, done in made], schema=pa.schema([column for column, _ in made], metadata=metadata)
    )
    return batch if left.all() else batch.filter(pa.array(left))


# -- text ---------------------------------------------------------------------------------------------------------------------------


def from_text(cells: pa.Array, column: pa.Field, *, unset: bytes, empty: bytes, separator: bytes) -> Column:
    """Cells of a TSV log (binary, null where unset) as `column`. `unset` and `empty` are what stands for an element that is unset, and for
    empty text or an empty set; `separator` is between elements.
    """
    kind, element = kinds(column)
    if not element:
        return _parsed(cells, kind, empty)
    none = pc.or_(pc.equal(cells, empty), pc.equal(cells, b""))
    lists = pc.split_pattern(cells, separator)
    elements = lists.values
    parts = _parsed(pc.if_else(pc.equal(elements, unset), None, elements), element, empty)
    made = pa.ListArray.from_arrays(lists.offsets, parts.values, column.type, mask=lists.is_null())
    if pc.any(none).as_py():
        made = pc.if_else(none, pa.scalar([], column.type), made)
    rows = {int(np.searchsorted(np.asarray(lists.offsets), place, "right")) - 1 for place in parts.bad}
    return Column(made, rows - set(np.flatnonzero(np.asarray(none.fill_null(False)))), parts.beyond)


def _parsed(cells: pa.Array, kind: str, empty: bytes) -> Column:
    if kind in WORDS:
        return Column(words(cells, empty))
    if kind == "address":
        return _addresses(cells)
    if kind == "bool":
        true = pc.equal(cells, b"T")
        wrong = pc.invert(pc.or_(true, pc.equal(cells, b"F"))).fill_null(False)
        if not pc.any(wrong).as_py():
            return Column(true)
        return Column(pc.if_else(wrong, None, true), set(np.flatnonzero(np.asarray(wrong)).tolist()))
    try:
        text = cells.cast(TEXT)
        if kind == "time":
            return nanoseconds(text.cast(_SECONDS))
        if kind in _INTEGERS and pc.any(pc.match_substring(text, "x")).as_py():
            raise pa.ArrowInvalid  # Arrow would take hexadecimal
        return Column(text.cast(ARROW[kind]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _one_by_one([None if cell is None else cell.decode("latin-1") for cell in cells.to_pylist()], kind, _from_word)


def words(cells: pa.Array, empty: bytes) -> pa.Array:
    """Text of cells, unescaped. The cells are binary."""
    if pc.any(pc.match_substring(cells, "\\")).as_py() or not _is_utf8(cells):
        encoded = cells.dictionary_encode()
        plain = [b"" if word == empty else word for word in encoded.dictionary.to_pylist()]
        return pa.array([unescape(word) for word in plain], TEXT).take(encoded.indices)
    text = cells.cast(TEXT)
    return pc.if_else(pc.equal(text, empty.decode(errors="replace")), "", text)


def _is_utf8(cells: pa.Array) -> bool:
    try:
        cells.cast(TEXT)
    except pa.ArrowInvalid:
        return False
    return True


def unescape(octets: bytes) -> str:
    """What Zeek has escaped. Octets that are no UTF-8 come out as \\xe9; a backslash that begins nothing is itself."""
    plain = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", octets)
    return plain.decode("utf-8", "backslashreplace")


def _addresses(cells: pa.Array) -> Column:
    encoded = cells.dictionary_encode()
    addresses = [None if word is None else packed(word.decode("ascii", "replace")) for word in encoded.dictionary.to_pylist()]
    wrong = {place for place, word in enumerate(addresses) if word == b""}
    values = pa.array([word or None for word in addresses], ARROW["address"]).take(encoded.indices)
    if not wrong:
        return Column(values)
    places = np.asarray(encoded.indices.fill_null(-1))
    return Column(values, set(np.flatnonzero(np.isin(places, list(wrong))).tolist()))


# -- JSON ---------------------------------------------------------------------------------------------------------------------------


def storage(column: pa.Field, clock: str) -> pa.DataType:
    """The type that JSON's values of `column` have before they are finished; `clock` as for finished()."""
    kind, element = kinds(column)
    of = {"address": TEXT, "time": TEXT if clock == "text" else pa.float64()}.get(element or kind, ARROW[element or kind])
    return pa.list_(of) if element else of


def finished(values: pa.Array, column: pa.Field, clock: str) -> Column:
    """Values of the type storage() as `column`. Of times, `clock` says what they are: seconds, millis or text (ISO 8601)."""
    kind, element = kinds(column)
    if not element:
        return _finished(values, kind, clock)
    if element not in {"address", "time"}:
        return Column(values.cast(column.type))
    parts = _finished(values.values, element, clock)
    made = pa.ListArray.from_arrays(values.offsets, parts.values, column.type, mask=values.is_null())
    return Column(made, {int(np.searchsorted(np.asarray(values.offsets), place, "right")) - 1 for place in parts.bad}, parts.beyond)


def _finished(values: pa.Array, kind: str, clock: str) -> Column:
    if kind == "address":
        return _addresses(values.cast(pa.binary()))
    if kind != "time":
        return Column(values)
    if clock == "text":
        return _one_by_one(values.to_pylist(), kind, lambda word, _: iso_time(word))
    there = np.asarray(values.fill_null(0.0))
    if clock == "millis":
        there = there / 1000
    micros = np.rint(np.clip(there, -9e9, 9e9) * 1e6)
    exact = micros / 1e6 == there
    made = pa.array(micros.astype(np.int64) * 1000, mask=np.asarray(values.is_null()))
    if exact.all():
        return Column(made.cast(ARROW["time"]))
    odd = np.flatnonzero(~exact)  # with more digits, or far away
    numbers = np.asarray(made.fill_null(0)).copy()
    beyond = 0
    for place in odd.tolist():
        number = int(Decimal(repr(float(there[place]))) * _NS)
        numbers[place] = min(max(number, _TIMES[0]), _TIMES[1])
        beyond += number != numbers[place]
    return Column(pa.array(numbers, mask=np.asarray(values.is_null())).cast(ARROW["time"]), beyond=beyond)


def from_values(values: Sequence[Any], column: pa.Field, clock: str) -> Column:
    """JSON's values, one by one."""
    kind, element = kinds(column)
    bad = {row for row, value in enumerate(values) if value is not None and not _is(value, kind, element, clock)}
    kept = [None if row in bad else value for row, value in enumerate(values)] if bad else values
    stored = storage(column, clock)
    if stored == pa.float64():
        kept = [value if value is None else float(value) for value in kept]  # Arrow refuses integers that no double has
    elif stored == pa.list_(pa.float64()):
        kept = [value and [one if one is None else float(one) for one in value] for value in kept]
    done = finished(pa.array(kept, stored), column, clock)
    return Column(done.values, bad | set(done.bad), done.beyond)


def _is(value: Any, kind: str, element: str, clock: str) -> bool:
    if element:
        return isinstance(value, list) and all(one is None or _is(one, element, "", clock) for one in value)
    if kind in _INTEGERS:
        least, beyond = _INTEGERS[kind]
        return type(value) is int and least <= value < beyond
    if kind == "bool":
        return isinstance(value, bool)
    if kind in {"double", "interval"} or (kind == "time" and clock != "text"):
        return type(value) is float or (type(value) is int and abs(value) < 1 << 63)
    return isinstance(value, str)


def fits(value: Any, kind: str, element: str = "") -> bool:
    """Whether a value of JSON can stand in a column of that kind, times as ISO 8601."""
    if not _is(value, kind, element, "text"):
        return False
    those = value if element else [value]
    match element or kind:
        case "address":
            return all(one is None or packed(one) for one in those)
        case "time":
            return all(one is None or _is_time(one) for one in those)
    return True


def _is_time(word: str) -> bool:
    try:
        return _TIMES[0] <= iso_time(word) <= _TIMES[1]
    except ValueError:
        return False


# -- one by one ---------------------------------------------------------------------------------------------------------------------


def nanoseconds(seconds: pa.Array) -> Column:
    """Decimals with nine places as times, exactly."""
    parts = np.frombuffer(seconds.buffers()[1], np.int64).reshape(-1, 2)[seconds.offset : seconds.offset + len(seconds)]
    low, high = parts[:, 0], parts[:, 1]
    there = np.asarray(seconds.is_valid())
    fits = (high == low >> 63) | ~there
    values = np.where(there, np.where(fits, low, np.where(high < 0, _TIMES[0], _TIMES[1])), 0)
    return Column(pa.array(values, mask=~there).cast(ARROW["time"]), beyond=int(np.count_nonzero(~fits)))


def _one_by_one(cells: Sequence[str | None], kind: str, parse: Callable[[str, str], Any]) -> Column:
    values: list[Any] = []
    bad, beyond = set(), 0
    for row, cell in enumerate(cells):
        try:
            value = None if cell is None else parse(cell, kind)
            if kind == "time" and value is not None:
                nearest = min(max(value, _TIMES[0]), _TIMES[1])
                beyond += nearest != value
                value = nearest
        except (ValueError, InvalidOperation, OverflowError):
            value = None
            bad.add(row)
        values.append(value)
    made = pa.array(values, pa.int64()).cast(ARROW["time"]) if kind == "time" else pa.array(values, ARROW[kind])
    return Column(made, bad, beyond)


def _from_word(word: str, kind: str) -> Any:
    if not word.isascii() or word != word.strip() or "_" in word:
        raise ValueError  # what Python alone would take
    if kind == "time":
        number = Decimal(word)
        if not number.is_finite() or number.adjusted() > 30:
            raise ValueError
        return int(number * _NS)
    if kind in _INTEGERS:
        least, beyond = _INTEGERS[kind]
        if len(word) > 20 or word.startswith("+") or not least <= int(word) < beyond:
            raise ValueError
        return int(word)
    return float(word)


def iso_time(word: str) -> int:
    """Nanoseconds of a time in ISO 8601; without a zone it is UTC's. Raises ValueError."""
    found = _ISO.fullmatch(word)
    if not found:
        raise ValueError
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError
    days = date(year, month, day).toordinal() - _EPOCH
    zone = found[8] or "Z"
    east = 0 if zone == "Z" else (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60 if zone[0] == "-" else 60)
    return (days * 86400 + hour * 3600 + minute * 60 + second - east) * _NS + int((found[7] or "0").ljust(9, "0"))
