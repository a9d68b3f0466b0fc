"""The decoder on captures made here, each variant of which tshark reads too."""

import itertools
import struct
from pathlib import Path

import forge
import numpy as np
import pytest
from forge import MICRO, MODIFIED, NANO, Packet, Pcapng, frame, packets, pcap
from reading import decode, read_bytes, read_capture, tshark

from headwater.records import ENUMS

SECOND = 10**9
SMALL = [Packet(1, i, frame(size, i)) for i, size in enumerate([60, 0, 61, 42])]


def expected(records: list[Packet], unit: int) -> list[tuple[int, int, int]]:
    return [(p.seconds * SECOND + p.fraction * unit, p.original, len(p.data)) for p in records]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit"), [(MICRO, 1000), (NANO, 1), (MODIFIED, 1000)])
def test_pcap_of_each_byte_order_and_unit(tmp_path: Path, order: str, magic: int, unit: int) -> None:
    read = read_bytes(tmp_path, pcap(packets(), order, magic))
    assert read.error is None
    assert read.times_and_lengths() == expected(packets(), unit) == tshark(tmp_path / "made.pcap")[0]
    assert read.interfaces == {0: "made.pcap"}
    assert (read.rows["sport"] == [1024, 1025, 1026, 0, 1028]).all()
    assert {ENUMS["hw_hook"][value] for value in read.rows["hook"]} == {"capture"}


@pytest.mark.parametrize(("version", "swapped"), [((2, 2), True), ((2, 3), True), ((2, 3), False), ((543, 0), True), ((2, 4), False)])
def test_lengths_of_old_writers_stand_the_other_way_round(tmp_path: Path, version: tuple[int, int], swapped: bool) -> None:
    cut = [Packet(1, 2, frame(60), 90), Packet(1, 3, frame(60))]
    assert read_bytes(tmp_path, pcap(cut, version=version, swapped=swapped)).times_and_lengths() == expected(cut, 1000)


def test_a_capture_longer_on_disk_than_on_the_wire_is_read_as_it_is(tmp_path: Path) -> None:
    odd = [Packet(1, 2, frame(100), 60), Packet(1, 3, frame(60))]
    read = read_bytes(tmp_path, pcap(odd))
    assert read.error is None
    assert read.times_and_lengths() == expected(odd, 1000) == tshark(tmp_path / "made.pcap")[0]


@pytest.mark.parametrize("high", [0x10000000, 0x24000000, 0x30000000, 0x40000000])
def test_the_checksum_bits_above_the_link_type_do_not_matter(tmp_path: Path, high: int) -> None:
    assert len(read_bytes(tmp_path, pcap(packets(), link=high | 1)).rows) == 5


@pytest.mark.parametrize("link", [12, 14, 101, 228, 229])
def test_raw_ip_starts_with_the_ip_header(tmp_path: Path, link: int) -> None:
    read = read_bytes(tmp_path, pcap([Packet(1, 2, frame(60)[14:])], link=link))
    assert read.rows["dport"].tolist() == [53]
    assert not read.rows["has"][0] & 1


@pytest.mark.parametrize(
    ("link", "name"), [(8, "SLIP"), (189, "USB_LINUX"), (230, "IEEE802_15_4_NOFCS"), (258, "PKTAP"), (9999, "unknown")]
)
def test_another_link_type_is_refused_by_name(tmp_path: Path, link: int, name: str) -> None:
    read = read_bytes(tmp_path, pcap(packets(), link=link))
    assert len(read.rows) == 0
    assert f"link type {link} ({name}), which is not supported yet" in str(read.error)


def resolution(value: int) -> tuple[int, bytes]:
    return (9, bytes([value]))


