"""The push sink, against a stand-in that parses as strictly as Grafana and refuses a whole body for one bad line."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import reading_back
from grafana_stand_in import TOKEN, VIEWER, StandIn
from hypothesis import given, settings
from hypothesis import strategies as st
from line_protocol import BadLine, parse
from rows_made import START, ledger, packets, rates, servers
from waiting import MOST_S, until

from headwater.analysis import names
from headwater.errors import SinkError
from headwater.outputs import outlet as outlet_module
from headwater.outputs.lines import MEASUREMENTS, Lines
from headwater.outputs.outlet import Outlet
from headwater.outputs.sinks.grafana import Grafana, GrafanaSettings
from headwater.records import PACKET, Batch
from headwater.records.layouts import HAS
from headwater.telemetry import Entry, Ledger, imbalances

pytestmark = pytest.mark.alone

RECIPE = "source_mac destination_mac source_ip destination_ip protocol length ttl version source_port destination_port".split()


@pytest.fixture
def grafana() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


def made(stand_in: StandIn, **changes: Any) -> GrafanaSettings:
    settings = {"url": stand_in.url, "token": TOKEN, "max_rows_per_s": 100_000, "linger_ms": 50, "timeout_s": MOST_S}
    return GrafanaSettings(**{**settings, **changes})


class Run:
    """An outlet over the sink, and what it counted and said."""

    def __init__(self, options: GrafanaSettings) -> None:
        self.ledger, self.said = Ledger(), []
        self.outlet = Outlet(Grafana(options), self.ledger, self.said.append, backoff_s=(0.02, 0.1))
        self.outlet.open()

    def count(self, term: str, reason: str = "") -> int:
        return self.ledger.get(Entry("records", "grafana", term, "sink" if reason else "", reason))

    def close(self, deadline_s: float = MOST_S) -> None:
        self.outlet.close(deadline_s)
        assert not list(imbalances(self.ledger.totals()))
        assert self.count("queued") == 0
        assert not any(TOKEN in line or VIEWER in line for line in self.said)


def test_the_stand_in_judges_as_grafanas_parser() -> None:
    """The verdicts are those of influxdata/line-protocol v1 itself, which Grafana imports."""
    verdicts = json.loads((Path(__file__).parent / "line_protocol_verdicts.json").read_text())
    assert 100 < sum(verdict is None for _, verdict in verdicts) < len(verdicts) - 100
    for body, verdict in verdicts:
        try:
            mine = [[line.name, sorted(map(list, line.tags)), dict(line.fields), line.time] for line in parse(body.encode())]
        except BadLine:
            mine = None
        assert mine == (verdict and [[name, sorted(tags), dict(fields), at] for name, tags, fields, at in verdict]), body


# -- lines -------------------------------------------------------------------------------------------------------------------


def lines_of(*batches: Batch) -> list[Any]:
    lines = Lines(batches)
    parsed = parse(lines.body(0, len(lines)))
    assert len(parsed) == len(lines) and not lines.malformed
    return parsed


def test_packet_details_has_the_recipes_fields_and_the_packets_values() -> None:
    batch = packets(2000)
    for line, row in zip(lines_of(batch), reading_back.expected(batch), strict=True):
        assert (line.name, line.tags) == ("packet_details", ())
        fields = dict(line.fields)
        assert list(fields) == RECIPE
        assert [fields[name] for name in RECIPE[:4]] == [row[name] or "" for name in ("l2_src", "l2_dst", "src", "dst")]
        assert [fields[name] for name in RECIPE[5:]] == [row[name] or 0 for name in ("ip_length", "ttl", "ip_version", "sport", "dport")]
        wanted = names.protocol(row["proto"]) if row["proto"] is not None else ""
        assert fields["protocol"] == (wanted or ("" if row["ethertype"] is None else names.ethertype(row["ethertype"])))
        assert all(type(fields[name]) is (str if name in RECIPE[:5] else int) for name in RECIPE)
    assert [line.time for line in lines_of(batch)] == batch.rows["ts"].tolist()
    assert {":" in dict(line.fields)["source_ip"] for line in lines_of(batch)} == {True, False}, "IPv6 and IPv4"


def test_lines_are_in_the_order_of_time_and_no_two_have_the_same() -> None:
    batch = packets(500)
    batch.rows["ts"] = START + np.random.default_rng(1).integers(0, 300, 500).astype(np.uint64)
    times = [line.time for line in lines_of(batch)]
    assert times == sorted(set(times))
    shifts = np.array(times) - np.sort(batch.rows["ts"]).astype(np.int64)
    assert shifts.min() == 0 and shifts.max() < 500, "nanoseconds"


def test_times_that_no_clock_shows_are_lines_all_the_same() -> None:
    batch = packets(5)
    batch.rows["ts"] = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    assert len(lines_of(batch)) == 5


def test_a_rate_line_is_a_second_of_sums() -> None:
    batch = rates(200)
    lines = Lines([batch])
    assert lines.rows.sum() == 200
    for line in lines_of(batch):
        rows = batch.rows[batch.rows["ts"] == line.time]
        fields = dict(line.fields)
        assert list(fields) == list(MEASUREMENTS["rate"][1])
        assert (fields["packets"], fields["bytes"]) == (rows["packets"].sum(), rows["bytes"].sum())
        assert fields["packets_in"] == rows["packets"][rows["direction"] == 1].sum()
        assert fields["bytes_out"] == rows["bytes"][rows["direction"] == 2].sum()
        tcp = (rows["has"] & HAS["ip"] != 0) & (rows["proto"] == 6)
        assert fields["tcp"] == rows["packets"][tcp].sum()
        # a row of random layers may be IP and ARP in one, as no real one is
        assert sum(fields[name] for name in "tcp udp icmp icmpv6 arp other".split()) >= fields["packets"]


def test_a_server_line_has_the_columns_of_its_row() -> None:
    batch = servers(200)
    batch.rows["ts"] = START + np.arange(200, dtype=np.uint64)
    for line, row in zip(lines_of(batch), reading_back.expected(batch), strict=True):
        assert line.name == "server"
        assert dict(line.fields) == {
            name: ("" if name == "addr" else 0) if value is None else value for name, value in row.items() if name != "ts"
        }
        assert {name for name, value in line.fields if isinstance(value, float)} == {f"handshake_{name}" for name in ("min", "mean", "max")}


def shown(text: str) -> str:
    """How text looks in Grafana: controls as their symbols, what else harms as U+FFFD, and NaN, which Grafana reads as null, as nan."""
    text = text.encode(errors="backslashreplace").decode()
    harmful = re.compile("[\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
    text = re.sub("[\x00-\x1f]", lambda found: chr(0x2400 + ord(found[0])), text).replace("\x7f", "\u2421")
    return "nan" if text == "NaN" else harmful.sub("\ufffd", text)


NASTY = st.one_of(
    st.just("NaN"), st.text(st.one_of(st.characters(codec=None), st.sampled_from(' ,=\\"\n\r\f\v\t\0\x1b#i1\u202e\ud800')), max_size=12)
)


@given(st.lists(NASTY, min_size=100, max_size=100))
@settings(max_examples=100)
def test_any_text_is_one_value_of_one_line(texts: list[str]) -> None:
    """10,000 strings."""
    parsed = lines_of(ledger(texts))
    assert len(parsed) == len(texts)
    for number, (line, text) in enumerate(zip(parsed, texts, strict=True)):
        fields = dict(line.fields)
        assert list(fields) == ["interval_s", "ledger", "subject", "term", "place", "reason", "count"]
        assert fields["subject"] == fields["term"] == fields["reason"] == shown(text)
        assert fields["place"] == "" and fields["ledger"] == "records"
        assert fields["count"] == 2**63 - 1, "Grafana's integers have 64 bits with a sign"
        assert fields["interval_s"] == 1 + number / 4


# -- requests ----------------------------------------------------------------------------------------------------------------


def test_one_request_at_a_time_with_a_bearer_token_to_the_stream(grafana: StandIn) -> None:
    run = Run(made(grafana, stream="my_stream-1"))
    for number in range(10):
        run.outlet.put(packets(20, number, START + number * 10**12))
        run.outlet.put(rates(5, seed=number))
        run.outlet.put(ledger(["x"]))
        time.sleep(0.03)
    run.close()
    assert run.count("acked") == run.count("made") == 260
    assert len(grafana.of("packet_details")) == 200 and len(grafana.of("ledger")) == 10
    assert not grafana.problems and not run.said
    assert {request["path"] for request in grafana.requests} == {"/api/live/push/my_stream-1?gf_live_frame_format=wide"}
    for request in grafana.requests:
        assert request["headers"]["Authorization"] == f"Bearer {TOKEN}"
        assert "Content-Encoding" not in request["headers"]
    assert not grafana.requests[0]["body"], "asked first"
    assert all(request["body"].endswith(b"\n") for request in grafana.requests[1:])
    assert len({request["from"] for request in grafana.requests}) == 1, "one connection, kept"
    assert len(grafana.requests) < 25, "gathered"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/api/live/push/headwater?gf_live_frame_format=wide"),
        ("/", "/api/live/push/headwater?gf_live_frame_format=wide"),
        ("/grafana/", "/grafana/api/live/push/headwater?gf_live_frame_format=wide"),
        ("/api/live/push/ebpf-test", "/api/live/push/ebpf-test?gf_live_frame_format=wide"),
        ("/api/live/push/ebpf-test?gf_live_frame_format=labels_column", "/api/live/push/ebpf-test?gf_live_frame_format=labels_column"),
    ],
)
def test_the_url_may_be_grafanas_or_the_whole_push_url(url: str, path: str) -> None:
    assert GrafanaSettings(f"http://h:1{url}").push_url() == f"http://h:1{path}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:3000"},
        {"url": "ftp://h"},
        {"url": "http://"},
        {"url": "http://h/x y"},
        {"url": "http://h/api/live/push/"},
        {"url": "http://h/api/live/push/a/b"},
        {"url": "http://h", "stream": "a/b"},
        {"url": "http://h", "stream": ""},
        {"url": "http://h", "stream": "x" * 139},
        {"url": "http://h", "token": "two words"},
        {"url": "http://h", "token": "glsa_x\n"},
        {"url": "http://h", "linger_ms": 10},
        {"url": "http://h", "nonsense": 1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(wrong, GrafanaSettings)
    assert "glsa_x" not in str(caught.value)


def test_the_token_and_password_are_not_shown() -> None:
    options = GrafanaSettings("http://user:secret@h:1/x", token="glsa_secret")
    assert "secret" not in repr(options) + str(options) + options.address()


def test_something_that_knows_no_formats_is_pushed_to_all_the_same() -> None:
    with StandIn(formats=False) as other:
        run = Run(made(other))
        run.outlet.put(packets(10))
        run.close()
        assert run.count("acked") == len(other.lines) == 10 and not run.said


def test_one_bad_line_costs_itself_alone(grafana: StandIn) -> None:
    batch = packets(300)
    bad = {int(batch.rows["ts"][place]) for place in (7, 8, 250)}
    grafana.act = lambda number, lines: 500 if any(line.time in bad for line in lines) else None
    run = Run(made(grafana))
    run.outlet.put(batch)
    run.outlet.put(rates(9))
    run.close()
    assert (run.count("acked"), run.count("dropped", "rejected")) == (297 + 9, 3)
    assert {line.time for line in grafana.of("packet_details")} == set(batch.rows["ts"].tolist()) - bad
    assert not run.said


def test_a_body_that_is_too_large_is_halved(grafana: StandIn) -> None:
    grafana.act = lambda number, lines: 413 if len(lines) > 60 else None
    run = Run(made(grafana))
    run.outlet.put(packets(400))
    run.close()
    assert run.count("acked") == len(grafana.lines) == 400


def test_what_refuses_everything_is_said_to_be_no_grafana(grafana: StandIn) -> None:
    grafana.act = lambda number, lines: 400 if lines else None
    run = Run(made(grafana))
    run.outlet.put(packets(30))
    until(lambda: run.said)
    run.close(0.2)
    assert run.count("dropped", "rejected") == 30
    assert "is it Grafana?" in run.said[0]


def test_a_server_error_is_not_taken_for_a_bad_line(grafana: StandIn) -> None:
    """500 to everything, an empty body too: nothing is halved, and nothing lost."""
    grafana.act = lambda number, lines: 500
    run = Run(made(grafana))
    run.outlet.put(packets(30))
    until(lambda: len(grafana.requests) > 4)
    assert {len(parse(request["body"])) for request in grafana.requests} == {30, 0}
    grafana.act = lambda number, lines: None
    run.close()
    assert run.count("acked") == len(grafana.lines) == 30
    assert run.said[0] == f"grafana: {grafana.url} answers 500; trying again"


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("glsa_wrong", 401, "GRAFANA_TOKEN"),
        ("", 401, "GRAFANA_TOKEN"),
        (VIEWER, 403, "role Editor"),
        (TOKEN, 404, "http://localhost:3000"),
        (TOKEN, 302, "redirect"),
    ],
)
def test_what_only_the_user_can_change_is_said_and_seldom_tried(grafana: StandIn, token: str, status: int, words: str) -> None:
    with StandIn() as elsewhere:
        if token == TOKEN:
            grafana.act = lambda number, lines: (status, {"Location": f"{elsewhere.url}/api/live/push/headwater"})
        run = Run(made(grafana, token=token))
        for number in range(10):
            run.outlet.put(packets(10, number))
            time.sleep(0.06)
        run.close(1.0)
        assert not elsewhere.requests, "a token does not follow a redirect"
    assert len(grafana.requests) <= 2, "no hammering"
    assert len(run.said) == 1 and words in run.said[0] and str(status) in run.said[0]
    assert run.count("made") == run.count("dropped", "rejected") == 100, "those at the end too: it refuses, and can be reached"
    assert not grafana.lines


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [("glsa_wrong", 401, "GRAFANA_TOKEN"), (VIEWER, 403, "role Editor"), (TOKEN, 404, "404"), (TOKEN, 302, "redirect")],
)
def test_what_is_wrong_is_said_once_and_before_the_first_row(grafana: StandIn, token: str, status: int, words: str) -> None:
    if token == TOKEN:
        grafana.act = lambda number, lines: status
    run = Run(made(grafana, token=token))
    until(lambda: run.said)
    assert words in run.said[0] and str(status) in run.said[0]
    assert run.count("made") == 0 and not any(request["body"] for request in grafana.requests)
    run.outlet._rest_until = 0.0  # a minute later
    run.outlet.put(packets(10))
    run.outlet.put(packets(10))
    until(lambda: run.count("dropped", "rejected"))
    run.close(0.2)
    assert run.count("made") == run.count("dropped", "rejected") == 20 and len(run.said) == 1


def test_who_refused_and_then_went_away_is_unreachable_at_the_end(grafana: StandIn) -> None:
    run = Run(made(grafana, token=VIEWER))
    until(lambda: run.said)
    grafana.__exit__()
    run.outlet._rest_until = 0.0
    run.outlet.put(packets(10))
    until(lambda: len(run.said) == 2)
    run.close(0.1)
    assert run.count("dropped", "unreachable") == 10
    grafana.__enter__()


def test_nobody_there_is_said_before_the_first_row_and_once_and_then_that_it_is_back(
    grafana: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet_module, "CALM_S", 0.0)
    grafana.__exit__()
    run = Run(made(grafana))
    until(lambda: run.said)
    assert re.fullmatch(r"grafana: no connection to http://127\.0\.0\.1:\d+ \(Connection refused\); trying again", run.said[0])
    assert run.count("made") == 0
    run.outlet.put(packets(10))
    time.sleep(0.3)  # some tries
    assert len(run.said) == 1
    grafana.__enter__()
    until(lambda: run.count("acked") == 10)
    run.close()
    assert len(run.said) == 2 and run.said[1].startswith("grafana: back after") and run.said[1].endswith(" 0 rows lost")
    assert len(grafana.lines) == run.count("made") == 10


@pytest.mark.parametrize("formats", [True, False])
@pytest.mark.parametrize("status", [204, 400, 405, 422, 429, 500, 503])
def test_what_something_else_says_to_an_empty_body_is_no_problem(status: int, formats: bool) -> None:
    with StandIn(formats=formats) as other:
        other.act = lambda number, lines: None if lines else status
        run = Run(made(other))
        until(lambda: len(other.requests) > (not formats))
        run.outlet.put(packets(10))
        run.close()
        assert run.count("acked") == run.count("made") == len(other.lines) == 10 and not run.said


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_too_many_requests_waits_as_long_as_asked(grafana: StandIn, form: str) -> None:
    ask = {
        "seconds": {"Retry-After": "1"},
        "date": {"Date": "Fri, 21 Nov 2025 10:00:00 GMT", "Retry-After": "Fri, 21 Nov 2025 10:00:01 GMT"},
    }[form]
    grafana.act = lambda number, lines: (429, ask) if number == 2 else None
    run = Run(made(grafana))
    run.outlet.put(packets(10))
    until(lambda: len(grafana.requests) > 2)
    run.close()
    assert grafana.requests[2]["at"] - grafana.requests[1]["at"] >= 1.0
    assert run.count("acked") == len(grafana.lines) == 10
    assert "asks for patience (429)" in run.said[0]


def test_a_connection_that_breaks_after_the_lines_were_taken_counts_them_once(grafana: StandIn) -> None:
    grafana.act = lambda number, lines: "took it, then reset" if number == 3 else None
    run = Run(made(grafana))
    for number in range(3):
        run.outlet.put(packets(10, number, START + number * 10**12))
        run.outlet.flush(MOST_S)
    run.close()
    assert run.count("acked") == run.count("made") == 30
    assert len(grafana.lines) == 40 and len({line.time for line in grafana.lines}) == 30, "shown twice, as the module says"


def test_a_server_that_does_not_answer_is_left_after_the_time_limit(grafana: StandIn) -> None:
    over = threading.Event()
    grafana.act = lambda number, lines: 503 if number == 2 and over.wait() else None
    run = Run(made(grafana, timeout_s=2.0))
    run.outlet.put(packets(10))
    until(lambda: grafana.lines)
    over.set()
    run.close()
    assert "does not answer within 2 s" in run.said[0]
    assert run.count("acked") == len(grafana.lines) == 10


def test_nobody_there_at_the_end_loses_what_is_left(grafana: StandIn) -> None:
    run = Run(made(grafana))
    run.outlet.put(packets(10))
    run.outlet.flush(MOST_S)
    until(lambda: grafana.lines)
    grafana.__exit__()
    run.outlet.put(packets(20, 2))
    until(lambda: run.said)
    began = time.monotonic()
    run.outlet.flush()  # does not wait for one that fails
    run.close(0.3)
    assert time.monotonic() - began < 5
    assert (run.count("acked"), run.count("dropped", "unreachable")) == (10, 20)
    assert re.fullmatch(r"grafana: no connection to http://127\.0\.0\.1:\d+ \(Connection refused\); trying again", run.said[0])
    grafana.__enter__()


def test_what_was_taken_before_the_end_is_acked(grafana: StandIn) -> None:
    """Two requests of one send(): the first is taken, for the second nobody is there any more."""
    grafana.act = lambda number, lines: 503 if number > 2 else None
    run = Run(made(grafana))
    run.outlet.put(packets(800))
    until(lambda: len(grafana.requests) > 4)
    run.close(0.1)
    assert (run.count("acked"), run.count("dropped", "unreachable")) == (500, 300)
    assert len(grafana.lines) == 500


def test_packets_are_sampled_rates_and_the_ledger_never(grafana: StandIn) -> None:
    run = Run(made(grafana, max_rows_per_s=100))
    run.outlet.put(packets(5000))
    run.outlet.put(rates(3000, seconds=400))
    run.outlet.put(ledger(["x"] * 300))
    run.close()
    assert len(grafana.of("packet_details")) == 100
    assert run.count("dropped", "unsampled") == 4900
    assert run.count("acked") == 100 + 3000 + 300 and len(grafana.of("ledger")) == 300


def test_a_sink_by_itself_raises_what_it_cannot_do() -> None:
    with Grafana(GrafanaSettings("http://127.0.0.1:9")) as sink, pytest.raises(SinkError) as caught:
        sink.send([Batch(PACKET, packets(1).rows)])
    assert caught.value.retryable


def test_a_name_without_an_address_is_said_in_words() -> None:
    with Grafana(GrafanaSettings(url="http://nosuch.invalid:3000")) as sink, pytest.raises(SinkError) as caught:
        sink.flush(last=False)
    wanted = "no connection to http://nosuch.invalid:3000 (its name has no address here: check the url, and this machine's DNS)"
    assert caught.value.retryable and str(caught.value) == wanted
