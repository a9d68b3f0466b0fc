"""What sqlglot's ClickHouse dialect takes a query for: that it is one, and the tables in it.

It is a second opinion on a text that lexer.py has cut: each of its tokens must be whole ones of ours, or the two mean different texts.
"""

import logging
from collections.abc import Iterator
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ParseError
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

from headwater.errors import HeadwaterError, QueryRefused
from headwater.store.lexer import Token, shown

_DIALECT = ClickHouse()
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings would put a stranger's text into our log


class _Parser(ClickHouseParser):
    """Takes `LIMIT n BY x LIMIT m`, of which sqlglot's own takes one or the other."""

    @staticmethod
    def _limit(parser: ClickHouseParser) -> tuple[str, exp.Expr | None]:
        limit = parser._parse_limit()
        if limit is None or limit.expressions:
            return "limit_by", limit
        here = parser._index
        offset = parser._parse_offset()
        if offset is not None and offset.expressions:  # LIMIT n OFFSET m BY x
            limit.set("offset", offset)
            return "limit_by", limit
        parser._retreat(here)
        return "limit", limit

    QUERY_MODIFIER_PARSERS: ClassVar = {**ClickHouseParser.QUERY_MODIFIER_PARSERS, TokenType.LIMIT: _limit}


def tables(text: str, tokens: list[Token]) -> list[list[str]]:
    """The names of each table that a query reads, databases first; its functions are left to whoever asks.

    `tokens` are those of the text that count; what lies between them is blank. Raises QueryRefused.
    """
    try:
        return list(_tables(_query(text, tokens)))
    except ParseError as problem:
        first = problem.errors[0] if problem.errors else {}
        what = " ".join(str(first.get("description")).split()).rstrip(".")
        raise QueryRefused(
            f"line {first.get('line')}, column {first.get('col')}: {shown(what, 100)}", "look at what stands there"
        ) from None
    except RecursionError:
        raise QueryRefused("it is nested too deeply", "use WITH for parts of it") from None
    except HeadwaterError:
        raise
    except Exception as problem:  # noqa: BLE001 - what a stranger's text does to a parser of others is a refusal, whatever it raises
        raise QueryRefused(f"it cannot be read ({type(problem).__name__})", "write it in another way, and please report it") from None


def _query(text: str, tokens: list[Token]) -> exp.Expr:
    cut = _DIALECT.tokenize(text)
    starts, ends = {token.start for token in tokens}, {token.end for token in tokens}
    for token in cut:
        if token.start not in starts or token.end + 1 not in ends:
            raise QueryRefused(f"line {token.line}, column {token.col}: it can be read in two ways", "put spaces between words and signs")
    trees = _Parser(dialect=_DIALECT).parse(cut, text)
    if len(trees) != 1 or not isinstance(trees[0], exp.Query) or trees[0].find(exp.Command, exp.DDL, exp.DML, exp.Into):
        raise QueryRefused("it is not one query", "write one SELECT")
    return trees[0]


def _tables(query: exp.Expr) -> Iterator[list[str]]:
    for node in query.find_all(exp.Table, exp.In):
        parts: list[exp.Expr] = []
        if isinstance(node, exp.In):  # `x IN t`; to the engine `x IN (t)` is the same
            field = node.args.get("field") or (node.expressions[0].unnest() if len(node.expressions) == 1 else None)
            parts = list(field.parts) if isinstance(field, exp.Column | exp.Dot) else []
        elif isinstance(node, exp.Table) and not isinstance(node.this, exp.Func):
            parts = list(node.parts)
        if not all(isinstance(part, exp.Identifier) for part in parts):
            raise QueryRefused("what stands in place of a table's name is none", "write the name itself")
        if parts:
            yield [part.name for part in parts]
