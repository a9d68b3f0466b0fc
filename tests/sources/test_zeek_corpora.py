"""Every log that Zeek wrote of its own captures comes in and goes out again equal: as JSON it is, and by way of TSV."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
from places import CORPORA

from headwater.outputs.zeek_tables import FORMATS
from headwater.records.log_columns import zeek_type
from headwater.records.zeek_types import LOGS
from headwater.sources.zeek import Imported, tables

LOGS_OF_ZEEK = sorted((CORPORA / "zeek").glob("*/*.log"))


def imported(path: Path) -> list[Imported]:
    told: list[str] = []
    found = list(tables(path, told.append))
    assert not told and not any(one.skipped for one in found), told
    return found


of_zeek = cache(imported)
"""Likewise, of a file that stays as it is."""


def written(kind: str, found: list[Imported]) -> bytes:
    form = FORMATS[kind](found[0].table.schema)
    return form.head() + b"".join(bytes(form.rows(one.table)) for one in found) + form.end()


def objects(text: bytes) -> list[list[tuple[str, object]]]:
    """Names and values in their order; numbers as they are compared, a bool never as 1."""
    return [[(name, (type(value) is bool, value)) for name, value in json.loads(line).items()] for line in text.splitlines()]


@pytest.mark.corpora
def test_json_comes_out_as_it_went_in() -> None:
    assert len(LOGS_OF_ZEEK) > 800
    for path in LOGS_OF_ZEEK:
        ours, zeeks = objects(written("zeek-json", of_zeek(path))), objects(path.read_bytes())
        assert [dict(row) for row in ours] == [dict(row) for row in zeeks], path


@pytest.mark.corpora
def test_tsv_of_it_comes_in_again_equal(tmp_path: Path) -> None:
    for path in LOGS_OF_ZEEK:
        before = of_zeek(path)
        (tmp_path / path.name).write_bytes(written("zeek", before))
        after = imported(tmp_path / path.name)
        assert pa.Table.from_batches([one.table for one in after]).equals(
            pa.Table.from_batches([one.table for one in before]), check_metadata=True
        ), path


@pytest.mark.corpora
def test_the_fields_are_those_of_the_table_of_types() -> None:
    """In its order, and no log of Zeek's is missing in it. (What is behind `+` there may stand elsewhere.)"""
    seen: dict[str, set[str]] = defaultdict(set)
    for path in LOGS_OF_ZEEK:
        known = list(LOGS[path.stem])
        for one in of_zeek(path):
            seen[path.stem] |= set(one.table.schema.names)
            assert one.table.schema.metadata == {b"path": path.stem.encode(), b"system": b"zeek"}
            assert {column.name: zeek_type(column) for column in one.table.schema}.items() <= LOGS[path.stem].items()
        for line in path.read_bytes().splitlines():
            places = [known.index(name) for name in json.loads(line.decode("utf-8", "replace")) if name in known]
            assert places == sorted(places) or path.stem == "conn", (path, line)
    assert len(seen) > 30 and all(names <= set(LOGS[log]) for log, names in seen.items())
