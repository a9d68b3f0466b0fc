"""Protocols under atheris, which goes where an input takes a branch that none took before it: `python tests/fuzz/guided.py FOLDER SECONDS
[SERVICE...]`. It begins with the messages of tests; what it finds goes to FOLDER, and the next one goes on from there.

An input is the number of a protocol, that of a port, and what the sides say: a number whose lowest bit is the side, with what was lost
before it above that; the length in two octets; and the octets.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["headwater.analysis"], enable_loader_override=False):
    from fuzz_protocols import PORTS, Said, speak
    from test_protocols import SEEDS

    from headwater.analysis.protocols import PROTOCOLS
    from headwater.analysis.stream import Protocol

LOST = (0, 0, 0, 0, 1, 7, 1000, 1 << 20)
MOST = 16  # messages


def said_of(data: bytes) -> Iterator[Said]:
    """What an input says, behind the number of the protocol and the port."""
    at = 0
    for _ in range(MOST):
        if at + 3 > len(data):
            return
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        yield data[at] & 1, data[at + 3 : at + 3 + length], LOST[data[at] >> 1 & 7]
        at += 3 + length


def written(side: int, message: bytes) -> bytes:
    """As said_of() reads it, with nothing lost."""
    return bytes([side]) + len(message[:0xFFFF]).to_bytes(2, "big") + message[:0xFFFF]


def seeds(ways: list[tuple[type[Protocol], str]]) -> Iterator[bytes]:
    """What the tests of these protocols say: each message alone, and one after another from both sides."""
    for number, (protocol, _) in enumerate(ways):
        made = SEEDS[protocol.service]
        for port in range(len(PORTS)):
            yield bytes([number, port]) + b"".join(written(at & 1, message) for at, message in enumerate(made[:MOST]))
        for side in (0, 1):
            for message in made:
                yield bytes([number, 0]) + written(side, message)


def main() -> None:
    folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
    chosen = [protocol for protocol in PROTOCOLS if not sys.argv[3:] or protocol.service in sys.argv[3:]]
    ways = [(protocol, proto) for protocol in chosen for proto in sorted(protocol.transports)]
    begins = folder / "seeds"
    for where in (folder / "found", begins):
        where.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(ways)):
        (begins / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        if len(data) > 2 and (said := list(said_of(data[2:]))):
            protocol, proto = ways[data[0] % len(ways)]
            speak(protocol, proto, PORTS[data[1] % len(PORTS)], said, measured=False)

    options = [f"-max_total_time={seconds}", "-max_len=65536", "-rss_limit_mb=1024", "-timeout=10", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder / "found"), str(begins)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
