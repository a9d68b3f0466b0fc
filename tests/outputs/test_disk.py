"""Disks that are full, read-only or somebody else's, and readers that go: what is written can be read, and what is said is one line."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import reading_back
from rows_made import START, TCP, conns, packets, rates
from waiting import MOST_S, until

from headwater.errors import SinkError
from headwater.interfaces import Sent
from headwater.outputs import packing
from headwater.outputs.files import Files, Format
from headwater.outputs.outlet import Outlet
from headwater.outputs.rotated import Rotated
from headwater.outputs.sinks import FORMATS, form_of
from headwater.records import PACKET, Drop
from headwater.sources.zeek import tables
from headwater.telemetry import Entry, Ledger, imbalances

DISK_OCTETS = 12 << 20  # half of it holds three batches in any format
BATCH = 4000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_OCTETS}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


OF_ANY_RECORD = [form for form in map(form_of, FORMATS) if form.records is None]


@pytest.fixture(params=OF_ANY_RECORD, ids=[form.name for form in OF_ANY_RECORD])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Format]:
    chosen: type[Format] = request.param
    monkeypatch.setattr(chosen, "group_rows", min(chosen.group_rows, 3 * BATCH))
    return chosen


def counted(ledger: Ledger, disk: Path) -> dict[str, int]:
    terms = {"made": "", "acked": "", "queued": "", "disk_full": "dropped", "unreachable": "dropped", "rejected": "dropped"}
    counts = {
        name: ledger.get(Entry("records", str(disk), term or name, "sink" if term else "", name if term else ""))
        for name, term in terms.items()
    }
    assert not list(imbalances(ledger.totals()))
    return counts


def free(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


@pytest.mark.kernel
@pytest.mark.parametrize("form", ["zeek", "zeek-json"])
def test_logs_that_are_over_wait_for_room_and_what_is_acked_is_there(form: str, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "AGAIN_S", 0.05)
    now, said, acked, lost = START / 1e9, list[str](), 0, 0
    ballast = disk / "ballast"
    with Rotated(form_of(form), disk, frozenset({"conn"}), 3600.0, said.append, clock=lambda: now) as sink:
        ballast.write_bytes(bytes(DISK_OCTETS - (1 << 20)))
        while not lost:
            sent = sink.send([conns([TCP] * 500)])
            acked, lost = acked + sent.acked, lost + sum(sent.dropped.values())
            assert set(sent.dropped) <= {Drop["sink__disk_full"]}
        now += 3600
        acked += sink.flush(last=False).acked
        until(lambda: said)
        time.sleep(0.2)
        (left,) = (disk / "current").iterdir()
        assert "no room left" in said[0] and "wait in current" in said[0]
        ballast.unlink()
        until(lambda: not left.exists())
    (packed,) = disk.glob("*/*.log.gz")
    assert len(said) == 1 and not list(packed.parent.glob(".*"))
    assert sum(len(one.table) for one in tables(packed, said.append)) == acked
    assert (acked + lost) % 500 == 0 < acked


@pytest.mark.kernel
def test_live_a_full_disk_loses_rows_and_goes_on_when_there_is_room(form: type[Format], disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(DISK_OCTETS // 2))
    ledger, said = Ledger(), []
    sink = Files(form, disk)
    sink.linger_s = 0.0
    outlet = Outlet(sink, ledger, said.append)
    outlet.open()
    number = 0

    def put() -> None:
        nonlocal number
        outlet.put(packets(BATCH, number, START + number * 10**12))
        outlet.put(rates(10))
        number += 1
        outlet.flush(MOST_S)

    while not counted(ledger, disk)["disk_full"]:
        put()
        assert number < 500
    full = counted(ledger, disk)
    ballast.unlink()
    time.sleep(1.1)
    put()
    until(lambda: any("back after" in line for line in said))
    outlet.close(MOST_S)
    counts = counted(ledger, disk)
    assert counts["made"] == number * (BATCH + 10) == counts["acked"] + counts["disk_full"] and counts["acked"] > full["acked"]
    path = disk / f"packet.{form.suffix}"
    assert reading_back.count(path) + reading_back.count(disk / f"rate.{form.suffix}") == counts["acked"]
    assert said[0].startswith(f"{disk}: no room left (No space left on device)") and len(said) <= 4
    assert path.stat().st_blocks * 512 < path.stat().st_size + 8192, "what was reserved is given back"


@pytest.mark.kernel
def test_a_capture_onto_a_full_disk_ends_with_one_line_and_a_file_that_can_be_read(form: type[Format], disk: Path) -> None:
    ledger, said = Ledger(), []
    outlet = Outlet(Files(form, disk, at_once=[PACKET]), ledger, said.append, on_full="wait", stop_on_error=True)
    outlet.open()
    with pytest.raises(SinkError) as caught:
        for number in range(500):
            outlet.put(packets(BATCH, number))
    with pytest.raises(SinkError):
        outlet.put(rates(7))  # as the last ledger is put
    outlet.close()
    counts = counted(ledger, disk)
    assert reading_back.count(disk / f"packet.{form.suffix}") == counts["acked"] > 0
    assert counts["disk_full"] == counts["made"] - counts["acked"], "the last ones too"
    assert caught.value.exit_code == 6 and str(caught.value).startswith(f"{disk}: no room left") and "\n" not in str(caught.value)
    assert not [line for line in said if "waiting for it" not in line], (
        "it is said by whom it is raised to"
    )  # a busy machine takes its time
    assert outlet.failure is caught.value


@pytest.mark.kernel
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_disk_of_little_room_is_filled_to_the_last_line_that_fits(suffix: str, disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(free(disk) - (100 << 10)))
    form = form_of(suffix)
    ledger = Ledger()
    outlet = Outlet(Files(form, disk), ledger, print, on_full="wait", stop_on_error=True)
    outlet.open()
    outlet.put(packets(BATCH))
    with pytest.raises(SinkError, match="no room left"):
        outlet.flush(MOST_S)
    outlet.close()
    counts = counted(ledger, disk)
    path = disk / f"packet.{suffix}"
    assert reading_back.count(path) == counts["acked"] == BATCH - counts["disk_full"]
    assert path.read_bytes().endswith(b"\n")
    assert (100 << 10) - path.stat().st_size < 1000, "the next line had no room"


@pytest.mark.kernel
def test_a_disk_without_any_room_leaves_no_broken_file(form: type[Format], disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(free(disk)))
    ledger = Ledger()
    outlet = Outlet(Files(form, disk), ledger, print)
    outlet.open()
    outlet.put(packets(BATCH * 4))
    outlet.close()
    assert counted(ledger, disk)["disk_full"] == BATCH * 4
    path = disk / f"packet.{form.suffix}"
    assert not path.exists() or reading_back.count(path) == 0


@pytest.mark.kernel
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_it_is_back_only_when_every_record_is_written_again(suffix: str, disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(free(disk) - (100 << 10)))
    ledger, said = Ledger(), []
    outlet = Outlet(Files(form_of(suffix), disk), ledger, said.append)
    outlet.open()
    outlet.put(rates(10))
    outlet.flush(MOST_S)
    for _ in range(2):  # the first one leaves room for less than a line
        outlet.put(packets(BATCH))
        outlet.flush(MOST_S)
        time.sleep(1.1)
    (disk / f"rate.{suffix}").write_bytes(b"")  # as a few rows of the ledger, which fit into what their last block has left
    outlet.put(rates(10))
    outlet.flush(MOST_S)
    time.sleep(0.2)
    assert len(said) == 1 and "no room left" in said[0]
    ballast.unlink()
    outlet.put(packets(BATCH))
    until(lambda: any("back after" in line for line in said))
    outlet.close()
    assert len(said) == 2


@pytest.mark.kernel
def test_a_read_only_file_system_is_named(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    sink = Files(form_of("jsonl"), disk / "out")
    with pytest.raises(SinkError, match=r"out: cannot write out: Read-only file system; choose another place$"):
        sink.open()


def test_old_files_are_replaced_and_others_left_alone(form: type[Format], tmp_path: Path) -> None:
    old, other = tmp_path / f"packet.{form.suffix}", tmp_path / "notes.txt"
    old.write_bytes(b"x" * 10_000_000)
    other.write_text("mine")
    with Files(form, tmp_path) as sink:
        sink.send([packets(10)])
    assert reading_back.count(old) == 10
    assert other.read_text() == "mine" and len(list(tmp_path.iterdir())) == 2


def test_a_symbolic_link_a_fifo_or_another_runs_file_is_not_written(tmp_path: Path) -> None:
    form = form_of("jsonl")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name, make, words in (
        ("link", lambda path: path.symlink_to(precious), "Too many levels of symbolic links"),
        ("fifo", os.mkfifo, "No such device or address"),
        ("folder", Path.mkdir, "Is a directory"),
    ):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "packet.jsonl")
        with pytest.raises(SinkError, match=f"cannot write packet.jsonl: {words}"):
            Files(form, tmp_path / name, at_once=[PACKET]).open()
    assert precious.read_text() == "mine"
    with Files(form, tmp_path / "twice", at_once=[PACKET]), pytest.raises(SinkError, match="another run writes there"):
        Files(form, tmp_path / "twice", at_once=[PACKET]).open()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_rows_whose_fsync_failed_are_not_acked(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux may have dropped the pages, and a second fsync would say that all is well."""
    failing = [error]

    def fsync(fd: int) -> None:
        if failing and Path(f"/proc/self/fd/{fd}").readlink().name == "packet.jsonl":
            raise OSError(failing.pop(), "it failed")
        real(fd)

    real = os.fsync
    with Files(form_of("jsonl"), tmp_path) as sink:
        monkeypatch.setattr(os, "fsync", fsync)
        sink.send([packets(10)])
        sent = sink.flush(last=False)
        assert sent.acked == 0 and list(sent.dropped.values()) == [10] and "it failed" in sent.problem
        assert list(sent.dropped) == [Drop["sink__disk_full" if error == errno.ENOSPC else "sink__rejected"]]
        sink.send([packets(7)])
        assert sink.flush(last=False) == Sent(7)


