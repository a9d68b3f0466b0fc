"""Where captures come from: files of any size, packed ones, FIFOs, standard input; and what is said when one cannot be read."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from forge import Packet, Pcapng, frame, packets, pcap
from reading import read_bytes, read_capture

from headwater.errors import SourceError
from headwater.sources.capture import Capture
from headwater.telemetry import Entry, Ledger, imbalances

DATA = pcap(packets())


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd}
pack = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS.keys())


@pack
@pytest.mark.parametrize("name", ["a.pcap", "a.gz", "a"])
def test_packed_captures_are_known_by_their_octets_not_their_name(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    read = read_bytes(tmp_path, pack(DATA), name)
    assert (read.error, len(read.rows)) == (None, 5)


@pack
def test_members_behind_one_another_are_one_capture(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    pieces = [DATA[i : i + 100] for i in range(0, len(DATA), 100)]
    read = read_bytes(tmp_path, b"".join(pack(piece) for piece in [b"", *pieces, b""]) + bytes(3000))
    assert read.error is None
    assert read.rows.tobytes() == read_bytes(tmp_path, DATA).rows.tobytes()


@pytest.mark.parametrize("command", [["gzip", "-c"], ["zstd", "-qc"], ["zstd", "-qc", "--long=27", "-19"]])
def test_what_the_system_packs_is_read(tmp_path: Path, command: list[str]) -> None:
    data = pcap(packets(20_000))
    read = read_bytes(tmp_path, subprocess.run(command, input=data, capture_output=True, check=True).stdout)
    assert (read.error, len(read.rows)) == (None, 20_000)


@pack
def test_a_packed_capture_cut_anywhere_gives_the_rows_before_the_cut(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = read_bytes(tmp_path, DATA).rows.tobytes()
    packed = pack(DATA[:900]) + pack(DATA[900:])
    for cut in range(len(packed)):
        read = read_bytes(tmp_path, packed[:cut])
        assert whole.startswith(read.rows.tobytes())
        assert read.error
    assert read_bytes(tmp_path, packed).rows.tobytes() == whole


@pack
def test_packed_data_with_a_wrong_octet_is_damaged_or_does_not_change_a_row(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed, errors = pack(DATA), 0
    for place in range(4, len(packed)):
        spoilt = bytearray(packed)
        spoilt[place] ^= 0x55
        read = read_bytes(tmp_path, bytes(spoilt))
        errors += read.error is not None
        assert read.error or len(read.rows) == 5
    assert errors > len(packed) // 2


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, gzip.compress(DATA) + b"what is this?", "odd.pcap.gz")
    assert len(read.rows) == 5
    assert str(read.error).startswith(f"odd.pcap.gz is damaged in its gzip data near byte {len(gzip.compress(DATA))} (")
    assert str(read.error).endswith(", after packet 5; the rows that were read are kept")


def test_a_frame_that_unpacks_into_zeros_without_end_is_refused_at_once(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(256)) + compressor.flush()
    read = read_bytes(tmp_path, bomb)
    assert str(read.error) == "made.pcap is not a pcap or pcapng capture: it begins with 00 00 00 00"


def memory_of_reading(path: Path) -> tuple[int, int]:
    """Rows, and the KiB of the process that read them."""
    code = (
        "import resource, sys\nfrom headwater.sources.capture import Capture\nfrom headwater.telemetry import Ledger\n"
        "with Capture(sys.argv[1], Ledger()) as capture:\n    rows = sum(len(batch) for batch in capture.read())\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    rows, memory = done.stdout.split()
    return int(rows), int(memory)


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    header, chunk = pcap([]), pcap([Packet(1, 2, frame(500))] * 2000)[24:]
    for name, times in (("small", 10), ("large", 400)):
        compressor = zstandard.ZstdCompressor(level=1).compressobj()
        (tmp_path / name).write_bytes(
            compressor.compress(header) + b"".join(compressor.compress(chunk) for _ in range(times)) + compressor.flush()
        )
    small, large = memory_of_reading(tmp_path / "small"), memory_of_reading(tmp_path / "large")
    assert (small[0], large[0]) == (20_000, 800_000)
    assert large[1] - small[1] < 64 << 10, "400 MB of capture was read"


def test_standard_input(tmp_path: Path) -> None:
    code = (
        "from headwater.sources.capture import Capture\nfrom headwater.telemetry import Ledger\n"
        "with Capture('-', Ledger()) as capture:\n    print(capture.name, capture.progress, sum(len(batch) for batch in capture.read()))"
    )
    (tmp_path / "file").write_bytes(DATA)
    for packed in (DATA, gzip.compress(DATA), zstd(DATA)):
        done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=True)
        assert done.stdout.decode().strip() == "stdin None 5"
    with (tmp_path / "file").open("rb") as file:
        done = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"stdin (0, {len(DATA)}) 5"


def test_a_fifo_gives_packets_while_its_writer_goes_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    arrived, rows = threading.Event(), 0

    def write() -> None:
        with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
            fifo.write(DATA[:3])
            fifo.write(DATA[3:])
            if arrived.wait(30):
                fifo.write(DATA[24:])

    writer = threading.Thread(target=write)
    with Capture(str(tmp_path / "fifo"), Ledger()) as capture:
        writer.start()
        for batch in capture.read():
            rows += len(batch)
            if rows >= 5:
                arrived.set()
    writer.join()
    assert rows == 10


@pytest.mark.parametrize("writer", [False, True])
def test_stop_ends_a_read_that_waits(tmp_path: Path, writer: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    capture = Capture(str(tmp_path / "fifo"), Ledger())
    with capture:
        end = os.open(tmp_path / "fifo", os.O_WRONLY) if writer else -1
        timer = threading.Timer(0.2, capture.stop)
        timer.start()
        assert sum(len(batch) for batch in capture.read()) == 0
        timer.join()
        if writer:
            os.close(end)


def test_stop_in_the_middle_of_a_file_leaves_a_ledger_that_adds_up(tmp_path: Path) -> None:
    (tmp_path / "many.pcap").write_bytes(pcap(packets(1000)))
    ledger = Ledger()
    rows = 0
    with Capture(str(tmp_path / "many.pcap"), ledger, 100) as capture:
        for batch in capture.read():
            rows += len(batch)
            if rows >= 300:
                capture.stop()
        capture.account()
    assert rows == 300
    assert ledger.get(Entry("packets", "many.pcap", "as_row")) == ledger.get(Entry("packets", "many.pcap", "seen")) == 300


def test_captures_of_one_name_add_up(tmp_path: Path) -> None:
    ledger = Ledger()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.pcap").write_bytes(DATA)
        with Capture(str(tmp_path / folder / "x.pcap"), ledger) as capture:
            for _ in capture.read():
                capture.account()
            capture.account()
    assert ledger.get(Entry("packets", "x.pcap", "seen")) == 10
    assert not list(imbalances(ledger.totals()))


def test_progress_tells_the_octets_of_the_file(tmp_path: Path) -> None:
    packed = gzip.compress(pcap(packets(30_000)))
    (tmp_path / "x.gz").write_bytes(packed)
    with Capture(str(tmp_path / "x.gz"), Ledger(), 1000) as capture:
        told = [capture.progress or (-1, -1) for _ in capture.read()]
    assert told == sorted(told)
    assert told[-1] == (len(packed), len(packed)) and told[0][0] > 0


def refusal(path: Path | str) -> str:
    with pytest.raises(SourceError) as raised, Capture(str(path), Ledger()) as capture:
        for _ in capture.read():
            pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_no_capture_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    assert "there is no such file: give the path" in refusal(tmp_path / "none.pcap")
    assert "is a folder: name the captures in it" in refusal(tmp_path)
    (tmp_path / "empty.pcap").touch()
    assert refusal(tmp_path / "empty.pcap") == "empty.pcap is empty: not even a capture's header is there"
    (tmp_path / "x.txt").write_text("Hello\nworld")
    assert refusal(tmp_path / "x.txt") == "x.txt is not a pcap or pcapng capture: it begins with 48 65 6c 6c"
    (tmp_path / "x.txt").write_text("Hi")
    assert refusal(tmp_path / "x.txt") == "x.txt is not a pcap or pcapng capture: it begins with 48 69"
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"Hello"))
    assert refusal(tmp_path / "x.gz") == "x.gz is not a pcap or pcapng capture: it begins with 48 65 6c 6c"
    (tmp_path / "x.gz").write_bytes(gzip.compress(b""))
    assert refusal(tmp_path / "x.gz") == "x.gz is empty: not even a capture's header is there"
    (tmp_path / "old.pcap").write_bytes(pcap([], version=(1, 0)))
    assert "is pcap of version 1.0: Headwater reads 2.x" in refusal(tmp_path / "old.pcap")
    (tmp_path / "odd\x1b[31m\n.pcap").write_text("Hello")
    assert refusal(tmp_path / "odd\x1b[31m\n.pcap").startswith("odd?[31m?.pcap is not")
    assert "is empty" in refusal("/dev/null")


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, so the kernel's answer is given here
    assert "you may not read this file" in refusal(tmp_path / "x.pcap")


def test_captures_without_packets_are_no_error(tmp_path: Path) -> None:
    for data in (pcap([]), Pcapng().section().data, Pcapng(">").section().interface().data):
        read = read_bytes(tmp_path, data)
        assert (read.error, len(read.rows)) == (None, 0)


def test_a_capture_in_the_making_by_tcpdump_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.pcap").write_bytes(DATA)
    subprocess.run(["tcpdump", "-r", tmp_path / "in.pcap", "-w", tmp_path / "out.pcap"], capture_output=True, check=True)
    assert read_capture(tmp_path / "out.pcap").rows.tobytes() == read_capture(tmp_path / "in.pcap").rows.tobytes()
