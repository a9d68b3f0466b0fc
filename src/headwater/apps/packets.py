"""Rows of packets in a person's words: what the live view, the plain lines and the table show of one packet.

One Python object a packet, so only for packets that are printed. Text from strangers is made harmless here.
"""

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from headwater.analysis import names
from headwater.records import ENUMS, Batch
from headwater.records.layouts import HAS

_ENDS = "has ethertype proto src dst l2_src l2_dst".split()
_DETAILS = "has proto sport dport tcp_flags icmp_type icmp_code fragment_offset mf vlan vlan_inner ip_options segments l2_dst".split()
_L2, _ETHERTYPE, _ADDR, _IP, _PORTS = (HAS[name] for name in "l2 ethertype addr ip ports".split())
_TCP, _ICMP, _FRAGMENT, _VLAN, _VLAN_INNER = (HAS[name] for name in "tcp icmp fragment vlan vlan_inner".split())
EVERYDAY = {"", "private", "loopback", "link-local", "documentation", "local", "unspecified"}  # names that need no room of their own
_TOLD = {"fragment"}  # an option that the offset tells already


class Words(NamedTuple):
    """One packet. What it does not have is ""."""

    time: str  # local, HH:MM:SS.ffffff
    interface: str
    direction: str  # in, out
    protocol: str  # TCP, ARP, LLDP ...; "?" where not even that could be read
    src: str  # address, or MAC where there is none
    sport: str
    src_name: str  # what src is
    dst: str
    dport: str
    dst_name: str
    length: int  # octets of the frame
    what: str  # flags, ICMP's words, service, fragment, VLAN, options
    weird: str


