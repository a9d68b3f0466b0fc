"""Transactions of DNS, as they come over UDP and TCP, rightly and wrongly. That they are Zeek's shows tests/oracle/test_zeek_logs.py."""

import struct

import pytest
from cpu import cpu_seconds
from spoken import TS, Spoken, spoken

from headwater.analysis.protocols.dns import Dns
from headwater.analysis.protocols.dns_names import netbios
from headwater.analysis.stream import Stream
from headwater.records.address import packed


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def message(trans_id: int, flags: int, questions: list[bytes], *answers: bytes) -> bytes:
    return struct.pack(">6H", trans_id, flags, len(questions), len(answers), 0, 0) + b"".join([*questions, *answers])


def question(text: str, qtype: int = 1) -> bytes:
    return name(text) + struct.pack(">HH", qtype, 1)


def answer(owner: bytes, rtype: int, data: bytes, ttl: int = 60) -> bytes:
    return owner + struct.pack(">HHIH", rtype, 1, ttl, len(data)) + data


HERE = b"\xc0\x0c"  # the name of the first question
ASK = message(7, 0x0100, [question("Example.COM")])
TOLD = message(7, 0x8580, [question("Example.COM")], answer(HERE, 5, b"\3www\xc0\x0c"), answer(b"\3www\xc0\x0c", 1, b"\x0a\0\0\7", 300))


def test_a_query_and_its_answer_are_one_row() -> None:
    [row] = spoken(Dns, [(0, ASK), (1, TOLD)]).rows
    assert row["ts"] == TS + 10**6
    assert {
        key: row[key] for key in ("query", "qtype_name", "rcode_name", "answers", "TTLs", "rtt", "AA", "RD", "RA", "rejected", "trans_id")
    } == {
        "query": "example.com",
        "qtype_name": "A",
        "rcode_name": "NOERROR",
        "answers": ["www.example.com", "10.0.0.7"],
        "TTLs": [60.0, 300.0],
        "rtt": 0.001,
        "AA": True,
        "RD": True,
        "RA": True,
        "rejected": False,
        "trans_id": 7,
    }


@pytest.mark.parametrize("rcode", [0, 2, 3, 5])
def test_latency_is_there_without_records_too(rcode: int) -> None:
    """Which Zeek's rtt is not."""
    asked = [question("example.com")]
    [row] = spoken(Dns, [(0, message(7, 0x0100, asked)), (1, message(7, 0x8180 | rcode, asked))]).rows
    assert (row["rcode"], row["rtt"], row["latency"]) == (rcode, None, 0.001)
    for alone in (message(7, 0x0100, asked), message(7, 0x8180, asked)):
        [row] = spoken(Dns, [(0, alone)]).rows
        assert row["latency"] is None


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_over_tcp_each_is_behind_its_length_however_it_comes(size: int) -> None:
    framed = [struct.pack(">H", len(one)) + one for one in (ASK, TOLD)]
    [row, other] = spoken(Dns, [(0, framed[0] * 2), (1, framed[1] * 2)], "tcp", size).rows
    assert row["answers"] == other["answers"] == ["www.example.com", "10.0.0.7"]


def test_what_waits_in_vain_is_told_at_the_end() -> None:
    rows = spoken(Dns, [(0, ASK), (0, message(8, 0, [question("b.example", 28)])), (1, message(9, 0x8183, [question("c.example")]))]).rows
    assert [(row["query"], row["rcode_name"], row["rejected"]) for row in rows] == [
        ("example.com", None, False),
        ("b.example", None, False),
        (None, "NXDOMAIN", True),
    ]


def test_who_asks_on_and_on_without_an_answer_takes_no_more_room() -> None:
    made = Spoken(Dns)
    for number in range(5000):
        made.say(0, message(number, 0, [question(f"{number}.example")]))
    assert len(made.over()) == 5000
    made = Spoken(Dns)
    for _ in range(5000):
        made.say(0, ASK)
    assert len(made.rows) > 4900


