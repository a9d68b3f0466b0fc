"""What flows speak, by number: a conn's `service` is one name, or several with commas between them, and rows hold a number for it."""

from collections.abc import Mapping
from typing import Final

_MOST: Final = (1 << 16) - 1
_numbers: dict[str, int] = {}
_names: dict[int, str] = {}
NAMES: Mapping[int, str] = _names
"""By number; it grows as services are met."""


def number_of(service: str) -> int:
    """The number of a name, the same for as long as the process lasts; 0, none, for the empty one and where all are taken."""
    if not service:
        return 0
    number = _numbers.get(service)
    if number is None:
        if len(_numbers) == _MOST:
            return 0
        number = _numbers[service] = len(_numbers) + 1
        _names[number] = service
    return number
