"""Connections whose begin was not seen: what is read of them is what begins a segment, and Zeek reads none of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conversations import Step, Tcp, rows
from flowing import NAMES
from test_streams import payloads

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.protocols.http import HTTP
from headwater.records import CONN, PACKET, Batch
from headwater.records.numbered import SERVICES

ENDS = [("10.0.0.1", 40_000), ("10.0.0.2", 80)]
ASKS = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
TELLS = b"HTTP/1.1 20%d OK\r\nContent-Length: 2\r\n\r\nok"
Said = Sequence[tuple[int, bytes]]
SECOND: Said = [(0, ASKS % 1), (1, TELLS % 1), (0, ASKS % 2), (1, TELLS % 2)]


def read(said: Said, *, at_once: int, joins: bool = True) -> tuple[list[tuple[Any, ...]], str]:
    """Requests with their answers, and the service, of segments without a handshake before them."""
    packets = Tcp(ENDS, (1000, 77)).packets([Step(side, "data", len(octets)) for side, octets in said])
    contents = [octets for _, octets in said]
    flows = Flows("made", FlowSettings(bytes(16), joins=joins), messages=True)
    batches = []
    for first in range(0, len(packets), at_once):
        some = packets[first : first + at_once]
        batches += flows.find(Batch(PACKET, rows(some), NAMES, payloads=payloads(some, contents[first : first + at_once])))
    batches += flows.end()
    told = [(row["trans_depth"], row["uri"], row["status_code"]) for one in batches if one.record is HTTP for row in one.rows]
    [conn] = np.concatenate([one.rows for one in batches if one.record is CONN])
    return told, SERVICES.names.get(int(conn["service"])) or ""


@pytest.mark.parametrize("at_once", [1, 100])
@pytest.mark.parametrize(
    "before",
    [
        [],
        [(1, TELLS % 0)],
        [(1, b"the rest of an answer, " * 40), (1, b"and more")],
        [(0, b"the rest of a request"), (1, TELLS % 0)],
        [(0, b"the rest\r\n"), (0, b"of a\r\n\r\n"), (1, TELLS % 0)],
    ],
)
def test_requests_are_told_from_the_first_that_begins_a_segment(before: Said, at_once: int) -> None:
    assert read([*before, *SECOND], at_once=at_once) == ([(1, "/1", 201), (2, "/2", 202)], "http")
    assert read([*before, *SECOND], at_once=at_once, joins=False) == ([], "")


@pytest.mark.parametrize(
    "said",
    [
        [(0, b"SSH-2.0-x\r\n"), (1, b"SSH-2.0-y\r\n")],
        [(0, b"whatever " + ASKS % 1), (1, TELLS % 1)],
        [(0, bytes(4096)), (1, bytes(4096)), *SECOND],
    ],
)
def test_else_nothing_is(said: Said) -> None:
    assert read(said, at_once=1)[0] == []
