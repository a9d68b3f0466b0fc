"""From a row to its packets (`read --uid -w`): they are those that tshark finds by the flow's ends."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import CORPORA

from headwater.apps.picking import frames
from headwater.config import Settings

READ = [str(Path(sys.prefix) / "bin/headwater"), "read"]


def conns(*captures: Path) -> list[dict[str, Any]]:
    done = subprocess.run([*READ, *captures, "--format", "jsonl"], capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def shown(capture: Path, filter: str) -> set[int]:
    """Numbers of the frames that tshark shows, and of the pieces of those."""
    lines = []
    for chosen in (filter, "ip.reassembled_in"):
        command = ["tshark", "-2", "-r", capture, "-Y", chosen, "-T", "fields", "-e", "frame.number", "-e", "ip.reassembled_in"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        lines.append([[int(number or 0) for number in line.split("\t")] for line in done.stdout.splitlines()])
    numbers = {number for number, _ in lines[0]}
    return numbers | {number for number, whole in lines[1] if whole in numbers}


def ends(row: dict[str, Any]) -> str:
    ip = "ipv6" if ":" in row["id.orig_h"] else "ip"
    addresses = f"{ip}.addr == {row['id.orig_h']} && {ip}.addr == {row['id.resp_h']}"
    return f"{addresses} && {row['proto']}.port == {row['id.orig_p']} && {row['proto']}.port == {row['id.resp_p']}"


@pytest.mark.corpora
@pytest.mark.parametrize(
    "name", ["ssh__ssh", "dhcp__dhcp", "ipv4__fragmented-1", "conn-size", "tunnels__vxlan-triple-v2", "tunnels__gre-aruba-amsdu"]
)
def test_they_are_those_between_its_ends(name: str) -> None:
    capture = CORPORA / "zeek" / name / "trace.pcap"
    rows = [row for row in conns(capture) if row["proto"] in ("tcp", "udp")]
    assert rows
    for row in rows[:2]:
        assert set(frames([str(capture)], Settings(), [row["uid"]]).tolist()) == shown(capture, ends(row)), row


def ipv4(proto: int, src: int, dst: int, body: bytes) -> bytes:
    return struct.pack(">BBHHHBBH4B4B", 0x45, 0, 20 + len(body), src, 0, 64, proto, 0, 10, 0, 0, src, 10, 0, 0, dst) + body


def question(port: int) -> bytes:
    return ipv4(17, 1, 2, struct.pack(">HHHH", port, 53, 12, 0) + b"what")


def refusal(of: bytes) -> bytes:
    return ipv4(1, 2, 1, struct.pack(">BBHI", 3, 3, 0, 0) + of)


def written(path: Path, *packets: bytes) -> Path:
    records = b"".join(struct.pack("<IIII", 1_000_000_000 + at, 0, len(one), len(one)) + one for at, one in enumerate(packets))
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + records)
    return path


def test_errors_of_icmp_about_it_are_among_them_also_in_the_next_capture(tmp_path: Path) -> None:
    asked, other = question(4000), question(4001)
    captures = written(tmp_path / "1.pcap", other, asked, other), written(tmp_path / "2.pcap", refusal(other), refusal(asked))
    out = tmp_path / "out.pcapng"
    [uid] = {row["uid"] for row in conns(*captures) if row["id.orig_p"] == 4000}
    done = subprocess.run(
        [*READ, *captures, "--uid", uid, "--uid", "Cabc", "-w", out], check=True, capture_output=True, text=True, timeout=60
    )
    assert "Cabc: there is no such flow" in done.stderr
    octets = out.read_bytes()
    assert [packet in octets for packet in (asked, refusal(asked), refusal(other))] == [True, True, False]
    assert (octets.count(asked), octets.count(other)) == (2, 0)  # by itself, and in the error