@pytest.mark.parametrize(
    ("octets", "weird"),
    [
        (b"\0" * 11, "DNS_truncated_len_lt_hdr_len"),
        (message(1, 0, [b"\x05ab"]), "DNS_label_len_gt_pkt"),
        (message(1, 0, [b"\xc0\xff\0\1\0\1"]), "DNS_label_forward_compress_offset"),
        (message(1, 0, [b"\xc0\x0c\0\1\0\1"]), "DNS_label_forward_compress_offset"),
        (message(1, 0, [b"\x41" + b"a" * 65 + b"\0\0\1\0\1"]), "DNS_label_too_long"),
        (message(1, 0, [name("a")]), "DNS_truncated_quest_too_short"),
        (message(1, 0, [b""] * 26), "DNS_Conn_count_too_large"),
        (message(1, 0x8000, [], b"\0" + b"\0\1"), "DNS_truncated_ans_too_short"),
        (message(1, 0x8000, [], answer(b"\0", 1, b"abc")), "DNS_RR_bad_length"),
        (message(1, 0x8000, [], answer(b"\0", 1, b"abcd")[:-1]), "DNS_truncated_RR_rdlength_lt_len"),
        (message(1, 0x8000, [], answer(b"\0", 777, b"abcd")), "DNS_RR_unknown_type"),
        (message(1, 0x8000, [], answer(b"\0", 5, b"\1a\0?")), "DNS_RR_length_mismatch"),
        (message(1, 0x8000, [], answer(b"\0", 65, b"\0\1\0\0\1\0\3\x05h2")), "DNS_SVCB_alpn_length_invalid"),
        (message(1, 0x8000, [], answer(b"\0", 65, b"\0\1\0\0\1\0\3\2h2")), ""),
        (message(1, 0x8000, [], answer(b"\0", 64, b"\0\1\0\0\1\0\xff")), ""),
        (message(1, 0x8000, [], b"\xc0"), "DNS_truncated_ans_too_short"),
    ],
)
def test_what_is_wrong_has_a_name(octets: bytes, weird: str) -> None:
    told = [told for told, _ in spoken(Dns, [(0, octets)]).weirds]
    assert weird in told if weird else not told


@pytest.mark.parametrize(
    ("rtype", "data", "said"),
    [
        (11, bytes(5), None),
        (13, b"\3CPU\2OS", None),
        (35, struct.pack(">HH", 100, 10) + b"\1s\7SIP+D2U\0" + name("_sip._udp.Example"), "NAPTR 100 10 s SIP+D2U _sip._udp.example"),
        (35, struct.pack(">HH", 1, 2) + b"\1u\7E2U+sip\5!^.*$" + name("a.b")[4:], "NAPTR 1 2 u E2U+sip !^.*$"),
        (43, struct.pack(">HBB", 1, 8, 2) + bytes(32), "DS 8 2"),
        (47, name("Next.example") + b"\0\1\x40", "NSEC example.com next.example"),
        (48, struct.pack(">HBB", 257, 3, 13) + bytes(64), "DNSKEY 13"),
        (52, bytes(35), "<unknown type=52>"),
        (65, b"\0\1\0" + b"\0\1\0\3\2h2", None),
        (249, name("gss-tsig") + bytes(16), None),
        (257, b"\0\5issueca.example", None),
    ],
)
def test_of_each_type_the_log_has_what_zeek_tells(rtype: int, data: bytes, said: str | None) -> None:
    """Zeek's scripts/base/protocols/dns/main.zeek."""
    asked, told = question("Example.com", rtype), answer(HERE, rtype, data)
    made = spoken(Dns, [(0, message(7, 0x0100, [asked])), (1, message(7, 0x8180, [asked], told))])
    assert made.rows[0]["answers"] == (None if said is None else [said])
    assert made.weirds == ([("DNS_RR_unknown_type", str(rtype))] if said and said[0] == "<" else [])


def record(owner: str, rtype: int, rclass: int, data: bytes = b"") -> bytes:
    return name(owner) + struct.pack(">HHIH", rtype, rclass, 60, len(data)) + data


