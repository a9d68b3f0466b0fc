"""Texts that are filters, and texts that are none: these give one line and a caret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import FilterError
from headwater.filters import Filter
from headwater.filters.fields import FIELDS

GOOD = [
    "tcp",
    "ip.addr == 10.0.0.0/8 && tcp.flags.reset",
    "!(udp) or not arp",
    "tcp.port in {80, 443, 8000..8010, 9000 .. 9010}",
    "tcp.flags & 0x12",
    "eth.addr == 02:00:00:00:00:01 || eth.src eq 02-00-00-00-00-02",
    "ipv6.addr == ::1 or ipv6.dst == 2001:db8::/32 or ipv6.src == fe80::1",
    'frame.interface_name == "eth0" and direction == out',
    "ip.ttl < 5 and frame.len >= 1500 and vlan.id != 7",
    "tcp.port <= 65535 and ip.ttl > 254 and vlan.id in {1..4095} and tcp.flags & 0xfff and ip.ttl >= 0",
    "weird == bad_TCP_checksum",
    "weird || tunnel == vxlan || vxlan.vni == 42",
    "ip.addr != 10.0.0.1",
    " tcp ",
]
BAD = [  # text, where the caret is, a part of the message
    ("", 0, "a field"),
    ("tcp &&", 6, "a field"),
    ("(tcp", 4, "`)`"),
    ("tcp)", 3, "the end"),
    ("tcp udp", 4, "&&"),
    ("ip.adr == 10.0.0.1", 0, "did you mean ip.addr"),
    ("tcp.port == http", 12, "a number"),
    ("tcp.port == -1", 12, "`-` has no place"),
    ("tcp.port > 1..2", 14, None),
    ("ip.addr == 10.0.0.256", 11, "an address"),
    ("ip.addr == ::1", 11, "an address"),
    ("ip.addr > 10.0.0.1", 0, "=="),
    ("ip.addr in {10.0.0.1..10.0.0.9}", 0, "is no number"),
    ("tcp == 4", 0, "is a protocol"),
    ("eth.addr == 1:2", 12, "an address such as"),
    ("tunnel == vxlam", 10, "vxlan"),
    ("tcp.port in {90..80}", 13, "lower end"),
    ("tcp.flags.syn == 2", 17, "1 or 0"),
    ('frame.interface_name == "eth0', 24, "not closed"),
    ("tcp.port == 80 $", 15, "`$`"),
    ("tcp.port == 99999", 12, "`tcp.port` is a number from 0 to 65535"),
    ("tcp.port != 65536", 12, "from 0 to 65535"),
    ("vlan.id == 5000", 11, "`vlan.id` is a number from 0 to 4095"),
    ("ip.ttl > 255", 9, "from 0 to 255"),
    ("ip.ttl < 0", 9, "from 0 to 255"),
    ("tcp.port in {80, 70000..80000}", 17, "from 0 to 65535"),
    ("tcp.port in {80..70000}", 17, "from 0 to 65535"),
    ("ip.dsfield.ecn in {1, 4}", 22, "from 0 to 3"),
    ("tcp.flags & 0x1000", 12, "from 0 to 4095"),
    ("vxlan.vni == 0x1000000", 13, "from 0 to 16777215"),
    ("weird == routing_loop", 9, "several packets show `routing_loop`, and none has it: it is in the record weird"),
    ("weird == SYN_seq_jump", 9, "--record weird"),
    ("direction == up", 13, "it may be in, out"),
    ("tunnel == foo", 10, ", eompls"),
    ("weird == xyz", 9, " more (docs/records.md)"),
]


@pytest.mark.parametrize("text", GOOD)
def test_a_filter(text: str) -> None:
    assert 0 < Filter(text).terms({1: "eth0"})["count"][0] <= 32


@pytest.mark.parametrize(("text", "at", "says"), BAD)
def test_a_mistake_is_one_line_and_a_caret(text: str, at: int, says: str | None) -> None:
    if says is None:
        with pytest.raises(FilterError):
            Filter(text)
        return
    with pytest.raises(FilterError) as raised:
        Filter(text)
    problem, shown, caret = str(raised.value).split("\n")
    assert says in problem
    assert shown == f"  {text}"
    assert caret == f"  {' ' * at}^"


def test_a_filter_that_is_too_long_is_refused() -> None:
    fits = " or ".join(f"tcp.port == {port}" for port in range(32))
    assert Filter(fits).terms({})["count"][0] == 32
    with pytest.raises(FilterError, match="33 comparisons"):
        Filter(f"{fits} or udp").terms({})


@given(st.text(max_size=300))
def test_any_text_is_a_filter_or_a_mistake(text: str) -> None:
    try:
        Filter(text).terms({})
    except FilterError as error:
        assert len(str(error).split("\n")) == 3
        assert str(error).isprintable() or "\n" in str(error)


WORDS = 'and or not && || ! ( ) { } , .. == != < >= in & "a" 80 0x5 10.0.0.0/8 ::1'.split()


@given(st.lists(st.sampled_from([*WORDS, *FIELDS]), max_size=25))
def test_any_words_are_a_filter_or_a_mistake(words: list[str]) -> None:
    text = " ".join(words)
    try:
        Filter(text).terms({})
    except FilterError as error:
        _, shown, caret = str(error).split("\n")
        assert 2 <= caret.index("^") <= len(shown)
