"""Databases for tests, written by a library that is not ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmdb_writer
from netaddr import IPSet

ASN = {
    "8.8.8.0/24": (15169, "GOOGLE"),
    "8.8.8.8/32": (64496, "One host"),
    "1.0.0.0/8": (64497, "Bis zum Ende: ÄÖÜ \U0001f600"),
    "0.0.0.0/16": (64498, "From the first address on"),
    "255.255.255.255/32": (4294967295, "The last"),
    "2001:db8::/32": (64499, "Documentation"),
    "2001:db8:0:0:8000::/65": (64500, "Behind the first 64 bits"),
    "2001:db8::1/128": (64501, "One host of IPv6"),
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128": (64502, "The last of IPv6"),
}


def as_record(number: int, organization: str) -> dict[str, Any]:
    return {"autonomous_system_number": number, "autonomous_system_organization": organization}


def write(
    path: Path,
    networks: Mapping[str, Any],
    *,
    version: int = 6,
    bits: int = 0,
    kind: str = "Test",
    built: int | None = None,
    tree: Any = None,
) -> Path:
    """A file with a record for each network; later ones lie over earlier ones. `bits` are of half a node, 0 as many as are needed."""
    writer = mmdb_writer.MMDBWriter(ip_version=version, ipv4_compatible=version == 6, database_type=kind, languages=["en"])
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    if tree:
        tree(writer.tree)
    meta = writer._build_meta()
    if built is not None:
        meta["build_epoch"] = built
    written = mmdb_writer.TreeWriter(writer.tree, meta)
    adjust = written._adjust_record_size

    def forced() -> None:
        adjust()
        if bits:
            written.record_size, written.data_offset = bits, bits * 2 / 8 * written._node_counter

    written._adjust_record_size = forced  # type: ignore[method-assign]
    written.write(str(path))
    return path
