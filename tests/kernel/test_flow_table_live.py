"""Flows that the kernel keeps, live: two CPUs at one flow, floods."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headwater._native import ffi, lib
from kernel_flows import SMALL, Table, build
from places import ROOT

from headwater.analysis.flows import FlowSettings
from headwater.kernel import libbpf
from headwater.records import CONN, btf
from headwater.records.layouts import OBJECTS, dtype

pytestmark = pytest.mark.kernel


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
