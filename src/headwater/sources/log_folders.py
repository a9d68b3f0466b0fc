"""Where logs are looked for: which of many files may have something new, without asking each of them each time."""

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.sources.zeek import LOG, is_live, log_of, order

ALL_S = 30.0  # after which files that were quiet are asked again
_TICK_NS = 2 * 10**9  # a folder that changed so short ago may change again without showing it
_QUIET_S = 3600.0


@dataclass(frozen=True)
class Found:
    """A log at `path`, asked for by this name if it is `named`. One that `must_be_known` is of interest if it was begun before."""

    path: Path
    order: tuple[bool, tuple[str, bool, str, str]]
    named: bool = False
    must_be_known: bool = False


@dataclass
class _Folder:
    changed_ns: int
    logs: list[Path]
    folders: list[Path]


class Folders:
    """The logs of `tops`: below directories; of a file, with `rotated`, also what lies beside it under names that it may get.

    `report` is told once what cannot be read, or is not there yet.
    """

    def __init__(self, tops: Sequence[Path], report: Callable[[str], None], *, rotated: bool) -> None:
        self._tops = tops
        self._report = report
        self._rotated = rotated
        self._folders: dict[Path, _Folder] = {}
        self._quiet: set[Path] = set()
        self._all_at = 0.0
        self._told: set[Path] = set()

    def look(self) -> list[Found]:
        """Those that may have something new: each log's rotated files in order, and what is being written behind all of them."""
        if time.monotonic() >= self._all_at:
            self._quiet.clear()
            self._all_at = time.monotonic() + ALL_S
        return sorted((one for top in self._tops for one in self._of(top)), key=lambda one: one.order)

    def nothing_in(self, path: Path, age_s: float) -> None:
        """That log has no more, and was written to so long ago: unless it has the name of one that goes on, it is not asked so soon."""
        if not is_live(path.name) and age_s > _QUIET_S:
            self._quiet.add(path)

    def _of(self, top: Path) -> Iterator[Found]:
        try:
            is_folder, is_there = stat.S_ISDIR(top.stat().st_mode), True
        except OSError as error:
            is_folder = is_there = False
            self._tell(top, f"cannot be read now: {error.strerror}; it is waited for")
        if is_folder:
            yield from (Found(path, _order(top, path)) for path in self._below(top) if path not in self._quiet)
            return
        if self._rotated:
            for path in self._logs_in(top.parent):
                if path != top and path not in self._quiet and log_of(path.name) == log_of(top.name):
                    yield Found(path, _order(top.parent, path), must_be_known=True)
        if is_there and top not in self._quiet:
            yield Found(top, (True, order(top.parent, top)), named=True)

    def _below(self, folder: Path) -> Iterator[Path]:
        yield from self._logs_in(folder)
        for inner in self._folders[folder].folders:
            yield from self._below(inner)

    def _logs_in(self, folder: Path) -> list[Path]:
        try:
            changed_ns = folder.stat().st_mtime_ns
            known = self._folders.get(folder)
            if known is None or known.changed_ns != changed_ns:
                known = self._folders[folder] = _scan(folder, changed_ns)
                self._quiet.difference_update(known.logs)
        except OSError as error:
            known = self._folders[folder] = _Folder(-1, [], [])
            if not isinstance(error, FileNotFoundError):
                self._tell(folder, f"cannot be read: {error.strerror}")
        return known.logs

    def _tell(self, path: Path, what: str) -> None:
        if path not in self._told:
            self._told.add(path)
            self._report(f"{path} {what}")


def _scan(folder: Path, changed_ns: int) -> _Folder:
    logs, folders = [], []
    now_ns = time.time_ns()
    with os.scandir(folder) as inside:
        for one in inside:
            if one.is_dir(follow_symlinks=False):
                folders.append(folder / one.name)
            elif LOG.search(one.name) and one.is_file():
                logs.append(folder / one.name)
    return _Folder(changed_ns if changed_ns < now_ns - _TICK_NS else -1, logs, sorted(folders))


def _order(top: Path, path: Path) -> tuple[bool, tuple[str, bool, str, str]]:
    return is_live(path.name), order(top, path)
