"""Every protocol, whatever comes: nothing escapes it but Malformed, and what it tells can be written in each format."""

import json
from itertools import product
from pathlib import Path
from ssl import TLSVersion
from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import Spoken
from test_dhcp import SEEDS as DHCP
from test_dns import ASK, TOLD
from test_ftp import FETCH, LOGIN
from test_http import SEEDS as HTTP
from test_ntp import ANSWER, QUESTION
from test_quic import CLIENT, SERVER
from test_smb import BIND, BOUND, HELLO, SESSION, smb1
from test_smtp import HELLO as GREETED
from test_smtp import MAIL
from test_socks import SEEDS as SOCKS
from test_ssh import SEEDS as SSH
from test_starttls import HEADS
from tls_spoken import DER, contexts, datagram, handshake, hello, session

from headwater.analysis import protocols
from headwater.analysis.protocols import MESSAGES, PROTOCOLS
from headwater.analysis.protocols.dns import DNS
from headwater.analysis.stream import Gap, Protocol
from headwater.config import RecordName
from headwater.outputs.sinks import FORMATS, form_of
from headwater.records import Batch, messages
from headwater.records.address import packed
from headwater.records.stored import stored_schema, to_stored

TLS = [
    *(octets for version in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3) for _, octets in session(*contexts(version))[0]),
    handshake(11, b"\0\3\x0c\0\3\x09" + DER),
]
DTLS = [datagram(1, hello([0xC02B], [(0, b"\0\4\0\0\1a")], 0xFEFD, cookie=b"")), datagram(3, b"\xfe\xfd\0")]
SEEDS = {
    "dns": [ASK, TOLD],
    "ntp": [QUESTION, ANSWER],
    "ssl": TLS,
    "dtls": DTLS,
    "quic": [CLIENT, SERVER],
    "ssh": SSH,
    "dhcp": DHCP,
    "dce_rpc": [BIND, BOUND],
    "socks": SOCKS,
    "smb": [*(octets for _, octets in (*SESSION, *HELLO)), smb1(0x25, BIND)],
    "http": HTTP,
    "ftp": [octets for _, octets in LOGIN + FETCH],
    "ftp-data": [ASK],
    "smtp": [octets for _, octets in GREETED + MAIL],
} | HEADS


@pytest.mark.parametrize("protocol", [one for one in PROTOCOLS if one.first is not None], ids=lambda one: one.service)
def test_none_begins_with_what_it_is_not_asked_of(protocol: type[Protocol]) -> None:
    """Whatever is behind the first octet, on any port: is_begun() agrees with `first`."""
    said = 0
    for proto in protocol.transports:
        for side, port, octets in product((0, 1), (22, 443, 40_000), SEEDS[protocol.service]):
            made = Spoken(protocol, proto, port)
            for first in range(256):
                if octets and protocol.is_begun(made.stream, side, bytes([first]) + octets[1:]):
                    said += 1
                    assert first in protocol.first
    assert said or not protocol.first


@st.composite
def said(draw: st.DrawFn, seeds: list[bytes]) -> list[tuple[int, bytes]]:
    """Messages of the protocol, some octets of them changed, cut or put together, and what is none."""
    found: list[tuple[int, bytes]] = []
    for _ in range(draw(st.integers(1, 4))):
        octets = bytearray(draw(st.sampled_from(seeds) | st.binary(max_size=200)))
        for _ in range(draw(st.integers(0, 4))):
            if octets:
                octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
        cut = draw(st.integers(0, len(octets)))
        found.append((draw(st.integers(0, 1)), bytes(octets[: cut or None])))
    return found


@pytest.mark.parametrize(("protocol", "proto"), [(one, proto) for one in PROTOCOLS for proto in sorted(one.transports)])
@given(data=st.data())
def test_nothing_escapes_but_malformed(protocol: type[Protocol], proto: str, data: st.DataObject) -> None:
    made = Spoken(protocol, proto, data.draw(st.sampled_from([21, 22, 25, 53, 137, 443, 80, 4000])))
    for side, octets in data.draw(said(SEEDS[protocol.service])):
        protocol.is_begun(made.stream, side, octets)
        made.say(side, octets)
        if proto == "tcp" and data.draw(st.booleans()) and not made.malformed:
            try:
                made.sides[side].gap(data.draw(st.integers(1, 100_000)), made.stream.now)
            except Gap:
                break
    rows = made.over()
    for record in protocol.records:
        columns = [column.name for column in record.columns]
        some = [tuple(row[name] for name in columns) for row in rows if row["_path"] == record.name]
        if some:
            to_stored(Batch(record, messages.rows(record, some)))


def test_each_file_is_registered() -> None:
    folder = Path(protocols.__file__).parent
    classes = {protocol.__module__.rpartition(".")[2] for protocol in PROTOCOLS}
    parts = {path.stem for path in folder.glob("*.py")} - {"__init__", "wire"}
    assert {part for part in parts if not any(part == one or part.startswith(f"{one}_") for one in classes)} == set()
    assert set(MESSAGES) <= set(get_args(RecordName))


FLOW = (1_750_000_000_123_456_789, b"\1" * 12, packed("10.0.0.1"), 40_000, packed("10.0.0.2"), 53)
QUERY = ("udp", 7, 0.25, "ex\u00e4mple.com\x1b", 1, "C_INTERNET", 1, "A", None, None, False, False, True, False, 0)
ROW: tuple[Any, ...] = (*FLOW, *QUERY, ["a,b", "-", ""], [60.0, 1.5, 0.0], False, 0, "query", 0.25)
EMPTY = (*ROW[:9], None, *ROW[10:21], [], None, *ROW[23:])


@pytest.mark.parametrize("name", FORMATS)
def test_messages_are_written_in_every_format(name: str) -> None:
    batch = Batch(DNS, messages.rows(DNS, [ROW, EMPTY]))
    form = form_of(name)(DNS)
    written = b"".join(bytes(piece) for piece in form.encode([batch], 0)) if hasattr(form, "encode") else b""
    match name:
        case "zeek-json":
            [first, second] = [json.loads(line) for line in written.splitlines()]
            assert first["ts"] == 1_750_000_000.123456
            assert first["answers"] == ["a,b", "-", ""]
            assert (first["rtt"], first["query"], first["TTLs"]) == (0.25, "ex\u00e4mple.com\x1b", [60.0, 1.5, 0.0])
            assert "query" not in second
            assert second["answers"] == []
        case "jsonl":
            [first, second] = [json.loads(line) for line in written.splitlines()]
            assert (first["answers"], first["TTLs"], first["rtt"], first["AA"]) == (["a,b", "-", ""], [60.0, 1.5, 0.0], 0.25, False)
            assert first["ts"] == "2025-06-15T15:06:40.123456789Z"
            assert "rcode" not in first
            assert second["answers"] == []
        case "zeek":
            cells = written.splitlines()[0].split(b"\t")
            assert cells[0] == b"1750000000.123456"
            assert rb"a\x2cb,\x2d,(empty)" in cells or rb"a\x2cb,\x2d," in cells


def test_what_is_kept_has_the_types_that_an_imported_log_has() -> None:
    batch = Batch(DNS, messages.rows(DNS, [ROW, EMPTY]))
    stored = to_stored(batch)
    assert stored.schema == stored_schema(DNS)
    assert stored.schema.field("answers").type == pa.list_(pa.string())
    assert stored.column("TTLs").to_pylist() == [[60.0, 1.5, 0.0], None]
    assert stored.column("id.orig_h").to_pylist() == [ROW[2], ROW[2]]
