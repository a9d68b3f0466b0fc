"""Makes headwater-live.json: Headwater's dashboard for Grafana Live. `make docs` writes it, `--check` fails where it is old.

The channels are those that the sink pushes to (headwater.outputs.lines); the stream is the default of its settings.
"""

import json
import sys
from pathlib import Path
from typing import Any

from headwater.outputs.lines import MEASUREMENTS
from headwater.outputs.sinks.grafana import GrafanaSettings

HERE = Path(__file__).parent
STREAM = GrafanaSettings("http://localhost:3000").stream
LIVE = {"type": "datasource", "uid": "grafana"}  # what Grafana's page calls -- Grafana --
PROTOCOLS = "tcp udp icmp icmpv6 arp other".split()
WORDS = {"icmp": "ICMP", "icmpv6": "ICMPv6", "other": "other"} | {name: name.upper() for name in ("tcp", "udp", "arp")}

Json = dict[str, Any]


def panel(kind: str, title: str, about: str, place: tuple[int, int, int, int], record: str, fields: list[str], **more: Any) -> Json:
    """One panel over the live channel of a record. `place` is x, y, width and height; `keep` the rows that the page keeps."""
    measurement, known = MEASUREMENTS[record]
    if unknown := set(fields) - set(known):
        raise ValueError(f"{measurement} has no {unknown}")
    x, y, width, height = place
    target = {
        "refId": "A",
        "datasource": LIVE,
        "queryType": "measurements",
        "channel": f"stream/{STREAM}/{measurement}",
        "filter": {"fields": ["time", *fields]},
    }
    return {
        "type": kind,
        "title": title,
        "description": about,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "datasource": LIVE,
        "targets": [target],
        "maxDataPoints": more.pop("keep", 500),
        "transformations": more.pop("steps", []),
        "fieldConfig": {"defaults": more.pop("defaults", {}), "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        **more,
    }


def step(name: str, **options: Any) -> Json:
    """A transformation."""
    return {"id": name, "options": options}


def grouped(by: list[str], **sums: list[str]) -> Json:
    """One row for each value of `by`, with aggregates of other fields."""
    keys: Json = {name: {"operation": "groupby", "aggregations": []} for name in by}
    return step("groupBy", fields=keys | {name: {"operation": "aggregate", "aggregations": how} for name, how in sums.items()})


def renamed(order: list[str], names: dict[str, str]) -> Json:
    """Columns in an order and with words."""
    return step("organize", indexByName={name: place for place, name in enumerate(order)}, renameByName=names, excludeByName={})


def sorted_by(name: str, *, limit: int = 0) -> list[Json]:
    """The largest first."""
    order = step("sortBy", fields={}, sort=[{"field": name, "desc": True}])
    return [order, step("limit", limitField=limit)] if limit else [order]


def where(field: str, condition: str, value: Any) -> Json:
    """Only the rows whose `field` meets a condition."""
    config = {"id": condition, "options": {"value": value}}
    return step("filterByValue", type="include", match="all", filters=[{"fieldName": field, "config": config}])


def called(names: dict[str, str]) -> list[Json]:
    """Words for fields, in legends."""
    return [override(name, displayName=words) for name, words in names.items()]


def override(name: str, **properties: Any) -> Json:
    """What is different for one field; `__` stands for a dot."""
    changes = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": changes}


def line(**custom: Any) -> Json:
    """How a time series is drawn."""
    return {"drawStyle": "line", "lineWidth": 1, "showPoints": "never", "spanNulls": False, **custom}


PACKET_FIELDS = list(MEASUREMENTS["packet"][1])
LEGEND = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
STACKED = {"unit": "pps", "custom": line(fillOpacity=40, stacking={"mode": "normal", "group": "A"})}
ONE_VALUE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
EACH_ROW = {"calcs": [], "fields": "/^packets$/", "values": True}
SUM = {"calcs": ["sum"], "fields": "/^count$/", "values": False}
RED_ABOVE_0 = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
TERMS = ["ledger", "subject", "term", "place", "reason"]
SERVER_SUMS = {name: ["sum"] for name in "begun established failed ended orig_retransmits resp_retransmits".split()}
SERVER_FIELDS = ["half_open", "handshake_max", *SERVER_SUMS]
SERVER_WORDS = {"addr": "address", "half_open (lastNotNull)": "half open", "handshake_max (max)": "longest handshake"} | {
    f"{name} (sum)": name.replace("_", " ") for name in SERVER_SUMS
}
TALKER_WORDS = {"source_ip": "address", "length (count)": "packets", "length (sum)": "octets of IP"}
HELP = """Nothing here after ten seconds? Grafana Live shows what arrives while this page is open, and keeps no history.

- Is `headwater run` running with `GRAFANA_URL` and `GRAFANA_TOKEN`? It says so if Grafana refuses what it sends.
- Is its service account in this organisation, with the role Editor?
- Behind a proxy, WebSockets must pass (`/api/live/ws`)."""


def dashboard() -> Json:
    """The whole dashboard."""
    panels = [
        panel(
            "stat",
            "Packets a second",
            "On the wire, all interfaces.",
            (0, 0, 4, 4),
            "rate",
            ["packets"],
            defaults={"unit": "pps"},
            options={"reduceOptions": ONE_VALUE, "graphMode": "area"},
            keep=120,
        ),
        panel(
            "stat",
            "Traffic",
            "Octets of frames, in and out.",
            (4, 0, 5, 4),
            "rate",
            ["bytes_in", "bytes_out"],
            defaults={"unit": "Bps"},
            overrides=called({"bytes_in": "in", "bytes_out": "out"}),
            options={"reduceOptions": ONE_VALUE, "graphMode": "area"},
            keep=120,
        ),
        panel(
            "stat",
            "Lost",
            "Packets and rows dropped anywhere while this page was open; the ledger below says where and why. "
            "What is only not sampled for this page does not count.",
            (9, 0, 4, 4),
            "ledger",
            [*TERMS, "count"],
            steps=[where("term", "equal", "dropped"), where("reason", "notEqual", "unsampled")],
            keep=5000,
            defaults={"thresholds": RED_ABOVE_0, "noValue": "0"},
            options={"reduceOptions": SUM, "graphMode": "none"},
        ),
        {"type": "text", "title": "", "gridPos": {"x": 13, "y": 0, "w": 11, "h": 4}, "options": {"mode": "markdown", "content": HELP}},
        panel(
            "timeseries",
            "Packets a second by protocol",
            "All packets, also those that are not sampled for the table.",
            (0, 4, 12, 8),
            "rate",
            PROTOCOLS,
            defaults=STACKED,
            overrides=called(WORDS),
            options=LEGEND,
            keep=900,
        ),
        panel(
            "timeseries",
            "TTLs",
            "Time to live, or hop limit, of each packet that is shown.",
            (12, 4, 12, 8),
            "packet",
            ["ttl"],
            steps=[where("ttl", "greater", 0)],
            options=LEGEND,
            keep=2000,
            defaults={"min": 0, "max": 255, "custom": line(drawStyle="points", pointSize=4, showPoints="always")},
        ),
        panel(
            "table",
            "Packets arriving",
            "The latest packets, or an even sample of them on a busy line. 0 and empty: the packet has none.",
            (0, 12, 24, 10),
            "packet",
            PACKET_FIELDS,
            keep=500,
            steps=[
                *sorted_by("time"),
                renamed(["time", *PACKET_FIELDS], {name: name.replace("_", " ") for name in PACKET_FIELDS}),
            ],
            overrides=[override("time", unit="time:HH:mm:ss.SSS", custom__width=120)],
        ),
        panel(
            "table",
            "Top talkers",
            "Who sent the packets of the table above.",
            (0, 22, 8, 9),
            "packet",
            ["source_ip", "length"],
            keep=2000,
            steps=[
                where("source_ip", "notEqual", ""),
                grouped(["source_ip"], length=["count", "sum"]),
                *sorted_by("length (count)", limit=10),
                renamed(["source_ip", "length (count)", "length (sum)"], TALKER_WORDS),
            ],
        ),
        panel(
            "bargauge",
            "Protocols",
            "Of the packets of the table above.",
            (8, 22, 6, 9),
            "packet",
            ["protocol", "ttl"],
            keep=2000,
            steps=[
                grouped(["protocol"], ttl=["count"]),
                *sorted_by("ttl (count)", limit=10),
                renamed(["protocol", "ttl (count)"], {"ttl (count)": "packets"}),
            ],
            options={"reduceOptions": EACH_ROW, "orientation": "horizontal", "displayMode": "gradient"},
        ),
        panel(
            "table",
            "Ledger",
            "What became of each packet and row while this page was open: "
            "seen = as_row + counted_only + dropped, and made = acked + dropped.",
            (14, 22, 10, 9),
            "ledger",
            [*TERMS, "count"],
            keep=5000,
            steps=[grouped(TERMS, count=["sum"]), *sorted_by("count (sum)"), renamed([*TERMS, "count (sum)"], {"count (sum)": "count"})],
        ),
        panel(
            "table",
            "Servers",
            "What the flows of each address, port and protocol did while this page was open, where the record server is asked for. "
            "The line without an address is of all others.",
            (0, 31, 24, 9),
            "server",
            ["addr", "port", "proto", *SERVER_FIELDS],
            keep=5000,
            steps=[
                grouped(["addr", "port", "proto"], half_open=["lastNotNull"], handshake_max=["max"], **SERVER_SUMS),
                *sorted_by("begun (sum)", limit=50),
                renamed(["addr", "port", "proto", *list(SERVER_WORDS)[1:]], SERVER_WORDS),
            ],
            overrides=[override("longest handshake", unit="s")],
        ),
    ]
    return {
        "uid": "headwater-live",
        "title": "Headwater: live",
        "description": "Packets as they pass, from headwater run.",
        "tags": ["headwater", "network"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "liveNow": True,
        "refresh": "",
        "time": {"from": "now-5m", "to": "now"},
        "panels": [{"id": number, **made} for number, made in enumerate(panels, 1)],
    }


def text() -> str:
    """headwater-live.json."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """Write it, or with --check say whether it is old."""
    made = HERE / "headwater-live.json"
    if "--check" not in sys.argv[1:]:
        made.write_text(text())
    elif made.read_text() != text():
        sys.exit(f"dashboards/{made.name}: not as the code has it; run `make docs`")


if __name__ == "__main__":
    main()
