"""conn, tunnel and messages against the logs that Zeek wrote of the same captures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import CORPORA, ROOT, ZEEKDIFF

LOGS = "conn,tunnel,dhcp,dns,files,ftp,http,ntp,ocsp,smtp,ssh,ssl,weird,websocket,x509"
FILES = "files.source=HTTP,SSL,FTP_DATA,SMTP"


@pytest.mark.corpora
def test_flows_are_those_of_zeek(tmp_path: Path) -> None:
    """At least as much as tests/golden/zeek.min says is equal, and zeek_more.min of further logs; docs/zeek-differences.md explains the
    rest.
    """
    least = tmp_path / "least"
    least.write_text("".join((ROOT / "tests/golden" / name).read_text() for name in ("zeek.min", "zeek_more.min")))
    words = [
        ZEEKDIFF,
        Path(sys.prefix) / "bin/headwater",
        CORPORA / "zeek",
        LOGS,
        "--where",
        FILES,
        "--min",
        least,
        "--fields",
        "--show",
        "200",
    ]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


Ends = tuple[object, ...]


def transactions(folder: Path) -> list[tuple[float, set[Ends]]]:
    """When each row of dhcp began, and the flows that it names."""
    conns, rows = ([json.loads(line) for line in (folder / f"{name}.log").read_text().splitlines()] for name in ("conn", "dhcp"))
    ends = {row["uid"]: (row["ts"], row["id.orig_h"], row["id.resp_h"]) for row in conns}
    return sorted((row["ts"], {ends[uid] for uid in row["uids"]}) for row in rows)


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["dhcp__dhcp", "dhcp__dhcp_flood"])
def test_transactions_name_the_flows_that_zeeks_do(name: str, tmp_path: Path) -> None:
    """In whatever order, which zeekdiff takes for another name each."""
    command = [Path(sys.prefix) / "bin/headwater", "read", CORPORA / "zeek" / name / "trace.pcap", "-o", tmp_path, "--format", "zeek-json"]
    subprocess.run(command, check=True, capture_output=True)
    assert transactions(tmp_path) == transactions(CORPORA / "zeek" / name)
