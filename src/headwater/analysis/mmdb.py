"""MaxMind DB files (.mmdb), read whole: the networks as sorted ranges, and of their records what is asked for.

The library maxminddb answers for one address, in 3 µs, or makes an object of each network with all of its record, which takes minutes
for a file of cities. Here numpy goes down the tree level by level, with all its nodes at once, and of a record only the asked values are
read. The format is version 2 of MaxMind's (https://maxmind.github.io/MaxMind-DB/).

Files come from elsewhere: whatever a file says, reading it ends, in time that its size bounds, with what it holds or with Malformed.
"""

import numpy as np

from headwater.analysis.ranges import V6, Array, Ranges, joined

_MARKER = b"\xab\xcd\xefMaxMind.com"
_METADATA_OCTETS = 128 << 10  # at the end, at most
_BETWEEN = 16  # zeros, between tree and data
_POINTER, _TEXT, _DOUBLE, _OCTETS, _MAP, _ARRAY, _BOOLEAN, _FLOAT = 1, 2, 3, 4, 7, 11, 14, 15
_NUMBERS = (5, 6, 8, 9, 10)
_NOWHERE = 1 << 32  # no node's number
_TEXT_OCTETS = 1024  # of a name, at most
_STEPS = 1024  # values passed for one record, on the average; one of a city has about 60, and is asked for three things


class Malformed(ValueError):
    """What is wrong with a file."""


class Section:
    """Values in `data`, whose pointers count from `base`. Raises Malformed."""

    def __init__(self, data: bytes, base: int, steps: int) -> None:
        self._data = data
        self._base = base
        self._steps = steps

    def text(self, at: int, *path: str) -> str:
        """The text that `path` leads to, from map to map, in the record at `at`; "" if there is none."""
        kind, size, at = self._found(at, path)
        return self._data[at : at + min(size, _TEXT_OCTETS)].decode("utf-8", "replace") if kind == _TEXT else ""

    def number(self, at: int, *path: str) -> int:
        """Likewise, a number that is not negative; 0 if there is none."""
        kind, size, at = self._found(at, path)
        return int.from_bytes(self._data[at : at + size]) if kind in _NUMBERS and size <= 16 else 0

    def _found(self, at: int, path: tuple[str, ...]) -> tuple[int, int, int]:
        """Type and size of a value, and where it begins; type 0 for none."""
        for wanted in path:
            kind, size, at = self._value(at)
            if kind != _MAP:
                return 0, 0, 0
            for _ in range(size):
                _, octets, begin = self._value(at)
                at = self._passed(at)
                if self._data[begin : begin + octets] == wanted.encode():
                    break
                at = self._passed(at)
            else:
                return 0, 0, 0
        return self._value(at)

    def _value(self, at: int) -> tuple[int, int, int]:
        """Likewise, of the value at `at` or where a pointer there leads to."""
        kind, size, begin = self._head(at)
        if kind != _POINTER:
            return kind, size, begin
        kind, size, begin = self._head(self._base + size)
        if kind == _POINTER:
            raise Malformed("a pointer leads to another")
        return kind, size, begin

    def _passed(self, at: int) -> int:
        """Where the value at `at` ends, with all that is in it."""
        left = 1
        while left:
            left -= 1
            kind, size, at = self._head(at)
            if kind == _MAP:
                left += 2 * size
            elif kind == _ARRAY:
                left += size
            elif kind not in (_POINTER, _BOOLEAN):
                at += size
        return at

    def _head(self, at: int) -> tuple[int, int, int]:
        """Type, size and begin of the value at `at`; of a pointer, where it leads to and where it ends."""
        self._steps -= 1
        if self._steps < 0:
            raise Malformed("its records are too intricate")
        data = self._data
        try:
            control = data[at]
            kind, size, at = control >> 5, control & 31, at + 1
            if kind == _POINTER:
                octets = size >> 3
                if octets == 3:
                    return kind, int.from_bytes(data[at : at + 4]), at + 4
                offset = (size & 7) << 8 * (octets + 1) | int.from_bytes(data[at : at + octets + 1])
                return kind, offset + (0, 2048, 526_336)[octets], at + octets + 1
            if kind == 0:
                kind, at = data[at] + 7, at + 1
            if size > 28:
                octets = size - 28
                size = (29, 285, 65_821)[octets - 1] + int.from_bytes(data[at : at + octets])
                at += octets
        except IndexError:
            raise Malformed("a record leads out of the file") from None
        return kind, size, at


