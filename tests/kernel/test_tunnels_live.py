"""What carries a flow, live: through each rung of the ladder the same as from a capture of the same frames."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from encapsulations import MADE
from forge import timed
from frames import ethernet, udp
from netns import FrameSender, Veth
from test_flow_table import carried, in_gre, in_vxlan
from watched import watching

pytestmark = pytest.mark.kernel

FRAMES = [made.frame for made in MADE if made.link_type == 1 and len(made.frame) <= 1500 and made.packets == 1]
NETS = ("192.0.2.", "10.0.", "10.1.", "10.2.", "2001:db8:", "fd00:")
LATER = ethernet(udp("192.0.2.1", "192.0.2.2", 40000, 9, b"x" * 40), 0x0800)

Flow = tuple[Any, ...]


def capture(frames: Iterable[bytes], folder: Path) -> Path:
    """Frames a millisecond apart, as a file."""
    path = folder / "sent.pcap"
    path.write_bytes(timed((number * 10**6, frame) for number, frame in enumerate(frames)))
    return path


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def told(conns: Iterable[Mapping[str, Any]], tunnels: Iterable[Mapping[str, Any]]) -> dict[Flow, tuple[Any, ...]]:
    """By flow: its packets and octets each way, and the ends of what carries it, in order."""
    conns, tunnels = list(conns), list(tunnels)
    ends = {row["uid"]: tuple(row[f"id.{name}"] for name in ("orig_h", "orig_p", "resp_h", "resp_p")) for row in [*tunnels, *conns]}
    found: dict[Flow, tuple[Any, ...]] = {}
    for row in conns:
        parents = [ends[uid] for uid in row.get("tunnel_parents", "").split(",") if uid]
        counts = [row[name] for name in ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")]
        if row["id.orig_h"].startswith(NETS):
            found[(row["ip_proto"], *ends[row["uid"]])] = (*counts, parents)
    return found


def of_file(frames: Iterable[bytes], folder: Path) -> dict[Flow, tuple[Any, ...]]:
    """The same of a capture of them."""
    into = folder / "read"
    command = [sys.executable, "-m", "headwater", "read", str(capture(frames, folder)), "-o", str(into), "--record", "conn"]
    subprocess.run([*command, "--record", "tunnel"], check=True, capture_output=True)
    return told(rows(into / "conn.jsonl"), rows(into / "tunnel.jsonl"))


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_what_carries_flows_is_told_live(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    near, far = silent_veth.near, silent_veth.far
    with watching(far, tmp_path / "live", "conn", "--record", "tunnel", "--hook", hook) as live, FrameSender(near) as sender:
        sender.send([*FRAMES, LATER])
    expected = of_file([*FRAMES, LATER], tmp_path)
    assert sum(bool(flow[-1]) for flow in expected.values()) >= 4, "some are carried"
    assert told(live, rows(tmp_path / "live" / "tunnel.jsonl")) == expected


@pytest.mark.parametrize("tunnel", [in_vxlan, in_gre])
def test_what_carries_flows_that_find_no_room_is_told_live(silent_veth: Veth, tunnel: Any, tmp_path: Path) -> None:
    """2,000 in a table for some 1,200."""
    settings = tmp_path / "small.toml"
    settings.write_text("[flows]\nmemory_mib = 1\n")
    frames = [frame for _, frame in carried(2000, tunnel, apart=False)]
    options = ("--record", "tunnel", "--hook", "tcx", "-c", str(settings))
    with watching(silent_veth.far, tmp_path / "live", "conn", *options) as live, FrameSender(silent_veth.near) as sender:
        for at in range(0, len(frames), 100):
            sender.send(frames[at : at + 100])
            time.sleep(0.01)
    assert "deferred" in live.said
    assert told(live, rows(tmp_path / "live" / "tunnel.jsonl")) == of_file(frames, tmp_path)
