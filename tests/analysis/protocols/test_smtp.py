"""Mail, rightly and wrongly; what is in it, as Python's email says. That rows are Zeek's shows tests/oracle/test_zeek_logs.py."""

import hashlib
from collections.abc import Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols import smtp_headers as headers
from headwater.analysis.protocols.smtp import Smtp
from headwater.analysis.stream import Stream
from headwater.records.address import packed

HELLO = [
    (1, b"220 mx ESMTP\r\n"),
    (0, b"EHLO client.example\r\n"),
    (1, b"250-mx\r\n250 PIPELINING\r\n"),
]
SEND = [
    (0, b"MAIL FROM:<a@one.example> SIZE=100\r\n"),
    (1, b"250 ok\r\n"),
    (0, b"RCPT TO:<b@two.example>\r\nRCPT TO:<c@two.example> ORCPT=rfc822;c@two.example\r\n"),
    (1, b"250 ok\r\n250 ok\r\n"),
]
HEAD = (
    b"Received: from x (x [192.0.2.7]) by mx;\r\n\tMon\r\nReceived: from y by x ([192.0.2.9])\r\nSubject: Hi\r\n there\r\n"
    b'From: "A" <a@one.example>\r\nTo: B <b@two.example>, "C, D" <c@two.example>\r\nCC: d@two.example\r\nDate: today\r\n'
    b"Message-Id: <1@one>\r\nX-Originating-IP: [192.0.2.1]\r\nX-Mailer: M 1\r\n"
)
MAIL = [
    *SEND,
    (0, b"DATA\r\n"),
    (1, b"354 go\r\n"),
    (0, HEAD + b"\r\nbody\r\n..dots\r\n.\r\n"),
    (1, b"250 queued\r\n"),
]
QUIT = [(0, b"QUIT\r\n"), (1, b"221 bye\r\n")]


def said(*parts: tuple[int, bytes], size: int = 0) -> Spoken:
    return spoken(Smtp, [*HELLO, *parts], "tcp", size, resp_port=25)


def of(made: Spoken, path: str) -> list[dict[str, Any]]:
    return [row for row in made.rows if row["_path"] == path]


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_mail_is_a_row(size: int) -> None:
    made = said(*MAIL, *QUIT, size=size)
    [row] = of(made, "smtp")
    assert (row["trans_depth"], row["helo"], row["mailfrom"]) == (1, "client.example", "a@one.example")
    assert (row["rcptto"], row["to"], row["cc"]) == (
        ["b@two.example", "c@two.example"],
        ["B <b@two.example>", '"C, D" <c@two.example>'],
        ["d@two.example"],
    )
    assert (row["subject"], row["from"], row["date"], row["msg_id"]) == ("Hi there", '"A" <a@one.example>', "today", "<1@one>")
    assert (row["x_originating_ip"], row["user_agent"], row["last_reply"]) == (packed("192.0.2.1"), "M 1", "250 queued")
    assert row["path"] == [packed(one) for one in ("10.0.0.2", "10.0.0.1", "192.0.2.7", "192.0.2.9")]
    assert (row["first_received"], row["second_received"]) == ("from y by x ([192.0.2.9])", "from x (x [192.0.2.7]) by mx;\tMon")
    [file] = of(made, "files")
    assert (row["fuids"], file["source"], file["depth"], file["is_orig"]) == ([file["fuid"]], "SMTP", 1, True)
    assert (file["seen_bytes"], file["md5"]) == (13, hashlib.md5(b"body\r\n.dots\r\n").hexdigest())  # noqa: S324
    assert made.weirds == []


def test_each_mail_of_a_connection_has_its_row() -> None:
    first, second = of(said(*MAIL, *MAIL, *QUIT), "smtp")
    assert (first["trans_depth"], second["trans_depth"], second["helo"]) == (1, 2, "client.example")
    assert first["ts"] < second["ts"]
    assert second["fuids"] != first["fuids"]


def test_mails_that_do_not_wait_for_replies() -> None:
    asked = b"".join(octets for side, octets in (*MAIL, *MAIL) if not side)
    told = b"".join(octets for side, octets in (*MAIL, *MAIL) if side)
    rows = of(said((0, asked), (1, told)), "smtp")
    assert [row["mailfrom"] for row in rows] == ["a@one.example"] * 2