class Mmdb:
    """A file's octets, understood. `kind` is the name that its maker gave it, `built` when, in seconds of UTC. Raises Malformed."""

    def __init__(self, data: bytes) -> None:
        marker = data.rfind(_MARKER, max(0, len(data) - _METADATA_OCTETS))
        if marker < 0:
            raise Malformed("no MaxMind DB file")
        begin = marker + len(_MARKER)
        metadata = Section(data, begin, 1 << 16)
        self.kind = metadata.text(begin, "database_type")
        self.built = metadata.number(begin, "build_epoch")
        if metadata.number(begin, "binary_format_major_version") != 2:
            raise Malformed("of another version than 2")
        self._v6 = metadata.number(begin, "ip_version") == 6
        self._count = metadata.number(begin, "node_count")
        bits = metadata.number(begin, "record_size")
        if bits not in (24, 28, 32):
            raise Malformed(f"it has nodes of twice {bits} bits")
        self._tree = self._count * bits // 4
        if not self._count or self._tree + _BETWEEN > marker:
            raise Malformed("it is cut off")
        self._data, self._end = data, marker
        self._left, self._right = _nodes(np.frombuffer(data, np.uint8, self._tree).reshape(self._count, bits // 4))

    def records(self) -> tuple[Ranges, Array, Section]:
        """Its ranges; for each of their codes where the record is; and the section to ask for it. Code 0 has no record.

        As IPv4 counts what is below ::/96. Other networks that lead there (6to4, Teredo, ::ffff:0:0/96) have no records.
        """
        v4_root = 0
        for _ in range(96 * self._v6):
            v4_root = int(self._left[v4_root]) if v4_root < self._count else v4_root
        _, v4, v4_found = self._walked(v4_root, 32)
        high, low, v6_found = self._walked(0, 128, v4_root) if self._v6 else (np.zeros(1, np.uint64),) * 3
        v6 = np.stack([high, low], axis=1).astype(">u8").view(V6).ravel()
        found, codes = np.unique(np.concatenate([[0], v4_found, v6_found]).astype(np.int64), return_inverse=True)
        codes = codes[1:]
        records = found - self._count + self._tree  # where the format has them
        if len(found) > 1 and (records[1] < self._tree + _BETWEEN or records[-1] >= self._end):
            raise Malformed("its tree leads out of the file")
        section = Section(self._data, self._tree + _BETWEEN, _STEPS * (len(found) + 256))
        return joined(v4.astype(np.uint32), codes[: len(v4)], v6, codes[len(v4) :]), records, section

    def _walked(self, root: int, bits: int, alias: int = _NOWHERE) -> tuple[Array, Array, Array]:
        """Of each leaf below `root`, in ascending order: the address that it begins with (two words of 64 bits), and what the tree has
        there, 0 for nothing. Nothing lies below `alias`.
        """
        count = self._count
        nodes, high, low = np.array([root], np.uint32), np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        leaves: list[tuple[Array, Array, Array]] = []
        visited = 0
        for bit in reversed(range(-1, bits)):
            nodes = np.where(nodes == alias, count, nodes) if bit < bits - 1 and alias < count else nodes
            inner = nodes < count
            leaves.append((high[~inner], low[~inner], np.where(nodes == count, 0, nodes)[~inner]))
            nodes, high, low = nodes[inner], high[inner], low[inner]
            visited += len(nodes)
            if visited > count or (bit < 0 and len(nodes)):
                raise Malformed("its tree has a loop")
            one = np.uint64(1 << max(bit, 0) % 64)
            right = (high | one, low) if bit >= 64 else (high, low | one)
            nodes = np.concatenate([self._left[nodes], self._right[nodes]])
            high, low = np.concatenate([high, right[0]]), np.concatenate([low, right[1]])
        begins_high, begins_low, found = (np.concatenate(parts) for parts in zip(*leaves, strict=True))
        order = np.lexsort((begins_low, begins_high))
        return begins_high[order], begins_low[order], found[order]


def _nodes(octets: Array) -> tuple[Array, Array]:
    """Where each node's two branches lead."""
    if octets.shape[1] == 8:
        branches = octets.view(">u4").astype(np.uint32)
        return branches[:, 0], branches[:, 1]

    def number(*columns: Array) -> Array:
        made: Array = np.zeros(len(octets), np.uint32)
        for column in columns:
            made = made << 8 | column
        return made

    if octets.shape[1] == 6:
        return number(*octets.T[:3]), number(*octets.T[3:])
    high = octets[:, 3]  # half of it is the left branch's, half the right one's
    return number(high >> 4, *octets.T[:3]), number(high & 15, *octets.T[4:])
