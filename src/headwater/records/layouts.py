"""The layouts of records.h as numpy dtypes, from the BTF of records.bpf.o: the C struct is the schema (docs/adr/0002)."""

from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from headwater._native import lib
from headwater.records import btf
from headwater.records.numbered import Numbered
from headwater.records.schema import Column, Kind, Record, column_name, record

OBJECTS = Path(__file__).parent.parent / "bpf"
SCHEMA = btf.read(OBJECTS / "records.bpf.o")


def _scalar(kind: btf.Type) -> Any:
    match kind:
        case btf.Typedef(target=btf.Array(element=element, count=count)) if _scalar(element) == "<u1":  # an address, not numbers
            return f"V{count}"
        case btf.Typedef(target=target):
            return _scalar(target)
        case btf.Int(size=size, signed=signed):
            return f"<{'i' if signed else 'u'}{size}"
        case btf.Enum(size=size):
            return f"<u{size}"
        case btf.Struct():
            return dtype(kind)
        case btf.Array(element=element, count=count):
            return _scalar(element), (count,)
    raise ValueError(f"no numpy type for {kind}")


def dtype(struct: btf.Struct) -> np.dtype[Any]:
    """The struct as a numpy dtype of the same size, offsets and names, what is `unused` left out.

    Typedefs of octet arrays are void (V16), which may hold zeros.
    """
    members = [member for member in struct.members if member.name != "unused"]
    return np.dtype(
        {
            "names": [column_name(m.name) for m in members],
            "formats": [_scalar(m.type) for m in members],
            "offsets": [m.offset for m in members],
            "itemsize": struct.size,
        }
    )


def _names(enum: btf.Enum) -> dict[int, str]:
    """Value to name as outputs show it: HW_HOOK_xdp of enum hw_hook is `xdp`."""
    prefix = enum.name.upper() + "_"
    return {value: name.removeprefix(prefix) for name, value in enum.values.items()}


ENUMS: dict[str, dict[int, str]] = {name: _names(enum) for name, enum in SCHEMA.enums.items()}
HAS: dict[str, int] = {name: bit for bit, name in ENUMS["hw_has"].items()}

PACKET: Record = record("packet", SCHEMA.structs["hw_packet"], dtype(SCHEMA.structs["hw_packet"]), ENUMS, HAS)
RATE: Record = record("rate", SCHEMA.structs["hw_rate"], dtype(SCHEMA.structs["hw_rate"]), ENUMS, HAS)
WEIRD_ROW: np.dtype[Any] = dtype(SCHEMA.structs["hw_weird_row"])
"""What C makes of a packet; rows of WEIRD are wider."""
WEIRDS = Numbered({number: name for number, name in ENUMS["hw_weird"].items() if number})
"""Names of what is odd: those of packets and flows, and behind them those that protocols give."""
_ODD = record("weird", SCHEMA.structs["hw_weird_row"], WEIRD_ROW, ENUMS, HAS | {name: bit for bit, name in ENUMS["hw_weird_has"].items()})
WEIRD: Record = Record(
    "weird",
    (
        _ODD.columns[0],
        replace(_ODD.columns[1], names=WEIRDS.names),
        Column("addl", Kind.TEXT, "text"),
        Column("source", Kind.TEXT, "text"),
        *_ODD.columns[2:],
    ),
    np.dtype(
        [(name, "<u2" if name == "name" else WEIRD_ROW[name]) for name in WEIRD_ROW.names or ()] + [("addl", "O"), ("source", "O")],
        align=True,
    ),
)
CONN: Record = record(
    "conn", SCHEMA.structs["hw_conn"], dtype(SCHEMA.structs["hw_conn"]), ENUMS, {name: bit for bit, name in ENUMS["hw_conn_has"].items()}
)
CONN_LONG: Record = Record("conn_long", CONN.columns, CONN.dtype)
TUNNEL: Record = record("tunnel", SCHEMA.structs["hw_tunnel_row"], dtype(SCHEMA.structs["hw_tunnel_row"]), ENUMS, {})
SERVER: Record = record(
    "server",
    SCHEMA.structs["hw_server"],
    dtype(SCHEMA.structs["hw_server"]),
    ENUMS,
    {name: bit for bit, name in ENUMS["hw_server_has"].items()},
)
DEFERRED = Record("deferred", (), dtype(SCHEMA.structs["hw_deferred"]))
FLOW_EVENT = Record("flow_event", (), np.dtype(f"V{lib.hw_flow_event_octets()}"))
"""What the kernel's table of flows tells: a struct hw_flow_event, which native/flow_events.c reads."""
CARRIED = Record("carried", (), np.dtype(f"V{lib.hw_carried_octets()}"))
"""What the kernel's flows carry: a struct hw_carried each, which native/flow_events.c reads, beside its octets."""
WANT_ALL = 0xFFFFFFFF
"""HW_WANT_ALL: all octets that a side of a flow carries are wanted."""
FLOW_SETTINGS: np.dtype[Any] = dtype(SCHEMA.structs["hw_flow_settings"])
COUNTERS: np.dtype[Any] = dtype(SCHEMA.structs["hw_counters"])
CONTROL: np.dtype[Any] = dtype(SCHEMA.structs["hw_control"])
RATE_SLOT: np.dtype[Any] = dtype(SCHEMA.structs["hw_rate_slot"])
FILTER: np.dtype[Any] = dtype(SCHEMA.structs["hw_filter"])
ASKED: np.dtype[Any] = dtype(SCHEMA.structs["hw_flow_asked"])
"""What a filter may ask of a flow. It lies in a packet's row from `ip_length` on."""

