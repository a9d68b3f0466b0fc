"""A shell with job control on a terminal of its own, for tests of what takes the terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from waiting import MOST_S


class Shell:
    """bash on a terminal of `width` by `height` cells (0: a terminal that does not tell). What `variables` set, commands have too."""

    def __init__(self, width: int = 0, height: int = 0, **variables: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(width, height)
        environ = {**os.environ, "TERM": "xterm", "PS1": "ready> ", **variables}
        self.process = subprocess.Popen(
            # a shell cannot take back that signals are ignored: whoever started the tests may have done that
            ["env", "--default-signal", "setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
        )
        os.close(slave)
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str) -> str:
        """What came up to the pattern, with it."""
        deadline = time.monotonic() + MOST_S
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, (pattern, self.seen[-2000:])
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def status(self) -> int:
        """Of the last command; and a terminal that shows what is typed into it."""
        self.type("echo status $?; stty -a\n")
        self.until(r"status (?=\d)")
        said = self.until(r"tostop")
        assert re.search(r" echo\b", said) and re.search(r" icanon\b", said), said
        return int(said.split()[0])

    def end(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        os.close(self.master)
        self.process.wait(MOST_S)


@contextmanager
def ready(width: int = 0, height: int = 0, **variables: str) -> Iterator[Shell]:
    """One that waits for a command."""
    shell = Shell(width, height, **variables)
    try:
        shell.until("ready> ")
        yield shell
    finally:
        shell.end()
