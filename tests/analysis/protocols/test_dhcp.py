"""Transactions of DHCP, rightly and wrongly. That they are Zeek's shows tests/oracle/test_zeek_logs.py."""

import struct
from typing import Any

import pytest
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols.dhcp import Dhcp, Transactions
from headwater.analysis.stream import Stream
from headwater.records import Record
from headwater.records.address import packed, uid_text

MAC = bytes.fromhex("90b11c994929")
SECOND = 10**9


def dhcp(kind: int, *options: tuple[int, bytes], number: int = 7, assigned: str = "0.0.0.0", end: bytes = b"\xff") -> bytes:
    head = struct.pack(">BBBBIHH4x4s8x", 1, 1, 6, 0, number, 0, 0, packed(assigned)[12:]) + MAC.ljust(16, b"\0") + bytes(192)
    said = b"".join(bytes([code, len(value)]) + value for code, value in ((53, bytes([kind])), *options))
    return head + b"\x63\x82\x53\x63" + said + end


DISCOVER = dhcp(1, (12, b"laptop"), (61, b"\1" + MAC), (50, packed("10.0.0.9")[12:]))
OFFER = dhcp(2, (51, struct.pack(">I", 600)), (15, b"example.com\0"), assigned="10.0.0.9")
REQUEST = dhcp(3, (81, b"\0\0\0laptop.example.com"), (56, b"bye\x1b"))
SEEDS = [DISCOVER, OFFER, REQUEST]


class Flows:
    """Several of them, and what their transactions come to."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.all = Transactions(self._put)
        self.streams: dict[tuple[str, str], tuple[Stream, Dhcp]] = {}

    def _put(self, record: Record, row: tuple[Any, ...]) -> None:
        self.rows.append(dict(zip((column.name for column in record.columns), row, strict=True)))

    def say(self, orig: str, resp: str, octets: bytes, at_s: float, side: int = 0, ports: tuple[int, int] = (68, 67)) -> None:
        if (orig, resp) not in self.streams:
            uid = bytes([len(self.streams) + 1]) * 12
            stream = Stream(0, (TS, uid, packed(orig), packed(resp), *ports, 17, 0, 0), self._put, lambda *_: None)
            stream.joints[Transactions] = self.all
            self.streams[orig, resp] = stream, Dhcp(stream)
        stream, reader = self.streams[orig, resp]
        stream.now = TS + round(at_s * SECOND)
        reader.datagram(side, octets)

    def settle(self, at_s: float) -> list[dict[str, Any]]:
        self.all.settle(TS + round(at_s * SECOND))
        return self.rows


def test_messages_of_several_flows_are_one_row_in_the_order_of_time() -> None:
    flows = Flows()
    flows.say("10.0.0.9", "10.0.0.1", OFFER, 0.5, side=1)
    flows.say("0.0.0.0", "255.255.255.255", DISCOVER, 0)
    flows.say("0.0.0.0", "255.255.255.255", REQUEST, 1)
    assert flows.settle(5) == []
    flows.say("10.0.0.1", "255.255.255.255", dhcp(6, (56, b"no")), 1.25, ports=(67, 68))
    assert flows.settle(9) == []
    [row] = flows.settle(11)
    assert row == {
        "ts": TS,
        "uids": [uid_text(bytes([number]) * 12) for number in (2, 1, 3)],
        "client_addr": packed("10.0.0.9"),
        "server_addr": packed("10.0.0.1"),
        "mac": "90:b1:1c:99:49:29",
        "host_name": "laptop",
        "client_fqdn": "laptop.example.com",
        "domain": "example.com",
        "requested_addr": packed("10.0.0.9"),
        "assigned_addr": packed("10.0.0.9"),
        "lease_time": 600.0,
        "client_message": "bye\\x1b",
        "server_message": "no",
        "msg_types": ["DISCOVER", "OFFER", "REQUEST", "NAK"],
        "duration": 1.25,
    }


@pytest.mark.parametrize(
    ("times", "rows"),
    [
        ([0, 4, 8], 1),
        ([0, 6], 1),  # it has not lasted ten seconds
        ([0, 4, 12, 28], 3),
        ([0, 4, 8, 12, 16, 20, 24, 28, 32], 2),
    ],
)
def test_silence_ends_a_transaction_and_so_does_a_long_time(times: list[float], rows: int) -> None:
    flows = Flows()
    for at in times:
        flows.say("0.0.0.0", "255.255.255.255", DISCOVER, at)
    flows.all.end()
    assert len(flows.rows) == rows
    assert sum(len(row["msg_types"]) for row in flows.rows) == len(times)


def test_a_row_has_room_for_so_many_messages_and_flows() -> None:
    flows = Flows()
    for at in range(120):
        flows.say("0.0.0.0", "255.255.255.255", DISCOVER, at / 1000)
    for at in range(12):
        flows.say(f"10.0.1.{at}", "10.0.0.1", dhcp(8, number=9), 1 + at / 1000)
    flows.all.end()
    assert sorted(len(row["msg_types"]) for row in flows.rows) == [2, 10, 20, 50, 50]


def test_what_waits_is_bounded() -> None:
    flows = Flows()
    for number in range(20_000):
        flows.say("0.0.0.0", "255.255.255.255", dhcp(1, number=number), 0)
    assert len(flows.settle(0)) == 20_000 - (1 << 14)


@pytest.mark.parametrize(
    ("octets", "malformed"),
    [
        (DISCOVER[:100], "DHCP_no_cookie"),
        (dhcp(1, end=b""), "truncated"),
        (dhcp(1, end=b"\x0c\x05abc"), "truncated"),
        (dhcp(1, (50, b"abc")), "DHCP_wrong_length"),
        (dhcp(1, (51, b"")), "DHCP_wrong_length"),
        (dhcp(1, (53, b"")), "DHCP_wrong_length"),
        (dhcp(1, end=b"\0\0\0\xff"), ""),
    ],
)
def test_what_is_cut_or_of_a_wrong_length_is_malformed(octets: bytes, malformed: str) -> None:
    made = spoken(Dhcp, [(0, octets)], resp_port=67)
    assert made.malformed == malformed
    assert (len(made.rows), made.stream.services) == ((0, []) if malformed else (1, ["dhcp"]))


@pytest.mark.parametrize(
    ("kind", "identifier", "mac"),
    [(0, b"", "90:b1:1c:99:49:29"), (19, b"\1" + bytes(range(1, 9)), "01:02:03:04:05:06:07:08"), (1, b"\0abc", "90:b1:1c:99:49:29")],
)
def test_who_asks_is_told_by_its_identifier_or_its_header(kind: int, identifier: bytes, mac: str) -> None:
    [row] = spoken(Dhcp, [(0, dhcp(kind, (61, identifier)))], resp_port=67).rows
    assert row["mac"] == mac
    assert row["msg_types"] == ["DISCOVER" if kind == 1 else f"unknown-message-type-{kind}"]


def test_it_is_known_by_its_cookie() -> None:
    stream = Spoken(Dhcp).stream
    assert [Dhcp.is_begun(stream, 0, octets) for octets in (DISCOVER, DISCOVER[:239], b"", bytes(300))] == [True, False, False, False]
