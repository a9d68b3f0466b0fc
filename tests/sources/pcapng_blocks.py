"""pcapng read block by block, from its description and not with our decoder: what is in a file, as it stands there."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Contents:
    """Interfaces as (link type, options), packets as (interface, ns, frame, length, options), statistics as {interface: options}."""

    application: str = ""
    interfaces: list[tuple[int, dict[int, bytes]]] = field(default_factory=list)
    packets: list[tuple[int, int, bytes, int, dict[int, bytes]]] = field(default_factory=list)
    statistics: dict[int, dict[int, bytes]] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [options[2].decode() for _, options in self.interfaces]

    def frames(self) -> list[bytes]:
        return [frame for _, _, frame, _, _ in self.packets]

    def flags(self) -> list[int]:
        return [number(options, 2) for *_, options in self.packets]

    def dropped(self) -> list[int]:
        return [number(options, 4) for *_, options in self.packets]


def number(options: dict[int, bytes], code: int) -> int:
    """An option's value; 0 if it is not there."""
    return int.from_bytes(options.get(code, b""), "little")


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        if not code:
            assert len(data) == 4
            break
        assert code not in found
        found[code] = data[4 : 4 + size]
        padded = 4 + size + -size % 4
        assert not any(data[4 + size : padded])
        data = data[padded:]
    return found


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0 and data[at + size - 4 : at + size] == struct.pack("<I", size), "a block in pieces"
        yield kind, data[at + 8 : at + size - 4]
        at += size


def contents(path: Path) -> Contents:
    """All of a file that this machine wrote."""
    found = Contents()
    for kind, body in _blocks(path.read_bytes()):
        match kind:
            case 0x0A0D0D0A:
                assert body[:16] == struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
                found.application = _options(body[16:])[4].decode()
            case 1:
                found.interfaces.append((struct.unpack_from("<H", body)[0], _options(body[8:])))
            case 6:
                interface, high, low, captured, length = struct.unpack_from("<IIIII", body)
                assert interface < len(found.interfaces), "an interface that was not described"
                end = 20 + captured + -captured % 4
                found.packets.append((interface, high << 32 | low, body[20 : 20 + captured], length, _options(body[end:])))
            case 5:
                found.statistics[struct.unpack_from("<I", body)[0]] = _options(body[12:])
            case _:
                raise AssertionError(f"block {kind}")
    return found
