"""What breaks in a run ends it, and is told. A run is over when its sources are."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headwater.pipeline import Pipeline
from headwater.records import Batch
from headwater.telemetry import Ledger


class Empty:
    """A source that has ended."""

    name = "empty"

    def open(self) -> None: ...
    def close(self) -> None: ...
    def stop(self) -> None: ...
    def account(self) -> None: ...
    def read(self) -> Iterator[Batch]:
        return iter(())


class Breaks:
    """An analysis that does, when it is to tell what is left."""

    reads_carriers = False

    def end(self) -> Iterator[Batch]:
        raise ValueError("what was left")

    def account(self, ledger: Ledger) -> None: ...


def test_an_analysis_that_breaks_at_the_end_is_no_success() -> None:
    source: Any = Empty()
    analysis: Any = Breaks()
    with pytest.raises(ValueError, match="what was left"):
        Pipeline([source], [], Ledger(), analyses=lambda _: [analysis]).run()


def test_a_run_does_not_wait_for_the_next_second_when_its_sources_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who rings the bell at the end of a thread is still alive when the other one wakes."""
    stopped = threading.Event()
    in_time: list[bool] = []

    class Lingers(threading.Thread):
        def run(self) -> None:
            super().run()
            in_time.append(stopped.wait(60))

    class Stops(Empty):
        def stop(self) -> None:
            stopped.set()

    monkeypatch.setattr("headwater.pipeline.threading.Thread", Lingers)
    source: Any = Stops()
    Pipeline([source], [], Ledger()).run()
    assert in_time == [True]
