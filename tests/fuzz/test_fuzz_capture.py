"""fuzz_capture.c for a few seconds, under a compiler's sanitizers: small captures of the corpora, and the same with octets changed."""

import subprocess
from pathlib import Path

import pytest
from places import CORPORA, ROOT

ROUNDS = {"*.pcap": "10", "*.pcapng": "400"}  # there is more to get wrong in pcapng, and there are fewer of it
FLAGS = "-std=gnu11 -g -O1 -DHW_MAIN -fsanitize=address,undefined -fno-sanitize-recover=all -Inative".split()
SOURCES = "tests/fuzz/fuzz_capture.c native/capture.c native/link.c native/pcap.c native/pcapng.c native/pcapng_writer.c".split()


@pytest.mark.corpora
def test_hostile_captures_do_no_harm(tmp_path: Path) -> None:
    subprocess.run(["cc", *FLAGS, *SOURCES, "-o", tmp_path / "fuzz"], cwd=ROOT, check=True)
    for pattern, rounds in ROUNDS.items():
        seeds = [path for path in sorted(CORPORA.rglob(pattern)) if path.stat().st_size < 9000]
        assert len(seeds) > 50
        done = subprocess.run([tmp_path / "fuzz", rounds, *seeds], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
