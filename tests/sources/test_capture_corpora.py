"""Every capture of the corpora is read to the end or refused by name, and what is read is what tshark reads."""

import re
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import CORPORA
from reading import Read, read_capture, tshark

pytestmark = pytest.mark.corpora

SUITE = CORPORA / "pcapng-suite"
CAPTURES = sorted(path for path in CORPORA.rglob("*") if path.suffix in (".pcap", ".pcapng", ".gz"))
OVERFLOW = {  # captures with more behind a second than tshark's 31 bits of nanoseconds hold: in which packet, and the file's unit
    CORPORA / "tcpdump/tests/rx_serviceid_oobr.pcap": (1, 1000),
    CORPORA / "tcpdump/tests/timestamp_invalid_micro.pcap": (2, 1000),
    CORPORA / "tcpdump/tests/timestamp_invalid_nano.pcap": (2, 1),
}
CRASHES = re.compile(r"oobr|overflow|asan|crash|loop(?!back)|segv|segfault|seg-fault")  # of tcpdump, once
SEVERAL = CORPORA / "zeek/tunnels__gre-aruba-amsdu/trace.pcap"  # two packets in a frame
GROUP = 200
READ = {0, 1, 9, 10, 12, 14, 50, 51, 100, 101, 104, 105, 107, 108, 113, 117, 119, 127, 163, 166, 192, 204, 219, 228, 229, 239, 276}


@pytest.fixture(scope="module")
def read() -> dict[Path, Read]:
    return {path: read_capture(path) for path in CAPTURES}


def test_every_capture_is_read_or_refused_by_name(read: dict[Path, Read]) -> None:
    assert len(read) > 1350
    assert sum(bool(CRASHES.search(path.name)) for path in read if CORPORA / "tcpdump/tests" in path.parents) == 223
    refused = 0
    for path, capture in read.items():
        assert capture.counts.get("seen", 0) == len(capture.rows) + capture.dropped
        if capture.error:
            if "of interfaces that it does not describe" in capture.error:
                continue
            said = re.search(r"(?:has|of) link type (\d+) \(\w+\), which is not supported yet", capture.error)
            assert said, capture.error
            refused += 1
            if path.suffix == ".pcapng":
                continue
            order = "<" if path.read_bytes()[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
            assert int(said[1]) == struct.unpack_from(f"{order}I", path.read_bytes(), 20)[0] & 0x3FFFFFF
            assert int(said[1]) not in READ
            assert len(capture.rows) == 0
    assert 0 < refused < len(read) / 3


def test_times_and_lengths_are_those_of_tshark(read: dict[Path, Read], tmp_path: Path) -> None:
    """mergecap puts the captures one behind the other, so that tshark is started a few times only."""
    whole = [path for path, capture in read.items() if not capture.error and path not in {*OVERFLOW, SEVERAL} and SUITE not in path.parents]
    assert len(whole) > 900

    def differing(group: list[Path]) -> list[Path]:
        merged = tmp_path / f"{group[0].parent.name}-{group[0].name}-{len(group)}"
        subprocess.run(["mergecap", "-a", "-I", "none", "-w", merged, *group], check=True, capture_output=True)
        frames, others = tshark(merged)
        merged.unlink()
        if frames == [row for path in group for row in read[path].times_and_lengths()] and others == sum(
            read[path].dropped for path in group
        ):
            return []
        if len(group) == 1:
            return group
        return differing(group[: len(group) // 2]) or differing(group[len(group) // 2 :])

    with ThreadPoolExecutor(2) as pool:
        for different in pool.map(differing, (whole[start : start + GROUP] for start in range(0, len(whole), GROUP))):
            assert different == []


def test_packets_of_one_frame_have_its_time_and_length(read: dict[Path, Read]) -> None:
    assert read[SEVERAL].times_and_lengths() == 2 * tshark(SEVERAL)[0]


@pytest.mark.parametrize(("path", "where"), OVERFLOW.items(), ids=[path.stem for path in OVERFLOW])
def test_a_fraction_of_more_than_a_second_is_added(read: dict[Path, Read], path: Path, where: tuple[int, int]) -> None:
    packet, unit = where
    ours, (theirs, _) = read[path].times_and_lengths(), tshark(path)
    assert [row[1:] for row in ours] == [row[1:] for row in theirs]
    at = 24 + sum(16 + captured for _, _, captured in ours[:packet])
    seconds, fraction = struct.unpack_from("<II", path.read_bytes(), at)
    assert fraction * unit >= 2**31
    assert ours[packet][0] == seconds * 10**9 + fraction * unit


def test_the_pcapng_suite_is_the_same_in_either_byte_order(read: dict[Path, Read]) -> None:
    suite = sorted((SUITE / "output_be").rglob("*.pcapng"))
    assert len(suite) == 24
    for path in suite:
        other = read[Path(str(path).replace("output_be", "output_le"))]
        assert read[path].rows.tobytes() == other.rows.tobytes(), path
        assert read[path].counts == other.counts, path


def test_the_pcapng_suite(read: dict[Path, Read]) -> None:
    suite = sorted((SUITE / "output_le").rglob("*.pcapng"))
    assert len(suite) == 24
    with ThreadPoolExecutor(2) as pool:
        for path, (frames, others) in zip(suite, pool.map(tshark, suite), strict=True):
            described = path.with_suffix(".txt").read_text()
            packets = sum(int(count) for count in re.findall(r"^\t(?:EPB|SPB|PB): (\d+)", described, re.MULTILINE))
            interfaces = sum(int(count) for count in re.findall(r"^\tIDB: (\d+)", described, re.MULTILINE))
            assert bool(read[path].error) == bool(read[path].dropped), path
            assert read[path].counts.get("seen", 0) == packets, path
            assert read[path].times_and_lengths() == frames, path
            assert read[path].dropped == others, path
            assert len(read[path].interfaces) == (interfaces if packets else 0), path
