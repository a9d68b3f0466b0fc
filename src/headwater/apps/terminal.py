"""The terminal while the live view has it: the alternate screen without a cursor, and keys that come at once and are not shown."""

import os
import select
import signal
import termios
from contextlib import suppress
from typing import Any, TextIO

_TAKE, _GIVE_BACK = "\x1b[?1049h\x1b[H\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_ECHO = termios.ECHO | termios.ICANON  # what is off meanwhile; Ctrl-C and Ctrl-Z stay what they are
_SIGNALS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGQUIT)


class Terminal:
    """The terminal that `stream` writes to. It is given back by close(), before Ctrl-Z stops the process and before Ctrl-\\ ends it.

    In the background it is left to whoever has the foreground, and taken when that is us again. Of a stream that is no terminal only
    the screen is switched. All in the main thread.
    """

    def __init__(self, stream: TextIO) -> None:
        self.times_taken = 0
        """Grows when the screen is ours again, and empty."""
        self._stream = stream
        self._fd = stream.fileno() if stream.isatty() else -1
        self._open = self._ours = self._stale = False
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._keys = self._fd

    def open(self) -> None:
        """Take it, or in the background wait for it."""
        self._open = True
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._handle)
        self.take()

    def close(self) -> bool:
        """Give it back; whether it was ours."""
        was_ours = self._ours
        self.give_back()
        self._open = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        return was_ours

    def take(self) -> bool:
        """Take it if it is not ours and may be; whether that is so now, or it was never opened."""
        if self._open and (self._stale or not self._ours):
            if not self._in_foreground():
                return False
            self._ours, self._stale = True, False
            self.times_taken += 1
            self._write(_TAKE)
            if self._before:
                quiet = [*self._before[:3], self._before[3] & ~_ECHO, *self._before[4:6], [*self._before[6]]]
                quiet[6][termios.VMIN] = quiet[6][termios.VTIME] = 0  # reading never waits
                with suppress(termios.error):  # it has hung up; SIGHUP will tell
                    termios.tcsetattr(self._fd, termios.TCSANOW, quiet)
        return True

    def give_back(self) -> None:
        """As it was before. Callable from a signal handler."""
        if self._ours and self._in_foreground():
            self._ours = False
            self._write(_GIVE_BACK)
            if self._before:
                with suppress(termios.error):
                    termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    def fileno(self) -> int:
        """Readable when keys were pressed; -1 while there are none to come."""
        return self._keys if self._ours and not self._stale else -1

    def pressed(self) -> str:
        """The keys since the last time."""
        if self.fileno() < 0:
            return ""
        poll = select.poll()
        poll.register(self._keys, select.POLLIN)
        events = dict(poll.poll(0)).get(self._keys, 0)
        try:
            if events & ~select.POLLIN:
                raise OSError  # hung up: it would be readable for ever
            return os.read(self._keys, 1024).decode("latin-1") if events else ""
        except OSError:  # or open for writing only
            self._keys = -1
            return ""

    def _handle(self, number: int, _: object) -> None:
        if number == signal.SIGCONT:  # whoever stopped us may have changed the terminal
            self._stale = True
            return
        self.give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # SIGQUIT ends us here; SIGTSTP stops us until SIGCONT
        signal.signal(number, self._handle)

    def _in_foreground(self) -> bool:
        try:
            return self._fd < 0 or os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not the terminal that controls us: nobody else is there to have it
            return True

    def _write(self, codes: str) -> None:
        if self._fd < 0:
            self._stream.write(codes)
        else:
            with suppress(OSError):
                os.write(self._fd, codes.encode())
