"""From the spool to where tables are: each file once, whatever dies in between.

How that is known is of where they are: embedded.py looks at what the tables have, remote.py gives each insert a token.
"""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from headwater.errors import NO_ROOM, StoreError
from headwater.outputs import spool
from headwater.outputs.spool import Spooled
from headwater.records.protocols import numbered
from headwater.store.engine import EngineError

_LATER = numbered(
    """
60 UNKNOWN_TABLE  74 CANNOT_READ_FROM_FILE_DESCRIPTOR  75 CANNOT_WRITE_TO_FILE_DESCRIPTOR  76 CANNOT_OPEN_FILE  77 CANNOT_CLOSE_FILE
81 UNKNOWN_DATABASE  87 CANNOT_SEEK_THROUGH_FILE  88 CANNOT_TRUNCATE_FILE  115 UNKNOWN_SETTING  139 NO_ELEMENTS_IN_CONFIG
159 TIMEOUT_EXCEEDED  164 READONLY  172 CANNOT_CREATE_DIRECTORY  173 CANNOT_ALLOCATE_MEMORY  192 UNKNOWN_USER  193 WRONG_PASSWORD
194 REQUIRED_PASSWORD  195 IP_ADDRESS_NOT_ALLOWED  198 DNS_ERROR  201 QUOTA_EXCEEDED  202 TOO_MANY_SIMULTANEOUS_QUERIES
203 NO_FREE_CONNECTION  204 CANNOT_FSYNC  209 SOCKET_TIMEOUT  210 NETWORK_ERROR  225 NO_ZOOKEEPER  236 ABORTED  241 MEMORY_LIMIT_EXCEEDED
242 TABLE_IS_READ_ONLY  243 NOT_ENOUGH_SPACE  244 UNEXPECTED_ZOOKEEPER_ERROR  252 TOO_MANY_PARTS  253 REPLICA_ALREADY_EXISTS
254 NO_ACTIVE_REPLICAS  265 NO_AVAILABLE_REPLICA  279 ALL_CONNECTION_TRIES_FAILED  285 TOO_FEW_LIVE_REPLICAS
286 UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE  289 REPLICA_IS_NOT_IN_QUORUM  294 CANNOT_WRITE_TO_FILE  297 SHARD_HAS_NO_CONNECTIONS
319 UNKNOWN_STATUS_OF_INSERT  341 UNFINISHED  342 METADATA_MISMATCH  364 RECEIVED_ERROR_TOO_MANY_REQUESTS  369 ALL_REPLICAS_ARE_STALE
371 INCONSISTENT_CLUSTER_DEFINITION  394 QUERY_WAS_CANCELLED  415 ALL_REPLICAS_LOST  416 REPLICA_STATUS_CHANGED  425 SYSTEM_ERROR
439 CANNOT_SCHEDULE_TASK  473 DEADLOCK_AVOIDED  497 ACCESS_DENIED  499 S3_ERROR  516 AUTHENTICATION_FAILED  517 CANNOT_ASSIGN_ALTER
519 NO_REMOTE_SHARD_AVAILABLE  529 NOT_A_LEADER  574 DISTRIBUTED_TOO_MANY_PENDING_BYTES  677 THREAD_WAS_CANCELED
700 USER_SESSION_LIMIT_EXCEEDED  701 CLUSTER_DOESNT_EXIST  720 USER_EXPIRED  733 TABLE_IS_BEING_RESTARTED
735 QUERY_WAS_CANCELLED_BY_CLIENT  749 TCP_CONNECTION_LIMIT_REACHED  762 HTTP_CONNECTION_LIMIT_REACHED  776 RESOURCE_LIMIT_EXCEEDED
777 MEMORY_RESERVATION_KILLED  778 MEMORY_RESERVATION_FAILED  904 TOO_MANY_UNAVAILABLE_SHARDS  999 KEEPER_EXCEPTION
1019 QUERY_SLOT_ACQUISITION_TIMEOUT  1020 MEMORY_RESERVATION_ACQUISITION_TIMEOUT
"""
)
"""Time, memory, disk, too many at once, other servers, rights, the like: what says nothing of the rows (ErrorCodes.cpp)."""
_GONE = {60, 81}
"""Somebody has removed what there was."""
_DISK = [os.strerror(code) for code in (*NO_ROOM, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)]
"""What the C++ library's own errors, which have one code, say of a disk."""
_CPLUSPLUS = 1001
_NETWORK = 210
"""Of which the words are ours (server.py), and the same each time; the engine's have numbers of the moment in them."""
LOOK_S = 0.1


