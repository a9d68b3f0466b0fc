"""Captures that are read one after another belong in the order of time: what they show is one story, flows above all."""

from collections.abc import Callable, Iterator

from headwater.records import Batch


class Order:
    """Says once which capture begins before the end of the one that was read before it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._told = False
        self._before = ""
        self._last = 0  # when its last packet was seen

    def follow(self, name: str, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, all of them of the capture `name`."""
        begun = False
        for batch in batches:
            times = batch.rows["ts"]
            times = times[times != 0]  # not all have one
            if len(times):
                if not begun and int(times[0]) < self._last:
                    self._tell(name)
                begun, self._before, self._last = True, name, int(times[-1])
            yield batch

    def _tell(self, name: str) -> None:
        if not self._told:
            self._report(
                f"{name} begins before {self._before} ends, which was read first, so flows come out wrong: name captures in the order of "
                "time, or put those made at the same time together (mergecap -w all.pcap FILE...)"
            )
        self._told = True
