"""Texts that name a type or a time zone to the engine: what it makes of them goes further than a text does.

For a time zone it opens a file, wherever `/x`, `../x` or `file:x` leads; and a type may hold such a name, or be the state of an aggregate
function, whose octets the engine takes as they come. So these texts stand written out, and are plain ones.
"""

import re

from headwater.store.functions import names

TYPES = names(
    """
    Array Nullable LowCardinality Tuple Map Nested Variant Dynamic JSON FixedString Enum{,8,16} Decimal{,32,64,128,256} DateTime{,32,64}
    Time64 DECIMAL NUMERIC VARCHAR CHAR
    """
)
"""Those that may stand before a parenthesis."""

_PLAIN = names("String Bool UUID Date Date32 DateTime IPv4 IPv6 {UInt,Int}{8,16,32,64,128,256} Float{32,64}") | TYPES
WITH_ZONE = names("DATETIME DATETIME32 DATETIME64 TIMESTAMP")
"""Types that may hold a time zone, in capitals; the last is a function of times, too."""

_ZONE = r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*"
_QUOTE = r"(?:''|\\')"
_PLAIN_ZONE = re.compile(rf"'{_ZONE}'")
_TIME = re.compile(r"'[0-9 :.TZ+-]*'")
_TYPE = re.compile(rf"'(?:[\w(), ]|{_QUOTE}{_ZONE}{_QUOTE})+'", re.ASCII)


def is_zone(text: str) -> bool:
    """`'Europe/Berlin'`, with its quotes."""
    return _PLAIN_ZONE.fullmatch(text) is not None


def is_time(text: str) -> bool:
    """`'2026-03-01 00:00:00'`."""
    return _TIME.fullmatch(text) is not None


def is_type(text: str) -> bool:
    """`'Array(DateTime(''UTC''))'`."""
    return _TYPE.fullmatch(text) is not None and TYPES.issuperset(re.findall(r"(\w+) *\(", text))


def is_structure(text: str) -> bool:
    """`'a UInt8, b Array(String)'`, and nothing that computes: the engine takes `b String ALIAS file('x')` there too."""
    if not is_type(text):
        return False
    columns, inner = "", text[1:-1]
    while columns != inner:  # each turn takes the innermost brackets
        columns, inner = inner, re.sub(r"\([^()]*\)", "", inner)
    words = [column.split() for column in columns.split(",")]
    return all(len(column) == 2 and column[1] in _PLAIN for column in words)