def test_chunks_are_a_mail() -> None:
    chunks = [HEAD + b"\r\nbo", b"dy\r\n.\r\n", b"end"]
    sent = [(0, b"BDAT %d%s\r\n" % (len(one), b" LAST" if one is chunks[-1] else b"") + one) for one in chunks]
    made = said(*SEND, *sent, *[(1, b"250 ok\r\n")] * 3, *QUIT)
    [row], [file] = of(made, "smtp"), of(made, "files")
    assert (row["subject"], row["last_reply"], made.weirds) == ("Hi there", "250 ok", [])
    assert file["seen_bytes"] == len(b"body\r\n.\r\nend")


@pytest.mark.parametrize(
    ("parts", "weirds"),
    [
        ([(0, b"RCPT TO:<a@b>\r\n")], [("smtp_mail_transaction_invalid", "rcpt to missing mail from")]),
        ([(0, b"DATA\r\nx\r\n.\r\n")], [("smtp_mail_transaction_invalid", "data missing rcpt to")]),
        ([*SEND, (0, b"BDAT\r\n")], [("smtp_invalid_bdat_command", "BDAT argument bad length")]),
        ([*SEND, (0, b"BDAT 1x\r\n")], [("smtp_invalid_bdat_command", "BDAT chunk-size not valid")]),
        ([*SEND, (0, b"BDAT -1\r\n")], [("smtp_invalid_bdat_command", "BDAT not followed by a valid chunk-size")]),
        ([*SEND, (0, b"BDAT 1 LEAST\r\n")], [("smtp_invalid_bdat_command", "BDAT chunk-size followed by junk")]),
        ([*SEND, (0, b"BDAT 99999999999999999999\r\n")], [("smtp_invalid_bdat_command", "BDAT chunk-size too large")]),
        ([*SEND, (0, b"BDAT 9999999999999999999\r\n")], [("smtp_huge_bdat_chunk", "9999999999999999999")]),
        ([*SEND, (0, b"BDAT 1\r\nxNOOP\r\n")], [("smtp_missing_bdat_last_chunk", "")]),
        ([*SEND, (0, b"BDAT 9\r\nab")], [("smtp_bdat_remaining_at_end_data", ""), ("smtp_bdat_undelivered_at_done", "")]),
    ],
)
def test_what_is_wrong_has_a_name(parts: list[tuple[int, bytes]], weirds: list[tuple[str, str]]) -> None:
    assert said(*parts).weirds == weirds


@pytest.mark.parametrize(
    ("parts", "malformed"),
    [
        ([(1, b"hello\r\n")], "SMTP_invalid_reply_code"),
        ([(1, b"999 hello\r\n")], "SMTP_invalid_reply_code"),
        ([(1, b"2" * 20_000)], "SMTP_line_too_long"),
        ([(0, b"NOOP " * 20_000)], "SMTP_line_too_long"),
    ],
)
def test_what_is_no_mail_ends_it(parts: list[tuple[int, bytes]], malformed: str) -> None:
    made = said(*SEND, *parts)
    assert made.malformed == malformed
    assert [row["mailfrom"] for row in of(made, "smtp")] == ["a@one.example"]


def test_who_sends_many_mails_to_nobody_is_read_no_more() -> None:
    made = said((0, b"DATA\r\n.\r\n" * 30))
    assert made.stream.left == [made.reader]
    assert ("smtp_excessive_invalid_mail_transactions", "") in made.weirds


def test_a_mail_with_a_hole_ends_there_and_the_next_reply_goes_on() -> None:
    made = Spoken(Smtp, "tcp", 25)
    for side, octets in (*HELLO, *MAIL[:-2], (0, HEAD + b"\r\nbody\r\n")):
        made.say(side, octets)
    made.sides[0].gap(100, made.stream.now)
    for side, octets in ((0, b"rest of it\r\n.\r\n"), (1, b"250 queued\r\n"), *MAIL, *QUIT):
        made.say(side, octets)
    made.over()
    cut, whole = of(made, "files")
    assert (cut["seen_bytes"], cut["missing_bytes"], whole["seen_bytes"], whole["depth"]) == (6, 100, 13, 2)
    assert len(of(made, "smtp")) == 2


def test_a_refused_mail_has_no_content() -> None:
    made = said(*SEND, (0, b"DATA\r\n"), (1, b"554 no\r\n"), *SEND, *MAIL[-4:])
    assert [row["last_reply"] for row in of(made, "smtp")] == ["554 no", "250 queued"]


