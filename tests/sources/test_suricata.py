"""Suricata's eve.json as tables.

What Suricata itself wrote is in eve/, with its sources. The events below are written for this test in the forms of Suricata's own: of
OISF/suricata-verify the expected output of eve-dns, tls-json-output-ids and output-eve-fileinfo (Suricata 3 and 4) and
tests/detect-ldap-operation/eve.json (Suricata 8). Nothing of those files is copied: no licence is stated in them.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records.address import packed
from headwater.records.log_columns import zeek_type
from headwater.sources.suricata import EVENTS, field_of
from headwater.sources.zeek import Imported, tables

WHO = {"src_ip": "192.0.2.1", "src_port": 5555, "dest_ip": "2001:db8::2", "dest_port": 389, "proto": "TCP"}
BEGIN = {"timestamp": "2024-05-28T09:39:37.034492+0000", "flow_id": 420580139985346, "pcap_cnt": 7}
FLOW = {
    **BEGIN,
    "event_type": "flow",
    **WHO,
    "app_proto": "ldap",
    "flow": {
        "pkts_toserver": 5,
        "pkts_toclient": 4,
        "bytes_toserver": 358,
        "bytes_toclient": 305,
        "start": "2024-05-28T09:39:37.032387+0000",
        "end": "2024-05-28T09:39:37.034870+0000",
        "age": 0,
        "state": "established",
        "reason": "shutdown",
        "alerted": True,
    },
    "tcp": {"tcp_flags": "1a", "syn": True, "state": "established", "of_tomorrow": [1, {"a": None}]},
}
ALERT = {
    **BEGIN,
    "event_type": "alert",
    **WHO,
    "alert": {"action": "allowed", "gid": 1, "signature_id": 4, "rev": 0, "signature": "a test", "category": "", "severity": 3},
    "ldap": {"request": {"operation": "search_request", "attributes": ["*", "+"]}},
    "direction": "to_client",
    "flow": {"pkts_toserver": 5, "src_ip": "192.0.2.1", "src_port": 5555},
}
DNS = {
    **BEGIN,
    "event_type": "dns",
    **WHO,
    "dns": {"type": "answer", "id": 3407, "rcode": "NOERROR", "rrname": "a.example", "rrtype": "A", "ttl": 8},
}
GROUPED = {**DNS, "dns": {"version": 2, "type": "answer", "grouped": {"A": ["192.0.2.9"]}, "answers": [{"rrname": "a.example", "ttl": 8}]}}
TLS = {
    **BEGIN,
    "timestamp": "2016-09-19T15:13:55.657295-0600",
    "event_type": "tls",
    **WHO,
    "tls": {
        "subject": "CN=a.example",
        "sni": "a.example",
        "version": "TLS 1.2",
        "notbefore": "2016-09-14T08:20:40",
        "ja3": {"hash": "ab", "string": "769,1"},
    },
}
HTTP = {"hostname": "a.example", "url": "/x", "http_method": "GET", "protocol": "HTTP/1.1", "status": 200, "length": 68}
FILE = {
    **BEGIN,
    "event_type": "fileinfo",
    **WHO,
    "http": HTTP,
    "fileinfo": {"filename": "x", "state": "CLOSED", "stored": False, "size": 68, "sid": []},
}
STATS = {"timestamp": BEGIN["timestamp"], "event_type": "stats", "stats": {"uptime": 0, "decoder": {"pkts": 9}}}


def read(folder: Path, *events: Any) -> tuple[dict[str, Imported], dict[str, int], list[str]]:
    path = folder / "eve.json"
    path.write_text("".join((event if isinstance(event, str) else json.dumps(event)) + "\n" for event in events))
    told: list[str] = []
    parts = list(tables(path, told.append))
    skipped: dict[str, int] = {}
    for one in parts:
        for reason, number in one.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + number
    return {one.name: one for one in parts}, skipped, told


def test_each_event_is_a_row_of_its_table(tmp_path: Path) -> None:
    found, skipped, told = read(tmp_path, FLOW, ALERT, DNS, GROUPED, TLS, {**BEGIN, "event_type": "http", **WHO, "http": HTTP}, FILE, STATS)
    assert list(found) == [f"suricata_{event}" for event in ("flow", "alert", "dns", "tls", "http", "fileinfo", "stats")]
    assert not skipped and not told
    for name, one in found.items():
        event = name.removeprefix("suricata_")
        assert one.table.schema.metadata == {b"path": event.encode(), b"system": b"suricata"}
        if event in EVENTS:
            of = {column.name: zeek_type(column) for column in one.table.schema}
            assert of == {**EVENTS[event], "more": "string"}
    (flow,) = found["suricata_flow"].table.to_pylist()
    assert flow["src_ip"] == packed("192.0.2.1") and flow["dest_ip"] == packed("2001:db8::2") and flow["dest_port"] == 389
    assert flow["ts"].isoformat() == "2024-05-28T09:39:37.034492+00:00" and flow["flow.end"].microsecond == 34870
    assert flow["flow.bytes_toserver"] == 358 and flow["tcp.syn"] is True and flow["tcp.state"] == "established"
    assert json.loads(flow["more"]) == {"tcp": {"of_tomorrow": [1, {"a": None}]}}
    (alert,) = found["suricata_alert"].table.to_pylist()
    assert alert["alert.category"] == "" and alert["flow.src_port"] == 5555 and json.loads(alert["more"]) == {"ldap": ALERT["ldap"]}
    dns, grouped = found["suricata_dns"].table.to_pylist()
    assert dns["dns.rrname"] == "a.example" and dns["more"] is None and grouped["dns.grouped.A"] == ["192.0.2.9"]
    assert json.loads(grouped["more"]) == {"dns": {"answers": [{"rrname": "a.example", "ttl": 8}]}}
    (tls,) = found["suricata_tls"].table.to_pylist()
    assert tls["ts"].isoformat() == "2016-09-19T21:13:55.657295+00:00" and tls["tls.notbefore"].isoformat() == "2016-09-14T08:20:40+00:00"
    assert tls["tls.ja3.hash"] == "ab"
    (file,) = found["suricata_fileinfo"].table.to_pylist()
    assert file["http.status"] == 200 and file["fileinfo.stored"] is False and file["fileinfo.sid"] == []
    (stats,) = found["suricata_stats"].table.to_pylist()
    assert json.loads(stats["more"]) == {"stats": STATS["stats"]} and stats["src_ip"] is None


SAMPLES = sorted((Path(__file__).parent / "eve").glob("*.json"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_suricata_wrote_is_in_its_columns_or_in_more(path: Path) -> None:
    """Each value of each line, in the column that the field table of docs/import.md has for it, or at its place in `more`."""
    said = defaultdict(list)
    for line in path.read_text().splitlines():
        event = json.loads(line)
        said[f"suricata_{event['event_type']}"].append(event)
    found = list(tables(path, pytest.fail))
    assert {one.name: one.table.num_rows for one in found} == {name: len(events) for name, events in said.items()}
    for one in found:
        assert not one.skipped
        columns = {field_of(column.name): column for column in one.table.schema if column.name != "more"}
        for event, row in zip(said[one.name], one.table.to_pylist(), strict=True):
            fields = dict(named(event))
            more = dict(named(json.loads(row["more"] or "{}")))
            assert not more.keys() & columns.keys()
            assert more == {name: value for name, value in fields.items() if name not in columns}
            for name, column in columns.items():
                value = row[column.name]
                if name in fields:
                    assert as_json(value, zeek_type(column)) == normal(fields[name], zeek_type(column)), name
                else:
                    assert value is None, name


def named(event: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested objects, by their names with dots."""
    for name, value in event.items():
        if isinstance(value, dict):
            yield from named(value, f"{within}{name}.")
        else:
            yield within + name, value


