"""Filters of rows in a live run: which packets become rows beside flows, and which flows become rows when they end."""

import json
import socket
import threading
from pathlib import Path

import pytest
from netns import End, FrameSender, Veth
from test_tap import ethernet, ipv4, udp
from watched import watching

pytestmark = pytest.mark.kernel


def serve(end: End, ready: threading.Event, count: int) -> None:
    """Take that many connections, each with 10 octets."""
    with end.space.inside(), socket.create_server((end.ip4, 8080)) as listener:
        ready.set()
        for _ in range(count):
            connection, _ = listener.accept()
            with connection:
                connection.recv(10)


def connect(near: End, far: End, count: int) -> None:
    """So many that are answered, and half as many that are refused."""
    with near.space.inside():
        for number in range(count):
            with socket.create_connection((far.ip4, 8080)) as connection:
                connection.sendall(b"x" * 10)
            if number % 2:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((far.ip4, 81))


@pytest.mark.parametrize("more", [("tcx",), ("clsact",), ("af_packet",)], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "kept"), [("conn.failed && ip.dst == 10.0.0.0/8", 10), ("conn.state == SF", 20), ("tcp && conn.handshake > 10s", 0)]
)
def test_only_flows_that_are_asked_for_are_told(veth: Veth, text: str, kept: int, more: tuple[str, ...], tmp_path: Path) -> None:
    """In the kernel, and where user space keeps flows; the others are counted, and the ledger adds up."""
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(veth.far, ready, 20))
    with watching(veth.near, tmp_path, "conn", "-f", "tcp", "--flow-filter", text, "--hook", *more) as rows:
        server.start()
        assert ready.wait(10)
        connect(veth.near, veth.far, 20)
        server.join(10)
    assert len(rows) == kept
    assert {row["conn_state"] for row in rows} <= ({"REJ"} if "failed" in text else {"SF"})
    assert f"flows    that the flow filter leaves out: {30 - kept}" in rows.said
    if more == ("tcx",):
        assert f"records  kernel: {kept} made = {kept} acked" in rows.said or (not kept and "records  kernel: 0 made" in rows.said)


@pytest.mark.parametrize("more", [("tcx",), ("clsact",), ("af_packet",)], ids=" ".join)
def test_some_packets_beside_flows(silent_veth: Veth, more: tuple[str, ...], tmp_path: Path) -> None:
    """Rows of packets for some traffic, flows of all of it."""
    frames = [ethernet(ipv4(udp(1000, port))) for port in (53, 54, 55, 53)]
    options = ("--record", "packet", "--packet-filter", "udp.dstport == 53", "--hook", *more)
    with watching(silent_veth.near, tmp_path, "conn", *options) as rows, FrameSender(silent_veth.far) as sender:
        sender.send(frames * 5)
    packets = [json.loads(line) for line in (tmp_path / "packet.jsonl").read_text().splitlines()]
    assert [packet["dport"] for packet in packets] == [53] * 10
    assert sorted((row["id.resp_p"], row["orig_pkts"]) for row in rows) == [(53, 10), (54, 5), (55, 5)]
