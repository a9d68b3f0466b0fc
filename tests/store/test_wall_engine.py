"""The wall before a real engine: hunts run, what is refused touches nothing, and without the wall the same engine does the harm.

The engine is also asked what it takes a text for: its own lexer (tokenizeQuery) and parser (EXPLAIN AST) against the wall's reading.
"""

import importlib.util
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from store import queries
from store.engine import Engine

from headwater.errors import QueryRefused
from headwater.store import calls, functions
from headwater.store.calls import SYSTEM_TABLES
from headwater.store.lexer import cut
from headwater.store.type_names import TYPES
from headwater.store.wall import FORMATS, SETTINGS, checked

if importlib.util.find_spec("chdb") is None:
    pytest.skip("the engine is of the extra `store`", allow_module_level=True)

LEGAL = queries.LEGAL
# What the engine's parser itself makes calls of.
OPERATORS = {"in", "notIn", "globalIn", "globalNotIn", "lambda", "exists", "caseWithExpression", "SQLStandardValues"}

NO_FUNCTIONS = calls._KEYWORDS | TYPES


class Server(ThreadingHTTPServer):
    """Counts who dials it, whatever they speak."""

    calls = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        self.calls += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """What speaks no HTTP is counted all the same."""


class Page(BaseHTTPRequestHandler):
    """A table of one column wherever one looks."""

    timeout = 1

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"abc\n")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing: many dial it."""


class Canary:
    """What an attack would touch: a file to read, a place to write to, an address to dial."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "secret.txt", folder
        self.file.write_text("canary-4711\n")
        self.server = Server(("127.0.0.1", 0), Page)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def calls(self) -> int:
        return self.server.calls

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def lure(self, query: str, written: str = "written") -> str:
        """The query with the marks in it filled in."""
        address = f"127.0.0.1:{self.server.server_port}"
        marks = {"@FILE@": self.file, "@OUT@": self.folder / written, "@URL@": f"http://{address}/", "@ADDRESS@": address}
        for mark, value in marks.items():
            query = query.replace(mark, str(value))
        return query

    def state(self) -> tuple[int, list[Path]]:
        return self.calls, sorted(self.folder.iterdir())


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    made = Canary(tmp_path_factory.mktemp("canary"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


def through_the_wall(engine: Engine, text: str) -> str:
    return engine.ask(checked(text).text)


def test_hunts_run_and_give_rows(engine: Engine) -> None:
    for text in LEGAL:
        assert through_the_wall(engine, text), text


def test_through_the_wall_nothing_is_touched(engine: Engine, canary: Canary) -> None:
    before = canary.state()
    for query in queries.REFUSED:
        with pytest.raises(QueryRefused):
            through_the_wall(engine, canary.lure(query))
    assert canary.state() == before
    assert engine.ask("SELECT currentDatabase(), count() FROM conn") == "headwater\t2000\n"


def test_without_the_wall_files_are_read(engine: Engine, canary: Canary) -> None:
    for query in queries.READS_A_FILE:
        assert "canary-4711" in engine.ask(canary.lure(query)), query


def test_without_the_wall_files_are_written(engine: Engine, canary: Canary) -> None:
    for at, query in enumerate(queries.WRITES_A_FILE):
        engine.ask(canary.lure(query, f"written.{at}"))
        assert (canary.folder / f"written.{at}").exists(), query


def test_without_the_wall_it_dials_out(engine: Engine, canary: Canary) -> None:
    for query in queries.DIALS_OUT[:5]:
        calls = canary.calls
        try:
            engine.ask(canary.lure(query))
        except RuntimeError as problem:
            assert "READONLY" not in str(problem)
        assert canary.calls > calls, query


def test_without_readonly_it_would_dial_out_of_queries_too(tmp_path: Path, canary: Canary) -> None:
    with Engine(tmp_path, readonly=0) as open_engine:
        for query in queries.DIALS_OUT[6:11]:
            calls = canary.calls
            open_engine.ask(canary.lure(query))
            assert canary.calls > calls, query


def test_without_the_wall_the_server_is_changed(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        assert engine.ask("SYSTEM STOP MERGES") == ""
        assert engine.ask("KILL QUERY WHERE 1")
        assert engine.ask("SELECT 1; SELECT 2") == "1\n2\n"
        assert "processes" in engine.ask("SELECT query FROM system.processes")
        assert engine.ask("USE system") == ""
        assert engine.ask("SELECT currentDatabase()") == "system\n"


@pytest.mark.parametrize("text", queries.OVERWHELMING, ids=lambda text: f"{text[:24]!r}...")
def test_what_passes_does_not_overwhelm_the_engine(engine: Engine, text: str) -> None:
    try:
        statement = checked(text)
    except QueryRefused:
        return
    try:
        engine.ask(statement.text)
    except RuntimeError as problem:
        assert "Code: " in str(problem)


# what the engine takes a text for


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def lexed_alike(engine: Engine, text: str) -> bool:
    """Whether a text was cut, and then as the engine cuts it; a text that is refused is neither."""
    try:
        ours = cut(text)
    except QueryRefused:
        return False
    theirs = json.loads(engine.ask(f"SELECT tokenizeQuery({quoted(ours.text)}) AS t", "JSONEachRow"))["t"]
    octets = ours.text.encode()
    wanted = [octets[token["begin"] : token["end"]].decode() for token in theirs if token["type"] not in ("Whitespace", "EndOfStream")]
    assert [token.text for token in ours.tokens] == wanted, text
    assert "Comment" not in {token["type"] for token in theirs}, text
    return True


def parsed_alike(engine: Engine, text: str) -> bool:
    """Whether the wall lets a query pass, and the engine's own tree of it then holds nothing that is not allowed."""
    try:
        statement = checked(text)
    except QueryRefused:
        return False
    if statement.kind != "select":
        return False
    query = re.sub(r"FORMAT \w+$", "", statement.text, flags=re.IGNORECASE)
    try:
        tree = engine.ask(f"EXPLAIN AST {query}", "TSVRaw")
    except RuntimeError:
        return False
    for name in re.findall(r"^ *Function (\S+)", tree, re.MULTILINE):
        assert functions.is_allowed(name) or name in functions.NAMED_AGGREGATE or name in OPERATORS | NO_FUNCTIONS, (name, text)
    for name in re.findall(r"^ *TableIdentifier (\S+)", tree, re.MULTILINE):
        assert re.fullmatch(rf"(headwater\.)?\w+|system\.({'|'.join(SYSTEM_TABLES)})", name), (name, text)
    for node in re.findall(r"^ *(Set|\w+Query)\b", tree, re.MULTILINE):
        assert "Select" in node, (node, text)
    return True


def test_the_engine_cuts_texts_alike(engine: Engine) -> None:
    assert sum(lexed_alike(engine, text) for text in LEGAL) == len(LEGAL)
    assert sum(lexed_alike(engine, text) for text in queries.mutants(1500, seed=1)) > 300


def test_the_engine_reads_queries_alike(engine: Engine) -> None:
    assert sum(parsed_alike(engine, text) for text in LEGAL) > 90
    assert sum(parsed_alike(engine, text) for text in queries.mutants(3000, seed=2)) > 100


# the lists


def names_of(engine: Engine, query: str) -> set[str]:
    return set(engine.ask(query).split())


def test_each_listed_name_is_one_of_the_engines(engine: Engine) -> None:
    every = names_of(engine, "SELECT name FROM system.functions")
    tables = names_of(engine, "SELECT name FROM system.table_functions")
    any_case = names_of(engine, "SELECT lower(name) FROM system.functions WHERE case_insensitive")
    exact = functions._EXACT | functions._AGGREGATES | functions.NAMED_AGGREGATE | functions.NAMED_DICTIONARY
    assert exact - every == set()
    assert any_case >= functions._LOWER | functions._AGGREGATES_LOWER
    assert tables >= functions.TABLE_FUNCTIONS
    assert functions._EXACT >= functions.HIGHER_ORDER
    assert names_of(engine, "SELECT lower(name) FROM system.formats WHERE is_output") >= FORMATS
    assert names_of(engine, "SELECT name FROM system.settings") >= set(SETTINGS)
    assert names_of(engine, "SELECT name FROM system.tables WHERE database = 'system'") >= SYSTEM_TABLES


def test_no_other_name_passes_for_a_listed_one(engine: Engine) -> None:
    """By its letters' case, as an alias, as one with a combinator's ending, or as a table function."""
    listed = functions._EXACT | functions._AGGREGATES
    for name, alias_of in (line.split("\t") for line in engine.ask("SELECT name, alias_to FROM system.functions").splitlines()):
        if functions.is_allowed(name):
            assert name in listed or name.lower() in functions._LOWER | functions._AGGREGATES_LOWER, name
            assert not alias_of or functions.is_allowed(alias_of), (name, alias_of)
    for name in names_of(engine, "SELECT name FROM system.table_functions") - functions.TABLE_FUNCTIONS:
        assert not functions.is_allowed(name), name


def test_no_keyword_and_no_type_is_a_function_that_is_not_allowed(engine: Engine) -> None:
    every = names_of(engine, "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions")
    any_case = names_of(engine, "SELECT lower(name) FROM system.functions WHERE case_insensitive")
    for word in NO_FUNCTIONS:
        if word in every or word.lower() in any_case:
            assert functions.is_allowed(word) or word in OPERATORS, word


def test_no_function_calls_a_bare_name_that_is_not_known_to(engine: Engine, canary: Canary) -> None:
    """Each allowed function, and whatever takes a lambda: only those of HIGHER_ORDER may."""
    lambdas = (
        "x -> 1, [1]",
        "(x, y) -> 1, [1], [1]",
        "(x, y) -> 1, map(1, 1)",
        "(x, y) -> (x, y), map(1, 1)",
        "x -> 1, 1, [1]",
        "(a, x) -> a, [1], 1",
    )
    for name in sorted(names_of(engine, "SELECT name FROM system.functions WHERE NOT is_aggregate")):
        if not functions.is_allowed(name) or name in functions.HIGHER_ORDER:
            continue
        for arguments in lambdas:
            with pytest.raises(RuntimeError):
                engine.ask(f"SELECT {name}({arguments})")


def test_no_function_takes_a_time_zone_that_is_not_written_out(engine: Engine) -> None:
    """Wherever one may stand: the engine opens the file that it names."""
    named = "SELECT name FROM system.functions WHERE categories IN ('Dates and Times', 'Time Window', 'Type Conversion')"
    before = ["", "T", "T, 1", "'day', T", "'day', T, T", "T, INTERVAL 1 DAY, INTERVAL 1 DAY", "'x', '%Y'"]
    met = 0
    for name in filter(functions.is_allowed, names_of(engine, named)):
        for first in before:
            arguments = ", ".join(filter(None, [re.sub(r"\bT\b", "now64()", first), "'/x' || 'y'"]))
            try:
                text = checked(f"SELECT {name}({arguments})").text
            except QueryRefused:
                met += 1
                continue
            try:
                engine.ask(text)
            except RuntimeError as problem:
                assert "Cannot load time zone" not in str(problem), text
    assert met > 300