# The one record that no C makes: a count of one term in one interval (design: the two ledgers).
LEDGER = Record(
    "ledger",
    (
        Column("ts", Kind.TIME, "end of the interval"),
        Column("interval_s", Kind.NUMBER, "seconds"),
        *(Column(name, Kind.TEXT, "text") for name in ("ledger", "subject", "term", "place", "reason")),
        Column("count", Kind.NUMBER, "in this interval"),
    ),
    np.dtype(
        [
            ("ts", "<u8"),
            ("interval_s", "<f8"),
            *((name, "O") for name in ("ledger", "subject", "term", "place", "reason")),
            ("count", "<u8"),
        ]
    ),
)

# What a run itself costs: of a program, a process or the maps of a kind, in one interval. No C makes it either.
COST = Record(
    "cost",
    (
        Column("ts", Kind.TIME, "end of the interval"),
        Column("interval_s", Kind.NUMBER, "seconds"),
        Column("kind", Kind.TEXT, "text"),
        Column("name", Kind.TEXT, "text"),
        Column("cpu_s", Kind.NUMBER, "seconds"),
        Column("runs", Kind.NUMBER, "in this interval"),
        Column("octets", Kind.NUMBER, "memory"),
    ),
    np.dtype([("ts", "<u8"), ("interval_s", "<f8"), ("kind", "O"), ("name", "O"), ("cpu_s", "<f8"), ("runs", "<u8"), ("octets", "<u8")]),
)

Drop = IntEnum("Drop", {name: value for value, name in ENUMS["hw_drop"].items() if name != "MAX"})  # type: ignore[misc]  # made from BTF
"""Place and reason of a loss: Drop.ringbuf__full. `place_reason` splits it."""

FilterOf = IntEnum("FilterOf", {name: value for value, name in ENUMS["hw_filter_of"].items() if name != "MAX"})  # type: ignore[misc]  # likewise
"""What a filter is for: FilterOf["packets"]."""


def place_reason(drop: int) -> tuple[str, str]:
    """('ringbuf', 'full') for Drop.ringbuf__full."""
    place, _, reason = ENUMS["hw_drop"][drop].partition("__")
    return place, reason
