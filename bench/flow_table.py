"""What a packet costs where many flows go on at a time, and what they take: `python -m bench.flow_table FLOWS` measures one table."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import ROOT, Figure, ethernet, median, tcp
from bench.mix import BEGIN_S, HEADER
from headwater.analysis.flows import TIMEOUTS_S, Flows, FlowSettings
from headwater.records import PACKET, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

ROUNDS = 5
FLOWS = (1_000, 10_000, 100_000, 1_000_000, 4_000_000)
MILLION = FLOWS.index(1_000_000)
PACKETS = 4_000_000
BATCH = 1 << 16  # packets, as from a capture
PAYLOAD = 100
MOST_OCTETS, MOST_TIMES = 800_000_000, 2.0
SYN, ACK = 2, 16


def _row() -> Any:
    """What the parser makes of a TCP packet."""
    frame = ethernet(tcp("10.0.0.1", "192.168.0.1", 1, 443, ACK, payload=bytes(PAYLOAD)), 0x0800)
    with tempfile.NamedTemporaryFile() as file:
        file.write(HEADER + struct.pack("<IIII", BEGIN_S, 0, len(frame), len(frame)) + frame)
        file.flush()
        with Capture(file.name, Ledger()) as capture:
            (batch,) = capture.read()
    return batch.copy().rows


class Traffic:
    """TCP between `count` pairs of hosts that never ends: each packet is of any flow and side, all equally likely, and acknowledges what
    the other has sent.
    """

    def __init__(self, count: int) -> None:
        self._chance = np.random.default_rng(1)
        self._sent = np.ones((count, 2), np.uint32)  # the next number of each side
        self._rows = np.repeat(_row(), BATCH)
        self._now = int(self._rows["ts"][0])
        self._count = count

    def handshakes(self) -> Iterator[Batch]:
        """Batches of three packets of each flow."""
        for begin in range(0, self._count, BATCH):
            flows = np.arange(begin, min(begin + BATCH, self._count))
            for side, flags, seq, ack in ((0, SYN, 0, 0), (1, SYN | ACK, 0, 1), (0, ACK, 1, 1)):
                yield self._batch(flows, np.full(len(flows), side), flags, seq, ack, 0)

    def packets(self) -> Batch:
        """A batch of packets with payload, by chance."""
        ends = self._chance.integers(0, 2 * self._count, BATCH)  # a flow and its side
        order = np.argsort(ends, kind="stable")
        first = np.flatnonzero(np.diff(ends[order], prepend=-1))
        before = np.empty(BATCH, np.uint32)  # packets of the same side, earlier in this batch
        before[order] = np.arange(BATCH) - np.repeat(first, np.diff(first, append=BATCH))
        flows, sides = ends >> 1, ends & 1
        seq = self._sent[flows, sides] + before * np.uint32(PAYLOAD)
        made = self._batch(flows, sides, ACK, seq, self._sent[flows, 1 - sides], PAYLOAD)
        np.add.at(self._sent, (flows, sides), np.uint32(PAYLOAD))
        return made

    def _batch(self, flows: Any, sides: Any, flags: int, seq: Any, ack: Any, payload: int) -> Batch:
        rows = self._rows[: len(flows)]
        ends = np.zeros((2, len(flows), 16), np.uint8)
        ends[:, :, 10:12] = 0xFF
        ends[0, :, 12:] = (0x0A000000 + flows).astype(">u4").view(np.uint8).reshape(-1, 4)
        ends[1, :, 12:] = (0xC0A80000 + flows % 60_000).astype(">u4").view(np.uint8).reshape(-1, 4)
        addresses = ends.view("V16")[:, :, 0]
        ports = np.stack([1024 + flows % 60_000, np.full(len(flows), 443)])
        each = np.arange(len(flows))
        rows["src"], rows["dst"] = addresses[sides, each], addresses[1 - sides, each]
        rows["sport"], rows["dport"] = ports[sides, each], ports[1 - sides, each]
        rows["tcp_flags"], rows["seq"], rows["ack"], rows["payload_length"] = flags, seq, ack, payload
        rows["ip_length"], rows["ts"] = 40 + payload, self._now + each * 1000
        self._now += BATCH * 1000
        return Batch(PACKET, rows, {0: "made"})


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def one(count: int) -> dict[str, float]:
    """A table of so many flows: nanoseconds a packet, and octets of memory by the system and by the table's own account."""
    calm = dict.fromkeys(TIMEOUTS_S, 1e8)
    for warm in (1000, count):  # the first one for what is paid once
        traffic = Traffic(warm)
        before = _resident()
        into = Flows("made", FlowSettings(bytes(16), most=warm, timeouts_s=calm))
        for batch in traffic.handshakes():
            list(into.find(batch))
        seconds = 0.0
        for _ in range(PACKETS // BATCH):
            batch = traffic.packets()
            begin = time.perf_counter()
            list(into.find(batch))
            seconds += time.perf_counter() - begin
    counts = into.counts()
    wanted = 3 * count + PACKETS // BATCH * BATCH
    if (counts.flows, counts.in_flow, counts.ended, counts.letters_lost) != (count, wanted, 0, 0):
        raise SystemExit("bench: the flows are not those that were made")
    return {"ns": seconds / (PACKETS // BATCH * BATCH) * 1e9, "resident": _resident() - before, "octets": counts.octets}


def measure() -> Figure:
    found: dict[int, list[dict[str, float]]] = {count: [] for count in FLOWS}
    for _ in range(ROUNDS):
        for count in FLOWS:
            done = subprocess.run([sys.executable, "-m", "bench.flow_table", str(count)], cwd=ROOT, stdout=subprocess.PIPE, check=True)
            found[count].append(json.loads(done.stdout))
    middle = {count: {what: median([one[what] for one in each]) for what in each[0]} for count, each in found.items()}
    million, four = middle[FLOWS[MILLION]], middle[FLOWS[-1]]
    times = four["ns"] / million["ns"]
    return Figure(
        title="Many flows at a time",
        target="a million flows in 800 MB beside the interpreter; a packet costs at most 2 times as much with 4 M flows as with 1 M",
        met=million["resident"] <= MOST_OCTETS and times <= MOST_TIMES,
        ours=f"{million['resident'] / 1e6:.0f} MB; {million['ns']:.0f} ns a packet, {times:.2f} times that with 4 M flows",
        peers="-",
        columns=("flows", "ns a packet (median)", "ns a packet (best)", "resident memory", "octets a flow", "by its own account"),
        rows=[
            (
                f"{count:,}",
                f"{one['ns']:.0f}",
                f"{min(run['ns'] for run in found[count]):.0f}",
                f"{one['resident'] / 1e6:.0f} MB",
                f"{one['resident'] / count:.0f}",
                f"{one['octets'] / count:.0f}",
            )
            for count, one in middle.items()
        ],
        told=f"""\
TCP flows that never end: after their handshakes, {PACKETS:,} packets with {PAYLOAD} octets of payload, each of any flow and
side, all equally likely, so that hardly a packet finds its flow in a cache. Rows of packets are made outside of what is measured,
{BATCH:,} at a time, and given to `headwater.analysis.flows.Flows`: what is told is what a packet costs behind the parser, on one
core. Memory is what the process has more than before; each line is a process of its own, {ROUNDS} rounds in turn.""",
    )


if __name__ == "__main__":
    print(json.dumps(one(int(sys.argv[1]))))
