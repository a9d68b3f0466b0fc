"""The wall in front of the store's one door: each text is read here first, and only what reads the store's rows goes on to the engine.

`readonly=1` of the embedded engine is no wall: `SELECT file('/etc/passwd')` reads a file, `DESCRIBE url(...)` dials out, and two
statements in one text run. So a text passes for what it is known to do, and never for want of a reason against it:

- lexer.py cuts it as the engine does and refuses what can be cut in two ways. What runs is the text as it was written, but for
  comments and a last SETTINGS: made anew from a parser's tree it would be another query, with that parser's ideas of functions.
- Whatever stands before a parenthesis must be a function of functions.py, a type or a keyword, no matter what a parser takes it for.
- tree.py has sqlglot read the same tokens: they must be one query, and its tables the store's, or a listed few of `system`.
- What is no query (SHOW, DESCRIBE, EXPLAIN, EXISTS) must have a form that is listed here.

A table without a database is one of the session's database, which must be the store's. Limits (memory, time) are the session's too.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headwater.errors import QueryRefused
from headwater.store.calls import Names, check
from headwater.store.functions import names
from headwater.store.lexer import Text, Token, cut, shown
from headwater.store.tree import tables

FORMATS = names(
    """
    native arrow arrowstream parquet orc msgpack avro bsoneachrow rowbinary{,withnames,withnamesandtypes} npy null values xml vertical
    json{,strings,columns,columnswithmetadata,compact,compactstrings,compactcolumns,objecteachrow} jsonlines jsonl ndjson prettyjsoneachrow
    json{,strings}eachrow{,withprogress} jsoncompact{,strings}eachrow{,withnames,withnamesandtypes,withprogress}
    csv{,withnames,withnamesandtypes} tsv{,raw}{,withnames,withnamesandtypes} tabseparated{,raw}{,withnames,withnamesandtypes}
    pretty{,compact,space}{,noescapes}{,monoblock} markdown md rawblob sqlinsert prometheus
    """
)
"""Output formats, in small letters, that need no file (a template, a schema)."""

_SWITCH, _WORD = range(2), re.compile(r"[A-Za-z0-9_][A-Za-z0-9_/+-]{0,39}")
SETTINGS: Mapping[str, range | re.Pattern[str]] = {
    "max_threads": range(1, 65),
    "max_block_size": range(1, 1_000_001),
    "max_execution_time": range(1, 61),  # 0 would be no limit
    "max_result_rows": range(1, 10_000_001),
    "session_timezone": _WORD,
    "join_algorithm": _WORD,
    "union_default_mode": _WORD,
    "date_time_output_format": _WORD,
    "output_format_json_quote_64bit_integers": _SWITCH,
    "output_format_json_quote_denormals": _SWITCH,
    "output_format_json_named_tuples_as_objects": _SWITCH,
    "output_format_arrow_low_cardinality_as_dictionary": _SWITCH,
    "describe_include_subcolumns": _SWITCH,
    "extremes": _SWITCH,
    "final": _SWITCH,
    "group_by_use_nulls": _SWITCH,
    "join_use_nulls": _SWITCH,
    "transform_null_in": _SWITCH,
    "use_skip_indexes": _SWITCH,
    "optimize_read_in_order": _SWITCH,
    "optimize_move_to_prewhere": _SWITCH,
    "allow_experimental_analyzer": range(1, 2),
    "enable_analyzer": range(1, 2),
}
"""What a query may set, and to what. Of a limit that the session has too, the store takes the smaller one."""

_EXPLAINED = re.compile(r"(AST|SYNTAX|QUERY TREE|PLAN|PIPELINE|ESTIMATE|ANALYZE)?((?: ?,? ?\w+ = \d+)*)")
_EXPLAIN_OPTIONS = names(
    "header description indexes projections actions sorting json keep_logical_steps compact graph oneline run_passes dump_passes "
    "passes dump_tree dump_ast optimize pretty distributed run_query_tree_passes query_tree_passes"
)
_LIKE = r"(?: (?:NOT )?I?LIKE '')?(?: LIMIT 0)?"
_TABLE = r"(?:(?P<database>\w+) \. )?(?P<table>\w+)"
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"SHOW DATABASES{_LIKE}",
        rf"SHOW (?:FULL )?TABLES(?: (?:FROM|IN) (?P<database>\w+))?{_LIKE}",
        rf"SHOW (?:FULL )?(?:COLUMNS|FIELDS) (?:FROM|IN) (?P<table>\w+) (?:FROM|IN) (?P<database>\w+){_LIKE}",
        rf"SHOW (?:FULL )?(?:COLUMNS|FIELDS) (?:FROM|IN) {_TABLE}{_LIKE}",
        rf"SHOW CREATE (?:TABLE|VIEW) {_TABLE}",
        r"SHOW CREATE (?P<database>\w+) \. (?P<table>\w+)",  # a word alone may be USER
        r"SHOW (?:FUNCTIONS|SETTINGS) I?LIKE ''",
        rf"EXISTS (?:(?:TABLE|VIEW) )?{_TABLE}",
        r"EXISTS DATABASE (?P<database>\w+)",
    )
]
_QUERY = ("SELECT", "WITH", "FROM")
_READS = (*_QUERY, "EXPLAIN", "DESCRIBE", "DESC")


@dataclass(frozen=True)
class Statement:
    """What passed: `text` is for the engine, with its FORMAT clause; `format` is the name there, as it was written.

    `settings` are those of a SETTINGS clause at the end, which is no longer in the text: a session with readonly=1 refuses any.
    """

    text: str
    kind: str  # select, explain, describe, show, exists
    format: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def checked(text: str, *, database: str = "headwater", functions: Collection[str] = (), dictionaries: Collection[str] = ()) -> Statement:
    """The one statement that a stranger's text is, or QueryRefused with what is wrong and what to do instead.

    `functions` (and parameterised views) and `dictionaries` are the store's own, in `database`.
    """
    whole = cut(text)
    ours = Names(database, functions, dictionaries)
    runs, tokens, form, settings = _tail(whole)
    return Statement(runs, _check_statement(whole, tokens, ours), form, settings)


def checked_setting(name: str, value: str) -> str:
    """The value of a setting that a query may have, from a SETTINGS clause or a URL. Raises QueryRefused."""
    allowed = SETTINGS.get(name)
    if allowed is None:
        raise QueryRefused(f"the setting `{shown(name)}` is not for queries to change", "leave it out")
    if isinstance(allowed, re.Pattern):
        fits = allowed.fullmatch(value) is not None
    else:
        fits = value.isascii() and value.isdigit() and len(value) < 10 and int(value) in allowed
    if not fits:
        what = "a short word" if isinstance(allowed, re.Pattern) else f"from {allowed[0]} to {allowed[-1]}"
        raise QueryRefused(f"the setting {name} is not {shown(value)} here", f"give {what}, or leave it out")
    return value


def _check_statement(text: Text, tokens: list[Token], ours: Names) -> str:
    """What kind of statement it is."""
    first = tokens[0].upper
    if first in _READS or tokens[0].text == "(":
        check(text, tokens, ours)  # before the tree, because it tells more exactly what is wrong
    if first in _QUERY or tokens[0].text == "(":
        _check_query(text.text, tokens, ours)
        return "select"
    if first == "EXPLAIN":
        begin = next((at for at, token in enumerate(tokens) if token.upper in _QUERY or token.text == "("), 0)
        match = _EXPLAINED.fullmatch(" ".join(token.text.upper() for token in tokens[1:begin]))
        if not begin or match is None or not {word.lower() for word in re.findall(r"\w+(?= =)", match[2])} <= _EXPLAIN_OPTIONS:
            raise QueryRefused(
                "EXPLAIN explains no such thing here", "write EXPLAIN, PLAN, PIPELINE, AST, SYNTAX, QUERY TREE or ESTIMATE, and a query"
            )
        _check_query(text.text, tokens[begin:], ours)
        return "explain"
    if first in ("DESCRIBE", "DESC"):
        rest = tokens[2:] if len(tokens) > 2 and tokens[1].upper == "TABLE" else tokens[1:]
        if not rest:
            raise QueryRefused("DESCRIBE lacks a table", "write DESCRIBE TABLE and its name")
        at = tokens[0].start
        from_ = Token("word", "FROM", at, at + 4)  # `FROM x` is a query, and no longer than DESC
        _check_query(f"{text.text[:at]}FROM{text.text[at + 4 :]}", [from_, *rest], ours)
        return "describe"
    return _check_form(tokens, ours)


def _check_query(text: str, tokens: list[Token], ours: Names) -> None:
    pieces, at = [], 0
    for token in tokens:  # what is not of the query becomes blank, so that places stay
        pieces += [re.sub(r"\S", " ", text[at : token.start]), text[token.start : token.end]]
        at = token.end
    for table in tables("".join(pieces), tokens):
        ours.check_table(table)


def _check_form(tokens: list[Token], ours: Names) -> str:
    marks = {"text": "''", "number": "0"}
    words = " ".join(marks.get(token.kind) or (token.name if token.name.isidentifier() else token.text) for token in tokens)
    for form in _FORMS:
        if match := form.fullmatch(words):
            found = match.groupdict()
            if found.get("table"):
                ours.check_table([name for name in (found["database"], found["table"]) if name])
            elif found.get("database") not in (None, ours.database, "system"):
                raise QueryRefused(
                    f"the database `{shown(found['database'])}` is not the store's", f"leave it out, or write {ours.database}"
                )
            return tokens[0].text.lower()
    first = shown(tokens[0].text)
    if first.upper() in ("SHOW", "EXISTS"):
        raise QueryRefused(
            f"{first} has no such form here", "write SHOW TABLES, SHOW CREATE TABLE x, SHOW COLUMNS FROM x or EXISTS TABLE x"
        )
    raise QueryRefused(f"`{first}` begins nothing that only reads", "write SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS")


def _tail(text: Text) -> tuple[str, list[Token], str | None, dict[str, str]]:
    """The text without its SETTINGS, the tokens before FORMAT and SETTINGS, and what those say. Either may come first."""
    runs, tokens = text.text, text.tokens
    form: str | None = None
    settings: dict[str, str] = {}
    while True:
        if len(tokens) > 2 and tokens[-2].upper == "FORMAT" and tokens[-1].name:
            if form is not None:
                raise QueryRefused("it has two formats", "write one")
            form = tokens[-1].name
            if form.lower() not in FORMATS:
                raise QueryRefused(
                    f"the format `{shown(form)}` is not for queries", "write one such as JSON, CSVWithNames, Arrow, Native or Pretty"
                )
            tokens = tokens[:-2]
        elif not settings and (begin := _settings_begin(text, len(tokens))):
            settings = _settings(tokens[begin + 1 :])
            runs = f"{runs[: tokens[begin].start]}{' ' * (tokens[-1].end - tokens[begin].start)}{runs[tokens[-1].end :]}"
            tokens = tokens[:begin]
        else:
            return runs.rstrip(), tokens, form, settings


def _settings_begin(text: Text, end: int) -> int:
    """Where, outside of all brackets, the last `SETTINGS name` is; 0 for nowhere."""
    at = end - 1
    while at > 0:
        if text.tokens[at].upper == "SETTINGS" and [token.text for token in text.tokens[at + 2 : at + 3]] == ["="]:
            return at
        at = text.partners.get(at, at) - 1
    return 0


def _settings(tokens: list[Token]) -> dict[str, str]:
    found = {}
    for at in range(0, len(tokens), 4):
        part = tokens[at : at + 4]
        signs = ["=", ","] if at + 4 < len(tokens) else ["="]
        if len(part) < 3 or [token.text for token in part[1::2]] != signs or part[2].kind not in ("text", "number", "word"):
            raise QueryRefused("SETTINGS is no list of name = value", "write it once, at the end")
        name, value = part[0].name, part[2].text.strip("'")
        found[name] = checked_setting(name, {"true": "1", "false": "0"}.get(value.lower(), value))
    return found
