"""Parquet: zstd, dictionaries, timestamp[ns, UTC]. For what comes after: DuckDB, pandas, Spark.

A Parquet file is one only with its footer, so its rows count as acked when it is closed. Each row group is made whole in memory, as a
file of its own that begins where the group will lie, and enters the footer after it was written: one that finds no room leaves no trace.
"""

import io
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.outputs.files import Octets
from headwater.records import Batch, Record
from headwater.records.columns import arrow_schema

_MAGIC = b"PAR1"


class _Window(io.BytesIO):
    """A file in memory that says that it began elsewhere."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def tell(self) -> int:
        """Where that would be in the whole file."""
        return self._at + super().tell()

    def close(self) -> None:
        """Keep what was written."""


class Parquet:
    """Row groups of 131,072 rows: 1 to 5 MB of packets."""

    suffix: ClassVar[str] = "parquet"
    group_rows: ClassVar[int] = 1 << 17
    needs_end: ClassVar[bool] = True

    def __init__(self, record: Record) -> None:
        self._schema = arrow_schema(record)
        self._groups, _ = self._make([], 0)  # the footer of what is in the file
        self._next: pq.FileMetaData | None = None

    def head(self) -> Octets:
        """The magic number."""
        return _MAGIC

    def encode(self, batches: Sequence[Batch], at: int, /) -> Sequence[Octets]:
        """A row group that is to lie at `at`."""
        self._next, group = self._make([batch.to_arrow() for batch in batches], at)
        return [group]

    def commit(self) -> None:
        """The row group is in the file."""
        assert self._next is not None  # noqa: S101 - encode() came before
        self._groups.append_row_groups(self._next)
        self._next = None

    def end(self) -> Octets:
        """The footer."""
        footer = io.BytesIO()
        self._groups.write_metadata_file(footer)
        return footer.getvalue()[len(_MAGIC) :]

    def end_room(self) -> int:
        """The footer's size at most, with the row group that was encoded last."""
        sizes: list[int] = [made.serialized_size for made in (self._groups, self._next) if made]
        return sum(sizes) + 1024

    def _make(self, batches: Sequence[pa.RecordBatch], at: int) -> tuple[pq.FileMetaData, Octets]:
        window = _Window(at - len(_MAGIC))
        made: list[pq.FileMetaData] = []
        with pq.ParquetWriter(window, self._schema, compression="zstd", metadata_collector=made) as writer:
            if batches:
                writer.write_table(pa.Table.from_batches(batches), row_group_size=self.group_rows * 2)
        octets = window.getbuffer()
        footer = int.from_bytes(octets[-8:-4], "little") + 8
        return made[0], octets[len(_MAGIC) : len(octets) - footer]
