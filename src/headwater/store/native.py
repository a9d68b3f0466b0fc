"""ClickHouse's format Native in the revision that a client asks for (its src/Formats/NativeWriter.cpp). Within a process the engine writes
the oldest alone, and clickhouse-go, which is in Grafana's data source, reads none but newer ones.

There a block has some numbers before it, and each of its columns an octet behind its type. So a block is read as far as to know where its
columns end.
"""

import re
from collections.abc import Iterator
from functools import cache

from headwater.errors import StoreError

_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # no overflow, no bucket
_MARKED = 54454  # since then an octet says how a column is written: 0 as ever
_WIDTHS = {
    **dict.fromkeys("UInt8 Int8 Bool Enum8 Nothing".split(), 1),
    **dict.fromkeys("UInt16 Int16 Date Enum16 BFloat16".split(), 2),
    **dict.fromkeys("UInt32 Int32 Float32 Date32 DateTime IPv4 Time".split(), 4),
    **dict.fromkeys("UInt64 Int64 Float64 DateTime64 Time64".split(), 8),
    **dict.fromkeys("UInt128 Int128 UUID IPv6".split(), 16),
    **dict.fromkeys("UInt256 Int256".split(), 32),
}
_DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))
_MORE_KEYS, _KEY_WIDTH = 1 << 9, 0xFF


def in_revision(revision: int, blocks: bytes) -> bytes:
    """Blocks of revision 0 as those of that one. Raises StoreError for a type that is not known here."""
    return b"".join(_pieces(blocks, b"\0" if revision >= _MARKED else b""))


def _pieces(blocks: bytes, mark: bytes) -> Iterator[bytes]:
    walk = _Walk(blocks)
    while walk.at < len(blocks):
        begin = walk.at
        columns, rows = walk.number(), walk.number()
        yield _INFO + blocks[begin : walk.at]
        for _ in range(columns):
            begin = walk.at
            walk.text()
            kind = walk.text().decode()
            yield blocks[begin : walk.at] + mark
            begin = walk.at
            if rows:
                walk.prefix(kind)
                walk.values(kind, rows)
            yield blocks[begin : walk.at]


class _Walk:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.at = 0

    def number(self) -> int:
        """LEB128."""
        value = shift = 0
        while (octet := self._octets[self.at]) & 0x80:
            value |= (octet & 0x7F) << shift
            shift += 7
            self.at += 1
        self.at += 1
        return value | octet << shift

    def text(self) -> bytes:
        size = self.number()
        self.at += size
        return self._octets[self.at - size : self.at]

    def prefix(self, kind: str) -> None:
        """What stands once before a column's values."""
        name, inner = _parts(kind)
        if name == "LowCardinality":
            self.at += 8
        elif name not in _WIDTHS:
            for one in inner:
                self.prefix(one)

    def values(self, kind: str, rows: int) -> None:
        """Go on behind them."""
        name, inner = _parts(kind)
        if name in _WIDTHS or name.startswith("Interval"):
            self.at += rows * _WIDTHS.get(name, 8)
        elif name == "String":
            for _ in range(rows):
                size = self.number()
                self.at += size
        elif name == "Nullable":
            self.at += rows
            self.values(inner[0], rows)
        elif name in ("Array", "Map"):
            self.at += 8 * rows
            within = self._fixed(self.at - 8, 8) if rows else 0
            for one in inner:
                self.values(one, within)
        elif name == "Tuple":
            for one in inner:
                self.values(one, rows)
            self.at += 0 if inner else rows
        elif name == "LowCardinality":
            self._words(inner[0], rows)
        elif name == "FixedString":
            self.at += rows * int(inner[0])
        elif name == "Decimal":
            self.at += rows * next(width for most, width in _DECIMALS if int(inner[0]) <= most)
        else:
            raise StoreError(f"a column of the type {kind} cannot be sent in this revision of Native: ask for toString() of it")

    def _words(self, kind: str, rows: int) -> None:
        if not rows:
            return
        flags = self._fixed(self.at, 8)
        self.at += 8
        if flags & _MORE_KEYS:
            count = self._fixed(self.at, 8)
            self.at += 8
            name, inner = _parts(kind)
            self.values(inner[0] if name == "Nullable" else kind, count)
        self.at += 8 + rows * (1 << (flags & _KEY_WIDTH))

    def _fixed(self, at: int, width: int) -> int:
        return int.from_bytes(self._octets[at : at + width], "little")


@cache
def _parts(kind: str) -> tuple[str, list[str]]:
    """Its name, and what stands within its brackets; of a tuple without the names."""
    name, _, rest = kind.partition("(")
    found, depth, begin, quoted = list[str](), 0, 0, False
    within = rest.removesuffix(")")
    if name.startswith("Enum") or not rest:
        return name, []
    for at, sign in enumerate(f"{within},"):
        if sign in "'`" and within[at - 1 : at] != "\\":
            quoted = not quoted
        depth += 0 if quoted else (sign == "(") - (sign == ")")
        if sign == "," and not depth and not quoted:
            found.append(within[begin:at].strip())
            begin = at + 1
    if name == "Tuple":
        found = [re.sub(r"^(?:`(?:[^`\\]|\\.)*`|\w+) (?=\w)", "", one) for one in found if one]
    return name, found
