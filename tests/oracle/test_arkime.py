"""Fingerprints, suites and names of TLS and QUIC, against what Arkime says of its own captures."""

import json
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
FIELDS = {"ja3": "ja3", "ja3s": "ja3s", "ja4": "ja4", "cipher": "cipher", "host": "server_name"}
LEAST = 0.99
Key = tuple[int, int, str, str]

pytestmark = pytest.mark.corpora


def ours(capture: Path) -> set[Key]:
    """(port, port, field, value) of all that is told."""
    flows, found = Flows("made", FlowSettings(bytes(16)), messages=True), set()
    with Capture(str(capture), Ledger(), carriers=True, payloads=True) as source:
        batches = [one for batch in source.read() for one in flows.find(batch)]
        batches += flows.end()
    for batch in batches:
        names = [name for name in FIELDS.values() if name in batch.rows.dtype.names] if batch.record.name in ("ssl", "quic") else []
        for row in batch.rows if names else ():
            found |= {(int(row["id.orig_p"]), int(row["id.resp_p"]), name, row[name]) for name in names if row[name]}
    return found


def theirs(answers: Path) -> Iterator[Key]:
    said = json.loads(answers.read_text())
    for session in (one.get("body", one) for one in said.get("sessions3", ())):
        of: dict[str, list[Any]] = defaultdict(list)
        for part in ("tls", "quic"):
            for field in FIELDS:
                of[field] += session.get(part, {}).get(field, [])
        for field, name in FIELDS.items():
            for value in set(of[field]):
                yield session["source"]["port"], session["destination"]["port"], name, value


def test_fingerprints_and_names_are_those_of_arkime() -> None:
    agreed, missing = 0, []
    for answers in sorted(FOLDER.glob("*.test")):
        if expected := set(theirs(answers)):
            found = ours(answers.with_suffix(".pcap"))
            agreed += len(expected & found)
            missing += [(answers.stem, *one) for one in sorted(expected - found)]
    assert agreed >= 62
    assert agreed >= LEAST * (agreed + len(missing)), missing
