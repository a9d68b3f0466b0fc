"""Until something is so, however little of a CPU a machine has."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
MOST_S = 180.0


def until(true: Callable[[], Found], doing: Callable[[], object] = lambda: None) -> Found:
    """What it tells once that is true; meanwhile, `doing` is called again and again. Fails after MOST_S."""
    deadline = time.monotonic() + MOST_S
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        doing()
        time.sleep(0.02)
    return found
