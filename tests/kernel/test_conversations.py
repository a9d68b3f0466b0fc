"""Conversations of real programs, over links good and bad: the kernel's flows are those of the file that tcpdump wrote beside it."""

from pathlib import Path
from typing import Any

import pytest
from netns import Veth
from programs import CLOSED, DNS, DOCUMENT, DOCUMENTS, HALF_CLOSE, HTTP, NOBODYS, RESET, SILENT, SSH, TCP, TYPED, UDP, servers, talk
from tcpdumps import apart, asked_for, differences, native, one_cpu, tcpdump
from watched import watching
from wires import WIRES

pytestmark = pytest.mark.kernel

EMULATED = "QEMU" in Path("/proc/cpuinfo").read_text()  # a guest of tests/kernels, which takes some ten times as long for everything
NEAR_NS = 500_000 if EMULATED else 50_000  # by which tcpdump's clock, read at another place, may differ,
STALLED_NS = 100_000_000  # also where this machine had no CPU between the two
STATES = {HTTP: "SF", DNS: "SF", SSH: "SF", HALF_CLOSE: "SF", RESET: "RSTR", CLOSED: "REJ", NOBODYS: "S0"}  # of TCP

LOSING = ("losing", "netem")
JUDGED = ("_retransmits", "_out_of_order", "_retransmitted_bytes")


@pytest.mark.parametrize("wire", WIRES)
def test_rows_are_those_of_tcpdumps_file(wire: str, tmp_path: Path) -> None:
    capture = tmp_path / "by-tcpdump.pcap"
    with WIRES[wire]() as pair:
        neighbors(pair)
        with (
            watching(pair.near, tmp_path / "rows", "conn", "--detail", "flows") as live,
            tcpdump(pair.near, capture),
            one_cpu(),
            servers(pair, tmp_path),
        ):
            talk(pair, tmp_path)
    rows, expected = asked_for(live), asked_for(native(capture, pair.near.interface))
    judged = (rows, expected) if wire not in LOSING else (map(unjudged, rows), map(unjudged, expected))
    assert differences(*judged) == []
    gaps = apart(rows, expected)
    assert gaps[len(gaps) * 3 // 4] < NEAR_NS
    assert gaps[-1] < STALLED_NS
    assert {(row["proto"], row["id.resp_p"]) for row in rows} >= {("tcp", port) for port in TCP} | {("udp", port) for port in UDP}
    assert [(tmp_path / name).stat().st_size for name in DOCUMENTS] == [DOCUMENT] * len(DOCUMENTS)
    assert (sum(unjudged(row)[side] for row in rows for side in ("orig", "resp")) > 20) == (wire != "plain")
    if wire == "plain":
        found = {row["id.resp_p"]: row["conn_state"] for row in rows if row["proto"] == "tcp" and row["id.resp_p"] in STATES}
        assert found == STATES
        assert [row["resp_bytes"] > TYPED for row in rows if row["id.resp_p"] == SSH] == [True]


def unjudged(row: dict[str, Any]) -> dict[str, Any]:
    """Late by less than a round trip is overtaken, else sent again: but who has lost something waits just so long, and clocks differ."""
    apart = {name: value for name, value in row.items() if not name.endswith(JUDGED)}
    return apart | {side: sum(row.get(side + what) or 0 for what in JUDGED[:2]) for side in ("orig", "resp")}


def neighbors(pair: Veth) -> None:
    """Known, so that nobody asks for them; what is for nobody goes to the far end."""
    for end, other in ((pair.near, pair.far), (pair.far, pair.near)):
        for address in (other.ip4, other.ip6, SILENT) if other.mac else ():
            end.space.ip(f"neighbor replace {address} lladdr {other.mac} dev {end.interface}")
