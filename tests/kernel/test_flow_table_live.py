"""Flows that the kernel keeps, live: real conversations against tcpdump's file, two CPUs at one flow, floods."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headwater._native import ffi, lib
from kernel_flows import SMALL, Table, build, rows_of, rows_through_native
from netns import End, Veth
from places import ROOT
from watched import watching

from headwater.analysis.flows import FlowSettings
from headwater.kernel import libbpf
from headwater.records import CONN, Batch, btf
from headwater.records.layouts import OBJECTS, dtype

pytestmark = pytest.mark.kernel

NEAR_NS = 50_000  # by which tcpdump's clock, read at another place, may differ,
STALLED_NS = 20_000_000  # also where this machine had no CPU between the two
OF_TIME = {"ts", "uid", "duration", "syn_ack_time", "ack_time", "orig_rtt", "resp_rtt", "orig_first_data", "resp_first_data"}


@contextmanager
def tcpdump(end: End, into: Path) -> Iterator[None]:
    """All that end sees."""
    words = ["tcpdump", "-i", end.interface, "-w", str(into), "-U", "--immediate-mode", "--time-stamp-precision=nano", "-s", "0"]
    with end.space.start(*words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "listening on" not in process.stderr.readline():
            pass
        yield
        time.sleep(0.3)
        process.terminate()
        assert "0 packets dropped by kernel" in process.communicate(timeout=10)[1]


def serve(end: End, ready: threading.Event) -> None:
    """Four ports: one that answers at length, one that resets, one that half-closes, one that is slow to say anything."""

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"x" * 300_000)

    def reset(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def half_close(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass

    def wait(connection: socket.socket) -> None:
        time.sleep(0.3)
        connection.sendall(b"late")

    def one(listener: socket.socket, does: Callable[[socket.socket], None]) -> None:
        connection, _ = listener.accept()
        with connection:
            does(connection)

    with end.space.inside():
        listeners = [socket.create_server((end.ip4, port)) for port in (8001, 8002, 8003, 8004)]
        ready.set()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, listeners, (answer, reset, half_close, wait)))
        for listener in listeners:
            listener.close()


def ask(near: End, far: End) -> None:
    with near.space.inside():
        for port in (8001, 8002, 8003, 8004):
            with socket.create_connection((far.ip4, port), timeout=10) as connection:
                connection.sendall(b"GET / please")
                try:
                    while connection.recv(65536):
                        pass
                except ConnectionResetError:
                    continue
                connection.sendall(b"bye")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((far.ip4, 81))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:  # in pieces, and refused
            datagrams.sendto(b"?" * 4000, (far.ip4, 7777))


def test_rows_are_those_of_tcpdumps_file(veth: Veth, tmp_path: Path) -> None:
    for end, other in ((veth.near, veth.far), (veth.far, veth.near)):
        end.space.ip(f"neighbor replace {other.ip4} lladdr {other.mac} dev {end.interface}")
    ready, capture = threading.Event(), tmp_path / "by-tcpdump.pcap"
    server = threading.Thread(target=serve, args=(veth.far, ready))
    with watching(veth.near, tmp_path / "rows", "conn", "--detail", "flows", "--format", "jsonl") as live, tcpdump(veth.near, capture):
        server.start()
        assert ready.wait(10)
        ask(veth.near, veth.far)
        server.join(10)
    given = rows_of(capture)
    assert given is not None
    native = rows_through_native(given, FlowSettings(bytes(16)))["conn"]
    expected = {key(row): row for row in ipv4(Batch(CONN, native, {0: veth.near.interface}).to_arrow().to_pylist())}
    rows = ipv4(live)
    found = {key(row): row for row in rows}
    assert len(found) == len(rows) == len(expected) >= 6
    apart = []
    for which, row in expected.items():
        mine = found[which]
        for name in row.keys() - OF_TIME - {"interface", "local_orig", "local_resp", "end_reason", "ended_by"}:
            assert mine.get(name) == row[name], (which, name)
        for name in ("duration", "syn_ack_time", "ack_time", "orig_first_data", "resp_first_data"):
            apart.append(abs(seconds(mine.get(name)) - seconds(row[name])) * 1e9)
    assert sorted(apart)[len(apart) * 3 // 4] < NEAR_NS
    assert max(apart) < STALLED_NS
    (errors,) = (row["uid"] for row in rows if row["proto"] == "icmp")
    assert [(row["end_reason"], row["ended_by"]) for row in rows if row["id.resp_p"] == 7777] == [("icmp_error", errors)]
    assert "adds up exactly" in live.said


def ipv4(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what hosts say of themselves on IPv6 whenever they like (RFC 4861, RFC 3810), before or after tcpdump listens."""
    return [row for row in rows if "." in str(row["id.orig_h"])]


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"))


def seconds(value: Any) -> float:
    return value.total_seconds() if hasattr(value, "total_seconds") else float(value or 0) / (1e9 if isinstance(value, int) else 1)


