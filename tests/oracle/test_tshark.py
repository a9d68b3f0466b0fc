"""Rows of captures against tshark: each packet of the corpora whose link type we read, innermost and outermost headers alike."""

import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import layers  # noqa: F401 - likewise
import links  # noqa: F401 - it names its steps
import numpy as np
import pytest
import tshark
from encapsulations import MADE
from places import CORPORA
from tables import COLUMNS, TUNNELS, UNKNOWN
from tshark import Fields, Value
from walk import Walk

from headwater.records import ENUMS, PACKET, Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

pytestmark = pytest.mark.corpora

WEIRDS = ENUMS["hw_weird"]
LINK_TYPES = [0, 1, 9, 10, 12, 14, 50, 51, 100, 101, 104, 105, 107, 108, 113, 117, 119, 127, 163, 192, 228, 229, 239, 276]
WINDOW = 256
SUBFRAME = "wlan_aggregate.a_mdsu.subframe"


@dataclass(frozen=True)
class Packet:
    """A packet in which something differs: its octets, what tshark showed, and (ours, tshark's) by column."""

    link_type: int
    octets: bytes
    shown: Fields
    weird: str
    differs: dict[str, tuple[Value, Value]]

    @property
    def layers(self) -> str:
        return self.shown.get("frame.protocols", [""])[0]

    def numbers(self, field: str) -> list[int]:
        return [int(value, 0) for value in self.shown.get(field, [])]


def _strange_arp(packet: Packet) -> bool:
    kind = [packet.numbers(f"arp.{field}")[:1] for field in ("hw.type", "proto.type", "hw.size", "proto.size")]
    return kind not in ([[1], [0x0800], [6], [4]], [[6], [0x0800], [6], [4]]) and set(packet.differs) == {"src", "dst"}


def _header_length(packet: Packet) -> bool:
    lengths = zip(packet.numbers("ip.hdr_len"), packet.numbers("ip.len") or [0], strict=False)
    return any(header < 20 or whole < header for header, whole in lengths)


def _past_frame(packet: Packet) -> bool:
    headers = packet.numbers("ip.hdr_len")[-1:] + packet.numbers("tcp.hdr_len")[-1:]
    return (
        len(headers) == 2
        and packet.differs.keys() == {"payload_length"}
        and _states(packet) - sum(headers) == packet.differs["payload_length"][0]
    )


def _states(packet: Packet) -> int:
    return packet.numbers("ip.len")[-1]


def _cut(packet: Packet) -> bool:
    """What is cut is the frame's last header, so that there is not much of a frame."""
    gave_up = "_ws.short" in packet.shown or "_ws.malformed" in packet.shown
    return gave_up and len(packet.octets) <= 128 and packet.weird.startswith(("truncated_", "internally_truncated_"))


def _sport(packet: Packet) -> bool:
    return packet.differs.get("tunnel", (0, 0))[0] is None and packet.differs["sport"][0] in (4789, 4790, 6081)


EXPLAINED: dict[str, Callable[[Packet], bool]] = {
    "Cisco ISL encapsulation, which tshark tells by the address and we read as Ethernet": lambda p: (
        p.octets[:5] == b"\1\0\x0c\0\0" and p.layers.startswith("eth:eth")
    ),
    "ARP whose address lengths or types are not those of Ethernet and IPv4: a weird without addresses, as in Zeek": _strange_arp,
    "IPv6 that states no length: tshark shows 0, we what the jumbogram option or the frame tells": lambda p: (
        p.numbers("ipv6.plen")[-1:] == [0] and set(p.differs) <= {"ip_length", "proto"}
    ),
    "IPv4 whose lengths contradict each other: tshark shows nothing, we the fixed header": _header_length,
    "IPv4 longer than what carries it: tshark tells the payload that is there, we the one that the header states": _past_frame,
    "a header that the end of the frame cuts: tshark shows its first fields, we none, or the reverse": _cut,
    "an IPv4 option whose length is wrong: tshark does not show its kind": lambda p: (
        p.weird in ("truncated_ip_option", "truncated_IP_len") and p.differs.keys() == {"ip_options"}
    ),
    "a tunnel in a UDP datagram of length 0 (BIG TCP): tshark stops, we take the IP packet's length": lambda p: (
        p.numbers("udp.length") == [0] and p.differs["tunnel"][1] is None
    ),
    "a tunnel's port as the source alone: tshark takes it for the tunnel, we as what it is, a port that a client may have": _sport,
    "headers behind the octets that the parser sees": lambda p: p.weird == "headers_beyond_window" and len(p.octets) > WINDOW,
    "Teredo at ports that others chose: tshark looks for it at one port, we as Zeek at the addresses": lambda p: (
        p.differs.get("tunnel") == (TUNNELS["teredo"], None)
    ),
    "nothing behind a tunnel's header: tshark begins with Ethernet, we stay with the outer packet, as Zeek": lambda p: (
        p.weird == "geneve_empty_packet" and p.layers.endswith("geneve:eth")
    ),
    "IPv4 in a capture of link type IPv6: tshark stops, we go by the version, as Zeek": lambda p: (
        p.link_type == 229 and p.octets[0] >> 4 == 4 and not p.layers
    ),
    "frame relay with a type that tshark does not know: it shows none": lambda p: p.link_type == 107 and p.layers in ("fr", "fr:data"),
    "frame relay with Ethernet right behind the address, as tshark guesses": lambda p: p.layers.startswith("fr:eth:"),
}


