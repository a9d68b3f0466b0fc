"""One packet at several places: what a flow has counted, and where it was seen."""

import json
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from netns import FrameSender, Veth, unique
from test_tap import ethernet, ipv4, udp
from watched import watching

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
def test_a_bridge_and_its_port_count_once(veth: Veth, hook: str, tmp_path: Path) -> None:
    """A conversation through both, with segments that the card would cut."""
    near, bridge = veth.near, unique("hwbr")
    near.space.ip(f"link add {bridge} type bridge")
    near.space.ip(f"addr flush dev {near.interface}")
    near.space.ip(f"link set {near.interface} master {bridge}")
    near.space.ip(f"addr add {near.ip4}/24 dev {bridge}")
    near.space.ip(f"link set {bridge} up")
    with watching(near, tmp_path, "conn", "-i", bridge, "--hook", hook) as rows:
        with near.space.inside():
            listener = socket.create_server((near.ip4, 8080))
        asking = threading.Thread(target=ask, args=(veth, 8080))
        asking.start()
        connection, _ = listener.accept()
        with connection, listener:
            connection.sendall(b"x" * 500_000)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1000):
                pass
        asking.join(10)
    (row,) = (row for row in rows if row["id.resp_p"] == 8080)
    assert {row["interface"], row["interface_2"]} == {near.interface, bridge}
    assert "interface_3" not in row
    assert (row["conn_state"], row["orig_bytes"], row["resp_bytes"], row["missed_bytes"]) == ("SF", 12, 500_000, 0)
    assert row["orig_retransmits"] == row["resp_retransmits"] == 0
    assert "duplicate_hook" in rows.said
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    counted = Counter[str]()
    for one in ledger:
        if (one["ledger"], one["subject"]) == ("flows", "af_packet" if hook == "af_packet" else "kernel"):
            counted[one["term"]] += one["count"]
    assert counted["in_flow"] == sum(row["orig_pkts"] + row["resp_pkts"] for row in rows)
    assert counted["duplicate_hook"] >= row["orig_pkts"] / 2  # frames there, of several segments each


SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
    packets.bind((sys.argv[1], 0))
    for _ in range(5):
        packets.send(bytes.fromhex(sys.argv[2]))
"""


def ask(veth: Veth, port: int) -> None:
    with veth.far.space.inside(), socket.create_connection((veth.near.ip4, port), timeout=10) as connection:
        connection.sendall(b"GET / please")
        while connection.recv(65536):
            pass


@pytest.mark.parametrize(("pause", "counted"), [(0.0, 9), (1.3, 10)])
def test_a_flow_that_moves_to_another_interface_goes_on(silent_veth: Veth, pause: float, counted: int, tmp_path: Path) -> None:
    """At once, it cannot be told from one that both see: not more than a packet is left out."""
    near, far, name = silent_veth.near, silent_veth.far, unique("hwp")
    peer = f"{name}p"
    near.space.ip(f"link add {name} type veth peer name {peer} netns {far.space.name}")
    for space, interface in ((near.space, name), (far.space, peer)):
        space.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
        space.ip(f"link set {interface} up")
    frame = ethernet(ipv4(udp(1000, 2000)))
    with watching(near, tmp_path, "conn", "-i", name) as rows, FrameSender(far) as first:
        first.send([frame] * 5)
        time.sleep(pause)
        far.space.run(sys.executable, "-c", SEND, peer, frame.hex())
    assert [(row["orig_pkts"], row["interface"], row["interface_2"]) for row in rows] == [(counted, near.interface, name)]
    assert ("1 duplicate_hook" in rows.said) == (counted == 9)
