"""Names of what flows speak: each on a port that is not its own, and not where others use that. Zeek judges in test_zeek_logs.py."""

import re
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from conversations import START, UDP, Packet, Step, Tcp, rows
from flowing import NAMES
from known_said import SAID, TALKS
from test_streams import payloads
from tls_spoken import datagram
from tls_spoken import hello as tls_hello

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.known import KNOWN
from headwater.analysis.protocols import PROTOCOLS
from headwater.records import CONN, PACKET, Batch
from headwater.records.numbered import SERVICES

READ = {protocol.service for protocol in PROTOCOLS}
LENIENT = frozenset({21, 25, 80, 1080})  # where, as with Zeek, a word and another are a command of FTP and SMTP, a request of HTTP 0.9
FIRST = frozenset({"rfb"})  # where the server begins
Said = Sequence[tuple[int, bytes]]


def service_of(said: Said, proto: str, port: int, size: int = 0) -> str | None:
    """Of a flow to that port, the service in its row; in pieces of `size` octets where that is not 0."""
    pieces = [(side, octets[at : at + (size or 4096)]) for side, octets in said for at in range(0, len(octets), size or 4096)]
    ends = ("10.0.0.1", 40_000), ("10.0.0.2", port)
    if proto == "tcp":
        packets = Tcp(ends, (1000, 77)).packets(
            [Step(0, "syn"), Step(1, "syn-ack"), Step(0, "ack"), *(Step(s, "data", len(o)) for s, o in pieces)]
        )
        contents = [b""] * 3 + [octets for _, octets in pieces]
    else:
        packets = [
            Packet(START + at, ends[s][0], ends[1 - s][0], UDP, ends[s][1], ends[1 - s][1], len(o)) for at, (s, o) in enumerate(pieces)
        ]
        contents = [octets for _, octets in pieces]
    flows = Flows("made", FlowSettings(bytes(16)), messages=True)
    batch = Batch(PACKET, rows(packets), NAMES, payloads=payloads(packets, contents))
    [row] = np.concatenate([one.rows for one in (*flows.find(batch), *flows.end()) if one.record is CONN])
    return SERVICES.names.get(int(row["service"]))


def in_turn(service: str, orig: bytes, resp: bytes) -> Said:
    said = [(0, orig), (1, resp)]
    return said[::-1] if service in FIRST else said


@pytest.mark.parametrize(("service", "proto", "port", "orig", "resp"), SAID)
def test_it_is_known_on_any_port(service: str, proto: str, port: int, orig: bytes, resp: bytes) -> None:
    if service in READ:
        pytest.skip("a protocol reads it, and its tests show that")
    assert service_of(in_turn(service, orig, resp), proto, 40_001) == service
    assert service_of(in_turn(service, orig, resp), proto, port) == service
    if proto == "tcp":
        assert service_of(in_turn(service, orig, resp), proto, 40_001, size=1) in {service, None if service == "modbus" else service}


@pytest.mark.parametrize(("service", "proto", "port", "orig", "resp"), SAID)
def test_others_on_its_port_are_not_it(service: str, proto: str, port: int, orig: bytes, resp: bytes) -> None:
    """Nor is it what begins alike and goes on otherwise."""
    chance = Random(f"{service}{proto}")
    noise = [(0, chance.randbytes(80)), (1, chance.randbytes(80))]
    assert service_of(noise, proto, port) is None
    assert service_of([(0, b"\0" * 60), (1, b"\0" * 60)], proto, port) is None
    assert service_of([(0, b"hello\r\n"), (1, b"who is there?\r\n")], proto, port) is None
    if resp:
        alike = service_of([(0, orig), (1, b"?" * 40)], proto, port)
        assert alike in ({None, service} if alone(service) else {None})
    for other, of, _, first, second in SAID:
        if of == proto and other != service and {other, service}.isdisjoint(READ):
            assert service_of(in_turn(other, first, second), proto, port) == other


def test_what_follows_stun_is_read() -> None:
    """As the media of a browser do: either side may begin with DTLS."""
    orig, resp, *_ = [octets for service, proto, _, *said in SAID if (service, proto) == ("stun", "udp") for octets in said]
    hello = datagram(1, tls_hello([0xC02B], None, 0xFEFD, cookie=b""))
    assert service_of([(0, orig), (1, resp), (1, orig), (0, resp)] * 10 + [(1, hello)], "udp", 40_001) == "stun,dtls"


@pytest.mark.parametrize(("service", "port", "said"), TALKS)
def test_what_is_read_is_known_on_any_port(service: str, port: int, said: Said) -> None:
    for where in (40_001, port):
        assert service_of(said, "tcp", where) == service
        assert service_of(said, "tcp", where, size=1) == service
    for other in {one[1] for one in TALKS} - LENIENT:
        assert service_of(said, "tcp", other) == service


@pytest.mark.parametrize("port", sorted({port for _, port, _ in TALKS}))
def test_others_are_none_of_those_that_are_read(port: int) -> None:
    chance = Random(port)
    for orig, resp in ((chance.randbytes(80), chance.randbytes(80)), (bytes(60), bytes(60)), (b"hello\r\n", b"who is there?\r\n")):
        assert service_of([(0, orig), (1, resp)], "tcp", port) is None


def alone(service: str) -> bool:
    return any(one.alone for one in KNOWN if one.service == service)


def test_each_line_has_a_proof() -> None:
    assert {(one.service, one.proto) for one in KNOWN} == {(name, proto) for name, proto, *_ in SAID}
    for one in KNOWN:
        re.compile(one.orig), re.compile(one.resp)
