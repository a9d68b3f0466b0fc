"""What is told once of all flows: in the order of time, whichever of them was read first."""

from collections.abc import Sequence

import numpy as np
import pytest

from headwater.analysis.across import X509, Once
from headwater.analysis.odd import Odd, rows_of_streams
from headwater.records import CONN, WEIRD, Batch, messages
from headwater.records.layouts import WEIRDS

SECOND, DAY = 10**9, 86_400 * 10**9
START = 10**18
A, B = bytes(15) + b"\1", bytes(15) + b"\2"


def certificates(*told: tuple[int, str]) -> Batch:
    """Of servers."""
    made = [
        tuple({"ts": START + ts, "fingerprint": name, "host_cert": True, "client_cert": False}.get(c.name) for c in X509.columns)
        for ts, name in told
    ]
    return Batch(X509, messages.rows(X509, made))


def odd(at_s: int, uid: bytes, name: str = "x") -> Odd:
    return START + at_s * SECOND, uid * 12, A, 1000, B, 53, name, "", "DNS"


def told(steps: Sequence[Sequence[Batch]], again_s: float = 600.0) -> list[tuple[int, str | int]]:
    once = Once(again_s)
    found = [one for step in steps for one in once.find(step)] + list(once.end([]))
    column = {X509: "fingerprint", WEIRD: "count"}
    return [(int(ts) - START, what) for one in found for ts, what in one.rows[["ts", column[one.record]]].tolist()]


@pytest.mark.parametrize("apart", [False, True])
def test_a_certificate_is_told_once_a_day(apart: bool) -> None:
    """Of what came with the same packets that which came first, in whatever batches it is."""
    first = [certificates((5, "a")), certificates((3, "b"), (2, "a"))] if apart else [certificates((5, "a"), (3, "b"), (2, "a"))]
    steps = [first, [certificates((2 + DAY - 1, "a"))], [certificates((2 + DAY, "a"), (2 + DAY, "a"))]]
    assert told(steps) == [(2, "a"), (3, "b"), (2 + DAY, "a")]


@pytest.mark.parametrize("turned", [1, -1])
def test_of_the_same_ends_the_first_in_time_is_told(turned: int) -> None:
    """Of one time, that of the lower uid."""
    step = [Batch(WEIRD, rows_of_streams([one])) for one in (odd(4, b"\4"), odd(3, b"\3"), odd(3, b"\2"))][::turned]
    once = Once(600)
    [batch] = once.find(step)
    assert [bytes(uid)[:1] for uid in batch.rows["uid"]] == [b"\2"]
    assert told([step]) == [(3 * SECOND, 1), (4 * SECOND, 2)]


def test_without_a_time_all_weirds_are_told() -> None:
    assert told([[Batch(WEIRD, rows_of_streams([odd(2, b"\1"), odd(1, b"\1")]))]], again_s=0) == [(SECOND, 1), (2 * SECOND, 1)]


def test_all_else_passes_at_once() -> None:
    conn = Batch(CONN, np.zeros(1, CONN.dtype))
    found = list(Once(600).find([Batch(WEIRD, rows_of_streams([odd(1, b"\1")])), conn]))
    assert found[0] is conn
    assert WEIRDS.names[int(found[1].rows["name"][0])] == "x"