def merged(into: Path, merge: Path) -> list[str]:
    """All frames of those link types in one capture; where each is from."""
    names = "".join(f"{path}\n" for path in sorted(CORPORA.rglob("*")) if path.suffix in (".pcap", ".pcapng"))
    command = [str(merge), str(into), *map(str, LINK_TYPES)]
    return subprocess.run(command, input=names, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()


def frames(capture: Path) -> Iterator[tuple[int, bytes]]:
    """Link type and octets of each frame in a pcapng file of one section, little-endian."""
    data, at, types = capture.read_bytes(), 0, list[int]()
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 1:
            types.append(struct.unpack_from("<H", data, at + 8)[0])
        if kind == 6:
            interface, captured = struct.unpack_from("<I8xI", data, at + 8)
            yield types[interface], data[at + 28 : at + 28 + captured]
        at += size


def ours(capture: Path) -> tuple[dict[str, list[Value]], list[str]]:
    """The columns of our rows, None where absent; and the weirds."""
    with Capture(str(capture), Ledger()) as source:
        rows = np.concatenate([np.array(batch.rows) for batch in source.read()], dtype=PACKET.dtype)
    batch = Batch(PACKET, rows)
    show: dict[str, Callable[[bytes], str]] = {
        "hw_mac": lambda mac: mac.hex(":"),
        "hw_addr": lambda octets: str(IPv6Address(octets).ipv4_mapped or IPv6Address(octets)),
    }
    kinds = {column.name: column.ctype for column in PACKET.columns}
    found: dict[str, list[Value]] = {}
    for name in COLUMNS:
        shown = show.get(kinds[name])
        values = [shown(value.tobytes()) for value in rows[name]] if shown else rows[name].tolist()
        found[name] = [value if there else None for value, there in zip(values, batch.present(name).tolist(), strict=True)]
    return found, [WEIRDS[int(value)] for value in rows["weird"]]


def different(capture: Path, scratch: Path) -> tuple[Iterator[tuple[int, Packet]], Counter[str]]:
    """(number, packet) of each in which a column differs, and how often tshark had a value for a column once they are all taken."""
    rows, weirds = ours(capture)
    compared = Counter[str]()

    def packets() -> Iterator[tuple[int, Packet]]:
        at = 0
        for number, ((link_type, octets), shown) in enumerate(zip(frames(capture), tshark.dissect(capture, scratch), strict=True)):
            expected = Walk(shown).columns()
            compared.update(name for name, value in expected.items() if value is not None)
            differs = {name: (rows[name][at], expected.get(name)) for name in COLUMNS if rows[name][at] != expected.get(name)}
            weird = weirds[at]
            at += max(1, len(shown.get(SUBFRAME, [])))  # the first packet of an A-MSDU is compared, the others are counted
            if expected.get("payload_length") is None:
                differs.pop("payload_length", None)  # tshark has one for TCP and UDP alone
            if expected.get("ip_options") == UNKNOWN:
                differs.pop("ip_options", None)
            if differs:
                yield number, Packet(link_type, octets, shown, weird, differs)
        assert at == len(weirds)

    return packets(), compared


@pytest.fixture(scope="module")
def merge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("oracle") / "merge"
    subprocess.run(["cc", "-O2", str(Path(__file__).parent / "merge.c"), "-o", str(binary)], check=True, timeout=60)
    return binary


def test_rows_equal_tshark(merge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "merged.pcapng"
    places = merged(capture, merge)
    assert len(places) > 65_000
    causes, unexplained = Counter[str](), []
    packets, compared = different(capture, tmp_path)
    for number, packet in packets:
        cause = next((cause for cause, explains in EXPLAINED.items() if explains(packet)), "")
        causes[cause or "unexplained"] += 1
        if not cause:
            unexplained.append(f"{places[number]}: {packet.differs} {packet.layers} {packet.weird}")
    equal = 1 - sum(causes.values()) / len(places)
    with capsys.disabled():
        print(f"\n  {len(places):,} packets, {equal:.3%} equal in all columns")  # noqa: T201 - the table is the point
        for cause, count in causes.most_common():
            print(f"  {count:6,}  {cause}")  # noqa: T201
    assert not unexplained, "\n".join(unexplained[:20])
    assert equal >= 0.995
    assert set(EXPLAINED) == set(causes), "an explanation that explains nothing"
    assert set(compared) == set(COLUMNS), "a column that tshark never had a value for"


def pcapng(frames: list[tuple[int, bytes]]) -> bytes:
    """A capture with an interface for each frame."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    blocks = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    blocks += [block(1, struct.pack("<HHI", link_type, 0, 0)) for link_type, _ in frames]
    for number, (_, octets) in enumerate(frames):
        blocks.append(block(6, struct.pack("<IIIII", number, 0, 0, len(octets), len(octets)) + octets))
    return b"".join(blocks)


def test_what_the_corpora_lack(tmp_path: Path) -> None:
    capture = tmp_path / "made.pcapng"
    capture.write_bytes(pcapng([(made.link_type, made.frame) for made in MADE]))
    rows, weirds = ours(capture)
    named = {"tunnel": ENUMS["hw_tunnel"], "direction": ENUMS["hw_direction"]}
    wrong = []
    at = 0
    for made in MADE:
        number, at = at, at + made.packets
        gave = {name: rows[name][number] for name in made.gives if name != "weird"} | {"weird": weirds[number]}
        gave |= {name: names[int(gave[name] or 0)] if gave[name] else None for name, names in named.items() if name in gave}
        expected = {"weird": "none"} | made.gives
        wrong += [f"{made.name}: {name} is {gave[name]}, not {value}" for name, value in expected.items() if gave[name] != value]
    packets, _ = different(capture, tmp_path)
    differing = {number: f"{MADE[number].name}: {packet.differs} {packet.layers}" for number, packet in packets}
    wrong += [text for number, text in differing.items() if not MADE[number].but]
    wrong += [f"{made.name}: no other opinion" for number, made in enumerate(MADE) if made.but and number not in differing]
    assert not wrong, "\n".join(wrong)
