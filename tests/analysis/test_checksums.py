"""Checksums, against what Wireshark says of the same packets, and what becomes of flows where one is wrong."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tshark
from flowing import NAMES, Rows, conns, flows
from forge import Packet, pcap
from frames import ethernet, ethertype, udp
from places import CORPORA

from headwater.records import ENUMS, PACKET, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

pytestmark = pytest.mark.corpora

BAD = {
    name.removeprefix("bad_").removesuffix("_checksum"): value for value, name in ENUMS["hw_weird"].items() if name.endswith("_checksum")
}
STATUS = [f"{protocol}.checksum.status" for protocol in ("ip", "tcp", "udp", "icmp", "icmpv6")]
FIELDS = ["frame.number", "frame.protocols", "ip.version", "ip.frag_offset", "ip.flags.mf", "ip.len", *STATUS]
PREFERENCES = {f"{name}.check_checksum": "TRUE" for name in ("ip", "tcp", "udp")} | tshark.APART
A, B = "10.0.0.1", "10.0.0.2"
NOT_OURS = {*"gre vxlan geneve gtp teredo ayiya l2tp ah ipv6.fraghdr nsh etherip mipv6 shim6 pbb".split()}


def verified(capture: Path) -> Rows:
    with Capture(str(capture), Ledger(), checksums=True) as source:
        return np.concatenate([np.empty(0, PACKET.dtype), *(batch.copy().rows for batch in source.read())], dtype=PACKET.dtype)


def theirs(capture: Path, scratch: Path) -> Iterator[tuple[int, str]]:
    """Packets of one IP header whose checksums Wireshark has looked at: their number, and the protocol whose checksum is wrong, if any."""
    for shown in tshark.shown(capture, scratch, FIELDS, PREFERENCES):
        if NOT_OURS & set(shown["frame.protocols"].split(":")) or len(shown["ip.version"]) != 1:
            continue
        if shown["ip.flags.mf"] in ("1", "True") or shown["ip.frag_offset"] not in ("", "0") or shown["ip.len"] == "0":
            continue
        known = {name.partition(".")[0]: shown[name] for name in STATUS if shown[name] in ("0", "1")}
        if known:
            wrong = next((name for name, status in known.items() if status == "0"), "")
            yield int(shown["frame.number"]) - 1, wrong


def captures() -> list[Path]:
    found = sorted(path for path in (CORPORA / "zeek").rglob("trace.pcap*") if path.stat().st_size < 1_000_000)
    return found[::3] + [path for path in found if "chksum" in path.parent.name]


def test_wrong_checksums_are_those_of_wireshark(tmp_path: Path) -> None:
    tshark.profile(tmp_path)
    names = {"ip": "IP", "tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "ICMP", "": ""}
    seen: Counter[str] = Counter()
    strange = []
    for capture in captures():
        rows = verified(capture)
        for number, wrong in theirs(capture, tmp_path):
            mine = next((name for name, value in BAD.items() if rows["weird"][number] == value), "")
            seen[names[wrong]] += 1
            if mine != names[wrong]:
                strange.append(f"{capture.parent.name} packet {number + 1}: {mine or 'right'}, {wrong or 'right'}")
    assert seen[""] > 5_000
    assert min(seen[name] for name in ("TCP", "UDP", "ICMP")) >= 1, seen
    assert len(strange) <= sum(seen.values()) // 500, "\n".join(strange[:40])


@pytest.mark.parametrize(("src", "dst", "port", "wrong"), [("::1", "::2", 53, True), ("::1", "::2", 6081, False), (A, B, 53, False)])
def test_a_datagram_without_a_checksum(src: str, dst: str, port: int, wrong: bool, tmp_path: Path) -> None:
    """Wireshark calls it illegal over IPv6, whatever the port."""
    packet = bytearray(udp(src, dst, 1024, port, b"payload"))
    packet[-9:-7] = bytes(2)
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([Packet(1, 2, ethernet(bytes(packet), ethertype(packet)))]))
    assert (verified(path)["weird"] == BAD["UDP"]).tolist() == [wrong]
    tshark.profile(tmp_path)
    (shown,) = tshark.shown(path, tmp_path, ["udp.checksum.zero"], PREFERENCES)
    assert bool(shown["udp.checksum.zero"]) == (":" in src)


@pytest.mark.parametrize("name", sorted(path.name for path in (CORPORA / "zeek").glob("chksums__*chksum")))
def test_captures_with_wrong_checksums(name: str) -> None:
    """Nothing of a damaged packet is believed, and it is counted."""
    rows = verified(CORPORA / "zeek" / name / "trace.pcap")
    into = flows()
    ended = conns([*(batch.copy() for batch in into.find(Batch(PACKET, rows, NAMES))), *(batch.copy() for batch in into.end())])
    counts = into.counts()
    damaged = int(np.isin(rows["weird"], list(BAD.values())).sum())
    assert bool(damaged) == ("bad" in name)
    assert counts.damaged + counts.no_flow >= damaged
    assert counts.in_flow + counts.damaged + counts.no_flow == len(rows)
    assert counts.in_flow == sum(ended["orig_pkts"] + ended["resp_pkts"])
    if counts.damaged and "icmp" not in name:
        assert any(letter in bytes(row["history"]) for row in ended for letter in b"Cc")
