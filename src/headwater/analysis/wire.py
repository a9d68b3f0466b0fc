"""Reading octets of a message: every length goes through a Reader, which has bounds; what is wrong is Malformed, and nothing else."""

from typing import Final

from headwater.records.address import MAPPED


class Malformed(Exception):
    """Traffic is not what its protocol says. The argument is the name of a weird, as Zeek calls it where it has one."""


class Reader:
    """Takes numbers and octets from `octets`, from `at` on."""

    __slots__ = ("at", "end", "octets")

    def __init__(self, octets: bytes, at: int = 0, end: int | None = None) -> None:
        self.octets = octets
        self.at = at
        self.end = len(octets) if end is None else end

    def __len__(self) -> int:
        return self.end - self.at

    def take(self, count: int) -> bytes:
        """The next `count` octets. Raises Malformed if there are fewer."""
        at = self.at
        if count < 0 or at + count > self.end:
            raise Malformed("truncated")
        self.at = at + count
        return self.octets[at : at + count]

    def u8(self) -> int:
        """The next octet."""
        at = self.at
        if at >= self.end:
            raise Malformed("truncated")
        self.at = at + 1
        return self.octets[at]

    def u16(self) -> int:
        """The next two, the high one first."""
        return int.from_bytes(self.take(2), "big")

    def u24(self) -> int:
        """The next three."""
        return int.from_bytes(self.take(3), "big")

    def u32(self) -> int:
        """The next four."""
        return int.from_bytes(self.take(4), "big")

    def rest(self) -> bytes:
        """All that are left."""
        return self.take(self.end - self.at)

    def sub(self, count: int) -> "Reader":
        """A reader of the next `count` octets alone."""
        at = self.at
        if count < 0 or at + count > self.end:
            raise Malformed("truncated")
        self.at = at + count
        return Reader(self.octets, at, at + count)


_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code not in b"\b\t\n\f\r"}


def text(octets: bytes) -> str:
    """Octets of a stranger as text: what is no UTF-8 or obeyed by terminals is written \\xe9, as in Zeek's JSON."""
    said = octets.decode("utf-8", "backslashreplace")
    return said if said.isprintable() else said.translate(_CONTROLS)


def address(octets: bytes) -> bytes:
    """An IPv4 address as our 16 octets."""
    return MAPPED + octets
