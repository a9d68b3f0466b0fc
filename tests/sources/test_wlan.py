"""Frames of 802.11 that are no data."""

from pathlib import Path

import pytest
from forge import Packet, pcap
from reading import read_bytes

from headwater.records import ENUMS

MAC = bytes.fromhex("020000000001")


@pytest.mark.parametrize(
    ("frame", "weird"),
    [
        (b"\xd4\0\0\0" + MAC, "none"),  # an acknowledgement
        (b"\xc4\0\0\0" + MAC, "none"),  # clear to send
        (b"\x08\0\0\0" + MAC, "truncated_802_11_header"),  # data
        (b"\xd4", "truncated_802_11_header"),
    ],
)
def test_a_control_frame_is_whole_without_what_data_have(frame: bytes, weird: str, tmp_path: Path) -> None:
    (row,) = read_bytes(tmp_path, pcap([Packet(1, 2, frame)], link=105)).rows
    assert ENUMS["hw_weird"].get(row["weird"], "none") == weird
