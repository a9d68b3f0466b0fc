"""What names cost on their way into the store: addresses a second, beside the libraries asked for one address after another."""

import ipaddress
import os
import random
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import iptocc
import maxminddb
import numpy as np
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from bench.common import CPUS, SCRATCH, Figure, millions
from headwater.analysis.enrich import Names
from headwater.records import CONN, Batch

TARGET = 2e6
BATCH = 1 << 16  # rows: a capture's
ADDRESSES = 1 << 20
ALONE = 1 << 16  # addresses that the libraries are asked for
ROUNDS = 5
AS_RANGES, CITIES = 500_000, 10_000
HOSTS = 20_000  # of which real traffic is, a few of them most of it


def _asn(folder: Path) -> Path:
    """Ranges as many as the Internet has of autonomous systems, in iptoasn.com's form."""
    starts = np.unique(np.random.default_rng(1).integers(1 << 24, 224 << 24, AS_RANGES)).tolist()
    text = [socket.inet_ntoa(start.to_bytes(4)) for start in starts]
    last = [socket.inet_ntoa((start - 1).to_bytes(4)) for start in [*starts[1:], 224 << 24]]
    path = folder / "asn.tsv"
    path.write_text(
        "".join(f"{a}\t{b}\t{i % 80_000}\tZZ\tOrganization {i % 60_000}\n" for i, (a, b) in enumerate(zip(text, last, strict=True)))
    )
    return path


def _city(folder: Path) -> Path:
    writer, rng = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Bench-City"), random.Random(2)
    prefixes = [f"{first}.0.0.0/8" for first in range(1, 224)] + [f"2{second:x}00::/8" for second in range(16)]
    prefixes += [f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.0/{rng.randrange(16, 25)}" for _ in range(CITIES)]
    for i, prefix in enumerate(prefixes):
        writer.insert_network(IPSet([prefix]), {"city": {"names": {"en": f"City {i}"}}, "country": {"iso_code": "DE"}})
    path = folder / "city.mmdb"
    writer.to_db_file(str(path))
    return path


def _batches(addresses: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> list[Batch]:
    """Flows with these as both of their addresses in turn."""
    rows = np.zeros(len(addresses) // 2, CONN.dtype)
    for at, side in enumerate(("id.orig_h", "id.resp_h")):
        rows[side] = np.ascontiguousarray(addresses[at::2]).view("V16").ravel()
    rows["id.resp_p"], rows["proto"] = 443, 1
    return [Batch(CONN, rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]


def _traffic() -> dict[str, list[Batch]]:
    rng = np.random.default_rng(3)
    v4 = np.zeros((ADDRESSES, 16), np.uint8)
    v4[:, 10:12] = 255
    numbers = rng.permutation(np.unique(rng.integers(1 << 24, 224 << 24, 2 * ADDRESSES)))[:ADDRESSES]
    v4[:, 12:] = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
    v6 = rng.integers(0, 256, (ADDRESSES, 16), np.uint8)
    v6[:, 0] = 0x20 | v6[:, 0] & 0x0F
    often = v4[:HOSTS][np.minimum(rng.zipf(1.3, ADDRESSES), HOSTS) - 1]
    return {"IPv4, all distinct": _batches(v4), "IPv6, all distinct": _batches(v6), "as in traffic": _batches(often)}


def _each(ask: Callable[[Any], object], those: Iterable[object]) -> None:
    for one in those:
        ask(one)


def _rate(addresses: int, work: Callable[[], object]) -> float:
    """Addresses a second of CPU time, in the best of ROUNDS."""
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return addresses / min(taken)


def _texts(batches: list[Batch]) -> list[str]:
    octets = [row.tobytes() for row in batches[0].rows["id.orig_h"][:ALONE]]
    return [str(address.ipv4_mapped or address) for address in map(ipaddress.IPv6Address, octets)]


def measure() -> Figure:
    os.sched_setaffinity(0, {CPUS[0]})
    rows: list[tuple[str, ...]] = []
    met = True
    try:
        with TemporaryDirectory(dir=SCRATCH) as folder:
            asn, city = _asn(Path(folder)), _city(Path(folder))
            makers = {"country, scope": Names(), "and asn, as_org, city": Names(asn=asn, city=city)}
            begin = time.process_time()
            if problems := [line for names in makers.values() for line in names.look()]:
                raise SystemExit(f"bench: {problems[0]}")
            loaded = time.process_time() - begin
            for what, batches in _traffic().items():
                texts = _texts(batches)
                ours = [_rate(ADDRESSES, partial(_each, names.columns, batches)) for names in makers.values()]
                with maxminddb.open_database(city) as reader:
                    peers = [_rate(len(texts), partial(_each, ask, texts)) for ask in (iptocc.country_code, reader.get)]
                rows.append((what, *map(millions, (*ours, *peers))))
                met = met and min(ours) >= TARGET
    finally:
        os.sched_setaffinity(0, CPUS)
    return Figure(
        title="Names for addresses",
        target="2 M addresses a second on one CPU, all of them distinct",
        met=met,
        ours="; ".join(f"{what}: {most}/s" for what, _, most, *_ in rows),
        peers="; ".join(f"{what}: iptocc {one}/s, maxminddb {other}/s" for what, _, _, one, other in rows[:1]),
        columns=("addresses a second", *(f"Headwater: {columns}" for columns in makers), "iptocc, one by one", "maxminddb, one by one"),
        rows=rows,
        told=f"""\
Rows of conn, {BATCH:,} a batch, with two addresses each; what is counted is both, and the time has service and vendors in it too.
Autonomous systems are {AS_RANGES:,} ranges in iptoasn.com's form, cities an .mmdb of {CITIES:,} networks and all that is around
them; both were read in {loaded:.1f} s. Traffic is of {HOSTS:,} hosts whose shares fall as in a Zipf distribution. The libraries are
asked for one address after another, as text that was made before, and answer for a country (iptocc) or a record of a city (maxminddb).
Seconds are of CPU time; the best of {ROUNDS} rounds.""",
    )
