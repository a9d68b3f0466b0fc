"""Files that flows carry, written out."""

from pathlib import Path

import pytest

from headwater.errors import SinkError
from headwater.outputs.extracted import Extraction


def test_a_file_is_written_as_it_comes(tmp_path: Path) -> None:
    extraction = Extraction(tmp_path / "new", ("image/*",), 100, 1000)
    extraction.open()
    assert extraction.begin("HTTP", "F1", "text/plain") is None
    one = extraction.begin("HTTP", "F1", "image/png")
    assert one is not None
    one.write(b"abc")
    one.skip(2)
    one.write(b"d")
    one.skip(1)
    one.close()
    assert (one.name, one.size, one.is_cut) == ("HTTP-F1", 7, False)
    assert (tmp_path / "new/HTTP-F1").read_bytes() == b"abc\0\0d\0"
    assert (tmp_path / "new/HTTP-F1").stat().st_mode & 0o777 == 0o600


def test_there_is_an_end_to_what_is_written(tmp_path: Path) -> None:
    extraction = Extraction(tmp_path, ("*",), 10, 25)
    extraction.open()
    sizes = []
    for number in range(4):
        one = extraction.begin("HTTP", f"F{number}", "")
        sizes.append(one and one.size)
        if one:
            one.write(b"x" * 100)
            one.skip(5)
            one.close()
            sizes[-1] = (tmp_path / one.name).stat().st_size
            assert one.is_cut
    assert sizes == [10, 10, 10, None]
    many = Extraction(tmp_path, ("*",), 10, 1 << 30)
    opened = [many.begin("SMTP", f"F{number}", "") for number in range(300)]
    assert sum(one is not None for one in opened) == 256
    for one in opened:
        if one:
            one.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "HTTP-F1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match="HTTP-F1 cannot be written"):
        Extraction(tmp_path, ("*",), 10, 1000).begin("HTTP", "F1", "")
    assert not (tmp_path / "elsewhere").exists()
