"""Influx line protocol for Grafana Live: four measurements, each with the same fields in the same types on every line.

Grafana caches a channel's schema, and a panel goes blank when a field comes, goes or changes its type. So what a packet does not have is ""
or 0: an ARP packet has length, ttl and version 0, because it has no IP header, as `length` is that of IP. There are no tags: each new
tag value is a new set of columns to Grafana.

packet_details has exactly the fields of the recipe that it takes the place of. A `rate` line is one second, summed over interfaces and
ports; `server` and `ledger` are the records.

Grammar: influxdata/line-protocol v1, the module that Grafana parses with.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.text import ANY_HARMFUL, HARMFUL, NOTHING, distinct, joined, literal, octets
from headwater.records import ENUMS, SERVER, Batch, Record
from headwater.records.batch import joined as joined_batches
from headwater.records.protocols import ethertype, protocol
from headwater.records.schema import Kind

# Fields by measurement, in their order: its type in line protocol, and the column that it is; the others are made here.
PACKET_DETAILS = {
    "source_mac": ("text", "l2_src"),
    "destination_mac": ("text", "l2_dst"),
    "source_ip": ("text", "src"),
    "destination_ip": ("text", "dst"),
    "protocol": ("text", ""),
    "length": ("integer", "ip_length"),
    "ttl": ("integer", "ttl"),
    "version": ("integer", "ip_version"),
    "source_port": ("integer", "sport"),
    "destination_port": ("integer", "dport"),
}
SUMS = "packets bytes packets_in bytes_in packets_out bytes_out tcp udp icmp icmpv6 arp other".split()  # the last six are packets
RATE = dict.fromkeys(SUMS, ("integer", ""))
_KINDS = {Kind.ADDRESS: "text", Kind.INTERVAL: "float"}
SERVERS = {column.name: (_KINDS.get(column.kind, "integer"), column.name) for column in SERVER.columns if column.name != "ts"}
LEDGER = {
    "interval_s": ("float", "interval_s"),
    **{name: ("text", name) for name in ("ledger", "subject", "term", "place", "reason")},
    "count": ("integer", "count"),
}
MEASUREMENTS = {
    "packet": ("packet_details", PACKET_DETAILS),
    "rate": ("rate", RATE),
    "server": ("server", SERVERS),
    "ledger": ("ledger", LEDGER),
}
"""By record: the measurement's name and fields."""

_VALUE = {"text": r'"(?:[^"\\\r\n\f]|\\["\\])*"', "integer": "-?[0-9]{1,19}i", "float": r"-?[0-9.]+(?:e[+-]?[0-9]+)?"}
_QUOTE, _ZERO, _INTEGER, _SPACE, _NEWLINE = (literal(text) for text in ('"', "0", "i", " ", "\n"))
_NONE = pa.scalar(0)
_MOST = pa.scalar(np.iinfo(np.int64).max, pa.uint64())
_IN, _OUT = (next(value for value, name in ENUMS["hw_direction"].items() if name == way) for way in ("in", "out"))
_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmpv6"}
_ARP = 0x0806


class Lines:
    """Lines to push: `text` of each, and the `rows` that each stands for. `malformed` rows have no line."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        texts: list[pa.Array] = []
        rows: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        self.malformed = 0
        for record in dict.fromkeys(batch.record.name for batch in batches):
            text, counts = _lines([batch for batch in batches if batch.record.name == record])
            fine = np.asarray(pc.match_substring_regex(text, _grammar(record)))  # one bad line would lose all of them
            self.malformed += int(counts[~fine].sum())
            texts.append(text.filter(pa.array(fine)))
            rows.append(counts[fine])
        self.text: pa.Array = pa.concat_arrays(texts)
        self.rows = np.concatenate(rows)

    def __len__(self) -> int:
        return len(self.text)

    def body(self, begin: int, end: int) -> bytes:
        """Lines as one request."""
        return bytes(octets(self.text[begin:end]))


def _lines(batches: Sequence[Batch]) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.int64]]]:
    """All lines of one record in the order of time, and how many rows each stands for.

    Grafana takes lines of one measurement and time for one row of more fields, so equal times are told apart by a nanosecond.
    """
    name, _ = MEASUREMENTS[batches[0].record.name]
    make = _sums if name == "rate" else _rows
    fields, times, counts = zip(*(make(batch) for batch in joined_batches(batches)), strict=True)
    ts = np.concatenate(times).view(np.int64)
    order = np.argsort(ts, kind="stable")
    steps = np.arange(len(ts))
    ts = np.maximum.accumulate(ts[order] - steps) + steps
    text = joined([literal(f"{name} "), pa.concat_arrays(fields).take(pa.array(order)), _SPACE, pa.array(ts).cast(pa.string()), _NEWLINE])
    return text, np.concatenate(counts)[order]


def _rows(batch: Batch) -> tuple[pa.Array, Any, Any]:
    """A line's fields for each row."""
    _, fields = MEASUREMENTS[batch.record.name]
    wanted = {column for _, column in fields.values()}
    some = Record(batch.record.name, tuple(column for column in batch.record.columns if column.name in wanted), batch.record.dtype)
    arrow = Batch(some, batch.rows, batch.interfaces).to_arrow()
    values = {name: arrow.column(column) if column else _protocols(batch) for name, (_, column) in fields.items()}
    return _fields(fields, values), batch.rows["ts"], np.ones(len(batch), np.int64)


