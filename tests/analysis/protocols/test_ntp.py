"""Messages of NTP, rightly and wrongly. That they are Zeek's shows tests/oracle/test_zeek_logs.py."""

import struct

import pytest
from spoken import TS, spoken

from headwater.analysis.protocols.ntp import Ntp
from headwater.analysis.stream import Stream
from headwater.records.address import packed

SECONDS = 2_208_988_800 + 1_700_000_000
QUESTION = b"\x23\0\x06\xe9" + bytes(36) + struct.pack(">II", SECONDS, 1 << 31)
ANSWER = b"\x24\x02\x06\xe8" + struct.pack(">HHHH4B8I", 0, 0x8000, 1, 0, 10, 0, 0, 9, *[SECONDS, 0] * 4)


def test_a_question_and_an_answer_are_a_row_each() -> None:
    asked, told = spoken(Ntp, [(0, QUESTION), (1, ANSWER)], resp_port=123).rows
    assert (asked["ts"], asked["version"], asked["mode"], asked["ref_id"]) == (TS + 10**6, 4, 3, "\\x00\\x00\\x00\\x00")
    assert (asked["xmt_time"], asked["org_time"]) == (1_700_000_000_500_000_000, 0)
    assert (told["mode"], told["stratum"], told["poll"], told["precision"], told["ref_id"]) == (4, 2, 64.0, 2.0**-24, "10.0.0.9")
    assert (told["root_delay"], told["root_disp"], told["ref_time"]) == (0.5, 1.0, 1_700_000_000 * 10**9)


@pytest.mark.parametrize("more", [b"", bytes(20), b"\1\4\0\x20" + bytes(28), b"\1\4\0\x10" + bytes(12) + bytes(24)])
def test_extension_fields_and_codes_may_follow(more: bytes) -> None:
    assert len(spoken(Ntp, [(0, QUESTION + more)], resp_port=123).rows) == 1


@pytest.mark.parametrize(
    ("octets", "malformed"),
    [
        (b"\x26" + bytes(11), ""),
        (b"\x26", "NTP_truncated"),
        (b"\x23" + bytes(46), "NTP_truncated"),
        (b"\x20" + bytes(47), "NTP_truncated"),
        (b"\x23" + bytes(47 + 25), "NTP_truncated"),
        (b"\x23" + bytes(47) + b"\1\4\0\x10" + bytes(11), "NTP_truncated"),
    ],
)
def test_what_is_short_is_malformed_and_control_is_no_row(octets: bytes, malformed: str) -> None:
    made = spoken(Ntp, [(0, octets)], resp_port=123)
    assert (made.malformed, made.rows, made.stream.services) == (malformed, [], [] if malformed else ["ntp"])


@pytest.mark.parametrize(
    ("octets", "side", "port", "is_one"),
    [
        (QUESTION, 0, 1123, True),
        (ANSWER, 1, 1123, True),
        (ANSWER, 0, 1123, False),
        (bytes(48), 0, 1123, False),
        (b"x", 0, 123, True),
        (QUESTION + b"x", 0, 1123, False),
    ],
)
def test_it_is_known_by_its_content(octets: bytes, side: int, port: int, is_one: bool) -> None:
    begin = (TS, bytes(12), packed("10.0.0.1"), packed("10.0.0.2"), 40_000, port, 17, 0, 0)
    assert Ntp.is_begun(Stream(0, begin, lambda *_: None, lambda *_: None), side, octets) is is_one