def test_of_an_update_its_answer_says_what_was_asked_for_added_and_deleted() -> None:
    """RFC 2136, 2.4 and 2.5; its words are Zeek's."""
    required = [record("a.example", 255, 254), record("b.example", 255, 255), record("c.example", 1, 254), record("d.example", 28, 255)]
    required.append(record("e.example", 1, 1, bytes(4)))
    updates = [record("h.example", 1, 1, b"\1\2\3\4"), record("i.example", 16, 1, b"\2hi"), record("j.example", 255, 255)]
    updates += [record("k.example", 28, 255), record("l.example", 1, 254, b"\1\2\3\4")]
    said = b"".join([question("example", 6), *required, *updates])
    made = spoken(
        Dns, [(side, struct.pack(">6H", 7, flags, 1, len(required), len(updates), 0) + said) for side, flags in ((0, 0x2800), (1, 0xA800))]
    )
    [row] = made.rows
    assert (row["opcode_name"], row["query"], row["qtype_name"], row["rejected"]) == ("dynamic-update", "example", "SOA", False)
    assert row["answers"] == [
        "pre: NameNotInUse a.example", "pre: NameInUse b.example", "pre: NoRRSet A c.example", "pre: RRSetExists AAAA d.example",
        "pre: RRSetExists A e.example", "add: A h.example 1.2.3.4", "add: TXT 2 hi", "del: RRSet * j.example", "del: RRSet AAAA",
        "del: RR A l.example",
    ]  # fmt: skip
    assert not made.weirds


@pytest.mark.parametrize(("opcode", "rows"), [(0, 1), (1, 0), (2, 0), (4, 1), (6, 0), (9, 0)])
def test_only_queries_notices_and_updates_have_rows(opcode: int, rows: int) -> None:
    asked = question("example.com", 6)
    made = spoken(Dns, [(0, message(7, opcode << 11, [asked])), (1, message(7, 0x8000 | opcode << 11, [asked]))])
    assert len(made.rows) == rows


def test_names_that_point_to_each_other_take_no_time() -> None:
    chain = b"\1a\0" + b"".join(struct.pack(">H", 0xC000 | at) for at in [12, *range(15, 15 + 2 * 20_000, 2)])[:40_000]
    said = message(1, 0x8000, [])[:4] + struct.pack(">4H", 0, 60_000, 0, 0) + chain
    assert cpu_seconds(lambda: spoken(Dns, [(1, said)]), 0.1) < 0.1


def test_netbios_names_are_read() -> None:
    coded = "FHFAEBEECACACACACACACACACACACAAA"
    assert netbios(coded) == "WPAD"
    [row] = spoken(Dns, [(0, message(1, 0x0110, [question(coded, 32)]))], resp_port=137).rows
    assert (row["query"], row["qtype_name"], row["opcode_name"]) == ("WPAD", "NIMLOC", "netbios-query")
    assert netbios("no netbios name") == ""


@pytest.mark.parametrize(
    ("octets", "side", "port", "proto", "is_one"),
    [
        (ASK, 0, 5300, "udp", True),
        (TOLD, 1, 5300, "udp", True),
        (TOLD, 0, 5300, "udp", False),
        (b"GET / HTTP/1.1\r\n\r\n", 0, 5300, "udp", False),
        (b"\x17\xfe\xfd" + bytes(40), 0, 5300, "udp", False),
        (bytes(64), 0, 5300, "udp", False),
        (b"\0\x1d" + ASK, 0, 5300, "tcp", True),
        (b"GET / HTTP/1.1\r\n\r\n", 0, 5300, "tcp", False),
    ],
)
def test_it_is_known_by_its_content(octets: bytes, side: int, port: int, proto: str, is_one: bool) -> None:
    begin = (TS, bytes(12), packed("10.0.0.1"), packed("10.0.0.2"), 40_000, port, 6 if proto == "tcp" else 17, 0, 0)
    assert Dns.is_begun(Stream(0, begin, lambda *_: None, lambda *_: None), side, octets) is is_one
