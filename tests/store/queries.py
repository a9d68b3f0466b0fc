"""What the wall must let through, with the tables that it asks, and what it must refuse: a query a line of queries/*.sql.

@FILE@ is a file that nobody may read, @OUT@ one that nobody may write, @URL@ and @ADDRESS@ what nobody may dial. What a line cannot hold is
written as @LF@ and so on. The names of the refused ones' files tell of the harm that they do to an engine without the wall.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent / "queries"
_MARKS = {"@LF@": "\n", "@CR@": "\r", "@NBSP@": "\xa0", "@NUL@": "\x00", "@FF@": "\f"}


def _lines(name: str) -> list[str]:
    lines = (HERE / f"{name}.sql").read_text().removesuffix("\n").split("\n")
    for mark, meant in _MARKS.items():
        lines = [line.replace(mark, meant) for line in lines]
    return lines


TABLES = (HERE / "tables.sql").read_text().split("---")
LEGAL = _lines("legal")
READS_A_FILE = _lines("reads_a_file")
DIALS_OUT = _lines("dials_out")
WRITES_A_FILE = _lines("writes_a_file")
REFUSED = [
    *READS_A_FILE,
    *DIALS_OUT,
    *WRITES_A_FILE,
    *_lines("begins_something_else"),
    *_lines("reaches_further"),
    *_lines("unreadable"),
]

OVERWHELMING = [
    "SELECT " + "NOT " * 10_000 + "1",
    "SELECT " + "- " * 10_000 + "1",
    "SELECT 1" + " + 1" * 9_000,
    "SELECT 'a'" + " || 'a'" * 9_000,
    "SELECT 1" + " AND 1" * 9_000,
    "SELECT " + "CASE WHEN " * 9_000,
    "SELECT " + "1 ? " * 4_000 + "1" + " : 1" * 4_000,
    "SELECT " + "x -> " * 9_000 + "1",
    "SELECT 1" + " UNION ALL SELECT 1" * 4_000,
    "SELECT 1" + " EXCEPT SELECT 1" * 4_000,
    "SELECT " + "INTERVAL " * 15_000,
    "SELECT 1" + "::Int8" * 9_000,
    "SELECT x" + "[1]" * 6_000,
    "SELECT x" + ".1" * 9_000,
    "SELECT 1 IN " * 6_000 + "(1)",
    "SELECT 1 FROM a" + " JOIN a USING b" * 4_000,
    "SELECT " + "(" * 59 + "1" + ")" * 59,
    "SELECT " + "[" * 59 + "1" + "]" * 59,
    "SELECT " + "abs(" * 59 + "1" + ")" * 59,
    "SELECT " + "(SELECT " * 59 + "1" + ")" * 59,
    "SELECT " + "CAST(" * 59 + "1" + " AS Int8)" * 59,
    "SELECT 1::" + "Array(" * 59 + "Int8" + ")" * 59,
    "WITH " + "a AS (WITH " * 58 + "a AS (SELECT 1)" + " SELECT 1)" * 58 + " SELECT 1",
    "SELECT * FROM " + "(" * 59 + "conn" + ")" * 59,
    "SELECT " + "if(1, " * 59 + "1" + ", 2)" * 59,
    "EXPLAIN " * 9_000 + "SELECT 1",
    "EXPLAIN " + "actions = 1, " * 4_000 + "SELECT 1",
    "SHOW " * 19_000,
]
"""What makes a parser recurse, look back or take its time."""

TOO_LARGE = [
    "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "SELECT " + "(" * 61 + "1" + ")" * 61,
    "SELECT " + "/*" * 100_000,
    "SELECT '" + "\\'" * 100_000,
    "SELECT '" + "''" * 100_000,
    "SELECT " + "`" * 200_001,
    "SELECT " + "1," * 20_000 + "1",
    "SELECT '" + "x" * 256 * 1024 + "'",
    "SELECT '" + "é" * 128 * 1024 + "'",
    "SELECT '\ud800'",
    "SELECT " + "a." * 20_000 + "a",
    ";" * 20_001,
]


def mutants(count: int, seed: int) -> Iterator[str]:
    """Queries with parts of others in them: what the wall and the engine might read in two ways."""
    chance = random.Random(seed)
    whole = [*LEGAL, *REFUSED]
    parts = [part for text in whole for part in re.findall(r"\w+|'[^']*'|[^\w\s]+|\s", text)]
    parts += [
        "--",
        "/*",
        "*/",
        "'",
        '"',
        "`",
        "\\",
        "\n",
        "file",
        "(",
        ")",
        "'@FILE@'",
        "system.users",
        ".",
        "$$",
        ",",
        "->",
        "AS",
        "APPLY",
    ]
    for _ in range(count):
        cells = re.findall(r"\w+|\s+|.", chance.choice(whole), re.DOTALL)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(cells) + 1)
            cells[at : at + chance.choice([0, 0, 1, 2, 5])] = [chance.choice(parts) for _ in range(chance.randint(0, 3))]
        yield "".join(cells)
