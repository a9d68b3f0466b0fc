"""Messages of parts, as mail and HTTP bring them. What is in mails of others says Python's email (protocols/test_smtp.py)."""

from collections.abc import Sequence

import pytest
from cpu import cpu_seconds

from headwater.analysis.mime_fields import boundary
from headwater.analysis.mime_parts import Parts
from headwater.analysis.stream import Stream
from headwater.records.address import packed

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
A_PART = b"--b\r\n\r\n"
KIND = b"Content-Type: multipart/x; boundary=%d.\r\n\r\n"
NESTED = KIND % 0 + b"".join(b"--%d.\r\n" % depth + KIND % (depth + 1) for depth in range(99))
OCTETS = 256 << 10


class Part:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.content, self.is_over = b"", False

    def octets(self, octets: bytes) -> None:
        self.content += octets

    def gap(self, octets: int) -> bool:
        self.content += b"?" * octets
        return True

    def end(self) -> None:
        assert not self.is_over
        self.is_over = True


class Read:
    """A message, as Parts reads it: what its parts carry, and the weirds."""

    def __init__(self, *, bare: bool = True) -> None:
        self.parts: list[Part] = []
        self.weirds: list[tuple[str, str]] = []
        begin = (0, bytes(12), packed("10.0.0.1"), packed("10.0.0.2"), 40_000, 25, 6, 0, 0)
        stream = Stream(0, begin, lambda *_: None, lambda _, *weird: self.weirds.append(weird[:2]))
        self.reader = Parts(stream, "SMTP", self._begin, bare=bare)

    def _begin(self, head: bytes) -> tuple[bytes, bytes, Part]:
        fields = dict(line.partition(b": ")[::2] for line in head.splitlines())
        self.parts.append(Part())
        return fields.get(b"Content-Type", b""), fields.get(b"Content-Transfer-Encoding", b""), self.parts[-1]


