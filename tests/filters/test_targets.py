"""One filter, four readings: the native walk, the kernel's, numpy's mask and tshark's -Y keep the same packets."""

import os
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import packets
import pytest
import tshark
from generated import Maker
from test_tshark import SUBFRAME, different, frames
from tshark import Fields

from bench.testrun import TestRun
from headwater.filters import Filter, grammar
from headwater.filters.fields import FIELDS
from headwater.records import ENUMS, PACKET, Batch
from headwater.records.layouts import FILTER, HAS

pytestmark = [pytest.mark.corpora]

SEED = 20260
SAMPLE = 4000
FILTERS = 220
IN_GRE = {value for value, name in ENUMS["hw_tunnel"].items() if name in ("erspan", "pptp", "mpls")}
UNKNOWN_VERSION = next(value for value, name in ENUMS["hw_weird"].items() if name == "unknown_ip_version")
LARGEST = 3500  # octets of a frame that the kernel takes for a test
RING = 16 << 20

OURS = {name for name, field in FIELDS.items() if field.kind in ("direction", "tunnel", "weird")}
OURS |= {"port", "tunnel.depth", "tunnel.id", *"ipip 6in4 4in6 6in6 pptp pbb ethernet eompls".split()}
FRAME = {"frame.len", "frame.cap_len", "frame.interface_name"}  # of the packet as a whole
TUNNELS = {name for name, field in FIELDS.items() if field.places[0].columns[0] == "tunnel" or field.places[0].about == "tunnel"} - OURS
ELSEWHERE = HAS["outer"] | HAS["outer_ports"] | HAS["outer_ipv6"] | HAS["quoted"] | HAS["quoted_ports"] | HAS["quoted_ipv6"]
LAYERS = {
    name for name, field in FIELDS.items() if any(place.needs & ELSEWHERE for place in field.places)
} - OURS  # looked for in every one
"""Fields by where they are looked for; the others are the innermost packet's alone."""


Row: TypeAlias = np.void
MEANT: dict[str, tuple[set[str], Callable[[Fields, Row], bool]]] = {  # fields, and packets on which we mean something else by them
    "link-layer addresses and types are those of any link layer, not of Ethernet alone": (
        {"eth", "eth.src", "eth.dst", "eth.addr", "eth.type"},
        lambda shown, _: not _layers(shown).startswith("eth:"),
    ),
    "a type is that behind the last tag, or of SNAP": (
        {"eth.type"},
        lambda shown, row: shown.get("eth.type") != [f"0x{row['ethertype']:04x}"],
    ),
    "a tag is one of any type": ({"vlan", "vlan.id"}, lambda shown, _: "ieee8021ad" in _layers(shown)),
    "PPPoE is discovery too": ({"pppoes"}, lambda shown, _: "pppoed" in _layers(shown)),
    "IP is a header that is there, whatever a type says": (
        {"ip", "ipv6"},
        lambda shown, row: row["weird"] == UNKNOWN_VERSION or _layers(shown).split(":").count("ip") > len(shown.get("ip.ttl", [])),
    ),
    "an IPv6 address is the end's: a home address, or the last one of a Routing header": (
        {"ipv6.src", "ipv6.dst", "ipv6.addr"},
        lambda shown, _: bool({"ipv6.dstopts", "ipv6.routing"} & set(_layers(shown).split(":"))),
    ),
    "TCP's octets are those that the IP header states, of a first fragment too": ({"tcp.len"}, lambda shown, _: "tcp.len" not in shown),
    "a tunnel is one that something was read in; else it is a protocol or a port": (
        TUNNELS,
        lambda shown, row: not row["tunnel_depth"] and bool(TUNNELS & set(_layers(shown).split(":"))),
    ),
    "the nearest tunnel has one name: ERSPAN's and PPTP's is not GRE": ({"gre", "gre.key"}, lambda _, row: row["tunnel"] in IN_GRE),
    "ARP of a kind that tshark does not read further": ({"arp"}, lambda shown, _: "arp:data" in _layers(shown)),
    "the first chunk": ({"sctp.chunk_type"}, lambda shown, _: len(shown.get("sctp.chunk_type", [])) > 1),
}


@dataclass(frozen=True)
class Sample:
    """Packets and what is known of them. `clear`: the oracle finds our rows equal to tshark's."""

    capture: Path
    profile: Path
    batch: Batch
    shown: list[Fields]
    clear: np.ndarray[Any, np.dtype[np.bool_]]


def _layers(shown: Fields) -> str:
    return shown.get("frame.protocols", [""])[0]


