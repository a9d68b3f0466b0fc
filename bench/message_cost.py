"""What one message takes, without packets and streams around it: DNS, a head of HTTP, a hello of TLS with both of its hashes."""

import gc
import os
import ssl
import struct
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from bench.common import CPUS, Figure, median
from headwater.analysis.protocols.dns import Dns
from headwater.analysis.protocols.http import Http
from headwater.analysis.protocols.tls import Tls
from headwater.analysis.stream import Protocol, Side, Stream

ROUNDS, TIMES = 200, 50
MOST_US = {"DNS": 15.0, "a head of HTTP": 8.0, "a hello of TLS": 45.0}
NAME = b"\3www\7example\3com\0"
QUESTION = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + NAME + struct.pack("!2H", 1, 1)
ANSWER = struct.pack("!6H", 7, 0x8180, 1, 2, 0, 0) + QUESTION[12:]
ANSWER += b"".join(b"\xc0\x0c" + struct.pack("!2HIH", 1, 1, 60, 4) + bytes((192, 0, 2, last)) for last in (1, 2))
ASKED = (
    b"GET /index.html?page=2 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n"
    b"Accept: text/html\r\nAccept-Language: en\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nCookie: a=b\r\n\r\n"
)
ANSWERED = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 03 Nov 2025 10:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 0\r\n"
    b'Connection: keep-alive\r\nETag: "x"\r\n\r\n'
)


def stream(protocol: type[Protocol], proto: int, port: int) -> tuple[Any, list[Side]]:
    """Its reader, and what is fed."""
    begin = (0, bytes(12), bytes(16), bytes(16), 40_000, port, proto, 0, 0)
    made = Stream(0, begin, lambda *_: None, lambda *_: None)
    reader = protocol(made)
    return reader, [Side(made, side, reader.side(side)) for side in (0, 1)] if proto == 6 else []


def dns() -> float:
    reader, _ = stream(Dns, 17, 53)
    begin = time.perf_counter()
    for _ in range(TIMES):
        reader.datagram(0, QUESTION)
        reader.datagram(1, ANSWER)
    return (time.perf_counter() - begin) / TIMES / 2


def http() -> float:
    _, (asks, answers) = stream(Http, 6, 80)
    begin = time.perf_counter()
    for _ in range(TIMES):
        asks.feed(ASKED, 1000)
        answers.feed(ANSWERED, 2000)
    return (time.perf_counter() - begin) / TIMES / 2


@cache
def hello() -> bytes:
    """A real one: OpenSSL's."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    talks = ssl.create_default_context().wrap_bio(came, goes, server_hostname="www.example.com")
    try:
        talks.do_handshake()
    except ssl.SSLWantReadError:
        return goes.read()
    raise SystemExit("bench: OpenSSL said nothing")


def tls() -> float:
    said, sides = hello(), [stream(Tls, 6, 443)[1] for _ in range(TIMES)]
    begin = time.perf_counter()
    for asks, _ in sides:
        asks.feed(said, 1000)
    return (time.perf_counter() - begin) / TIMES


MESSAGES: dict[str, Callable[[], float]] = {"DNS": dns, "a head of HTTP": http, "a hello of TLS": tls}


def measure() -> Figure:
    os.sched_setaffinity(0, {CPUS[0]})
    gc.disable()
    try:
        taken = {name: sorted(1e6 * one() for _ in range(ROUNDS)) for name, one in MESSAGES.items()}
    finally:
        gc.enable()
        os.sched_setaffinity(0, CPUS)
    return Figure(
        title="What a message takes",
        target=", ".join(f"{name} {most:.0f} µs" for name, most in MOST_US.items()),
        met=all(median(taken[name]) <= most for name, most in MOST_US.items()),
        ours=", ".join(f"{name} {median(each):.1f} µs" for name, each in taken.items()),
        peers="-",
        columns=("message", "median", "best", "promised"),
        rows=[(name, f"{median(each):.1f} µs", f"{each[0]:.1f} µs", f"{MOST_US[name]:.0f} µs") for name, each in taken.items()],
        told=f"""\
{ROUNDS} rounds of {TIMES} questions with their answers, of {len(QUESTION)} and {len(ANSWER)} octets; of requests and their answers, of nine
and seven lines; of hellos of {len(hello())} octets, as OpenSSL sends them, with JA3 and JA4. Rows are made of them, and go nowhere.""",
    )
