"""An output that is given something else than what was made."""

from collections.abc import Callable

from headwater.errors import SinkError
from headwater.pipeline import Output
from headwater.records import Batch


class Through:
    """Gives `output` what `change` makes of each batch."""

    def __init__(self, output: Output, change: Callable[[Batch], Batch]) -> None:
        self.failure: SinkError | None = None
        self._output = output
        self._change = change
        self.prepare, self.open = output.prepare, output.open
        self.flush, self.close, self.give_up = output.flush, output.close, output.give_up

    def put(self, batch: Batch) -> None:
        """Raises as the output does."""
        try:
            if len(changed := self._change(batch)):
                self._output.put(changed)
        finally:
            self.failure = self._output.failure
