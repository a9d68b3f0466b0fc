"""Packets to a file, from captures: what is written is what was read, for us, for tshark, and octet by octet."""

import fcntl
import json
import os
import subprocess
import sys
import termios
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from forge import Packet, Pcapng, packets, pcap
from pcapng_blocks import contents, number
from places import CORPORA
from reading import KNOWN, UNDISSECTED, Read, read_capture
from test_capture_corpora import CAPTURES, GROUP, OVERFLOW, SEVERAL, SUITE
from waiting import until

from headwater.errors import SinkError, SourceError
from headwater.filters import Filter
from headwater.outputs.pcapng import PacketFile
from headwater.records import PACKET, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Entry, Ledger, imbalances

HEADWATER = Path(sys.executable).parent / "headwater"


def write(into: Path, paths: Sequence[Path], *, headers_only: bool = False, **choice: Any) -> Ledger:
    """The packets of these captures; those that end with an error, as far as they go. The ledger has added up."""
    ledger = Ledger()
    file = PacketFile(into, ledger, print, headers_only=headers_only)
    file.open()
    for path in paths:
        capture = Capture(str(path), ledger, packets=file, **choice)
        try:
            with capture:
                for batch in capture.read():
                    file.put(batch)
        except SourceError:
            pass
        capture.account()
    file.flush()
    assert contents(into).application == "Headwater", "it can be read before its end"
    file.close()
    assert not file.failure
    totals = ledger.totals()
    assert not list(imbalances(totals))
    made = sum(count for entry, count in totals.items() if entry.term == "as_row")
    assert ledger.get(Entry("records", str(into), "made")) == ledger.get(Entry("records", str(into), "acked")) == made
    return ledger


def equal(ours: Read, theirs: Read, *, but: Sequence[str] = ()) -> bool:
    """All columns but the interface's number."""
    names = [[read.interfaces[index] for index in read.rows["interface"].tolist()] for read in (ours, theirs)]
    one, other = ours.rows.copy(), theirs.rows.copy()
    for rows in (one, other):
        for column in ("interface", *but):
            rows[column] = 0
    return one.tobytes() == other.tobytes() and [name.encode()[:63] for name in names[0]] == [name.encode()[:63] for name in names[1]]


@pytest.fixture(scope="module")
def read() -> dict[Path, Read]:
    return {path: read_capture(path) for path in CAPTURES if path != SEVERAL}  # there a frame is not a row


@pytest.mark.corpora
def test_rows_of_what_was_written_are_the_rows_of_the_captures(read: dict[Path, Read], tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    assert sum(len(capture.rows) for capture in read.values()) > 65_000
    for path, capture in read.items():
        write(out, [path])
        again = read_capture(out)
        assert not again.error, path
        assert equal(again, capture), path
        assert again.lost_before == capture.lost_before, path


@pytest.mark.corpora
def test_rows_of_headers_alone_are_the_rows_of_the_captures(read: dict[Path, Read], tmp_path: Path) -> None:
    """But for how much of each there is."""
    out = tmp_path / "out.pcapng"
    cut = 0
    for path, capture in read.items():
        write(out, [path], headers_only=True)
        again = read_capture(out)
        assert (again.rows["captured"] <= np.minimum(capture.rows["captured"], 256)).all(), path
        cut += int((again.rows["captured"] < capture.rows["captured"]).sum())
        assert equal(again, capture, but=["captured"]), path
    assert cut > 20_000


def dissected(capture: Path) -> list[tuple[str, ...]]:
    """Time, lengths, link type and a digest of the octets of each packet, by tshark, which has nothing to complain about."""
    command = ["tshark", "-n", "-r", str(capture), "-o", "frame.generate_md5_hash:TRUE", "-T", "fields"]
    for field in ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.encap_type", "frame.md5_hash"):
        command += ["-e", field]
    for protocol in UNDISSECTED:
        command += ["--disable-protocol", protocol]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in done.stderr.splitlines() if not line.startswith("Running as user")], done.stderr
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


@pytest.mark.corpora
def test_many_captures_in_one_file_are_for_tshark_what_they_were(read: dict[Path, Read], tmp_path: Path) -> None:
    whole = [path for path, capture in read.items() if not capture.error and path not in OVERFLOW and SUITE not in path.parents]
    assert len(whole) > 900

    def compare(group: list[Path]) -> None:
        ours, theirs = tmp_path / f"{whole.index(group[0])}.pcapng", tmp_path / f"{whole.index(group[0])}.merged"
        write(ours, group)
        subprocess.run(["mergecap", "-a", "-I", "none", "-w", theirs, *group], check=True, capture_output=True)
        found, wanted = dissected(ours), [packet for packet in dissected(theirs) if packet[3]]
        assert len(found) == len(wanted) > 0
        assert [pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]] == []
        assert len(contents(ours).interfaces) == sum(len(read[path].interfaces) or 1 for path in group)
        ours.unlink()
        theirs.unlink()

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(compare, (whole[start : start + GROUP] for start in range(0, len(whole), GROUP))):
            pass


