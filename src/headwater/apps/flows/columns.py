"""What is shown of a flow in a line: columns, what they are sorted by, and which of them a terminal has room for."""

import re
from collections.abc import Callable, Iterator, Mapping
from math import isnan
from typing import NamedTuple

import numpy as np
from rich.text import Text

from headwater.analysis import names
from headwater.apps import amounts
from headwater.apps.conns import PORTS
from headwater.apps.flows.table import Array, Kept
from headwater.apps.packets import EVERYDAY, fit, fit_end, safe

_LEAST_END, _MOST_END, _TIGHT_END = 19, 56, 7  # cells: an IPv4 address with a port; IPv6 with its service; where nothing else fits
_SPARE, _LUXURY = 28, 8  # cells that ends get before columns whose `room` is above that
_CODE = re.compile(r", code \d+$")


class Column(NamedTuple):
    """One column. The two ends have no `cells` and no `text` of their own: ends() makes it as wide as the others leave room.

    `room` is its place among those for which there is room: the lower, the longer it stays. `falling`: the largest first, unless told
    otherwise.
    """

    name: str
    title: str
    cells: int
    room: int
    falling: bool
    value: Callable[[Kept], Array]
    text: Callable[[Kept], list[str]] | None


def _end(side: str) -> Callable[[Kept], Array]:
    return lambda kept: kept.octets(f"id.{side}_h")


def _number(column: str) -> Callable[[Kept], Array]:
    return lambda kept: kept.batch.rows[column]


def lasted(kept: Kept) -> Array:
    """Nanoseconds from a flow's first packet until now, or until it was over."""
    rows = kept.batch.rows
    return np.where(kept.over, rows["duration"].astype(np.int64), np.maximum(kept.now - rows["ts"].astype(np.int64), 0))


def rtt(kept: Kept) -> Array:
    """Nanoseconds there and back, as far as either half is known; else NaN."""
    halves = np.stack([kept.numbers("orig_rtt"), kept.numbers("resp_rtt")])
    return np.where(np.isnan(halves).all(axis=0), np.nan, np.nansum(halves, axis=0))


def _rtt_text(kept: Kept) -> list[str]:
    halves = np.isnan(kept.numbers("orig_rtt")) | np.isnan(kept.numbers("resp_rtt"))
    found = zip(rtt(kept).tolist(), halves.tolist(), strict=True)
    return ["" if isnan(value) else f"{'≥' if half else ''}{amounts.interval(value)}" for value, half in found]


def again(kept: Kept) -> Array:
    """Packets that were sent again, both ways; NaN where that cannot be told."""
    return kept.numbers("orig_retransmits") + kept.numbers("resp_retransmits")


def part_again(kept: Kept) -> Array:
    """What part of all packets that is."""
    found: Array = again(kept) / np.maximum(kept.numbers("orig_pkts") + kept.numbers("resp_pkts"), 1)
    return found


def _texts(value: Callable[[Kept], Array], text: Callable[[float], str]) -> Callable[[Kept], list[str]]:
    """Nothing for NaN."""
    return lambda kept: ["" if isnan(one) else text(one) for one in value(kept).tolist()]


def _pairs(values: Callable[[Kept], Array]) -> Callable[[Kept], list[str]]:
    """Two amounts, the originator's and the responder's; nothing for NaN, and a dash for 0."""

    def text(one: float) -> str:
        return "" if isnan(one) else amounts.count(one) if one else "-"

    return lambda kept: [f"{text(sent):>6} {text(got):>6}" for sent, got in values(kept).tolist()]


def _bits(kept: Kept) -> Array:
    return kept.rates * 8


def _octets(kept: Kept) -> Array:
    return np.stack([kept.batch.rows["orig_ip_bytes"], kept.batch.rows["resp_ip_bytes"]], axis=1).astype(np.float64)


def _protocol(kept: Kept) -> list[str]:
    known = {58: "ICMP"}  # whose addresses tell the version
    return [known.get(number) or names.protocol(number) for number in kept.batch.rows["ip_proto"].tolist()]


def _reason(kept: Kept) -> list[str]:
    return [name if over else "" for name, over in zip(kept.names("end_reason"), kept.over.tolist(), strict=True)]


def _history(kept: Kept) -> list[str]:
    return [safe(letters.rstrip(b"\0").decode("latin-1")) for letters in kept.batch.rows["history"].tolist()]