def _firsts(capture: Path, rows: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The rows of each frame's first packet: those of an A-MSDU have more, and tshark's filters are of frames."""
    more = {}
    for line in tshark.lines(capture, capture.parent, ["frame.number", SUBFRAME], "-Y", SUBFRAME):
        number, subframes = line.split("\t")
        more[int(number)] = subframes.count(",")
    firsts = np.arange(rows - sum(more.values()))
    for number, count in more.items():
        firsts[number:] += count
    return firsts


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters")
    subprocess.run(["cc", "-O2", str(Path(__file__).parent.parent / "oracle/merge.c"), "-o", str(folder / "merge")], check=True, timeout=60)
    packets.corpora(folder / "corpora.pcapng", folder / "merge")
    return folder / "corpora.pcapng"


@pytest.fixture(scope="module")
def everything(corpora: Path) -> Batch:
    rows, interfaces = packets.read(corpora)
    assert len(rows) > 65_000
    return Batch(PACKET, rows, interfaces)


@pytest.fixture(scope="module")
def sample(corpora: Path, everything: Batch) -> Sample:
    capture = corpora.with_name("sample.pcapng")
    tshark.profile(corpora.parent)
    firsts = everything.rows[_firsts(corpora, len(everything))]
    packets.select(corpora, packets.sample(firsts, SAMPLE, random.Random(SEED)), capture)
    rows, interfaces = packets.read(capture)
    rows = rows[_firsts(capture, len(rows))]
    clear = np.ones(len(rows), np.bool_)
    clear[[number for number, _ in different(capture, corpora.parent)[0]]] = False
    return Sample(capture, corpora.parent, Batch(PACKET, rows, interfaces), list(tshark.dissect(capture, corpora.parent)), clear)


@pytest.fixture(scope="module")
def texts(sample: Sample) -> list[str]:
    """Each field alone, and then some together: of those that can be compared on as many packets, and of all."""
    chance = random.Random(SEED)
    maker = Maker(sample.batch, chance)
    found = [maker.telling([name], 1) for name in FIELDS]
    kinds = [sorted(LAYERS | FRAME), sorted(FIELDS.keys() - OURS - TUNNELS), sorted(FIELDS)]
    while len(found) < FILTERS:
        found.append(maker.telling(chance.choice(kinds), chance.randint(2, 6)))
    return found


def test_the_filters_tell_packets_apart(sample: Sample, texts: list[str]) -> None:
    shares = [Filter(text).mask(sample.batch).mean() for text in texts]
    assert len(set(texts)) >= 200
    assert sum(0 < share < 1 for share in shares) > 0.95 * len(texts)


def test_native_keeps_what_the_mask_keeps(corpora: Path, everything: Batch, texts: list[str]) -> None:
    for text in texts:
        wanted = everything.rows[Filter(text).mask(everything)]
        kept, _ = packets.read(corpora, filter=Filter(text))
        assert kept.tobytes() == wanted.tobytes(), text


@pytest.mark.kernel
def test_the_kernel_keeps_what_the_mask_keeps(sample: Sample, texts: list[str]) -> None:
    taken = {octets for link_type, octets in frames(sample.capture) if link_type == 1 and 14 <= len(octets) <= LARGEST}
    octets = sorted(taken)
    assert len(octets) > 2000
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # a test run stays on its CPU, so its rows are in one ring and in order
    under = TestRun(["hw_xdp"], RING)

    def rows(terms: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
        under.set_filter(terms)
        for frame in octets:
            under.run("hw_xdp", frame, 1)
        made = under.take()
        made["ts"] = 0
        return made

    try:
        every = Batch(PACKET, rows(np.zeros(1, FILTER)), {1: "lo"})
        assert len(every) == len(octets)
        for text in texts:
            wanted = every.rows[Filter(text).mask(every)]
            assert rows(Filter(text).terms(every.interfaces)).tobytes() == wanted.tobytes(), text
    finally:
        under.close()
        os.sched_setaffinity(0, before)


def _names(node: grammar.Node) -> set[str]:
    """The fields of a filter."""
    match node:
        case grammar.Test(field=name):
            return {name}
        case grammar.Not(part=part):
            return _names(part)
    return set().union(*map(_names, node.parts))


def _comparable(sample: Sample) -> Callable[[str], np.ndarray[Any, np.dtype[np.bool_]]]:
    """For a field: the packets on which tshark means the same by it."""
    rows = sample.batch.rows
    depth, quoted = rows["tunnel_depth"], rows["has"] & HAS["quoted"] != 0

    def within(name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if name in FRAME:
            return sample.clear
        if name in TUNNELS:
            return sample.clear & (depth <= 1)
        return sample.clear & (depth + quoted <= (1 if name in LAYERS else 0))

    @cache
    def comparable(name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        meant = [other for names, other in MEANT.values() if name in names]
        others = [any(other(shown, row) for other in meant) for shown, row in zip(sample.shown, rows, strict=True)]
        return within(name) & ~np.array(others)

    return comparable


def test_tshark_keeps_what_the_mask_keeps(sample: Sample, texts: list[str]) -> None:
    comparable = _comparable(sample)
    fields = {text: _names(grammar.parse(text)) for text in texts}
    known = [text for text, names in fields.items() if not names & OURS]
    places = {text: np.logical_and.reduce([comparable(name) for name in fields[text]]) for text in known}

    def differing(text: str) -> str:
        kept = np.zeros(len(sample.batch), np.bool_)
        kept[list(tshark.kept(sample.capture, sample.profile, text))] = True
        wrong = np.flatnonzero((Filter(text).mask(sample.batch) != kept) & places[text])
        shown = [f"{'tshark' if kept[number] else 'we'}: {_layers(sample.shown[number])}" for number in wrong[:5]]
        return f"{text} differs in {len(wrong)}, kept by {', '.join(shown)}" if shown else ""

    with ThreadPoolExecutor(2) as pool:
        problems = [problem for problem in pool.map(differing, known) if problem]
    assert not problems, "\n".join(problems)
    assert len(known) >= 150
    assert np.mean([where.mean() for where in places.values()]) > 0.5
    assert {name for text in known for name in fields[text]} == FIELDS.keys() - OURS
