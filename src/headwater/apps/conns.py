"""Rows of flows in a person's words: a line a flow. One Python object a flow, so only for flows that are printed."""

from collections.abc import Iterator

from headwater.analysis import names
from headwater.apps import amounts
from headwater.apps.packets import clock, fit_end
from headwater.records import ENUMS, Batch

_COLUMNS = "ts id.orig_h id.orig_p id.resp_h id.resp_p proto ip_proto conn_state duration orig_bytes resp_bytes orig_pkts resp_pkts".split()
_MICROSECONDS, _SECONDS = len("HH:MM:SS.ffffff"), len("HH:MM:SS")
_CELL, _CELLS = 6, 5  # of what is neither time nor end nor history, and how many of them
_HISTORY = 10  # cells, at least, where there is room
_LEAST_END, _IPV4_END, _MOST_END = 15, 21, 47  # cells: what shows most of an IPv4 address with its port, all of it, and all of IPv6
PORTS = (1, 2)  # values of `proto` whose ports are ports: TCP and UDP


def heading(width: int | None) -> str:
    """What stands above the columns."""
    time, end = _layout(width)
    ends = f"{'originator':<{end}} {'responder':<{end}}"
    return f"{'time':<{time}} {'proto':<6} {ends} {'state':<6} {'lasted':>6} {'sent':>6} {'got':>6} history"


def lines(batch: Batch, width: int | None) -> Iterator[str]:
    """A line for each flow: when it began, between whom, Zeek's state, how long, payload each way (packets, where there is none)."""
    time, end = _layout(width)
    rows = batch.rows
    history = [letters.tobytes().rstrip(b"\0").decode("ascii", "replace") for letters in rows["history"]]
    for (ts, orig, orig_p, resp, resp_p, proto, ip_proto, state, lasted, sent, got, orig_pkts, resp_pkts), letters in zip(
        zip(*(rows[name].tolist() for name in _COLUMNS), strict=True), history, strict=True
    ):
        ports = (str(orig_p), str(resp_p)) if proto in PORTS else ("", "")
        cells = [
            f"{clock(ts)[:time]:<{time}}",
            f"{names.protocol(ip_proto):<6.6}",
            f"{fit_end(names.address_text(orig), ports[0], end):<{end}}",
            f"{fit_end(names.address_text(resp), ports[1], end):<{end}}",
            f"{ENUMS['hw_conn_state'].get(state, '?'):<6}",
            f"{_lasted(lasted):>6}",
            f"{_amount(sent, orig_pkts):>6}",
            f"{_amount(got, resp_pkts):>6}",
            letters,
        ]
        yield " ".join(cells).rstrip()


def _layout(width: int | None) -> tuple[int, int]:
    """Cells of the time, and of an end. A time of day has its microseconds where an IPv4 address with its port fits too."""
    if width is None:
        return _MICROSECONDS, _MOST_END
    room = width - _CELLS * (_CELL + 1) - 3 - _HISTORY
    time = _MICROSECONDS if room - _MICROSECONDS >= 2 * _IPV4_END else _SECONDS
    return time, min(_MOST_END, max(_LEAST_END, (room - time) // 2))


def _lasted(nanoseconds: int) -> str:
    if not nanoseconds:
        return "-"
    return amounts.interval(nanoseconds) if nanoseconds < 100e9 else amounts.age(nanoseconds)


def _amount(octets: int, packets: int) -> str:
    """Octets of payload; of packets without any, how many they are."""
    if octets:
        return f"{amounts.count(octets)}B"
    return f"{packets}p" if packets else "-"