def contents(message: bytes, size: int = 0, *, bare: bool = True) -> list[bytes]:
    read = Read(bare=bare)
    for at in range(0, len(message), size or len(message)):
        read.reader.octets(message[at : at + (size or len(message))])
    read.reader.end()
    assert all(part.is_over for part in read.parts)
    assert read.weirds == []
    return [part.content for part in read.parts]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"A: b\r\n\r\nline\r\n", [b"line\r\n"]),
        (b"A: b\r\n", [b""]),
        (MIXED + b"before\r\n--b\r\n\r\none\r\n--b\r\nA: b\r\n\r\ntwo\r\n--b--\r\nafter\r\n", [b"", b"one", b"two"]),
        (MIXED + b"--b\r\nA: b\r\n--b\r\n\r\none\r\n--b--\r\n", [b"", b"", b"one"]),  # a delimiter among fields
        (MIXED + b"--b\r\n\r\none\r\n--b--", [b"", b"one"]),
        (MIXED + b"--b\r\n\r\nnever ended\r\n", [b"", b"never ended"]),
        (MIXED + b"--b\r\n\r\nnever ended\r\n-", [b"", b"never ended\r\n-"]),
        (MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nin it\r\n--b--\r\n", [b"", b"", b"in it\r\n"]),
        (MIXED + b"--b\r\nContent-Type: message/rfc822\r\n--b\r\n\r\nx\r\n", [b"", b"", b"x"]),  # which has no body
        (MIXED.replace(b"=b", b"=bb") + b"--b\r\n--bb\r\n\r\n--b\r\n--bb--\r\n", [b"", b"--b"]),
        (MIXED.replace(b"=b", b'="a\\"b"') + b'--a"b\r\n\r\none\r\n--a"b--\r\n', [b"", b"one"]),
        (b"Content-Transfer-Encoding: base64\r\n" + MIXED + A_PART + b"YWI=\r\n--b--\r\n", [b"", b"ab"]),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_parts_are_where_delimiters_are(message: bytes, found: Sequence[bytes], bare: bool, size: int) -> None:
    assert contents(message, size, bare=bare) == found


@pytest.mark.parametrize(("bare", "found"), [(True, [b"", b"one", b"two"]), (False, [b"", b"one\n--b\n\ntwo"])])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_lines_of_content_end_as_that_is_sent(bare: bool, found: Sequence[bytes], size: int) -> None:
    assert contents(MIXED.replace(b"\r", b"") + b"--b\n\none\n--b\n\ntwo\r\n--b--\r\n", size, bare=bare) == found


def test_a_gap_is_of_the_part_that_it_is_in() -> None:
    read = Read()
    read.reader.octets(MIXED + A_PART + b"one\r\n--b\r\n\r\ntw")
    assert read.reader.in_content
    assert read.reader.gap(3)
    read.reader.octets(b"o\r\n--b--\r\n")
    assert not read.reader.in_content
    assert read.reader.end() is False
    assert [part.content for part in read.parts] == [b"", b"one", b"tw???o"]


def test_more_parts_than_anybody_sends_are_told_and_not_read() -> None:
    read = Read()
    read.reader.octets(MIXED + (A_PART + b"x\r\n") * 1005)
    read.reader.end()
    assert len(read.parts) == 1001
    assert read.weirds == [("exceeded_mime_max_parts", "1000")]
    assert all(part.is_over for part in read.parts)


def test_parts_too_deep_in_one_another_are_told() -> None:
    read = Read()
    read.reader.octets(NESTED + b"--99.\r\n" + KIND % 100 + b"--100.\r\n" + KIND % 101)
    read.reader.octets(b"--100.\r\n\r\nx\r\n--5.\r\n\r\nafter\r\n")
    read.reader.end()
    assert read.weirds == [("exceeded_mime_max_depth", "100")] * 2
    assert [part.content for part in read.parts] == [b""] * 101 + [b"after"]


def test_a_header_too_long_is_told_and_what_follows_it_is_read() -> None:
    read = Read()
    read.reader.octets(MIXED + b"--b\r\nA: " + b"x" * (1 << 18))
    read.reader.octets(b"x" * (1 << 18) + b"\r\n\r\none\r\n--b--\r\n")
    read.reader.end()
    assert [name for name, _ in read.weirds] == ["exceeded_mime_max_header_bytes"]
    assert [part.content for part in read.parts] == [b"", b"one"]


@pytest.mark.parametrize(
    ("content_type", "between"),
    [
        (b"multipart/form-data; boundary=a", b"a"),
        (b'Multipart/Mixed; charset=x; Boundary = "a b"; x=y', b"a b"),
        (b"multipart/mixed; boundary=a=b'c;x", b"a=b'c"),
        (b"multipart/mixed", None),
        (b"message/rfc822", b""),
        (b"text/plain; boundary=a", None),
        (b"", None),
    ],
)
def test_what_is_between_parts_says_their_type(content_type: bytes, between: bytes | None) -> None:
    assert boundary(content_type) == between


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (MIXED, b"--b\r\n"),
        (MIXED, A_PART),
        (MIXED, A_PART + b"x\r\n"),
        (MIXED, b"--b\r\nContent-Type: message/x\r\n\r\n"),
        (MIXED, b"--\r\n"),
        (MIXED + b"--b\r\n", b"--\r\n"),
        (MIXED + A_PART, b"\n"),
        (MIXED + A_PART, b"--a\r\n"),
        (NESTED, b"--\r\n"),
        (NESTED, b"--99.\r\n\r\n"),
        (b"", b"a:\r\n"),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_no_message_takes_long(begin: bytes, piece: bytes, bare: bool) -> None:
    """Of 256 KiB: 100 ms of a message is the limit."""
    message = begin + piece * (OCTETS // len(piece))
    assert cpu_seconds(lambda: Read(bare=bare).reader.octets(message), 0.1) < 0.1
