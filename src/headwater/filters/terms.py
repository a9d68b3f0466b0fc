"""A filter as the terms that bpf/filter.h walks, in the kernel and in the native readers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headwater.errors import FilterError
from headwater.filters.comparisons import WORD, Both, Comparison, Either, Interface, Meaning, Neither
from headwater.filters.fields import FIELDS, Place, place_of
from headwater.records.layouts import FILTER, HAS

KEEP, REFUSE = 254, 255  # HW_FILTER_KEEP, HW_FILTER_REFUSE
MOST = 32  # HW_MAX_TERMS
_TRANSPORTS = {1, 6, 17, 58, 132}  # no two of them that have the same layers share five bits
_ALWAYS = Comparison((Place(("has",)),))


def compile_terms(meaning: Meaning, interfaces: Mapping[int, str], text: str) -> np.ndarray[Any, np.dtype[Any]]:
    """One struct hw_filter. `interfaces` names the numbers that rows may have. Raises FilterError if it takes more terms than fit."""
    walk = _Walk({name: index for index, name in interfaces.items()})
    terms = walk.in_order(walk.add(meaning, KEEP, REFUSE))
    if len(terms) > MOST:
        raise FilterError(f"it takes {len(terms)} comparisons, and a filter may have {MOST}: use prefixes and ranges", text, 0)
    made = np.zeros(1, FILTER)
    made["count"] = len(terms)
    terms.append((_ALWAYS, KEEP, KEEP))
    for place, (slot, (comparison, yes, no)) in enumerate(zip(made["terms"][0], terms, strict=False)):
        _write(slot, comparison)
        if yes == place + 1 or (yes == KEEP and place + 2 == len(terms)):
            slot["leaves_if"], slot["to"] = 0, no
        else:
            slot["leaves_if"], slot["to"] = 1, yes
    return made


class _Walk:
    """Terms from the last to the first: what a term goes on to is there before it is. A term's key is 256 more than its place here."""

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        self._interfaces = interfaces
        self._terms: list[tuple[Comparison, int, int]] = []

    def add(self, meaning: Meaning, yes: int, no: int) -> int:
        """The terms of `meaning`, which go on to `yes` or `no`. The key of the first, or one of those two."""
        match meaning:
            case Neither(part=part):
                return self.add(part, no, yes)
            case Both(parts=parts):
                for part in reversed(parts):
                    yes = self.add(part, yes, no)
                return yes
            case Either(parts=parts):
                for part in reversed(parts):
                    no = self.add(part, yes, no)
                return no
            case Interface(name=name):
                if name not in self._interfaces:
                    return no
                meaning = Comparison(FIELDS["frame.interface_name"].places, 0xFFFFFFFF, self._interfaces[name])
            case Comparison(places=places) if not all(_told_by_facts(place) for place in places):
                return self.add(Either(tuple(_apart(meaning, place) for place in places)), yes, no)
        if yes == no:  # behind a part that is constant
            return yes
        self._terms.append((meaning, yes, no))
        return 255 + len(self._terms)

    def in_order(self, first: int) -> list[tuple[Comparison, int, int]]:
        """Those that are reached from `first`, in the order of the walk, with places in place of keys."""
        if first in (KEEP, REFUSE):
            return [(_ALWAYS, first, KEEP)]
        reached, todo = set[int](), [first]
        while todo:
            key = todo.pop()
            if key >= 256 and key not in reached:
                reached.add(key)
                todo += self._terms[key - 256][1:]
        order = {key: place for place, key in enumerate(sorted(reached, reverse=True))}
        return [(comparison, order.get(yes, yes), order.get(no, no)) for comparison, yes, no in (self._terms[key - 256] for key in order)]


def _told_by_facts(place: Place) -> bool:
    """Whether a term can ask by itself for what the place is about: a transport (hw_facts)."""
    return not place.about or (place.about.endswith("proto") and place.number in _TRANSPORTS)


def _apart(comparison: Comparison, place: Place) -> Meaning:
    """A comparison at one place, with what that is about as a comparison of its own."""
    there = replace(comparison, places=(replace(place, about="", number=0, bits=0),))
    if not place.about:
        return there
    bits = place.bits or (1 << 8 * place_of(place.about)[1]) - 1
    about = Comparison((Place((place.about,), place.needs),), bits, place.number)
    return Both((about, there)) if comparison.mask else about


def _write(slot: Any, comparison: Comparison) -> None:
    """An address is looked at from its last octets, which differ more; a number lies wholly in the first word."""
    own, *others = comparison.places
    first, last = (comparison.mask & WORD, comparison.low), (comparison.mask >> 64, comparison.high)
    if not last[0]:
        first, last = last, first
    slot["mask"], slot["value"], slot["span"] = (last[0], first[0]), (last[1], first[1]), comparison.span
    shift = 8 if comparison.mask >> 64 else 0
    slot["needs"], slot["at"] = own.needs | (1 << 32 + own.number % 32 if own.number else 0), _offset(own.columns[0]) + shift
    slot["pair"] = _offset(own.columns[1]) + shift if len(own.columns) > 1 else 0
    slot["wide"] = bool(shift and first[0]) and not own.needs & HAS["ipv4"]
    slot["others_proto"] = own.number
    for number, place in enumerate(others):
        slot["others_need"][number] = place.needs
        slot["others_at"][number] = _offset(place.columns[0]) + shift


def _offset(column: str) -> int:
    return place_of(column)[0]
