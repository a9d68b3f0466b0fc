"""Connections of SSH, rightly and wrongly. That they are Zeek's shows tests/oracle/test_zeek_logs.py."""

import hashlib
import struct
from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols.ssh import Ssh
from headwater.analysis.stream import Gap

CLIENT, SERVER = b"SSH-2.0-OpenSSH_9.7\r\n", b"SSH-1.99-dropbear\n"


def string(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def packet(kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">IBB", len(body) + 6, 4, kind) + body + bytes(4)


def kexinit(kex: bytes, *lists: bytes) -> bytes:
    """With the host keys, and ciphers, codes and compressions each way."""
    return packet(20, bytes(16) + b"".join(map(string, (kex, *lists, b"", b""))) + bytes(5))


def keys(kex: bytes = b"curve25519-sha256", compression: bytes = b"none", reply: int = 31) -> list[tuple[int, bytes]]:
    """Both sides up to their keys."""
    offered = b"ssh-ed25519,ssh-rsa", b"aes128-ctr,aes256-ctr", b"aes256-ctr", b"hmac-sha1,hmac-md5", b"hmac-md5", compression, compression
    chosen = b"ssh-rsa", b"aes128-ctr", b"aes256-ctr", b"hmac-md5", b"hmac-md5", compression, compression
    return [
        (1, SERVER),
        (0, CLIENT),
        (0, kexinit(b"other," + kex, *offered)),
        (1, kexinit(kex, *chosen)),
        (0, packet(30, string(b"e"))),
        (1, packet(reply, string(b"host key") + string(b"f") + string(b"signature"))),
        (1, packet(21)),
        (0, packet(21)),
    ]


def encrypted(*sizes: int) -> list[tuple[int, bytes]]:
    """What the server says, each after the client."""
    return [(side, bytes(size)) for size in sizes for side in (0, 1)]


SEEDS = [octets for _, octets in keys()]
ALGORITHMS = ("cipher_alg", "mac_alg", "compression_alg", "kex_alg", "host_key_alg")


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_connection_is_a_row_however_it_comes(size: int) -> None:
    made = spoken(Ssh, keys(), "tcp", size, resp_port=22)
    [row] = made.rows
    assert (row["version"], row["client"], row["server"]) == (2, "SSH-2.0-OpenSSH_9.7", "SSH-1.99-dropbear")
    both = "To server: aes128-ctr, to client: aes256-ctr"
    assert [row[name] for name in ALGORITHMS] == [both, "hmac-md5", "none", "curve25519-sha256", "ssh-rsa"]
    assert row["host_key_fingerprint"] == "SHA256:" + b64encode(hashlib.sha256(b"host key").digest()).decode()[:32]
    client = b"other,curve25519-sha256;aes128-ctr,aes256-ctr;hmac-sha1,hmac-md5;none"
    assert row["hassh"] == hashlib.md5(client, usedforsecurity=False).hexdigest()
    assert row["hasshServer"] == hashlib.md5(b"curve25519-sha256;aes256-ctr;hmac-md5;none", usedforsecurity=False).hexdigest()
    assert (row["auth_success"], row["auth_attempts"], row["direction"]) == (None, 0, None)
    assert made.stream.services == ["ssh"]
    assert size or row["ts"] == TS + 10**6


@pytest.mark.parametrize(
    ("kex", "reply", "is_told"),
    [
        (b"diffie-hellman-group-exchange-sha256", 33, True),
        (b"diffie-hellman-group-exchange-sha256", 31, False),
        (b"diffie-hellman-group18-sha512", 31, True),
        (b"sntrup761x25519-sha512@openssh.com", 31, True),
        (b"gss-gex-sha1-", 33, True),
        (b"rsa2048-sha256", 31, False),
        (b"mine", 31, False),
    ],
)
def test_where_the_host_key_is_depends_on_the_exchange(kex: bytes, reply: int, is_told: bool) -> None:
    made = spoken(Ssh, keys(kex, reply=reply), "tcp", resp_port=22)
    assert (made.rows[0]["host_key_fingerprint"] is not None) is is_told
    assert made.weirds == ([("ssh_unknown_kex_algorithm", "mine")] if kex == b"mine" else [])


@pytest.mark.parametrize(
    ("sizes", "success", "attempts"),
    [
        ([44, 28], True, 1),
        ([44, 60, 28], True, 1),
        ([44, 60, 60, 100, 60, 28, 60], True, 3),
        ([44, 60, 60, 60], False, 2),
        ([44, 600, 60, 60], False, 1),
        ([44, 60], None, 0),
        ([], None, 0),
    ],
)
def test_who_was_let_in_is_guessed_by_sizes(sizes: list[int], success: bool | None, attempts: int) -> None:
    [row] = spoken(Ssh, [*keys(), *encrypted(*sizes)], "tcp", resp_port=22).rows
    assert (row["auth_success"], row["auth_attempts"]) == (success, attempts)


def test_sizes_say_nothing_of_what_is_compressed_or_came_before_the_client_asked() -> None:
    [row] = spoken(Ssh, [*keys(compression=b"zlib@openssh.com"), *encrypted(44, 28)], "tcp", resp_port=22).rows
    assert (row["auth_success"], row["auth_attempts"]) == (None, 0)
    [row] = spoken(Ssh, [*keys(), (1, bytes(900)), *encrypted(44, 28)], "tcp", resp_port=22).rows
    assert row["auth_success"] is True


@pytest.mark.parametrize(
    ("client", "server", "version", "weird"),
    [
        (b"SSH-1.5-a", b"SSH-1.99-b", 1, None),
        (b"SSH-1.99-a", b"SSH-1.99-b", 2, None),
        (b"SSH-1.99-a", b"SSH-2.0-b", 2, None),
        (b"SSH-1.5-a", b"SSH-2.0-b", None, "SSH_version_mismatch"),
        (b"SSH-", b"SSH-2.0-b", None, "SSH_cannot_determine_version"),
        (b"SSH-3.0-a", b"SSH-2.0-b", None, None),
        (b"", b"SSH-2.0-b", None, None),
    ],
)
def test_which_version_they_speak(client: bytes, server: bytes, version: int | None, weird: str | None) -> None:
    said = [(0, client + b"\n")] if client else []
    made = spoken(Ssh, [*said, (1, server + b"\n")], "tcp", resp_port=22)
    [row] = made.rows
    assert row["version"] == version
    assert made.weirds == ([(weird, f"{server.decode()} vs {client.decode()}")] if weird else [])


def test_ssh_1_is_known_by_its_first_key() -> None:
    lines = [(1, b"SSH-1.5-b\n"), (0, b"SSH-1.5-a\n")]
    made = spoken(Ssh, [*lines, (0, struct.pack(">I", 148) + bytes(4) + b"\x03" + bytes(147))], "tcp", resp_port=22)
    assert made.stream.services == ["ssh"]
    assert spoken(Ssh, [*lines, (0, struct.pack(">I", 148) + bytes(4) + b"\x04")], "tcp", resp_port=22).stream.services == []


def test_lines_may_come_before_the_servers_version_and_a_gap_ends_what_is_known() -> None:
    assert spoken(Ssh, [(0, CLIENT), (1, b"hello\r\nyou\n" + SERVER)], "tcp", resp_port=22).rows[0]["server"] == "SSH-1.99-dropbear"
    made = Spoken(Ssh, "tcp", resp_port=22)
    for side, octets in keys()[:3]:
        made.say(side, octets)
    made.sides[1].gap(10, TS)
    for side, octets in keys()[3:]:
        made.say(side, octets)
    [row] = made.over()
    assert (row["version"], row["cipher_alg"], made.stream.services) == (2, None, [])


@pytest.mark.parametrize(
    "wrong",
    [
        struct.pack(">IB", (256 << 10) + 1, 4),
        struct.pack(">IB", 5, 4),
        packet(20, bytes(16) + b"\xff\xff\xff\xff"),
        packet(20, bytes(16) + string(b"a") * 7),
    ],
)
def test_what_is_malformed_costs_no_row(wrong: bytes) -> None:
    made = spoken(Ssh, [*keys()[:2], (0, wrong), *keys()[3:]], "tcp", resp_port=22)
    [row] = made.rows
    assert (row["version"], row["cipher_alg"], made.malformed) == (2, None, "")


def recognised(port: int, *said: tuple[int, bytes]) -> list[bool]:
    made = Spoken(Ssh, "tcp", resp_port=port)
    found = []
    for side, octets in said:
        assert made.stream.head is not None
        made.stream.head[side] += octets
        found.append(Ssh.is_begun(made.stream, side, made.stream.head[side]))
    return found


def test_it_is_known_by_its_content() -> None:
    assert recognised(22, (1, SERVER)) == [True]
    assert recognised(22, (1, b"hello"), (0, CLIENT)) == [False, True]
    assert recognised(2222, (1, SERVER), (0, b"GET /"), (1, b"x")) == [False, False, False]
    assert recognised(2222, (1, SERVER), (0, CLIENT)) == [False, True]
    assert recognised(2222, (1, b"hi\n" + SERVER), (0, CLIENT)) == [False, True]


def test_no_list_is_slow_to_choose_from() -> None:
    names = [b",".join(b"%s%d" % (letter, at) for at in range(20_000)) for letter in (b"a", b"b")]
    lists: list[tuple[Any, ...]] = [(names[side], *[b"x"] * 7) for side in (0, 1)]
    made = spoken(Ssh, [(1, SERVER), (0, CLIENT), *((side, kexinit(*lists[side])) for side in (0, 1))], "tcp", resp_port=22)
    assert made.rows[0]["kex_alg"] == "Algorithm negotiation failed"


def test_sizes_are_those_of_segments() -> None:
    """What one run brings of several segments is as many sizes."""
    made = Spoken(Ssh, "tcp", resp_port=22)
    for side, octets in keys():
        made.say(side, octets)
    made.say(0, b"x")
    sizes = [44, 60, 60, 28]
    places = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    assert [b - a for a, b in pairwise(places)] == sizes
    made.sides[1].feed(bytes(places[-1]), TS, [(place, TS) for place in places[:-1]])
    [row] = made.over()
    assert (row["auth_success"], row["auth_attempts"]) == (True, 2)


def test_a_gap_before_anything_else_leaves_no_row() -> None:
    made = Spoken(Ssh, "tcp", resp_port=22)
    try:
        made.sides[0].gap(10, TS)
    except Gap:
        pytest.fail("it is not told that nothing follows")
    assert made.over() == []
