"""A process that keeps rows and tells of each batch once it is safe: writing.py FOLDER FIRST. To be killed."""

import sys
import time
from pathlib import Path

import numpy as np

from headwater.outputs.spool import Spool
from headwater.records import RATE, Batch
from headwater.store.settings import Place

ROWS = 50
DAY_NS = 86_400 * 10**9


def batch(number: int) -> Batch:
    """Rows that no other number has, some of another day."""
    rows = np.zeros(ROWS, RATE.dtype)
    rows["ts"] = 1_750_000_000_000_000_000 + (number % 3 == 0) * DAY_NS * (np.arange(ROWS, dtype=np.uint64) % 2)
    rows["packets"] = number * ROWS + np.arange(ROWS)
    return Batch(RATE, rows)


def main() -> None:
    number = int(sys.argv[2])
    with Spool(Place(Path(sys.argv[1])).spool, 1 << 30) as spool:
        while True:
            spool.send([batch(number)])
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            number += 1
            time.sleep(0.03)  # what it writes is to be taken in the end


if __name__ == "__main__":
    main()
