"""The table of src/headwater/records/zeek_types.py out of Zeek's own scripts: `docs/zeek_types.py TREE` says where the two differ, and
with `--write` makes it anew. TREE is Zeek's source, of the version that the table names.

Of Zeek's language this reads only what logs are made of: records and what scripts add to them, aliases of types, and streams.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from headwater.records import zeek_types

TABLE = Path(zeek_types.__file__)
PLAIN = {"time", "interval", "count", "int", "double", "bool", "addr", "port", "subnet", "string", "pattern"}
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|#[^\n]*')
_MODULE = re.compile(r"^\s*module\s+(\w+)\s*;", re.M)
_RECORD = re.compile(r"\b(?:type\s+([\w:]+)\s*:\s*record|redef\s+record\s+([\w:]+)\s*\+=)\s*\{")
_ALIAS = re.compile(r"\btype\s+([\w:]+)\s*:\s*((?:set\s*\[|vector\s+of\b)[^;&]*)")
_FIELD = re.compile(r"\s*(\w+)\s*:\s*([^&]+?)\s*((?:&.*)?)", re.S)
_STREAM = re.compile(r"Log::create_stream\s*\(\s*[\w:]+\s*,\s*(?:Log::Stream\s*\(|\[)(.*?)[)\]]\s*\)", re.S)
_SET, _VECTOR = re.compile(r"set\s*\[\s*([\w:]+)\s*\]"), re.compile(r"vector\s+of\s+([\w:]+)")

T = TypeVar("T")
Field = tuple[str, str, bool, bool]  # name, type, whether it is logged, whether a policy has it


class Scripts:
    """What the scripts of a tree say."""

    def __init__(self, tree: Path) -> None:
        self.records: dict[str, list[Field]] = {}
        self.aliases: dict[str, str] = {}
        self.streams: dict[str, tuple[str, str, str]] = {}  # path: (script, module, record)
        scripts = tree / "scripts"
        for path in sorted(scripts.rglob("*.zeek"), key=lambda one: ("policy" in one.relative_to(scripts).parts, one)):
            self._read(path.read_text(errors="replace"), str(path.relative_to(scripts)).removesuffix(".zeek"))

    def _read(self, text: str, script: str) -> None:
        text = _COMMENT.sub(lambda found: found[1] or "", text)
        found = _MODULE.search(text)
        module = found[1] if found else "GLOBAL"
        for name, of in _ALIAS.findall(text):
            self.aliases[_whole(name, module)] = of.strip()
        for match in _RECORD.finditer(text):
            body, behind = _braces(text, match.end())
            all_logged = "&log" in behind
            for part in body.split(";"):
                if field := _FIELD.fullmatch(part):
                    logged = all_logged or bool(re.search(r"&log\b", field[3]))
                    one = field[1], " ".join(field[2].split()), logged, script.startswith("policy/")
                    self.records.setdefault(_whole(match[1] or match[2], module), []).append(one)
        for said in _STREAM.findall(text):
            columns, path = re.search(r"\$columns\s*=\s*([\w:]+)", said), re.search(r'\$path\s*=\s*"([^"]+)"', said)
            if columns and path:
                self.streams[path[1]] = script, module, columns[1]

    def lines(self) -> Iterator[str]:
        """The table, a log a line."""
        for path, (script, module, record) in sorted(self.streams.items()):
            own, added = [], []
            for name, of, policy in self._fields(record, module):
                (added if policy and not script.startswith("policy/") else own).append(f"{name}:{of}" if of else name)
            yield f"{path} | {script} | {' '.join([*own, *(['+', *added] if added else [])])}"

    def _fields(self, record: str, module: str, *, within: bool = False) -> Iterator[tuple[str, str, bool]]:
        for name, of, logged, policy in self._find(self.records, record, module) or []:
            if not logged:
                continue
            if of == "conn_id" and name == "id" and not within:
                yield name, "", policy
            elif self._find(self.records, of, module) is not None:
                home = record.rpartition("::")[0] or module
                yield from ((f"{name}.{inner}", kind, policy or later) for inner, kind, later in self._fields(of, home, within=True))
            else:
                yield name, self._type(of, module), policy

    def _type(self, of: str, module: str) -> str:
        of = self._find(self.aliases, of, module) or of
        for word, pattern in (("set", _SET), ("vector", _VECTOR)):
            if found := pattern.match(of):
                return f"{word}[{self._type(found[1], module)}]"
        return of if of in PLAIN else "enum"

    @staticmethod
    def _find(those: dict[str, T], name: str, module: str) -> T | None:
        return those.get(_whole(name, module), those.get(f"GLOBAL::{name}"))


def _whole(name: str, module: str) -> str:
    return name if "::" in name else f"{module}::{name}"


def _braces(text: str, begin: int) -> tuple[str, str]:
    """What is within the braces that are open, and from there to the end of the statement."""
    depth, at = 1, begin
    while depth and at < len(text):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[begin : at - 1], text[at:].split(";", 1)[0]


def with_older(made: Iterable[str], had: Iterable[str]) -> list[str]:
    """The lines that were made, with what only older versions have: their logs, and their fields behind `+`."""
    lines = {line.split(" | ")[0]: line for line in made}
    for old in had:
        path, _, fields = old.split(" | ")
        if path not in lines:
            lines[path] = old
            continue
        there = lines[path].split()
        if gone := [word for word in fields.split() if word not in there]:
            lines[path] += " ".join(["" if "+" in there else " +", *(word for word in gone if word != "+")])
    return [lines[path] for path in sorted(lines)]


def main(tree: Path, *, write: bool) -> None:
    """Say what differs, or write it."""
    had = zeek_types.TABLE.strip().splitlines()
    made = with_older(Scripts(tree).lines(), had)
    for line in sorted(set(made) ^ set(had)):
        print(f"{'+' if line in made else '-'} {line}")  # noqa: T201 - what it is for
    if write:
        text = TABLE.read_text()
        begin, end = text.index('TABLE = """\n') + len('TABLE = """\n'), text.index('"""  # noqa: E501')
        TABLE.write_text(text[:begin] + "".join(f"{line}\n" for line in made) + text[end:])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("docs/zeek_types.py: name the folder of Zeek's source")
    main(Path(sys.argv[1]), write="--write" in sys.argv[2:])