WRITER = """
import sys
sys.path.insert(0, {folder!r})
from rows_made import packets
from headwater.errors import OutputClosed
from headwater.outputs.files import Files
from headwater.outputs.outlet import Outlet
from headwater.outputs.rotated import Rotated
from headwater.outputs.sinks import FORMATS, form_of
from headwater.telemetry import Ledger, imbalances
ledger = Ledger()
form = form_of({suffix!r})
form.group_rows = min(form.group_rows, 1000)
outlet = Outlet(Files(form, None, frozenset(["packet"])), ledger, print)
outlet.open()
try:
    for number in range({batches}):
        outlet.put(packets(500, number))
        outlet.flush()
    ended = "whole"
except OutputClosed:
    ended = "closed"
outlet.close()
counts = {{entry.reason or entry.term: count for entry, count in ledger.totals().items() if count}}
print(ended, type(outlet.failure).__name__, list(imbalances(ledger.totals())), counts, file=sys.stderr)
"""


def writer(suffix: str, batches: int) -> list[str]:
    return [sys.executable, "-c", WRITER.format(folder=str(Path(__file__).parent), suffix=suffix, batches=batches)]


def test_a_reader_that_goes_ends_the_run_quietly(form: type[Format]) -> None:
    with subprocess.Popen(writer(form.name, 2000), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(1000)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 0
    assert said.startswith("closed OutputClosed [] {") and len(said.splitlines()) == 1


def test_standard_output_may_be_a_file(form: type[Format], tmp_path: Path) -> None:
    path = tmp_path / f"all.{form.suffix}"
    with path.open("wb") as out:
        done = subprocess.run(writer(form.name, 10), stdout=out, stderr=subprocess.PIPE, check=True)
    assert done.stderr.decode().strip() == "whole NoneType [] {'made': 5000, 'acked': 5000}"
    assert reading_back.count(path) == 5000
