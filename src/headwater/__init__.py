"""Headwater shows what happens on a Linux host's network, from the first packet header."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.apps.library import Packets, read, tap

__version__ = "0.1.0"
__all__ = ["Packets", "__version__", "read", "tap"]


def __getattr__(name: str) -> Any:
    """read(), tap() and Packets are loaded when they are first used: the commands start without them."""
    if name not in ("Packets", "read", "tap"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headwater.apps import library  # noqa: PLC0415

    return getattr(library, name)
