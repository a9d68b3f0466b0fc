"""The ledger adds up, and says so when it does not."""

import threading

from headwater.telemetry import Entry, Ledger, imbalances, lines


def test_a_sum_that_comes_out():
    ledger = Ledger()
    ledger.replace(
        {
            Entry("packets", "eth0", "seen"): 10,
            Entry("packets", "eth0", "as_row"): 7,
            Entry("packets", "eth0", "octets"): 640,
            Entry("packets", "eth0", "dropped", "ringbuf", "full"): 3,
        }
    )
    assert imbalances(ledger.totals()) == []
    assert lines(ledger.totals()) == ["packets  eth0: 10 seen = 7 as_row + 3 dropped (ringbuf: full)", "ledger   adds up exactly"]


def test_a_sum_that_does_not():
    ledger = Ledger()
    ledger.add(Entry("records", "jsonl", "made"), 5)
    ledger.add(Entry("records", "jsonl", "acked"), 3)
    ledger.add(Entry("records", "jsonl", "dropped", "sink", "rejected"), 1)
    assert imbalances(ledger.totals()) == [("records", "jsonl", 1)]
    assert "off by +1" in lines(ledger.totals())[-1]
    ledger.add(Entry("records", "jsonl", "spooled"), 1)
    assert imbalances(ledger.totals()) == []


def test_a_sum_that_comes_out_with_less_than_nothing():
    totals = {Entry("records", "tap", "made"): 0, Entry("records", "tap", "acked"): 5, Entry("records", "tap", "queued"): -5}
    assert imbalances(totals) == [("records", "tap", -5)]
    assert "off by -5" in lines(totals)[-1]


def test_adding_from_many_threads_loses_nothing():
    ledger = Ledger()
    entry = Entry("records", "x", "made")
    threads = [threading.Thread(target=lambda: [ledger.add(entry, 1) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.get(entry) == 16_000
