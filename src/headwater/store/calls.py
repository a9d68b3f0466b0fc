"""What a query's words may call and reach, read from its tokens alone: no parser's idea of the text can hide a call from it.

The engine calls what stands before a parenthesis, what APPLY names, and what is named, without a parenthesis, as the first argument of
arrayMap and its kind. Some functions take the name of an aggregate function, a dictionary, a time zone or a type as a text, and one takes
columns.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from headwater.errors import QueryRefused
from headwater.store.functions import HIGHER_ORDER, NAMED_AGGREGATE, NAMED_DICTIONARY, TYPED, ZONED, is_aggregate, is_allowed, names
from headwater.store.lexer import Text, Token, shown
from headwater.store.type_names import TYPES, WITH_ZONE, is_structure, is_time, is_type, is_zone

SYSTEM_TABLES = names(
    "one numbers{,_mt} zeros{,_mt} databases tables columns parts functions table_functions settings formats data_type_families time_zones"
)
"""What clients find their way by (clickhouse-connect, Grafana's data source), and what makes rows. None tells of other readers."""

_KEYWORDS = names(
    """
    SELECT DISTINCT ON EXCEPT REPLACE COLUMNS APPLY AS FROM JOIN USING PREWHERE WHERE BY SETS ROLLUP CUBE HAVING QUALIFY OVER FILTER LIMIT
    OFFSET FETCH TO STEP INTERPOLATE SAMPLE UNION ALL INTERSECT WITH AND OR NOT IN BETWEEN LIKE ILIKE REGEXP ANY EXISTS CASE WHEN
    THEN ELSE INTERVAL DESCRIBE DESC TABLE EXPLAIN AST SYNTAX TREE PLAN PIPELINE ESTIMATE ANALYZE
    EXTRACT TRIM LTRIM RTRIM {DATE,TIMESTAMP}{_,}{ADD,SUB}
    """
)
"""What may stand before a parenthesis without being a function, or is one that the engine's parser itself knows (the last line)."""

_OTHER_DATABASES = {"system", "information_schema", "default"}
_NEVER = {"INTO": "it writes a file", "OUTFILE": "it writes a file", "INFILE": "it reads a file", "STREAM": "it never ends"}
_WORD = re.compile(r"[A-Za-z0-9_]+")
_SIMPLE_TEXT = re.compile(r"'([\w.]+)(?:\([\w., ]*\))?'")


@dataclass(frozen=True)
class Names:
    """What the store itself has: its database, and in it SQL functions, parameterised views and dictionaries."""

    database: str
    functions: Collection[str] = ()
    dictionaries: Collection[str] = ()

    def check_table(self, path: list[str]) -> None:
        """Refuses a table of another database, but for a few of `system`; one without a database is the session's."""
        if all(_WORD.fullmatch(name) for name in path):  # a table's name may be a file's or a URL to the engine
            match path:
                case [_]:
                    return
                case [database, _] if database == self.database:
                    return
                case ["system", table] if table in SYSTEM_TABLES:
                    return
        raise QueryRefused(f"`{shown('.'.join(path))}` is no table of the store", f"read those of {self.database}: SHOW TABLES tells them")

    def may_call(self, name: str) -> bool:
        """Whether a query may call it, whatever the arguments."""
        return is_allowed(name) or name in self.functions


def check(text: Text, tokens: list[Token], ours: Names) -> None:
    """Refuses what reaches further than the store. `tokens` are the first ones of the text."""
    for at, token in enumerate(tokens):
        before = tokens[at - 1].text if at else ""
        after = tokens[at + 1] if at + 1 < len(tokens) else None
        if token.upper in _NEVER and before != ".":
            raise QueryRefused(
                f"{token.upper} is not for queries: {_NEVER[token.upper]}", "leave it out, or put a column's name in backticks"
            )
        if after is None:
            continue
        if token.upper == "SETTINGS" and before != "." and after.name and after.upper != "FROM":  # a column may be called so
            raise QueryRefused("SETTINGS stands within the query, or is no list of name = value", "write it once, at the end")
        if token.upper == "PARALLEL" and after.upper == "WITH":
            raise QueryRefused("PARALLEL WITH begins a second statement", "send one statement at a time")
        if token.upper == "APPLY":
            _check_apply(tokens, at + 1, ours)
        if token.upper == "ZONE" and tokens[at - 1].upper == "TIME" and not is_zone(after.text):
            raise QueryRefused("what stands behind TIME ZONE is none", "write one such as 'Europe/Berlin'")
        if token.text == ":" and after.upper == "IDENTIFIER":
            raise QueryRefused("a parameter stands for a name", "write the name itself; parameters are for values")
        if after.text == "." and before != "." and token.name.lower() in _OTHER_DATABASES - {ours.database}:
            ours.check_table([token.name, *(part.name for part in tokens[at + 2 : at + 3])])
        if token.name and after.text == "(":
            _check_call(text, at, ours)


def _check_call(text: Text, at: int, ours: Names) -> None:
    tokens, called = text.tokens, text.tokens[at]
    name, begin, end = called.name, at + 1, text.partners[at + 1]
    of_database = at > 0 and tokens[at - 1].text == "."
    if name.upper() in WITH_ZONE and not all(is_zone(one.text) or is_time(one.text) for one in tokens[begin:end] if one.kind == "text"):
        raise QueryRefused(f"{name} has a time zone that is none", "write one such as 'Europe/Berlin'")
    if not of_database and (called.upper in _KEYWORDS or called.text in TYPES or _is_list_of_columns(tokens, begin, end)):
        return
    first = tokens[begin + 1].text if [token.text for token in tokens[begin + 2 : begin + 3]] == [","] else ""
    named = _SIMPLE_TEXT.fullmatch(first)
    if name.lower() == "values":
        if not is_structure(first):
            raise QueryRefused(
                "the first argument of values is no plain list of columns", "write values('a UInt8, b String', (1, 'x'), ...)"
            )
    elif name in NAMED_AGGREGATE:
        if named is None or not is_aggregate(named[1]):
            raise QueryRefused(f"the first argument of {name} names no aggregate function", "write its name as a text, for instance 'sum'")
    elif name in NAMED_DICTIONARY and ours.dictionaries:
        if named is None or named[1].removeprefix(f"{ours.database}.") not in ours.dictionaries:
            raise QueryRefused(
                f"the first argument of {name} names no dictionary of the store", f"write one of {', '.join(sorted(ours.dictionaries))}"
            )
    elif not (name in ours.functions if of_database else ours.may_call(name)):
        raise QueryRefused(
            f"`{shown(name)}` is no function that a query may call",
            "use what only computes from its arguments, such as the functions of texts, times, arrays and addresses",
        )
    elif name in HIGHER_ORDER:
        _check_called_argument(text, begin, ours)
    _check_texts(text, begin, name)


def _is_list_of_columns(tokens: list[Token], begin: int, end: int) -> bool:
    """`WITH t (a, b) AS (SELECT ...)`: no expression goes on like that."""
    inside = tokens[begin + 1 : end]
    listed = all(token.name if at % 2 == 0 else token.text == "," for at, token in enumerate(inside))
    return bool(inside) and listed and [token.text.upper() for token in tokens[end + 1 : end + 3]] == ["AS", "("]


def _check_texts(text: Text, begin: int, of: str) -> None:
    """The arguments of a function that takes the name of a time zone or a type: where that may stand, it stands written out."""
    name, given = of.lower(), _arguments(text, begin)
    if (place := ZONED.get(name)) is not None:
        for argument in given[place:]:
            if len(argument) != 1 or not (argument[0].kind == "number" or is_zone(argument[0].text)):
                raise QueryRefused(
                    f"what may be the time zone of {of} is not written out", "write its name as a text, such as 'Europe/Berlin'"
                )
    if (place := TYPED.get(name)) is not None and len(given) > abs(place):
        last = given[place]
        if not (len(last) == 1 and (last[0].kind == "number" or is_type(last[0].text))):
            raise QueryRefused(f"the type of {of} is not written out, or no plain one", "write it as a text, such as 'Array(UInt8)'")


def _arguments(text: Text, begin: int) -> list[list[Token]]:
    """Those between the parentheses, as tokens each."""
    found: list[list[Token]] = [[]]
    at, end = begin + 1, text.partners[begin]
    while at < end:
        token = text.tokens[at]
        if token.text == ",":
            found.append([])
        else:
            after = text.partners[at] + 1 if token.kind == "sign" and at in text.partners else at + 1
            found[-1] += text.tokens[at:after]
            at = after - 1
        at += 1
    return found if found != [[]] else []


def _check_called_argument(text: Text, begin: int, ours: Names) -> None:
    """The first of several arguments of arrayMap and its kind: a lambda, or the names of functions that may be called."""
    tokens, end = text.tokens, text.partners[begin]
    bare: list[str] = []
    at = begin + 1
    while at < end:
        token = tokens[at]
        if token.text == "->":
            return
        if token.text == ",":
            for name in bare:
                if not ours.may_call(name):
                    raise QueryRefused(f"{tokens[begin - 1].name} would call `{shown(name)}`", "write a lambda, for instance x -> x + 1")
            return
        inside = tokens[at : text.partners[at] + 1] if token.kind == "sign" and at in text.partners else [token]
        bare += [part.name for part in inside if part.name]
        at += len(inside)


def _check_apply(tokens: list[Token], at: int, ours: Names) -> None:
    """`* APPLY(f)`, `* APPLY f`: without a parenthesis of its own."""
    if tokens[at].text == "(":
        at += 1
    name, after = tokens[at].name, tokens[at + 1].text if at + 1 < len(tokens) else ""
    if name and after not in ("->", "(") and not ours.may_call(name):
        raise QueryRefused(f"APPLY would call `{shown(name)}`", "name a function such as toString, or write a lambda")
