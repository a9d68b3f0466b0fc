"""Parquet: zstd, dictionaries, timestamp[ns, UTC]. For what comes after: DuckDB, pandas, Spark.

A Parquet file is one only with its footer, so its rows count as acked when it is closed. Each row group is made whole in memory, as a
file of its own that begins where the group will lie, and enters the footer after it was written: one that finds no room leaves no trace.
Until the end a group's footer is kept packed, as octets: a run of weeks makes many of them.
"""

import io
import os
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from headwater.outputs.files import Octets
from headwater.records import Batch, Record
from headwater.records.columns import arrow_schema
from headwater.records.schema import Kind

_MAGIC = b"PAR1"
_UNIQUE = {Kind.TIME, Kind.UID, Kind.COMMUNITY_ID}  # hardly a value of them occurs twice in a group: a dictionary would be given up
_MOST_FOOTER = 1 << 20  # of one row group


class Parquet:
    """Row groups of 65,536 rows: 1 to 4 MB. Larger ones make files 1 % smaller, and whoever waits for one waits longer."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = "parquet"
    records: ClassVar[frozenset[str] | None] = None
    group_rows: ClassVar[int] = 1 << 16
    needs_end: ClassVar[bool] = True

    def __init__(self, record: Record, _extra: bool = False, /) -> None:
        self._schema = arrow_schema(record)
        self._repeated = [column.name for column in record.columns if column.kind not in _UNIQUE]
        self._groups = [self._make([], len(_MAGIC))[0]]  # the footers of what is in the file
        self._next: bytes | None = None
        self._footer = self._room = len(zstandard.decompress(self._groups[0]))  # of them all, at most, without and with the last encoded

    def head(self) -> Octets:
        """The magic number."""
        return _MAGIC

    def encode(self, batches: Sequence[Batch], at: int, /) -> Sequence[Octets]:
        """A row group that is to lie at `at`."""
        self._next, group = self._make([batch.to_arrow() for batch in batches], at)
        self._room = self._footer + len(zstandard.decompress(self._next))
        return [group]

    def commit(self) -> None:
        """The row group is in the file."""
        assert self._next is not None  # noqa: S101 - encode() came before
        self._groups.append(self._next)
        self._footer = self._room
        self._next = None

    def end(self) -> Octets:
        """The footer."""
        footer, *others = (pq.read_metadata(io.BytesIO(zstandard.decompress(packed))) for packed in self._groups)
        for other in others:
            footer.append_row_groups(other)
        return _file(footer)[len(_MAGIC) :]

    def end_room(self) -> int:
        """The footer's size at most, with the row group that was encoded last."""
        return self._room + 1024

    def _make(self, batches: Sequence[pa.RecordBatch], at: int) -> tuple[bytes, Octets]:
        """A footer, packed, and the row group between the magic number and that, made in a file of memory that is a hole up to `at`."""
        table = pa.Table.from_batches(batches, self._schema)
        made: list[pq.FileMetaData] = []
        with os.fdopen(os.memfd_create("row group"), "rb") as file:
            os.truncate(file.fileno(), at + 2 * table.nbytes + _MOST_FOOTER)
            sink = pa.memory_map(f"/proc/self/fd/{file.fileno()}", "r+")
            with sink, self._writer(sink, made) as writer:
                sink.seek(at)  # a writer insists on beginning at 0
                if batches:
                    writer.write_table(table, row_group_size=self.group_rows * 2)
                end = sink.tell()
            file.seek(at)
            return bytes(memoryview(zstandard.compress(_file(made[0])))), file.read(end - at)  # a copy has no room to spare

    def _writer(self, sink: pa.NativeFile, made: list[pq.FileMetaData]) -> pq.ParquetWriter:
        return pq.ParquetWriter(sink, self._schema, compression="zstd", use_dictionary=self._repeated, metadata_collector=made)


def _file(footer: pq.FileMetaData) -> bytes:
    """A file of a footer only."""
    file = io.BytesIO()
    footer.write_metadata_file(file)
    return file.getvalue()