@pytest.mark.corpora
def test_the_pcapng_suite_is_for_tshark_what_it_was(tmp_path: Path) -> None:
    """But for simple packet blocks, which have no time: here it is 0."""
    suite = sorted((SUITE / "output_le").rglob("*.pcapng"))
    for number_of_file, path in enumerate(suite):
        write(tmp_path / str(number_of_file), [path])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(dissected, [tmp_path / str(number_of_file) for number_of_file in range(len(suite))]))
        for path, written, original in zip(suite, found, pool.map(dissected, suite), strict=True):
            readable = [packet for packet in original if len(packet) == 5 and packet[3] in KNOWN]
            assert written == [(packet[0] or "0.000000000", *packet[1:]) for packet in readable], path


# -- what is chosen, and what goes with it ----------------------------------------------------------------------------------------


def two_interfaces(tmp_path: Path) -> Path:
    made = Pcapng().section()
    for name in (b"eth0", b"eth1", b"eth0"):
        made.interface((2, name), (9, b"\x09"))
    for index, packet in enumerate(packets(30)):
        options = [(2, made.number(1 + index % 2, "I"))]
        if index % 7 == 3:
            options.append((4, made.number(index)))
        made.enhanced(packet.data, *options, units=10**18 + index, interface=index % 3, length=packet.original)
    made.statistics((5, made.number(100)), interface=1)
    (tmp_path / "two.pcapng").write_bytes(made.data)
    return tmp_path / "two.pcapng"


def test_directions_times_lengths_and_drop_counts_are_kept(tmp_path: Path) -> None:
    path, out = two_interfaces(tmp_path), tmp_path / "out.pcapng"
    write(out, [path])
    found = contents(out)
    assert found.names() == ["eth0", "eth1", "eth0"]
    assert {options[9] for _, options in found.interfaces} == {b"\x09"}
    assert [(interface, ns) for interface, ns, *_ in found.packets] == [(index % 3, 10**18 + index) for index in range(30)]
    assert [(frame, length) for _, _, frame, length, _ in found.packets] == [(packet.data, packet.original) for packet in packets(30)]
    assert found.flags() == [1, 2] * 15
    assert found.dropped() == [index if index % 7 == 3 else 0 for index in range(30)]
    assert {index: (number(options, 4), number(options, 7), number(options, 8)) for index, options in found.statistics.items()} == {
        0: (10 + 3 + 24, 3 + 24, 10),
        1: (10 + 100, 100, 10),  # what its statistics say, which is more than 10
        2: (10 + 17, 17, 10),
    }


def test_a_filter_chooses_packets_and_the_next_one_tells_what_was_lost(tmp_path: Path) -> None:
    path, out = two_interfaces(tmp_path), tmp_path / "out.pcapng"
    for text, wanted in (
        ("direction == in", range(0, 30, 2)),
        ('frame.interface_name == "eth0"', [index for index in range(30) if index % 3 != 1]),
        ('!(frame.interface_name == "eth0") && direction == out', range(1, 30, 6)),
        ('frame.interface_name == "eth7"', []),
    ):
        ledger = write(out, [path], filter=Filter(text))
        found = contents(out)
        assert [ns - 10**18 for _, ns, *_ in found.packets] == list(wanted), text
        assert ledger.get(Entry("packets", "two.pcapng", "filtered")) == 30 - len(found.packets)
        for index in range(3):
            before = [sum(i for i in range(30) if i % 7 == 3 and i % 3 == index and i <= kept) for kept in wanted if kept % 3 == index]
            told = [dropped for (interface, *_), dropped in zip(found.packets, found.dropped(), strict=True) if interface == index]
            assert np.cumsum(told).tolist() == before
            assert number(found.statistics[index], 4) == 10 + number(found.statistics[index], 7)


def test_sampling_writes_the_packets_that_are_rows(tmp_path: Path) -> None:
    (tmp_path / "many.pcap").write_bytes(pcap(Packet(i, 0, bytes([i % 256] * 60)) for i in range(20_000)))
    ledger = write(tmp_path / "out.pcapng", [tmp_path / "many.pcap"], sample=10)
    kept = ledger.get(Entry("packets", "many.pcap", "as_row"))
    assert len(contents(tmp_path / "out.pcapng").packets) == kept and 1500 < kept < 2500


