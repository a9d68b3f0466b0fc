"""Rows to write: packets with every mixture of layers, rates, and ledgers with any text."""

from collections.abc import Sequence

import numpy as np

from headwater.records import ENUMS, LEDGER, PACKET, RATE, Batch
from headwater.records.layouts import HAS

START = 1_750_000_000_000_000_000
INTERFACES = {1: "lo", 2: "eth0", 3: 'we"ird,\\ =if\n'}


def packets(count: int, seed: int = 1, start: int = START) -> Batch:
    """Random octets in every column, with times that rise and whatever layers."""
    random = np.random.default_rng(seed)
    rows = np.frombuffer(random.bytes(count * PACKET.dtype.itemsize), PACKET.dtype).copy()
    rows["ts"] = start + np.cumsum(random.integers(1, 3_000_000, count)).astype(np.uint64)
    rows["has"] &= np.uint32(sum(HAS.values()))
    rows["interface"] = random.integers(1, 6, count)  # some without a name
    for column in PACKET.columns:
        if column.names:
            rows[column.name] = random.choice(list(ENUMS[column.ctype.removeprefix("enum ")]), count)
    mapped = random.random(count) < 0.5
    for name in ("src", "dst"):
        octets = (
            rows[name].view(np.uint8).reshape(-1, 16)
            if rows[name].flags.c_contiguous
            else np.array(rows[name]).view(np.uint8).reshape(-1, 16)
        )
        octets[mapped, :10] = 0
        octets[mapped, 10:12] = 255
        rows[name] = octets.copy().view("V16")[:, 0]
    return Batch(PACKET, rows, INTERFACES)


def rates(count: int, seconds: int = 3, seed: int = 1) -> Batch:
    random = np.random.default_rng(seed)
    rows = np.zeros(count, RATE.dtype)
    rows["ts"] = START + random.integers(0, seconds, count).astype(np.uint64) * np.uint64(10**9)
    rows["packets"] = random.integers(0, 2**40, count)
    rows["bytes"] = random.integers(0, 2**50, count)
    rows["has"] = random.integers(0, 2**19, count)
    rows["proto"] = random.choice([1, 6, 17, 58, 99], count)
    rows["ethertype"] = random.choice([0x806, 0x88CC], count)
    rows["direction"] = random.integers(0, 3, count)
    rows["interface"] = 2
    return Batch(RATE, rows, INTERFACES)


def ledger(texts: Sequence[str]) -> Batch:
    """A row a text, which stands in three columns."""
    rows = np.array(
        [(START + i, 1.0 + i / 4, "records", text, text, "", text, 2**64 - 1 - i) for i, text in enumerate(texts)],
        dtype=LEDGER.dtype,
    )
    return Batch(LEDGER, rows)
