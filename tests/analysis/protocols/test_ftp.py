"""Control connections of FTP, rightly and wrongly. That rows are Zeek's shows tests/oracle/test_zeek_logs.py."""

import base64
from typing import Any, ClassVar

import pytest
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols import ftp_commands as commands
from headwater.analysis.protocols.ftp import Ftp
from headwater.analysis.stream import Stream
from headwater.records.address import packed

LOGIN = [
    (1, b"220 ready\r\n"),
    (0, b"USER anonymous\r\n"),
    (1, b"331 Guest login ok\r\n"),
    (0, b"PASS me@\r\n"),
    (1, b"230-Welcome\r\n230-to\r\n 226 files\r\n230 Logged in\r\n"),
]
FETCH = [
    (0, b"CWD /pub/a\r\n"),
    (1, b"250 ok\r\n"),
    (0, b"PASV\r\n"),
    (1, b"227 Entering Passive Mode (10,0,0,2,200,1)\r\n"),
    (0, b"RETR ../b/c.gz\r\n"),
    (1, b"150 Opening connection for c.gz (1234 bytes)\r\n226 Done\r\n"),
    (0, b"QUIT\r\n"),
    (1, b"221 Bye\r\n"),
]


def said(*parts: tuple[int, bytes], size: int = 0) -> Spoken:
    return spoken(Ftp, [*LOGIN, *parts], "tcp", size, resp_port=21)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_commands_have_their_replies(size: int) -> None:
    agreed, fetched = said(*FETCH, size=size).rows
    assert (agreed["user"], agreed["password"], agreed["command"], agreed["arg"]) == ("anonymous", "me@", "PASV", None)
    assert (agreed["reply_code"], agreed["reply_msg"]) == (227, "Entering Passive Mode (10,0,0,2,200,1)")
    assert (agreed["data_channel.passive"], agreed["data_channel.orig_h"]) == (True, packed("10.0.0.1"))
    assert (agreed["data_channel.resp_h"], agreed["data_channel.resp_p"]) == (packed("10.0.0.2"), 51201)
    assert (fetched["arg"], fetched["file_size"], fetched["reply_code"]) == ("ftp://10.0.0.2/pub/b/c.gz", 1234, 226)
    assert fetched["data_channel.passive"] is None


def test_a_row_has_the_time_of_its_command() -> None:
    [row] = spoken(Ftp, [(0, b"STOR x\r\n"), (1, b"150 go\r\n"), (1, b"226 done\r\n"), (0, b"QUIT\r\n")], "tcp", resp_port=21).rows
    assert (row["ts"], row["user"], row["password"], row["arg"]) == (TS + 10**6, "<unknown>", None, "ftp://10.0.0.2/./x")


def test_commands_that_do_not_wait_get_their_own_replies() -> None:
    """And what the protocol knows of both must agree: replies come in the order of commands."""
    asked = b"".join(octets for side, octets in (*LOGIN, *FETCH) if not side)
    told = b"".join(octets for side, octets in (*LOGIN, *FETCH) if side)
    rows = spoken(Ftp, [(0, asked), (1, told)], "tcp", resp_port=21).rows
    assert [(row["command"], row["reply_code"]) for row in rows] == [("PASV", 227), ("RETR", 150)]


def test_passwords_of_others_than_guests_are_hidden() -> None:
    [row] = spoken(Ftp, [(0, b"USER root\r\n"), (0, b"PASS secret\r\n"), (0, b"DELE a\r\n"), (1, b"250 ok\r\n")], "tcp", resp_port=21).rows
    assert (row["user"], row["password"]) == ("root", "<hidden>")


