"""Files that flows carry: how much came, of what kind, with which hashes."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

import headwater.analysis.protocols  # noqa: F401 - before its parts
from headwater.analysis import files
from headwater.analysis.files import FILES, File, Files, FileSettings
from headwater.analysis.stream import Stream
from headwater.outputs.extracted import Extraction
from headwater.records import Record
from headwater.records.address import packed

TS = 1_750_000_000 * 10**9


class Made:
    """A stream that keeps the rows of its files."""

    def __init__(self, settings: FileSettings | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        begin = (TS, b"\1" * 12, packed("10.0.0.1"), packed("192.0.2.2"), 40_000, 80, 6, 0, 0)
        self.stream = Stream(0, begin, self._put, lambda *_: None, None, Files(settings or FileSettings()))
        self.stream.now = self.stream.since = TS

    def _put(self, record: Record, row: tuple[Any, ...]) -> None:
        assert record is FILES
        self.rows.append(dict(zip([column.name for column in record.columns], row, strict=True)))

    def file(self, *pieces: bytes | int, **settings: Any) -> File:
        """One that comes in these pieces, gaps where they are numbers, a millisecond apart."""
        made = File(self.stream, 1, "HTTP", **settings)
        for piece in pieces:
            self.stream.now += 10**6
            if isinstance(piece, int):
                made.gap(piece)
            else:
                made.octets(piece)
        return made


def test_a_file_is_told_when_it_is_whole() -> None:
    made = Made(FileSettings(local_nets=["192.0.2.0/24"]))
    one = made.file(b"plain text, ", b"all of it", total=21, filename="a.txt")
    one.end()
    [row] = made.rows
    assert row["fuid"] == one.fuid
    assert (row["seen_bytes"], row["total_bytes"], row["missing_bytes"], row["duration"]) == (21, 21, 0, 0.002)
    assert (row["mime_type"], row["filename"], row["source"]) == ("text/plain", "a.txt", "HTTP")
    assert (row["is_orig"], row["local_orig"], row["timedout"]) == (False, True, False)
    for name in ("md5", "sha1", "sha256"):
        assert row[name] == hashlib.new(name, b"plain text, all of it").hexdigest()
    assert row["analyzers"] == ["MD5", "SHA1", "SHA256"]


def test_a_gap_takes_the_hashes_and_the_kind_if_it_is_at_the_beginning() -> None:
    made = Made()
    made.file(b"plain text", 5, b"more").end()
    made.file(5, b"plain text").end()
    first, second = made.rows
    assert (first["mime_type"], first["seen_bytes"], first["missing_bytes"], first["md5"]) == ("text/plain", 14, 5, None)
    assert (second["mime_type"], second["seen_bytes"], second["missing_bytes"], second["sha256"]) == (None, 10, 5, None)


def test_files_are_called_differently_and_the_same_in_each_run() -> None:
    made, again = Made(), Made()
    names = [made.file(b"x").fuid for _ in range(100)]
    assert len(set(names)) == 100
    assert all(name.startswith("F") and name.isalnum() and len(name) <= 18 for name in names)
    assert [again.file(b"x").fuid for _ in range(100)] == names
    assert made.stream.begin_inner().outer is made.stream
    assert File(made.stream.begin_inner(), 0, "SSL").fuid not in names


def test_hashes_can_be_left_out() -> None:
    made = Made(FileSettings(hashes=["sha1"]))
    made.file(b"x").end()
    assert (made.rows[0]["md5"], made.rows[0]["analyzers"]) == (None, ["SHA1"])


def test_files_of_a_kind_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setitem(files.READERS, "text/plain", ("TEXT", lambda _, octets: read.append(octets)))
    made = Made()
    made.file(b"plain text, ", b"all of it").end()
    made.file(b"x" * 4096, b"y" * files._WHOLE).end()
    made.file(b"x" * 4096, 1, b"y").end()
    made.file(b"\0").end()
    assert read == [b"plain text, all of it"]
    assert made.rows[0]["analyzers"][0] == "TEXT"


def test_what_is_written_out_is_told(tmp_path: Path) -> None:
    made = Made(FileSettings(extract=Extraction(tmp_path, ("text/*", "image/gif"), 100, 1000).begin))
    made.file(b"plain ", b"text, all of it", 2, b"and more").end()
    made.file(b"\0\1").end()
    made.file(b"GIF89a", b"x" * 5000).end()
    first, second, third = made.rows
    assert (tmp_path / first["extracted"]).read_bytes() == b"plain text, all of it\0\0and more"
    assert (first["extracted_size"], first["extracted_cutoff"], first["analyzers"]) == (31, False, ["EXTRACT"])
    assert (second["extracted"], second["extracted_size"]) == (None, None)
    assert (third["extracted_size"], third["extracted_cutoff"]) == (100, True)
