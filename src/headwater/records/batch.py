"""A batch: rows of one record. The unit in which everything moves; a row is never a Python object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.records.schema import Column, Record

if TYPE_CHECKING:
    import pyarrow as pa

JOINED_ROWS = 1 << 13
"""Rows are worth doing something with together, but not so many that no cache holds them."""


@dataclass(frozen=True)
class Payloads:
    """What packets carry: `each` of them, an array of struct hw_payload, and the memory where their octets lie."""

    each: Any
    octets: Any


@dataclass(frozen=True)
class Batch:
    """Rows of one record, as a numpy structured array (`rows`, of record.dtype; its stride may be larger than its size).

    `interfaces` names the indices in `interface` columns. Rows that are a view of borrowed memory (a ring, a decoder's buffer)
    have `borrowed` set, and are good only until the source is read again; who keeps them calls copy(). With `carriers`, some rows of
    packets stand for no packet, but for what carries the next one: they have 0 segments, and their `tunnel` is what they carry.

    Where flows are kept in the kernel, packets are `tracked`: their flows are known there. Others are `deferred`, for analyses alone: the
    kernel has no room for their `flow`, or gets their `frame` back when a datagram in pieces is whole, and something is odd in it (both
    rows of DEFERRED); or something is `weird` in them, or only flows are wanted of these `packets`.

    `payloads` is what borrowed packets carry, for the analysis of flows; no copy has it.
    """

    record: Record
    rows: np.ndarray[Any, np.dtype[Any]]
    interfaces: Mapping[int, str] = field(default_factory=dict)
    borrowed: bool = False
    carriers: bool = False
    tracked: bool = False
    deferred: str = ""
    payloads: Payloads | None = None

    def __post_init__(self) -> None:
        if self.rows.dtype is not self.record.dtype and self.rows.dtype != self.record.dtype:  # C reads them by their offsets
            raise ValueError(
                f"rows of another layout than {self.record.name} has: np.concatenate needs dtype={self.record.name.upper()}.dtype"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def copy(self) -> "Batch":
        """The same rows in memory of their own."""
        if not self.borrowed:
            return self
        return Batch(
            self.record,
            np.array(_octets(self.rows)).view(self.record.dtype),
            dict(self.interfaces),
            carriers=self.carriers,
            tracked=self.tracked,
            deferred=self.deferred,
        )

    def packets(self) -> "Batch":
        """The rows of packets without those of their carriers."""
        if not self.carriers:
            return self
        packets = self.rows["segments"] != 0
        return self if packets.all() else self.where(packets)

    def where(self, mask: np.ndarray[Any, np.dtype[np.bool_ | np.intp]]) -> "Batch":
        """The rows that `mask` (a bool for each, or their indices) keeps, in memory of their own."""
        return Batch(self.record, _octets(self.rows)[mask].view(self.record.dtype), self.interfaces)

    def present(self, column: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A bool for each row: whether it has that column."""
        described = self.record.column(column)
        return present(described, self.rows[column], self.rows["has"] if described.needs else None)

    def to_arrow(self) -> "pa.RecordBatch":
        """The rows as Arrow columns: addresses and enumerations as text, absent values as null (records/columns.py)."""
        from headwater.records.columns import to_arrow  # noqa: PLC0415 - pyarrow takes 0.1 s to import; a live view never needs it

        return to_arrow(self)

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame whose columns are Arrow's, so that absent values stay absent. Needs pandas."""
        import pandas as pd  # noqa: PLC0415 - not among our dependencies

        return self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame. Needs polars."""
        import polars as pl  # noqa: PLC0415 - not among our dependencies

        return pl.from_arrow(self.to_arrow())


def present(column: Column, values: np.ndarray[Any, np.dtype[Any]], has: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A bool for each of a column's `values`: whether it is there. `has` is that of the rows, if the column needs any of it."""
    if column.zeek:
        return np.array([value is not None for value in values.tolist()], np.bool_)
    there = (has & column.needs) != 0 if column.needs else np.ones(len(values), dtype=np.bool_)
    return there & (values != 0) if column.zero_is_absent else there


def joined(batches: Sequence[Batch]) -> list[Batch]:
    """The same rows in the same order in few batches: one for each run of one record and set of interfaces, but of JOINED_ROWS at most
    where several are joined.
    """
    runs: list[list[Batch]] = []
    rows = 0
    for batch in batches:
        rows += len(batch)
        if runs and runs[-1][0].record is batch.record and runs[-1][0].interfaces == batch.interfaces and rows <= JOINED_ROWS:
            runs[-1].append(batch)
        else:
            runs.append([batch])
            rows = len(batch)
    return [
        run[0]
        if len(run) == 1
        else Batch(run[0].record, np.concatenate([_octets(b.rows) for b in run]).view(run[0].record.dtype), run[0].interfaces)
        for run in runs
    ]


def _octets(rows: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """The rows as opaque octets: numpy copies structs field by field (130 ns a row), octets at once (4 ns)."""
    return rows if rows.dtype.hasobject else rows.view(f"V{rows.dtype.itemsize}")
