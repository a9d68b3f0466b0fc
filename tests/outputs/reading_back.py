"""Files read back by others' readers, as lists of what each row holds, to compare with what Arrow was given."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.records import Batch


def text_time(ns: int) -> str:
    """RFC 3339, made another way than the package makes it."""
    seconds, decimals = divmod(ns, 10**9)
    return f"{pa.scalar(seconds, pa.timestamp('s')).as_py().isoformat()}.{decimals:09d}Z"


def expected(batch: Batch) -> list[dict[str, Any]]:
    """The rows as plain values: times as text, absent values None."""
    columns = batch.to_arrow()
    values = {
        name: [ns and text_time(ns) for ns in column.cast(pa.int64()).to_pylist()]
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for name, column in zip(columns.schema.names, columns.columns, strict=True)
    }
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def jsonl(path: Path) -> list[dict[str, Any]]:
    octets = path.read_bytes()
    assert octets == b"" or octets.endswith(b"\n")
    return [json.loads(line) for line in octets.split(b"\n")[:-1]]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def table(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    return pa.ipc.open_file(path).read_all()


def count(path: Path) -> int:
    """How many whole rows a reader finds; raises where it finds anything else."""
    match path.suffix:
        case ".jsonl":
            return len(jsonl(path))
        case ".csv":
            rows = csv_rows(path)
            assert all(None not in row and None not in row.values() for row in rows)
            return len(rows)
        case ".log":
            octets = path.read_bytes()
            assert octets == b"" or octets.endswith(b"\n")
            return sum(not line.startswith(b"#") for line in octets.split(b"\n")[:-1])
    return table(path).num_rows
