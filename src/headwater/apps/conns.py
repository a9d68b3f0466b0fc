"""Rows of flows in a person's words: a line a flow. One Python object a flow, so only for flows that are printed."""

from collections.abc import Iterator

from headwater.analysis import names
from headwater.apps.packets import clock
from headwater.records import ENUMS, Batch

_COLUMNS = "ts id.orig_h id.orig_p id.resp_h id.resp_p proto ip_proto conn_state duration orig_bytes resp_bytes orig_pkts resp_pkts".split()
_UNITS = "KMGTPE"
_FIXED = 15 + 6 + 6 + 8 + 7 + 7 + 7  # cells of what is not an end, with the spaces between
_LEAST_END, _MOST_END = 15, 47  # cells
PORTS = (1, 2)  # values of `proto` whose ports are ports: TCP and UDP


def heading(width: int | None) -> str:
    """What stands above the columns."""
    end = _end(width)
    return f"{'time':<15} {'proto':<6} {'originator':<{end}} {'responder':<{end}} {'state':<6} {'lasted':>8} {'sent':>7} {'got':>7} history"


def lines(batch: Batch, width: int | None) -> Iterator[str]:
    """A line for each flow: when it began, between whom, Zeek's state, how long, payload each way (packets, where there is none)."""
    end = _end(width)
    rows = batch.rows
    history = [letters.tobytes().rstrip(b"\0").decode("ascii", "replace") for letters in rows["history"]]
    for (ts, orig, orig_p, resp, resp_p, proto, ip_proto, state, lasted, sent, got, orig_pkts, resp_pkts), letters in zip(
        zip(*(rows[name].tolist() for name in _COLUMNS), strict=True), history, strict=True
    ):
        ports = (orig_p, resp_p) if proto in PORTS else ("", "")
        cells = [
            f"{clock(ts):<15}",
            f"{names.protocol(ip_proto):<6.6}",
            f"{_at(orig, ports[0]):<{end}}",
            f"{_at(resp, ports[1]):<{end}}",
            f"{ENUMS['hw_conn_state'].get(state, '?'):<6}",
            f"{_seconds(lasted):>8}",
            f"{_amount(sent, orig_pkts):>7}",
            f"{_amount(got, resp_pkts):>7}",
            letters,
        ]
        yield " ".join(cells).rstrip()


def _end(width: int | None) -> int:
    return _MOST_END if width is None else min(_MOST_END, max(_LEAST_END, (width - _FIXED - 16) // 2))


def _at(address: bytes, port: int | str) -> str:
    text = names.address_text(address)
    if port == "":
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _seconds(nanoseconds: int) -> str:
    seconds = nanoseconds / 1e9
    if not nanoseconds:
        return "-"
    return f"{seconds * 1e3:.3f}ms" if seconds < 1 else f"{seconds:.1f}s" if seconds < 1000 else f"{seconds / 60:.0f}m"


def _amount(octets: int, packets: int) -> str:
    """Octets of payload, in units of 1000; of packets without any, how many they are."""
    if not octets:
        return f"{packets}p" if packets else "-"
    if octets < 1000:
        return f"{octets}B"
    amount, unit = octets / 1000, 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g}{_UNITS[unit]}B"
