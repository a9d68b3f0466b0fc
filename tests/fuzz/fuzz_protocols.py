"""Every protocol against hostile messages: those of its tests, changed, cut, repeated, with gaps. Nothing escapes but Malformed, and no
input takes longer than 100 ms a message, or 64 MiB.
"""

import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "analysis/protocols"))

from cpu import cpu_seconds
from spoken import Spoken
from test_protocols import SEEDS

from headwater.analysis.protocols import PROTOCOLS
from headwater.analysis.stream import Gap, Protocol
from headwater.analysis.wire import Malformed

MOST_S = 0.1  # of CPU
MOST_OCTETS = 64 << 20
MEASURED = 20  # one input in so many: to trace memory takes time
PORTS = (21, 22, 25, 53, 67, 80, 137, 143, 443, 445, 4000)
INTERESTING = (b"\0", b"\xff" * 2, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\r\n", b"\n" * 50, b"A" * 3000, b"\xc0\x0c")


Said = tuple[int, bytes, int]
"""Which side says which octets, and how many were lost before them."""


def speak(protocol: type[Protocol], proto: str, port: int, said: Sequence[Said], *, measured: bool) -> None:
    """Give it these. Raises AssertionError with them if they broke it. To say how much memory it took takes time."""
    most = MOST_S * len(said) * (10 if measured or "atheris" in sys.modules else 1)
    took = cpu_seconds(lambda: _speak(protocol, proto, port, said, measured=measured), most)
    assert took < most, f"{protocol.service} over {proto}, port {port} took {took:.3f} s: {said!r}"


def _speak(protocol: type[Protocol], proto: str, port: int, said: Sequence[Said], *, measured: bool) -> None:
    if measured:
        tracemalloc.start()
    try:
        made = Spoken(protocol, proto, port)
        for side, octets, gap in said:
            protocol.is_begun(made.stream, side, octets)
            try:
                if gap and proto == "tcp" and not made.malformed:
                    made.sides[side].gap(gap, made.stream.now)
                made.say(side, octets)
            except (Malformed, Gap):
                break
        made.over()
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
    except Exception as error:
        raise AssertionError(f"{protocol.service} over {proto}, port {port}: {said!r}") from error
    finally:
        tracemalloc.stop()
    assert peak < MOST_OCTETS, f"{protocol.service} over {proto}, port {port} took {peak:,} octets: {said!r}"


def fuzz(name: str, seconds: float, seed: int) -> int:
    """Of the protocol whose service that is. Returns how many inputs were tried. Raises AssertionError with the input that broke it."""
    random = Random(f"{seed} {name}")
    ways = [(protocol, proto) for protocol in PROTOCOLS if protocol.service == name for proto in sorted(protocol.transports)]
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        protocol, proto = random.choice(ways)
        port = random.choice(PORTS)
        said = [(random.randrange(2), *_changed(random, SEEDS[name])) for _ in range(random.randrange(1, 8))]
        speak(protocol, proto, port, said, measured=tried % MEASURED == 0)
        tried += 1
    return tried


def _changed(random: Random, seeds: list[bytes]) -> tuple[bytes, int]:
    """Octets of messages, and so many that were lost before them."""
    octets = bytearray(random.choice(seeds))
    for _ in range(random.choice((0, 1, 1, 2, 4, 16))):
        at = random.randrange(len(octets) + 1)
        match random.randrange(5):
            case 0:
                octets[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                some = random.choice(INTERESTING)
                octets[at : at + random.choice((0, len(some)))] = some
            case 2:
                del octets[at : at + random.randrange(1, 64)]
            case 3:
                octets[at:at] = octets[: random.randrange(1, 200)]
            case 4:
                octets += random.choice(seeds)
    return bytes(octets[: random.choice((1 << 16, 1 << 16, random.randrange(1, 200)))]), random.choice((0, 0, 0, 1, 1000, 1 << 20))
