"""`headwater dns`, `http`, `tls`: messages a line each, those for which a filter holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.analysis import names
from headwater.apps import amounts
from headwater.apps.packets import clock, fit_end
from headwater.filters import rows as filters
from headwater.records import Batch, Record
from headwater.records.stored import stored_schema, to_stored

_TIME, _END = len("HH:MM:SS.ffffff"), 26

Cells = tuple[tuple[str, int, Callable[[Any], str]], ...]


def _text(value: object) -> str:
    if value is None:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else amounts.interval(seconds * 1e9)


def _amount(octets: int | None) -> str:
    return "-" if octets is None else f"{amounts.count(octets)}B"


SHOWN: Mapping[str, Cells] = {
    "dns": (("rtt", 6, _time), ("qtype_name", 6, _text), ("rcode_name", 8, _text), ("query", 40, _text), ("answers", 0, _text)),
    "http": (
        ("status_code", 6, _text),
        ("latency", 7, _time),
        ("method", 7, _text),
        ("response_body_len", 6, _amount),
        ("host", 30, _text),
        ("uri", 0, _text),
    ),
    "ssl": (
        ("version", 8, _text),
        ("established", 6, lambda value: "yes" if value else "no"),
        ("next_protocol", 8, _text),
        ("server_name", 40, _text),
        ("cipher", 0, _text),
    ),
}
"""By record, the columns behind its time and ends: the name, how many cells (0: what is left), and how a value is written."""
_TITLES = {"qtype_name": "type", "rcode_name": "answer", "status_code": "status", "response_body_len": "got", "next_protocol": "next"}
_TITLES |= {"established": "made", "server_name": "server name"}


def heading(record: str) -> str:
    """What stands above the columns."""
    titles = (f"{_TITLES.get(name, name):<{cells}}" for name, cells, _ in SHOWN[record])
    return f"{'time':<{_TIME}} {'originator':<{_END}} {'responder':<{_END}} {' '.join(titles)}".rstrip()


def lines(batch: Batch) -> Iterator[str]:
    """A line for each message of a record of SHOWN."""
    shown = SHOWN[batch.record.name]
    rows = batch.rows
    ends = [rows[name].tolist() for name in ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")]
    values = zip(*(rows[name].tolist() for name, _, _ in shown), strict=True)
    for ts, orig, orig_p, resp, resp_p, row in zip(*ends, values, strict=True):
        cells = (f"{write(value):<{width}.{width or 200}}" for value, (_, width, write) in zip(row, shown, strict=True))
        first, second = (fit_end(names.address_text(address), str(port), _END) for address, port in ((orig, orig_p), (resp, resp_p)))
        yield f"{clock(ts)} {first:<{_END}} {second:<{_END}} {' '.join(cells)}".rstrip()


def where(text: str, record: Record) -> Callable[[Batch], Batch]:
    """What leaves the rows of that record for which the filter `text` holds. Raises FilterError."""
    holds = filters.holds(text, stored_schema(record))
    return lambda batch: batch.where(holds(to_stored(batch))) if batch.record.name == record.name else batch


def split(words: Sequence[str]) -> tuple[list[str], str]:
    """(captures, the filter) of what was given: what is a file, or can only be one, and the rest."""
    files = [word for word in words if word == "-" or ".pcap" in word or Path(word).exists()]
    return files, " ".join(word for word in words if word not in files)
