"""SOCKS: what clients and proxies say to each other (RFC 1928, 1929), in pieces of any size, and where what follows begins."""

import pytest
from spoken import Spoken, spoken

from headwater.analysis.protocols.socks import Socks

Said = list[tuple[int, bytes]]
FOUR: Said = [(0, b"\4\1\0\x50\x0a\0\0\1me\0"), (1, b"\0\x5a\0\0\0\0\0\0")]
FOUR_A: Said = [(0, b"\4\1\0\x50\0\0\0\1me\0www.example.com\0"), (1, b"\0\x5a\0\0\0\0\0\0")]
HELLO: Said = [(0, b"\5\1\0"), (1, b"\5\0")]
PASSWORD: Said = [(0, b"\5\3\0\1\2"), (1, b"\5\2"), (0, b"\1\3bob\5alice"), (1, b"\1\0")]
TO_NAME: Said = [(0, b"\5\1\0\3\x0fwww.example.com\0\x50"), (1, b"\5\0\0\1\x0a\0\0\2\x9c\x40")]
TO_IP6: Said = [(0, b"\5\1\0\4" + bytes(16) + b"\1\xbb"), (1, b"\5\0\0\4" + bytes(16) + b"\x9c\x40")]
EMPTY: Said = [*PASSWORD[:2], (0, b"\1\3bob\0"), (1, b"\1\0")]
GRANTED = [FOUR, FOUR_A, HELLO + TO_NAME, HELLO + TO_IP6, PASSWORD + TO_NAME, EMPTY + TO_NAME]
BINDS: Said = [(0, b"\5\2\0\1\x0a\0\0\2\0\x15"), *[(1, b"\5\0\0\1\x0a\0\0\2\x9c\x40")] * 2]
SEEDS = [octets for _, octets in FOUR + FOUR_A + PASSWORD + TO_NAME + TO_IP6 + BINDS]


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("said", [*GRANTED, HELLO + BINDS, [(0, b"\4\2" + FOUR[0][1][2:]), FOUR[1], FOUR[1]]])
def test_what_follows_begins_where_all_is_granted(said: Said, size: int) -> None:
    made = spoken(Socks, said, "tcp", size, resp_port=1080)
    assert Socks.is_begun(made.stream, *said[0])
    assert made.stream.inner is not None
    assert made.stream.services == ["socks"]
    for last in range(len(said)):
        assert spoken(Socks, said[:last], "tcp", size, resp_port=1080).stream.inner is None


@pytest.mark.parametrize(
    "said",
    [
        [FOUR[0], (1, b"\0\x5b\0\0\0\0\0\0")],
        [*HELLO, TO_NAME[0], (1, b"\5\5\0\1" + bytes(6))],
        [(0, b"\5\1\2"), (1, b"\5\xff")],
        [*PASSWORD[:3], (1, b"\1\1")],
        [(0, b"\5\1\1"), (1, b"\5\1"), (0, b"\1\1\0\4GSS!"), (1, b"\1\1\0\4GSS!")],
        [*HELLO, (0, b"\5\3\0\1" + bytes(6)), TO_NAME[1]],
    ],
    ids=["4", "5", "no way", "password", "GSSAPI", "UDP"],
)
def test_what_is_refused_or_goes_elsewhere_has_nothing_behind_it(said: Said) -> None:
    made = spoken(Socks, said, "tcp", resp_port=1080)
    assert (made.stream.inner, made.stream.services, made.malformed) == (None, ["socks"], "")


@pytest.mark.parametrize(
    "said", [[HELLO[0], (1, b"HTTP/1.1 400 Bad\r\n")], [FOUR[0], (1, b"\0\0\0\0\0\0\0\0")], [*HELLO, (1, b"\5\0\0\7" + bytes(6))]]
)
def test_what_no_proxy_says_is_malformed(said: Said) -> None:
    assert spoken(Socks, said, "tcp", resp_port=1080).malformed


@pytest.mark.parametrize("octets", [b"\5", b"\5\0", b"\5\2\0", b"\5\1\x55", b"\5\xff" + bytes(255), b"\4\3" + bytes(7), b"\4\1" + b"a" * 9])
def test_others_do_not_begin_so(octets: bytes) -> None:
    stream = Spoken(Socks, "tcp", 1080).stream
    assert not Socks.is_begun(stream, 0, octets)
    assert not Socks.is_begun(stream, 1, HELLO[0][1])


def test_what_a_client_says_too_soon_does_not_pile_up() -> None:
    made = Spoken(Socks, "tcp", 1080)
    for side, octets in (*HELLO, TO_NAME[0], (0, bytes(1 << 15))):
        made.say(side, octets)
    assert made.stream.left == [made.reader]
