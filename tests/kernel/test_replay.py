"""Captures at their own speed over a veth pair: the kernel's flows are those of the file."""

from pathlib import Path

import pytest
from replay import captures, replay_all, selection

pytestmark = [pytest.mark.kernel, pytest.mark.corpora]

TOGETHER = 4
SECONDS = 25.0 * TOGETHER


def test_flows_are_those_of_the_file(tmp_path: Path) -> None:
    """Some of them; tests/kernel/soak.py sends all."""
    chosen = selection(list(captures()), SECONDS)
    assert replay_all(chosen, tmp_path, TOGETHER) == []
    assert sum(capture.flows for capture in chosen) > 700
