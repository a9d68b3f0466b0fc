"""The flows that are kept to be shown: rates, what goes, and no more than there is room for."""

import threading

import numpy as np
import pytest
from flows_made import SECOND, conn, going_on, over, table
from made import NOON, batch, packet

from headwater.apps.flows.table import OVER_S, SILENT_S, FlowTable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def rates(of: FlowTable) -> list[list[float]]:
    with of.kept() as kept:
        return kept.rates.tolist()  # type: ignore[no-any-return]


def numbers(of: FlowTable) -> list[int]:
    """Of flows, as conn() got them."""
    with of.kept() as kept:
        return [int.from_bytes(uid, "big") for uid in kept.batch.rows["uid"].tolist()]


def test_a_rate_is_between_two_reports() -> None:
    made = table(live=True, clock=Clock())
    made.put(going_on(conn(1, orig_ip_bytes=1000, resp_ip_bytes=3000, progress=NOON + SECOND // 2)))
    assert rates(made) == [[2000.0, 6000.0]]  # the first one: since it began
    made.put(going_on(conn(1, orig_ip_bytes=1500, resp_ip_bytes=13_000, progress=NOON + SECOND)))
    assert rates(made) == [[1000.0, 20_000.0]]


def test_reports_of_many_flows_in_one_batch_and_of_one_twice() -> None:
    made = table(live=True, clock=Clock())
    first = [conn(number, orig_ip_bytes=100 * number, progress=NOON + SECOND) for number in range(1, 2000)]
    made.put(going_on(*first))
    then = [conn(number, orig_ip_bytes=300 * number, progress=NOON + 2 * SECOND) for number in range(1, 2000)]
    made.put(going_on(*then, conn(7, orig_ip_bytes=50_000, progress=NOON + 3 * SECOND)))
    found = rates(made)
    assert [found[number - 1][0] for number in (1, 2, 1999)] == [200.0, 400.0, 399_800.0]
    assert numbers(made) == list(range(1, 2000))
    with made.kept() as kept:
        assert kept.batch.rows["orig_ip_bytes"][6] == 50_000


def test_after_a_silence_the_rate_is_that_of_the_last_seconds() -> None:
    made = table(live=True, clock=Clock())
    made.put(going_on(conn(1, orig_ip_bytes=1000, progress=NOON + SECOND)))
    made.put(going_on(conn(1, orig_ip_bytes=11_000, progress=NOON + 100 * SECOND)))
    assert rates(made) == [[10_000 / SILENT_S, 0.0]]


def test_what_is_silent_has_a_rate_of_nothing() -> None:
    clock = Clock()
    made = table(live=True, clock=clock)
    made.put(going_on(conn(1, orig_ip_bytes=1000, progress=NOON + SECOND)))
    assert rates(made) == [[1000.0, 0.0]]
    clock.now += SILENT_S + 0.1
    assert rates(made) == [[0.0, 0.0]]


def test_a_flow_that_is_over_stays_for_some_seconds_without_a_rate() -> None:
    clock = Clock()
    made = table(live=True, clock=clock)
    made.put(going_on(conn(1, orig_ip_bytes=1000, progress=NOON + SECOND), conn(2, orig_ip_bytes=1000, progress=NOON + SECOND)))
    made.put(over(conn(1, orig_ip_bytes=2000, duration=2 * SECOND), conn(3, orig_ip_bytes=10, duration=5)))
    with made.kept() as kept:
        assert kept.over.tolist() == [True, False, True]
        assert np.isnan(kept.rates[[0, 2]]).all() and not np.isnan(kept.rates[1]).any()
    clock.now += OVER_S - 0.1
    assert numbers(made) == [1, 2, 3]
    clock.now += 0.2
    assert numbers(made) == [2]
    made.put(going_on(conn(2, orig_ip_bytes=3000, progress=NOON + 2 * SECOND), conn(4, progress=NOON + SECOND)))
    assert numbers(made) == [2, 4]
    assert rates(made)[0] == [2000.0, 0.0]


def test_of_captures_all_stay_and_rates_are_over_the_whole_duration() -> None:
    clock = Clock()
    made = table(over(conn(1, orig_ip_bytes=1000, resp_ip_bytes=500, duration=2 * SECOND), conn(2, orig_ip_bytes=60)), clock=clock)
    clock.now += 1000
    assert numbers(made) == [1, 2]
    first, second = rates(made)
    assert first == [500.0, 250.0]
    assert np.isnan(second).all()  # one packet has no rate


def test_of_captures_those_with_the_most_octets_are_kept() -> None:
    made = table(most=64)
    sizes = np.random.default_rng(1).permutation(1000)
    for some in np.split(sizes, 100):
        made.put(over(*(conn(int(size) + 1, orig_ip_bytes=int(size)) for size in some)))
    found = numbers(made)
    assert {number for number in found if number > 1000 - 60} == set(range(941, 1001))
    assert len(found) <= 64 + 64 // 2
    assert len(found) + made.left_out == 1000


def test_live_the_fastest_are_kept_before_what_is_over() -> None:
    made = table(live=True, most=16, clock=Clock())
    made.put(over(*(conn(1000 + number, orig_ip_bytes=10**9, duration=1) for number in range(10))))
    made.put(going_on(*(conn(number, orig_ip_bytes=10**6, progress=NOON + 2 * SECOND) for number in range(1, 17))))
    assert sorted(numbers(made)) == list(range(1, 17))
    assert made.left_out == 0
    made.put(going_on(*(conn(number, orig_ip_bytes=10**5, progress=NOON + SECOND // 10) for number in range(17, 33))))
    assert sorted(numbers(made)) == list(range(17, 33))
    assert made.left_out == 16


def test_other_records_are_none_of_its_business_and_borrowed_rows_are_copied() -> None:
    made = table(batch(packet("l2")))
    assert len(made) == 0
    rows = conn(1, orig_ip_bytes=5)
    lent = over(rows)
    made.put(type(lent)(lent.record, lent.rows, lent.interfaces, borrowed=True))
    lent.rows["orig_ip_bytes"] = 9
    with made.kept() as kept:
        assert kept.batch.rows["orig_ip_bytes"].tolist() == [5]


def test_nothing_is_taken_once_it_is_shut() -> None:
    made = table()
    made.shut()
    made.put(over(conn(1)))
    assert numbers(made) == []


@pytest.mark.parametrize("live", [False, True])
def test_one_thread_puts_while_another_looks(live: bool) -> None:
    made = table(live=live, most=500)
    batches = [
        (going_on if live else over)(
            *(conn(number, orig_ip_bytes=turn * number, progress=NOON + turn * SECOND, duration=SECOND) for number in range(1, 300))
        )
        for turn in range(1, 30)
    ]
    thread = threading.Thread(target=lambda: [made.put(one) for one in batches for _ in range(10)])
    thread.start()
    while thread.is_alive():
        with made.kept() as kept:
            assert len(kept.rates) == len(kept.over) == len(kept.batch) in (0, 299)
    assert numbers(made) == list(range(1, 300))
