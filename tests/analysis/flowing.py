"""Packets through Flows, and what comes out, in a form that tests compare."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from flow_model import Conn

from headwater.analysis.flows import Flows, FlowSettings
from headwater.errors import SourceError
from headwater.records import CONN, ENUMS, PACKET, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

Rows = np.ndarray[Any, np.dtype[Any]]
SECRET = bytes(range(16))
NAMES = {0: "made"}


def flows(**settings: Any) -> Flows:
    return Flows("made", FlowSettings(**{"secret": SECRET, **settings}))


def conns(batches: Iterable[Batch]) -> Rows:
    """The rows of conn, in memory of their own."""
    return np.concatenate([np.empty(0, CONN.dtype), *(batch.copy().rows for batch in batches if batch.record is CONN)], dtype=CONN.dtype)


def found(into: Flows, rows: Rows) -> Rows:
    """What ends while these packets come."""
    return conns(into.find(Batch(PACKET, rows, NAMES)))


def all_of(rows: Rows, **settings: Any) -> Rows:
    """The rows of all flows of these packets."""
    into = flows(**settings)
    return np.concatenate([found(into, rows), conns(into.end())], dtype=CONN.dtype)


def plainly(rows: Rows) -> list[Conn]:
    """What the model tells, in order."""
    return sorted(
        Conn(
            int(row["ts"]),
            (bytes(row["id.orig_h"]), int(row["id.orig_p"])),
            (bytes(row["id.resp_h"]), int(row["id.resp_p"])),
            int(row["ip_proto"]),
            int(row["duration"]),
            (int(row["orig_bytes"]), int(row["resp_bytes"])),
            (int(row["orig_pkts"]), int(row["resp_pkts"])),
            (int(row["orig_ip_bytes"]), int(row["resp_ip_bytes"])),
            int(row["missed_bytes"]),
            ENUMS["hw_conn_state"][int(row["conn_state"])],
            bytes(row["history"]).rstrip(b"\0").decode(),
        )
        for row in rows
    )


def read(path: Path, *, carriers: bool = False) -> Iterator[Batch]:
    """The packets of a capture, as far as it can be read."""
    try:
        with Capture(str(path), Ledger(), carriers=carriers) as capture:
            yield from capture.read()
    except SourceError:
        pass  # what was read before counts


def packets(path: Path, *, carriers: bool = False) -> Rows:
    """The same as one array."""
    return np.concatenate([np.empty(0, PACKET.dtype), *(batch.rows for batch in read(path, carriers=carriers))], dtype=PACKET.dtype)