COLUMNS = (
    Column("originator", "originator", 0, 0, False, _end("orig"), None),
    Column("responder", "responder", 0, 0, False, _end("resp"), None),
    Column("protocol", "prot", 4, 3, False, _number("ip_proto"), _protocol),
    Column("state", "state", 6, 2, False, _number("conn_state"), lambda kept: kept.names("conn_state")),
    Column("end", "ended by", 10, 8, False, _number("end_reason"), _reason),
    Column("rate", "bit/s→ ←bit/s", 13, 1, True, lambda kept: kept.rates.sum(axis=1), _pairs(_bits)),
    Column("bytes", "bytes→ ←bytes", 13, 6, True, lambda kept: _octets(kept).sum(axis=1), _pairs(_octets)),
    Column("RTT", "RTT", 7, 4, True, rtt, _rtt_text),
    Column("retransmits", "resent", 6, 9, True, again, _texts(again, amounts.count)),
    Column("part retransmitted", "res%", 4, 5, True, part_again, _texts(part_again, amounts.percent)),
    Column("age", "age", 6, 7, True, lasted, _texts(lasted, lambda value: amounts.age(int(value)))),
    Column("history", "history", 12, 10, False, lambda kept: kept.octets("history"), _history),
)
_RIGHT = {"RTT", "retransmits", "part retransmitted", "age"}


def ordered(kept: Kept, column: Column, falling: bool) -> Array:
    """Indices in the order of that column; what has no value comes last, and equals stay as they are."""
    values = column.value(kept)
    if values.dtype.kind == "S":
        order = np.argsort(values, kind="stable")
        return order[::-1] if falling else order
    values = values.astype(np.float64)
    return np.argsort(-values if falling else values, kind="stable")


def layout(width: int) -> list[tuple[Column, int]]:
    """The columns for which `width` cells have room, with a space before each, and the cells of each."""
    left = width - 2 * (_LEAST_END + 1)
    chosen = set()
    for column in sorted((one for one in COLUMNS if one.cells), key=lambda one: one.room):
        if column.cells + (_SPARE if column.room > _LUXURY else 0) < left:
            chosen.add(column.name)
            left -= column.cells + 1
    found = [column for column in COLUMNS if not column.cells or column.name in chosen]
    spare = width - sum(column.cells + 1 for column in found)
    first, second = (max(min((spare + more) // 2, _MOST_END), _TIGHT_END) for more in (1, 0))
    return [(column, column.cells or (first if column.name == "originator" else second)) for column in found]


def heading(at: list[tuple[Column, int]], by: Column) -> Text:
    """What stands above the columns; that which they are sorted by stands out."""
    line = Text()
    for column, cells in at:
        title = fit(column.title, cells) if column.name not in _RIGHT else fit(column.title, cells).strip().rjust(cells)
        line.append(" ").append(title, "bold reverse" if column is by else "bold")
    return line


def lines(kept: Kept, at: list[tuple[Column, int]], hosts: Mapping[bytes, str], *, live: bool) -> Iterator[Text]:
    """A line for each flow; live, those that are over are dim."""
    texts = [column.text(kept) if column.text else ends(kept, column.name[:4], hosts, cells) for column, cells in at]  # orig, resp
    for over, flow in zip(kept.over.tolist(), zip(*texts, strict=True), strict=True):
        line = Text(style="dim" if over and live else "")
        for (column, cells), text in zip(at, flow, strict=True):
            line.append(" ").append(fit(text.rjust(cells) if column.name in _RIGHT else text, cells))
        line.rstrip()
        yield line


def ends(kept: Kept, side: str, hosts: Mapping[bytes, str], width: int) -> list[str]:
    """ADDRESS:PORT of that side in at most `width` cells, the service behind the responder's, and what the address is, if there is room."""
    rows = kept.batch.rows
    found = []
    for address, port, transport, protocol, kind, code in zip(
        *(rows[name].tolist() for name in (f"id.{side}_h", f"id.{side}_p", "proto", "ip_proto", "id.orig_p", "id.resp_p")), strict=True
    ):
        number = str(port) if transport in PORTS else ""
        text = fit_end(hosts.get(address) or names.address_text(address), number, width)
        about = []
        if side == "resp" and transport in PORTS:
            about.append(names.service(protocol, port))
        elif side == "resp" and protocol in (1, 58):
            about.append(_CODE.sub("", names.icmp(protocol, kind, code)))
        name = names.address(address)
        about.append("" if name in EVERYDAY else name)
        for word in about:
            if word and word.lower() not in text and len(text) + 1 + len(word) <= width:
                text += f" {word}"
        found.append(text)
    return found
