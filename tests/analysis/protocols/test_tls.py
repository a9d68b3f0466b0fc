"""Sessions of TLS as OpenSSL holds them, and what goes wrong in them. That rows are Zeek's shows tests/oracle/test_zeek_logs.py."""

import ssl
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from spoken import TS, Spoken, spoken
from tls_spoken import DER, contexts, datagram, handshake, hello, listed, record, session

from headwater.analysis.protocols.dtls import Dtls
from headwater.analysis.protocols.tls import Tls
from headwater.analysis.protocols.tls_hello import Hello, ja3, ja3s, ja4
from headwater.analysis.protocols.tls_x509 import certificate, is_for

FINGERPRINT = sha256(DER).hexdigest()
MODERN, OLD = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


def row_of(made: Spoken) -> dict[str, Any]:
    [row] = [row for row in made.rows if row["_path"] == "ssl"]
    return row


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_session_of_tls_1_2(size: int) -> None:
    said, client = session(*contexts(OLD))
    made = spoken(Tls, said, "tcp", size, resp_port=8443)
    row = row_of(made)
    assert client.selected_alpn_protocol() == row["next_protocol"] == "h2"
    assert (row["version"], row["cipher"]) == ("TLSv12", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    assert (row["curve"], row["server_name"], row["established"], row["resumed"]) == ("x25519", "www.example.org", True, False)
    assert (row["ssl_history"], row["last_alert"]) == ("CsxknGIti", None)
    assert (row["cert_chain_fps"], row["client_cert_chain_fps"], row["sni_matches_cert"]) == ([FINGERPRINT], [], True)
    assert made.stream.services == ["ssl"]
    assert made.stream.left == [made.reader]


def test_one_that_was_held_before_is_resumed() -> None:
    ours, theirs = contexts(OLD)
    _, client = session(ours, theirs)
    said, client = session(ours, theirs, resumes=client.session)
    row = row_of(spoken(Tls, said, "tcp", resp_port=443))
    assert client.session_reused
    assert (row["resumed"], row["established"], row["cert_chain_fps"]) == (True, True, None)


@pytest.mark.parametrize("size", [0, 1])
def test_a_session_of_tls_1_3(size: int) -> None:
    said, client = session(*contexts(MODERN), host="other.example.org")
    row = row_of(spoken(Tls, said, "tcp", size, resp_port=443))
    suite = client.cipher()
    assert suite is not None
    assert (row["version"], row["cipher"], row["curve"]) == ("TLSv13", suite[0], "x25519")
    assert (row["established"], row["ssl_history"], row["next_protocol"], row["server_name"]) == (True, "CsiI", None, "other.example.org")
    ours, theirs = contexts(MODERN)
    _, client = session(ours, theirs)
    said, client = session(ours, theirs, resumes=client.session)
    assert client.session_reused
    assert row_of(spoken(Tls, said, "tcp", resp_port=443))["resumed"] is True


def test_a_client_that_refuses_the_certificate_says_why() -> None:
    ours, theirs = contexts(OLD)
    ours.verify_mode = ssl.CERT_REQUIRED
    said, _ = session(ours, theirs, host="elsewhere.org")
    row = row_of(spoken(Tls, said, "tcp", resp_port=443))
    assert (row["established"], row["last_alert"], row["ssl_history"][-1]) == (False, "unknown_ca", "L")
    assert row["sni_matches_cert"] is False


def test_a_certificate_is_read_once_and_told_of_each_time() -> None:
    said, _ = session(*contexts(OLD))
    first, second = Spoken(Tls, "tcp"), Spoken(Tls, "tcp")
    second.stream.files = first.stream.files
    for made in (first, second):
        for side, octets in said:
            made.say(side, octets)
        assert [row["_path"] for row in made.over()] == ["x509", "ssl"]
        assert made.rows[1]["sni_matches_cert"] is True
    for told, _ in (first.rows, second.rows):
        assert (told["fingerprint"], told["host_cert"], told["client_cert"]) == (FINGERPRINT, True, False)
    assert list(first.stream.files.known) == [FINGERPRINT]


def test_a_certificate_is_written_as_openssl_does() -> None:
    """The names are what `openssl x509 -nameopt RFC2253` prints of it."""
    names, values = certificate(DER)
    subject = (
        r"2.3.4=#0C07756E6B6E6F776E,emailAddress=me@example.org,CN=*.ex\C3\A4mple.org,OU=\#hash,OU=\ first and last\ ,"
        r"O=A\, \"B\" \<C\>\; D\\E = F,ST=Bayern,C=DE"
    )
    assert values[:4] == (3, "F1E2D3C4", subject, subject)
    assert values[4:6] == (1_795_423_096 * 10**9, 4_949_023_096 * 10**9)
    assert values[6:12] == ("id-ecPublicKey", "ecdsa-with-SHA256", "ecdsa", 256, None, "prime256v1")
    assert values[12:15] == (["www.example.org", "*.example.net"], ["https://example.org/x"], ["me@example.org"])
    assert values[15] == [bytes(10) + b"\xff\xff\xc0\0\2\1", bytes.fromhex("20010db8000000000000000000000001")]
    assert values[16:] == (True, 3)
    assert names == ["www.example.org", "*.example.net"]


@pytest.mark.parametrize(
    ("names", "host", "is_so"),
    [
        (["*.example.org"], "WWW.example.org", True),
        (["*.example.org"], "a.b.example.org", False),
        (["*.example.org"], "example.org", False),
        (["*.org"], "example.org", False),
        (["w*.example.org"], "www.example.org", True),
        (["*w.example.org"], "w.example.org", True),
        (["w*w.example.org"], "www.example.org", False),
        (["www.*.org"], "www.example.org", False),
        (["xn--*.example.org"], "xn--a.example.org", False),
        (["*.example.org"], "a_b.example.org", False),
        (["example.net", "Example.org"], "example.org", True),
    ],
)
def test_whose_certificate_it_is(names: list[str], host: str, is_so: bool) -> None:
    assert is_for(names, host) is is_so


@pytest.mark.parametrize("cut", range(0, len(DER), 23))
def test_a_certificate_that_is_cut_is_none(cut: int) -> None:
    chain = len(DER[:cut]).to_bytes(3, "big") + DER[:cut]
    made = Spoken(Tls, "tcp", 443)
    made.say(0, handshake(1, hello([0xC02B], None)))
    made.say(1, handshake(11, len(chain).to_bytes(3, "big") + chain))
    assert not made.malformed
    assert [row["_path"] for row in made.over()] == ["ssl"]


# -- fingerprints --------------------------------------------------------------------------------------------------------------------------

SUITES = [0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035]
CODES = [0x001B, 0, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B, 0xFF01, 0x000B, 0x000A, 0x0015]
SAID = {
    0x000D: listed(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
    0x0010: b"\0\x0c\2h2\x08http/1.1",
    0x002B: b"\6\x5a\x5a\3\3\3\4",
    0: b"\0\x10\0\0\x0dwww.frank.org",
}


def test_ja4_is_that_of_its_description() -> None:
    """github.com/FoxIO-LLC/ja4, technical_details/JA4.md; values that mean nothing are left out."""
    body = hello([0x0A0A, *SUITES], [(0x1A1A, b""), *((code, SAID.get(code, b"")) for code in CODES), (0xFAFA, b"\0")])
    assert ja4(Hello(body, is_client=True), "t") == "t13d1516h2_8daaf6152771_e5627efa2ab1"
    without = [(code, b"\0\0" if code == 0x000D else SAID.get(code, b"")) for code in CODES]
    assert ja4(Hello(hello(SUITES, without), is_client=True), "q") == "q13d1516h2_8daaf6152771_6d807ffa2a79"
    assert ja4(Hello(hello([0x0A0A], None, 0x0301), is_client=True), "t") == "t10i000000_000000000000_000000000000"


@pytest.mark.parametrize(
    ("protocol", "shown"), [("ab", "ab"), ("abcd", "ad"), ("30ab", "3b"), ("3031abcd", "3d"), ("30abcd31", "01"), ("", "00"), ("68", "hh")]
)
def test_ja4_shows_the_ends_of_the_first_protocol(protocol: str, shown: str) -> None:
    """Examples of the same description; a protocol of one octet that is no letter is shown in hexadecimal."""
    octets = bytes.fromhex(protocol)
    body = hello(SUITES, [(16, (len(octets) + 1).to_bytes(2, "big") + bytes([len(octets)]) + octets)])
    assert ja4(Hello(body, is_client=True), "t")[8:10] == shown


def test_ja3_is_that_of_its_description() -> None:
    """github.com/salesforce/ja3: both examples of its README."""
    suites = [47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4]
    body = hello(suites, [(0, b""), (10, listed(23, 24, 25)), (11, b"\1\0")], 769)
    assert ja3(Hello(body, is_client=True)) == "ada70206e40642a3e4461f35503241d5"
    assert ja3(Hello(hello([4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99], None, 769), is_client=True)) == "de350869b8c85de67a350c8d186f11e6"


@pytest.mark.parametrize(
    ("suite", "codes", "told"),
    [(49199, b"\0\x2b\0\2\3\4", "0e3405775384b4a1a9d2222182e76972"), (47, b"", "5397c414a9ebeaff1bf18b70ca22eaa0")],
)
def test_ja3s_is_what_others_make_of_it(suite: int, codes: bytes, told: str) -> None:
    """Arkime's answers for 771,49199,43 and 771,47, in its own captures."""
    body = b"\3\3" + bytes(33) + suite.to_bytes(2, "big") + b"\0" + (len(codes).to_bytes(2, "big") + codes if codes else b"")
    assert ja3s(Hello(body, is_client=False)) == told


# -- what is odd ---------------------------------------------------------------------------------------------------------------------------


def test_a_server_that_speaks_something_else_ends_it() -> None:
    made = spoken(Tls, [(0, handshake(1, hello(SUITES, None))), (1, b"HTTP/1.1 400 Bad Request\r\n\r\n")], "tcp", resp_port=80)
    assert made.malformed
    assert (row_of(made)["ssl_history"], row_of(made)["established"], row_of(made)["ts"]) == ("C", False, TS + 10**6)


def test_octets_that_were_never_seen_end_it() -> None:
    said, _ = session(*contexts(OLD))
    made = Spoken(Tls, "tcp", 443)
    made.say(*said[0])
    made.sides[1].gap(10, made.stream.now)
    assert made.stream.left == [made.reader]
    assert made.over()[0]["ssl_history"] == "C"


def test_ssl_2() -> None:
    body = b"\1\0\2\0\3\0\0\0\x10\1\0\x80" + bytes(16)
    answer = b"\4\0\1\0\2" + len(DER).to_bytes(2, "big") + b"\0\3\0\4" + DER + b"\1\0\x80" + bytes(4)
    key = b"\2\1\0\x80" + bytes(6)
    frames = [(side, (0x8000 | len(octets)).to_bytes(2, "big") + octets) for side, octets in ((0, body), (1, answer), (0, key))]
    made = spoken(Tls, frames, "tcp", 1, resp_port=443)
    row = row_of(made)
    assert Tls.is_begun(made.stream, 0, frames[0][1])
    assert (row["version"], row["cipher"], row["ssl_history"]) == ("SSLv2", "SSLv20_CK_RC4_128_WITH_MD5", "Cs")
    assert (row["established"], row["cert_chain_fps"]) == (True, [FINGERPRINT])


@pytest.mark.parametrize(
    ("port", "side", "octets", "is_so"),
    [
        (4000, 0, handshake(1, hello(SUITES, None)), True),
        (4000, 1, handshake(2, hello(SUITES, None)), True),
        (4000, 1, record(21, b"\1\x70") + handshake(2, hello(SUITES, None)), True),
        (4000, 1, handshake(1, hello(SUITES, None)), True),
        (4000, 0, handshake(2, hello(SUITES, None)), True),
        (4000, 0, handshake(4, hello(SUITES, None)), False),
        (4000, 0, record(21, b"\2\x28"), False),
        (443, 1, record(21, b"\2\x28"), True),
        (443, 0, b"GET / HTTP/1.1\r\n", False),
        (4000, 0, b"\x80\x40\1\0\2" + bytes(60), False),
        (4000, 0, b"\x16\3\5\0\5\1", False),
    ],
)
def test_it_is_known_by_its_content(port: int, side: int, octets: bytes, is_so: bool) -> None:
    assert Tls.is_begun(Spoken(Tls, "tcp", port).stream, side, octets) is is_so


def test_a_chain_without_end_is_refused() -> None:
    made = Spoken(Tls, "tcp", 443)
    made.say(0, handshake(1, hello(SUITES, None)))
    made.say(1, record(22, b"\x0b\x10\0\0"))
    assert made.malformed == "SSL_long_message"


# -- datagrams -----------------------------------------------------------------------------------------------------------------------------


def test_a_hello_in_pieces_and_with_a_cookie() -> None:
    first = hello(SUITES, [(0, SAID[0])], 0xFEFD, cookie=b"")
    second = hello(SUITES, [(0, SAID[0])], 0xFEFD, cookie=b"cookie")
    pieces = [datagram(1, second, 1, at, upto) for at, upto in pairwise([0, 40, 70, len(second)])]
    said = [
        (0, datagram(1, first)),
        (1, datagram(3, b"\xfe\xfd\6cookie")),
        *((0, piece) for piece in (pieces[2], pieces[0], pieces[0], pieces[1])),
    ]
    made = spoken(Dtls, said, resp_port=4433)
    row = row_of(made)
    assert Dtls.is_begun(made.stream, 1, said[0][1])
    assert (row["ssl_history"], row["server_name"], row["ja4"][:10]) == ("CvC", "www.frank.org", "dd2d150100")
    assert (row["ts"], made.stream.services) == (TS + 10**6, ["dtls"])


def test_who_begins_from_the_other_side_is_the_client() -> None:
    made = spoken(Dtls, [(1, datagram(1, hello(SUITES, None, 0xFEFD, cookie=b"")))], resp_port=4433)
    assert row_of(made)["ssl_history"] == "^C"
