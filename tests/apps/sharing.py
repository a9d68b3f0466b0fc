"""What a capture becomes, read by one process and by several."""

import contextlib
import io
import tempfile
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

from headwater import config
from headwater.apps import offline
from headwater.errors import HeadwaterError
from headwater.record_names import OF_CAPTURES

RECORDS = tuple(record for record in OF_CAPTURES if record != "packet")


def told(capture: Path, workers: int) -> dict[str, Any]:
    """The lines of each record, what went wrong, and the ledger but for what became of the records."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
        settings = config.override(config.Settings(), "a test", output={"directory": folder, "format": "jsonl"})
        problem = ""
        try:
            offline.read([str(capture)], settings, RECORDS, workers=workers)
        except HeadwaterError as error:
            problem = str(error)
        lines = {path.stem: sorted(path.read_text().splitlines()) for path in Path(folder).glob("*.jsonl") if path.stem != "ledger"}
    ledger = [line for line in said.getvalue().splitlines() if not line.startswith("records")]
    return {**lines, "problem": problem, "said": ledger}


def compared(capture: Path, workers: int) -> tuple[int, list[tuple[str, Any, Any]]]:
    """How many rows it has; of each record, the lines of one process that several do not have, and the other way round."""
    one, several = told(capture, 1), told(capture, workers)
    unlike = sorted(name for name in one.keys() | several.keys() if one.get(name) != several.get(name))
    rows = sum(len(lines) for name, lines in one.items() if name not in ("problem", "said"))
    return rows, [(name, *(_beyond(*pair) for pair in permutations([one.get(name, ()), several.get(name, ())]))) for name in unlike]


def _beyond(these: Any, those: Any) -> Any:
    """What the first has more often."""
    return these if isinstance(these, str) else [*(Counter(these) - Counter(those))][:5]
