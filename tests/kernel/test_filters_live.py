"""Filters of rows in a live run: which packets become rows beside flows, and which flows become rows when they end."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from netns import End, FrameSender, Veth
from test_tap import ethernet, ipv4, udp
from waiting import MOST_S, until
from watched import counted, watching

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
        assert ready.wait(MOST_S)
        connect(veth.near, veth.far, 20)
        server.join()
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


def tell(pid: int, *words: str) -> str:
    """`headwater filter` to that run, and what it answers or why it is refused."""
    command = [sys.executable, "-m", "headwater", "filter", *words, "--pid", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
def test_each_filter_is_changed_while_the_run_goes_on(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    """Packets that come, and flows that end, by the filters of that time; what one filter leaves out the other's ledger has."""
    (tmp_path / "short.toml").write_text("[flows]\nudp_timeout_s = 0.5\ndns_timeout_s = 0.5\n")
    both, into = ("udp.dstport == 53", "udp.dstport == 54"), tmp_path / "rows"
    begin = ("--record", "packet", "--packet-filter", both[0], "--flow-filter", both[1], "--hook", hook, "-c", str(tmp_path / "short.toml"))
    changes: list[tuple[tuple[str, ...], ...]] = [
        (("set", "--packets", both[1]), ("set", "--flows", both[0])),
        (("clear", "--packets"), ("clear", "--flows"), ("set", both[1])),
    ]
    shown = []
    with watching(silent_veth.near, into, "conn", *begin) as rows, FrameSender(silent_veth.far) as sender:
        for number, change in enumerate([(), *changes]):
            for words in change:
                assert tell(rows.pid, *words) == ""
            shown.append(tell(rows.pid, "show"))
            sender.send([ethernet(ipv4(udp(1000 * number + sport, port))) for port in (53, 54) for sport in range(10)])
            until(lambda: counted(into, "packets", "seen") == sender.sent)
            until(lambda: counted(into, "flows", "ended") == (20, 40, 50)[number])  # noqa: B023 - called at once
    told = {record: [json.loads(line) for line in (into / f"{record}.jsonl").read_text().splitlines()] for record in ("packet", "conn")}
    packets = [(row["sport"] // 1000, row["dport"]) for row in told["packet"]]
    flows = [(row["id.orig_p"] // 1000, row["id.resp_p"]) for row in told["conn"]]
    assert sorted(packets) == [(0, 53)] * 10 + [(1, 54)] * 10 + [(2, 54)] * 10
    assert sorted(flows) == [(0, 54)] * 10 + [(1, 53)] * 10 + [(2, 54)] * 10
    assert shown == [
        f'packet_filter = "{both[0]}"\nflow_filter = "{both[1]}"\n',
        f'packet_filter = "{both[1]}"\nflow_filter = "{both[0]}"\n',
        f"{both[1]}\n",
    ]
    assert counted(into, "packets", "filtered") == 10
    assert counted(into, "flows", "unasked") == 20


def test_a_filter_that_the_run_has_no_use_for_is_refused(silent_veth: Veth, tmp_path: Path) -> None:
    with watching(silent_veth.near, tmp_path / "one", "packet", "--hook", "af_packet") as rows:
        said = tell(rows.pid, "set", "--flows", "conn.failed")
        assert said == "headwater: this run has no rows of flows: start it with --record conn\n"
        assert "conn.failed" in tell(rows.pid, "set", "--packets", "conn.failed")
        assert tell(rows.pid, "set", "--packets", "tcp") == ""
    with watching(silent_veth.near, tmp_path / "other", "conn", "--hook", "af_packet") as rows:
        said = tell(rows.pid, "set", "--packets", "tcp")
        assert said == "headwater: this run has no use for packets: start it with --record packet\n"
        assert "leave one of the two out" in tell(rows.pid, "clear", "--flows", "--packets")
