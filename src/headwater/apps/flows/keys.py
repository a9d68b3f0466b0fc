"""Keys, out of what a terminal sends for them."""

import re
from collections.abc import Iterator

_SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.S)
_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[5~": "page_up",
    "\x1b[6~": "page_down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b": "escape",
    "\n": "enter",
    "\r": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "clear",
}
"""As xterm, its kin, tmux and the Linux console send them (terminfo: kcuu1, kpp, khome ...), with cursor keys in either mode."""


def keys(typed: str) -> Iterator[str]:
    """Names of keys, and characters as they are; what is neither is passed over."""
    for sequence in _SEQUENCE.findall(typed):
        if name := _NAMES.get(sequence):
            yield name
        elif len(sequence) == 1 and sequence.isascii() and sequence.isprintable():
            yield sequence