def datagram(src: int, sport: int, dst: int, dport: int) -> bytes:
    """A frame of 60 octets, UDP in IPv4; addresses as numbers."""
    ip = b"\x45\0\0\x2e\0\0\0\0\x40\x11\0\0" + src.to_bytes(4) + dst.to_bytes(4)
    return bytes(12) + b"\x08\0" + ip + sport.to_bytes(2) + dport.to_bytes(2) + b"\0\x1a\0\0" + bytes(18)


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "OBJECTS", build(ROOT / "bpf", tmp_path / "objects"))


@pytest.mark.usefixtures("objects")
def test_two_cpus_at_one_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """Both directions at once, ten million packets."""
    each = 5_000_000
    with Table(FlowSettings(bytes(16)), ring_bytes=32 << 20) as table:
        table.control.utc_offset[0] = table.now = 10**18

        def say(cpu: int) -> None:
            os.sched_setaffinity(0, {cpu})
            ends = (0x0A000001, 1000, 0x0A000002, 2000)
            frame = datagram(*(ends if cpu else ends[2:] + ends[:2]))
            options, into = ffi.new("struct bpf_test_run_opts *"), ffi.from_buffer(frame)
            out = ffi.new("char[128]")
            options.sz, options.data_in, options.data_size_in, options.repeat = (
                ffi.sizeof("struct bpf_test_run_opts"),
                into,
                len(frame),
                each,
            )
            options.data_out, options.data_size_out = out, 128
            assert not lib.bpf_prog_test_run_opts(table.program, options)

        threads = [threading.Thread(target=say, args=(cpu,)) for cpu in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (conn,) = (row for batch in table.end() if batch.record is CONN for row in batch.copy().rows)
        totals = table.kernel.totals()
    assert totals["refused"] == 0
    assert totals["packets"] == conn["orig_pkts"] + conn["resp_pkts"] == 2 * each
    assert totals["contended"] == 0
    assert totals["postponed"] < each / 1000  # none, but where this machine's own CPUs were taken from it for a while


@pytest.mark.usefixtures("objects")
def test_a_packet_that_another_cpu_is_in_the_way_of_comes_back() -> None:
    """The lock is taken for it, as by somebody who was put aside."""
    frame = datagram(0x0A000001, 1000, 0x0A000002, 2000)
    with Table(FlowSettings(bytes(16)), octets=1 << 20) as table:
        table.put(10**18, frame)
        set_locks(table, 1)
        for at in range(1, 6):
            table.put(10**18 + at, frame)
        held = table.kernel.totals()
        set_locks(table, 0)
        conns = [batch.copy().rows for batch in table.end() if batch.record is CONN]
        totals = table.kernel.totals()
    assert (held["packets"], held["postponed"]) == (1, 5)
    assert (totals["packets"], totals["postponed"], totals["contended"]) == (6, 5, 0)
    assert [row["orig_pkts"] for rows in conns for row in rows] == [6]


def set_locks(table: Table, value: int) -> None:
    """Of all entries that are taken."""
    entries = table.map("hw_flow_entries")
    entry = np.zeros(1, dtype(btf.read(OBJECTS / "tap.bpf.o").structs["hw_flow_entry"]))
    for place in range(table.kernel.room):
        libbpf.get(entries, place, entry)
        if entry["tag"][0]:
            entry["lock"] = value
            libbpf.put(entries, place, entry.tobytes())


@pytest.mark.usefixtures("objects")
def test_a_flood_pushes_out_nobody_who_is_answered() -> None:
    """A hundred conversations before, within and after 300,000 datagrams of as many senders, in a table for 10,000 flows."""
    with Table(FlowSettings(bytes(16)), octets=10_000 * SMALL) as table:
        conns: list[np.ndarray[Any, np.dtype[Any]]] = []
        count, real = 300_000, 100
        for at in range(count):
            table.put(10**18 + at * 10_000, datagram(0x0B000000 + at, 53_000, 0x0A000002, 9))
            if at % (count // 10) == 0:
                for which in range(real):
                    ends = (0x0A010000 + which, 1000, 0x0A000002, 2000)
                    table.put(10**18 + at * 10_000, datagram(*ends))
                    table.put(10**18 + at * 10_000, datagram(*ends[2:], *ends[:2]))
            if at % 500 == 0:
                conns += [batch.copy().rows for batch in table.told() if batch.record is CONN]
        conns += [batch.copy().rows for batch in table.end() if batch.record is CONN]
        totals, rows = table.kernel.totals(), np.concatenate(conns, dtype=CONN.dtype)
        assert totals["unheard"] == totals["refused"] == totals["contended"] == 0
        assert totals["packets"] == count + 2 * 10 * real
        assert totals["begun"] == totals["ended"] == len(rows) == count + real
        assert count - table.kernel.room < totals["evicted"] <= count
        answered = rows[rows["resp_pkts"] > 0]
        assert len(answered) == real
        assert set(answered["orig_pkts"]) == set(answered["resp_pkts"]) == {10}
