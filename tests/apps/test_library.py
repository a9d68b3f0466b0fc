"""Headwater as a library: captures and live interfaces as batches, and what these turn into."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from netns import namespace
from places import CORPORA, ROOT

import headwater
from headwater.errors import ConfigError, FilterError, SourceError

TRACE = CORPORA / "zeek/erspan/trace.pcap"
EXAMPLES = re.findall(r"(<!-- not run.*?-->\n\n)?```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.S)


@pytest.mark.corpora
@pytest.mark.parametrize("code", [code for not_run, code in EXAMPLES if not not_run])
def test_the_examples_run(code: str, tmp_path: Path) -> None:
    (tmp_path / "trace.pcap").symlink_to(TRACE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.corpora
def test_a_capture_is_the_same_in_every_form() -> None:
    table = headwater.read(TRACE).to_arrow()
    batches = list(headwater.read(TRACE))
    assert sum(map(len, batches)) == len(table) == 287
    (batch,) = batches
    assert not batch.borrowed
    assert batch.to_arrow() == table.combine_chunks().to_batches()[0]
    frame, polars = batch.to_pandas(), batch.to_polars()
    for column in ("src", "dport", "tcp_flags", "ts", "tunnel"):
        values = table[column].to_pylist()
        assert polars[column].to_arrow().cast(table[column].type) == pa.chunked_array([values], table[column].type).combine_chunks()
        assert pa.array(frame[column].array).cast(table[column].type).to_pylist() == values
    assert np.array_equal(batch.rows["length"], table["length"].to_numpy())


@pytest.mark.corpora
def test_a_filter_and_the_ledger() -> None:
    packets = headwater.read(TRACE, filter="tcp.port == 80")
    kept = sum(map(len, packets))
    assert 0 < kept < 287
    assert packets.ledger == [f"packets  trace.pcap: 287 seen = {kept} as_row + {287 - kept} filtered", "ledger   adds up exactly"]


def test_mistakes_are_exceptions(tmp_path: Path) -> None:
    with pytest.raises(FilterError):
        headwater.read("trace.pcap", filter="tcp.prt")
    with pytest.raises(FilterError):
        headwater.tap(filter="tcp.prt")
    with pytest.raises(SourceError):
        list(headwater.read(tmp_path / "none.pcap"))
    with pytest.raises(ConfigError):
        list(headwater.tap(["no-such-interface"]))
    with pytest.raises(AttributeError):
        _ = headwater.nothing  # type: ignore[attr-defined]


@pytest.mark.kernel
def test_live_packets() -> None:
    with namespace() as here, here.inside(), headwater.tap(["lo"], filter="udp.dstport == 9 && !icmp", seconds=5) as packets:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(5):
                sender.sendto(b"x", ("127.0.0.1", 9))
        seen = 0
        for batch in packets:
            seen += len(batch)
            if seen == 5:
                packets.stop()
    assert seen == 5
    assert packets.ledger[-1] == "ledger   adds up exactly"


@pytest.mark.kernel
@pytest.mark.parametrize("hook", ["tcx", "clsact", "af_packet"])
def test_the_ledger_stands_after_the_end(hook: Literal["tcx", "clsact", "af_packet"]) -> None:
    with namespace() as here, here.inside():
        with headwater.tap(["lo"], filter="udp.dstport == 9 && !icmp", seconds=2, hook=hook) as packets:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for port in (9, 9, 9, 10, 10):
                    sender.sendto(b"x", ("127.0.0.1", port))
            rows = sum(map(len, packets))
            inside = packets.ledger
        assert packets.ledger == inside
    assert rows and f"{rows} as_row + " in inside[0]
    assert inside[-1] == "ledger   adds up exactly"


@pytest.mark.kernel
def test_the_ledger_of_who_leaves_early_adds_up() -> None:
    with namespace() as here, here.inside():
        tap = headwater.tap(["lo"], hook="tcx")
        assert tap.ledger == []
        with tap, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", 9))
    assert "0 seen" not in tap.ledger[0]
    assert tap.ledger[-1] == "ledger   adds up exactly"
