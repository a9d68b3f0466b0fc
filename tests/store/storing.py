"""A store of a test's own, and rows on their way into it."""

import contextlib
import os
import select
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import reading_back
from waiting import MOST_S, until

from headwater.interfaces import Sent
from headwater.outputs.spool import Spool, Spooled, waiting, writers
from headwater.records import Batch, Drop
from headwater.records.stored import as_text
from headwater.store.client import Client
from headwater.store.settings import Place

LARGE = 1 << 30


def made(folder: Path) -> Place:
    place = Place(folder)
    place.spool.mkdir(parents=True, exist_ok=True)
    return place


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Client]:
    """Who can ask the store there, which runs as long, as this user."""
    with Client(made(folder), begin_with=("--user", "root", "--listen", "127.0.0.1:0")) as client:
        yield client


def children(process: "subprocess.Popen[Any]") -> list[int]:
    """Of the one that begins a store's: the one that has the engine."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill(process: "subprocess.Popen[Any]") -> None:
    """Both of a store's processes, at once."""
    if process.poll() is None:
        ends = [os.pidfd_open(child) for child in children(process)]
        process.kill()  # first, that it may not begin another
        process.wait()
        for end in ends:
            signal.pidfd_send_signal(end, signal.SIGKILL)
            assert select.select([end], [], [], MOST_S)[0], "what was killed is still there"
            os.close(end)


def keep(place: Place, *batches: Batch) -> Sent:
    """What is told of them once the store has all, or has refused it."""
    with Spool(place.spool, LARGE) as spool:
        spool.send(list(batches))
        return until_taken(spool)


def lying(spool: Path) -> Iterator[Spooled]:
    """All files there are in it; the store removes a folder that has none."""
    for writer in writers(spool):
        with contextlib.suppress(FileNotFoundError):
            yield from waiting(writer)


def until_taken(spool: Spool) -> Sent:
    """What flush() has told in all by then."""
    told: list[Sent] = []

    def is_taken() -> bool:
        told.append(spool.flush(last=False))
        return not spool.waiting

    until(is_taken)
    lost: Counter[Drop] = Counter()
    for sent in told:
        lost.update(sent.dropped)
    return Sent(sum(sent.acked for sent in told), lost, "", sum(sent.spooled for sent in told))


def back(table: pa.Table) -> list[dict[str, object]]:
    text = as_text(table)
    columns = {
        name: [None if ns is None else reading_back.text_time(ns) for ns in column.cast(pa.int64()).to_pylist()]
        if pa.types.is_timestamp(column.type)
        else [",".join(value) or None if isinstance(value, list) else value for value in column.to_pylist()]
        for name, column in zip(text.schema.names, text.columns, strict=True)
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def values(rows: Iterable[object]) -> list[str]:
    """To compare without regard to their order."""
    return sorted(map(repr, rows))
