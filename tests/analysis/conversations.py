"""Packets that two endpoints could send each other, rightly or wrongly, as rows of PACKET: made step by step, or by hypothesis."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from headwater.records import PACKET
from headwater.records.layouts import HAS

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
SECOND = 10**9
START = 1_750_000_000 * SECOND
LAYERS = {TCP: ("ports", "tcp"), UDP: ("ports",), ICMP: ("icmp",), ICMP6: ("icmp",)}
HEADERS = {TCP: 20, UDP: 8, ICMP: 8, ICMP6: 8}
KINDS = (  # of steps of TCP, beside "wild"
    *("syn", "syn-ack", "other-syn", "ack", "ack", "data", "data", "data", "lost", "old", "half", "ahead", "again", "alive"),
    *("ack-ahead", "ack-behind", "no-ack", "zero", "cut", "fin", "fin", "rst", "rst-ack", "rst-far", "rst-bare"),
)
OFFSETS = (0, 0, 1, -1, 2, -100, 100, 2**20, 2**20 + 1, -(2**20) - 1, 2**30, -(2**30), 2**31 - 1, -(2**31), 0, 0)  # of wild numbers
NUMBERS = (0, 1, 1000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 50, 4_000_000_000)  # where streams begin
SIZES = (1, 2, 3, 10, 100, 1460, 5000, 17_000)
PAUSES = (1, 5, 6, 9, 10, 11, 59, 60, 61, 299, 300, 301)
LATER = (*[10**6] * 20, 0, 1, SECOND // 10, *(pause * SECOND for pause in PAUSES), 5 * SECOND + 1, -1, -SECOND, -10 * SECOND)
PORTS = ((40_000, 50_000), (40_000, 80), (80, 40_000), (53, 53), (80, 443), (40_000, 53), (5353, 5353), (137, 137))


def mapped(address: str) -> bytes:
    """As rows have it."""
    packed = ip_address(address).packed
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


class Packet(NamedTuple):
    """One, in one piece. Of ICMP, sport is the type, and dport the code."""

    ts: int
    src: str
    dst: str
    proto: int
    sport: int = 0
    dport: int = 0
    payload: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 512
    cut: bool = False  # not all of it was captured


def rows(packets: Sequence[Packet]) -> np.ndarray[Any, np.dtype[Any]]:
    """As the parser would tell of them."""
    made = np.zeros(len(packets), PACKET.dtype)
    for row, packet in zip(made, packets, strict=True):
        six = ":" in packet.src
        layers = ("addr", "ip", "payload", "ipv6" if six else "ipv4", *LAYERS.get(packet.proto, ()))
        row["has"] = sum(HAS[layer] for layer in layers)
        row["ip_version"] = 6 if six else 4
        row["ip_length"] = (40 if six else 20) + HEADERS.get(packet.proto, 0) + packet.payload
        row["length"] = row["captured"] = row["ip_length"] + 14
        row["captured"] -= packet.cut
        row["segments"] = 1
        row["ts"], row["proto"], row["payload_length"] = packet.ts, packet.proto, packet.payload
        row["src"], row["dst"] = mapped(packet.src), mapped(packet.dst)
        if "ports" in layers:
            row["sport"], row["dport"] = packet.sport, packet.dport
        if "icmp" in layers:
            row["icmp_type"], row["icmp_code"] = packet.sport, packet.dport
        if "tcp" in layers:
            row["tcp_flags"], row["window"] = packet.flags, packet.window
            row["seq"], row["ack"] = packet.seq % 2**32, packet.ack % 2**32
    return made


class Step(NamedTuple):
    """What `side` does, `later` nanoseconds after what was before; `size` says how much, in whatever way that makes sense."""

    side: int
    kind: str
    size: int = 1
    later: int = 10**6


class Tcp:
    """Two TCPs. Each knows its next number, and takes the other's for what it has received."""

    def __init__(self, ends: Sequence[tuple[str, int]], first: Sequence[int], ts: int = START) -> None:
        self.ends, self.first, self.next, self.ts = list(ends), list(first), list(first), ts
        self.before: Packet | None = None

    def packets(self, steps: Sequence[Step]) -> list[Packet]:
        return [packet for step in steps for packet in self.act(step)]

    def act(self, step: Step) -> Iterator[Packet]:
        self.ts += step.later
        side, size, kind = step.side, step.size, step.kind
        if kind == "lost":
            self.next[side] += size
        elif kind == "again":
            if self.before:
                yield self.before._replace(ts=self.ts)
        else:
            flags, seq, ack, payload = self.numbers(side, kind, size)
            if kind not in ("ahead", "alive", "wild") and not flags & RST:
                self.next[side] = seq + payload + bool(flags & SYN) + bool(flags & FIN)
            (src, sport), (dst, dport) = self.ends[side], self.ends[1 - side]
            window = 0 if kind == "zero" else 512
            self.before = Packet(self.ts, src, dst, TCP, sport, dport, payload, flags, seq, ack, window, kind == "cut")
            yield self.before

    def numbers(self, side: int, kind: str, size: int) -> tuple[int, int, int, int]:
        """Flags, sequence number, acknowledgement and octets of payload."""
        seq, ack, first = self.next[side], self.next[1 - side], self.first[side]
        match kind:
            case "syn" | "syn-ack":
                return SYN | (ACK if kind == "syn-ack" else 0), first, ack, 0
            case "other-syn":
                self.first[side] += 2**16 + size
                return SYN | (ACK if side else 0), self.first[side], ack, 0
            case "data" | "cut" | "no-ack":
                return PSH if kind == "no-ack" else PSH | ACK, seq, ack, size
            case "old" | "half" | "ahead":
                return ACK, seq + {"old": -size, "half": -size // 2, "ahead": size}[kind], ack, size
            case "alive":
                return ACK, seq - 1, ack, size & 1
            case "ack-ahead" | "ack-behind":
                return ACK, seq, ack + (size if kind == "ack-ahead" else -size), 0
            case "fin":
                return FIN | ACK, seq, ack, size & 3
            case "rst" | "rst-ack" | "rst-far":
                return RST | (ACK if kind == "rst-ack" else 0), seq + (2**21 if kind == "rst-far" else 0), ack, 0
            case "rst-bare":
                return RST | ACK, 0, 0, 0
            case "wild":
                return size & 31, seq + OFFSETS[size >> 12 & 15], ack + OFFSETS[size >> 16 & 15], size >> 8 & 15
        return ACK, seq, ack, 0


# -- by chance -----------------------------------------------------------------------------------------------------------------

SIDES = st.integers(0, 1)
STEPS = st.builds(Step, SIDES, st.sampled_from(KINDS), st.sampled_from(SIZES), st.sampled_from(LATER)) | st.builds(
    Step, SIDES, st.just("wild"), st.integers(0, 2**20 - 1), st.sampled_from(LATER)
)
HANDSHAKE = (Step(0, "syn"), Step(1, "syn-ack"), Step(0, "ack"))
PARTINGS = tuple((Step(side, "fin"), Step(1 - side, "ack"), Step(1 - side, "fin"), Step(side, "ack")) for side in (0, 1))


@st.composite
def hosts(draw: st.DrawFn) -> list[tuple[str, int]]:
    sport, dport = draw(st.sampled_from(PORTS))
    src, dst = draw(st.sampled_from([("10.0.0.1", "10.0.0.2"), ("192.0.2.9", "10.0.0.1"), ("2001:db8::1", "2001:db8::2")]))
    return [(src, sport), (dst, dport)]


@st.composite
def tcp(draw: st.DrawFn) -> list[Packet]:
    """Most have some of a handshake and of an orderly end, and some packets come too late."""
    begin, end = draw(st.sampled_from([HANDSHAKE, HANDSHAKE, HANDSHAKE[:2], HANDSHAKE[:1], ()])), draw(st.sampled_from([*PARTINGS, ()]))
    steps = [*begin, *draw(st.lists(STEPS, max_size=12)), *end, *draw(st.lists(STEPS, max_size=2))]
    made = Tcp(draw(hosts()), draw(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)))).packets(steps)
    for at in draw(st.lists(st.integers(0, len(made)), max_size=2)):
        made[at : at + 3] = made[at + 1 : at + 3] + made[at : at + 1]
    return made


@st.composite
def datagrams(draw: st.DrawFn) -> list[Packet]:
    """UDP, ICMP, and what is neither."""
    ends, made, ts = draw(hosts()), [], START
    proto = draw(st.sampled_from([UDP, UDP, UDP, ICMP6 if ":" in ends[0][0] else ICMP, 132]))
    for side, payload, later, kind in draw(
        st.lists(st.tuples(SIDES, st.integers(0, 1472), st.sampled_from(LATER), st.sampled_from((0, 3, 8, 128, 129, 135, 200))), max_size=8)
    ):
        ts += later
        (src, sport), (dst, dport) = ends[side], ends[1 - side]
        sport, dport = (kind, payload & 1) if proto in (ICMP, ICMP6) else (sport, dport)
        made.append(Packet(ts, src, dst, proto, sport, dport, payload))
    return made


@st.composite
def traffic(draw: st.DrawFn) -> list[Packet]:
    """Several conversations, perhaps of the same endpoints, one after the other or mixed."""
    made = [packet for part in draw(st.lists(tcp() | datagrams(), min_size=1, max_size=3)) for packet in part]
    return sorted(made, key=lambda packet: packet.ts) if draw(st.booleans()) else made
