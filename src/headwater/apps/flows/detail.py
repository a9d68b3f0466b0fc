"""All that is known of one flow: what its line has no room for."""

import time
from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from rich.text import Text

from headwater.analysis import names
from headwater.apps import amounts
from headwater.apps.conns import PORTS
from headwater.apps.flows.columns import again, lasted, part_again, rtt
from headwater.apps.flows.table import Kept
from headwater.apps.packets import fit, fit_end, safe
from headwater.records.columns import to_arrow
from headwater.records.schema import Column, Kind

_LABEL = 24
_WHOLE = 47  # cells that any address has room in, with its port


def detail(kept: Kept, hosts: Mapping[bytes, str], width: int) -> list[Text]:
    """Lines of at most `width` cells about the one flow in `kept`: what both sides have side by side. Absent columns are left out."""
    values = _values(kept)
    columns = [column.name for column in kept.batch.record.columns if not column.name.startswith("id.")]
    sides = {name: name.replace("orig", "resp") for name in columns if "orig" in name and name.replace("orig", "resp") in columns}
    alone = [name for name in columns if name in values and name not in sides and name not in sides.values()]
    head = _line("", ["originator", "responder"], width)
    head.stylize("bold")
    return [
        *(_line(name, [_who(kept, name[:4], hosts)], width) for name in ("originator", "responder")),
        *(_line(name, [text], width) for name, text in _worked_out(kept)),
        *(_line(name, [values[name]], width) for name in alone),
        Text(),
        head,
        *(
            _line(_label(name), [values.get(name, "-"), values.get(other, "-")], width)
            for name, other in sides.items()
            if name in values or other in values
        ),
    ]


def _who(kept: Kept, side: str, hosts: Mapping[bytes, str]) -> str:
    """Address and port, and what is known of them."""
    row = kept.batch.rows[0]
    address, port = row[f"id.{side}_h"].item(), int(row[f"id.{side}_p"])
    has_port = row["proto"] in PORTS
    service = names.service(int(row["ip_proto"]), port) if has_port and side == "resp" else ""
    about = ", ".join(word for word in (service, hosts.get(address, ""), names.address(address)) if word)
    text = fit_end(names.address_text(address), str(port) if has_port else "", _WHOLE)
    return f"{text} ({about})" if about else text


def _label(name: str) -> str:
    """What a column is called that stands beside that of the other side: orig_pkts, local_orig."""
    return name.replace("orig_", "").replace("_orig", "")


def _line(label: str, values: list[str], width: int) -> Text:
    line = Text.assemble((fit(label.replace("_", " "), _LABEL), "dim"), " ")
    line.append(values[0] if len(values) == 1 else _halves(values, width))
    line.truncate(width, overflow="ellipsis")
    return line


def _halves(values: list[str], width: int) -> str:
    half = max((width - _LABEL - 2) // 2, 8)
    if len(values[0]) > half and len(values[0]) + 2 + len(values[1]) <= width - _LABEL - 1:
        half = len(values[0]) + 1
    return f"{fit(values[0], half)} {values[1]}"


def _worked_out(kept: Kept) -> Iterator[tuple[str, str]]:
    """What no column has."""
    (sent, got), there_and_back, part = (kept.rates[0] * 8).tolist(), rtt(kept)[0], part_again(kept)[0]
    if not isnan(sent):
        yield "rate", f"{amounts.count(sent, 'b/s')} sent, {amounts.count(got, 'b/s')} received"
    if not isnan(there_and_back):
        yield "RTT", amounts.interval(there_and_back)
    if not isnan(part):
        yield "retransmits", f"{amounts.count(again(kept)[0])} packets, {amounts.percent(part)}"
    yield "age", amounts.age(int(lasted(kept)[0]))


def _values(kept: Kept) -> dict[str, str]:
    """The text of each column that is there, by name, in the order of files."""
    arrow = to_arrow(kept.batch)
    found = {}
    for column in kept.batch.record.columns:
        if not arrow[column.name].is_valid()[0].as_py():
            continue
        if text := _text(column, arrow[column.name][0], kept.batch.rows[column.name][0]):
            found[column.name] = safe(text)
    return found


def _text(column: Column, scalar: Any, raw: Any) -> str:
    if column.kind is Kind.TIME:
        return _time(int(raw))
    value = scalar.as_py()
    if column.kind is Kind.INTERVAL:
        return f"{value:.6f} s"
    if column.kind is Kind.FLAG:
        return "yes" if value else "no"
    if column.ctype == "hw_ipproto":
        return names.protocol(int(raw))
    if column.ctype == "hw_tcp_flags":
        return names.tcp_flags(int(raw))
    if column.kind is Kind.NUMBER and column.ctype != "hw_port":
        return f"{value:,}"
    return str(value)


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest:09d}"
