"""`read --uid`: what it refuses, in one line each. That the packets are the right ones shows tests/oracle/test_picked_packets.py."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.records.address import uid_octets, uid_text

CAPTURE = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + struct.pack("<IIII", 1, 0, 20, 20) + b"E" + bytes(19)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--uid", "Cabc", "-w", "out"], 1, "Cabc: there is no such flow: take the uid from a row made of these captures"),
        (["--uid", "Xabc", "-w", "out"], 2, "--uid Xabc: that is no uid: copy one from a row of conn"),
        (["--uid", "Cabc"], 2, "--uid: goes with -w alone"),
        (["--uid", "Cabc", "-w", "out", "-o", "rows"], 2, "--uid: goes with -w alone"),
        (["-", "--uid", "Cabc", "-w", "out"], 2, "--uid: captures are read twice: name files, not a pipe"),
        (["none.pcap", "--uid", "Cabc", "-w", "out"], 5, "none.pcap: there is no such file"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file(options: list[str], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "some.pcap").write_bytes(CAPTURE)
    files = [] if options[0] == "none.pcap" else ["some.pcap"]
    command = [Path(sys.prefix) / "bin/headwater", "read", *files, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["some.pcap"]


@pytest.mark.parametrize("octets", [bytes(11) + b"\1", b"\1" + bytes(11), b"\xff" * 12, bytes(range(12))])
def test_a_uid_is_its_text(octets: bytes) -> None:
    assert uid_octets(uid_text(octets)) == octets


@pytest.mark.parametrize("text", ["", "C", "abc", "C-", "C" + "z" * 17])
def test_what_is_no_uid_has_no_octets(text: str) -> None:
    assert uid_octets(text) == b""
