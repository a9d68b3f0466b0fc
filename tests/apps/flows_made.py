"""Rows of flows made by hand, and as a table keeps them."""

from typing import Any

import numpy as np
from made import NOON, addr

from headwater.apps.flows.table import FlowTable, Kept
from headwater.records import CONN, CONN_LONG, ENUMS, Batch

CONN_HAS = {name: bit for bit, name in ENUMS["hw_conn_has"].items()}
STATE = {name: value for value, name in ENUMS["hw_conn_state"].items()}
TRANSPORT = {6: 1, 17: 2, 1: 3, 58: 3}
SECOND = 1_000_000_000
FACES = {1: "eth0"}


def needed(*columns: str) -> int:
    """The bits of `has` with which those columns are there."""
    bits = 0
    for column in columns:
        bits |= CONN.column(column).needs
    return bits


def conn(number: int, orig: str = "192.0.2.1", resp: str = "192.0.2.2", sport: int = 40000, dport: int = 443, **columns: Any) -> Any:
    """One flow, whose uid is made of `number`. It has those columns that are given."""
    row = np.zeros(1, CONN.dtype)
    row["uid"] = np.void(number.to_bytes(12, "big"))
    row["id.orig_h"], row["id.resp_h"] = np.void(addr(orig)), np.void(addr(resp))
    row["id.orig_p"], row["id.resp_p"] = sport, dport
    values = {"ts": NOON, "interface": 1, "ip_proto": 6, "conn_state": STATE["S1"], **columns}
    values["proto"] = TRANSPORT.get(values["ip_proto"], 0)
    row["has"] = needed(*values) | CONN_HAS["lasting"]
    for name, value in values.items():
        row[name] = np.void(value.ljust(40, b"\0")) if isinstance(value, bytes) else value
    return row


def over(*rows: Any) -> Batch:
    """Rows of flows that are over."""
    return Batch(CONN, np.concatenate(rows, dtype=CONN.dtype), FACES)


def going_on(*rows: Any) -> Batch:
    """Rows of flows that go on."""
    return Batch(CONN_LONG, np.concatenate(rows, dtype=CONN.dtype), FACES)


def table(*batches: Batch, live: bool = False, **options: Any) -> FlowTable:
    """A table that was given these."""
    made = FlowTable(live=live, **options)
    for batch in batches:
        made.put(batch)
    return made


def kept(*batches: Batch, live: bool = False) -> Kept:
    """All that a table of these keeps."""
    with table(*batches, live=live).kept() as found:
        return found.where(np.ones(len(found), np.bool_))
