"""HASSH of both sides against tshark, of each connection of the corpora."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import CORPORA

FIELDS = ("ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "ssh.kex.hassh", "ssh.kex.hasshserver")


def shown(capture: Path) -> set[tuple[str, ...]]:
    """(client, its port, server, its port, whose, hash)"""
    fields = [word for field in FIELDS for word in ("-e", field)]
    filters = ["-Y", "ssh.kex.hassh or ssh.kex.hasshserver", "-d", "tcp.port==2200,ssh", "-d", "tcp.port==41644,ssh"]
    done = subprocess.run(
        ["tshark", "-r", capture, *filters, "-T", "fields", *fields], capture_output=True, text=True, check=True, timeout=60
    )
    found = set()
    for line in done.stdout.splitlines():
        src, sport, dst, dport, client, server = line.split("\t")
        found.add((src, sport, dst, dport, "hassh", client) if client else (dst, dport, src, sport, "hasshServer", server))
    return found


def ours(capture: Path, scratch: Path) -> set[tuple[str, ...]]:
    command = [Path(sys.prefix) / "bin/headwater", "read", capture, "--record", "ssh", "--format", "jsonl", "-o", scratch]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = set()
    for line in (scratch / "ssh.jsonl").read_text().splitlines():
        row = json.loads(line)
        ends = tuple(str(row[name]) for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"))
        found |= {(*ends, name, row[name]) for name in ("hassh", "hasshServer") if name in row}
    return found


@pytest.mark.corpora
@pytest.mark.parametrize("name", ["ssh__ssh", "ssh__single-conn", "ssh__ssh1-ssh2-fingerprints", "ssh__ssh_kex_dh_group18"])
def test_hassh_is_that_of_tshark(name: str, tmp_path: Path) -> None:
    capture = CORPORA / "zeek" / name / "trace.pcap"
    found = ours(capture, tmp_path)
    assert found
    assert found == shown(capture)
