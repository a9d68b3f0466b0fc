"""Zeek's own logs: tab-separated as its ASCII writer has them (src/logging/writers/ascii), or JSON, an object a line.

Exactly the fields that Zeek writes, in its order, for those records that are logs of Zeek's; others have no file in this format. Tools
made for Zeek read them: zeek-cut, RITA, zui.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.files import Octets, Text
from headwater.outputs.text import distinct, joined, literal, octets
from headwater.records import Batch, Record

LOGS: dict[str, dict[str, str]] = {
    "conn": {
        "ts": "time",
        "uid": "string",
        "id.orig_h": "addr",
        "id.orig_p": "port",
        "id.resp_h": "addr",
        "id.resp_p": "port",
        "proto": "enum",
        "service": "string",
        "duration": "interval",
        "orig_bytes": "count",
        "resp_bytes": "count",
        "conn_state": "string",
        "local_orig": "bool",
        "local_resp": "bool",
        "missed_bytes": "count",
        "history": "string",
        "orig_pkts": "count",
        "orig_ip_bytes": "count",
        "resp_pkts": "count",
        "resp_ip_bytes": "count",
        "tunnel_parents": "set[string]",
        "ip_proto": "count",
        "community_id": "string",
        "orig_l2_addr": "string",
        "resp_l2_addr": "string",
        "vlan": "int",
        "inner_vlan": "int",
    },
}
"""Zeek's fields and types, by record."""

_UNSET, _TAB, _END = literal("-"), literal("\t"), literal("\n")
_MICRO = 1_000_000
_SIX = np.array([f"{number:06d}" for number in range(1000)])


def seconds(column: pa.Array) -> pa.Array:
    """Nanoseconds or a number of seconds as Zeek writes a time or an interval: seconds with six decimals; null where null."""
    micros = pc.cast(column, pa.int64()).cast(pa.int64()) if pa.types.is_timestamp(column.type) else None
    if micros is None:
        micros = pc.cast(pc.round(pc.multiply(column, float(_MICRO))), pa.int64())
    else:
        micros = pc.divide(micros, 1000)
    whole = pc.divide(micros, _MICRO)
    rest = pc.subtract(micros, pc.multiply(whole, _MICRO))
    return joined([whole.cast(pa.string()), literal("."), pc.utf8_lpad(rest.cast(pa.string()), 6, "0")], "emit_null")