@lru_cache(maxsize=1024)
def safe(text: str) -> str:
    """Text that a stranger chose, without what a terminal obeys: controls, bidi marks and zero-width characters are shown as escapes."""
    return "".join(c if c.isprintable() and cell_len(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def clock(ts: int) -> str:
    """A time of day, local, to the microsecond; nothing for 0, which is none."""
    if not ts:
        return ""
    return f"{_second(ts // 1_000_000_000)}.{ts // 1000 % 1_000_000:06d}"


def words(batch: Batch) -> Iterator[Words]:
    """The rows of a batch of packets, in words."""
    interfaces, directions, weirds = batch.interfaces, {**ENUMS["hw_direction"], 0: ""}, {**ENUMS["hw_weird"], 0: ""}
    rest = _lists(batch, "ts interface direction sport dport length weird has".split())
    for ends, what, (ts, interface, direction, sport, dport, length, weird, has) in zip(_ends(batch), _what(batch), rest, strict=True):
        protocol, src, src_name, dst, dst_name = ends
        ports = (str(sport), str(dport)) if has & _PORTS else ("", "")
        shown = safe(interfaces.get(interface) or f"if{interface}")
        yield Words(
            clock(ts),
            shown,
            directions.get(direction, "?"),
            protocol,
            src,
            ports[0],
            src_name,
            dst,
            ports[1],
            dst_name,
            length,
            what,
            weirds.get(weird, "?"),
        )


def _lists(batch: Batch, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(batch.rows[name].tolist() for name in columns), strict=True)


def _ends(batch: Batch) -> Iterator[tuple[str, str, str, str, str]]:
    """Protocol, source, its name, destination, its name."""
    for has, ethertype, proto, src, dst, l2_src, l2_dst in _lists(batch, _ENDS):
        if has & _IP:
            protocol = names.protocol(proto)
        elif has & _ETHERTYPE:
            protocol = names.ethertype(ethertype)
        else:
            protocol = "LLC" if has & _L2 else "?"  # Ethernet with a length where the type would be, or not even that
        if has & _ADDR:
            yield protocol, names.address_text(src), names.address(src), names.address_text(dst), names.address(dst)
        elif has & _L2:
            yield protocol, names.mac_text(l2_src), names.mac(l2_src), names.mac_text(l2_dst), names.mac(l2_dst)
        else:
            yield protocol, "", "", "", ""


def _what(batch: Batch) -> Iterator[str]:
    for has, proto, sport, dport, flags, kind, code, offset, mf, vlan, inner, options, segments, l2_dst in _lists(batch, _DETAILS):
        what: list[str] = []
        if has & _TCP:
            what.append(names.tcp_flags(flags))
        if has & _PORTS and (service := names.service_of(proto, sport, dport)):
            what.append(service)
        elif has & _ICMP:
            what.append(names.icmp(proto, kind, code))
        elif has & (_ADDR | _IP | _L2) == _ADDR | _L2:  # ARP
            what.append(f"to {names.mac(l2_dst) if l2_dst[0] & 1 else names.mac_text(l2_dst)}")
        if has & _FRAGMENT and (offset or mf):
            what.append(f"fragment at {offset}{'' if mf else ', the last'}")
        if has & _VLAN:
            what.append(f"vlan {vlan}/{inner}" if has & _VLAN_INNER else f"vlan {vlan}")
        if has & _IP and options:
            what += [f"+{word}" for word in names.ip_options(options) if word not in _TOLD]
        if segments > 1:
            what.append(f"{segments} segments")
        yield " ".join(what)


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells: padded, or cut at the end."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)


def fit_address(text: str, name: str, width: int) -> tuple[str, str]:
    """An address in `width` cells, and its name where there is room behind it.

    What is too long is cut in the middle; of a MAC that has a name, the name and its own half stay.
    """
    if len(text) <= width:
        return text, name if name and len(text) + 1 + cell_len(name) <= width else ""
    if name and text.count(":") == 5 and len(text) == 17:
        own = "" if int(text[1], 16) & 1 else f" {text[9:]}"  # a group's name says it all
        return set_cell_size(name, min(cell_len(name), width - len(own))) + own, ""
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}", ""


def fit_end(address: str, port: str, width: int) -> str:
    """An address and its port in at most `width` cells. What is too long is cut within the address; the port stays whole."""
    before, behind = ("[", "]") if ":" in address and port else ("", "")
    tail = f"{behind}:{port}" if port else ""
    room = width - len(before) - len(tail)
    if room < 3:
        return f"{address}:{port}"[:width] if port else address[:width]
    return f"{before}{fit_address(address, '', room)[0]}{tail}"


class Columns(NamedTuple):
    """Cells a column of a table of packets; 0 leaves it out. One space between two."""

    time: int
    interface: int
    direction: int
    address: int  # of source and of destination, each
    protocol: int
    length: int
    info: int


def columns(width: int, interface: int = 0, time: int = 12) -> Columns:
    """Share `width` cells out: at 80 an IPv4 address fits whole, and what is more goes to the addresses first, then to the rest.

    `interface` is the longest interface name to show, 0 for none.
    """
    interface, direction, length = min(interface, 15), 3, 5
    if width < 80 + bool(interface) * 9:
        interface, time = min(interface, 8), 8
    if width < 72:
        direction = 0
    if width < 64:
        time = length = 0

    def info(address: int) -> int:
        cells = (time, interface, direction, address, address, 6, length)
        return width - sum(cells) - sum(1 for cell in cells if cell)

    address = 15
    while address < 39 and info(address + 1) >= 18 + (address - 15) // 2:
        address += 1
    while address > 7 and info(address) < 8:
        address -= 1
    return Columns(time, interface, direction, address, 6, length, max(info(address), 0))


def heading(at: Columns) -> str:
    """What stands over those columns."""
    words = ("time", "interface", "dir", "source", "destination", "proto", "bytes", "info")
    sizes = (at.time, at.interface, at.direction, at.address, at.address, at.protocol, at.length, at.info)
    shown = [f"{word[:size]:{'>' if word == 'bytes' else '<'}{min(size, 39)}}" for word, size in zip(words, sizes, strict=True) if size]
    return " ".join(shown).rstrip()


def cells(packet: Words, at: Columns) -> Iterator[tuple[str, str]]:
    """The packet in those columns, as (text, what it is); the texts joined by single spaces are the line."""
    if at.time:
        yield packet.time[: at.time].ljust(at.time), "time"
    if at.interface:
        yield fit(packet.interface, at.interface), "interface"
    if at.direction:
        yield packet.direction.ljust(at.direction), "direction"
    spare = []
    for text, name in ((packet.src, packet.src_name), (packet.dst, packet.dst_name)):
        shown, named = fit_address(text, name, at.address)
        yield shown + " " * (not named and at.address - len(shown)), "address"
        if named:
            yield fit(named, at.address - len(shown) - 1), "name"
        elif name not in EVERYDAY and name not in shown:
            spare.append(name)
    yield fit(packet.protocol, at.protocol), "protocol"
    if at.length:
        yield f"{packet.length:>{at.length}}", "length"
    left = at.info
    parts = [(packet.weird, "weird"), (f"{packet.sport}>{packet.dport}" if packet.sport else "", "info"), (packet.what, "info")]
    parts += [(name, "name") for name in spare]
    for text, kind in parts:
        if not text or left <= 0 or (kind == "name" and cell_len(text) > left):
            continue
        shown = text if cell_len(text) <= left else fit(text, left)
        yield shown, kind
        left -= cell_len(shown) + 1
