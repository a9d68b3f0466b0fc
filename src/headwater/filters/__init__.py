"""One filter language, for the kernel, captures and batches: Wireshark's display filters, as far as a packet row can tell."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from headwater.filters.comparisons import Both, Either, Interface, Meaning, Neither, meaning
from headwater.filters.fields import FIELDS, FLOW_FIELDS
from headwater.filters.grammar import parse
from headwater.filters.mask import Mask, mask
from headwater.filters.terms import compile_terms
from headwater.records import Batch
from headwater.records.layouts import FILTER, FilterOf

__all__ = ["FILTERS", "AnyFilter", "Filter", "FlowFilter", "sample_below", "terms_of", "understood"]

FILTERS: Mapping[str, FilterOf] = {"filter": FilterOf["packets"], "packet_filter": FilterOf["rows"], "flow_filter": FilterOf["flows"]}
"""The filters of a run, as the configuration calls them."""


class Filter:
    """A filter's text, understood. Raises FilterError with the place of a mistake."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._meaning = meaning(parse(text), text, FIELDS)

    def __repr__(self) -> str:
        return f"Filter({self.text!r})"

    @property
    def names_interfaces(self) -> frozenset[str]:
        """The interfaces that it asks for by name, so that its terms hold only for the numbers of the moment."""
        return frozenset(_names_interfaces(self._meaning))

    def terms(self, interfaces: Mapping[int, str]) -> np.ndarray[Any, np.dtype[Any]]:
        """As one struct hw_filter, for the kernel and the native readers. Raises FilterError if it is too long for them."""
        return compile_terms(self._meaning, interfaces, self.text)

    def mask(self, batch: Batch) -> Mask:
        """A bool for each row of a batch of packets: whether it is kept."""
        return mask(self._meaning, batch)


class FlowFilter:
    """A filter of flows, understood: which become rows of `conn` when they are over. Raises FilterError with the place of a mistake."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._terms = compile_terms(meaning(parse(text), text, FLOW_FIELDS), {}, text)
        self.names_interfaces = frozenset[str]()
        """None: a flow is not of one alone."""

    def __repr__(self) -> str:
        return f"FlowFilter({self.text!r})"

    def terms(self, _: Mapping[int, str]) -> np.ndarray[Any, np.dtype[Any]]:
        """As one struct hw_filter."""
        return self._terms


AnyFilter: TypeAlias = Filter | FlowFilter


def understood(text: str, of: FilterOf) -> AnyFilter | None:
    """A filter's text for that; None if it keeps all. Raises FilterError."""
    if not text.strip():
        return None
    return FlowFilter(text) if of is FilterOf["flows"] else Filter(text)


def terms_of(filter: AnyFilter | None, interfaces: Mapping[int, str]) -> np.ndarray[Any, np.dtype[Any]]:
    """One struct hw_filter, which without a filter keeps all. Raises FilterError if it is too long."""
    return filter.terms(interfaces) if filter else np.zeros(1, FILTER)


def _names_interfaces(meaning: Meaning) -> Iterator[str]:
    match meaning:
        case Neither(part=part):
            yield from _names_interfaces(part)
        case Both(parts=parts) | Either(parts=parts):
            for part in parts:
                yield from _names_interfaces(part)
        case Interface(name=name):
            yield name


def sample_below(one_in: int) -> int:
    """What a random number of 32 bits must be below, so that one packet in `one_in` is kept; 0 keeps all."""
    return (1 << 32) // one_in if one_in > 1 else 0
