"""Headwater shows what happens on a Linux host's network, from the first packet header."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.apps.library import Packets, read, tap
    from headwater.apps.opening import Store, open

__version__ = "0.1.0"
__all__ = ["Packets", "Store", "__version__", "open", "read", "tap"]
_STORE = ("Store", "open")


def __getattr__(name: str) -> Any:
    """What Python asks for is loaded when it is first used: the commands start without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headwater.apps import library, opening  # noqa: PLC0415

    return getattr(opening if name in _STORE else library, name)
