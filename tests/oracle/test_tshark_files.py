"""Files in HTTP against what tshark exports of the same captures."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import CORPORA


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["http__bro.org", "http__http-post-large"])
def test_hashes_are_those_of_what_tshark_exports(name: str, tmp_path: Path) -> None:
    [capture] = (CORPORA / "zeek" / name).glob("trace.pcap*")
    exported, logs, extracted = tmp_path / "exported", tmp_path / "logs", tmp_path / "extracted"
    subprocess.run(["tshark", "-Q", "-r", capture, "--export-objects", f"http,{exported}"], check=True, capture_output=True)
    command = [Path(sys.prefix) / "bin/headwater", "read", capture, "-o", logs, "--format", "zeek-json", "--extract", extracted]
    subprocess.run(command, check=True, capture_output=True)
    theirs = {hashlib.sha256(path.read_bytes()).hexdigest() for path in exported.iterdir()}
    ours = [json.loads(line) for line in (logs / "files.log").read_text().splitlines()]
    whole = [row for row in ours if not row["missing_bytes"]]
    assert whole
    assert {row["sha256"] for row in whole} <= theirs
    for row in whole:
        octets = (extracted / row["extracted"]).read_bytes()
        assert [hashlib.new(kind, octets).hexdigest() for kind in ("md5", "sha1", "sha256")] == [row["md5"], row["sha1"], row["sha256"]]