@pytest.mark.parametrize(
    ("parts", "weirds", "malformed"),
    [
        ([(0, b"\1\2 x\r\n")], [("FTP_invalid_command", "")], ""),
        ([(0, b"X" * 101 + b"\r\n")], [("FTP_max_command_length_exceeded", "101")], ""),
        ([(0, b"USER " + b"u" * 129 + b"\r\n")], [("FTP_user_too_long", "129")], ""),
        ([(0, b"PASS " + b"u" * 129 + b"\r\n")], [("FTP_password_too_long", "129")], ""),
        ([(0, b"ACCT " + b"u" * 4097 + b"\r\n"), (0, b"NOOP\r\n"), (0, b"NOOP\r\n")], [("FTP_arg_too_long", "4097")], ""),
        ([(0, b"NOOP\r\n" * 22)], [("FTP_too_many_pending_commands", "20")] * 2, ""),
        ([(0, b"ST\0AT\r\n")], [("NUL_in_line", "")], ""),
        ([(0, b"STAT\r\r\n")], [("line_terminated_with_single_CR", ""), ("FTP_invalid_command", "")], ""),
        ([(0, b"STAT\r\0\r\n")], [], ""),
        ([(1, b"99 what\r\n")], [], "FTP_invalid_reply_code"),
        ([(1, b"SSH-2.0-x\r\n")], [], "FTP_invalid_reply_code"),
        ([(1, b"230_x\r\n")], [], "FTP_invalid_reply_line"),
        ([(0, b"a" * 70_000)], [], "FTP_line_too_long"),
    ],
)
def test_what_is_wrong_has_a_name(parts: list[tuple[int, bytes]], weirds: list[tuple[str, str]], malformed: str) -> None:
    made = said(*parts)
    assert (made.weirds, made.malformed) == (weirds, malformed)


def test_options_of_telnet_are_no_commands() -> None:
    made = said(
        (0, b"\xff\xf4\xff\xfb\1\xff\xfa\1\xff\xf1\xff\xf0DELE a\xff\xff\r\n"), (1, b"250 ok\r\n"), (0, b"\xff\xfa" * 30_000 + b"\r\n")
    )
    assert [(row["command"], row["arg"]) for row in made.rows] == [("DELE", "ftp://10.0.0.2/./a\\xff")]


def test_what_waited_is_told_where_a_reply_is_malformed() -> None:
    made = said((0, b"DELE a\r\n"), (1, b"nonsense\r\n"))
    assert [(row["command"], row["reply_code"]) for row in made.rows] == [("DELE", 230)]


def test_after_a_gap_the_rest_of_a_line_is_not_taken_for_a_reply() -> None:
    made = Spoken(Ftp, "tcp", 21)
    for side, octets in (*LOGIN, (0, b"DELE a\r\n")):
        made.say(side, octets)
    made.sides[1].gap(10, made.stream.now)
    made.say(1, b"est of a line\r\n250 deleted\r\n")
    assert [row["reply_msg"] for row in made.over()] == ["deleted"]


def test_tls_within_is_handed_over() -> None:
    made = Spoken(Ftp, "tcp", 21)
    made.stream.sides[made.reader] = made.sides
    for side, octets in ((0, b"AUTH TLS\r\n"), (1, b"234 go\r\n"), (0, b"\x16\3\1USER a\r\n")):
        made.say(side, octets)
    assert made.stream.inner is not None
    assert not Ftp.is_begun(made.stream.inner, 0, b"\x16\3\1")
    assert made.over() == []


HELLO = b"\x16\3\1\0\2hi"


@pytest.mark.parametrize(
    ("token", "weirds", "fed"),
    [
        (base64.b64encode(HELLO), [], [(0, HELLO), (1, b"there"), (1, b"end")]),
        (base64.b64encode(b"Kerberos"), [], []),
        (b"a b", [("base64_illegal_encoding", "character 32 ignored by Base64 decoding"), ("ftp_adat_bad_first_token_encoding", "")], []),
    ],
)
def test_tokens_of_gssapi_are_a_stream_of_their_own(token: bytes, weirds: list[tuple[str, str]], fed: list[tuple[int, bytes]]) -> None:
    given: list[tuple[int, bytes]] = []

    class Reads:
        joints: ClassVar[dict[Any, Any]] = {}
        headers: ClassVar[frozenset[bytes]] = frozenset()

        def data(self, _stream: Stream, side: int, octets: bytes, *_: Any) -> None:
            given.append((side, octets))

    made = Spoken(Ftp, "tcp", 21)
    made.stream._reads = Reads()  # type: ignore[assignment] - as much of one as it needs
    for side, octets in (
        (0, b"AUTH GSSAPI\r\n"),
        (1, b"334 go\r\n"),
        (0, b"ADAT " + token + b"\r\n"),
        (1, b"335 ADAT=" + base64.b64encode(b"there") + b"\r\n"),
        (1, b"235 ADAT=" + base64.b64encode(b"end") + b"\r\n"),
        (0, b"ADAT " + token + b"\r\n"),
    ):
        made.say(side, octets)
    assert (given, made.weirds) == (fed, weirds)


