"""HTTP: what is told of requests and their answers, however they come."""

import gzip
import hashlib
import zlib
from email.message import EmailMessage
from functools import partial
from typing import Any, ClassVar

import pytest
from cpu import cpu_seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import Spoken, spoken
from test_smtp import mails, parts_of

from headwater.analysis.protocols.http import Http
from headwater.analysis.stream import Stream
from headwater.records.address import packed

GET = b"GET /a%41?q=1 HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: test\r\nX-Forwarded-For: 1.2.3.4\r\ntraceparent: 00-1\r\n\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 21\r\nContent-Type: text/plain\r\n\r\nplain text, all of it"
FORM = (
    b'POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary="=b"\r\nContent-Length: 166\r\n\r\n'
    b'--=b\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n--=b\r\n'
    b'Content-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nplain text\r\nof two lines\r\n--=b--\r\n'
)
FORM = FORM.replace(b"166", str(len(FORM.partition(b"\r\n\r\n")[2])).encode())
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/html\r\n\r\n<html></html>"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nplain \r\n9;x=y\r\ntext more\r\n0\r\nTrailer: x\r\n\r\n"
PARTS = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nplain"
SEEDS = [GET, POST, FORM, ANSWER, CHUNKED, PARTS, b"CONNECT a:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 101 Up\r\n\r\n"]


def rows(*said: tuple[int, bytes], path: str = "http", size: int = 0, **stream: Any) -> list[dict[str, Any]]:
    made = spoken(Http, said, "tcp", size, resp_port=80, **stream)
    return [row for row in made.rows if row["_path"] == path]


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_request_and_its_answer(size: int) -> None:
    [row] = rows((0, GET), (1, ANSWER), size=size)
    assert (row["method"], row["uri"], row["host"], row["user_agent"]) == ("GET", "/aA?q=1", "example.com:8080", "test")
    assert (row["status_code"], row["status_msg"], row["version"], row["trans_depth"]) == (200, "OK", "1.1", 1)
    assert (row["request_body_len"], row["response_body_len"]) == (0, 13)
    assert (row["proxied"], row["resp_mime_types"], row["tags"]) == (["X-FORWARDED-FOR -> 1.2.3.4"], ["text/html"], [])
    assert row["latency"] == 0.001
    assert (row["traceparent"], row["x_request_id"]) == ("00-1", None)


@settings(max_examples=20)
@given(mail=mails().filter(EmailMessage.is_multipart), size=st.sampled_from([0, 100, 1460]))
def test_parts_are_those_that_python_finds(mail: EmailMessage, size: int) -> None:
    """Their transfer encodings are undone, too, as in Zeek."""
    octets = mail.as_bytes()
    body = octets.partition(b"\r\n\r\n")[2]
    post = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % len(body)
    files = rows((0, post + octets), (1, ANSWER), path="files", size=size)
    assert [(file["filename"], file["sha1"]) for file in files if file["is_orig"]] == [
        (name, hashlib.sha1(content).hexdigest())  # noqa: S324 - as Zeek does
        for name, content in parts_of(octets)
    ]