def as_json(value: Any, of: str) -> Any:
    return str(ip_address(value).ipv4_mapped or ip_address(value)) if of == "addr" else value


def normal(value: Any, of: str) -> Any:
    if of == "addr":
        return str(ip_address(value))
    if of == "time":
        when = datetime.fromisoformat(value)
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return value


def test_samples_have_each_event_that_has_columns_of_its_own() -> None:
    there = {json.loads(line)["event_type"] for path in SAMPLES for line in path.read_text().splitlines()}
    assert there >= set(EVENTS)


def test_what_is_not_of_its_type_is_kept_as_it_came(tmp_path: Path) -> None:
    odd = {
        **FLOW,
        "src_ip": "nowhere",
        "src_port": 70000,
        "more": 1,
        "ts": 2,
        "flow": {"age": -1, "start": "9999-01-01T00:00:00Z", "state": 5},
        "tcp": 7,
    }
    found, skipped, _ = read(tmp_path, odd)
    (row,) = found["suricata_flow"].table.to_pylist()
    kept = {"src_ip": "nowhere", "src_port": 70000, "more": 1, "ts": 2, "flow": odd["flow"], "tcp": 7}
    assert json.loads(row["more"]) == kept and row["src_ip"] is None and row["dest_port"] == 389 and not skipped


def test_events_that_are_none_are_counted(tmp_path: Path) -> None:
    wrong = [
        "{",
        {**FLOW, "timestamp": "now"},
        {**FLOW, "timestamp": None},
        {**FLOW, "event_type": 5},
        {**FLOW, "event_type": "../x"},
        {"event_type": "flow"},
    ]
    found, skipped, told = read(tmp_path, FLOW, *wrong, FLOW)
    assert found["suricata_flow"].table.num_rows == 2 and skipped == {"json": 1, "value": 5} and told


def test_types_of_events_are_bounded(tmp_path: Path) -> None:
    found, skipped, _ = read(tmp_path, *({**FLOW, "event_type": f"t{number}"} for number in range(100)))
    assert len(found) == 64 and skipped == {"fields": 36}


LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
ANY = st.recursive(
    LEAF, lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(["start", "state", "x"]), one, max_size=2), max_leaves=6
)


@settings(max_examples=100)
@given(extra=st.dictionaries(st.sampled_from(["flow", "tcp", "src_ip", "vlan", "more", "x", "host"]), ANY, max_size=5))
def test_no_value_is_lost(extra: dict[str, Any], tmp_path: Path) -> None:
    """What is in the columns and in `more` is all that came, but for objects without anything in them."""
    (one,) = read(tmp_path, {**BEGIN, "event_type": "flow", **extra})[0].values()
    (row,) = one.table.to_pylist()
    more = json.loads(row.pop("more") or "{}")
    assert leaves(more) | {(name, str(value)) for name, value in row.items() if value is not None} >= {
        (path, value) for path, value in leaves(extra) if path not in {"src_ip", "flow.start"} and value != "None"
    }


def leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, dict):
        return {leaf for name, one in value.items() for leaf in leaves(one, f"{path}.{name}" if path else name)}
    return {(path, str(value))}


@pytest.mark.parametrize("event", list(EVENTS))
def test_fields_are_named_once_and_have_types(event: str) -> None:
    assert all(of for of in EVENTS[event].values()) and next(iter(EVENTS[event])) == "ts" and "more" in EVENTS[event]
