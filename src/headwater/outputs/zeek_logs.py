"""Zeek's logs: which fields they have, of what type and in what order, and which columns of ours hold them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.text import distinct
from headwater.records import Record
from headwater.records.schema import Column, Kind
from headwater.records.zeek_types import BEFORE_IP

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
        "vlan": "int",
        "inner_vlan": "int",
        "orig_l2_addr": "string",
        "resp_l2_addr": "string",
    },
    "tunnel": {
        "ts": "time",
        "uid": "string",
        "id.orig_h": "addr",
        "id.orig_p": "port",
        "id.resp_h": "addr",
        "id.resp_p": "port",
        "tunnel_type": "enum",
        "action": "enum",
    },
    "weird": {
        "ts": "time",
        "uid": "string",
        "id.orig_h": "addr",
        "id.orig_p": "port",
        "id.resp_h": "addr",
        "id.resp_p": "port",
        "name": "string",
        "addl": "string",
        "notice": "bool",
        "peer": "string",
        "source": "string",
    },
}
LOGS["conn_long"] = LOGS["conn"]  # as the package zeek-long-connections has it
"""By record: the fields, and Zeek's types. Those of conn are Zeek's own and of its policies community-id, vlan and mac logging."""

OURS = {"id.orig_h": "src", "id.orig_p": "sport", "id.resp_h": "dst", "id.resp_p": "dport"}
"""What some of them are called in a record that has no column of Zeek's name."""
_OTHER_END = {"src": "dst", "dst": "src", "sport": "dport", "dport": "sport"}
_UNDECIDED = "connection_originator_SYN_ack"  # whose sender Zeek takes for the originator then

FIXED: dict[str, bool | str] = {"notice": False, "peer": "headwater"}
"""What is the same in every row: no notice was raised, and whose log it is."""

_TUNNELS = {"vxlan": "VXLAN", "geneve": "GENEVE", "gtp": "GTPv1", "teredo": "TEREDO", "ayiya": "AYIYA", "l2tp": "L2TP"}
_TUNNELS |= dict.fromkeys(("gre", "erspan", "pptp"), "GRE")
RENAMED: dict[str, Callable[[str], str]] = {
    "tunnel_type": lambda name: f"Tunnel::{_TUNNELS.get(name, 'IP')}",
    "action": lambda name: f"Tunnel::{name.upper()}",
}
"""Fields whose values Zeek calls otherwise. L2TP it does not read."""

_TYPES = {
    Kind.NUMBER: "count",
    Kind.TIME: "time",
    Kind.ADDRESS: "addr",
    Kind.FLAG: "bool",
    Kind.NAME: "enum",
    Kind.INTERVAL: "interval",
}
"""Zeek's types of columns that are ours alone; the others are text."""


@dataclass(frozen=True)
class Field:
    """A field of a log, and the column of ours that holds it, if any. `beside` is the address that a port belongs to; `other`, what holds
    it in a row of a packet that the flow's responder sent.
    """

    name: str
    type: str
    column: Column | None
    beside: Column | None = None
    other: Column | None = None
    of_weirds: bool = False

    def values(self, arrow: pa.RecordBatch) -> pa.Array:
        """The field in each row, as Zeek has it."""
        values = self._values(arrow)
        return _ends_of_weirds(self.name, values, arrow) if self.of_weirds else values

    def _values(self, arrow: pa.RecordBatch) -> pa.Array:
        """The field in each row, null where it is unset; of times and intervals the microseconds.

        Zeek's `ts` is never unset, and its ids are whole: a packet without a time or ports has 0 for them. Nor has Zeek nanoseconds:
        libpcap cuts them off before it sees a packet, and an interval is the difference of two such times, the first of them `ts`.
        """
        assert self.column is not None  # noqa: S101 - who asks has looked
        values = arrow.column(self.column.name)
        if self.other:
            answers = pc.and_(pc.invert(arrow.column("is_orig")), pc.not_equal(arrow.column("name"), _UNDECIDED))
            values = pc.if_else(answers.fill_null(False), arrow.column(self.other.name), values)
        match self.type:
            case "time":
                return _micros(values.cast(pa.int64()).fill_null(0) if self.name == "ts" else values.cast(pa.int64()))
            case "interval":
                begin = arrow.column("ts").cast(pa.int64()).fill_null(0)
                end = pc.add(begin, pc.round(pc.multiply(values, 1e9)).cast(pa.int64()))
                return pc.subtract(_micros(end), _micros(begin))
            case "port" if self.beside and values.null_count:
                return pc.if_else(arrow.column(self.beside.name).is_valid(), values.fill_null(0), None)
            case "enum" if rename := RENAMED.get(self.name):
                return distinct(values, lambda words: pa.array([rename(word) for word in words.to_pylist()], pa.string()))
        return values


def logged(record: Record, arrow: pa.RecordBatch) -> pa.RecordBatch:
    """Its rows that Zeek would log: not those of `weird` that count what has no row of its own."""
    if record.name != "weird":
        return arrow
    return arrow.filter(pc.or_(arrow.column("interface").is_valid(), arrow.column("uid").is_valid()))


def _ends_of_weirds(name: str, values: pa.Array, arrow: pa.RecordBatch) -> pa.Array:
    """Of what is odd in a packet Zeek has no ports, and where IP's header or what is before it is, nor addresses."""
    of_flow = arrow.column("uid").is_valid()
    if name.endswith("_p"):
        values = pc.if_else(of_flow, values, pc.if_else(values.is_valid(), 0, None).cast(values.type))
    return pc.if_else(pc.or_(of_flow, pc.invert(pc.is_in(arrow.column("source"), pa.array(BEFORE_IP)))), values, None)


def _micros(nanoseconds: pa.Array) -> pa.Array:
    return pc.divide(nanoseconds, 1000)


def fields(record: Record, extra: bool) -> list[Field]:
    """Those of Zeek's log of that record; with `extra`, the record's other columns behind them."""
    found = list(_fields(record))
    if extra:
        taken = {field.column.name for field in found if field.column}
        found += [Field(column.name, _TYPES.get(column.kind, "string"), column) for column in record.columns if column.name not in taken]
    return found


def _fields(record: Record) -> Iterator[Field]:
    columns = {column.name: column for column in record.columns}

    def column(name: str) -> Column | None:
        return columns.get(name) or columns.get(OURS.get(name, ""))

    for name, kind in LOGS[record.name].items():
        ours = column(name)
        beside = column(name.removesuffix("_p") + "_h") if kind == "port" else None
        other = column(_OTHER_END.get(ours.name, "")) if ours and "is_orig" in columns else None
        yield Field(name, kind, ours, beside, other, record.name == "weird" and name.startswith("id."))