def test_fields_are_told_if_somebody_wants_them() -> None:
    asked = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: secret\r\nX-Tenant: a\x1b[1m\r\nx-tenant:b\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nServer: s\r\nX-Tenant: c\r\n" + 99 * b"Via: v\r\n" + b"Content-Length: 0\r\n\r\n"
    [row] = rows((0, asked), (1, answer))
    assert row["headers"] is None
    [row] = rows((0, asked), (1, answer), headers=frozenset({b"x-tenant", b"server", b"via"}))
    assert row["headers"][:4] == ["x-tenant: a\\x1b[1m", "x-tenant: b", "server: s", "x-tenant: c"]
    assert row["headers"][4:] == 28 * ["via: v"]
    assert row["host"] == "h"


def test_the_way_to_the_responder_is_told() -> None:
    [row] = rows((0, GET), (1, ANSWER), network_s=0.25)
    assert row["network"] == 0.25


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_bodies_are_files(size: int) -> None:
    found = rows((0, POST + FORM), (1, ANSWER + CHUNKED), path="files", size=size)
    assert [(row["seen_bytes"], row["total_bytes"], row["mime_type"], row["filename"], row["is_orig"]) for row in found] == [
        (21, 21, "text/plain", None, True),
        (3, None, None, None, True),
        (24, None, "text/plain", "a.txt", True),
        (13, 13, "text/html", None, False),
        (15, None, "text/plain", None, False),
    ]
    first, second = rows((0, POST + FORM), (1, ANSWER + CHUNKED), size=size)
    assert (first["orig_fuids"], first["resp_fuids"]) == ([found[0]["fuid"]], [found[3]["fuid"]])
    assert (second["orig_fuids"], second["orig_filenames"]) == ([found[1]["fuid"], found[2]["fuid"]], ["a.txt"])
    assert (second["response_body_len"], second["resp_mime_types"]) == (15, ["text/plain"])


def test_requests_wait_for_their_answers() -> None:
    found = rows((0, GET * 3), (1, ANSWER + b"HTTP/1.1 304 Not Modified\r\n\r\n" + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    assert [(row["trans_depth"], row["status_code"]) for row in found] == [(1, 200), (2, 304), (3, 404)]
    assert [row["status_code"] for row in rows((0, GET * 2), (1, ANSWER))] == [200, None]


def test_what_only_informs_is_told_with_the_answer() -> None:
    [row] = rows((0, POST), (1, b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER))
    assert (row["info_code"], row["info_msg"], row["status_code"]) == (100, "Continue", 200)


def test_an_answer_to_head_has_no_body() -> None:
    head = GET.replace(b"GET", b"HEAD")
    found = rows((0, head + GET), (1, ANSWER.partition(b"<")[0] + ANSWER))
    assert [(row["method"], row["response_body_len"]) for row in found] == [("HEAD", 0), ("GET", 13)]


@pytest.mark.parametrize(
    ("encoding", "packed_body"),
    [
        (b"gzip", gzip.compress(b"plain text" * 100, mtime=0)),
        (b"deflate", zlib.compress(b"plain text" * 100)),
        (b"deflate", zlib.compress(b"plain text" * 100, wbits=-15)),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_bodies_are_unpacked(encoding: bytes, packed_body: bytes, size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(packed_body))
    [row] = rows((0, GET), (1, answer + packed_body), size=size)
    assert row["response_body_len"] == 1000
    [file] = rows((0, GET), (1, answer + packed_body), path="files", size=size)
    assert (file["seen_bytes"], file["total_bytes"], file["mime_type"]) == (1000, None, "text/plain")


def test_a_bomb_does_not_go_off() -> None:
    bomb = gzip.compress(bytes(200 << 20), mtime=0)
    said = [(0, GET), (1, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + bomb[:65536])]
    assert cpu_seconds(partial(spoken, Http, said, "tcp", resp_port=80), 0.5) < 0.5
    made = spoken(Http, said, "tcp", resp_port=80)
    assert ("inflate_bomb", "") in made.weirds
    assert made.rows[-1]["response_body_len"] <= (1 << 20) + 100 * 65536


def test_a_connection_through_a_proxy_is_something_else() -> None:
    class Reads:
        joints: ClassVar[dict[type[Any], Any]] = {}
        headers: ClassVar[frozenset[bytes]] = frozenset()

        def __init__(self) -> None:
            self.given: list[Any] = []

        def data(self, _stream: Stream, side: int, octets: bytes, *_: Any) -> None:
            self.given.append((side, octets))

        def gap(self, *_: Any) -> None:
            raise AssertionError

    made = Spoken(Http, "tcp", 8080)
    made.stream._reads = reads = Reads()
    made.say(0, b"CONNECT example.com:443 HTTP/1.1\r\nProxy-Authorization: Basic dXNlcjpwdw==\r\n\r\n")
    made.say(1, b"HTTP/1.1 200 OK\r\n\r\nhello")
    made.say(0, b"\x16\x03\x01")
    [row] = made.over()
    assert (row["method"], row["uri"], row["username"], row["password"]) == ("CONNECT", "example.com:443", "user", None)
    assert reads.given == [(1, b"hello"), (0, b"\x16\x03\x01")]


def test_an_upgrade_to_websocket_is_told_and_what_is_in_it_is_left_alone() -> None:
    ask = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
    answer = b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: b\r\n\r\n\x81\x02hi"
    made = Spoken(Http, "tcp", 80)
    made.say(0, ask)
    made.say(1, answer)
    for side in made.sides:
        side.gap(9, made.stream.now)
    made.say(0, b"\x81\x82abcdxx\r\n\r\n")
    assert [row["_path"] for row in made.over()] == ["websocket", "http"]
    assert (made.rows[0]["uri"], made.rows[0]["subprotocol"], made.rows[0]["client_protocols"]) == ("/ws", "b", ["a", "b"])
    assert (made.stream.services, made.weirds) == (["http", "websocket"], [])


def test_what_stops_to_be_http_is_not_called_so() -> None:
    made = spoken(Http, [(0, GET), (1, b"SSH-2.0-x\r\n"), (1, ANSWER)], "tcp", resp_port=80)
    assert made.stream.services == []
    assert [row["status_code"] for row in made.over() if row["_path"] == "http"] == [None]


def test_ranges_are_of_one_file() -> None:
    ask = b"GET /f HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n\r\n"
    second = PARTS.replace(b"0-4", b"5-9").replace(b"plain", b" text")
    made = Spoken(Http, "tcp", 80)
    made.say(0, ask * 2)
    made.say(1, second + PARTS)  # the end comes first
    found = made.over()
    [file] = [row for row in found if row["_path"] == "files"]
    assert (file["seen_bytes"], file["total_bytes"], file["timedout"], file["mime_type"]) == (10, 10, False, "text/plain")
    assert [row["resp_fuids"] for row in found if row["_path"] == "http"] == [[file["fuid"]], None]


def test_the_rest_of_a_file_may_come_never() -> None:
    made = Spoken(Http, "tcp", 80)
    made.say(0, b"GET /f HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n\r\n")
    made.say(1, PARTS)
    made.over()
    made.stream.files.expire(made.stream.now + 60 * 10**9)
    assert [row["_path"] for row in made.rows] == ["http"]
    made.stream.files.expire(made.stream.now + 121 * 10**9)
    assert [(row["_path"], row.get("timedout")) for row in made.rows] == [("http", None), ("files", True)]


def test_a_gap_in_a_body_is_missing_of_it_and_one_elsewhere_ends_it() -> None:
    made = Spoken(Http, "tcp", 80)
    made.say(0, GET * 2)
    made.say(1, ANSWER[:-5])
    made.sides[1].gap(5, made.stream.now)
    made.say(1, ANSWER[:20])
    made.sides[1].gap(5, made.stream.now)
    made.say(1, ANSWER)
    found = made.over()
    assert [(row["response_body_len"], row["status_code"]) for row in found if row["_path"] == "http"] == [(13, 200), (0, 200)]
    [file] = [row for row in found if row["_path"] == "files"]
    assert (file["seen_bytes"], file["missing_bytes"], file["md5"]) == (8, 5, None)


@pytest.mark.parametrize("missing", [0, 3])
def test_an_answer_that_was_lost_is_a_file_of_which_nothing_came(missing: int) -> None:
    """Of the name of the one before, if that was not all seen."""
    made = Spoken(Http, "tcp", 80)
    made.say(0, GET * 2)
    made.say(1, ANSWER[: len(ANSWER) - missing])
    for octets in (*([missing] if missing else []), 100, 50):
        made.stream.now += 10**9
        made.sides[1].gap(octets, made.stream.now)
        made.say(1, b"what is no answer")
    found = made.over()
    first, lost = [row for row in found if row["_path"] == "files"]
    assert (lost["seen_bytes"], lost["missing_bytes"], lost["timedout"], lost["duration"]) == (0, 150, True, 1.001)
    assert (lost["fuid"] == first["fuid"]) == bool(missing)
    answers = [(row["status_code"], row["resp_fuids"]) for row in found if row["_path"] == "http"]
    assert answers == [(200, [first["fuid"]]), (None, [lost["fuid"]])]


def test_what_was_lost_before_the_first_answer_is_no_file() -> None:
    made = Spoken(Http, "tcp", 80)
    made.say(0, GET)
    made.sides[1].gap(100, made.stream.now)
    assert [row["_path"] for row in made.over()] == ["http"]


def test_what_is_unpacked_behind_a_gap_counts_until_it_fails() -> None:
    packed_body = gzip.compress(b"".join(b"%d of many lines\n" % (number * number) for number in range(20_000)), mtime=0)
    half = len(packed_body) // 2
    made = Spoken(Http, "tcp", 80)
    made.say(0, GET)
    made.say(1, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed_body) + packed_body[:half])
    made.sides[1].gap(2, made.stream.now)
    made.say(1, packed_body[half + 2 :])
    before = len(zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(packed_body[:half]))
    [file] = [row for row in made.over() if row["_path"] == "files"]
    assert ("inflate_failed", "") in made.weirds
    assert file["seen_bytes"] > before
    assert (file["seen_bytes"] - before) % 4096 == 0


def test_behind_a_gap_the_next_answer_is_one_that_begins_with_a_segment() -> None:
    """Live, where chunks end is not known any more. What begins so, and nobody has asked for, is none."""
    made = Spoken(Http, "tcp", 80)
    made.stream.is_budgeted = True
    made.say(0, GET)
    made.say(1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nsome")
    made.sides[1].gap(1000, made.stream.now)
    for octets in (b"more", b"HTTP/1.1 500 Not asked for\r\n\r\n", b"0\r\n\r\n"):
        made.say(1, octets)
    made.say(0, GET)
    made.sides[1].gap(1000, made.stream.now)
    made.say(1, b"200\r\nHTTP/1.1")
    made.say(1, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    found = [row for row in made.over() if row["_path"] == "http"]
    assert [(row["trans_depth"], row["status_code"], row["response_body_len"]) for row in found] == [(1, 200, 4), (2, 404, 2)]


def test_behind_a_gap_the_next_request_is_one_that_begins_with_a_segment() -> None:
    """Live, likewise. One that comes before the last is answered is of its body, and so is what only looks like one for a word."""
    upload = b"PUT /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nsome"
    made = Spoken(Http, "tcp", 80)
    made.stream.is_budgeted = True
    made.say(0, upload)
    made.sides[0].gap(1000, made.stream.now)
    made.say(0, b"GET /of-the-body HTTP/1.1\r\n\r\n")
    made.say(1, b"HTTP/1.1 100 Continue\r\n\r\n")
    made.say(0, b"GET /neither HTTP/1.1\r\n\r\n")
    made.say(1, ANSWER)
    made.say(0, b"POST of a line\r\nmore")
    made.sides[0].gap(10, made.stream.now)
    made.say(0, upload)
    made.sides[0].gap(1000, made.stream.now)
    made.say(1, ANSWER)
    made.say(0, GET)
    made.say(1, ANSWER)
    found = [row for row in made.over() if row["_path"] == "http"]
    assert [(row["trans_depth"], row["method"], row["uri"], row["status_code"]) for row in found] == [
        (1, "PUT", "/up", 200),
        (2, "PUT", "/up", 200),
        (3, "GET", "/aA?q=1", 200),
    ]


@pytest.mark.parametrize(
    ("octets", "weird"),
    [
        (b"GET /a%\r\n\r\n", ("illegal_%_at_end_of_URI", "")),
        (b"GET /a%4 HTTP/1.1\r\n\r\n", ("partial_escape_at_end_of_URI", "")),
        (b"GET /a%zz HTTP/1.1\r\n\r\n", ("unescaped_%_in_URI", "")),
        (b"GET HTTP/1.1\r\n\r\n", ("missing_HTTP_uri", "")),
        (b"get /x http/1.1\r\n\r\n", ("lowercase_HTTP_keyword", "")),
        (b"\x80\x00 HTTP/1.1\r\n\r\n", ("bad_HTTP_request_with_version", "")),
        (b"<html>\r\n\r\n", ("bad_HTTP_request", "")),
        (b"DELETE /x\r\n\r\n", ("invalid_http_09_request_method", "DELETE")),
        (b"BREW /x HTTP/1.1\r\n\r\n", ("unknown_HTTP_method", "BREW")),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ("HTTP_bad_content_length", "-1")),
        (b"POST / HTTP/1.1\r\nContent-Length: 05\r\n\r\n", ("HTTP_content_length_leading_zeros", "05")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", ("HTTP_content_length_and_chunked", "")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", ("HTTP_bad_chunk_size", "xyz")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", ("HTTP_bad_chunk_size", "8000000000000000")),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", ("HTTP_obsolete_line_folding", "A")),
        (b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", ("unexpected_multiple_HTTP_requests", "")),
    ],
)
def test_what_is_odd_is_named_as_in_zeek(octets: bytes, weird: tuple[str, str]) -> None:
    assert weird in spoken(Http, [(0, octets)], "tcp", resp_port=80).weirds


@pytest.mark.parametrize("size", [b"10000000000000000", b"1" + b"0" * 60, b"-1", b"ffffffffffffffff"])
def test_a_request_does_not_hide_in_a_chunk_of_a_size_that_none_has(size: bytes) -> None:
    hidden = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nx: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
    made = spoken(Http, [(0, hidden)], "tcp", resp_port=80)
    assert [row["uri"] for row in made.rows if row["_path"] == "http"] == ["/a", "/b"]
    assert made.weirds == [("HTTP_bad_chunk_size", size.decode())]


@pytest.mark.parametrize("size", [b"5", b"05", b"5;a=b", b"5 ", b"0" * 38 + b"5"])
def test_the_digits_that_come_first_are_the_size_of_a_chunk(size: bytes) -> None:
    octets = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nplain\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
    rows = [row for row in spoken(Http, [(0, octets)], "tcp", resp_port=80).rows if row["_path"] == "http"]
    assert [(row["uri"], row["request_body_len"]) for row in rows] == [("/a", 5), ("/b", 0)]


def test_query_is_no_surprise() -> None:
    """RFC 10008."""
    made = spoken(Http, [(0, b"QUERY /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"), (1, ANSWER)], "tcp", resp_port=4711)
    assert [(row["method"], row["request_body_len"]) for row in made.rows if row["_path"] == "http"] == [("QUERY", 2)]
    assert made.weirds == []


def test_what_is_too_long_ends_what_is_read_of_its_side() -> None:
    made = spoken(Http, [(0, GET + b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n" + GET), (1, ANSWER)], "tcp", resp_port=80)
    assert [row["uri"] for row in made.rows if row["_path"] == "http"] == ["/aA?q=1"]
    assert made.weirds == [("HTTP_line_too_long", "")]


def test_what_is_long_is_read_in_time() -> None:
    odd = [
        (0, b"GET /" + b"\x80 " * 30_000 + b" HTTP/1.1\r\n\r\n"),
        (0, GET[:-2] + b"X: y\r\n" * 20_000 + b"\r\n"),
        (0, b"POST / HTTP/1.1\r\nContent-Type: multipart/x; boundary=b\r\n\r\n" + b"\r\n--b\r\n\r\nx" * 20_000),
        (0, b"POST / HTTP/1.1\r\nContent-Type: multipart/x; boundary=b\r\n\r\n" + b"\r\n--" * 100_000),
        (1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000),
        (1, b"HTTP/1.1 200 OK\r\n\r\n" + b"\n" * 500_000),
        (0, b"GET / HTTP/1.1\r\nContent-Disposition: " + b"name=" * 20_000 + b"\r\n\r\n"),
    ]
    for side, octets in odd:
        said = [(0, GET), (side, octets)] if side else [(0, octets)]
        assert cpu_seconds(partial(spoken, Http, said, "tcp", resp_port=80), 0.5) < 0.5, octets[:60]


def test_it_is_known_by_its_content_on_other_ports() -> None:
    def begun(resp_port: int, octets: bytes) -> bool:
        begin = (0, b"\1" * 12, packed("10.0.0.1"), packed("10.0.0.2"), 40_000, resp_port, 6, 0, 0)
        return Http.is_begun(Stream(0, begin, lambda *_: None, lambda *_: None), 0, octets)

    assert begun(4711, GET)
    assert begun(4711, GET.replace(b"GET", b"PATCH"))
    assert begun(4711, b"\r\nversion-control / http/1.0\r\n")
    assert not begun(4711, b"OPTIONS rtsp://a/ RTSP/1.0\r\nX: HTTP/1.1\r\n")
    assert begun(80, b"\x16\x03\x01")
    assert not begun(4711, b"GETAWAY\r\n")
    assert not begun(4711, b"\x16\x03\x01")


def test_what_it_is_upgraded_to_is_a_service() -> None:
    asks = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    tells = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    assert spoken(Http, [(0, asks), (1, tells)], "tcp").stream.services == ["http", "websocket"]
    assert spoken(Http, [(0, asks), (1, tells.replace(b"websocket", b"h2c"))], "tcp").stream.services == ["http"]
