"""Live, how much the kernel is to hand over of what a flow carries: as much ahead of its protocols as the budget says."""

from typing import TYPE_CHECKING, Any, Final

from headwater._native import lib
from headwater.records.layouts import WANT_ALL

if TYPE_CHECKING:
    from headwater.analysis.stream import Stream

_NEVER: Final = 1 << 31  # octets ahead: the kernel tells places by 32 bits


class Budgets:
    """Of the streams of `flows` (a struct hw_flows), `most` octets of a side, counted from where its protocol wants them next."""

    def __init__(self, flows: Any, most: int) -> None:
        self._flows = flows
        self._most = most

    def renew(self, stream: "Stream") -> None:
        """Something came of it."""
        whole = any(stream.proto == "udp" or reader.whole for reader in stream.readers)
        if stream.proto == "udp" and not whole:
            return  # it is as it was when the flow began, or nobody reads it any more
        for side in (0, 1):
            ahead, octets = (0, WANT_ALL) if whole else self._wanted(stream, side)
            if ahead >= _NEVER:
                lib.hw_flows_budget(self._flows, stream.number, side, 0, 0)
            else:
                lib.hw_flows_budget(self._flows, stream.number, side, ahead, max(octets, self._most))

    def _wanted(self, stream: "Stream", side: int) -> tuple[int, int]:
        """How many octets are passed over before the next that are wanted, and how many those are at least."""
        ahead, octets = (_NEVER if stream.head is None else 0), 0
        for sides in stream.sides.values():
            if sides[side].open:
                passed, more = sides[side].wanted(self._most)
                ahead, octets = min(ahead, passed), max(octets, more)
        if stream.inner:
            passed, more = self._wanted(stream.inner, side)
            ahead, octets = min(ahead, passed), max(octets, more)
        return ahead, octets