def test_what_follows_starttls_is_handed_over() -> None:
    made = Spoken(Smtp, "tcp", 25)
    made.stream.sides[made.reader] = made.sides
    for side, octets in (*HELLO, (0, b"STARTTLS\r\n"), (1, b"220 go\r\n"), (0, b"\x16\3\1MAIL FROM:<a@b>\r\n")):
        made.say(side, octets)
    [row] = made.over()
    assert (row["tls"], row["last_reply"], row["mailfrom"]) == (True, "220 go", None)
    assert made.stream.inner is not None
    assert not Smtp.is_begun(made.stream.inner, 0, b"\x16\3\1")


def test_answers_to_questions_of_auth_are_no_commands() -> None:
    asked = [
        (0, b"AUTH LOGIN\r\n"),
        (1, b"334 who\r\n"),
        (0, b"DATA\r\n"),
        (1, b"334 and\r\n"),
        (0, b"RCPT TO:<x@y>\r\n"),
        (1, b"235 ok\r\n"),
    ]
    made = said(*asked, *MAIL, *QUIT)
    assert (made.weirds, len(of(made, "smtp"))) == ([], 1)


@pytest.mark.parametrize(
    ("port", "partial", "head", "is_one"),
    [
        (25, 0, (b"", b"220 x"), True),
        (25, 1, (b"", b"220 x"), False),
        (2525, 0, (b"ehlo x\r\n", b"220-x\r\n"), True),
        (2525, 0, (b"USER x\r\n", b"220 x\r\n"), False),
        (2525, 0, (b"EHLO x\r\n", b"+OK\r\n"), False),
    ],
)
def test_it_is_known_by_its_content(port: int, partial: int, head: tuple[bytes, bytes], is_one: bool) -> None:
    begin = (TS, bytes(12), packed("10.0.0.1"), packed("10.0.0.2"), 40_000, port, 6, partial, 0)
    stream = Stream(0, begin, lambda *_: None, lambda *_: None)
    stream.head = list(head)
    assert Smtp.is_begun(stream, 1, head[1]) is is_one


# -- parts ----------------------------------------------------------------------------------------------------------------------------


def sent(mail: bytes, size: int = 0) -> list[dict[str, Any]]:
    """The files of a mail."""
    stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in mail.splitlines(keepends=True))
    made = said(*MAIL[:-2], (0, stuffed), (0, b".\r\n"), MAIL[-1], size=size)
    assert made.malformed == ""
    return of(made, "files")


def parts_of(mail: bytes) -> list[tuple[str | None, bytes]]:
    """(name, content) of each part with a content of its own, as Python's email reads them. Zeek takes the end of line before a delimiter
    for one of the content, where that is quoted-printable.
    """
    read, found = message_from_bytes(mail, policy=POLICY), []
    for part in read.walk():
        if not part.is_multipart() and (content := part.get_payload(decode=True)):
            assert isinstance(content, bytes)
            more = part is not read and part["Content-Transfer-Encoding"] == "quoted-printable"
            found.append((part.get_filename(), content + b"\r\n" * more))
    return found


CONTENTS = st.binary(min_size=1, max_size=3000)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\x85"), min_size=1, max_size=300)


@st.composite
def mails(draw: st.DrawFn, depth: int = 0) -> EmailMessage:
    mail = EmailMessage(policy=POLICY)
    mail["Subject"] = "made"
    mail.set_content(draw(TEXTS) + "\n", cte=draw(st.sampled_from(["base64", "quoted-printable"])))
    if draw(st.booleans()):
        mail.add_alternative("<p>" + draw(TEXTS) + "</p>\n", subtype="html", cte=draw(st.sampled_from(["base64", "quoted-printable"])))
    for _ in range(draw(st.integers(0, 2))):
        mail.add_attachment(draw(CONTENTS), "application", "octet-stream", filename=draw(st.sampled_from(["a.bin", "b c.bin"])))
    if depth < 2 and draw(st.booleans()):
        mail.add_attachment(draw(mails(depth=depth + 1)))
    return mail


