"""What is odd in packets: frames made by hand, and the captures of others, beside tshark."""

import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forge import timed
from frames import ethernet, ip, tcp, udp
from neighbors import advertisement, arp, solicitation
from places import CORPORA

from headwater.analysis.weirds import Weirds
from headwater.errors import SourceError
from headwater.records import ENUMS, WEIRD, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

A, B, C = ((f"02:00:00:00:00:0{n}", f"192.0.2.{n}") for n in (1, 2, 3))
A6 = "2001:db8::1"
OF_SEVERAL = {"routing_loop", "duplicate_arp_answer", "gratuitous_arp", "ipv6_neighbor_changed"}
Frames = list[tuple[float, bytes]]


def each(*frames: bytes, gap: float = 0.01) -> Frames:
    """One after another."""
    return [(number * gap, frame) for number, frame in enumerate(frames)]


def capture(frames: Frames, into: Path) -> Path:
    into.write_bytes(timed((round(at * 1e9), frame) for at, frame in frames))
    return into


def found(weirds: Weirds, path: Path, batch_rows: int = 65_536) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Rows of weirds, absent columns left out, and how many packets have a `weird` of each name."""
    batches: list[Batch] = []
    malformed = Counter[str]()
    try:
        with Capture(str(path), Ledger(), batch_rows) as source:
            for batch in source.read():
                names, counts = np.unique(batch.rows["weird"], return_counts=True)
                malformed += Counter({ENUMS["hw_weird"][name]: count for name, count in zip(names.tolist(), counts.tolist(), strict=True)})
                batches += [one.copy() for one in weirds.find(batch)]
    except SourceError:
        pass  # what was read before counts
    batches += [one.copy() for one in weirds.end()]
    del malformed["none"]
    rows = [row for batch in batches for row in batch.to_arrow().to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in rows], malformed


def weirds_of(frames: Frames, folder: Path, **limits: int) -> list[dict[str, Any]]:
    return found(Weirds(**limits), capture(frames, folder / "made.pcap"))[0]


def names_of(frames: Frames, folder: Path, **limits: int) -> list[str]:
    return [row["name"] for row in weirds_of(frames, folder, **limits)]


def test_two_that_answer_for_an_address(tmp_path: Path) -> None:
    other = (C[0], A[1])
    frames = each(arp(2, A, B[1]), arp(2, A, B[1]), arp(2, B, A[1]), arp(2, other, B[1], target_mac=B[0]), arp(2, other, B[1]))
    (row,) = weirds_of(frames, tmp_path)
    assert {name: row[name] for name in ("name", "neighbor", "mac", "mac_before", "src", "dst", "l2_src", "count", "interface")} == {
        "name": "duplicate_arp_answer",
        "neighbor": A[1],
        "mac": C[0],
        "mac_before": A[0],
        "src": A[1],
        "dst": B[1],
        "l2_src": C[0],
        "count": 1,
        "interface": "made.pcap",
    }
    assert row["ts"].value == 1_700_000_000_030_000_000
    assert not {"proto", "ttl", "sport", "ttl_before"} & set(row)


def test_who_asks_answers_nothing(tmp_path: Path) -> None:
    assert not names_of(each(arp(2, A, B[1]), arp(1, (C[0], A[1]), B[1]), arp(1, (C[0], "0.0.0.0"), A[1])), tmp_path)


@pytest.mark.parametrize("operation", [1, 2])
def test_gratuitous_arp(operation: int, tmp_path: Path) -> None:
    rows = weirds_of(each(arp(operation, A, A[1]), arp(operation, (B[0], A[1]), A[1])), tmp_path)
    assert [(row["name"], row["neighbor"], row["mac"], row.get("mac_before")) for row in rows] == [
        ("gratuitous_arp", A[1], A[0], None),
        ("gratuitous_arp", A[1], B[0], None),
        ("duplicate_arp_answer", A[1], B[0], A[0]),
    ]


def test_a_neighbor_that_changes(tmp_path: Path) -> None:
    other_option = b"\x0e\1nonce!"
    frames = each(
        solicitation("2001:db8::9", A6, A[0]),
        advertisement(A6, A[0]),
        solicitation(A6, "::"),
        advertisement(A6, B[0], hops=64),  # from another link: no host believes it
        advertisement(A6, C[0], src="fe80::c", before=other_option),
    )
    (row,) = weirds_of(frames, tmp_path)
    assert (row["name"], row["neighbor"], row["mac"], row["mac_before"]) == ("ipv6_neighbor_changed", A6, C[0], A[0])
    assert (row["src"], row["dst"], row["proto"], row["ttl"]) == ("fe80::c", "ff02::1", 58, 255)


def echo(ttl: int, *, number: int = 7, src: str = A[0], dst: str = B[0]) -> bytes:
    return ethernet(
        ip(struct.pack("!BBHHH", 8, 0, 0, 1, 1), 1, A[1], "198.51.100.1", ttl=ttl, identification=number), 0x0800, src=src, dst=dst
    )


def datagram(ttl: int) -> bytes:
    return ethernet(udp("2001:db8::1", "2001:db8::2", 4000, 53, b"x", ttl=ttl), 0x86DD)


def segment(ttl: int) -> bytes:
    packet = bytearray(tcp("2001:db8::1", "2001:db8::2", 4000, 80, 0x18, payload=b"x", seq=9))
    packet[7] = ttl
    return ethernet(bytes(packet), 0x86DD)


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (each(*(echo(ttl) for ttl in range(64, 0, -2))), [(64, 60)]),
        (each(*(echo(ttl) for ttl in (64, 62, 62, 60))), [(64, 60)]),  # one is sent twice by the link layer
        (each(*(echo(ttl) for ttl in (64, 60, 58, 56))), [(60, 56)]),  # a sight was missing
        (each(*(segment(ttl) for ttl in (64, 61, 58))), [(64, 58)]),
        (each(*(datagram(ttl) for ttl in (64, 62, 60, 58, 56, 54))), [(64, 56)]),
        (each(*(datagram(ttl) for ttl in (64, 62, 60, 58))), []),  # what nobody numbers may be another
        (each(*(echo(ttl) for ttl in (64, 64, 64, 64))), []),  # sent again
        (each(*(echo(ttl) for ttl in (64, 63))), []),  # into a router and out of it
        (each(echo(64), echo(63, src=B[0], dst=C[0]), echo(62, src=C[0], dst=A[0])), []),  # a mirror port of several hops
        (each(*(echo(ttl) for ttl in (1, 2, 3, 4, 5))), []),  # traceroute
        (each(*(echo(64 - number, number=number + 1) for number in range(5))), []),
        (each(*(echo(ttl, number=0) for ttl in range(10, 2, -1))), []),  # traceroute from the far end, without identifications
        (each(*(echo(ttl, number=0) for ttl in range(64, 40, -2))), [(64, 56)]),
        (each(*(echo(ttl) for ttl in (64, 57, 55))), []),  # several ways
        (each(*(echo(ttl) for ttl in (64, 62, 60)), gap=5), []),
    ],
)
def test_routing_loops(frames: Frames, shown: list[tuple[int, int]], tmp_path: Path) -> None:
    rows = weirds_of(frames, tmp_path)
    assert [(row["ttl_before"], row["ttl"]) for row in rows] == shown
    assert {row["name"] for row in rows} <= {"routing_loop"}


def test_a_second_has_so_many_rows_and_the_rest_is_counted(tmp_path: Path) -> None:
    runt = b"\0" * 10
    frames = [(number / 1000, runt) for number in range(2500)]
    rows = weirds_of(frames, tmp_path, a_second=100)
    assert Counter(row["ts"].value // 10**9 % 10 for row in rows if row["count"] == 1) == {0: 100, 1: 100, 2: 100}
    rest = [row for row in rows if row["count"] > 1]
    assert [(row["count"], row["name"]) for row in rest] == [
        (900, "truncated_ethernet_frame"),
        (900, "truncated_ethernet_frame"),
        (400, rest[0]["name"]),
    ]
    assert set(rest[0]) == {"ts", "name", "source", "count"}


def test_all_rows_of_a_batch_come_out(tmp_path: Path) -> None:
    frames = each(*(b"\0" * (number % 14) for number in range(5000)), gap=0.0001)
    assert len(names_of(frames, tmp_path, a_second=10_000)) == 5000


def test_memory_of_addresses_is_bounded(tmp_path: Path) -> None:
    crowd = [arp(2, (A[0], f"10.0.{n}.1"), B[1]) for n in range(200)]  # few: four more of a crowd may get A's place
    frames = each(arp(2, A, B[1]), *crowd, arp(2, (C[0], A[1]), B[1]), gap=0.001)
    assert names_of(frames, tmp_path) == ["duplicate_arp_answer"]
    assert not names_of(frames, tmp_path, neighbors=16)  # forgotten


def test_another_capture_has_other_interfaces(tmp_path: Path) -> None:
    weirds = Weirds()
    one, other = (capture(each(arp(2, (mac, A[1]), B[1])), tmp_path / f"{mac[-1]}.pcap") for mac in (A[0], C[0]))
    assert not found(weirds, one)[0]
    assert not found(weirds, other)[0]


def test_the_record_has_room_for_nothing_else() -> None:
    columns = "ts name uid interface direction l2_src l2_dst src dst is_orig proto ttl sport dport neighbor mac mac_before ttl_before count"
    assert {column.name for column in WEIRD.columns} == {*columns.split(), "addl", "source"}


def gratuitous(path: Path) -> int:
    """How many tshark finds, with an address, of Ethernet and IPv4."""
    kept = "arp.isgratuitous == 1 && arp.opcode <= 2 && !(arp.src.proto_ipv4 == 0.0.0.0) && arp.hw.type in {1, 6} && arp.hw.size == 6"
    command = ["tshark", "-r", str(path), "-Y", kept]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.count("\n")


@pytest.mark.corpora
def test_captures_of_others() -> None:
    """Each malformed packet is a weird, in pieces of any size; there are no loops in them; gratuitous ARP is where tshark finds it."""
    told = Counter[str]()
    for path in sorted(path for path in CORPORA.rglob("*") if path.suffix in (".pcap", ".pcapng")):
        rows, malformed = found(Weirds(a_second=10), path, 500)
        counts = Counter[str]()
        for row in rows:
            counts[row["name"]] += row["count"]
        assert {name: count for name, count in counts.items() if name not in OF_SEVERAL} == malformed, path
        if counts["gratuitous_arp"] or "arp" in path.name:
            assert counts["gratuitous_arp"] == gratuitous(path), path
        told += counts
    assert told.total() > 900
    assert told["gratuitous_arp"] >= 20
    assert not told["routing_loop"]
    assert not told["ipv6_neighbor_changed"]
