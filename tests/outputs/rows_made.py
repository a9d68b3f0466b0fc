"""Rows to write: packets with every mixture of layers, rates, and ledgers with any text."""

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.records import CONN, ENUMS, LEDGER, PACKET, RATE, SERVER, Batch
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


def servers(count: int, seconds: int = 3, seed: int = 1) -> Batch:
    """Random numbers in every column; every fourth row is that of the servers that found no room."""
    random = np.random.default_rng(seed)
    rows = np.frombuffer(random.bytes(count * SERVER.dtype.itemsize), SERVER.dtype).copy()
    rows["ts"] = START + random.integers(0, seconds, count).astype(np.uint64) * np.uint64(10**9)
    for name in ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"):
        rows[name] = random.integers(0, 2**50, count)
    for name in ("handshake_min", "handshake_mean", "handshake_max"):
        rows[name] = random.integers(0, 10**4, count) * 10**6
    rows["has"] = np.where(np.arange(count) % 4, random.integers(0, 2**3, count) | 1, 0)
    return Batch(SERVER, rows)


def ledger(texts: Sequence[str]) -> Batch:
    """A row a text, which stands in three columns."""
    rows = np.array(
        [(START + i, 1.0 + i / 4, "records", text, text, "", text, 2**64 - 1 - i) for i, text in enumerate(texts)],
        dtype=LEDGER.dtype,
    )
    return Batch(LEDGER, rows)


BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CONN_HAS = {name: bit for bit, name in ENUMS["hw_conn_has"].items()}
TCP = {
    "ts": 1750000000.25,
    "uid": "CHhAvVGS1DHFjwGM9",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 40000,
    "id.resp_h": "2001:db8::7",
    "id.resp_p": 443,
    "proto": "tcp",
    "duration": 2.5,
    "orig_bytes": 5000,
    "resp_bytes": 2**40,
    "conn_state": "SF",
    "local_orig": True,
    "local_resp": False,
    "missed_bytes": 0,
    "history": "ShADadFf",
    "orig_pkts": 12,
    "orig_ip_bytes": 6000,
    "resp_pkts": 9,
    "resp_ip_bytes": 2**40 + 360,
    "tunnel_parents": ["C4J4Th3PJpwUYZZ6g"],
    "ip_proto": 6,
    "community_id": "1:" + "A" * 27 + "=",
    "vlan": 7,
    "inner_vlan": 4095,
    "orig_l2_addr": "02:00:00:00:00:01",
    "resp_l2_addr": "02:00:00:00:00:02",
}
"""A line of a conn.log in which everything is set but what the record has no place for."""


def uid_number(uid: str) -> int:
    """What stands behind the C, as far as 96 bits hold it."""
    number = 0
    for letter in uid[1:]:
        number = number * 62 + BASE62.index(letter)
    return number % 2**96


def uid_text(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number, 62)
        letters = BASE62[rest] + letters
    return "C" + letters


def conns(logged: Sequence[Mapping[str, Any]]) -> Batch:
    """Rows of the record conn, from what stands in lines of a conn.log in JSON."""
    rows = np.zeros(len(logged), CONN.dtype)
    groups = {"duration": "lasting", "history": "history", "local_orig": "local", "vlan": "vlan", "inner_vlan": "inner_vlan"}
    groups |= {"orig_l2_addr": "orig_l2", "resp_l2_addr": "resp_l2"}
    for row, line in zip(rows, logged, strict=True):
        row["interface"] = 2
        row["has"] = sum(CONN_HAS[bit] for name, bit in groups.items() if name in line)
        for column in CONN.columns:
            if (value := line.get(column.name)) is None:
                continue
            match column.kind.value:
                case "time" | "interval":
                    value = round(value * 1e6) * 1000
                case "address":
                    address = ipaddress.ip_address(value)
                    value = np.void(bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed)
                case "mac":
                    value = np.void(bytes.fromhex(value.replace(":", "")))
                case "name":
                    value = {text: number for number, text in (column.names or {}).items()}[value]
                case "uid":
                    value = np.void(uid_number(value).to_bytes(12, "little"))
                case "uids":
                    value = np.void(b"".join(uid_number(uid).to_bytes(12, "little") for uid in value).ljust(48, b"\0"))
                case "community id":
                    value = np.void(base64.b64decode(value.removeprefix("1:")))
                case "letters":
                    value = np.void(value.encode().ljust(40, b"\0"))
            row[column.name] = value
    return Batch(CONN, rows, INTERFACES)