class Into(Protocol):
    """Where rows go."""

    def open(self) -> None:
        """Look at what is there. Raises StoreError."""

    def put(self, file: Spooled) -> None:
        """Have all of its rows, once; until now it may have had none of them, a part or all. Raises StoreError, ValueError or OSError, and
        then it may be called again.
        """


def _not_the_rows(error: EngineError) -> str:
    """What is wrong with everything but the rows; nothing where it may be them."""
    if error.code == _CPLUSPLUS:
        return next((f"the engine's files: {said}" for said in _DISK if said in error.text), "")
    return str(error) if error.code in _LATER else ""


class Loader:
    """Takes what lies in the folder `spool`, and puts it `into` tables. `report` is told in a line what cannot be taken.

    After what cannot be now, `pause_s` is a random part (full jitter) of a time that grows from the first of `pauses_s` to the second.
    """

    def __init__(
        self,
        into: Into,
        folder: Path,
        report: Callable[[str], None],
        pauses_s: tuple[float, float] = (LOOK_S, LOOK_S),
        name: str = "the store",
    ) -> None:
        self._into = into
        self._folder = folder
        self._report = report
        self._pauses_s = pauses_s
        self._name = name
        self._problem: object = None
        self._failed = 0  # times, since it went well
        self._open = False
        self._held: tuple[str, int] = ("", -1)  # the file that is being taken, which its writer must not drop, and a descriptor
        self.rows = 0

    @property
    def pause_s(self) -> float:
        """After which load() is worth another call, when it has taken nothing."""
        first, most = self._pauses_s
        return random.uniform(0, min(most, first * 2.0 ** min(self._failed, 30))) if self._failed else LOOK_S  # noqa: S311 - not a secret

    def open(self) -> None:
        """Look at the tables that there are."""
        self._into.open()
        self._open = True

    def load(self) -> int:
        """All that waits now. Returns how many files were taken; those that cannot be now are left for the next time."""
        taken = 0
        for writer in spool.writers(self._folder):
            try:
                files = spool.waiting(writer)
                if not files and spool.unlocked(writer):
                    writer.rmdir()
            except OSError:
                continue  # it has gone, or has what no writer leaves
            for file in files:
                if not file.refused:
                    if not self._take(file):
                        return taken
                    taken += 1
        if taken:
            self._well()
        return taken

    def _take(self, file: Spooled) -> bool:
        """Whether one may go on to the next."""
        if not self._open:
            try:
                self.open()
            except EngineError as error:
                self._wait(error, _not_the_rows(error) or str(error))
                return False
            except OSError as error:
                self._say(f"{error.filename}: {error.strerror}; rows wait in the spool", error.errno)
                return False
        try:
            self._hold(file)
            if why := self._put(file):
                self._refuse(file, why)
            else:
                file.path.unlink(missing_ok=True)
                self.rows += file.rows
        except (FileNotFoundError, BlockingIOError):
            return True  # its writer needs the room
        except EngineError as error:
            self._open = error.code not in _GONE
            self._wait(error, _not_the_rows(error))
            return False
        except OSError as error:
            self._say(f"{file.path}: {error.strerror}; its rows wait there", error.errno)
            return False
        self._let_go()
        return True

    def _put(self, file: Spooled) -> str:
        """What is wrong with its rows; nothing where they are there. Raises EngineError and OSError for what is wrong with all else."""
        try:
            self._into.put(file)
        except EngineError as error:
            if _not_the_rows(error):
                raise
            return str(error)
        except (StoreError, ValueError, pa.ArrowInvalid) as error:
            return str(error)
        return ""

    def _hold(self, file: Spooled) -> None:
        """Until it is over with it, also where that takes several tries: some of its tables may have it. Raises OSError."""
        if self._held[0] != file.token:
            self._let_go()
            self._held = file.token, file.hold()

    def _let_go(self) -> None:
        if self._held[0]:
            os.close(self._held[1])
        self._held = "", -1

    def _refuse(self, file: Spooled, why: str) -> None:
        try:
            file.refuse()
        except FileNotFoundError:
            return  # somebody has removed it
        self._report(f"store: {file.rows:,} rows of {file.record} cannot be taken ({why}); they lie aside in {file.path.parent}")

    def _wait(self, error: EngineError, why: str) -> None:
        self._say(f"{self._name} takes no rows now ({why}); they wait in the spool", why if error.code == _NETWORK else error.code)

    def _say(self, problem: str, of: object) -> None:
        """Once, until rows are taken again or something else is wrong."""
        self._failed += 1
        if of != self._problem:
            self._report(f"store: {problem}")
        self._problem = of

    def _well(self) -> None:
        if self._problem is not None:
            self._report(f"store: {self._name} takes rows again")
        self._failed, self._problem = 0, None
