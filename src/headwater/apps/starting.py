"""What a command does before anything else, so that it begins soon and stays quick."""

import gc
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002 - as called
        if fullname == "pandas":
            raise ModuleNotFoundError(f"no {fullname} here", name=fullname)


def prepare() -> None:
    """For a process that is a command, and nothing else.

    pyarrow imports pandas, where that is installed, as soon as it makes a scalar: a quarter of a second of CPU, to know tables of it by
    sight, and a command has none. Of what lives with flows next to nothing is garbage: to look for it often took a fifth of the time.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())
    gc.set_threshold(100_000, 20, 50)
