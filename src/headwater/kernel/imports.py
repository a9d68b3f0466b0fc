"""Python's modules for an account that may not search the folders above them: a home, and a checkout in it, is often its owner's alone.

Much is imported only when it is first needed, by libraries too. A folder that is open can be read below whoever its parents keep out: so
the folders of modules are opened before the account changes, and named by their descriptors after it.
"""

import contextlib
import os
import sys


class Imports:
    """Where modules are found now; mend() makes that hold for another account."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        for folder in dict.fromkeys(sys.path):
            with contextlib.suppress(OSError):  # an archive, or not there
                self._open[folder] = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def mend(self) -> None:
        """Once the account has changed: find by descriptor what it cannot reach by name. The descriptors stay open."""
        moved = {}
        for folder, fd in self._open.items():
            if os.access(folder, os.R_OK | os.X_OK):
                os.close(fd)
            else:
                moved[folder] = f"/proc/self/fd/{fd}"
        sys.path[:] = [moved.get(folder, folder) for folder in sys.path]
        for module in list(sys.modules.values()):
            paths = getattr(module, "__path__", None)
            if isinstance(paths, list):
                paths[:] = [_below(path, moved) for path in paths]


def _below(path: str, moved: dict[str, str]) -> str:
    for folder, now in moved.items():
        if path.startswith(f"{folder}/"):
            return now + path[len(folder) :]
    return path
