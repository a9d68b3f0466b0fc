"""The capture that flows are measured with (bench/mix.py): what it is made of is known, so what must be found in it is, too."""

import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flowing import all_of, packets

from bench.mix import Mix, captures
from headwater.records import CONN

pytestmark = pytest.mark.corpora
TOLD = ("duration", "orig_bytes", "resp_bytes", "missed_bytes", "orig_pkts", "resp_pkts", "ip_proto", "conn_state", "history")


@cache
def mix() -> Mix:
    return Mix(captures())


def written(path: Path, copies: int) -> Path:
    with path.open("wb") as file:
        assert mix().write(file, copies * mix().packets) == copies * mix().packets
    return path


def flows_of(path: Path) -> "np.ndarray[Any, np.dtype[Any]]":
    """But not of what is inside tunnels, where each copy has the same addresses."""
    rows = all_of(packets(path, carriers=True))
    return rows[[not any(bytes(parents)) for parents in rows["tunnel_parents"]]]


def kinds(rows: Any) -> "Counter[Any]":
    return Counter(row.tolist() for row in rows[list(TOLD)])


def test_tshark_reads_it(tmp_path: Path) -> None:
    """As many packets as were written, in the order of time."""
    made = written(tmp_path / "made.pcap", 2)
    told = subprocess.run(["capinfos", "-M", "-c", "-o", "-l", made], capture_output=True, text=True, check=True).stdout
    assert f"{2 * mix().packets}" in told
    assert "Strict time order:   True" in told


def test_no_capture_is_most_of_it() -> None:
    assert mix().packets > 20_000
    assert len(mix().captures) > 200
    assert max(mix().captures.values()) < mix().packets / 10


def test_each_copy_has_the_same_flows_between_other_hosts(tmp_path: Path) -> None:
    one, three = flows_of(written(tmp_path / "one.pcap", 1)), flows_of(written(tmp_path / "three.pcap", 3))
    assert len(one) > 1000
    assert len(packets(tmp_path / "three.pcap")) == 3 * len(packets(tmp_path / "one.pcap")) >= 3 * mix().packets
    assert kinds(three) == Counter({kind: 3 * count for kind, count in kinds(one).items()})
    assert len({bytes(row) for row in three["community_id"]}) > 2.9 * len({bytes(row) for row in one["community_id"]})
    assert CONN.dtype == three.dtype
