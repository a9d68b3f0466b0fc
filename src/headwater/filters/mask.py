"""A filter over a batch: a bool for each row, by numpy."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from headwater.filters.comparisons import WORD, Both, Comparison, Either, Interface, Meaning, Neither
from headwater.filters.fields import Place
from headwater.records import Batch

Rows: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


def mask(meaning: Meaning, batch: Batch) -> Mask:
    """Which rows of a batch of packets the filter keeps."""
    return _mask(meaning, batch.rows, batch.interfaces)


def _mask(meaning: Meaning, rows: Rows, interfaces: Mapping[int, str]) -> Mask:
    match meaning:
        case Neither(part=part):
            return ~_mask(part, rows, interfaces)
        case Both(parts=parts):
            kept = np.ones(len(rows), np.bool_)
            for part in parts:
                kept &= _mask(part, rows, interfaces)
            return kept
        case Either(parts=parts):
            kept = np.zeros(len(rows), np.bool_)
            for part in parts:
                kept |= _mask(part, rows, interfaces)
            return kept
        case Interface(name=name):
            return np.isin(rows["interface"], [index for index, known in interfaces.items() if known == name])
        case Comparison(places=places):
            kept = np.zeros(len(rows), np.bool_)
            for place in places:
                kept |= _at(meaning, place, rows)
            return kept


def _at(comparison: Comparison, place: Place, rows: Rows) -> Mask:
    there = (rows["has"] & np.uint32(place.needs)) == place.needs
    if place.about:
        about = rows[place.about]
        there &= (about & about.dtype.type(place.bits) if place.bits else about) == place.number
    holds = np.zeros(len(rows), np.bool_)
    for column in place.columns:
        low, high = _words(rows[column])
        one = (low & np.uint64(comparison.mask & WORD)) - np.uint64(comparison.low) <= np.uint64(comparison.span)
        if comparison.mask >> 64:
            one &= (high & np.uint64(comparison.mask >> 64)) == np.uint64(comparison.high)
        holds |= one
    kept: Mask = there & holds
    return kept


def _words(values: Rows) -> tuple[Rows, Rows]:
    """A column as little-endian numbers of 64 bits, two of them for what has more than eight octets."""
    if values.dtype.kind == "u":
        return values.astype(np.uint64), values[:0]
    octets = np.zeros((len(values), 16), np.uint8)
    octets[:, : values.dtype.itemsize] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    words = octets.view("<u8")
    return words[:, 0], words[:, 1]
