"""The filter language: Wireshark's display filters, as far as a packet row can tell (docs/filters.md).

    filter  = and ("||" and)*                 also `or`
    and     = not ("&&" not)*                 also `and`
    not     = "!" not | "(" filter ")" | test  also `not`
    test    = FIELD | FIELD ["&" NUMBER] OPERATOR VALUE | FIELD "in" "{" RANGE ("," RANGE)* "}"
    RANGE   = VALUE [".." VALUE]

A text becomes a tree of And, Or, Not and Test; what its fields and values mean is of fields.py. A mistake is a FilterError that shows
where it is.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from headwater.errors import FilterError

MOST_OCTETS = 4096
MOST_DEPTH = 50
OPERATORS = {"==": "==", "eq": "==", "!=": "!=", "ne": "!=", ">": ">", "gt": ">", "<": "<", "lt": "<"}
OPERATORS |= {">=": ">=", "ge": ">=", "<=": "<=", "le": "<=", "contains": "contains"}
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_TOKEN = re.compile(r'\s*(?:(&&|\|\||[!=<>]=|\.\.|[!<>&(){},])|("[^"]*")|(::[\w:./]*|\w[\w.:/-]*%?)|(\S))')


@dataclass(frozen=True)
class Value:
    """A value as written, and where."""

    text: str
    at: int
    quoted: bool = False


@dataclass(frozen=True)
class Test:
    """One comparison. `operator` is "" for a field alone, and "in" with ranges as (first, last) pairs."""

    field: str
    at: int
    operator: str = ""
    ranges: tuple[tuple[Value, Value], ...] = ()
    bits: Value | None = None  # `field & bits`


@dataclass(frozen=True)
class Not:
    """What does not hold."""

    part: "Node"


@dataclass(frozen=True)
class And:
    """All of them."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    """Any of them."""

    parts: tuple["Node", ...]


Node: TypeAlias = Test | Not | And | Or


@dataclass(frozen=True)
class _Token:
    text: str
    at: int
    kind: str  # sign, quoted, word, end


def parse(text: str) -> Node:
    """The tree of a filter's text. Raises FilterError."""
    if len(text) > MOST_OCTETS:
        raise FilterError(f"it is longer than {MOST_OCTETS:,} characters", text, MOST_OCTETS)
    parser = _Parser(text)
    node = parser.any(0)
    parser.expect("end", "&&, || or the end")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._next = 0

    def _split(self) -> list[_Token]:
        found, at = [], 0
        while match := _TOKEN.match(self._text, at):
            sign, quoted, word, strange = match.groups()
            if strange:
                what = "a text that is not closed" if strange == '"' else f"`{strange}`"
                raise FilterError(f"{what} has no place here", self._text, match.start(4))
            start = match.start(match.lastindex or 0)
            if sign or (word and word in _WORDS):
                found.append(_Token(sign or _WORDS[word], start, "sign"))
            else:
                found.append(_Token(quoted or word, start, "quoted" if quoted else "word"))
            at = match.end()
        return [*found, _Token("", len(self._text.rstrip()), "end")]

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += token.kind != "end"
        return token

    def _is(self, sign: str) -> bool:
        return self._now.kind == "sign" and self._now.text == sign

    def _accept(self, sign: str) -> bool:
        if self._is(sign):
            self._next += 1
            return True
        return False

    def expect(self, kind: str, wanted: str) -> _Token:
        """The next token, which must be of that kind."""
        if self._now.kind != kind:
            there = f"`{self._now.text}`" if self._now.text else "the end"
            raise FilterError(f"here must be {wanted}, not {there}", self._text, self._now.at)
        return self._take()

    def _sign(self, sign: str) -> None:
        if not self._accept(sign):
            self.expect("nothing", f"`{sign}`")

    def any(self, depth: int) -> Node:
        """A filter."""
        if depth > MOST_DEPTH:
            raise FilterError("it is nested too deeply", self._text, self._now.at)
        parts = [self._all(depth)]
        while self._accept("||"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, depth: int) -> Node:
        parts = [self._not(depth)]
        while self._accept("&&"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self, depth: int) -> Node:
        if self._accept("!"):
            if depth > MOST_DEPTH:
                raise FilterError("it is nested too deeply", self._text, self._now.at)
            return Not(self._not(depth + 1))
        if self._accept("("):
            inner = self.any(depth + 1)
            self._sign(")")
            return inner
        return self._test()

    def _test(self) -> Node:
        field = self.expect("word", "a field, for instance ip.addr or tcp")
        bits = self._value() if self._accept("&") else None
        word = self._now.text
        if self._now.kind in ("word", "sign") and word in OPERATORS:
            self._take()
            value = self._value()
            return Test(field.text, field.at, OPERATORS[word], ((value, value),), bits)
        if self._now.kind == "word" and word == "in":
            self._take()
            self._sign("{")
            ranges = [self._range()]
            while self._accept(",") or not self._is("}"):
                ranges.append(self._range())
            self._sign("}")
            return Test(field.text, field.at, "in", tuple(ranges), bits)
        return Test(field.text, field.at, bits=bits)

    def _value(self) -> Value:
        if self._now.kind == "quoted":
            token = self._take()
            return Value(token.text[1:-1], token.at, quoted=True)
        token = self.expect("word", "a value")
        return Value(token.text, token.at)

    def _range(self) -> tuple[Value, Value]:
        """`80`, `80..90` (one word to _split), `80 .. 90`."""
        first = self._value()
        if self._accept(".."):
            return first, self._value()
        if first.quoted or ".." not in first.text:
            return first, first
        low, _, high = first.text.partition("..")
        if not low or not high:
            raise FilterError("a range is written as 80..90", self._text, first.at)
        return Value(low, first.at), Value(high, first.at + len(low) + 2)
