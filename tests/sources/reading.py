"""A capture read to its end; the decoder alone, fed piece by piece; and what tshark says."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from headwater._native import ffi, lib

from headwater.errors import SourceError
from headwater.records import PACKET
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger, imbalances

UNDISSECTED = (
    "eth ip ipv6 raw null sll ppp pppoes chdlc fr fddi nflog pflog ppi radiotap prism wlan".split()
)  # only time and lengths are wanted
KNOWN = {  # wiretap's numbers for the link types that are read
    *"1 7 129 130".split(),  # Ethernet, raw IP, IPv4, IPv6
    *"15 174 25 210".split(),  # BSD loopback (NULL, LOOP), Linux cooked (1 and 2)
    *"20 21 23 24 97".split(),  # 802.11: alone, behind Prism, radiotap, AVS, per-packet information
    *"4 19 139 28 26".split(),  # PPP, with its direction, over Ethernet; Cisco HDLC, frame relay
    *"6 10 39 141".split(),  # FDDI, RFC 1483, pflog, NFLOG
}


@dataclass
class Read:
    """The rows of a capture, its interfaces' names, the error that ended it if there was one, and the ledger."""

    rows: np.ndarray[Any, np.dtype[Any]]
    interfaces: dict[int, str]
    error: str | None
    counts: dict[str, int]
    lost_before: int = 0
    sizes: list[int] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        return sum(count for term, count in self.counts.items() if "_" in term and term != "as_row")

    def times_and_lengths(self) -> list[tuple[int, int, int]]:
        return list(zip(*(self.rows[name].tolist() for name in ("ts", "length", "captured")), strict=True))


def read_capture(path: Path | str, batch_rows: int = 65536) -> Read:
    """All of a capture. The ledger must add up, and an error must be one line that names the capture."""
    ledger = Ledger()
    capture = Capture(str(path), ledger, batch_rows)
    batches, names, error = [], {}, None
    try:
        with capture:
            for batch in capture.read():
                batches.append(batch.rows)
                names.update(batch.interfaces)
    except SourceError as raised:
        error = str(raised)
        assert "\n" not in error
        assert capture.name in error
    capture.account()
    totals = ledger.totals()
    assert not list(imbalances(totals))
    rows = np.concatenate(batches, dtype=PACKET.dtype) if batches else np.empty(0, PACKET.dtype)
    counts = {f"{entry.place}_{entry.reason}" if entry.place else entry.term: count for entry, count in totals.items()}
    assert counts.get("as_row", 0) == len(rows)
    return Read(rows, names, error, counts, capture.lost_before, [len(batch) for batch in batches])


def decode(data: bytes, piece: int, capacity: int = 1024) -> tuple[np.ndarray[Any, np.dtype[Any]], str]:
    """The rows of `data`, handed to the decoder `piece` octets at a time, and its problem, if any."""
    decoder = ffi.gc(lib.hw_capture_new(), lib.hw_capture_free)
    made, consumed = ffi.new("size_t *"), ffi.new("size_t *")
    rows, out, left = np.zeros(capacity, PACKET.dtype), [], b""
    for start in range(0, len(data), piece):
        left += data[start : start + piece]
        status = lib.HW_CAPTURE_full
        while status == lib.HW_CAPTURE_full:
            exact = ffi.new("char[]", len(left) or 1)
            ffi.memmove(exact, left, len(left))
            into = ffi.cast("void *", rows.ctypes.data)
            status = lib.hw_capture_decode(decoder, exact, len(left), into, rows.itemsize, capacity, made, consumed)
            out.append(rows[: made[0]].copy())
            left = left[consumed[0] :]
    lib.hw_capture_finish(decoder, left, len(left))
    return np.concatenate(out, dtype=PACKET.dtype), ffi.string(lib.hw_capture_problem(decoder)).decode()


def read_bytes(folder: Path, data: bytes, name: str = "made.pcap") -> Read:
    """Octets as a capture file, read."""
    (folder / name).write_bytes(data)
    return read_capture(folder / name)


def tshark(capture: Path) -> tuple[list[tuple[int, int, int]], int]:
    """(UTC nanoseconds, 0 if the file has none; octets on the wire; octets there) of each Ethernet or IP packet; and how many others."""
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len"]
    command += ["-e", "frame.encap_type"]
    for protocol in UNDISSECTED:
        command += ["--disable-protocol", protocol]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    frames, others = [], 0
    for line in lines:
        time, length, captured, encapsulation = line.split("\t")
        seconds, _, fraction = time.partition(".")
        if encapsulation in KNOWN:
            frames.append((int(seconds) * 10**9 + int(fraction) if time else 0, int(length), int(captured)))
        elif encapsulation:  # custom blocks of pcapng, which tshark counts as frames, have none
            others += 1
    return frames, others
