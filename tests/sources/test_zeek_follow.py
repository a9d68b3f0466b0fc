"""Following a log while it is written, rotated, packed and taken away: each row once, whenever the reader dies."""

import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.sources import log_lines, zeek_follow
from headwater.sources.zeek_follow import Follow

TSV = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#open\t2024-01-01-00-00-{:02d}\n"
TSV += "#fields\tts\tuid\tcount\n#types\ttime\tstring\tcount\n"


class Reader:
    """A follower, and what was stored durably of what it gave: rows, with the state that came beside them."""

    def __init__(self, *directories: Path) -> None:
        self.directories = directories
        self.state = "{}"
        self.rows: list[dict[str, Any]] = []
        self.skipped: dict[str, int] = {}
        self.told: list[str] = []
        self.start()

    def start(self) -> None:
        """Begin, or begin again after a crash."""
        self.follow = Follow(self.directories, json.loads(self.state), self.told.append)

    def poll(self, die_after: int = 1 << 30) -> bool:
        """Look once; False if it died after so many batches."""
        for number, (one, state) in enumerate(self.follow.poll()):
            if number == die_after:
                self.start()
                return False
            self.rows += one.table.to_pylist()
            self.state = json.dumps(state)
            for reason, count in one.skipped.items():
                self.skipped[reason] = self.skipped.get(reason, 0) + count
        self.state = json.dumps(self.follow.state())
        return True

    @property
    def uids(self) -> list[str]:
        return [row["uid"] for row in self.rows]


def line(number: int) -> str:
    return json.dumps({"ts": number, "uid": f"C{number}", "note": "x" * 150}) + "\n"


@pytest.fixture
def zeek(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


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
    assert reader.uids == (["C0", "C2"] if fate == "taken away" else ["C0", "C1", "C2"])
    if fate == "renamed":
        (rotated.parent / f"{rotated.name}.gz").write_bytes(gzip.compress(rotated.read_bytes()))
        before = set(reader.follow.state()["files"])
        reader.poll()
        assert set(reader.follow.state()["files"]) == before  # while both are there, the copy is not looked at
        rotated.unlink()
        reader.poll()
        reader.start()
        reader.poll()
        assert reader.uids == ["C0", "C1", "C2"]


def test_what_was_rotated_before_we_came_is_left_alone_and_what_came_while_we_were_away_is_not(zeek: Path) -> None:
    (zeek / "conn.00:00:00-01:00:00.log").write_text(line(0))
    reader = Reader(zeek)
    (zeek / "conn.log").write_text(line(1))
    reader.poll()
    (zeek / "conn.log").rename(zeek / "conn.01:00:00-02:00:00.log")
    (zeek / "conn.02:00:00-03:00:00.log.gz").write_bytes(gzip.compress(line(2).encode()))
    (zeek / "conn.log").write_text(line(3))
    reader.start()
    reader.poll()
    assert reader.uids == ["C1", "C2", "C3"]


def test_a_packed_log_is_read_when_it_is_whole(zeek: Path) -> None:
    reader = Reader(zeek)
    reader.poll()
    packed = gzip.compress("".join(map(line, range(2000))).encode(), 0)
    path = zeek / "conn.00:00:00-01:00:00.log.gz"
    path.write_bytes(packed[:200_000])
    reader.poll()
    seen = len(reader.rows)
    assert seen < 2000
    path.write_bytes(packed)
    reader.poll()
    assert reader.uids == [f"C{number}" for number in range(2000)] and not reader.skipped
    other = zeek / "dns.00:00:00-01:00:00.log.gz"
    other.write_bytes(packed[:200_000])
    for _ in range(4):
        reader.poll()
    assert reader.skipped == {"damaged": 1} and len(reader.rows) == 2000 + seen


def test_a_log_that_is_emptied_begins_anew(zeek: Path) -> None:
    reader = Reader(zeek)
    (zeek / "conn.log").write_text(line(0) + line(1))
    reader.poll()
    (zeek / "conn.log").write_text(line(2))
    reader.poll()
    assert reader.uids == ["C0", "C1", "C2"]


def test_an_inode_that_is_used_again_is_another_log(zeek: Path) -> None:
    reader = Reader(zeek)
    live = zeek / "conn.log"
    live.write_text(line(0))
    reader.poll()
    (key,) = reader.follow.state()["files"]
    live.unlink()
    live.write_text(line(1) + line(2))
    status = live.stat()
    state = json.loads(reader.state)
    state["files"] = {f"{status.st_dev}:{status.st_ino}": state["files"][key]}
    reader.state = json.dumps(state)
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
    assert len(reader.told) == 1 and not reader.rows


def test_the_state_is_the_same_whatever_comes_later(zeek: Path) -> None:
    (zeek / "conn.log").write_text(line(0))
    states = []
    follow = Follow([zeek], {}, print)
    for number in range(1, 4):
        states += [(json.dumps(state), state) for _, state in follow.poll()]
        with (zeek / "conn.log").open("a") as log:
            log.write(json.dumps({"ts": number, "uid": "x", f"own{number}": 1}) + "\n")
    assert len(states) == 3 and all(text == json.dumps(state) for text, state in states)


def test_it_looks_until_it_is_stopped(zeek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeek_follow, "POLL_S", 0.01)
    (zeek / "conn.log").write_text(line(0))
    follow = Follow([zeek], {}, print)
    for one, _ in follow.read():
        if one.table.column("uid").to_pylist() == ["C1"]:
            follow.stop()
        else:
            with (zeek / "conn.log").open("a") as log:
                log.write(line(1))


def test_a_file_that_has_gone_is_forgotten(zeek: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(zeek)
    (zeek / "conn.log").write_text(line(0))
    reader.poll()
    (zeek / "conn.log").unlink()
    reader.poll()
    assert len(reader.follow.state()["files"]) == 1
    monkeypatch.setattr(zeek_follow, "FORGET_S", -10.0)
    reader.poll()
    assert not reader.follow.state()["files"]


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
