"""A filter over rows as they are kept (records/stored.py), where there is no store to ask: what it holds for. It means what sql.py makes
of the same text: a value that is absent is neither equal nor different, and a list holds if one of it does, or with `!=` none.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from headwater.errors import FilterError
from headwater.filters import values
from headwater.filters.grammar import And, Node, Not, Or, Test, Value, parse
from headwater.filters.sql import COLUMNS

Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Holds: TypeAlias = Callable[[pa.RecordBatch], Mask]
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "contains": operator.contains,
}
_PROTOCOLS = {name: f"proto == {name}" for name in ("tcp", "udp", "sctp")}
_PROTOCOLS |= {"ip": "id.orig_h == 0.0.0.0/0", "ipv6": "id.orig_h != 0.0.0.0/0"}
_TRANSPORTS = re.compile(r"(tcp|udp|sctp)\.")


def holds(text: str, schema: pa.Schema) -> Holds:
    """For each row of batches of that schema, whether the filter `text` holds. Raises FilterError with the place of a mistake."""
    return _Reader(text, schema).of(parse(text))


class _Reader:
    def __init__(self, text: str, schema: pa.Schema) -> None:
        self._text = text
        self._schema = schema

    def of(self, node: Node) -> Holds:
        match node:
            case And(parts=parts):
                return _all(list(map(self.of, parts)))
            case Or(parts=parts):
                return _any(list(map(self.of, parts)))
            case Not(part=part):
                inner = self.of(part)
                return lambda rows: ~inner(rows)
        return self._test(node)

    def _test(self, test: Test) -> Holds:
        name = test.field
        if test.bits:
            raise FilterError("bits are of packets' flags: these rows have none to pick", self._text, test.bits.at)
        if not test.operator and name in _PROTOCOLS:
            return self._is(_PROTOCOLS[name], test)
        found = [column for column in COLUMNS.get(name, (name,)) if column in self._schema.names]
        if not found:
            raise values.unknown(self._text, test, [*self._schema.names, *COLUMNS])
        parts = [self._column(column, test) for column in found]
        made = _all(parts) if test.operator == "!=" else _any(parts)
        if (transport := _TRANSPORTS.match(name)) and "proto" in self._schema.names:
            return _all([self._is(f"proto == {transport[1]}", test), made])
        return made

    def _is(self, what: str, test: Test) -> Holds:
        """A protocol alone."""
        try:
            return self.of(parse(what))
        except FilterError:  # there is no such column
            raise values.unknown(self._text, test, [*self._schema.names, *COLUMNS]) from None

    def _column(self, name: str, test: Test) -> Holds:
        kind = self._schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not pa.types.is_list(kind):
            one = self._one(kind, test)
            return _each(name, lambda value: value is not None and one(value))
        if not test.operator:
            return _each(name, bool)
        none_of = test.operator == "!="
        some = self._one(kind.value_type, Test(test.field, test.at, "==", test.ranges) if none_of else test)
        return _each(name, lambda value: bool(value) and any(one is not None and some(one) for one in value) is not none_of)

    def _one(self, kind: pa.DataType, test: Test) -> Callable[[Any], bool]:
        """Whether a test holds of a value that is there."""
        if not test.operator:
            return bool if pa.types.is_boolean(kind) else _there
        if pa.types.is_fixed_size_binary(kind):
            return self._address(test)
        if test.operator == "contains" and not pa.types.is_string(kind):
            raise values.no_text(self._text, test)
        ranges = [(self._read(kind, first), self._read(kind, last)) for first, last in test.ranges]
        if test.operator == "in":
            return lambda value: any(low <= value <= high for low, high in ranges)
        compare, with_ = _OPERATORS[test.operator], ranges[0][0]
        return lambda value: compare(value, with_)

    def _address(self, test: Test) -> Callable[[bytes], bool]:
        if test.operator not in ("==", "!=", "in"):
            raise values.no_number(self._text, test)
        ranges = []
        for first, last in test.ranges:
            ranges.append((values.network(self._text, first)[0].packed, values.network(self._text, last)[1].packed))
        wanted = test.operator != "!="
        return lambda value: any(low <= value <= high for low, high in ranges) is wanted

    def _read(self, kind: pa.DataType, value: Value) -> Any:
        if pa.types.is_boolean(kind):
            return values.flag(self._text, value)
        if pa.types.is_timestamp(kind):
            return self._time(value)
        if pa.types.is_string(kind):
            return value.text
        return values.number(self._text, value)

    def _time(self, value: Value) -> int:
        try:
            found = datetime.fromisoformat(value.text)
        except ValueError:
            raise FilterError("here must be a time, for instance 2026-05-17T10:00:00", self._text, value.at) from None
        since = found.replace(tzinfo=found.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def _there(_: object) -> bool:
    return True


def _each(name: str, holds_of: Callable[[Any], bool]) -> Holds:
    def of(rows: pa.RecordBatch) -> Mask:
        column = rows.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())  # Python's times end at microseconds
        return np.fromiter(map(holds_of, column.to_pylist()), bool, len(column))

    return of


def _all(parts: list[Holds]) -> Holds:
    return lambda rows: reduce(np.logical_and, [part(rows) for part in parts])


def _any(parts: list[Holds]) -> Holds:
    return lambda rows: reduce(np.logical_or, [part(rows) for part in parts])