TIMES = [  # if_tsresol, units, UTC nanoseconds
    (None, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
    (0, 1_700_000_000, 1_700_000_000 * SECOND),
    (3, 1_700_000_000_123, 1_700_000_000_123_000_000),
    (6, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
    (9, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
    (10, 17_000_000_001_234_567_899, 1_700_000_000_123_456_789),
    (0x80 | 10, 1_700_000_000 << 10 | 512, 1_700_000_000 * SECOND + SECOND // 2),
    (0x80 | 30, (1_700_000_000 << 30) + 1, 1_700_000_000 * SECOND),
    (0x80 | 32, (1_700_000_000 << 32) + (1 << 31), 1_700_000_000 * SECOND + SECOND // 2),
    (18, 1_700_000_000_123_456_789, 1_700_000_000),
]


@pytest.mark.parametrize(("power", "units", "ns"), TIMES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_times_of_each_resolution(tmp_path: Path, order: str, power: int | None, units: int, ns: int) -> None:
    made = Pcapng(order).section().interface(*([] if power is None else [resolution(power)])).enhanced(frame(60), units=units)
    assert read_bytes(tmp_path, made.data).times_and_lengths() == [(ns, 60, 60)]


def test_times_agree_with_tshark(tmp_path: Path) -> None:
    made, known = Pcapng().section(), TIMES[:-1]  # tshark 4.0 drops what 10^-18 leaves of a second
    for number, (power, units, _) in enumerate(known):
        made.interface(*([] if power is None else [resolution(power)])).enhanced(frame(60), units=units, interface=number)
    made.interface((14, made.number(1_000_000, "q"))).enhanced(frame(60), units=5_000_000, interface=len(known))
    read = read_bytes(tmp_path, made.data, "made.pcapng")
    assert read.times_and_lengths() == tshark(tmp_path / "made.pcapng")[0]
    assert read.rows["ts"][-1] == 1_000_005 * SECOND


def test_times_that_no_clock_has_stay_in_range(tmp_path: Path) -> None:
    top = 2**64 - 1
    made = Pcapng().section()
    cases = [
        (6, 0, top, 2**63 - 1),
        (9, 0, top, 2**63 - 1),
        (127, 0, top, 0),
        (0xFF, 0, top, 0),
        (0x80, 0, top, 2**63 - 1),
        (29, 0, top, 0),
    ]
    cases += [(6, -(2**63), top, 0), (6, 2**63 - 1, 0, 2**63 - 1), (6, -1, 1_500_000, SECOND // 2), (28, 0, top, 1)]
    for number, (power, offset, units, _) in enumerate(cases):
        made.interface(resolution(power), (14, made.number(offset, "q"))).enhanced(frame(60), units=units, interface=number)
    assert read_bytes(tmp_path, made.data).rows["ts"].tolist() == [ns for *_, ns in cases]


def test_a_section_begins_anew_with_its_own_byte_order_and_interfaces(tmp_path: Path) -> None:
    made = Pcapng("<").section(comment=60_000).interface((2, b"eth0")).interface((2, b"wlan0"), resolution(9))
    made.enhanced(frame(60), units=7, interface=1).enhanced(frame(61), units=7)
    made.section(">").interface((2, b"eth9"), snaplen=64).enhanced(frame(62), units=9).simple(frame(64, 9), 1000)
    made.section("<").interface().obsolete(frame(65), units=1 << 40)
    read = read_bytes(tmp_path, made.data, "made.pcapng")
    assert read.error is None
    assert read.interfaces == {0: "eth0", 1: "wlan0", 2: "eth9", 3: "if3"}
    assert read.rows["interface"].tolist() == [1, 0, 2, 2, 3]
    assert read.times_and_lengths() == [(7, 60, 60), (7000, 61, 61), (9000, 62, 62), (0, 1000, 64), (1000 << 40, 65, 65)]
    assert read.times_and_lengths() == tshark(tmp_path / "made.pcapng")[0]


def test_a_simple_packet_has_no_time(tmp_path: Path) -> None:
    made = Pcapng().section()
    made.interface((14, made.number(1_700_000_000, "q"))).simple(frame(60))
    read = read_bytes(tmp_path, made.data, "made.pcapng")
    assert read.times_and_lengths() == [(0, 60, 60)] == tshark(tmp_path / "made.pcapng")[0]


def test_directions_and_losses_that_the_capturing_side_tells(tmp_path: Path) -> None:
    made = Pcapng(">").section().interface()
    for flags in (0, 1, 2, 3, 0x1D):
        made.enhanced(frame(60 + flags % 4), (2, made.number(flags, "I")), (4, made.number(flags and 1)))
    made.obsolete(frame(60), (2, made.number(2, "I")), drops=5).obsolete(frame(60), drops=0xFFFF)
    read = read_bytes(tmp_path, made.data)
    assert read.rows["direction"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (read.lost_before, read.counts["seen"]) == (9, 7)
    made.statistics((5, made.number(2)), (7, made.number(3)))
    assert read_bytes(tmp_path, made.data).lost_before == 9, "statistics tell the same losses again"
    made.statistics((5, made.number(20)), (7, made.number(3))).statistics((5, made.number(2**64 - 1)), (7, made.number(9)), interface=7)
    assert read_bytes(tmp_path, made.data).lost_before == 23
    made.interface().statistics((5, made.number(2**64 - 1)), (7, made.number(9)), interface=1)
    assert read_bytes(tmp_path, made.data).lost_before == 2**64 - 1


def test_what_cannot_be_a_row_is_counted_by_reason(tmp_path: Path) -> None:
    made = Pcapng().section().simple(frame(60)).interface().interface(link=189).enhanced(frame(60), interface=1)
    made.enhanced(frame(60)).enhanced(frame(60), interface=2).obsolete(frame(60), interface=1).obsolete(frame(60), interface=65535)
    made.enhanced(bytes(3 << 20), interface=1).enhanced(frame(61))
    read = read_bytes(tmp_path, made.data)
    assert "has 3 packets of link type 189 (USB_LINUX), which is not supported yet" in str(read.error)
    assert read.counts == {"seen": 8, "as_row": 2, "capture_link_type": 3, "capture_no_interface": 3}


def test_blocks_that_say_nothing_of_packets_are_passed_over_whatever_their_size(tmp_path: Path) -> None:
    made = Pcapng().section().interface()
    for kind, size in itertools.product([4, 7, 8, 9, 10, 11, 0xBAD, 0x40000BAD, 0x80000001, 0], [0, 4, 4096, 3 << 20]):
        made.block(kind, bytes(size))
    made.statistics((1, b"x" * 60000), *[(1, b"y" * 60000)] * 50).enhanced(frame(60))
    read = read_bytes(tmp_path, made.data)
    assert read.error is None
    assert len(read.rows) == 1


def test_names_of_interfaces_are_strangers_text(tmp_path: Path) -> None:
    made = Pcapng().section()
    for name in (b"\x1b[31mred\x07", "Wi-Fi é".encode(), b"x" * 5000, b"\xff\xfe", b"", b"\n\r"):
        made.interface((2, name)).enhanced(frame(60))
    names = read_bytes(tmp_path, made.data).interfaces
    assert names == {0: "?[31mred?", 1: "Wi-Fi é", 2: "x" * 63, 3: "\ufffd\ufffd", 4: "if4", 5: "??"}


def test_interfaces_are_bounded(tmp_path: Path) -> None:
    one = Pcapng().section()
    header, one.data = one.data, b""
    block = one.interface().data
    assert read_bytes(tmp_path, header + block * 65536).error is None
    assert "more than 65536 interfaces" in str(read_bytes(tmp_path, header + block * 65537).error)


def wild(records: list[Packet]) -> Pcapng:
    """Every kind of block, two sections, several interfaces."""
    made = Pcapng("<").section().interface((2, b"eth0"), resolution(9)).interface(link=189)
    for packet in records:
        made.enhanced(packet.data, (2, made.number(1, "I")), units=packet.fraction, interface=packet.fraction % 3, length=packet.original)
    made.block(4, bytes(8)).block(0xBAD, bytes(300)).statistics((5, made.number(3))).section(">").interface(snaplen=70)
    made.enhanced(frame(300), interface=4).obsolete(frame(60), drops=1).simple(frame(70), 100)
    return made


WHOLE = {"pcap": pcap(packets(20)), "modified": pcap(packets(20), ">", MODIFIED), "pcapng": wild(packets(20)).data}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_rows_do_not_depend_on_how_the_octets_come(data: bytes) -> None:
    whole, problem = decode(data, len(data))
    assert len(whole) > 8 and "cut off" not in problem
    for piece, capacity in itertools.product([1, 7, 64, 4096], [1, 3, 1024]):
        rows, said = decode(data, piece, capacity)
        assert said == problem
        assert rows.tobytes() == whole.tobytes()


PCAP_ENDS = {24 + sum(16 + len(packet.data) for packet in SMALL[:count]) for count in range(len(SMALL) + 1)}
CUT = {"pcap": (pcap(SMALL), PCAP_ENDS), "big-endian": (pcap(SMALL, ">", NANO), PCAP_ENDS), "pcapng": (wild(SMALL).data, wild(SMALL).ends)}


@pytest.mark.parametrize(("data", "ends"), CUT.values(), ids=CUT)
def test_a_capture_cut_anywhere_gives_the_rows_before_the_cut(tmp_path: Path, data: bytes, ends: set[int]) -> None:
    whole, _ = decode(data, len(data))
    counts, clean = set(), {len(data)}
    for cut in range(len(data)):
        read = read_bytes(tmp_path, data[:cut])
        assert read.rows.tobytes() == whole[: len(read.rows)].tobytes()
        counts.add(len(read.rows))
        if read.error is None or "is not supported yet" in read.error:  # ends where a block does
            clean.add(cut)
        elif len(read.rows):
            assert "is cut off after packet" in read.error and f"(byte {cut})" in read.error and "are kept" in read.error
    assert clean == ends
    assert counts == set(range(len(whole)))
    assert "cut off" not in (read_bytes(tmp_path, data).error or "")


def lie(offset: int, value: int) -> bytes:
    """A pcap of three packets whose second record has `value` at `offset` of its header."""
    data = bytearray(pcap([Packet(1, 2, frame(60))] * 3))
    struct.pack_into("<I", data, 24 + 76 + offset, value)
    return bytes(data)


@pytest.mark.parametrize("captured", [262145, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_record_that_claims_too_much_ends_the_capture(tmp_path: Path, captured: int) -> None:
    read = read_bytes(tmp_path, lie(8, captured))
    assert len(read.rows) == 1
    assert f"is damaged after packet 1 (byte 100): the next one says that it holds {captured} octets" in str(read.error)


def test_a_record_that_claims_more_than_the_file_has_is_cut_off(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, lie(8, 262144))
    assert (len(read.rows), "is cut off after packet 1" in str(read.error)) == (1, True)


def test_lengths_on_the_wire_may_be_anything(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, lie(12, 0xFFFFFFFF)).rows["length"].tolist() == [60, 0xFFFFFFFF, 60]


LIES = {
    "a block of 13 octets": lambda made: made.block(6, bytes(20), total=13),
    "a block of 0 octets": lambda made: made.block(4, b"", total=0),
    "begins with length 36 and ends with 40": lambda made: made.block(6, bytes(24), trailer=40),
    "begins with length 16 and ends with 12": lambda made: made.block(0xBAD, bytes(4), trailer=12),
    "a packet block of 28 octets": lambda made: made.block(6, bytes(16)),
    "a packet block of 12 octets": lambda made: made.block(3, b""),
    "says that it holds 100 octets, and its block has room for 4": lambda made: made.block(
        6, struct.pack("<IIIII", 0, 0, 0, 100, 100) + bytes(4)
    ),
    "says that it holds 25 octets, and its block has room for 24": lambda made: made.block(
        6, struct.pack("<IIIII", 0, 0, 0, 25, 25) + bytes(24)
    ),
    "says that it holds 300000 octets": lambda made: made.enhanced(bytes(300000)),
    "and 2097152 are the most": lambda made: made.enhanced(frame(60), *[(1, b"x" * 65000)] * 33),
    "an interface description of 4 octets": lambda made: made.block(1, bytes(4)),
    "an option of interface 1 does not fit": lambda made: made.block(1, struct.pack("<HHIHH", 1, 0, 0, 2, 200)),
    "an option of interface 1 does not": lambda made: made.block(1, struct.pack("<HHIHH", 1, 0, 0, 2, 4)),
    "an option of interface 1 ": lambda made: made.block(1, struct.pack("<HHIHHI", 1, 0, 0, 2, 5, 0)),
    "a section header without its byte-order mark": lambda made: made.block(0x0A0D0D0A, bytes(16)),
    "a section of pcapng version 7": lambda made: made.section(version=7),
    "a section header of 16 octets": lambda made: made.block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)),
}


@pytest.mark.parametrize("problem", LIES)
def test_a_block_that_lies_ends_the_capture(tmp_path: Path, problem: str) -> None:
    made = Pcapng().section().interface().enhanced(frame(60))
    place = len(made.data)
    LIES[problem](made)
    made.enhanced(frame(61))
    read = read_bytes(tmp_path, made.data)
    assert len(read.rows) == 1
    assert problem in str(read.error) and "after packet 1 (byte" in str(read.error)
    assert abs(int(str(read.error).split("(byte ")[1].split(")")[0]) - place) <= 16


def test_broken_options_take_nothing_from_a_packet(tmp_path: Path) -> None:
    made = Pcapng().section().interface()
    made.block(6, struct.pack("<IIIII", 0, 0, 0, 60, 60) + frame(60) + struct.pack("<HH", 2, 5000)).enhanced(frame(61))
    read = read_bytes(tmp_path, made.data)
    assert (read.error, read.rows["captured"].tolist()) == (None, [60, 61])


def test_headers_behind_the_window_are_a_weird_and_a_large_packet_is_one_row(tmp_path: Path) -> None:
    large = Packet(1, 2, forge.frame(60) + bytes(262144 - 60))
    assert read_bytes(tmp_path, pcap([large])).rows["captured"].tolist() == [262144]


def test_batches_have_the_asked_size_and_are_good_for_ever(tmp_path: Path) -> None:
    many = packets(1000)
    (tmp_path / "many.pcap").write_bytes(pcap(many))
    read = read_capture(tmp_path / "many.pcap", batch_rows=64)
    assert read.sizes == [64] * 15 + [40]
    assert np.array_equal(read.rows["ts"], [t for t, *_ in expected(many, 1000)])
