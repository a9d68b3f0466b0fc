"""Suricata's eve.json: an object a line, a table for each type of event.

The fields of `flow`, `dns`, `http`, `tls`, `alert` and `fileinfo` are those of Suricata's etc/schema.json and its page "Eve JSON Format";
nested objects are flattened with dots. What is not among them, or not of its type, is kept in `more` as JSON, and so is all of other
events but who, where and when.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from headwater.records.log_columns import kinds, schema
from headwater.sources.log_lines import Notes
from headwater.sources.log_values import fits, from_values
from headwater.sources.zeek_json import decoded

TYPES_MAX = 64
_CALLED = {"ts": "timestamp"}
_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_ALWAYS = (
    "ts:time event_type:enum flow_id:count parent_id:count pcap_cnt:count tx_id:count in_iface:string host:string "
    "vlan:vector[count] src_ip:addr src_port:port dest_ip:addr dest_port:port proto:enum ip_v:count icmp_type:count icmp_code:count "
    "app_proto:string direction:enum pkt_src:string community_id:string"
)
_COUNTED = "flow.pkts_toserver:count flow.pkts_toclient:count flow.bytes_toserver:count flow.bytes_toclient:count flow.start:time"
_HTTP = (
    "http.hostname:string http.http_port:count http.url:string http.http_user_agent:string http.http_content_type:string "
    "http.http_refer:string http.http_method:string http.protocol:string http.status:count http.redirect:string http.length:count "
    "http.xff:string"
)
_EVENTS = {
    "flow": f"{_COUNTED} flow.end:time flow.age:count flow.state:enum flow.reason:enum flow.alerted:bool flow.bypass:string "
    "flow.wrong_thread:bool app_proto_ts:string app_proto_tc:string app_proto_orig:string app_proto_expected:string tcp.tcp_flags:string "
    "tcp.tcp_flags_ts:string tcp.tcp_flags_tc:string tcp.syn:bool tcp.fin:bool tcp.rst:bool tcp.psh:bool tcp.ack:bool tcp.urg:bool "
    "tcp.ecn:bool tcp.cwr:bool tcp.state:enum tcp.ts_max_regions:count tcp.tc_max_regions:count",
    "dns": "dns.version:count dns.type:enum dns.id:count dns.tx_id:count dns.flags:string dns.qr:bool dns.aa:bool dns.tc:bool dns.rd:bool "
    "dns.ra:bool dns.z:bool dns.opcode:count dns.rcode:string dns.rrname:string dns.rrtype:string dns.ttl:count dns.rdata:string "
    "dns.grouped.A:vector[string] dns.grouped.AAAA:vector[string] dns.grouped.CNAME:vector[string] dns.grouped.MX:vector[string] "
    "dns.grouped.NS:vector[string] dns.grouped.PTR:vector[string] dns.grouped.TXT:vector[string]",
    "http": _HTTP,
    "tls": "tls.subject:string tls.issuerdn:string tls.serial:string tls.fingerprint:string tls.sni:string tls.version:string "
    "tls.notbefore:time tls.notafter:time tls.session_resumed:bool tls.from_proto:string tls.subjectaltname:vector[string] "
    "tls.client_alpns:vector[string] tls.server_alpns:vector[string] tls.ja3.hash:string tls.ja3.string:string tls.ja3s.hash:string "
    "tls.ja3s.string:string tls.ja4:string tls.certificate:string tls.chain:vector[string]",
    "alert": "alert.action:enum alert.gid:count alert.signature_id:count alert.rev:count alert.signature:string alert.category:string "
    f"alert.severity:count {_COUNTED} flow.src_ip:addr flow.src_port:port flow.dest_ip:addr flow.dest_port:port stream:count "
    f"payload:string payload_printable:string packet:string {_HTTP}",
    "fileinfo": "fileinfo.filename:string fileinfo.magic:string fileinfo.mimetype:string fileinfo.gaps:bool fileinfo.state:enum "
    "fileinfo.stored:bool fileinfo.storing:bool fileinfo.file_id:count fileinfo.size:count fileinfo.start:count fileinfo.end:count "
    f"fileinfo.tx_id:count fileinfo.md5:string fileinfo.sha1:string fileinfo.sha256:string fileinfo.sid:vector[count] {_HTTP}",
}


def _fields(event: str) -> dict[str, str]:
    words = f"{_ALWAYS} {_EVENTS.get(event, '')} more:other".split()
    return dict(word.split(":") for word in words)


EVENTS: dict[str, dict[str, str]] = {event: _fields(event) for event in _EVENTS}
"""By type of event, the type of each column as Zeek would write it."""


def field_of(column: str) -> str:
    """What Suricata calls it, with dots between the names of objects and those in them."""
    return _CALLED.get(column, column)


class EveLog:
    """Reads blocks of an eve.json. The column `ts` is Suricata's `timestamp`."""

    format = "eve"

    def __init__(self, _path: str, notes: Notes, state: Mapping[str, Any] | None = None) -> None:
        self._notes = notes
        self._events = {event: _Event(event) for event in (state or {}).get("events", ())}

    def state(self) -> dict[str, Any]:
        """What a later reader of the same file needs, as JSON can hold it."""
        return {"events": list(self._events)}

    def read(self, number: int, block: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(table, rows) of whole lines, the first of which is line `number`."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for place, line in enumerate(block.removesuffix(b"\n").split(b"\n"), number):
            try:
                row = decoded(line)
            except (ValueError, RecursionError):
                self._notes.skip("json", place, "no object of JSON: left out")
                continue
            if event := self._event_of(row, place):
                rows.setdefault(event, []).append(self._events[event].flat(row))
        for event, those in rows.items():
            yield f"suricata_{event.replace('-', '_')}", self._events[event].table(those)

    def _event_of(self, row: dict[str, Any], number: int) -> str:
        event = row.get("event_type")
        if not isinstance(event, str) or not _TYPE.fullmatch(event):
            self._notes.skip("value", number, "no event_type that names a table: left out")
            return ""
        if event not in self._events:
            if len(self._events) >= TYPES_MAX:
                self._notes.skip("fields", number, f"more than {TYPES_MAX} types of event: left out")
                return ""
            self._events[event] = _Event(event)
        if not fits(row.get("timestamp"), "time"):
            self._notes.skip("value", number, "timestamp is no time: left out")
            return ""
        return event


class _Event:
    """A type of event: where in its objects each column is."""

    def __init__(self, event: str) -> None:
        self._schema = schema(_fields(event), event, "suricata")
        self._places: list[tuple[str, list[str], str, str, str]] = []
        for column in self._schema:
            *folders, name = field_of(column.name).split(".")
            if column.name != "more":
                self._places.append((column.name, folders, name, *kinds(column)))

    def flat(self, row: dict[str, Any]) -> dict[str, Any]:
        """The fields that are known; the rest of the row is `more`."""
        flat: dict[str, Any] = {}
        for column, folders, name, kind, element in self._places:
            if (folders[0] if folders else name) not in row:
                continue
            within: Any = row
            for folder in folders:
                within = within.get(folder) if isinstance(within, dict) else None
            if isinstance(within, dict) and name in within and (within[name] is None or fits(within[name], kind, element)):
                flat[column] = within.pop(name)
        rest = _left(row)
        flat["more"] = msgspec.json.encode(rest).decode() if rest else None
        return flat

    def table(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        """What flat() gave as rows."""
        values = [from_values([row.get(column.name) for row in rows], column, "text").values for column in self._schema]
        return pa.RecordBatch.from_arrays(values, schema=self._schema)


def _left(row: dict[str, Any]) -> dict[str, Any]:
    """Without objects that were emptied."""
    return {
        name: kept
        for name, value in row.items()
        if (kept := _left(value) if isinstance(value, dict) else value) or not isinstance(value, dict)
    }
