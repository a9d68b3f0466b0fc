"""Which flows a few words mean: what is typed behind `/`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from headwater.analysis import names
from headwater.apps.conns import PORTS
from headwater.apps.flows.table import Array, Kept


def matching(kept: Kept, text: str, hosts: Mapping[bytes, str]) -> Array:
    """A bool for each flow: whether each word of `text` is found in it, and none behind a `!` is.

    A word is part of an address, its name or its kind, of the protocol, the service or the interface; a state, or what a flow ended by;
    or a port, as a number, which `:80` is always. Large and small letters are the same.
    """
    found = np.ones(len(kept), np.bool_)
    for word in text.lower().split():
        wanted = word.removeprefix("!")
        if wanted:
            found &= _has(kept, wanted, hosts) != word.startswith("!")
    return found


def _has(kept: Kept, word: str, hosts: Mapping[bytes, str]) -> Array:
    rows = kept.batch.rows
    with_ports = np.isin(rows["proto"], PORTS)
    found = np.zeros(len(kept), np.bool_)
    port = word.removeprefix(":")
    if port.isdecimal() and port.isascii() and len(port) <= 5:
        found |= with_ports & ((rows["id.orig_p"] == int(port)) | (rows["id.resp_p"] == int(port)))
        if word != port:
            return found

    def of_address(octets: bytes) -> bool:
        address = octets.ljust(16, b"\0")
        return word in names.address_text(address) or word in f"{hosts.get(address, '')} {names.address(address)}".lower()

    def of_transport(number: int) -> bool:
        protocol, at = number >> 16, number & 0xFFFF
        return word in names.protocol(protocol).lower() or word in names.service(protocol, at)

    for end in ("id.orig_h", "id.resp_h"):
        found |= _each(kept.octets(end), of_address)
    found |= _each(rows["ip_proto"].astype(np.uint32) << 16 | np.where(with_ports, rows["id.resp_p"], 0), of_transport)
    found |= _each(rows["interface"], lambda number: word in kept.batch.interfaces.get(number, "").lower())
    for column in ("conn_state", "end_reason"):
        known = kept.batch.record.column(column).names or {}
        is_it = np.isin(rows[column], [value for value, name in known.items() if name.lower() == word])
        found |= is_it & kept.over if column == "end_reason" else is_it
    return found


def _each(values: Array, holds: Callable[[Any], bool]) -> Array:
    """What `holds` says of each value; it is asked once for each that is different."""
    distinct, places = np.unique(values, return_inverse=True)
    return np.fromiter(map(holds, distinct.tolist()), np.bool_, len(distinct))[places]
