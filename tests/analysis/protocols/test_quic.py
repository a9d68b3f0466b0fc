"""QUIC: the packets of RFC 9001, Appendix A, and what may be wrong with them."""

from pathlib import Path

import pytest
from headwater._native import ffi, lib
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols.quic import Hello, Quic
from headwater.analysis.protocols.quic_initial import VERSION_2, Keys
from headwater.analysis.wire import Malformed

CLIENT, SERVER = (bytes.fromhex(one) for one in Path(__file__).with_name("rfc9001.txt").read_text().split("\n\n"))
CONNECTION = bytes.fromhex("8394c8f03e515708")
LONG_1 = b"\xe0\0\0\0\1\4abcd\4efgh"  # a packet of the handshake begins so
SHORT = b"\x40abcdefgh"


def test_aes_is_that_of_its_standards() -> None:
    """FIPS 197, C.1; test case 4 of the description of GCM, whose text is no multiple of 16 octets."""
    out = ffi.new("uint8_t[]", 80)
    lib.hw_aes128(bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff"), out)
    assert ffi.buffer(out, 16)[:].hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    key, nonce = bytes.fromhex("feffe9928665731c6d6a8f9467308308"), bytes.fromhex("cafebabefacedbaddecaf888")
    beside = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    body = bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47"
    )
    assert lib.hw_aes128_gcm_open(key, nonce, beside, len(beside), body, len(body), out) == 0
    assert ffi.buffer(out, 60)[:].hex() == (
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    for at in range(len(body)):
        wrong = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert lib.hw_aes128_gcm_open(key, nonce, beside, len(beside), wrong, len(wrong), out) == -1
    assert lib.hw_aes128_gcm_open(key, nonce, beside, len(beside), body, 15, out) == -1


def test_keys_are_those_of_their_standards() -> None:
    """RFC 9001, A.1, and RFC 9369, A.1."""
    first, second = Keys(1, CONNECTION, of_client=True), Keys(VERSION_2, CONNECTION, of_client=True)
    assert (first.key.hex(), first.nonce.hex()) == ("1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c")
    assert first.header.hex() == "9f50449e04a0e810283a1e9933adedd2"
    assert (second.key.hex(), second.nonce.hex()) == ("8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f")
    assert second.header.hex() == "45b95e15235d6f45a6b19cbcb0294ba9"


def test_the_first_packets_of_a_connection() -> None:
    made = spoken(Quic, [(0, CLIENT), (1, SERVER)], resp_port=4433)
    quic, tls = made.rows
    assert (quic["version"], quic["server_name"], quic["client_protocol"], quic["history"]) == ("1", "example.com", "alpn", "ISis")
    assert (quic["client_initial_dcid"], quic["client_scid"], quic["server_scid"]) == ("8394c8f03e515708", "", "f067a5502a4262b5")
    assert (tls["version"], tls["cipher"], tls["curve"], tls["ssl_history"]) == ("TLSv13", "TLS_AES_128_GCM_SHA256", "x25519", "Cs")
    assert (tls["server_name"], tls["established"], tls["ja4"][:10], tls["ts"]) == ("example.com", False, "q13d0211an", TS + 10**6)
    assert made.stream.services == ["quic", "ssl"]


def test_the_history_has_other_packets_too() -> None:
    handshake = LONG_1 + b"\x05hello"
    said = [(0, CLIENT), (1, SERVER + handshake), *[(0, SHORT)] * 5, (1, SHORT), (1, b"\0\0"), (0, b"\xd0" + LONG_1[1:] + b"\1x")]
    quic, _ = spoken(Quic, said, resp_port=443).rows
    assert quic["history"] == "ISishOOOoxZ"


def test_a_retry_begins_anew() -> None:
    retry = b"\xf0\0\0\0\1\0\4newa" + b"token" + bytes(16)
    rows = spoken(Quic, [(0, CLIENT), (1, retry), (0, CLIENT)], resp_port=443).rows
    assert [row["history"] for row in rows if row["_path"] == "quic"] == ["ISr", "IS"]
    assert len([row for row in rows if row["_path"] == "ssl"]) == 2


@pytest.mark.parametrize("first", [0x80, 0xC0])
def test_a_version_that_the_server_does_not_know_is_followed_by_another_attempt(first: int) -> None:
    """RFC 9000, 6 and 17.2.1."""
    versions = bytes([first]) + bytes(4) + b"\0\4here" + (1).to_bytes(4, "big") + (0x1A2A3A4A).to_bytes(4, "big")
    made = spoken(Quic, [(0, CLIENT), (1, versions), (0, CLIENT + bytes(20))], resp_port=4433)
    assert [row["history"] for row in made.rows if row["_path"] == "quic"] == ["ISu", "ISX"]
    assert not made.malformed


@pytest.mark.parametrize("at", [0, 1, 6, 30, 500, 1199])
def test_what_cannot_be_opened_is_not_quic(at: int) -> None:
    wrong = CLIENT[:at] + bytes([CLIENT[at] ^ 1]) + CLIENT[at + 1 :]
    made = spoken(Quic, [(0, wrong)], resp_port=4433)
    assert (bool(made.malformed), made.stream.services, made.rows) == (True, [], [])


def test_a_version_that_nobody_knows_is_told_of_on_its_ports() -> None:
    made = spoken(Quic, [(0, b"\xc3Q046\x50" + bytes(100))], resp_port=443)
    assert (made.malformed, made.rows[0]["version"], made.rows[0]["history"]) == ("QUIC_unhandled_version", "unknown-51303436", "U")
    assert made.stream.services == []


@pytest.mark.parametrize(
    ("port", "side", "octets", "is_so"),
    [
        (4433, 0, CLIENT, True),
        (4433, 1, CLIENT, False),
        (4433, 0, b"\xd0" + CLIENT[1:], False),
        (4433, 0, b"\xd0\x6b\x33\x43\xcf" + bytes(9), True),
        (443, 1, SERVER, True),
        (443, 0, SHORT, False),
        (443, 0, b"\xc0\0\0", False),
    ],
)
def test_it_is_known_by_its_content(port: int, side: int, octets: bytes, is_so: bool) -> None:
    assert Quic.is_begun(Spoken(Quic, "udp", port).stream, side, octets) is is_so


def test_a_hello_comes_in_any_order() -> None:
    whole = b"\1\0\0\x0a" + bytes(range(10))
    hello = Hello()
    assert [hello.add(at, whole[at : at + size]) for at, size in ((8, 9), (2, 3), (0, 2), (4, 4))] == [None, None, None, whole]
    with pytest.raises(Malformed):
        Hello().add(17_000, b"x")


def test_google_s_own_says_its_name_in_the_clear() -> None:
    tags = {b"PAD\0": b"--", b"SNI\0": b"example.org", b"VER\0": b"Q043"}
    ends = [sum(map(len, list(tags.values())[: at + 1])) for at in range(len(tags))]
    said = (
        b"CHLO\3\0\0\0" + b"".join(tag + end.to_bytes(4, "little") for tag, end in zip(tags, ends, strict=True)) + b"".join(tags.values())
    )
    first = b"\x0dconnectnQ043" + b"\1" + bytes(12) + b"\xa0\1\0\4" + said
    made = spoken(Quic, [(0, first), (1, SHORT)], resp_port=4433)
    [row] = made.rows
    assert Quic.is_begun(made.stream, 0, first)
    assert (row["version"], row["server_name"], row["client_initial_dcid"]) == ("Q043", "example.org", b"connectn".hex())
    assert (made.stream.services, made.stream.left) == (["quic"], [made.reader])
    for cut in range(len(first)):
        spoken(Quic, [(0, first[:cut])], resp_port=4433)
