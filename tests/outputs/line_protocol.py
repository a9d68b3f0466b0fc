"""A parser of Influx line protocol that is as strict as Grafana's: the grammar of influxdata/line-protocol v1, machine.go.rl.

line_protocol_verdicts.json holds what that Go module itself says of some hundred bodies; a test compares.
"""

import re
from dataclasses import dataclass

WS = rb"[\t\v\f ]"
NEWLINE = rb"\r?\n"
NAME = re.compile(rb"(?!#)(?:[^\t\n\v\f\r ,\\]|\\[^\t\n\v\f\r])+")
TAG = re.compile(rb",((?:[^\t\n\v\f\r ,=\\]|\\[^\t\n\v\f\r\\])+)=((?:[^\t\n\v\f\r ,=\\]|\\[^\t\n\v\f\r\\])+)")
KEY = re.compile(rb"((?:[^\t\n\v\f\r ,=\\]|\\[^\t\n\v\f\r])+)=")
STRING = re.compile(rb'"((?:[^\f\r\n\\"]|\\[\\"]|\r?\n)*)"')
INTEGER = re.compile(rb"-?(?:[1-9][0-9]*|[0-9])i")
UNSIGNED = re.compile(rb"(?:[1-9][0-9]*|[0-9])u")
FLOAT = re.compile(rb'-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+"]?[0-9]+)?')
BOOL = re.compile(rb"true|TRUE|True|T|t|false|FALSE|False|F|f")
TIME = re.compile(rb"-?[0-9]{1,19}")
SKIPPED = re.compile(rb"(?:" + WS + rb"*#[^\n]*(?:\n|\Z)|" + WS + rb"*" + NEWLINE + rb"|" + WS + rb"+)*")
GAP = re.compile(WS + rb"+")
END = re.compile(WS + rb"*(?:" + NEWLINE + rb"|\r?\Z)")


class BadLine(Exception):
    pass


@dataclass(frozen=True)
class Line:
    name: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, object], ...]
    time: int | None


def parse(body: bytes) -> list[Line]:
    """All lines of a body. Raises BadLine."""
    lines, at = [], SKIPPED.match(body).end()
    while at < len(body):
        line, at = _line(body, at)
        lines.append(line)
        at = SKIPPED.match(body, at).end()
    return lines


def _line(body: bytes, at: int) -> tuple[Line, int]:
    def take(pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        nonlocal at
        if not (found := pattern.match(body, at)):
            raise BadLine(f"expected {what} at {body[at : at + 40]!r}")
        at = found.end()
        return found

    name = take(NAME, "measurement")[0]
    tags = []
    while body[at : at + 1] == b",":
        tag = take(TAG, "tag")
        tags.append((_text(tag[1]), _text(tag[2])))
    take(GAP, "field")
    fields = []
    while True:
        key = take(KEY, "field")[1]
        value, at = _value(body, at)
        fields.append((_text(key), value))
        if body[at : at + 1] != b",":
            break
        at += 1
    time = None
    if not END.match(body, at):
        take(GAP, "timestamp")
        time = int(take(TIME, "timestamp")[0])
        if not -(2**63) <= time < 2**63:
            raise BadLine("timestamp out of range")
    take(END, "end of line")
    return Line(re.sub(rb"\\([, ])", rb"\1", name).decode(errors="replace"), tuple(tags), tuple(fields), time), at


def _value(body: bytes, at: int) -> tuple[object, int]:
    if found := STRING.match(body, at):
        # one pass over both escapes, as Go's strings.NewReplacer
        return re.sub(rb'\\(["\\])', rb"\1", found[1]).decode(errors="replace"), found.end()
    for pattern, low, high in ((INTEGER, -(2**63), 2**63), (UNSIGNED, 0, 2**64)):
        if found := pattern.match(body, at):
            number = int(found[0][:-1])
            if not low <= number < high:
                raise BadLine("number out of range")
            return number, found.end()
    if found := FLOAT.match(body, at):
        try:
            number = float(found[0])
        except ValueError:
            raise BadLine("not a number") from None
        if abs(number) == float("inf"):
            raise BadLine("number out of range")
        return number, found.end()
    if found := BOOL.match(body, at):
        return found[0][:1] in b"tT", found.end()
    raise BadLine(f"expected value at {body[at : at + 40]!r}")


def _text(octets: bytes) -> str:
    return re.sub(rb'\\([," =])', rb"\1", octets).decode(errors="replace")
