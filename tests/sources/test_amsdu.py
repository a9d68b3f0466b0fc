"""Frames of 802.11 that carry several packets (A-MSDU): each is a packet, and none is lost where there is little room."""

import struct
from pathlib import Path

import pytest
from forge import MICRO, Packet, frame, pcap
from reading import read_capture

from headwater.filters import Filter
from headwater.outputs.pcapng import PacketFile
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger, imbalances

MACS = bytes.fromhex("020000000001 020000000002 020000000003")
HEADER = b"\x88\x01\0\0" + MACS + b"\0\0" + b"\x80\0"  # data with quality of service, of an A-MSDU
SNAP = bytes.fromhex("aaaa03000000")


def subframe(number: int, size: int = 60) -> bytes:
    """UDP from port 1024 + number."""
    packet = SNAP + frame(size, number)[12:]
    return MACS[:12] + struct.pack(">H", len(packet)) + packet


def amsdu(*subframes: bytes) -> bytes:
    filled = [one + bytes(-len(one) % 4) for one in subframes[:-1]]
    return HEADER + b"".join(filled) + subframes[-1]


def capture_of(path: Path, *frames: bytes) -> Path:
    path.write_bytes(pcap([Packet(1, number, data) for number, data in enumerate(frames)], magic=MICRO, link=105))
    return path


@pytest.mark.parametrize("batch_rows", [1, 7, 100, 65536])
def test_each_subframe_is_a_packet(tmp_path: Path, batch_rows: int) -> None:
    many = amsdu(*(subframe(number, 60 + number) for number in range(100)))
    read = read_capture(capture_of(tmp_path / "a.pcap", amsdu(subframe(200)), many, amsdu(subframe(201), subframe(202))), batch_rows)
    assert read.error is None
    assert read.rows["sport"].tolist() == [1224, *range(1024, 1124), 1225, 1226]
    assert read.counts == {"seen": 103, "as_row": 103}
    assert read.rows["length"].tolist() == [len(amsdu(subframe(200)))] + [len(many)] * 100 + [len(amsdu(subframe(0), subframe(0)))] * 2
    assert read.rows["ip_length"].tolist()[1:101] == [46 + number for number in range(100)]


def test_a_filter_chooses_among_them(tmp_path: Path) -> None:
    path, ledger = capture_of(tmp_path / "a.pcap", amsdu(*map(subframe, range(10)))), Ledger()
    with Capture(str(path), ledger, 3, filter=Filter("udp.srcport in {1026, 1030 .. 1040}")) as capture:
        assert [port for batch in capture.read() for port in batch.rows["sport"].tolist()] == [1026, 1030, 1031, 1032, 1033]
        capture.account()
    assert {entry.term: count for entry, count in ledger.totals().items() if count} == {"seen": 10, "as_row": 5, "filtered": 5}
    assert not imbalances(ledger.totals())


def test_lengths_that_lie_end_it(tmp_path: Path) -> None:
    good, padding = subframe(0), bytes(40)
    lying = MACS[:12] + b"\xff\xff" + subframe(1)[14:]
    read = read_capture(capture_of(tmp_path / "a.pcap", amsdu(good, lying, subframe(2)), amsdu(good)[:-1], amsdu(good, subframe(3)[:13])))
    assert read.error is None
    assert read.rows["sport"].tolist() == [1024, 1025, 1024, 1024]
    read = read_capture(capture_of(tmp_path / "b.pcap", amsdu(good, padding)))
    assert len(read.rows) == 3 and read.rows["has"][1:].tolist() == [read.rows["has"][1]] * 2  # empty ones


@pytest.mark.parametrize(("wanted", "frames"), [(None, 2), ("udp.srcport eq 1030", 1), ("udp.srcport eq 9", 0)])
def test_a_frame_is_written_once_with_all_its_packets(tmp_path: Path, wanted: str | None, frames: int) -> None:
    path = capture_of(tmp_path / "a.pcap", amsdu(*map(subframe, range(10))), amsdu(subframe(10), subframe(11)))
    file = PacketFile(tmp_path / "out.pcapng", Ledger(), print)
    file.open()
    with Capture(str(path), Ledger(), packets=file, filter=Filter(wanted) if wanted else None) as capture:
        for batch in capture.read():
            file.put(batch)
    file.close()
    written = read_capture(tmp_path / "out.pcapng")
    assert written.rows["sport"].tolist() == list(range(1024, 1036))[: {2: 12, 1: 10, 0: 0}[frames]]
    assert len(set(written.rows["length"].tolist())) == frames
