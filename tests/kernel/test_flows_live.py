"""Flows seen live: `headwater run --record conn` in a network namespace, with the kernel's own TCP, UDP and ICMP."""

import json
import socket
import sys
import threading
from pathlib import Path

import pytest
from netns import End, FrameSender, Veth
from test_tap import ethernet, ipv4, udp
from waiting import MOST_S, until
from watched import counted, watching

pytestmark = pytest.mark.kernel


def serve(end: End, ready: threading.Event) -> None:
    """Take one connection, answer it with 100,000 octets, and one datagram."""
    with (
        end.space.inside(),
        socket.create_server((end.ip4, 8080)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind((end.ip4, 9999))
        ready.set()
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"x" * 100_000)
        datagrams.sendto(b"pong", datagrams.recvfrom(100)[1])


def talk(near: End, far: End) -> tuple[int, int]:
    """Ask for it. Returns the two ports."""
    with near.space.inside():
        with socket.create_connection((far.ip4, 8080)) as connection:
            connection.sendall(b"GET")
            while connection.recv(65536):
                pass
            tcp = connection.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"ping!", (far.ip4, 9999))
            datagrams.recv(100)
            udp = datagrams.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((far.ip4, 81))
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as echo:
            for number in range(2):
                echo.sendto(bytes((128, 0, 0, 0, 0, 7, 0, number)), (far.ip6, 0))  # a request; the kernel answers it
    return tcp, udp


@pytest.mark.parametrize("more", [(), ("--detail", "packets"), ("--record", "server")], ids=["flows", "packets", "servers"])
@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
def test_conversations_are_flows(veth: Veth, hook: str, more: tuple[str, ...], tmp_path: Path) -> None:
    """Kept by the kernel, by it with packets beside them, by it with what servers do; and in user space from rows of packet sockets."""
    for end, other in ((veth.near, veth.far), (veth.far, veth.near)):  # asking for a neighbour again takes a second
        end.space.ip(f"neighbor replace {other.ip6} lladdr {other.mac} dev {end.interface}")
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(veth.far, ready))
    with watching(veth.near, tmp_path, "conn", "--hook", hook, *more) as rows:
        server.start()
        assert ready.wait(MOST_S)
        tcp, udp = talk(veth.near, veth.far)
        server.join()
    found = {(row["proto"], row["id.resp_p"]): row for row in rows if row["id.orig_h"] in (veth.near.ip4, veth.near.ip6)}
    one = found["tcp", 8080]
    assert (one["id.orig_p"], one["id.resp_h"], one["conn_state"], one["orig_bytes"], one["resp_bytes"]) == (
        tcp,
        veth.far.ip4,
        "SF",
        3,
        100_000,
    )
    assert one["history"].startswith("ShA") and one["missed_bytes"] == 0
    assert (one["orig_l2_addr"], one["resp_l2_addr"]) == (veth.near.mac, veth.far.mac)
    assert one["local_orig"] and one["local_resp"]
    two = found["udp", 9999]
    assert [two[name] for name in ("id.orig_p", "conn_state", "orig_bytes", "resp_bytes", "history")] == [udp, "SF", 5, 4, "Dd"]
    assert found["tcp", 81]["conn_state"] == "REJ"
    echo = found["icmp", 129]
    assert (echo["id.orig_p"], echo["orig_pkts"], echo["resp_pkts"]) == (128, 2, 2)
    assert "flows " in rows.said


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_packets_come_beside_flows_while_they_are_asked_for(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    """`headwater detail set`: each change holds from the next packet on, and the flow goes on, but for what was rates alone."""
    near, frame = silent_veth.near, ethernet(ipv4(udp(1000, 2000)))
    with (
        watching(near, tmp_path, "conn", "--record", "packet", "--detail", "flows", "--hook", hook) as rows,
        FrameSender(silent_veth.far) as sender,
    ):
        for count, detail in enumerate(("flows", "packets", "rates", "flows"), 1):
            near.space.run(sys.executable, "-m", "headwater", "detail", "set", detail)
            sender.send([frame] * count)
            until(lambda: counted(tmp_path, "packets", "seen") == sender.sent)
        shown = near.space.run(sys.executable, "-m", "headwater", "detail", "show").stdout
    written = [json.loads(line) for line in (tmp_path / "packet.jsonl").read_text().splitlines()]
    assert shown == "flows\n"
    assert [(row["sport"], row["dport"]) for row in written] == [(1000, 2000)] * 2
    assert [row["orig_pkts"] for row in rows] == [1 + 2 + 4]
    fates = "3 counted_only + 7 in_flow" if hook == "tcx" else "7 as_row + 3 counted_only"
    assert f"packets  {near.interface} ({hook}): 10 seen = {fates}" in rows.said


@pytest.mark.parametrize("more", [(), ("--hook", "af_packet")], ids=["flows", "rows"])
def test_what_is_silent_ends_by_the_clock(veth: Veth, more: tuple[str, ...], tmp_path: Path) -> None:
    """No packet tells the time, and the run goes on: the row comes all the same."""
    settings = tmp_path / "headwater.toml"
    settings.write_text("[flows]\nudp_timeout_s = 1.0\n")
    folder = tmp_path / "rows"
    with watching(veth.near, folder, "conn", "-c", str(settings), *more) as rows:
        with veth.near.space.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(b"hello", (veth.far.ip4, 9999))
        written = folder / "conn.jsonl"
        until(lambda: '"id.resp_p":9999' in written.read_text())
    assert [row["conn_state"] for row in rows if row["id.resp_p"] == 9999] == ["S0"]
