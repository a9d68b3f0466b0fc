"""What the tests of a filter mean: comparisons of a row's octets, the same for every target."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from headwater.errors import FilterError
from headwater.filters.fields import FIELDS, FLOW_FIELDS, OF_SEVERAL, UNITS, Field, Place
from headwater.filters.grammar import And, Node, Not, Or, Test, Value
from headwater.records.layouts import ENUMS

WORD = (1 << 64) - 1
_NAMED = 20  # of possible names, in a message
_MAPPED = 0xFFFF << 80  # ::ffff:0:0/96 as a number whose first octet is the lowest


@dataclass(frozen=True)
class Comparison:
    """16 octets of a row as a little-endian number, of which `mask` counts: the lower half is from `low` to `low` + `span`, the upper
    half `high`. It holds if it does at one of `places`."""

    places: tuple[Place, ...]
    mask: int = 0
    low: int = 0
    span: int = 0
    high: int = 0


@dataclass(frozen=True)
class Interface:
    """Seen on the interface of that name."""

    name: str


@dataclass(frozen=True)
class Neither:
    """No part holds."""

    part: "Meaning"


@dataclass(frozen=True)
class Both:
    """All parts hold; without parts, it always does."""

    parts: tuple["Meaning", ...]


@dataclass(frozen=True)
class Either:
    """A part holds; without parts, it never does."""

    parts: tuple["Meaning", ...]


Meaning: TypeAlias = Comparison | Interface | Neither | Both | Either


def meaning(node: Node, text: str, fields: Mapping[str, Field]) -> Meaning:
    """What a filter's tree says of a row that has those fields. Raises FilterError for a field or a value that is none."""
    match node:
        case And(parts=parts):
            return Both(tuple(meaning(part, text, fields) for part in parts))
        case Or(parts=parts):
            return Either(tuple(meaning(part, text, fields) for part in parts))
        case Not(part=part):
            return Neither(meaning(part, text, fields))
    return _Reader(node, text, fields).read()


