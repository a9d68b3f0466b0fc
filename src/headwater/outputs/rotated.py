"""Logs that are begun anew every hour, or as often as is asked for, and packed away by the day: what zeekctl makes of Zeek's.

What is written lies in `current`: current/conn.log. When its time is over it gets the name of its time there, which is what Zeek's own
writer calls it (conn__2026-11-22-13-00-00__2026-11-22-14-00-00__.log), and a thread of the lowest priority packs it into
2026-11-22/conn.13:00:00-14:00:00.log.gz. Times are local, as Zeek's are, and count from midnight.

A row is as safe as Files make it: nothing is removed before what takes its place is on the disk. What a crash leaves in `current` is packed
by the next run; a file that was not ended counts as written until it was last touched.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from headwater.errors import SinkError
from headwater.interfaces import Sent
from headwater.outputs.files import Files, Format, explain, sync_names
from headwater.outputs.packing import CURRENT, OVER, Packer
from headwater.records import Batch, Drop

_TIME = "%Y-%m-%d-%H-%M-%S"


class Rotated(Files):
    """As Files, in `directory`/current. `owner` is the account (user, group) that writes, if that is not who opens. `report` is told of
    what cannot be packed, `clock` is the time in seconds since 1970.
    """

    def __init__(
        self,
        form: type[Format],
        directory: Path,
        records: frozenset[str] | None,
        every_s: float,
        report: Callable[[str], None],
        owner: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(form, directory / CURRENT, records)
        self.name = str(directory)
        self._top = directory
        self._every_s = every_s
        self._owner = owner
        self._clock = clock
        self._current = directory / CURRENT
        self._fds: list[int] = []
        self._opened = self._until = 0.0  # of the files that are being written
        self._packer = Packer(directory, report)

    def open(self) -> None:
        """Make the folders, and end what a run that was killed has left. Raises SinkError."""
        try:
            # By descriptors from here on: the account may not be allowed on the way there.
            top, current = self._folder(self._top), self._folder(self._top / CURRENT)
            self._packer.top, self._directory, self._current = top, current, current
            try:
                fcntl.flock(self._fds[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SinkError(f"{self.name}: another run writes there: choose another place", retryable=False) from None
            for path in sorted(current.iterdir()):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and re.fullmatch(r"\w+\.log", path.name):
                    self._packer.put(self._end(path, begin(status.st_mtime, self._every_s), status.st_mtime))
                elif stat.S_ISREG(status.st_mode) and OVER.fullmatch(path.name):
                    self._packer.put(path)
        except OSError as error:
            raise SinkError(f"{self.name}: {explain(error)}", retryable=False) from error
        super().open()
        self._begin(self._clock())

    def send(self, batches: Sequence[Batch]) -> Sent:
        """As Files, in new ones where the time of those before is over."""
        return _both(self._rotate(), super().send(batches))

    def flush(self, last: bool) -> Sent:
        """Likewise. To be called once a second, so that logs are over in time."""
        self._packer.begin()
        ended = self._end_all(self._clock()) if last else self._rotate()
        return _both(ended, super().flush(last))

    def close(self) -> None:
        """Close the files, and let what is over be packed."""
        super().close()
        self._packer.end()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _folder(self, path: Path) -> Path:
        """Make it, for who writes there. One that was there has to be theirs already: others may use it, too."""
        made = not path.exists()
        path.mkdir(parents=path == self._top, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if path == self._top else os.O_NOFOLLOW))
        self._fds.append(fd)
        if self._owner:
            if made:
                os.fchown(fd, *self._owner)
            elif not _may_write(os.fstat(fd), *self._owner):
                wanted = f"the account {self._owner[0]} that the run becomes cannot write there: chown {self._owner[0]} {path}"
                raise SinkError(f"{path}: {wanted}, or name a folder that is not there yet", retryable=False)
        return Path(f"/proc/self/fd/{fd}")

    def _begin(self, now: float) -> None:
        self._opened, self._until = now, end(now, self._every_s)

    def _rotate(self) -> Sent:
        """End the files whose time is over."""
        now = self._clock()
        if now < self._until:
            return Sent()
        sent = self._end_all(self._until)
        self._begin(begin(now, self._every_s))
        return sent

    def _end_all(self, closed: float) -> Sent:
        """Where a file cannot get its name now, it is written on."""
        files, left, over, problem = self._files, {}, [], ""
        for record, file in files.items():
            try:
                over.append(self._end(self._current / f"{record}.{self._form.suffix}", self._opened, closed))
            except OSError as error:
                left[record], problem = file, explain(error)
        self._files = {record: file for record, file in files.items() if record not in left}
        sent = super().flush(last=True)
        super().close()
        self._files = left
        for path in over:
            self._packer.put(path)
        return Sent(sent.acked, sent.dropped, problem or sent.problem)

    def _end(self, path: Path, opened: float, closed: float) -> Path:
        """Give a log the name of its time, which is returned. Raises OSError."""
        for later in count():
            over = path.with_name(f"{path.stem}__{_text(opened)}__{_text(closed + later)}__.log")
            if not over.exists():
                break
        path.rename(over)
        with suppress(OSError):  # a name that is lost leaves the one before
            sync_names(path.parent)
        return over


def begin(at: float, every_s: float) -> float:
    """When the interval began that `at` is in: they are counted from midnight."""
    midnight = _midnight(at)
    return midnight + (at - midnight) // every_s * every_s


def end(at: float, every_s: float) -> float:
    """When it ends: with the day, at the latest."""
    return min(begin(at, every_s) + every_s, _midnight(at, later=1))


def _midnight(at: float, later: int = 0) -> float:
    day = time.localtime(at)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday + later, 0, 0, 0, 0, 0, -1))


def _text(at: float) -> str:
    return time.strftime(_TIME, time.localtime(at))


def _may_write(status: os.stat_result, user: int, group: int) -> bool:
    bits = status.st_mode >> (6 if status.st_uid == user else 3 if status.st_gid == group else 0)
    return bits & 3 == 3 or user == 0


def _both(one: Sent, other: Sent) -> Sent:
    dropped: dict[Drop, int] = dict(one.dropped)
    for reason, lost in other.dropped.items():
        dropped[reason] = dropped.get(reason, 0) + lost
    return Sent(one.acked + other.acked, dropped, other.problem or one.problem)
