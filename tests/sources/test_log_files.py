"""Logs once, and logs while they are written, rotated, packed and taken away: each row once, whenever the reader dies."""

import gzip
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import SourceError
from headwater.sources import log_files, log_folders, log_lines
from headwater.sources.log_files import LogFiles
from headwater.sources.log_memory import Memory

TSV = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2024-01-01-00-00-{:02d}\n"
TSV += "#fields\tts\tuid\tcount\n#types\ttime\tstring\tcount\n"


class Reader:
    """Who reads logs, and what was stored durably of them: rows, together with the memory of what was taken."""

    def __init__(self, *paths: Path, follow: bool = True, again: bool = False) -> None:
        self.paths, self.follow, self.again = paths, follow, again
        self.rows: list[dict[str, Any]] = []
        self.skipped: dict[str, int] = {}
        self.told: list[str] = []
        self.start()

    def start(self, again: bool = False) -> None:
        """Begin, or begin again after a crash."""
        if hasattr(self, "memory"):
            self.files.close()
            self.memory.close()
        folder = next(one for one in (self.paths[0], *self.paths[0].parents) if one.name == "zeek")
        self.memory = Memory(folder.parent / "memory.sqlite")
        self.memory.open()
        self.files = LogFiles(self.paths, self.memory, self.told.append, follow=self.follow, again=self.again or again)

    def poll(self, die_after: int = 1 << 30) -> bool:
        """Look once; False if it died after so many batches."""
        for number, block in enumerate(self.files.look()):
            if number == die_after:
                self.start()
                return False
            self.memory.commit("", 0)
            for one in block:
                self.rows += one.table.to_pylist()
                for reason, count in one.skipped.items():
                    self.skipped[reason] = self.skipped.get(reason, 0) + count
        return True

    @property
    def uids(self) -> list[str]:
        return [row["uid"] for row in self.rows]


def imported(*paths: Path, again: bool = False) -> list[str]:
    """The uids that one import takes."""
    reader = Reader(*paths, follow=False, again=again)
    reader.poll()
    reader.memory.commit("", 0)
    reader.memory.close()
    return reader.uids


def line(number: int) -> str:
    return json.dumps({"ts": number, "uid": f"C{number}", "note": "x" * 150}) + "\n"


