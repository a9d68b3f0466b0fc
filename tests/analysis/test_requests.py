"""Requests by the second: nothing is missed, percentiles are numpy's, and strangers cannot make it grow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from headwater.analysis import requests
from headwater.analysis.protocols import MESSAGES
from headwater.analysis.requests import MOST, OTHERS, REQUEST, Requests, Told
from headwater.records import Batch, messages

SECOND = 10**9
HTTP = MESSAGES["http"]
RESP = b"\0" * 10 + b"\xff\xff\x0a\0\0\2"


def rows(record: Any, each: Sequence[dict[str, Any]]) -> Batch:
    always = {"id.orig_h": bytes(16), "id.resp_h": RESP, "uid": bytes(12), "id.orig_p": 1000, "id.resp_p": 80}
    made = [tuple({**always, **one}.get(column.name) for column in record.columns) for one in each]
    return Batch(record, messages.rows(record, made))


def told(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """The rows of requests that come out of these."""
    across = Requests()
    found = [made for batch in batches for made in across.find([batch])] + list(across.end([]))
    assert sum(len(one) for one in found if one.record is not REQUEST) == sum(map(len, batches))
    names = [column.name for column in REQUEST.columns]
    return [dict(zip(names, row, strict=True)) for one in found if one.record is REQUEST for row in one.rows.tolist()]


def test_percentiles_are_by_nearest_rank() -> None:
    chance = np.random.default_rng(1)
    latencies = chance.exponential(0.1, 137)
    each = [
        {"ts": 7 * SECOND + at, "method": "GET", "host": "a", "uri": "/x", "status_code": 200, "latency": float(latency), "network": 0.01}
        for at, latency in enumerate(latencies)
    ]
    [row] = told([rows(HTTP, each[:50]), rows(HTTP, each[50:])])
    assert (row["ts"], row["requests"], row["outcome"], row["endpoint"]) == (7 * SECOND, 137, "200", "GET a/x")
    for percent in (50, 90, 99):
        assert row[f"latency_p{percent}"] == np.percentile(latencies, percent, method="inverted_cdf")
    assert row["latency_max"] == latencies.max()
    assert row["network"] == 0.01
    assert row["application"] == pytest.approx(np.percentile(np.maximum(0, latencies - 0.01), 50, method="inverted_cdf"))


def test_a_burst_of_errors_is_a_number_of_its_own() -> None:
    names = [
        {"ts": 10**18 + at, "query": f"x{at}.a.example.org", "qtype_name": "A", "rcode_name": "NXDOMAIN", "latency": 0.5}
        for at in range(60)
    ]
    good = [{"ts": 10**18, "query": "www.example.org", "qtype_name": "A", "rcode_name": "NOERROR", "latency": 0.001}]
    none = [{"ts": 10**18, "query": "www.example.org", "qtype_name": "A"}]
    found = {row["outcome"]: row for row in told([rows(MESSAGES["dns"], names + good + none)])}
    assert {outcome: row["requests"] for outcome, row in found.items()} == {"NXDOMAIN": 60, "NOERROR": 1, "unanswered": 1}
    assert {row["endpoint"] for row in found.values()} == {"A example.org"}
    assert found["unanswered"]["latency_p50"] is None
    assert found["NXDOMAIN"]["network"] is None


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [
        ("/users/17/orders?secret=1", "GET a/users/*/orders"),
        ("/f/0123456789abcdef#x", "GET a/f/*"),
        ("/f/550e8400-e29b-41d4-a716-446655440000/", "GET a/f/*/"),
        ("/v2/things", "GET a/v2/things"),
        (None, "GET a"),
        ("http://me:secret@b:81/users/17?secret", "GET b:81/users/*"),
        ("https://b", "GET b"),
        ("b:443", "GET a"),
        ("*", "GET a"),
    ],
)
def test_an_endpoint_has_no_ids_and_no_query(uri: str | None, endpoint: str) -> None:
    [row] = told([rows(HTTP, [{"ts": 1, "method": "GET", "host": "a", "uri": uri, "status_code": 200}])])
    assert row["endpoint"] == endpoint


def test_what_neither_asked_nor_answered_is_no_request() -> None:
    """As the row of a body that a client did not send, since the answer came to its Expect: 100-continue."""
    each = [{"ts": 1, "trans_depth": 2}, {"ts": 1, "method": "POST", "host": "a", "uri": "/"}, {"ts": 1, "status_code": 413}]
    assert {(row["endpoint"], row["outcome"]) for row in told([rows(HTTP, each)])} == {("POST a/", "unanswered"), ("? ", "413")}


def test_seconds_are_told_in_order_and_each_once() -> None:
    each = [{"ts": second * SECOND, "method": "GET", "host": "a", "uri": "/", "status_code": 200} for second in (3, 1, 2, 20, 2)]
    across = Requests()
    found = [one for row in each for one in across.find([rows(HTTP, [row])]) if one.record is REQUEST]
    assert [(one.rows["ts"] // SECOND).tolist() for one in found] == [[1, 2, 3], [2]]
    assert [one.rows["ts"].tolist() for one in across.end([])] == [[20 * SECOND]]


def test_strangers_cannot_make_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = requests.Reader("http", ("uri",), lambda uri: Told(uri, "200", None, None))
    monkeypatch.setattr(requests, "READERS", {"http": reader})
    each = [{"ts": 1, "uri": f"/{at}", "id.resp_h": (at // 3).to_bytes(16, "big")} for at in range(10 * MOST)]
    found = told([rows(HTTP, each)])
    assert sum(row["requests"] for row in found) == len(each)
    assert len(found) <= 2 * MOST + 1
    assert {row["endpoint"] for row in found[MOST:]} == {OTHERS}
