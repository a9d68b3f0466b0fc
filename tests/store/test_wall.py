"""The wall by itself: what passes and how, what is refused and with what words, and that nothing else can come of any text."""

from contextlib import suppress

import pytest
from cpu import cpu_seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from store import queries

from headwater.errors import QueryRefused
from headwater.store import functions
from headwater.store.lexer import MOST_TOKENS, Token, cut
from headwater.store.tree import tables
from headwater.store.wall import Statement, checked, checked_setting

LEGAL, REFUSED = queries.LEGAL, queries.REFUSED


def refusal(text: str) -> str:
    with pytest.raises(QueryRefused) as caught:
        checked(text)
    return str(caught.value)


def test_there_are_as_many_as_promised() -> None:
    assert len(set(LEGAL)) >= 120
    assert len(set(REFUSED)) >= 150


@pytest.mark.parametrize("text", LEGAL)
def test_a_hunt_passes(text: str) -> None:
    assert checked(text).text.split()[0].upper() in ("SELECT", "WITH", "FROM", "(SELECT", "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN")


@pytest.mark.parametrize("text", REFUSED)
def test_what_reaches_further_is_refused_in_one_line(text: str) -> None:
    message = refusal(text)
    assert message.isprintable() and message.isascii() and len(message) < 300
    assert message.startswith("this query is refused: ") and "; " in message


@pytest.mark.parametrize("text", LEGAL)
def test_case_and_space_and_comments_change_nothing(text: str) -> None:
    statement = checked(text)
    for other in (f" \n\t{text}\n", f"/* x */{text}\n;\n", f"-- x ' /*\n{text}\n-- y", f"{text} /* a /* ; */ ' */"):
        changed = checked(other)
        assert (changed.text.split(), changed.kind, changed.format) == (statement.text.split(), statement.kind, statement.format)


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("SELECT 1", Statement("SELECT 1", "select")),
        ("SELECT 1 FORMAT json;", Statement("SELECT 1 FORMAT json", "select", "json")),
        ("SELECT /* a */ 'b' -- c", Statement("SELECT         'b'", "select")),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 2", Statement("SELECT 1 FORMAT CSV", "select", "CSV", {"max_threads": "2"})),
        ("SELECT 1 SETTINGS final = true, max_threads = '3'", Statement("SELECT 1", "select", None, {"final": "1", "max_threads": "3"})),
        ("SHOW TABLES FORMAT JSON", Statement("SHOW TABLES FORMAT JSON", "show", "JSON")),
        ("DESCRIBE\nconn", Statement("DESCRIBE\nconn", "describe")),
        ("EXISTS conn", Statement("EXISTS conn", "exists")),
        ("EXPLAIN AST SELECT 1", Statement("EXPLAIN AST SELECT 1", "explain")),
    ],
)
def test_what_runs_is_the_text_but_for_comments_and_settings(text: str, statement: Statement) -> None:
    assert checked(text) == statement


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT file('/etc/passwd')", "`file` is no function that a query may call"),
        ("SELECT arrayMap(file, ['x'])", "arrayMap would call `file`; write a lambda"),
        ("SELECT 1 INTO OUTFILE 'x'", "INTO is not for queries: it writes a file"),
        ("SELECT 1; DROP TABLE conn", "line 1, column 9: a second statement begins after `;`; send one statement at a time"),
        ("SELECT\n  a.b FROM system.users", "`system.users` is no table of the store; read those of headwater"),
        ("DROP TABLE conn", "`DROP` begins nothing that only reads; write SELECT"),
        ("SELECT 1 SETTINGS readonly = 0", "the setting `readonly` is not for queries to change; leave it out"),
        ("SELECT\n'x", "line 2, column 1: a text that is not closed"),
        ("SELECT \u202e1", "line 1, column 8: the character U+202E; quote texts"),
        ("SELECT * FROM conn WHERE", "line 1, column 24: "),
        ("SELECT " + "(" * 61 + "1" + ")" * 61, "line 1, column 68: it is nested too deeply; use WITH"),
        ("SELECT 1 FORMAT Template", "the format `Template` is not for queries; write one such as JSON"),
    ],
)
def test_a_refusal_tells_what_to_do(text: str, words: str) -> None:
    assert words in refusal(text)


