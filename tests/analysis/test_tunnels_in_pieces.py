"""What tunnels carry in datagrams that came in pieces: all of it is as if they had come in one, but for the frames."""

import struct
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conversations import ACK, SYN
from flowing import SECRET
from forge import timed
from frames import ethernet, ethertype, ip, pieces, tcp, udp

from headwater.analysis.flows import Flows, FlowSettings
from headwater.records import Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

A, B = "10.0.0.1", "10.0.0.2"
OUTER, OUTER6, SECOND = ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"), ("198.51.100.1", "198.51.100.2")
IDENTIFICATIONS = count()
FATES = ("in_flow", "no_flow", "fragments", "damaged", "sampled_out", "no_memory")
BODY = b"".join(b"line %d of the file\n" % number for number in range(1000))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
Tunnel = Callable[[bytes], bytes]
Told = dict[str, list[tuple[Any, ...]]]


def gre(packet: bytes, ends: tuple[str, str] = OUTER) -> bytes:
    return ip(struct.pack("!HH", 0, ethertype(packet)) + packet, 47, *ends)


def erspan(packet: bytes) -> bytes:
    return ip(struct.pack("!HHIII", 0x1000, 0x88BE, 1, 0x1000_0007, 0) + ethernet(packet, ethertype(packet)), 47, *OUTER)


def vxlan(packet: bytes, ends: tuple[str, str] = OUTER) -> bytes:
    return udp(*ends, 4789, 4789, struct.pack("!II", 8 << 24, 7 << 8) + ethernet(packet, ethertype(packet)))


def gre_in_vxlan(packet: bytes) -> bytes:
    return vxlan(gre(packet, SECOND))


def of_pieces(packet: bytes) -> bytes:
    """GRE over IPv6, of which the packet is a part in turn."""
    return gre(packet, OUTER6)


def conversation() -> list[bytes]:
    """A file by HTTP, in segments as large as offload makes them."""
    places, packets = [1000, 5000], []

    def say(side: int, flags: int, payload: bytes = b"") -> None:
        ends = (A, B, 40_000, 80) if not side else (B, A, 80, 40_000)
        packets.append(tcp(*ends, flags, payload=payload, seq=places[side], ack=places[1 - side] if flags & ACK else 0))
        places[side] += len(payload) + (flags & SYN) // SYN

    say(0, SYN)
    say(1, SYN | ACK)
    say(0, ACK, b"GET /file HTTP/1.1\r\nHost: there\r\n\r\n")
    for at in range(0, len(ANSWER), 6000):
        say(1, ACK, ANSWER[at : at + 6000])
        say(0, ACK)
    return packets


def cut(packet: bytes, size: int = 1480) -> list[bytes]:
    """Frames of its pieces; one, if it is small."""
    ends = range(size, len(packet) - (40 if packet[0] >> 4 == 6 else 20), size)
    return pieces(packet, *ends, identification=next(IDENTIFICATIONS)) if ends else [ethernet(packet, ethertype(packet))]


def frames(tunnel: Tunnel, arrange: Callable[[list[bytes]], list[bytes]]) -> list[tuple[int, bytes]]:
    """Those of the conversation with their times: pieces of one packet come at once."""
    return [(number * 10**6, frame) for number, packet in enumerate(conversation()) for frame in arrange(cut(tunnel(packet)))]


def told(made: Iterable[tuple[int, bytes]], path: Path) -> tuple[Told, Any]:
    """All rows of flows and messages, and what became of the packets' rows."""
    path.write_bytes(timed(made))
    into, given, found = Flows("made", FlowSettings(SECRET), messages=True), 0, dict[str, list[tuple[Any, ...]]]()
    batches: list[Batch] = []
    with Capture(str(path), Ledger(), payloads=True, carriers=True) as source:
        for some in source.read():
            given += len(some)
            batches += [batch.copy() for batch in into.find(some)]
    for batch in (*batches, *(batch.copy() for batch in into.end())):
        found.setdefault(batch.record.name, []).extend(tuple(map(str, row)) for row in batch.rows.tolist())
    counts = into.counts()
    assert sum(getattr(counts, fate) for fate in FATES) == given
    return {name: sorted(rows) for name, rows in found.items()}, counts


@pytest.mark.parametrize("tunnel", [gre, erspan, vxlan, gre_in_vxlan, of_pieces])
@pytest.mark.parametrize(
    "arrange", [list, lambda made: made[::-1], lambda made: made[1:] + made[:1]], ids=["in-order", "reversed", "first-last"]
)
def test_what_came_in_pieces_is_as_if_it_had_not(tunnel: Tunnel, arrange: Callable[[list[bytes]], list[bytes]], tmp_path: Path) -> None:
    in_pieces, counts = told(frames(tunnel, arrange), tmp_path / "pieces.pcap")
    whole = [(number * 10**6, ethernet(tunnel(packet), ethertype(tunnel(packet)))) for number, packet in enumerate(conversation())]
    expected, _ = told(whole, tmp_path / "whole.pcap")
    assert in_pieces == expected
    assert {"conn", "tunnel", "http", "files"} <= expected.keys()
    assert str(len(BODY)) in expected["files"][0]
    assert counts.fragments_waiting == counts.fragments_given_up == 0


def test_a_packet_in_pieces_within_pieces(tmp_path: Path) -> None:
    """The datagram that GRE carries has come in two, and each of these, with GRE around it, in two again."""
    packets = conversation()
    inner = [(number, frame[14:]) for number, packet in enumerate(packets) for frame in cut(packet, 4000)]
    made = [(number * 10**6, frame) for number, piece in inner for frame in cut(gre(piece), 2000)]
    whole = [(number * 10**6, ethernet(gre(packet), 0x0800)) for number, packet in enumerate(packets)]
    assert len(made) > len(inner) > len(packets)
    (found, counts), (expected, _) = told(made, tmp_path / "pieces.pcap"), told(whole, tmp_path / "whole.pcap")
    assert found == expected
    assert counts.fragments_waiting == counts.fragments_given_up == 0


def test_pieces_within_each_other_end(tmp_path: Path) -> None:
    """Each datagram becomes whole with the piece that the next one carries: of those in a row two are put together, and the rest waits."""
    packet = udp(A, B, 4000, 5000, bytes(2000))
    made, last = [], packet
    for number in range(40):
        *first, end = cut(gre(last, (f"203.0.113.{2 * number}", f"203.0.113.{2 * number + 1}")), 40 if number else 1480)
        made, last = [*made, *first], end[14:]
    _, counts = told(enumerate([*made, end]), tmp_path / "chain.pcap")
    assert counts.begun == 0
    assert counts.fragments_waiting > 30


def test_a_packet_whose_last_piece_is_lost_is_none(tmp_path: Path) -> None:
    """In Zeek, too: the gap is found by who acknowledges it."""
    made = frames(erspan, list)
    lost = next(at for at, (_, frame) in enumerate(made) if len(frame) > 1000) + 1
    found, counts = told(made[:lost] + made[lost + 1 :], tmp_path / "lost.pcap")
    (conn,) = found["conn"]
    assert counts.fragments_waiting > 0
    assert "6000" in conn
    assert "files" not in found
