"""A query's text, cut into tokens as ClickHouse cuts it (its src/Parsers/Lexer.cpp), and refused where others cut otherwise.

Two parsers that cut one text differently are an attack, so only what has one meaning passes: words and names of ASCII, texts and names that
are closed, one way to write each. Comments and what ends the text become spaces, and the engine gets that: whatever a comment is to
it, it finds none. The places of all else stay, so that the engine's messages point at the right one.
"""

import re
from dataclasses import dataclass

from headwater.errors import QueryRefused

MOST_OCTETS = 256 * 1024
MOST_TOKENS = 20_000
MOST_DEPTH = 60

_TOKEN = re.compile(
    r"""
      (?P<space>     [ \t\r\n]+ | (?:--|//|\#[ !]) [^\n]* )  # a line comment ends at \n alone
    | (?P<comment>   /\* )                                   # nested ones are counted
    | (?P<text>      ' (?: [^'\\]++ | \\. | '' )*+ ' )
    | (?P<name>      ` [^`\\\x00-\x1f\x7f]+ ` | " [^"\\\x00-\x1f\x7f]+ " )
    | (?P<number>    0[xX][0-9a-fA-F]+ | 0[bB][01]+ | [0-9](?:_?[0-9])* (?:\.(?:[0-9](?:_?[0-9])*)?)? (?:[eE][+-]?[0-9]+)? )
    | (?P<word>      [A-Za-z_][A-Za-z0-9_]* )
    | (?P<sign>      -> | :: | <=> | <= | >= | <> | != | == | \|\| | [-+*/%=<>.,()\[\]{}?:;^] )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TOUCHING = {"text", "name", "number", "word"}  # two of them need something between


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: `kind` is text, name (in quotes), number, word, sign; `end` is after it."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The keyword that a word may be; "" for what is none: a name in quotes never is."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The name that a word or a name in quotes is; "" for what is none."""
        return self.text if self.kind == "word" else self.text[1:-1] if self.kind == "name" else ""


@dataclass(frozen=True)
class Text:
    """A text without comments, its tokens, and for each bracket's token where its partner is."""

    text: str
    tokens: list[Token]
    partners: dict[int, int]


def shown(text: str, most: int = 40) -> str:
    """A stranger's words for a message: short, and printable ASCII."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:most]) + ("..." if len(text) > most else "")


def cut(text: str) -> Text:
    """One statement's tokens. Raises QueryRefused, with where."""
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:
        raise QueryRefused("it holds half of a surrogate pair", "send it as UTF-8") from None
    if octets > MOST_OCTETS:
        raise QueryRefused(f"it has more than {MOST_OCTETS // 1024} KiB", "make it shorter, or ask with parameters")
    tokens: list[Token] = []
    pieces: list[str] = []
    at = 0
    while at < len(text):
        match = _match(text, at, tokens)
        kind, end = str(match.lastgroup), match.end()
        if kind == "comment":
            end = _end_of_comment(text, at)
        if kind in ("space", "comment"):
            pieces.append(re.sub(r"[^\n]", " ", text[at:end]))
        else:
            if kind in _TOUCHING and tokens and tokens[-1].end == at and tokens[-1].kind in _TOUCHING:
                raise _unreadable(text, at, "two words, texts or numbers touch", "put a space between them")
            if kind == "text" and "\x00" in match[0]:
                raise _unreadable(text, at, "a text holds the octet NUL", r"write it as '\0'")
            pieces.append(match[0])
            tokens.append(Token(kind, match[0], at, end))
            if len(tokens) > MOST_TOKENS:
                raise QueryRefused(f"it has more than {MOST_TOKENS:,} words and signs", "make it shorter, or ask with parameters")
        at = end
    return _one_statement("".join(pieces), tokens)


def _match(text: str, at: int, tokens: list[Token]) -> re.Match[str]:
    """What begins there; after a dot a number is an element's (`x.1.2`), and no fraction."""
    match = _TOKEN.match(text, at)
    if match is None:
        what = {"'": "a text that is not closed", "`": "a name that is not closed", '"': "a name that is not closed"}
        problem = what.get(text[at], f"`{shown(text[at])}`" if text[at].isprintable() else f"the character U+{ord(text[at]):04X}")
        raise _unreadable(text, at, problem, "quote texts with ', names with `, and keep to ASCII elsewhere")
    if match.lastgroup == "number" and tokens and tokens[-1].text == ".":
        before = tokens[-2] if len(tokens) > 1 else None
        if before is None or not (before.kind in ("word", "name", "number") or before.text in (")", "]", "}")):
            raise _unreadable(text, at, "a number begins with a dot", "write 0.5 for .5")
        digits = len(match[0]) - len(match[0].lstrip("0123456789"))
        return _TOKEN.match(text, at, at + digits) or match
    return match


def _end_of_comment(text: str, at: int) -> int:
    depth = 0
    for match in _COMMENT.finditer(text, at):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end()
    raise _unreadable(text, at, "a comment that is not closed", "close each /* with */: they nest")


def _unreadable(text: str, at: int, problem: str, advice: str) -> QueryRefused:
    line = text.count("\n", 0, at)
    column = at - text.rfind("\n", 0, at)
    return QueryRefused(f"line {line + 1}, column {column}: {problem}", advice)


def _one_statement(text: str, tokens: list[Token]) -> Text:
    while tokens and tokens[-1].text == ";":
        last = tokens.pop()
        text = f"{text[: last.start]} {text[last.end :]}"
    if not tokens:
        raise QueryRefused("there is no statement in it", "write one, for instance SHOW TABLES")
    partners: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text == ";":
            raise _unreadable(text, token.start, "a second statement begins after `;`", "send one statement at a time")
        if token.text in _CLOSING:
            opened.append(at)
            if len(opened) > MOST_DEPTH:
                raise _unreadable(text, token.start, "it is nested too deeply", "use WITH for parts of it")
        elif token.text in _CLOSING.values():
            if not opened or _CLOSING[tokens[opened[-1]].text] != token.text:
                raise _unreadable(text, token.start, f"`{token.text}` closes nothing", "look at the brackets before it")
            begin = opened.pop()
            partners[begin], partners[at] = at, begin
    if opened:
        raise _unreadable(text, tokens[opened[-1]].start, "a bracket that is not closed", "close it")
    return Text(text, tokens, partners)