@pytest.fixture
def zeek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which whoever writes has always done so."""
    monkeypatch.setattr(log_files, "SETTLED_S", -100.0)
    folder = tmp_path / "zeek"
    folder.mkdir()
    yield folder


def test_a_line_is_read_when_its_end_is_there(zeek: Path) -> None:
    reader = Reader(zeek)
    reader.poll()
    with (zeek / "conn.log").open("w") as log:
        for number in range(3):
            log.write(line(number)[:-5])
            log.flush()
            reader.poll()
            assert len(reader.uids) == number
            log.write(line(number)[-5:])
            log.flush()
            reader.poll()
            assert reader.uids == [f"C{one}" for one in range(number + 1)]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("fate", ["renamed", "packed", "taken away"])
def test_a_rotated_log_is_read_to_its_end_before_the_next(zeek: Path, fate: str, restart: bool) -> None:
    reader = Reader(zeek)
    live = zeek / "conn.log"
    live.write_text(line(0))
    reader.poll()
    with live.open("a") as log:
        log.write(line(1))
    rotated = zeek / "2024-01-01/conn.00:00:00-01:00:00.log"
    rotated.parent.mkdir()
    live.rename(rotated)
    live.write_text(line(2))
    if fate == "packed":
        (rotated.parent / f"{rotated.name}.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    if fate != "renamed":
        rotated.unlink()
    if restart:
        reader.start()
    reader.poll()
    assert reader.uids == (["C0", "C2"] if fate == "taken away" and restart else ["C0", "C1", "C2"])
    if fate == "renamed":
        (rotated.parent / f"{rotated.name}.gz").write_bytes(gzip.compress(rotated.read_bytes()))
        reader.poll()
        rotated.unlink()
        reader.poll()
        reader.start()
        reader.poll()
        assert reader.uids == ["C0", "C1", "C2"]


def test_what_came_while_we_were_away_is_read_in_its_order(zeek: Path) -> None:
    (zeek / "conn.00:00:00-01:00:00.log").write_text(line(0))
    (zeek / "conn.log").write_text(line(1))
    reader = Reader(zeek)
    reader.poll()
    (zeek / "conn.log").rename(zeek / "conn.01:00:00-02:00:00.log")
    (zeek / "conn.02:00:00-03:00:00.log.gz").write_bytes(gzip.compress(line(2).encode()))
    (zeek / "conn.log").write_text(line(3))
    reader.start()
    reader.poll()
    assert reader.uids == ["C0", "C1", "C2", "C3"]


def test_a_packed_log_is_read_when_it_is_whole(zeek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "SETTLED_S", 3.0)
    reader = Reader(zeek)
    packed = gzip.compress("".join(map(line, range(2000))).encode(), 0)
    path = zeek / "conn.00:00:00-01:00:00.log.gz"
    path.write_bytes(packed[:200_000])
    reader.poll()
    assert not reader.rows
    path.write_bytes(packed)
    os.utime(path, (1, 1))
    reader.poll()
    assert reader.uids == [f"C{number}" for number in range(2000)] and not reader.skipped
    other = zeek / "dns.00:00:00-01:00:00.log.gz"
    other.write_bytes(gzip.compress("".join(map(line, range(5000, 7000))).encode(), 0)[:200_000])
    os.utime(other, (1, 1))
    for _ in range(4):
        reader.poll()
    assert reader.skipped == {"damaged": 1} and 2000 < len(reader.rows) < 4000


def test_a_log_that_is_emptied_begins_anew(zeek: Path) -> None:
    reader = Reader(zeek)
    (zeek / "conn.log").write_text(line(0) + line(1))
    reader.poll()
    (zeek / "conn.log").write_text(line(2))
    reader.poll()
    assert reader.uids == ["C0", "C1", "C2"]


@pytest.mark.parametrize("longer", [False, True])
def test_a_log_that_is_copied_and_emptied_goes_on_in_its_copy(zeek: Path, longer: bool) -> None:
    """What logrotate calls copytruncate."""
    reader = Reader(zeek)
    live = zeek / "eve.json"
    live.write_text(line(0))
    reader.poll()
    with live.open("a") as log:
        log.write(line(1))
    shutil.copy(live, zeek / "eve.json.1")
    live.write_text("".join(map(line, range(2, 5 if longer else 2))))
    reader.poll()
    reader.poll()
    assert sorted(reader.uids) == [f"C{number}" for number in range(5 if longer else 2)]


def test_an_inode_that_is_used_again_is_another_log(zeek: Path) -> None:
    reader = Reader(zeek)
    live = zeek / "conn.log"
    live.write_text(line(0))
    reader.poll()
    inode = live.stat().st_ino
    with live.open("r+") as log:
        log.write(line(1) + line(2))
    assert live.stat().st_ino == inode
    reader.start()
    reader.poll()
    assert reader.uids == ["C0", "C1", "C2"]


def test_the_last_line_of_a_rotated_log_may_be_cut_off(zeek: Path) -> None:
    reader = Reader(zeek)
    (zeek / "conn.log").write_text(TSV.format(0) + "1\ta\t1\n2\tb")
    reader.poll()
    (zeek / "conn.log").rename(zeek / "conn.00:00:00-01:00:00.log")
    for _ in range(3):
        reader.poll()
    assert reader.uids == ["a"] and reader.skipped == {"cut": 1}


def test_others_files_are_left_alone(zeek: Path) -> None:
    (zeek / "stderr.log").write_text("listening on eth0\n")
    (zeek / "empty.log").write_text("")
    os.mkfifo(zeek / "pipe.log")
    reader = Reader(zeek, zeek / "none")
    for _ in range(3):
        reader.poll()
    assert len(reader.told) == 2 and not reader.rows


def test_a_log_that_is_imported_twice_is_taken_once_whatever_it_is_called_by_then(zeek: Path) -> None:
    live = zeek / "conn.log"
    live.write_text("".join(map(line, range(3))))
    assert imported(zeek) == ["C0", "C1", "C2"]
    assert imported(zeek) == imported(live) == []
    with live.open("a") as log:
        log.write(line(3))
    assert imported(live) == ["C3"]
    elsewhere = zeek / "archive"
    elsewhere.mkdir()
    packed = elsewhere / "conn.00:00:00-01:00:00.log.gz"
    packed.write_bytes(gzip.compress(live.read_bytes()))
    (elsewhere / "conn.copy.log").write_bytes(live.read_bytes())
    assert imported(zeek) == imported(packed) == imported(elsewhere / "conn.copy.log") == []
    live.unlink()
    assert imported(zeek) == []
    packed.write_bytes(gzip.compress((elsewhere / "conn.copy.log").read_bytes() + line(4).encode()))
    assert imported(packed) == ["C4"]
    assert imported(packed, again=True) == [f"C{number}" for number in range(5)]
    assert imported(zeek) == []
    live.write_text(line(5))
    assert imported(zeek) == ["C5"]
    (zeek / "ssh.log").write_text(line(5))
    assert imported(zeek) == ["C5"]


@pytest.mark.parametrize("tsv", [False, True])
def test_a_line_that_is_cut_off_is_taken_once_it_is_whole(zeek: Path, tsv: bool) -> None:
    live = zeek / "conn.log"
    head, row = (TSV.format(0), "{0}\tC{0}\t{0}\n") if tsv else ("", '{{"ts": {0}, "uid": "C{0}"}}\n')
    live.write_text(head + row.format(0) + row.format(1)[:-4])
    reader = Reader(live, follow=False)
    reader.poll()
    assert reader.uids == ["C0"] and reader.skipped == {"cut": 1}
    reader.memory.close()
    live.write_text(head + row.format(0) + row.format(1)[: None if tsv else -1])
    assert imported(live) == ["C1"]
    live.write_text(head + row.format(0) + row.format(1) + row.format(2))
    reader = Reader(live, follow=False)
    reader.poll()
    assert reader.uids == ["C2"] and not reader.skipped


def test_what_cannot_be_read_is_told_of_in_a_line(zeek: Path) -> None:
    (zeek / "conn.log").write_text(line(0))
    (zeek / "words.log").write_text("words\nand more\n")
    reader = Reader(zeek, zeek / "words.log", follow=False)
    reader.poll()
    assert reader.uids == ["C0"] and len(reader.files.wrong) == 1 and "is no log of Zeek" in reader.files.wrong[0]
    (zeek / "conn.shorter.log").write_text((line(0) * 4)[:-1])
    (zeek / "conn.log").write_text(line(0) * 8)
    for _ in range(2):
        reader.start()
        reader.poll()
        (zeek / "conn.log").unlink(missing_ok=True)
    assert len(reader.rows) == 8 and any("is shorter: left alone" in said for said in reader.told)


def test_what_is_wrong_while_it_is_followed_costs_no_other_line(zeek: Path) -> None:
    reader = Reader(zeek)
    tsv, other = zeek / "conn.log", zeek / "dns.log"
    tsv.write_text(TSV.format(0) + "1\tC0\t1\n2\tC1\tmany\n3\n4\tC2\t4\n")
    other.write_text(line(3) + '{"ts": 1, "uid": \n\0\xff\n' + line(4))
    reader.poll()
    with tsv.open("a") as log:
        log.write("#fields\tts\tuid\tcount\n#types\ttime\tstring\tcounter[x]\n5\tC5\twhatever\n")
    with other.open("a") as log:
        log.write("[]\n" + line(6))
    reader.poll()
    reader.start()
    with other.open("a") as log:
        log.write(line(7))
    reader.poll()
    assert sorted(reader.uids) == ["C0", *(f"C{number}" for number in range(2, 8))]
    assert reader.skipped == {"value": 1, "fields": 1, "json": 3}
    assert [said for said in reader.told if "counter[x], which is not known" in said] and all("\n" not in said for said in reader.told)


def test_a_directory_may_come_later(zeek: Path) -> None:
    reader = Reader(zeek / "later")
    reader.poll()
    reader.poll()
    assert len(reader.told) == 1 and "waited for" in reader.told[0]
    (zeek / "later").mkdir()
    (zeek / "later/conn.log").write_text(line(0))
    reader.poll()
    assert reader.uids == ["C0"]


def test_of_a_file_that_is_followed_only_what_it_was_is_read(zeek: Path) -> None:
    (zeek / "eve.json.1").write_text(line(100))
    live = zeek / "eve.json"
    live.write_text(line(0))
    reader = Reader(live)
    reader.poll()
    with live.open("a") as log:
        log.write(line(1))
    live.rename(zeek / "eve.json-2024")
    live.write_text(line(2))
    reader.start()
    reader.poll()
    assert reader.uids == ["C0", "C1", "C2"]


def test_what_is_old_is_not_asked_each_time(zeek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        path = zeek / f"conn.{number:02d}:00:00-{number:02d}:30:00.log"
        path.write_text(line(number))
        os.utime(path, (1, 1))
    (zeek / "conn.log").write_text(line(20))
    os.utime(zeek / "conn.log", (1, 1))
    os.utime(zeek, (1, 1))
    reader = Reader(zeek)
    assert reader.poll() and reader.poll()
    assert [one.path.name for one in reader.files._folders.look()] == ["conn.log"]
    (zeek / "conn.log").rename(zeek / "conn.20:00:00-20:30:00.log")
    (zeek / "conn.log").write_text(line(21))
    reader.poll()
    assert reader.uids == [f"C{number}" for number in range(22)]
    os.utime(zeek, (1, 1))
    with (zeek / "conn.03:00:00-03:30:00.log").open("a") as log:
        log.write(line(22))
    monkeypatch.setattr(log_folders, "ALL_S", 0.0)
    for _ in range(3):
        reader.files._folders._all_at = 0.0
        reader.poll()
    assert reader.uids[22:] == ["C22"]


def test_nobody_else_imports_meanwhile(zeek: Path) -> None:
    reader = Reader(zeek)
    with pytest.raises(SourceError, match="another process"):
        Reader(zeek)
    reader.memory.close()
    (zeek.parent / "memory.sqlite").write_text("no database " * 100)
    with pytest.raises(SourceError, match="move it away"):
        Reader(zeek)


class Writer:
    """Zeek, as it writes one log, rotates and packs it."""

    def __init__(self, directory: Path, chance: random.Random, tsv: bool) -> None:
        self.directory, self.chance, self.tsv = directory, chance, tsv
        self.number, self.files, self.half = 0, 0, ""
        self.live = directory / "conn.log"
        self.uids: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.live.write_text(TSV.format(self.files) if self.tsv else "")

    def put(self, text: str) -> None:
        with self.live.open("a") as log:
            log.write(text)

    def row(self) -> str:
        self.number += 1
        self.uids.append(f"C{self.number}")
        if self.tsv:
            return f"{self.number}.000000\tC{self.number}\t{self.number}\n"
        return (
            json.dumps(
                {"ts": self.number, "uid": f"C{self.number}", "note": "x" * 120, **({"own": 1} if self.chance.random() < 0.1 else {})}
            )
            + "\n"
        )

    def write(self) -> None:
        text = self.half + "".join(self.row() for _ in range(self.chance.randrange(1, 30)))
        cut = len(text) - self.chance.choice((0, 0, 1, 7))
        self.put(text[:cut])
        self.half = text[cut:]

    def rotate(self) -> None:
        if not self.uids:
            return
        self.put(self.half)
        self.half = ""
        self.files += 1
        self.live.rename(self.directory / f"archive/conn.2024-01-01-00-{self.files:02d}-00.log")
        self.begin()

    def pack(self) -> None:
        for path in sorted((self.directory / "archive").glob("*.log"))[:1]:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            if self.chance.random() < 0.7:
                path.unlink()


@pytest.mark.parametrize("seed", range(16))
def test_each_row_once_whatever_happens(seed: int, zeek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, so that a crash falls between those of one block too."""
    chance = random.Random(seed)
    monkeypatch.setattr(log_lines, "LINES", 8)
    monkeypatch.setattr("headwater.sources.zeek_tsv.CELLS", 9)
    monkeypatch.setattr("headwater.sources.zeek_json.CELLS", 120)
    (zeek / "archive").mkdir()
    writer = Writer(zeek, chance, tsv=seed % 2 == 0)
    reader = Reader(zeek)
    reader.poll()
    for _ in range(40):
        chance.choice((writer.write, writer.write, writer.write, writer.rotate, writer.pack))()
        if chance.random() < 0.6:
            reader.poll(chance.choice((0, 1, 2, 5, 1 << 30)))
        if chance.random() < 0.1:
            reader.start()
    writer.put(writer.half)
    for _ in range(3):
        reader.poll()
    assert sorted(reader.uids, key=lambda uid: int(uid[1:])) == writer.uids and not reader.skipped
