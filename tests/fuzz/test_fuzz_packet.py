"""A short run of the header parser's fuzzer, from frames of the corpora; the long one is of `make soak`. Needs clang and its libFuzzer."""

import re
import subprocess
from pathlib import Path

import pytest
from places import CORPORA, ROOT

pytestmark = pytest.mark.corpora

SOURCE = Path(__file__).parent / "fuzz_packet.c"
SANITIZED = ["clang", "-std=gnu11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
BOUND = "if (at + size > p->stop)"


def build(headers: Path, into: Path) -> Path:
    subprocess.run([*SANITIZED, f"-I{headers}", str(SOURCE), "-o", str(into)], check=True, timeout=120)
    return into


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of each capture."""
    folder = tmp_path_factory.mktemp("seeds")
    made = folder / "frames"
    made.mkdir()
    subprocess.run(["cc", "-DHW_SEEDS", f"-I{ROOT / 'bpf'}", str(SOURCE), "-o", str(folder / "seeds")], check=True, timeout=60)
    names = "".join(f"{path}\n" for path in sorted(CORPORA.rglob("*")) if path.suffix in (".pcap", ".pcapng"))
    subprocess.run([str(folder / "seeds"), str(made)], input=names, text=True, check=True, timeout=60)
    return made


def fuzz(binary: Path, seeds: Path, found: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run from `seeds`, with what is new, and a frame that breaks it, in `found`."""
    found.mkdir()
    command = [str(binary), "-max_len=512", "-rss_limit_mb=1024", f"-artifact_prefix={found}/", *options, str(found), str(seeds)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_no_frame_breaks_the_parser(seeds: Path, tmp_path: Path) -> None:
    done = fuzz(build(ROOT / "bpf", tmp_path / "fuzz_packet"), seeds, tmp_path / "found", "-max_total_time=20", "-print_final_stats=1")
    assert done.returncode == 0, done.stderr[-3000:]
    units = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert units
    assert int(units[1]) > 10_000


def test_a_read_behind_the_frame_is_found(seeds: Path, tmp_path: Path) -> None:
    headers = tmp_path / "bpf"
    headers.mkdir()
    for path in (ROOT / "bpf").glob("*.h"):
        (headers / path.name).write_text(path.read_text())
    text = (headers / "parser.h").read_text()
    assert text.count(BOUND) == 1
    (headers / "parser.h").write_text(text.replace(BOUND, BOUND.replace("p->stop", "p->stop + 1")))
    done = fuzz(build(headers, tmp_path / "fuzz_packet"), seeds, tmp_path / "found", "-runs=20000")
    assert "use-after-poison" in done.stderr
