"""Values of a filter over rows that are kept or shown (sql.py, rows.py), and what is said of those that do not fit."""

import difflib
import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_network

from headwater.errors import FilterError
from headwater.filters.grammar import Test, Value

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "%": 1.0}
_NUMBER = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,12})?|0[xX][0-9a-fA-F]{1,16})([a-z%]{1,2})?")
_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96 is IPv4


def flag(text: str, value: Value) -> bool:
    """Of the filter `text`, as in all of these. Raises FilterError."""
    if value.text not in ("true", "false", "1", "0"):
        raise FilterError("a flag is true or false", text, value.at)
    return value.text in ("true", "1")


def number(text: str, value: Value) -> int | float:
    """A number; with a unit, in seconds or percent. Raises FilterError."""
    found = _NUMBER.fullmatch(value.text)
    if not found or value.quoted or (found[2] and found[2] not in _UNITS):
        raise FilterError(f"here must be a number, or one with a unit ({', '.join(_UNITS)})", text, value.at)
    if found[1][:2].lower() == "0x":
        return int(found[1], 16)
    plain = float(found[1]) if "." in found[1] else int(found[1])
    return plain if not found[2] else plain * _UNITS[found[2]]


def network(text: str, value: Value) -> tuple[IPv6Address, IPv6Address]:
    """The first and last address of a prefix, or one address twice; IPv4 is mapped. Raises FilterError."""
    try:
        found = ip_network(value.text, strict=False)
    except ValueError:
        raise FilterError("here must be an address or a prefix, for instance 10.0.0.1 or 2001:db8::/32", text, value.at) from None
    mapped = _MAPPED if found.version == 4 else 0
    return IPv6Address(mapped + int(found[0])), IPv6Address(mapped + int(found[-1]))


def unknown(text: str, test: Test, columns: Iterable[str]) -> FilterError:
    """There is no such column."""
    near = difflib.get_close_matches(test.field, list(columns), 1)
    return FilterError(f"there is no column `{test.field[:40]}`" + (f"; did you mean {near[0]}?" if near else ""), text, test.at)


def no_number(text: str, test: Test) -> FilterError:
    """It has no order."""
    return FilterError(f"`{test.field}` is no number: it can be compared by == and !=, or with `in`", text, test.at)


def no_text(text: str, test: Test) -> FilterError:
    """It has no parts."""
    return FilterError(f"`{test.field}` is no text, so that it contains nothing: compare it with == or `in`", text, test.at)