def test_another_stores_names() -> None:
    assert checked("SELECT * FROM flow.conn", database="flow")
    with pytest.raises(QueryRefused, match="no table of the store; read those of flow"):
        checked("SELECT * FROM headwater.conn", database="flow")
    assert checked("SELECT zone(1), headwater.busiest(n = 3)", functions={"zone", "busiest"})
    assert refusal("SELECT zone(1)")
    for text in ("SELECT dictGet('asn', 'name', 1)", "SELECT dictGet('headwater.asn', 'name', 1)"):
        assert checked(text, dictionaries={"asn"})
        assert refusal(text)
    for text in (
        "SELECT dictGet('other.asn', 'n', 1)",
        "SELECT dictGet(concat('a', 'sn'), 'n', 1)",
        "SELECT dictGet('as\\'n', 'n', 1)",
        "SELECT dictGet('asn' || '', 'n', 1)",
    ):
        with pytest.raises(QueryRefused):
            checked(text, dictionaries={"asn"})


@pytest.mark.parametrize(("name", "value"), [("max_threads", "4"), ("session_timezone", "Europe/Berlin"), ("join_use_nulls", "0")])
def test_a_setting_of_a_url(name: str, value: str) -> None:
    assert checked_setting(name, value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_threads", "0"),
        ("max_threads", "٣"),
        ("max_threads", ""),
        ("max_execution_time", "0"),
        ("readonly", "2"),
        ("session_timezone", "/etc/passwd"),
        ("final", "2"),
        ("x", ""),
    ],
)
def test_a_setting_that_is_not_for_queries(name: str, value: str) -> None:
    with pytest.raises(QueryRefused):
        checked_setting(name, value)


@pytest.mark.parametrize("text", queries.OVERWHELMING, ids=lambda text: f"{text[:24]!r}...")
def test_what_would_overwhelm_a_parser(text: str) -> None:
    def check() -> None:
        with suppress(QueryRefused):
            checked(text)

    assert cpu_seconds(check, 10) < 10  # what grows with a power of the text takes minutes


@pytest.mark.parametrize("text", queries.TOO_LARGE, ids=lambda text: f"{text[:24]!r}...")
def test_what_is_too_large(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    "nested", ["({})", "[{}]", "f({})".replace("f", "abs"), "(SELECT {})", "arrayMap(x -> {}, [1])", "CASE WHEN 1 THEN {} END"]
)
def test_what_is_nested_as_deep_as_people_nest(nested: str) -> None:
    text = "1"
    for _ in range(12):
        text = nested.format(text)
    assert checked(f"SELECT {text}").kind == "select"


def test_a_long_list_passes() -> None:
    ports = ", ".join(map(str, range(MOST_TOKENS // 2 - 20)))
    assert checked("SELECT * FROM conn WHERE `id.resp_p` IN (@)".replace("@", ports))


def test_what_sqlglot_cuts_otherwise_is_refused() -> None:
    text = "SELECT ab FROM conn"
    select, ab, from_, conn = cut(text).tokens
    assert tables(text, [select, ab, from_, conn]) == [["conn"]]
    for tokens in ([select, from_, conn], [select, Token("word", "ab FROM", 7, 14), conn], [select, Token("word", "a", 7, 8), from_, conn]):
        with pytest.raises(QueryRefused, match="it can be read in two ways"):
            tables(text, tokens)


pieces = st.sampled_from([piece for query in [*LEGAL, *REFUSED] for piece in query.replace("(", " ( ").replace(",", " , ").split()])
texts = st.one_of(
    st.text(max_size=200),
    st.lists(pieces, max_size=25).map(" ".join),
    st.tuples(st.sampled_from(LEGAL), st.integers(0, 300), st.one_of(pieces, st.text(max_size=3))).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
    ),
    st.tuples(st.sampled_from(LEGAL), st.integers(0, 300), st.integers(0, 20)).map(lambda t: t[0][: t[1]] + t[0][t[1] + t[2] :]),
)


@settings(max_examples=500)
@given(texts)
def test_any_text_passes_or_is_refused(text: str) -> None:
    try:
        statement = checked(text)
    except QueryRefused as refused:
        assert str(refused).isprintable()
    else:
        assert checked(statement.text).text == statement.text
        assert "file(" not in statement.text.split("'")[0::2]


def test_queries_with_parts_of_others_pass_or_are_refused() -> None:
    for text in queries.mutants(5_000, seed=3):
        with suppress(QueryRefused):
            assert checked(text).text


def test_words_with_braces() -> None:
    assert functions.names("a{,b}c{1,2} d") == {"ac1", "ac2", "abc1", "abc2", "d"}


@pytest.mark.parametrize(
    "name", "count COUNT sumIf quantilesTDigestArrayIf uniqMergeState argMaxOrNull sumMap groupArrayDistinct abs ABS".split()
)
def test_a_function_that_may_be_called(name: str) -> None:
    assert functions.is_allowed(name)


@pytest.mark.parametrize("name", "file FILE fileIf Array IfIf dictGet toint8 ARRAYMAP sumFile StateIf url urlState".split())
def test_a_function_that_may_not(name: str) -> None:
    assert not functions.is_allowed(name)
