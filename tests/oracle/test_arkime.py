"""Fingerprints, suites, names of hosts and what DNS was asked for, against what Arkime says of its own captures."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import CORPORA

from headwater.analysis.flows import Flows, FlowSettings
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

FOLDER = CORPORA / "arkime/pcap"
OURS = {
    "ssl": {"ja3": "ja3", "ja3s": "ja3s", "ja4": "ja4", "cipher": "cipher", "server_name": "host"},
    "quic": {"server_name": "host"},
    "http": {"host": "host"},
    "dns": {"query": "query"},
    "ssh": {"hassh": "hassh", "hasshServer": "hasshServer"},
}
"""What our records call what Arkime's fields tell."""
THEIRS = ("ja3", "ja3s", "ja4", "cipher", "host", "hassh", "hasshServer")
UNREAD = {
    "adb_synthetic": {"adb-device.local"},  # HTTP within adb
    "sctp-www": {"203.255.252.194"},  # HTTP within SCTP
    "socks5-reverse": {"www.google.com"},  # the connection's responder is the client of SOCKS
}
"""Hosts of what is not read here, nor by Zeek."""
LEAST = 0.995
Key = tuple[frozenset[int], str, str]

pytestmark = pytest.mark.corpora


def ours(capture: Path) -> set[Key]:
    """(both ports, field, value) of all that is told."""
    flows, found = Flows("made", FlowSettings(bytes(16)), messages=True), set()
    with Capture(str(capture), Ledger(), carriers=True, payloads=True) as source:
        batches = [one for batch in source.read() for one in flows.find(batch)]
        batches += flows.end()
    for batch in batches:
        fields = OURS.get(batch.record.name, {})
        for row in batch.rows if fields else ():
            ports = frozenset({int(row["id.orig_p"]), int(row["id.resp_p"])})
            found |= {(ports, field, _plain(row[name])) for name, field in fields.items() if row[name]}
    return found


def theirs(answers: Path) -> Iterator[Key]:
    """Of a name with other letters than ASCII's, how it was written. What was asked of the root has no name."""
    said = json.loads(answers.read_text())
    for session in (one.get("body", one) for one in said.get("sessions3", ())):
        of: dict[str, list[Any]] = defaultdict(list)
        for part in ("tls", "quic", "http", "ssh"):
            for field in THEIRS:
                of[field] += session.get(part, {}).get(field, [])
        for asked in session.get("dns", ()):
            name = asked["queryHost"]
            of["query"] += [name if name.isascii() else next(iter(asked["puny"]))] if name != "<root>" else []
        for field, values in of.items():
            for value in set(values) - UNREAD.get(answers.stem, set()):
                yield frozenset({session["source"]["port"], session["destination"]["port"]}), field, _plain(value)


def _plain(text: str) -> str:
    """Without a port: Arkime tells that of some hosts."""
    return re.sub(r":\d+$", "", text)


def test_fingerprints_and_names_are_those_of_arkime() -> None:
    agreed, missing = 0, []
    for answers in sorted(FOLDER.glob("*.test")):
        if expected := set(theirs(answers)):
            found = ours(answers.with_suffix(".pcap"))
            agreed += len(expected & found)
            missing += [(answers.stem, *one) for one in sorted(expected - found, key=str)]
    assert agreed >= 180
    assert agreed >= LEAST * (agreed + len(missing)), missing