@pytest.mark.parametrize(
    ("port", "head", "is_one"),
    [
        (21, (b"", b"x"), True),
        (2121, (b"USER a\r\n", b"220 hello\r\n331 who\r\n"), True),
        (2121, (b"user a\r\n", b"220-hello\r\n220 x\r\n230 you\r\n"), True),
        (2121, (b"EHLO a\r\n", b"220 hello\r\n331 who\r\n"), False),
        (2121, (b"USER a\r\n", b"+OK hello\r\n"), False),
        (2121, (b"FEAT\r\nAUTH TLS\r\n", b"220 hi\r\n211 End\r\n234 go\r\n"), True),
        (2525, (b"EHLO a\r\nAUTH LOGIN\r\n", b"220 hi\r\n250 a\r\n334 \r\n"), False),
    ],
)
def test_it_is_known_by_its_content(port: int, head: tuple[bytes, bytes], is_one: bool) -> None:
    stream = Stream(0, (TS, bytes(12), packed("10.0.0.1"), packed("10.0.0.2"), 40_000, port, 6, 0, 0), lambda *_: None, lambda *_: None)
    stream.head = list(head)
    assert Ftp.is_begun(stream, 1, head[1]) is is_one


HERE = packed("10.0.0.2")


@pytest.mark.parametrize(
    ("read", "octets", "expected"),
    [
        (commands.port, b"10,0,0,2,1,2", (HERE, 258)),
        (commands.port, b"10,0,0,2,1,256", None),
        (commands.port, b"114,115", None),
        (commands.pasv, b"Entering (10,0,0,2,1,2).", (HERE, 258)),
        (commands.pasv, b"PORT 10,0,0,2,1,2", (HERE, 258)),
        (commands.pasv, b"go to 10,0,0,2,1,2", (HERE, 258)),
        (commands.pasv, b"no", None),
        (commands.eprt, b"|1|10.0.0.2|258|", (HERE, 258)),
        (commands.eprt, b"|2|fe80::1|258|", (packed("fe80::1"), 258)),
        (commands.eprt, b"|2|nonsense|258|", None),
        (commands.eprt, b"|1|10.0.0.2|70000|", None),
        (commands.eprt, b"|1|10.0.0.2|258", None),
        (commands.eprt, b"", None),
        (commands.epsv, b"Entering (|||258|)", (bytes(16), 258)),
        (commands.epsv, b"Entering", None),
    ],
)
def test_endpoints_are_read(read: Any, octets: bytes, expected: commands.Endpoint | None) -> None:
    assert read(octets) == expected


@pytest.mark.parametrize(
    ("directory", "name", "path"),
    [
        (b".", b"a", b"./a"),
        (b".", b"", b"."),
        (b"/a/", b"b", b"/a/b"),
        (b"/a/b", b"../c", b"/a/c"),
        (b"/a", b"/b//c/./d/", b"/b/c/d"),
        (b"/", b"../..", b"/../.."),
        (b".", b"../a", b"../a"),
        (b"/a", b"C:\\b", b"C:\\b"),
        (b"", b"a", b"a"),
    ],
)
def test_names_are_seen_from_their_directory(directory: bytes, name: bytes, path: bytes) -> None:
    assert commands.joined(directory, name) == path
