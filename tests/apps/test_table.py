"""Captures as a table."""

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from flows_made import conn, over
from made import NOON, batch, every_kind, packet
from rich.cells import cell_len

from headwater.apps import packets
from headwater.apps.table import Table
from headwater.records import PACKET, RATE, Batch


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time  # noqa: PLC0415 - tzset goes with the variable

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    packets._second.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    packets._second.cache_clear()


def table(*batches: Batch, width: int | None) -> list[str]:
    stream = io.StringIO()
    written = Table("packet", stream, width)
    for one in batches:
        written.put(one)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 81, 100, 120, 200])
def test_it_fits(width: int) -> None:
    told = table(every_kind(), width=width)
    assert len(told) == len(every_kind()) + 2  # the heading and the date
    assert all(cell_len(line) <= width for line in told)


def test_at_80_columns() -> None:
    one = Batch(PACKET, every_kind().rows, {1: "eth0"})
    told = table(one, width=80)
    assert re.fullmatch(r"time +dir source +destination +proto +bytes info", told[0])
    assert told[1] == "-- 2023-11-14"
    assert told[2] == "22:13:20.123 out 192.0.2.1       192.0.2.2       TCP       74 50312>443 S https"
    assert told[5] == "22:13:20.123 in  fe80::1         ff02::fb mDNS   UDP       60 5353>5353 mdns"


def test_without_a_time_its_column_is_empty() -> None:
    rows = every_kind().rows.copy()
    rows["ts"][1] = 0
    told, without = (table(Batch(PACKET, some, {1: "eth0"}), width=80) for some in (every_kind().rows, rows))
    assert without == [*told[:3], " " * 12 + told[3][12:], *told[4:]]


def test_columns_stay_where_they_are_across_batches() -> None:
    first, *rest = (Batch(PACKET, every_kind().rows[i : i + 1], {1: "eth0"}) for i in range(len(every_kind())))
    told = table(first, *rest, width=100)
    assert told == table(Batch(PACKET, every_kind().rows, {1: "eth0"}), width=100)
    at = told[0].index("proto")
    assert all(line[at - 1] == " " and line[at] != " " for line in told[2:])


def test_without_a_width_nothing_is_cut() -> None:
    told = "\n".join(table(every_kind(), width=None))
    assert "2001:db8:85a3:1319:8a2e:370:7344:1234" in told
    assert "…" not in told
    assert "22:13:20.123456" in told


def test_the_date_is_told_where_it_changes() -> None:
    day = 86_400 * 10**9
    rows = [packet("", ts=ts) for ts in (NOON, NOON + 1, NOON + 2 * 3600 * 10**9, NOON + day, NOON, 0)]
    told = [line for line in table(batch(*rows), width=80) if line.startswith("--")]
    assert told == ["-- 2023-11-14", "-- 2023-11-15", "-- 2023-11-14"], "0 is no time"


def test_times_that_no_calendar_has() -> None:
    assert table(batch(packet("", ts=2**64 - 1)), width=80)[1] == "-- 2554-07-21"


def test_other_records_and_nothing_are_passed_over() -> None:
    assert table(Batch(RATE, np.zeros(3, dtype=RATE.dtype)), Batch(PACKET, np.zeros(0, dtype=PACKET.dtype)), width=80) == []


def test_names_of_interfaces_are_harmless_and_bounded() -> None:
    told = table(batch(every_kind().rows, interfaces={1: "\x1b[31mevil\n" * 50, 2: "ok"}), width=80)
    assert len(told) == len(every_kind()) + 2
    assert all(cell_len(line) <= 80 and "\x1b" not in line for line in told)


FLOWS = over(
    conn(
        1,
        orig="10.1.102.141",
        resp="192.30.252.130",
        sport=62341,
        duration=84_000_000,
        orig_bytes=145,
        resp_bytes=99_949,
        history=b"ShADadFf",
    ),
    conn(
        2,
        orig="2001:db8:85a3:1319:8a2e:370:7344:1234",
        resp="2001:db8:1111:2222:3333:4444:5555:6666",
        sport=65535,
        dport=65535,
        ip_proto=17,
    ),
    conn(3, resp="224.0.0.251", ip_proto=2, duration=10**9 * 90_000, orig_pkts=1234, history=b"D" * 40),
)


@pytest.mark.parametrize("width", [None, 80, 99, 100, 110, 120, 200])
def test_columns_of_flows_are_below_their_titles(width: int | None) -> None:
    heading, date, *told = flows(width)
    assert date == "-- 2023-11-14" and len(told) == 3
    assert width is None or all(cell_len(line) <= width for line in (heading, *told))
    for title in ("proto", "originator", "responder", "state"):
        at = heading.index(title)
        assert all(line[at - 1] == " " and line[at] != " " for line in told)
    for title in ("lasted", "sent", "got"):
        end = heading.index(title) + len(title)
        assert all(line[end - 1] != " " and line[end : end + 1] in ("", " ") for line in told)
    assert all(":62341 " in line or ":65535 " in line or "192.0.2.1 " in line for line in told)


def test_a_flow_at_100_columns() -> None:
    told = flows(100)
    assert told[0] == "time     proto  originator             responder              state  lasted   sent    got history"
    assert told[2] == "22:13:20 TCP    10.1.102.141:62341     192.30.252.130:443     S1     84.0ms   145B 99.9kB ShADadFf"
    assert told[4] == "22:13:20 IGMP   192.0.2.1              224.0.0.251            S1      1d01h  1234p      - DDDDDDDDDD"


def flows(width: int | None) -> list[str]:
    stream = io.StringIO()
    Table("conn", stream, width).put(FLOWS)
    return stream.getvalue().splitlines()
