"""The columns of a packet row, made of what tshark shows.

frame.protocols names the layers outwards in, and a field's occurrences are in their order: who walks along the layers and takes of each
its fields knows which belong to the innermost packet, which to the outermost, and which to the packet that an ICMP error quotes.
"""

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeAlias

from tables import DEEPEST, SILENT, TUNNELS
from tshark import Fields, Value


class TooDeepError(Exception):
    """A fifth tunnel: the row is that of the fourth."""


class Walk:
    """Along the layers of one packet. `row` holds what stays when a tunnel is entered, `inner` what begins anew."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.taken = Counter[str]()
        self.tokens = fields.get("frame.protocols", [""])[0].split(":")
        self.layers = [(layer, after) for layer, after in zip(self.tokens, [*self.tokens[1:], ""], strict=True) if layer not in SILENT]
        self.at = 0
        self.row: dict[str, Value] = {"tunnel_depth": 0}
        self.inner: dict[str, Value] = {}
        self.rest: int | None = None  # octets behind the IP header, None where tshark does not say
        self.apart = False  # whether an IP header lies behind the last frame's

    def columns(self) -> dict[str, Value]:
        """The columns that tshark has a value for."""
        try:
            while self.at < len(self.layers):
                layer, after = self.layers[self.at]
                self.at += 1
                read = STEPS.get(layer)
                if read and not read(self, after):
                    break
        except TooDeepError:
            pass
        return self.row | self.inner

    @property
    def following(self) -> str:
        """The next layer that has a header."""
        return self.layers[self.at][0] if self.at < len(self.layers) else ""

    def text(self, field: str) -> str | None:
        """The next occurrence of a field."""
        values, number = self.fields.get(field, []), self.taken[field]
        self.taken[field] += 1
        return values[number] if number < len(values) else None

    def number(self, field: str) -> int | None:
        text = self.text(field)
        return None if text is None else int(text, 0)

    def address(self, field: str) -> str | None:
        text = self.text(field)
        return None if text is None else str(ip_address(text))

    def enter(self, tunnel: str, number: int | None = None) -> None:
        depth = self.row["tunnel_depth"]
        assert isinstance(depth, int)
        if depth == DEEPEST:
            raise TooDeepError
        if "outer_src" not in self.row and "ttl" in self.inner:
            self.row |= {f"outer_{name}": self.inner[name] for name in ("src", "dst", "proto", "sport", "dport") if name in self.inner}
        self.apart |= "ttl" in self.inner
        self.inner.clear()
        self.row |= {"tunnel": TUNNELS[tunnel], "tunnel_depth": depth + 1, "tunnel_id": number}


Step: TypeAlias = Callable[[Walk, str], bool]  # takes the fields of a layer, told the next name; False where the packet ends for us
STEPS: dict[str, Step] = {}


def step(*layers: str) -> Callable[[Step], Step]:
    """What reads these layers."""

    def named(function: Step) -> Step:
        STEPS.update(dict.fromkeys(layers, function))
        return function

    return named
