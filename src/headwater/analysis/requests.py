"""Requests by the second: how many a service answered how, and how soon, by endpoint. The record `request`, out of dns and http.

A row is of one second, responder, endpoint and outcome, so that a burst of NXDOMAIN or of 503 is a number that grows by itself. Latency is
what the originator waited between its request and the first octet of the answer, as seen here; of it, `network` is the round trip to the
responder, as it was when the flow began, and the rest is the application's; of UDP nobody knows. Endpoints are what a stranger
sends: numbers and ids in them are made `*`, query strings are left out, and of more than MOST in a second the rest are OTHERS.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from headwater.analysis.protocols import MESSAGES
from headwater.records import Batch, messages
from headwater.records.messages import message

REQUEST = message(
    "request",
    {
        "service": "string",
        "id.resp_h": "addr",
        "id.resp_p": "port",
        "endpoint": "string",
        "outcome": "string",
        "requests": "count",
        "latency_p50": "interval",
        "latency_p90": "interval",
        "latency_p99": "interval",
        "latency_max": "interval",
        "network": "interval",
        "application": "interval",
    },
    of_flow=False,
)
"""Latencies are absent of what was not answered; `network` and `application`, middle ones, where no round trip was seen."""
OF_MESSAGES: Final = frozenset({*MESSAGES, REQUEST.name})
"""Records that are made of what flows carry."""
MOST: Final = 500
OTHERS: Final = "(others)"
LATE_S: Final = 5
"""A second is told when messages are so much younger, or by the clock: a message is written when it is answered."""
_LONGEST: Final = 120
_IDS: Final = re.compile(r"(?<=/)(?:[0-9]+|[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?=/|$)")
_SECOND: Final = 10**9


class Told(NamedTuple):
    """What a message says of a request."""

    endpoint: str
    outcome: str
    latency: float | None
    network: float | None


class _Sum:
    __slots__ = ("applications", "latencies", "networks", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.latencies: list[float] = []
        self.networks: list[float] = []
        self.applications: list[float] = []


class Requests:
    """Passes on what flows tell, and puts the second's requests behind it."""

    def __init__(self) -> None:
        self._seconds: dict[int, dict[tuple[Any, ...], _Sum]] = {}
        self._newest = 0

    def find(self, batches: Iterable[Batch], now: int = 0) -> Iterator[Batch]:
        """See across.Across."""
        yield from self._counted(batches)
        yield from self._told(max(self._newest, now // _SECOND) - LATE_S)

    def end(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """See across.Across."""
        yield from self._counted(batches)
        yield from self._told(1 << 63)

    def _counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if reader := READERS.get(batch.record.name):
                self._add(batch, reader)
            yield batch

    def _add(self, batch: Batch, reader: "Reader") -> None:
        rows = batch.rows
        ends = zip(*(rows[name].tolist() for name in ("ts", "id.resp_h", "id.resp_p")), strict=True)
        values = zip(*(rows[name].tolist() for name in reader.columns), strict=True)
        for (ts, resp, port), row in zip(ends, values, strict=True):
            second = ts // _SECOND
            self._newest = max(self._newest, second)
            told: Told | None = reader.read(*row)
            if told is None:
                continue
            sums = self._seconds.setdefault(second, {})
            one = sums.get(key := (reader.service, resp, port, told.endpoint[:_LONGEST], told.outcome))
            if one is None and len(sums) >= MOST:
                key = reader.service, resp, port, OTHERS, told.outcome
                if key not in sums and len(sums) >= 2 * MOST:  # so many responders
                    key = reader.service, bytes(16), 0, OTHERS, told.outcome
            if one is None:
                one = sums.setdefault(key, _Sum())
            one.requests += 1
            if told.latency is not None:
                one.latencies.append(told.latency)
            if told.network is not None:
                one.networks.append(told.network)
                if told.latency is not None:
                    one.applications.append(max(0.0, told.latency - told.network))

    def _told(self, before: int) -> Iterator[Batch]:
        over = sorted(second for second in self._seconds if second < before)
        made = [row for second in over for row in _rows(second, self._seconds.pop(second))]
        if made:
            yield Batch(REQUEST, messages.rows(REQUEST, made))


def _rows(second: int, sums: Mapping[tuple[Any, ...], _Sum]) -> Iterator[tuple[Any, ...]]:
    for key, one in sums.items():
        latencies = sorted(one.latencies)
        spread = [_nearest(latencies, part) for part in (50, 90, 99, 100)]
        yield (second * _SECOND, *key, one.requests, *spread, _nearest(sorted(one.networks), 50), _nearest(sorted(one.applications), 50))


def _nearest(ordered: list[float], percent: int) -> float | None:
    """The percentile by nearest rank."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else None


# -- what messages say ------------------------------------------------------------------------------------------------------------


class Reader(NamedTuple):
    """Of a record: the service, the columns that are read, and what they say; None where that is of no request."""

    service: str
    columns: tuple[str, ...]
    read: Callable[..., Told | None]


def _dns(query: str | None, qtype: str | None, rcode: str | None, latency: float | None) -> Told:
    """A name without what is left of its last two labels, and the type that was asked for."""
    name = ".".join((query or "").rsplit(".", 2)[-2:])
    return Told(f"{qtype or '?'} {name}", rcode or "unanswered", latency if rcode else None, None)


def _http(
    method: str | None, host: str | None, uri: str | None, status: int | None, latency: float | None, network: float | None
) -> Told | None:
    if method is None and status is None:  # Zeek has a row of the body that a client kept to itself once it was refused
        return None
    path = (uri or "").partition("?")[0].partition("#")[0]
    if not path.startswith("/"):  # asked of a proxy (RFC 9112, 3.2): the host is in it
        _, scheme, rest = path.partition("://")
        there, slash, rest = rest.partition("/")
        host, path = (there.rpartition("@")[2], slash + rest) if scheme else (host or path, "")
    outcome = str(status) if status is not None else "unanswered"
    return Told(f"{method or '?'} {host or ''}{_IDS.sub('*', path)}", outcome, latency, network)


READERS: Final[Mapping[str, Reader]] = {
    "dns": Reader("dns", ("query", "qtype_name", "rcode_name", "latency"), _dns),
    "http": Reader("http", ("method", "host", "uri", "status_code", "latency", "network"), _http),
}