class _Reader:
    """Reads one test."""

    def __init__(self, test: Test, text: str, fields: Mapping[str, Field]) -> None:
        self._test = test
        self._text = text
        self._fields = fields
        self._field = self._find()

    def _fail(self, problem: str, at: int) -> FilterError:
        return FilterError(problem, self._text, at)

    def _find(self) -> Field:
        name = self._test.field
        if name in self._fields:
            return self._fields[name]
        if name in FIELDS:
            raise self._fail(f"`{name}` is of packets, and no flow has it", self._test.at)
        if name in FLOW_FIELDS:
            raise self._fail(f"`{name}` is of flows: it is for --flow-filter", self._test.at)
        near = difflib.get_close_matches(name, self._fields, 1)
        known = f"; did you mean {near[0]}?" if near else "; docs/filters.md lists them"
        raise self._fail(f"there is no field `{name[:40]}`{known}", self._test.at)

    def read(self) -> Meaning:
        test, field = self._test, self._field
        if not test.operator:
            return self._alone()
        if field.kind == "protocol":
            raise self._fail(f"`{test.field}` is a protocol and has no value: write it alone", test.at)
        if test.bits and field.kind != "number":
            raise self._fail(f"`{test.field}` is no number, so it has no bits to pick", test.bits.at)
        if test.operator == "contains":
            raise self._fail(f"`{test.field}` is no text, so that it contains nothing: compare it with == or `in`", test.at)
        if test.operator == "!=":
            return Both((self._there(), Neither(self._compare("==", *test.ranges[0]))))
        if test.operator == "in":
            return Either(tuple(self._compare("in", first, last) for first, last in test.ranges))
        return self._compare(test.operator, *test.ranges[0])

    def _alone(self) -> Meaning:
        field = self._field
        if self._test.bits:
            return self._span(1, self._field.most)
        match field.kind:
            case "protocol" if field.places[0].columns[0].endswith("src"):
                return Comparison(field.places, *_prefix(IPv4Network("0.0.0.0/0")))
            case "protocol":
                return Comparison(field.places, field.bits, field.equal)
            case "flag":
                return Comparison(field.places, field.bits, field.bits)
            case "tunnel" | "weird" | "direction":
                return Comparison(field.places, 0xFF, 1, 0xFE)
            case "conn_state":
                raise self._fail(f"`{self._test.field}` is compared with a name, for instance S0", self._test.at)
        return self._there()

    def _there(self) -> Meaning:
        """The field exists."""
        match self._field.kind:
            case "ipv4":
                return Comparison(self._field.places, *_prefix(IPv4Network("0.0.0.0/0")))
            case "tunnel" | "weird" | "direction":
                return Comparison(self._field.places, 0xFF, 1, 0xFE)
        return Comparison(self._field.places)

    def _compare(self, operator: str, first: Value, last: Value) -> Meaning:
        field = self._field
        if field.kind in ("number", "flag") or field.kind in UNITS:
            return self._numbers(operator, first, last)
        if operator not in ("==", "in") or first is not last:
            raise self._fail(f"`{self._test.field}` is no number: it can be compared by == and !=, or with `in`", self._test.at)
        match field.kind:
            case "ipv4" | "ipv6":
                return Comparison(field.places, *_prefix(self._network(first)))
            case "mac":
                return Comparison(field.places, (1 << 48) - 1, self._mac(first))
            case "interface":
                return Interface(first.text)
        return Comparison(field.places, 0xFF, self._name(first))

    # -- numbers ---------------------------------------------------------------------------------------------------------------

    def _bits(self) -> int:
        if self._test.bits:
            return self._number(self._test.bits)
        return self._field.bits or self._field.most

    def _span(self, low: int, high: int) -> Meaning:
        """From low to high, both counted."""
        return Comparison(self._field.places, self._bits(), low, high - low)

    def _numbers(self, operator: str, first: Value, last: Value) -> Meaning:
        low, high = self._number(first), self._number(last)
        if self._field.kind == "flag":
            if operator not in ("==", "in") or max(low, high) > 1:
                raise self._fail(f"`{self._test.field}` is a flag: it is 1 or 0", first.at)
            return Comparison(self._field.places, self._field.bits, self._field.bits * low)
        if low > high:
            raise self._fail("a range begins with its lower end", first.at)
        if low == {">": self._field.most, "<": 0}.get(operator):
            raise self._never(first)
        match operator:
            case ">":
                return self._span(low + 1, self._field.most)
            case ">=":
                return self._span(low, self._field.most)
            case "<":
                return self._span(0, low - 1)
            case "<=":
                return self._span(0, low)
        return self._span(low, high)

    def _number(self, value: Value) -> int:
        if self._field.kind in UNITS:
            return self._measured(value, UNITS[self._field.kind])
        named = {"true": 1, "false": 0}
        if value.text.lower() in named and self._field.kind == "flag":
            return named[value.text.lower()]
        if not value.quoted and re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", value.text):
            number = int(value.text, 16 if value.text[:2].lower() == "0x" else 10)
            if self._field.kind == "number" and number > self._field.most:
                raise self._never(value)
            return number
        raise self._fail(f"`{self._test.field}` is compared with a number, for instance 80 or 0x50", value.at)

    def _measured(self, value: Value, units: Mapping[str, int]) -> int:
        """A number with a unit, in the row's own."""
        found = re.fullmatch(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?([a-z%]{1,3})", value.text)
        if not found or value.quoted or found[3] not in units:
            known = ", ".join(f"20{unit}" for unit in units)
            raise self._fail(f"`{self._test.field}` is compared with a number and its unit: {known}", value.at)
        whole, part = int(found[1]), found[2] or ""
        unit = units[found[3]]
        return min(whole * unit + int(part or "0") * unit // int("1" + "0" * len(part)), self._field.most)

    def _never(self, value: Value) -> FilterError:
        return self._fail(f"nothing has that: `{self._test.field}` is a number from 0 to {self._field.most}", value.at)

    # -- other values ----------------------------------------------------------------------------------------------------------

    def _network(self, value: Value) -> IPv4Network | IPv6Network:
        version = 4 if self._field.kind == "ipv4" else 6
        try:
            network = ip_network(value.text, strict=False)
        except ValueError:
            network = None
        if network is None or network.version != version or "%" in value.text:
            example = "10.0.0.1 or 10.0.0.0/8" if version == 4 else "2001:db8::1 or 2001:db8::/32"
            raise self._fail(f"`{self._test.field}` is compared with an address or a prefix, for instance {example}", value.at)
        return network

    def _mac(self, value: Value) -> int:
        if not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", value.text):
            raise self._fail(f"`{self._test.field}` is compared with an address such as 02:00:5e:10:00:01", value.at)
        return int.from_bytes(bytes.fromhex(re.sub("[:-]", "", value.text)), "little")

    def _name(self, value: Value) -> int:
        numbers = {name: number for number, name in ENUMS[f"hw_{self._field.kind}"].items() if number or self._field.kind == "conn_state"}
        if self._field.kind == "weird" and value.text in OF_SEVERAL:
            raise self._fail(f"several packets show `{value.text}`, and none has it: it is in the record weird (--record weird)", value.at)
        if value.text in numbers:
            return numbers[value.text]
        names = [name for name in numbers if self._field.kind != "weird" or name not in OF_SEVERAL]
        near: Sequence[str] = difflib.get_close_matches(value.text, names, 1) or names[:_NAMED]
        more = f" and {len(names) - _NAMED} more (docs/records.md)" if len(near) < len(names) and len(near) == _NAMED else ""
        raise self._fail(f"`{self._test.field}` is not `{value.text[:40]}`; it may be {', '.join(near)}{more}", value.at)


def _prefix(network: IPv4Network | IPv6Network) -> tuple[int, int, int, int]:
    """(mask, low, span, high) of an address under a prefix; one of IPv4 is mapped."""
    mask, value = (int.from_bytes(part.packed, "little") for part in (network.netmask, network.network_address))
    if network.version == 4:
        mask, value = mask << 96 | (1 << 96) - 1, value << 96 | _MAPPED
    return mask, value & WORD, 0, value >> 64
