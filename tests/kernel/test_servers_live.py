"""What servers do in each second, live: connections that the kernel makes, that it refuses, and that nobody answers."""

import json
import socket
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from netns import End, Veth
from waiting import MOST_S, until
from watched import watching, written

pytestmark = pytest.mark.kernel

ANSWERED, REFUSED = 5, 3
SUMS = ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "orig_retransmits", "resp_retransmits")


def serve(end: End, ready: threading.Event) -> None:
    """Take connections, and answer each with 10,000 octets."""
    with end.space.inside(), socket.create_server((end.ip4, 8080)) as listener:
        ready.set()
        for _ in range(ANSWERED):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"x" * 10_000)


def talk(near: End, far: End, nobody: str, folder: Path) -> None:
    """Ask who answers, who refuses, and an address that nobody has, until that was told twice."""
    with near.space.inside():
        for _ in range(ANSWERED):
            with socket.create_connection((far.ip4, 8080)) as connection:
                while connection.recv(65536):
                    pass
        for _ in range(REFUSED):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((far.ip4, 81))
        with socket.socket() as silent:
            silent.setblocking(False)
            silent.connect_ex((nobody, 9))
            until(lambda: [row["half_open"] for row in of_server(written(folder, "server"), nobody, 9)].count(1) >= 2)


def of_server(rows: list[dict[str, Any]], address: str, port: int) -> list[dict[str, Any]]:
    return [row for row in rows if (row.get("addr"), row.get("port")) == (address, port)]


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_connections_of_each_second(veth: Veth, hook: str, tmp_path: Path) -> None:
    near, far = veth.near, veth.far
    nobody = f"{far.ip4.rpartition('.')[0]}.99"
    near.space.ip(f"neighbor replace {nobody} lladdr {far.mac} dev {near.interface}")
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(far, ready))
    with watching(near, tmp_path, "server", "--record", "conn", "--hook", hook) as rows:
        server.start()
        assert ready.wait(MOST_S)
        talk(near, far, nobody, tmp_path)
        server.join()
    of = {key: of_server(rows, *key) for key in ((far.ip4, 8080), (far.ip4, 81), (nobody, 9))}
    sums = {
        key: {name: sum(row[name] for row in told) for name in (*SUMS, "begun", "established", "failed", "refused")}
        for key, told in of.items()
    }
    counts = {key: tuple(one[name] for name in ("begun", "established", "failed", "refused")) for key, one in sums.items()}
    assert counts == {(far.ip4, 8080): (ANSWERED, ANSWERED, 0, 0), (far.ip4, 81): (REFUSED, 0, REFUSED, REFUSED), (nobody, 9): (1, 0, 0, 0)}
    times = [row["handshake_max"] for row in of[far.ip4, 8080] if "handshake_max" in row]
    assert times and 0 < max(times) < 1
    assert len({row["ts"] for row in of[nobody, 9]}) == len(of[nobody, 9]), "and once"
    for key, one in sums.items():
        expected: Counter[str] = Counter()
        for conn in map(json.loads, (tmp_path / "conn.jsonl").read_text().splitlines()):
            if (conn["id.resp_h"], conn["id.resp_p"]) == key:
                expected.update({name: conn[name] for name in SUMS})
        assert {name: one[name] for name in SUMS} == {name: expected[name] for name in SUMS}
