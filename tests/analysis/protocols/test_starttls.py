"""What goes on in TLS: dialogues of the protocols' own documents, and where TLS begins in them."""

import struct

import pytest
from spoken import Spoken, spoken

from headwater.analysis.protocols.starttls import Adb, Imap, Irc, Mysql, Pop3, Rdp, StartTls, Xmpp

GREETING = b"\x4a\0\0\0\x0a5.7.44\0" + bytes(66)
ASKS = b"\x20\0\0\1" + (0x0A85).to_bytes(4, "little") + bytes(28)  # without CLIENT_SSL's 0x0800 it would be 0x0285
REQUEST = b"\3\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0"
CHOICE = b"\3\0\0\x13\x0e\xd0\0\0\x12\x34\0\2\0\x08\0\2\0\0\0"
STREAM = b"<?xml version='1.0'?><stream:stream to='example.org' xmlns:stream='http://etherx.jabber.org/streams'>"
CONNECTS = b"CNXN" + struct.pack("<IIII", 0x01000001, 1 << 20, 7, 0) + b"\xbc\xb1\xa7\xb1"
STARTS = b"STLS" + struct.pack("<IIII", 0x01000000, 0, 0, 0) + b"\xac\xab\xb3\xac"
DIALOGUES: list[tuple[type[StartTls], list[tuple[int, bytes]]]] = [
    (
        Imap,
        [
            (1, b"* OK ready\r\n"),
            (0, b"a1 CAPABILITY\r\n"),
            (1, b"* CAPABILITY STARTTLS\r\na1 OK done\r\n"),
            (0, b"a2 StartTLS\r\n"),
            (1, b"a2 OK\r\n"),
        ],
    ),
    (Pop3, [(1, b"+OK ready\r\n"), (0, b"CAPA\r\n"), (1, b"+OK\r\nSTLS\r\n.\r\n"), (0, b"STLS\r\n"), (1, b"+OK begin\r\n")]),
    (
        Irc,
        [
            (0, b"CAP LS 302\r\n"),
            (1, b":irc.example CAP * LS :tls\r\n"),
            (0, b"starttls\r\n"),
            (1, b":irc.example 670 me :begin\r\n"),
        ],
    ),
    (Irc, [(0, b"STARTTLS\r\n"), (1, b":irc.example 670 * :begin\r\n")]),
    (
        Xmpp,
        [
            (0, STREAM),
            (1, STREAM + b"<stream:features><starttls xmlns='urn:x'/></stream:features>"),
            (0, b"<starttls xmlns='urn:x'/>"),
            (1, b"<proceed xmlns='urn:x'/>"),
        ],
    ),
    (Mysql, [(1, GREETING), (0, ASKS)]),
    (Rdp, [(0, REQUEST), (1, CHOICE)]),
    (Adb, [(0, CONNECTS + b"host::\0"), (1, CONNECTS + b"device\0"), (0, STARTS), (1, STARTS)]),
]
HEADS = {protocol.service: [octets for _, octets in said] for protocol, said in DIALOGUES}


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize(("protocol", "said"), DIALOGUES)
def test_tls_begins_where_both_have_agreed(protocol: type[StartTls], said: list[tuple[int, bytes]], size: int) -> None:
    made = spoken(protocol, said, "tcp", size, resp_port=4000)
    assert protocol.is_begun(made.stream, *said[0])
    assert made.stream.inner is not None
    assert made.stream.services == ([] if protocol is Rdp else [protocol.service])
    for last in range(len(said)):
        assert spoken(protocol, said[:last], "tcp", size, resp_port=4000).stream.inner is None


@pytest.mark.parametrize(
    ("protocol", "said", "service"),
    [
        (Imap, [(1, b"* OK ready\r\n"), (0, b"a STARTTLS\r\n"), (1, b"a BAD no\r\n"), (1, b"b OK\r\n")], ["imap"]),
        (Pop3, [(1, b"+OK\r\n"), (0, b"STLS\r\n"), (1, b"-ERR\r\n"), (0, b"USER a\r\n"), (1, b"+OK\r\n")], ["pop3"]),
        (Irc, [(0, b"STARTTLS\r\n"), (1, b":irc.example 691 * :no\r\n"), (1, b":irc.example 001 me :hi\r\n")], ["irc"]),
        (Irc, [(0, b"STARTTLS\r\n"), (1, b"670 of another protocol\r\n"), (1, b":irc.example x\r\n")], []),
        (Irc, [(0, b"CAP LS\r\n"), (1, b"NOTICE AUTH :*** Looking up\r\n")], ["irc"]),
        (Irc, [(0, b"CAP LS\r\n"), (1, b":irc.example 670 * :of nobody\r\n"), (0, b"NICK me\r\n")], ["irc"]),
        (Xmpp, [(0, STREAM), (1, STREAM), (0, b"<starttls/>"), (1, b"<failure/>")], ["xmpp"]),
        (Mysql, [(1, GREETING), (0, ASKS.replace(b"\x85\x0a", b"\x85\x02"))], ["mysql"]),
        (Rdp, [(0, REQUEST), (1, CHOICE.replace(b"\x08\0\2", b"\x08\0\0"))], ["rdp"]),
        (Rdp, [(0, REQUEST), (1, CHOICE.replace(b"\0\2\0\x08", b"\0\3\0\x08"))], []),
        (Rdp, [(0, REQUEST), (1, b"\3\0\0\x0b\6\xd0\0\0\x12\x34\0")], ["rdp"]),
    ],
)
def test_who_is_refused_goes_on_in_the_clear(protocol: type[StartTls], said: list[tuple[int, bytes]], service: list[str]) -> None:
    stream = spoken(protocol, said, "tcp", resp_port=4000).stream
    assert (stream.inner, stream.services) == (None, service)


def test_one_that_does_not_ask_is_not_read_on() -> None:
    made = Spoken(Imap, "tcp", 143)
    for number in range(201):
        made.say(0, b"a%d NOOP\r\n" % number)
    assert made.stream.left == [made.reader]


@pytest.mark.parametrize(
    ("protocol", "said", "waits"),
    [(Mysql, [(1, GREETING)], 1), (Rdp, [(0, REQUEST)], 0), (Adb, [(0, CONNECTS + b"host::\0"), (0, STARTS)], 0)],
)
def test_what_waits_for_the_other_side_does_not_pile_up(protocol: type[StartTls], said: list[tuple[int, bytes]], waits: int) -> None:
    made = Spoken(protocol, "tcp", 4000)
    for side, octets in (*said, (waits, bytes(1 << 10))):
        made.say(side, octets)
    assert made.stream.left == []
    made.say(waits, bytes(1 << 15))
    assert made.stream.left == [made.reader]


@pytest.mark.parametrize(
    ("protocol", "side", "octets"),
    [
        (Imap, 0, b"* OK x\r\n"),
        (Pop3, 1, b"+OKAY\r\n"),
        (Irc, 0, b"CAPA\r\n"),
        (Irc, 1, b"STARTTLS\r\n"),
        (Xmpp, 0, b"<stream>"),
        (Mysql, 1, b"\4\0\0\0\xff"),
        (Rdp, 1, CHOICE),
    ],
)
def test_it_is_known_by_its_content(protocol: type[StartTls], side: int, octets: bytes) -> None:
    assert not protocol.is_begun(Spoken(protocol, "tcp", 4000).stream, side, octets)
