"""What the store itself writes beside the engine: where it cannot, rows wait, and none is there twice."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rows_made import rates
from store.engine import Engine
from storing import LARGE, made

from headwater.outputs.spool import Spool
from headwater.store.embedded import Embedded
from headwater.store.engine import _WRITER
from headwater.store.loader import Loader

ROWS = 50
CALLS = ((os, "fsync", 2), (Path, "open", 2), (Path, "rename", 1), (Path, "unlink", 1))
"""What reads and writes the note and removes what is taken, and how often."""


class Asked:
    """A connection that writes, to an engine of the test's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        for name, value in _WRITER.items():
            self.run(f"SET {name} = {value}")

    def run(self, sql: str) -> str:
        return self._engine.ask(sql)

    def rows(self, sql: str) -> list[list[str]]:
        return [line.split("\t") for line in self.run(sql).splitlines()]


def failing(real: Callable[..., Any], at: int, code: int) -> Callable[..., Any]:
    """The call, of which one fails."""
    calls = 0

    def instead(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(code, os.strerror(code))
        return real(*given, **more)

    return instead


def test_each_call_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, said, batch = made(tmp_path / "store"), list[str](), 0
    (tmp_path / "engine").mkdir()
    with Engine(tmp_path / "engine", readonly=0) as engine, Spool(place.spool, LARGE) as spool:
        engine.ask("DROP DATABASE headwater SYNC")
        asked: Any = Asked(engine)
        for code in (errno.EIO, errno.EROFS, errno.ENOSPC):
            for where, call, times in CALLS:
                for at in range(1, times + 1):
                    spool.send([rates(ROWS, seed=batch)])
                    batch += 1
                    loader = Loader(Embedded(asked, place.note, pytest.fail), place.spool, said.append)  # as of a process that begins
                    with monkeypatch.context() as patched:
                        patched.setattr(where, call, failing(getattr(where, call), at, code))
                        assert loader.load() == 0, (call, at)
                    assert os.strerror(code) in said[-1] and "wait" in said[-1]
                    assert loader.load() == 1
                    assert asked.rows("SELECT count() FROM headwater.rate") == [[str(batch * ROWS)]]
        assert asked.rows("SELECT sum(rows) FROM headwater.rate_minute") == [[str(batch * ROWS)]]
        assert spool.flush(last=False).acked == batch * ROWS


def test_what_cannot_be_put_aside_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        def open(self) -> None:
            """There is nothing to look at."""

        def put(self, file: object) -> None:
            raise ValueError("of all things")

    said = list[str]()
    with Spool(made(tmp_path).spool, LARGE) as spool:
        spool.send([rates(ROWS)])
        loader = Loader(Nowhere(), tmp_path / "spool", said.append)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", failing(Path.rename, 1, errno.EROFS))
            assert loader.load() == 0
        assert "its rows wait there" in said[-1]
        assert loader.load() == 1
        assert "of all things" in said[1] and "lie aside" in said[1]
        assert sum(spool.flush(last=False).dropped.values()) == ROWS