@pytest.mark.corpora
def test_filters_keep_in_the_file_the_rows_that_they_keep(tmp_path: Path) -> None:
    path = max(CORPORA.rglob("*.pcap"), key=lambda path: path.stat().st_size)
    whole = read_capture(path)
    for text in ("tcp", "udp && !(udp.port == 53)", "tcp.flags.syn == 1 || icmp", "frame.len > 1000"):
        write(tmp_path / "out.pcapng", [path], filter=Filter(text))
        kept = Filter(text).mask(Batch(PACKET, whole.rows, whole.interfaces))
        again = read_capture(tmp_path / "out.pcapng")
        assert equal(again, Read(whole.rows[kept], whole.interfaces, None, {}))


def test_more_than_memory_holds_of_interfaces_and_of_large_packets(tmp_path: Path) -> None:
    interfaces = Pcapng().interface((2, b"x" * 200)).data * 1000
    large = [Pcapng().enhanced(bytes([index]) * 262144, (2, bytes(3) + b"\x80"), interface=1000 * index).data for index in range(20)]
    (tmp_path / "in.pcapng").write_bytes(Pcapng().section().data + b"".join(interfaces + packet for packet in large))
    write(tmp_path / "out.pcapng", [tmp_path / "in.pcapng"])
    found = contents(tmp_path / "out.pcapng")
    assert found.frames() == [bytes([index]) * 262144 for index in range(20)]
    assert set(found.flags()) == {1 << 31}
    assert len(found.interfaces) == len(found.statistics) == 20_000


# -- disks and pipes -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def many(path: Path, count: int) -> list[bytes]:
    frames = [index.to_bytes(4, "big") * (20 + index % 300) for index in range(count)]
    path.write_bytes(pcap(Packet(1_700_000_000 + index, 0, frame) for index, frame in enumerate(frames)))
    return frames


@pytest.mark.kernel
def test_a_capture_onto_a_full_disk_ends_with_one_line_and_a_file_that_can_be_read(tmp_path: Path, disk: Path) -> None:
    frames, out = many(tmp_path / "many.pcap", 40_000), disk / "out.pcapng"
    done = subprocess.run([HEADWATER, "read", tmp_path / "many.pcap", "-w", out], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    told = [line for line in done.stderr.splitlines() if line.startswith("headwater:")]
    assert len(told) == 1 and told[0].startswith(f"headwater: {out}: no room left (No space left on device)")
    assert "adds up exactly" in done.stderr and "dropped (sink: disk full)" in done.stderr
    found = contents(out)
    assert found.frames() == frames[: len(found.packets)] and len(found.packets) > 5_000
    assert f"{len(found.packets):,} acked" in done.stderr
    assert number(found.statistics[0], 7) + len(found.packets) == number(found.statistics[0], 4)
    state = os.statvfs(disk)
    assert state.f_bavail * state.f_frsize < 8192, "filled to the last packet that had room"


@pytest.mark.kernel
def test_live_a_full_disk_loses_packets_and_goes_on_when_there_is_room(tmp_path: Path, disk: Path) -> None:
    """The file has the gap where it was: the next packet tells how many were lost before it."""
    frames, ledger, said = many(tmp_path / "many.pcap", 10_000), Ledger(), []
    ballast, out = disk / "ballast", disk / "out.pcapng"
    ballast.write_bytes(bytes(6 << 20))
    file = PacketFile(out, ledger, said.append, live=True)
    file.open()
    with Capture(str(tmp_path / "many.pcap"), ledger, 1000, packets=file) as capture:
        for number_of_batch, _ in enumerate(capture.read()):
            if number_of_batch == 5:
                ballast.unlink()
                file._failed_at -= 2  # a calm second, without waiting for it
        capture.account()
    file.flush()
    file.close()
    dropped = ledger.get(Entry("records", str(out), "dropped", "sink", "disk_full"))
    found = contents(out)
    assert len(found.packets) + dropped == 10_000 and dropped > 1000 and not list(imbalances(ledger.totals()))
    assert ledger.get(Entry("records", str(out), "acked")) == len(found.packets)
    expected = 0
    for frame, lost in zip(found.frames(), found.dropped(), strict=True):
        expected += lost
        assert frame == frames[expected]
        expected += 1
    assert sum(found.dropped()) == number(found.statistics[0], 7) == dropped
    assert [line.split(": ")[1].split(" (")[0].split(" after")[0] for line in said] == ["no room left", "back"]
    assert out.stat().st_blocks * 512 < out.stat().st_size + 8192, "what was reserved is given back"


@pytest.mark.kernel
def test_a_disk_without_any_room_leaves_no_file(disk: Path) -> None:
    state = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(state.f_bavail * state.f_frsize))
    file = PacketFile(disk / "out.pcapng", Ledger(), print)
    with pytest.raises(SinkError, match="no room left"):
        file.open()
    assert not (disk / "out.pcapng").exists()


