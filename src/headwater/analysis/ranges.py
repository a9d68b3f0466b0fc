"""Which range of addresses each of many lies in: the addresses of a column once each and sorted, and tables of ranges to search them in.

Sorted questions make a search three times as fast: each begins where the one before ended, in memory that is still in the cache.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.records.address import MAPPED

Array = np.ndarray[Any, np.dtype[Any]]
V6 = np.dtype("S16")
"""An IPv6 address in an order that numpy can search: what S leaves out at the end are zeros, which there are at the end of each anyway."""
_MAPPED_WORD = np.frombuffer(MAPPED, np.uint32)[2]  # the first two are 0


def valid(array: pa.Array) -> Array:
    """A bool for each value of an Arrow array: whether it is there."""
    bits = array.is_valid()  # as fill_null() would load pandas
    packed = np.frombuffer(bits.buffers()[1] or b"", np.uint8)
    return np.unpackbits(packed, count=bits.offset + len(bits), bitorder="little")[bits.offset :].view(np.bool_)


def octets(array: "pa.FixedSizeBinaryArray", width: int) -> Array:
    """The octets of an array of `width` each, as uint8[n, width]."""
    return np.frombuffer(array.buffers()[1] or b"", np.uint8, len(array) * width, array.offset * width).reshape(-1, width)


class Addresses:
    """A column of addresses: each once, IPv4 (`v4`, uint32) and then IPv6 (`v6`, V6), both in ascending order.

    Of 16 octets a row (uint8[n, 16]), IPv4 mapped, where `there` (bool[n]) says that there is one. `rows` has for each row the place of
    its address among them all; len() of it is for those that have none.
    """

    def __init__(self, rows: Array, there: Array) -> None:
        mapped = (rows.view(np.uint64)[:, 0] == 0) & (rows.view(np.uint32)[:, 2] == _MAPPED_WORD)
        is_v4, is_v6 = mapped & there, ~mapped & there
        v4 = rows.view(">u4")[is_v4, 3].astype(np.uint32)
        self.v4, at_v4 = np.unique(v4, return_inverse=True)
        self.v6, at_v6 = np.unique(rows[is_v6].view(V6).ravel(), return_inverse=True)
        self.rows = np.full(len(rows), len(self), np.int32)
        self.rows[is_v4] = at_v4
        self.rows[is_v6] = at_v6 + len(self.v4)

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6)


@dataclass(frozen=True)
class Ranges:
    """Where ranges begin, in ascending order and from 0 on, and the code of each: IPv4 as uint32, IPv6 as V6, codes as int32."""

    v4: Array
    v4_codes: Array
    v6: Array
    v6_codes: Array

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6)

    def find(self, addresses: Addresses) -> Array:
        """The code of the range that each address lies in."""
        return np.concatenate(
            [
                self.v4_codes[np.searchsorted(self.v4, addresses.v4, "right") - 1],
                self.v6_codes[np.searchsorted(self.v6, addresses.v6, "right") - 1],
            ]
        )


def joined(v4: Array, v4_codes: Array, v6: Array, v6_codes: Array) -> Ranges:
    """The ranges of Ranges, neighbours of one code joined."""
    kept4, kept6 = (np.r_[True, codes[1:] != codes[:-1]] for codes in (v4_codes, v6_codes))
    return Ranges(v4[kept4], v4_codes[kept4].astype(np.int32), v6[kept6], v6_codes[kept6].astype(np.int32))


def ranges(v4: Iterable[tuple[int, int]], v6: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges that begin at these numbers, with a code each. The last of those that begin at one number stands; before the first is 0."""
    first4, first6 = ({0: 0, **dict(pairs)} for pairs in (v4, v6))
    starts4, starts6 = sorted(first4), sorted(first6)
    return joined(
        np.array(starts4, np.uint32),
        np.array([first4[start] for start in starts4], np.int32),
        np.frombuffer(b"".join(start.to_bytes(16) for start in starts6), V6),
        np.array([first6[start] for start in starts6], np.int32),
    )
