"""A run that has other CPUs than its packets, or one for everything: every flow is exact, and the ledger."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netns import FrameSender, Veth
from test_tap import ethernet, ipv4, udp
from watched import watching

pytestmark = pytest.mark.kernel

ALL = sorted(os.sched_getaffinity(0))
FLOWS, EACH = 50, 200


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """This process, and those that it starts in the block, have that CPU alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(len(ALL) < 2, reason="there is one CPU")
@pytest.mark.parametrize(("reads", "sends"), [(ALL[0], ALL[-1]), (ALL[-1], ALL[0]), (ALL[0], ALL[0])], ids=["first", "last", "one"])
@pytest.mark.parametrize("more", [(), ("--detail", "packets"), ("--hook", "af_packet")], ids=["flows", "packets", "af_packet"])
def test_cpus(silent_veth: Veth, more: tuple[str, ...], reads: int, sends: int, tmp_path: Path) -> None:
    frames = [ethernet(ipv4(udp(1000 + number, 2000))) for number in range(FLOWS)]
    with pinned(reads), watching(silent_veth.near, tmp_path, "conn", *more) as rows, FrameSender(silent_veth.far) as sender, pinned(sends):
        sender.send(frames * EACH)
    assert sorted((row["id.orig_p"], row["orig_pkts"]) for row in rows) == [(1000 + number, EACH) for number in range(FLOWS)]
    assert f"{FLOWS * EACH:,} seen" in rows.said
    assert "dropped" not in rows.said
