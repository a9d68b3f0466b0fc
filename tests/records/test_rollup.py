"""The roll-up against sums that numpy makes of the same rows."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from headwater.records import PACKET, Batch
from headwater.records.layouts import HAS
from headwater.records.rollup import Rollup

IP = HAS["l2"] | HAS["ethertype"] | HAS["addr"] | HAS["ip"] | HAS["ipv4"]


def rows(count: int, addresses: int = 50, seed: int = 1) -> np.ndarray[Any, np.dtype[Any]]:
    rng = np.random.default_rng(seed)
    made = np.zeros(count, dtype=PACKET.dtype)
    made["has"] = rng.choice([IP | HAS["ports"] | HAS["tcp"], IP | HAS["ports"], IP, HAS["l2"] | HAS["ethertype"], 0], count)
    made["proto"] = np.where(made["has"] & HAS["tcp"] != 0, 6, 17)
    made["ethertype"] = rng.choice([0x0806, 0x88CC], count)
    made["sport"], made["dport"] = rng.integers(30000, 60000, count), rng.choice([53, 80, 443], count)
    made["tcp_flags"] = rng.choice([2, 18, 16], count)
    made["interface"], made["direction"] = rng.integers(1, 4, count), rng.integers(0, 3, count)
    made["length"], made["segments"] = rng.integers(60, 1514, count), rng.integers(1, 5, count)
    source = np.zeros((count, 16), dtype=np.uint8)
    source[:, 10:12], source[:, 12], source[:, 14:16] = 255, 10, rng.integers(0, addresses, count).astype(">u2").view("u1").reshape(-1, 2)
    made["src"] = source.view("V16")[:, 0]
    return made


def service(row: Any) -> int:
    if row["has"] & HAS["tcp"] and row["tcp_flags"] & 2:  # a handshake tells who serves
        return int(row["sport"] if row["tcp_flags"] & 16 else row["dport"])
    return int(min(row["sport"], row["dport"]))


def test_sums_are_those_of_the_rows() -> None:
    made, rates, talkers = rows(5000), Counter[Any](), Counter[Any]()
    for row in made:
        what: tuple[Any, ...] = ("other",)
        if row["has"] & HAS["ip"]:
            what = ("ip", int(row["proto"]), service(row) if row["has"] & HAS["ports"] else None)
        elif row["has"] & HAS["ethertype"]:
            what = ("type", int(row["ethertype"]))
        key = (int(row["interface"]), int(row["direction"]), what)
        rates[key] += int(row["segments"])
        rates[(*key, "octets")] += int(row["length"])
        if row["has"] & HAS["addr"]:
            talkers[bytes(row["src"])] += int(row["segments"])
    rollup = Rollup()
    rollup.add(Batch(PACKET, made[:2000], {1: "a"})).add(Batch(PACKET, made[2000:], {1: "b"}))
    batch, found = rollup.take(17)
    assert batch.interfaces == {1: "b"}
    assert set(batch.rows["ts"].tolist()) == {17}
    assert dict(zip(found["addr"].tolist(), found["packets"].tolist(), strict=True)) == talkers
    told = Counter[Any]()
    for row in batch.rows:
        what = ("other",)
        if row["has"] & HAS["ip"]:
            what = ("ip", int(row["proto"]), int(row["port"]) if row["has"] & HAS["ports"] else None)
        elif row["has"] & HAS["ethertype"]:
            what = ("type", int(row["ethertype"]))
        key = (int(row["interface"]), int(row["direction"]), what)
        told[key] += int(row["packets"])
        told[(*key, "octets")] += int(row["bytes"])
    assert told == rates


def test_taking_begins_anew() -> None:
    rollup = Rollup()
    rollup.add(Batch(PACKET, rows(10)))
    first, _ = rollup.take(1)
    second, talkers = rollup.take(2)
    assert len(first) and not len(second) and not len(talkers)
    assert first.rows["packets"].sum() == rows(10)["segments"].sum()  # and what was handed out stays as it was


@pytest.mark.parametrize("groups", [1, 7, 100])
def test_what_finds_no_room_is_counted(groups: int) -> None:
    made = rows(3000, addresses=500)
    rollup = Rollup(groups)
    rates, talkers = rollup.add(Batch(PACKET, made)).take(1)
    assert rates.rows["packets"].sum() == made["segments"].sum()
    assert rates.rows["bytes"].sum() == made["length"].sum()
    assert len(rates) == groups + 1 and rates.rows["has"][-1] == 0
    assert len(talkers) == groups and bytes(16) not in talkers["addr"].tolist()


def test_rows_of_a_ring_have_a_longer_stride() -> None:
    made = rows(100)
    ring = np.zeros(100, dtype=np.dtype([("header", "u8"), ("row", PACKET.dtype)]))
    ring["row"] = made
    plain, _ = Rollup().add(Batch(PACKET, made)).take(1)
    strided, _ = Rollup().add(Batch(PACKET, ring["row"])).take(1)
    assert sorted(plain.rows.tolist()) == sorted(strided.rows.tolist())
