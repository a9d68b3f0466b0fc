"""Starting the store's process, and whether there is one. Needs nothing that only the store needs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headwater.errors import StoreError

if TYPE_CHECKING:
    from headwater.store.settings import Place

BEGIN_S = 30.0


@contextmanager
def of_the_extra() -> Iterator[None]:
    """Where something is imported that only the store needs. Raises StoreError if it is not installed."""
    try:
        yield
    except ImportError as error:
        raise StoreError(f"the store needs {error.name}, which is not installed: pip install 'headwater[store]'") from None


def answers(place: "Place") -> bool:
    """Whether a process has that store, and listens. Raises StoreError where it is somebody else's."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(place.socket))
        except PermissionError:
            raise StoreError(f"the store {place.folder} is another user's: use sudo") from None
        except OSError:
            return False
    return True


def held(place: "Place") -> bool:
    """Whether a process has that store, or is about to. Raises StoreError where it is somebody else's."""
    from headwater.outputs.files import is_locked  # noqa: PLC0415 - numpy, which --help need not

    try:
        fd = os.open(place.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"the store {place.folder}: {error.strerror}; use sudo, or give another path") from None
    return is_locked(fd)


def begin(place: "Place", *more: str) -> "subprocess.Popen[bytes]":
    """A process for that store, once it answers, which removes nothing that is old: who asks need not know what is to be kept. It ends when
    its standard input does. Raises StoreError with what it said.
    """
    process = start(place, "--remove-nothing", *more)
    deadline = time.monotonic() + BEGIN_S
    while not answers(place):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            raise StoreError((said[-1] if said else "the store does not begin").removeprefix("headwater: "))
        time.sleep(0.02)
    return process


def start(place: "Place", *more: str) -> "subprocess.Popen[bytes]":
    """Likewise, without waiting."""
    command = [sys.executable, "-m", "headwater", "store", "--path", str(place.folder), "--while-asked", *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
