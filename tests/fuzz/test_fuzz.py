"""The fuzzers for a short while, from what is in the corpora (the long run is of `make soak`), and mistakes that each of them finds."""

import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fuzz_protocols
import pytest
from fuzzing import TARGETS, Outcome, fuzz, make_seeds
from places import ROOT

from headwater.analysis.protocols import PROTOCOLS

pytestmark = pytest.mark.corpora

LEAST = {
    "packet": 50_000,
    "link": 50_000,
    "pcap": 5000,
    "pcapng": 5000,
    "streams": 1000,
}  # inputs, on a machine that has other things to do
MISTAKES = {  # the target, the file, what it says, what it is to say, and what the fuzzer says to that
    "a frame read behind its end": ("packet", "bpf/parser.h", "at + size > p->stop", "at + size > p->stop + 1", "ERROR: AddressSanitizer"),
    "a layer that is left over": ("packet", "bpf/parser.h", "(row->has & HW_HAS_KEPT)", "row->has", "rows.h"),
    "FDDI, of which there is one capture": ("link", "native/link.c", "hw_look(p, 0, 13)", "hw_look(p, 0, 12)", "ERROR: AddressSanitizer"),
    "Prism, of which there is none": (
        "link",
        "native/link.c",
        "read_prism(struct hw_parser *p)\n{\n\tconst __u8 *header = hw_look(p, 0, 8);",
        "read_prism(struct hw_parser *p)\n{\n\tconst __u8 *header = hw_look(p, 0, 4);",
        "ERROR: AddressSanitizer",
    ),
    "radiotap's flags behind its end": ("link", "native/link.c", "header[4] & 2 && at < p->at", "header[4] & 2", "frame.h"),
    "a packet read behind its end": (
        "pcap",
        "native/pcap.c",
        "hw_left(feed) - capture->record_header < record.captured",
        "hw_left(feed) < record.captured",
        "ERROR: AddressSanitizer",
    ),
    "a packet counted for the wrong reason": (
        "pcap",
        "native/capture_rows.c",
        "&counts->filtered, &counts->sampled_out",
        "&counts->sampled_out, &counts->filtered",
        "counts",
    ),
    "an option that does not fit": (
        "pcapng",
        "native/pcapng.c",
        "padded > options->left",
        "option->size > options->left",
        "ERROR: AddressSanitizer",
    ),
    "a checksum of octets that were not captured": (
        "pcap",
        "native/checksum.c",
        "begin + row->ip_length > captured",
        "begin > captured",
        "ERROR: AddressSanitizer",
    ),
    "an interface that is broken, and counts": ("pcapng", "native/pcapng.c", "capture->described--;", "", "interfaces"),
    "octets that were here before, twice": ("streams", "native/streams.c", "octets += half->done - place;", "", "fuzz_streams.c"),
    "losses told twice in what is written": ("pcapng", "native/pcapng_writer.c", "interface->untold = 0;", "", "lost_before"),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "seeds"
    make_seeds(folder)
    return folder


def test_nothing_breaks_the_parser_and_the_decoder(seeds: Path, tmp_path: Path) -> None:
    def run(name: str) -> Outcome:
        return fuzz(name, TARGETS[name].build(tmp_path / f"fuzz_{name}"), seeds, tmp_path / name, TARGETS[name].seconds)

    with ThreadPoolExecutor(2) as pool:
        for name, outcome in zip(TARGETS, pool.map(run, TARGETS), strict=True):
            assert not outcome.broke, f"{name}: {b64encode(outcome.broke.read_bytes()).decode()}\n{outcome.output[-6000:]}"
            assert outcome.executions > LEAST[name], outcome


def test_mistakes_are_found(seeds: Path, tmp_path: Path) -> None:
    def run(number: int) -> str:
        name, file, old, new, _ = list(MISTAKES.values())[number]
        tree = tmp_path / str(number)
        for folder in ("bpf", "native"):
            shutil.copytree(ROOT / folder, tree / folder)
        text = (tree / file).read_text()
        assert text.count(old) == 1, f"{old!r} is not in {file} once: write this mistake anew"
        (tree / file).write_text(text.replace(old, new))
        return fuzz(name, TARGETS[name].build(tree / "fuzz", tree, "-O0"), seeds, tree / "found", 300).output

    with ThreadPoolExecutor(2) as pool:
        for (name, mistake), output in zip(MISTAKES.items(), pool.map(run, range(len(MISTAKES))), strict=True):
            assert mistake[-1] in output, f"{name}: {output[-3000:]}"


@pytest.mark.parametrize("name", sorted({protocol.service for protocol in PROTOCOLS}))
def test_no_message_breaks_or_holds_up_a_protocol(name: str) -> None:
    """A second each; the long run is of `make soak`."""
    assert fuzz_protocols.fuzz(name, 1.0, seed=1) > 10


def _guided(folder: Path, seconds: int, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests/fuzz/guided.py"), str(folder), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=seconds + 120)


def test_no_branch_breaks_a_protocol(tmp_path: Path) -> None:
    """Under atheris, all of them at once; the long run is of `make soak`. A reader that goes beyond its octets is found."""
    pytest.importorskip("atheris", reason="there is none for this Python or machine")
    done = _guided(tmp_path / "found", 15)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert int(re.findall(r"Done (\d+) runs", done.stderr)[0]) > 1000
    shutil.copytree(ROOT / "src", tmp_path / "tree/src")
    wrong = tmp_path / "tree/src/headwater/analysis/wire.py"
    text = wrong.read_text()
    assert text.count('raise Malformed("truncated")') > 1, "write this mistake anew"
    wrong.write_text(text.replace('raise Malformed("truncated")', 'raise IndexError("truncated")'))
    done = _guided(tmp_path / "broken", 60, tmp_path / "tree")
    assert done.returncode != 0
    assert "AssertionError: " in done.stdout
