"""Texts that rows hold as numbers, because few are met: what flows speak, and what is odd in it."""

from collections.abc import Mapping
from typing import Final

_MOST: Final = (1 << 16) - 1


class Numbered:
    """Texts by number, the same for as long as the process lasts; 0 is none. `known` ones have theirs, others get one when they are met."""

    def __init__(self, known: Mapping[int, str] = {}) -> None:
        self._names = dict(known)
        self._numbers = {name: number for number, name in known.items()}
        self._next = max(known, default=0) + 1
        self.names: Mapping[int, str] = self._names

    def __getitem__(self, text: str) -> int:
        """The number of a text: 0 of the empty one, and where all are taken."""
        if not text:
            return 0
        number = self._numbers.get(text)
        if number is None:
            if self._next > _MOST:
                return 0
            number = self._numbers[text] = self._next
            self._names[number] = text
            self._next += 1
        return number


SERVICES: Final = Numbered()
"""What a conn's `service` can be: one name, or several with commas between them."""