def test_a_symbolic_link_or_another_runs_file_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(SinkError, match="cannot write link: Too many levels of symbolic links"):
        PacketFile(tmp_path / "link", Ledger(), print).open()
    assert (tmp_path / "precious").read_text() == "mine"
    first = PacketFile(tmp_path / "one", Ledger(), print)
    first.open()
    with pytest.raises(SinkError, match="another run writes there"):
        PacketFile(tmp_path / "one", Ledger(), print).open()
    first.close()


def test_packets_whose_fsync_failed_are_not_acked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path / "many.pcap", 100)
    failing, real = [5], os.fsync

    def fsync(fd: int) -> None:
        if failing:
            raise OSError(failing.pop(), "it failed")
        real(fd)

    ledger = Ledger()
    file = PacketFile(tmp_path / "out.pcapng", ledger, print)
    file.open()
    with Capture(str(tmp_path / "many.pcap"), ledger, packets=file) as capture:
        list(capture.read())
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SinkError, match="it failed"):
        file.flush()
    file.close()
    assert ledger.get(Entry("records", str(tmp_path / "out.pcapng"), "dropped", "sink", "rejected")) == 100


def test_into_tshark_and_into_a_reader_that_goes(tmp_path: Path) -> None:
    many(tmp_path / "many.pcap", 40_000)
    with subprocess.Popen([HEADWATER, "read", tmp_path / "many.pcap", "-w", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ours:
        counted = subprocess.run(
            ["tshark", "-r", "-", "-T", "fields", "-e", "frame.number"], stdin=ours.stdout, capture_output=True, check=True
        )
        assert len(counted.stdout.split()) == 40_000
        assert ours.stderr and b"40,000 made = 40,000 acked" in ours.stderr.read()
    with subprocess.Popen([HEADWATER, "read", tmp_path / "many.pcap", "-w", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ours:
        assert ours.stdout and ours.stderr
        ours.stdout.read(1000)
        ours.stdout.close()
        assert ours.stderr.read() == b""
    assert ours.returncode == 0


def octets_in(pipe: IO[Any] | None) -> int:
    """How many wait for its reader."""
    assert pipe
    waiting = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


def test_a_reader_that_does_not_read_is_waited_for_until_it_is_given_up(tmp_path: Path) -> None:
    many(tmp_path / "many.pcap", 40_000)
    command = [HEADWATER, "read", tmp_path / "many.pcap", "-w", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ours:
        assert ours.stderr
        until(lambda: octets_in(ours.stdout))
        with pytest.raises(subprocess.TimeoutExpired):
            ours.wait(1)
        ours.terminate()
        assert "waiting for its reader to take what is left" in ours.stderr.readline()
        ours.terminate()
        said = ours.stderr.read()
    assert "dropped (sink: unreachable)" in said and "adds up exactly" in said


def test_standard_output_may_be_a_file_and_rows_may_go_elsewhere(tmp_path: Path) -> None:
    frames = many(tmp_path / "many.pcap", 500)
    with (tmp_path / "out.pcapng").open("wb") as out:
        subprocess.run(
            [HEADWATER, "read", tmp_path / "many.pcap", "-w", "-", "-o", tmp_path / "rows", "--record", "packet"],
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
        )
    assert contents(tmp_path / "out.pcapng").frames() == frames
    rows = (tmp_path / "rows/packet.jsonl").read_text().splitlines()
    assert [json.loads(row)["length"] for row in rows] == [len(frame) for frame in frames]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-w", "IN"], "that capture is read: choose another file to write"),
        (["-w", "-", "--format", "jsonl"], "standard output cannot take both rows and packets"),
        (["--cut", "headers"], "--cut: goes with -w FILE"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(words: list[str], said: str, tmp_path: Path) -> None:
    many(tmp_path / "IN", 5)
    size = (tmp_path / "IN").stat().st_size
    done = subprocess.run([HEADWATER, "read", "IN", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "IN").stat().st_size == size
