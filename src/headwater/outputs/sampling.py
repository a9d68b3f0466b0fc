"""Thinning out: a part of each stretch of a batch, so that a picture of a busy line is still a fair one."""

import random
import time

import numpy as np

from headwater.records import Batch


class Sampler:
    """Lets `rows_per_s` rows through on average, and as many at once; what was not used is saved up for a second."""

    def __init__(self, rows_per_s: int) -> None:
        self._rows_per_s = self._saved = float(rows_per_s)
        self._at = time.monotonic()

    def thin(self, batch: Batch) -> Batch:
        """The batch, or where there is no room for all of it one row of each of so many equal stretches, in order and in own memory."""
        now = time.monotonic()
        self._saved = min(self._rows_per_s, self._saved + (now - self._at) * self._rows_per_s)
        self._at = now
        kept = min(len(batch), int(self._saved))
        self._saved -= kept
        if kept == len(batch):
            return batch
        stretch = len(batch) / max(kept, 1)
        return batch.where(((np.arange(kept) + random.random()) * stretch).astype(np.intp))  # noqa: S311 - not a secret