def _sums(batch: Batch) -> tuple[pa.Array, Any, Any]:
    """A line's fields for each second of rates."""
    rows = batch.rows
    ts, second, counts = np.unique(rows["ts"], return_inverse=True, return_counts=True)
    ways = {"_in": rows["direction"] == _IN, "_out": rows["direction"] == _OUT, "": np.ones(len(rows), np.bool_)}
    parts = {f"{unit}{way}": (unit, mask) for way, mask in ways.items() for unit in ("packets", "bytes")}
    proto = np.where(batch.present("proto"), rows["proto"], -1)
    parts |= {name: ("packets", proto == number) for number, name in _PROTOCOLS.items()}
    parts["arp"] = ("packets", batch.present("ethertype") & (rows["ethertype"] == _ARP))
    parts["other"] = ("packets", ~np.any([parts[name][1] for name in (*_PROTOCOLS.values(), "arp")], axis=0))
    sums = {name: np.zeros(len(ts), np.uint64) for name in SUMS}
    for name, (unit, mask) in parts.items():
        np.add.at(sums[name], second[mask], rows[unit][mask])
    return _fields(RATE, {name: pa.array(values) for name, values in sums.items()}), ts, counts


def _protocols(batch: Batch) -> pa.Array:
    """TCP, ICMPv6, ARP ...: of IP or, where there is none, of the frame; else null."""
    numbers = np.where(batch.present("ethertype"), batch.rows["ethertype"].astype(np.int32) + 256, -1)
    numbers = np.where(batch.present("proto"), batch.rows["proto"], numbers)
    known, places = np.unique(numbers, return_inverse=True)
    words = [protocol(int(number)) if 0 <= number < 256 else ethertype(int(number) - 256) if number >= 0 else None for number in known]
    return pa.array(words, pa.string()).take(pa.array(places))


def _fields(fields: dict[str, tuple[str, str]], values: dict[str, pa.Array]) -> pa.Array:
    """name=value,name=value of each row."""
    parts: list[Any] = []
    for place, (name, (kind, _)) in enumerate(fields.items()):
        parts.append(literal(f"{',' if place else ''}{name}="))
        match kind:
            case "text":
                parts += [_QUOTE, distinct(values[name].fill_null(NOTHING), escape), _QUOTE]
            case "integer":
                parts += [pc.min_element_wise(values[name].fill_null(_NONE).cast(pa.uint64()), _MOST).cast(pa.string()), _INTEGER]
            case _:
                parts.append(pc.if_else(pc.is_finite(values[name]), values[name], 0.0).cast(pa.string()).fill_null(_ZERO))
    return joined(parts)


def escape(words: pa.Array) -> pa.Array:
    """Text as it stands between quotes. Control characters, which a line cannot hold, show as their symbols (U+2400 and on), other
    harmful ones as U+FFFD; NaN, which Grafana takes for a missing number, as nan.
    """
    words = pc.if_else(pc.equal(words, literal("NaN")), literal("nan"), words)
    words = pc.replace_substring(words, "\\", "\\\\")
    words = pc.replace_substring(words, '"', '\\"')
    if pc.any(pc.match_substring_regex(words, f"[{ANY_HARMFUL}]")).as_py():
        for code in HARMFUL:
            shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
            words = pc.replace_substring(words, chr(code), shown)
    return words


def _grammar(record: str) -> str:
    """A regular expression that a whole line of that record matches."""
    name, fields = MEASUREMENTS[record]
    values = ",".join(f"{field}={_VALUE[kind]}" for field, (kind, _) in fields.items())
    return rf"\A{name} {values} -?[0-9]{{1,19}}\n\z"
