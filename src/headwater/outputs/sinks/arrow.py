"""Arrow IPC file ("Feather V2"), not compressed, so that readers can map it.

It needs its footer, so its rows count as acked when it is closed. A record batch enters the footer after it was written: one that finds
no room leaves no trace.
"""

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa

from headwater.outputs.files import Octets
from headwater.records import Batch, Record
from headwater.records.columns import arrow_schema


class _Shadow(io.RawIOBase):
    """A file that keeps only its end."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self.end: bytearray | None = None

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, octets: Any) -> int:
        """Count, and keep if it is the end."""
        if self.end is not None:
            self.end += octets
        self._at += len(octets)
        return len(octets)

    def tell(self) -> int:
        """The position in the whole file."""
        return self._at


class Arrow:
    """Record batches of 65,536 rows."""

    name: ClassVar[str] = "arrow"
    suffix: ClassVar[str] = "arrow"
    records: ClassVar[frozenset[str] | None] = None
    group_rows: ClassVar[int] = 1 << 16
    needs_end: ClassVar[bool] = True

    def __init__(self, record: Record, _extra: bool = False, /) -> None:
        schema = arrow_schema(record)
        self._head: bytes = b"ARROW1\0\0" + schema.serialize().to_pybytes()
        self._shadow = _Shadow()  # a second file, of the batches that are in ours, makes the footer
        self._writer = pa.ipc.new_file(self._shadow, schema)
        self._next: pa.RecordBatch | None = None
        self._blocks = 0

    def head(self) -> Octets:
        """The magic number and the schema."""
        return self._head

    def encode(self, batches: Sequence[Batch], _at: int, /) -> Sequence[Octets]:
        """A record batch."""
        (self._next,) = pa.Table.from_batches([batch.to_arrow() for batch in batches]).combine_chunks().to_batches()
        return [memoryview(self._next.serialize())]

    def commit(self) -> None:
        """The record batch is in the file."""
        self._writer.write_batch(self._next)
        self._next = None
        self._blocks += 1

    def end(self) -> Octets:
        """The footer."""
        self._shadow.end = bytearray()
        self._writer.close()
        return bytes(self._shadow.end).removeprefix(b"" if self._blocks else self._head)

    def end_room(self) -> int:
        """The footer's size at most: the schema again, and where each batch lies."""
        return len(self._head) + 24 * (self._blocks + 1) + 1024
