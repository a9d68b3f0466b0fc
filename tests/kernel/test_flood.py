"""A flood of SYNs from a million addresses, and a hundred real connections beside it, all through the kernel's table of flows."""

import json
import re
import socket
import struct
import threading
from collections import Counter
from pathlib import Path

import pytest
from netns import End, FrameSender, Veth
from waiting import MOST_S
from watched import watching

pytestmark = pytest.mark.kernel

FLOOD, REAL, PORT = 1_000_000, 100, 8080
MIB = 16  # room for some 17,000 flows
NOBODY = "10.9.0.77"


def serve(end: End, ready: threading.Event) -> None:
    """Take connections, and answer all of each, when it is whole, with twice as many octets."""
    with end.space.inside(), socket.create_server((end.ip4, PORT), backlog=REAL) as listener:
        ready.set()
        taken = [listener.accept()[0] for _ in range(REAL)]
        for connection in taken:
            octets = 0
            while more := connection.recv(65536):
                octets += len(more)
            connection.sendall(b"y" * (2 * octets))
            connection.close()


def flood(veth: Veth) -> int:
    """SYNs to an address that nobody has, each from another one. How many were sent."""
    head = bytes.fromhex(veth.near.mac.replace(":", "")) + bytes.fromhex(veth.far.mac.replace(":", "")) + b"\x08\x00"
    head += struct.pack(">BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0)
    tail = socket.inet_aton(NOBODY) + struct.pack(">HHIIBBHHH", 1234, 80, 1, 0, 0x50, 2, 1024, 0, 0)
    with FrameSender(veth.far) as sender:
        sender.send(head + struct.pack(">I", 0x0B000000 + number) + tail for number in range(FLOOD))
        return sender.sent


def test_real_connections_are_whole(veth: Veth, tmp_path: Path) -> None:
    settings = tmp_path / "headwater.toml"
    settings.write_text(f'flow_filter = "tcp.dstport == {PORT}"\n[flows]\nmemory_mib = {MIB}\n')
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(veth.far, ready))
    server.start()
    assert ready.wait(MOST_S)
    with watching(veth.near, tmp_path / "rows", "conn", "-f", "tcp", "-c", str(settings)) as rows:
        with veth.near.space.inside():
            asking = [socket.create_connection((veth.far.ip4, PORT)) for _ in range(REAL)]
        for number, one in enumerate(asking):
            one.sendall(b"x" * (number + 1))
        sent = flood(veth)
        for one in asking:
            one.sendall(b"x" * 1000)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass
            one.close()
        server.join()
    assert sorted((row["orig_bytes"], row["resp_bytes"]) for row in rows) == [(1001 + one, 2 * (1001 + one)) for one in range(REAL)]
    assert {row["conn_state"] for row in rows} == {"SF"}
    assert {(row["missed_bytes"], row["history"][:3]) for row in rows} == {(0, "ShA")}
    counts: Counter[str] = Counter()
    for line in (tmp_path / "rows/ledger.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if (entry["ledger"], entry["subject"]) == ("flows", "kernel"):
            counts[entry["term"]] += entry["count"]
    assert counts["begun"] == counts["ended"] == sent + REAL
    assert counts["unasked"] == sent
    evicted = re.search("evicted for want of room, before they were over: ([0-9,]+)", rows.said)
    assert evicted
    assert counts["evicted"] == int(evicted[1].replace(",", "")) > sent // 2
