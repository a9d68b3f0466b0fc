"""Which weirds are told, and those of protocols as rows."""

import json
from typing import Any

import numpy as np
import pytest
from conversations import START, UDP, Packet, rows
from flowing import NAMES
from test_streams import payloads

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.odd import Odd, Repeats, rows_of_streams
from headwater.outputs.sinks.zeek_json import ZeekJson
from headwater.records import PACKET, WEIRD, Batch
from headwater.records.address import packed
from headwater.records.layouts import WEIRDS

SECOND = 10**9
HOST, FLOW = "DNS_label_too_long", "FTP_arg_too_long"  # told once a day
APART = [("x", 1000), ("y", 1000), ("x", 7), ("x", 1000)]
A, B, C = map(packed, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


def odd(at_s: float, name: str, orig: bytes = A, port: int = 1000, resp: bytes = B) -> Odd:
    return START + round(at_s * SECOND), b"\1" * 12, orig, port, resp, 53, name, "", "DNS"


def told(*found: Odd, again_s: float = 600.0, most: int = 100) -> list[tuple[str, int, int]]:
    """(name, port, count) of each row, the rest behind them."""
    repeats = Repeats(again_s, most)
    made = [*(repeats.new_of(rows_of_streams([one])) for one in found), repeats.rest()]
    return [(WEIRDS.names[row["name"]], int(row["sport"]), int(row["count"])) for row in np.concatenate(made)]


@pytest.mark.parametrize(
    ("found", "rows_"),
    [
        ([odd(0, "x"), odd(1, "x"), odd(599, "x")], [("x", 1000, 1), ("x", 0, 2)]),
        ([odd(0, "x"), odd(1, "y"), odd(1, "x", port=7), odd(2, "x", C)], [(one, port, 1) for one, port in APART]),
        ([odd(0, "x"), odd(600, "x")], [("x", 1000, 1)] * 2),
        ([odd(0, "x"), odd(1, "x"), odd(602, "y")], [("x", 1000, 1), ("y", 1000, 1), ("x", 0, 1)]),  # counted by then
        ([odd(5, "x"), odd(0, "x")], [("x", 1000, 1)] * 2),  # of another capture
        ([odd(0, HOST), odd(700, HOST, port=7)], [(HOST, 1000, 1), (HOST, 0, 1)]),
        ([odd(0, FLOW), odd(700, FLOW, port=7)], [(FLOW, 1000, 1), (FLOW, 7, 1)]),
        ([odd(0, FLOW), odd(700, FLOW)], [(FLOW, 1000, 1), (FLOW, 0, 1)]),
    ],
)  # fmt: skip
def test_what_was_told_is_counted(found: list[Odd], rows_: list[tuple[str, int, int]]) -> None:
    assert told(*found) == rows_


def test_without_a_time_all_is_told() -> None:
    assert len(told(*[odd(0, "x")] * 5, again_s=0)) == 5


def test_what_is_remembered_is_bounded() -> None:
    found = [odd(0, "x", port=port) for port in (*range(101), 0)]
    assert len(told(*found)) == 102


def spoken(content: bytes, **settings: Any) -> list[dict[str, Any]]:
    """Zeek's weird.log of a datagram to port 53, and one more."""
    packets = [Packet(START + at * SECOND, "10.0.0.1", "10.0.0.2", UDP, 1000, 53, len(content)) for at in (0, 1)]
    flows = Flows("made", FlowSettings(bytes(16), **settings), messages=True)
    batch = Batch(PACKET, rows(packets), NAMES, payloads=payloads(packets, [content] * 2))
    found = [one for one in (*flows.find(batch), *flows.end()) if one.record is WEIRD]
    return [json.loads(line) for part in ZeekJson(WEIRD).encode(found, 0) for line in bytes(part).splitlines()]


def test_what_a_protocol_finds_odd_is_a_row_of_weird() -> None:
    row, _ = spoken(bytes(4) + b"\0\x1a" + bytes(6), weirds_a_second=100)  # 26 questions
    assert (row.pop("ts"), row.pop("uid")[0]) == (START / SECOND, "C")
    assert row == {
        "id.orig_h": "10.0.0.1",
        "id.orig_p": 1000,
        "id.resp_h": "10.0.0.2",
        "id.resp_p": 53,
        "name": "DNS_Conn_count_too_large",
        "notice": False,
        "peer": "headwater",
        "source": "DNS",
    }


@pytest.mark.parametrize("settings", [{}, {"weirds_a_second": 100, "ignored_weirds": ["DNS_Conn_count_too_large"]}])
def test_it_is_told_where_it_is_asked_for(settings: dict[str, Any]) -> None:
    assert spoken(bytes(4) + b"\0\x1a" + bytes(6), **settings) == []
