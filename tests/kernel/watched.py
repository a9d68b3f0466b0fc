"""`headwater run` in a network namespace, and the rows that it made; those that `headwater read` makes of a capture."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netns import End
from waiting import MOST_S, until


class Rows(list[dict[str, Any]]):
    """Of one record of a run, once it has ended; and what it said."""

    said = ""
    pid = 0


@contextlib.contextmanager
def watching(end: End, folder: Path, record: str, *more: str) -> Iterator[Rows]:
    """A run on that end, until the block ends."""
    rows, file = Rows(), folder / f"{record}.jsonl"
    command = [sys.executable, "-m", "headwater", "run", "-i", end.interface, "--record", record, "-o", str(folder), *more]
    with end.space.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        try:
            wait_for_file(file, run)  # files are made once all is attached
            rows.pid = run.pid
            yield rows
            time.sleep(0.5)  # for what a kernel sends of itself
            run.send_signal(signal.SIGINT)
            rows.said = run.communicate(timeout=MOST_S)[1]
        finally:
            run.kill()
    assert run.returncode == 0, rows.said
    assert "adds up exactly" in rows.said
    rows += written(folder, record)


def wait_for_file(file: Path, run: "subprocess.Popen[str]", lines: int = 0) -> None:
    """Until that run has made it, with that many lines."""

    def is_there() -> bool:
        assert run.poll() is None, run.communicate()[1]
        return file.exists() and file.read_bytes().count(b"\n") >= lines

    until(is_there)


def counted(folder: Path, ledger: str, term: str, subject: str = "") -> int:
    """What the ledger of the run that writes to that folder has of it by now; without a subject, of all of them."""
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
    asked = {"ledger": ledger, "term": term} | ({"subject": subject} if subject else {})
    return sum(line["count"] for line in lines if asked.items() <= line.items())


def read(capture: Path, folder: Path, *records: str) -> None:
    """Into that folder."""
    asked = [word for record in records for word in ("--record", record)]
    subprocess.run([sys.executable, "-m", "headwater", "read", capture, *asked, "-o", folder], check=True, capture_output=True)


def written(folder: Path, record: str) -> list[dict[str, Any]]:
    """The rows of that record there."""
    return [json.loads(line) for line in (folder / f"{record}.jsonl").read_text().splitlines()]
