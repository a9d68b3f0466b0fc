"""What goes from process to process comes as it was."""

import numpy as np
import pytest
from rows_made import packets, servers
from test_requests import HTTP, rows

from headwater.analysis.odd import rows_of_streams
from headwater.apps.shares import Packed, packed, unpacked
from headwater.records import CONN, WEIRD, Batch
from headwater.records.layouts import WEIRDS
from headwater.records.numbered import SERVICES

ODD = [(10**18, bytes(range(12)), b"\1" * 16, 1, b"\2" * 16, 2, "an oddity", "ü\0", "DNS")]
HEADERS = [{"ts": 1, "uid": bytes(range(12)), "uri": "/\udc80", "tags": ["a", "b"], "latency": 0.25}, {"ts": 2**63}]


@pytest.mark.parametrize("batch", [packets(50), servers(7), rows(HTTP, HEADERS), Batch(WEIRD, rows_of_streams(ODD), {1: "lo"})])
def test_a_batch_is_what_it_was(batch: Batch) -> None:
    again = unpacked(packed(batch))
    assert again.record is batch.record
    assert dict(again.interfaces) == dict(batch.interfaces)
    assert again.rows.tolist() == batch.rows.tolist()


def test_a_name_has_the_number_that_it_has_here() -> None:
    """Though it had another one there."""
    ours = SERVICES["one of ours"]
    there = np.zeros(3, CONN.dtype)
    there["service"] = ours + 1, 0, ours
    texts = {ours: "one of theirs", ours + 1: "one of ours"}
    here = unpacked(Packed("conn", there.tobytes(), [], texts, {}))
    assert [SERVICES.names.get(number) for number in here.rows["service"].tolist()] == ["one of ours", None, "one of theirs"]
    odd = packed(Batch(WEIRD, rows_of_streams(ODD)))
    assert odd.texts == {WEIRDS["an oddity"]: "an oddity"}
    odd.texts = {WEIRDS["an oddity"]: "another one"}
    assert WEIRDS.names[int(unpacked(odd).rows["name"][0])] == "another one"
