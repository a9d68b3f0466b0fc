"""The packets that filters are tried on: those of the corpora, on interfaces with names, and a sample of them of all kinds."""

import random
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from test_tshark import LINK_TYPES, merged

from headwater.records import PACKET
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

NAMES = ("lo", "eth7")  # each link type's packets are on these in turn; the kernel runs a program for a test on loopback
SNAP = 262144
KIND = [
    "interface",
    "has",
    "weird",
    "tunnel",
    "tunnel_depth",
    "proto",
    "icmp_type",
    "ip_options",
]  # packets that differ in one are of two kinds
OF_A_KIND = 6


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        yield kind, data[at : at + size]
        at += size


def _interface(link_type: int, name: str) -> bytes:
    body = (
        struct.pack("<HHI", link_type, 0, SNAP) + struct.pack("<HH", 2, len(name)) + name.encode().ljust(-len(name) % 4 + len(name), b"\0")
    )
    size = struct.pack("<I", len(body) + 16)
    return struct.pack("<I", 1) + size + body + bytes(4) + size


def corpora(into: Path, merge: Path) -> None:
    """All frames of the link types that the oracle knows."""
    together = into.with_suffix(".merged")
    merged(together, merge)
    kept, number = [], 0
    for kind, block in _blocks(together.read_bytes()):
        if kind == 1:
            continue
        if kind == 6:
            (interface,) = struct.unpack_from("<I", block, 8)
            block = block[:8] + struct.pack("<I", 2 * interface + number % 2) + block[12:]  # noqa: PLW2901 - the same packet
            number += 1
        kept.append(block)
        if kind == 0x0A0D0D0A:
            kept += [_interface(link_type, name) for link_type in LINK_TYPES for name in NAMES]
    together.unlink()
    into.write_bytes(b"".join(kept))


def select(capture: Path, chosen: Collection[int], into: Path) -> None:
    """The packets of those numbers, from 0 on."""
    number, kept = 0, []
    for kind, block in _blocks(capture.read_bytes()):
        if kind != 6 or number in chosen:
            kept.append(block)
        number += kind == 6
    into.write_bytes(b"".join(kept))


def sample(rows: np.ndarray[Any, np.dtype[Any]], most: int, chance: random.Random) -> set[int]:
    """Numbers of packets of every kind, and of others by chance."""
    order = list(range(len(rows)))
    chance.shuffle(order)
    kinds, taken = Counter[tuple[Any, ...]](), set()
    values = rows[KIND].tolist()
    for number in order:
        kinds[values[number]] += 1
        if kinds[values[number]] <= OF_A_KIND:
            taken.add(number)
    taken.update(number for number in order[: max(0, most - len(taken))])
    return taken


def read(capture: Path, **settings: Any) -> tuple[np.ndarray[Any, np.dtype[Any]], dict[int, str]]:
    """(rows, interfaces by number) of a capture."""
    with Capture(str(capture), Ledger(), **settings) as source:
        batches = list(source.read())
    rows = np.concatenate([np.empty(0, PACKET.dtype), *(batch.rows for batch in batches)], dtype=PACKET.dtype)
    return rows, dict(batches[-1].interfaces) if batches else {}
