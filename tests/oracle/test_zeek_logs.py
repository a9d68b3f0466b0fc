"""conn, tunnel and what flows carry against the logs that Zeek wrote of the same captures."""

import subprocess
import sys
from pathlib import Path

import pytest
from places import CORPORA, ROOT, ZEEKDIFF


@pytest.mark.corpora
def test_flows_are_those_of_zeek() -> None:
    """At least as much as tests/golden/zeek.min says is equal; docs/zeek-differences.md explains the rest."""
    command = [
        ZEEKDIFF,
        Path(sys.prefix) / "bin/headwater",
        CORPORA / "zeek",
        "conn,tunnel,dns,ntp,ssl,x509,ocsp,ssh",
        "--ignore",
        "service",
    ]
    done = subprocess.run(
        [sys.executable, *command, "--min", ROOT / "tests/golden/zeek.min", "--fields", "--show", "200"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
