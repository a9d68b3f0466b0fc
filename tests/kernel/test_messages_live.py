"""What flows say, live: rows equal those of the file that tcpdump wrote at the same time, and all octets are accounted for."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from answering import dns_server
from netns import Veth
from tcpdumps import tcpdump
from watched import watching

pytestmark = pytest.mark.kernel

OF_TIME = {"ts", "uid", "rtt"}  # tcpdump's clock is read at another moment


def read(capture: Path, record: str, folder: Path) -> list[dict[str, Any]]:
    """What `headwater read` makes of it."""
    subprocess.run([sys.executable, "-m", "headwater", "read", capture, "--record", record, "-o", folder], check=True, capture_output=True)
    return [json.loads(line) for line in (folder / f"{record}.jsonl").read_text().splitlines()]


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what depends on a clock."""
    return [{name: value for name, value in row.items() if name not in OF_TIME} for row in sorted(rows, key=lambda row: row["ts"])]


@pytest.mark.parametrize("hook", ["tcx", "clsact"])
def test_dns_as_tcpdump_has_it(veth: Veth, hook: str, tmp_path: Path) -> None:
    """Over UDP, and over TCP where an answer is too large for that; the flow has the service."""
    with (
        dns_server(veth.far),
        tcpdump(veth.near, tmp_path / "same.pcap"),
        watching(veth.near, tmp_path / "live", "dns", "--record", "conn", "--hook", hook) as rows,
    ):
        for words in ("one.example A", "two.example AAAA", "big.example TXT", "big.example TXT +tcp"):
            veth.near.space.run("dig", f"@{veth.far.ip4}", *words.split(), "+tries=1", "+time=2")
    there = read(tmp_path / "same.pcap", "dns", tmp_path / "file")
    assert told(rows) == told(there)
    assert [row["query"] for row in told(rows)] == ["one.example", "two.example", *["big.example"] * 3]
    conns = [json.loads(line) for line in (tmp_path / "live/conn.jsonl").read_text().splitlines()]
    assert {(row["uid"], row["service"]) for row in conns if row["id.resp_p"] == 53} == {(row["uid"], "dns") for row in rows}
    (handed,) = re.findall(r"octets   kernel: .* ([\d,]+) handed_on", rows.said)
    (carried,) = re.findall(r"octets   tap: ([\d,]+) carried", rows.said)
    assert handed == carried
