"""The dashboard that is committed is the one that make.py makes, and shows what the sink sends."""

import importlib.util
import json
from typing import Any

import pytest
from line_protocol import parse
from places import ROOT
from rows_made import ledger, packets, rates, servers

from headwater.outputs.lines import Lines
from headwater.outputs.sinks.grafana import GrafanaSettings

LIVE = ROOT / "dashboards" / "headwater-live.json"
DASHBOARD: dict[str, Any] = json.loads(LIVE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "text"]
# What is really sent, read by the strict parser.
SENT = {
    line.name: dict(line.fields)
    for batch in (packets(3), rates(3), servers(3), ledger(["x"]))
    for line in parse(Lines([batch]).body(0, 99))
}


def test_it_is_what_make_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_dashboard", ROOT / "dashboards" / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert LIVE.read_text() == module.text(), "run `python dashboards/make.py`"


def used_by(step: dict[str, Any]) -> set[str]:
    """The fields that a transformation reads."""
    options = step["options"]
    match step["id"]:
        case "groupBy":
            return set(options["fields"])
        case "sortBy":
            return {key["field"] for key in options["sort"]}
        case "filterByValue":
            return {rule["fieldName"] for rule in options["filters"]}
        case "organize":
            return {*options["indexByName"], *options["renameByName"]}
        case "limit":
            return set()
    raise AssertionError(f"unknown transformation {step['id']}")


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panels_fields_are_those_of_its_measurement(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    stream, name, measurement = target["channel"].split("/")
    assert (stream, name) == ("stream", GrafanaSettings("http://localhost:3000").stream)
    assert target["queryType"] == "measurements"
    assert target["datasource"] == panel["datasource"] == {"type": "datasource", "uid": "grafana"}
    shown = target["filter"]["fields"]
    assert shown[0] == "time" and set(shown[1:]) <= set(SENT[measurement])
    known = set(shown)
    for step in panel["transformations"]:
        options = step["options"]
        assert used_by(step) <= known, step
        if step["id"] == "groupBy":
            known = {name for name, what in options["fields"].items() if what["operation"] == "groupby"} | {
                f"{name} ({how})" for name, what in options["fields"].items() for how in what["aggregations"]
            }
        if step["id"] == "organize":
            known = {options["renameByName"].get(name, name) for name in known}
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in known


def test_every_measurement_is_shown_and_panels_do_not_overlap() -> None:
    assert {panel["targets"][0]["channel"].rpartition("/")[2] for panel in PANELS} == set(SENT)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and all(x < 24 for x, _ in cells)
        taken |= cells


def test_provisioning_names_a_folder_of_files() -> None:
    text = (ROOT / "dashboards" / "provisioning" / "dashboards" / "headwater.yaml").read_text()
    assert (
        text.startswith("#")
        and "apiVersion: 1\n" in text
        and "    type: file\n" in text
        and "path: /etc/grafana/dashboards/headwater\n" in text
    )
