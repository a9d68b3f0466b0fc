"""The small process that stays behind with a capability when a run has given all of its own away, and does one thing with it.

It is forked before that, becomes the same account, and has the same few files and system calls. It takes numbers, and nothing else.
"""

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from headwater.errors import HeadwaterError, KernelError

_NUMBER = struct.Struct("=I")
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)  # it ends with the run, and not before
_LONGEST = 1024


class Keeper:
    """Calls `act` with each number that ask() sends, in a process of its own that keeps `descriptors` of the run's, and no others.

    `confine` is called there at first. `act` returns a file descriptor for whoever asked, or None; what it raises comes to them too, as a
    KernelError. `end` is called when the run has ended, however it did.
    """

    def __init__(
        self,
        confine: Callable[[], object],
        act: Callable[[int], int | None],
        end: Callable[[], object],
        descriptors: Collection[int],
    ) -> None:
        self._confine = confine
        self._act = act
        self._end = end
        self._descriptors = descriptors
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.process = 0

    def start(self) -> None:
        """Fork it, and wait until it is confined. No other thread may run yet. Raises KernelError."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = os.fork()
        if not self.process:
            try:
                self._serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._answer()

    def ask(self, number: int) -> int | None:
        """Have it act. Raises KernelError with what it raised."""
        assert self._socket is not None  # noqa: S101 - start() came before
        with self._lock:
            with contextlib.suppress(OSError):  # it has ended, as the answer will tell
                self._socket.send(_NUMBER.pack(number))
            return self._answer()

    def _answer(self) -> int | None:
        assert self._socket is not None  # noqa: S101 - start() came before
        try:
            answer, descriptors, _, _ = socket.recv_fds(self._socket, _LONGEST, 1)
        except OSError:
            answer, descriptors = b"", []
        if not answer:
            raise KernelError("the process that kept a privilege for this run has ended: start again")
        if len(answer) > 1:
            raise KernelError(answer[1:].decode(errors="replace"))
        return descriptors[0] if descriptors else None

    def close(self) -> None:
        """Let it end, and wait for that. Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            os.waitpid(self.process, 0)

    # -- in its process -------------------------------------------------------------------------------------------------

    def _serve(self, asked: socket.socket) -> None:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - the one of this listing is closed already
            if descriptor not in (2, asked.fileno(), *self._descriptors):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        Path("/proc/self/comm").write_text("headwater-keep")
        try:
            self._confine()
        except HeadwaterError as error:
            asked.send(f"\0{error}".encode()[:_LONGEST])
            return
        asked.send(b"\0")
        try:
            while request := asked.recv(_NUMBER.size):
                answer, given = "", None
                try:
                    given = self._act(*_NUMBER.unpack(request))
                except (HeadwaterError, OSError, struct.error) as error:
                    answer = str(error)
                socket.send_fds(asked, [f"\0{answer}".encode()[:_LONGEST]], [] if given is None else [given])
                if given is not None:
                    os.close(given)
        finally:
            self._end()
