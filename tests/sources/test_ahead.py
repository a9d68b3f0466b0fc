"""Batches made ahead, in another thread, of memory that is used again."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from forge import packets, pcap

from headwater.errors import SourceError
from headwater.records import PACKET, Batch
from headwater.sources.ahead import BATCHES_IN_USE, ahead
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

COUNT = 1000


def capture_of(path: Path, data: bytes) -> Capture:
    path.write_bytes(data)
    return Capture(str(path), Ledger(), 7, lends=BATCHES_IN_USE)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_batch_stays_what_it_is_until_the_next_is_asked_for(tmp_path: Path) -> None:
    ports, lengths = [], []
    with capture_of(tmp_path / "a.pcap", pcap(packets(COUNT))) as capture:
        for number, batch in enumerate(ahead(capture.read(), capture.stop)):
            if number % 50 == 0:
                time.sleep(0.01)  # so that as much is made ahead as may be
            ports += batch.rows["sport"].tolist()
            lengths.append(len(batch))
            assert batch.borrowed
    assert ports == [1024 + number if number % 5 != 3 else 0 for number in range(COUNT)]
    assert lengths == [7] * (COUNT // 7) + [COUNT % 7]
    assert "ahead" not in threads()


def test_an_error_comes_behind_the_rows_before_it(tmp_path: Path) -> None:
    found = 0
    with (
        capture_of(tmp_path / "cut.pcap", pcap(packets(COUNT))[:-3]) as capture,
        pytest.raises(SourceError, match=rf"cut off in its last packet|after packet {COUNT - 1}"),
    ):
        for batch in ahead(capture.read(), capture.stop):
            found += len(batch)
    assert found == COUNT - 1


def test_who_wants_no_more_leaves_no_thread(tmp_path: Path) -> None:
    with capture_of(tmp_path / "a.pcap", pcap(packets(COUNT))) as capture:
        batches = ahead(capture.read(), capture.stop)
        next(batches)
        assert "ahead" in threads()
        batches.close()  # type: ignore[attr-defined]
        assert "ahead" not in threads()


def test_no_more_is_made_ahead_than_there_is_memory_for() -> None:
    made = 0

    def source() -> Iterator[Batch]:
        nonlocal made
        for _ in range(COUNT):
            made += 1
            yield Batch(PACKET, np.zeros(1, PACKET.dtype))

    for number, _ in enumerate(ahead(source(), lambda: None), 1):
        if number % 250 == 1:
            time.sleep(0.05)
        assert number <= made < number + BATCHES_IN_USE