@settings(max_examples=30)
@given(mail=mails(), size=st.sampled_from([0, 100, 1460]))
def test_parts_are_those_that_python_finds(mail: EmailMessage, size: int) -> None:
    octets = mail.as_bytes()
    files = sent(octets, size)
    expected = parts_of(octets)
    assert [file["filename"] for file in files] == [name for name, _ in expected]
    assert [file["sha1"] for file in files] == [hashlib.sha1(content).hexdigest() for _, content in expected]  # noqa: S324
    assert [file["seen_bytes"] for file in files] == [len(content) for _, content in expected]


def multipart(*parts: bytes, boundary: bytes = b"xx") -> bytes:
    return (
        b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\npreamble\r\n'
        + b"".join(b"--" + boundary + b"\r\n" + part for part in parts) + b"--" + boundary + b"--\r\nepilogue\r\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mail", "contents"),
    [
        (b"a b\r\n\r\ntext\r\n", [b"text\r\n"]),
        (b"Subject: x\r\n", []),
        (multipart(b"\r\none\r\n", b"\r\ntwo\r\n\r\n"), [b"one", b"two\r\n"]),
        (multipart(b"\r\n--x\r\n--xy\r\n"), [b"--x\r\n--xy"]),
        (multipart(multipart(b"\r\none\r\n", boundary=b"yy"), b"\r\ntwo\r\n"), [b"one", b"two"]),
        (multipart(b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nmail\r\n"), [b"mail\r\n"]),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n", [b"no boundary\r\n"]),
        (b"Content-Type: multipart/mixed; boundary=a=b'c\r\n\r\n--a=b'c\r\n\r\none\r\n", [b"one"]),
        (b"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\nZA==\r\nZZZZ\r\n", [b"abcd"]),
        (b"Content-Transfer-Encoding: base64\r\n\r\nYW Jj*ZA\r\n", [b"abcd"]),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db =\r\nc=zz  \r\n", [b"a=b c=zz\r\n"]),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_parts_that_others_write(mail: bytes, contents: Sequence[bytes], size: int) -> None:
    files = sent(mail, size)
    assert [file["md5"] for file in files] == [hashlib.md5(content).hexdigest() for content in contents]  # noqa: S324


@pytest.mark.parametrize("name", ["TO", "RECEIVED", "X-ORIGINATING-IP", "CONTENT-TYPE", "CONTENT-DISPOSITION"])
@pytest.mark.parametrize("octets", [b'"', b" ", b"@", b"<", b",a", b"1.", b"[", b"name", b"name=", b"a'", b"; boundary=", b"\\", b"("])
def test_no_header_takes_long(name: str, octets: bytes) -> None:
    """Half a megabyte of the same: a quadratic search would take minutes."""
    value = octets * (1 << 19 // len(octets).bit_length())
    sent(name.encode() + b": " + value[: 1 << 19] + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (b"FROM:<a@b>", [b"a@b"]),
        (b"FROM:a@b SIZE=1", [b"a@b"]),
        (b"TO: <postmaster>", []),
        (b"TO:<@x,@y:a@b>", [b"a@b"]),
        (b"FROM:<>", []),
    ],
)
def test_addresses_are_found(argument: bytes, found: list[bytes]) -> None:
    assert headers.mailboxes(argument) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"from a (b [192.0.2.1]) by c", "192.0.2.1"),
        (b"from a (192.0.2.1) by c ([2001:db8::1])", "2001:db8::1"),
        (b"from 192.0.2.1 by c", "192.0.2.1"),
        (b"from a192.0.2.1 by c", ""),
        (b"from [999.0.2.1] by c", ""),
        (b"192.0.2.1", "192.0.2.1"),
    ],
)
def test_hosts_of_received_are_found(value: bytes, found: str) -> None:
    assert headers.host(value) == packed(found)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("CONTENT-DISPOSITION", b'attachment; filename="a b.txt"', b"a b.txt"),
        ("CONTENT-DISPOSITION", b"attachment; filename=a.txt", b"a.txt"),
        ("CONTENT-DISPOSITION", b"attachment; filename*=utf-8'en'a%20b.txt", b"a b.txt"),
        ("CONTENT-DISPOSITION", b"attachment; name=a.txt", None),
        ("CONTENT-TYPE", b'image/png; name="a.png"', b"a.png"),
        ("CONTENT-TYPE", b"image/png", None),
        ("SUBJECT", b"name=a.png", None),
    ],
)
def test_names_of_files_are_found(name: str, value: bytes, found: bytes | None) -> None:
    assert headers.filename(name, value) == found
