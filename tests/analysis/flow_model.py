"""A second state machine for flows, to hold the one in C (bpf/flow.h) against: slow, and obvious where that is fast.

It knows what the columns of conn.log mean (https://docs.zeek.org, conn/main.zeek and init-bare.zeek), and keeps each octet of a stream by
its place. It knows no bounds: how many blocks, letters and flows there is room for is C's affair. Datagrams in pieces, what carries what,
and the names of flows are not in it.
"""

import re
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from headwater.records import ENUMS
from headwater.records.layouts import HAS

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
LONGER = next(weird for weird, name in ENUMS["hw_weird"].items() if name == "truncated_IP_len")
SECOND = 10**9
MEGABYTE = 1 << 20
SERVERS = {  # likely_server_ports
    TCP: "21 22 25 53 80 81 88 110 135 139 143 389 443 445 502 563 585 587 614 631 636 989 990 992 993 995 1080 1434 1883 2811 3128 3268 "
    "3306 3389 5222 5223 5269 5432 6379 6666 6667 6668 6669 8000 8080 8888 20000",
    UDP: "53 67 88 123 137 161 162 389 443 514 1812 2123 2152 3268 3389 3544 4789 5060 5072 5353 5355 6081 20000",
}
ASKS = {ICMP: {8: 0, 10: 9, 13: 14, 15: 16, 17: 18}, ICMP6: {128: 129, 130: 131, 133: 134, 135: 136, 139: 140, 144: 145, 146: 147}}
PAIRS = {proto: pairs | {answer: ask for ask, answer in pairs.items()} for proto, pairs in ASKS.items()}
EVERYBODY = bytes(10) + b"\xff" * 6

Endpoint = tuple[bytes, int]


class Conn(NamedTuple):
    """What a flow's row is to say. `duration` is 0 where only one moment is known."""

    ts: int
    orig: Endpoint
    resp: Endpoint
    proto: int
    duration: int
    bytes: tuple[int, int]
    packets: tuple[int, int]
    ip_bytes: tuple[int, int]
    missed_bytes: int
    state: str
    history: str


class Segment:
    """A TCP packet. It takes `length` numbers of its stream."""

    def __init__(self, row: Any) -> None:
        self.ts, flags = int(row["ts"]), int(row["tcp_flags"])
        self.syn, self.fin, self.rst, self.acks = (bool(flags & bit) for bit in (SYN, FIN, RST, ACK))
        self.number, self.acked, self.payload, self.window = (int(row[name]) for name in ("seq", "ack", "payload_length", "window"))
        self.length = (0 if self.rst else self.payload) + self.syn + self.fin
        self.is_whole = bool(row["captured"] >= row["length"] and row["weird"] != LONGER)


class Side:
    """What one endpoint has sent. Places in its stream count from its SYN, which is 0, so that the first octet is 1."""

    def __init__(self) -> None:
        self.packets = self.ip_bytes = self.payload = 0
        self.state = self.before = "inactive"
        self.spoke = self.closed = self.is_complete = self.unfollowed = False
        self.first = 0  # the sequence number of place 0
        self.sent = self.acked = 0  # the places behind what was sent, and behind what the other side says has come
        self.fin: int | None = None  # the place behind its FIN
        self.kept = set[int]()  # places of octets that came and are not acknowledged
        self.whole = self.trimmed = 1  # nothing is missing before the one, and nothing kept before the other
        self.missed = 0
        self.last: dict[str, int] = {}  # the place where a letter was last deserved
        self.times = Counter[str]()  # how often one was

    def place(self, number: int, near: int) -> int:
        """Where that sequence number lies, of the places that have it the nearest to `near`."""
        away = (number - self.first - near) % 2**32
        return near + away - (2**32 if away >= 2**31 else 0)

    def begin(self, number: int, sent: int) -> None:
        self.first, self.acked, self.sent = number % 2**32, 0, sent

    def nothing_acked(self) -> bool:
        return self.acked in (0, 1)

    def bytes(self, peer: "Side") -> int:
        """Octets that the numbers tell of, SYN and FIN left out."""
        half_open = (self.before, self.state, peer.state) == ("syn", "reset", "inactive") and not self.nothing_acked()
        return 0 if half_open else max(0, max(self.sent, self.acked) - 1 - (self.fin is not None))

    def is_clean(self) -> bool:
        return self.state == "established" or (self.state, self.before) == ("closed", "established")

    def come(self, begin: int, end: int, peer: "Side") -> None:
        """These octets were seen."""
        new = range(max(begin, self.acked, self.trimmed), end)
        if self.unfollowed or not new:
            return
        before = self.whole
        self.kept.update(new)
        self.advance()
        if self.whole > before and self.nothing_acked() and self.bytes(peer) > 16384:
            self.trim(self.whole)  # its acknowledgements go another way: do not wait for them
        ahead = max(self.kept, default=0) + 1 - self.whole
        if ahead >= 2**31 or (self.nothing_acked() and ahead > 16384) or len(self.kept) > 10 * MEGABYTE:
            self.kept.clear()
            self.unfollowed = True

    def advance(self) -> None:
        while self.whole in self.kept:
            self.whole += 1

    def trim(self, place: int) -> None:
        self.trimmed = place
        self.kept = {octet for octet in self.kept if octet >= place}

    def gaps(self, place: int) -> list[int]:
        """Lengths of what will never come: the other side has all before `place`."""
        there = sorted(octet for octet in self.kept if self.whole <= octet < place)
        return [after - octet - 1 for octet, after in pairwise([self.whole - 1, *there, place]) if after - octet > 1]


class Flow:
    """What two endpoints say to each other."""

    def __init__(self, row: Any, orig: Endpoint, resp: Endpoint, history: str) -> None:
        self.ends, self.history = (orig, resp), history
        self.sides = self.orig, self.resp = Side(), Side()
        self.proto = int(row["proto"])
        self.first = self.last = int(row["ts"])
        self.due = 0
        self.partial = self.deferred = self.handshaken = self.aborted = False
        self.attempt: int | None = None
        self.half: int | None = None
        self.ended: int | None = None

    def enter(self, side: Side, state: str) -> None:
        if state != side.state:
            side.before, side.state = side.state, state
            self.handshaken |= state not in ("syn", "syn-ack")

    # -- history -----------------------------------------------------------------------------------------------------------------

    def write(self, side: Side, letter: str) -> None:
        self.history += letter if side is self.orig else letter.lower()

    def write_at(self, side: Side, letter: str, place: int) -> None:
        """Again only where it says something new. What SYN-ACKs say SYNs have said."""
        family = "S" if letter == "H" else letter
        if side.last.get(family) != place % 2**32:
            self.write(side, letter)
        side.last[family] = place % 2**32

    def write_once(self, side: Side, letter: str) -> None:
        self.write_at(side, letter, 0)

    def write_scaled(self, side: Side, letter: str) -> None:
        """The first time, the tenth, the hundredth ..."""
        side.times[letter] += 1
        if re.fullmatch("10*", str(side.times[letter])):
            self.write(side, letter)

    def write_flags(self, side: Side, row: Segment, place: int) -> None:
        if row.syn + row.fin + row.rst > 1:
            self.write_once(side, "I" if row.fin and row.rst else "Q")
        elif row.syn:
            self.write_at(side, "H" if row.acks else "S", place)
        elif row.fin or row.rst:
            self.write_at(side, "F" if row.fin else "R", place + (row.payload if row.fin else 0))
        elif row.payload or row.acks:
            self.write_once(side, "D" if row.payload else "A")

    # -- a packet ----------------------------------------------------------------------------------------------------------------

    def add(self, side: Side, row: Any) -> None:
        side.packets += 1
        side.ip_bytes += int(row["ip_length"])
        if self.proto == TCP:
            return self.add_tcp(side, self.resp if side is self.orig else self.orig, Segment(row))
        self.last = int(row["ts"])
        side.state = "established"
        if self.proto == UDP:
            self.write_once(side, "D")
        if self.proto in (UDP, ICMP, ICMP6):
            side.payload += int(row["payload_length"])
        return None

    def turn(self) -> None:
        """The other side has begun. Who is said to have sent a SYN is not turned, but its place is."""
        self.ends, self.partial = self.ends[::-1], False
        self.sides = self.orig, self.resp = self.resp, self.orig
        were = "S" in self.resp.last, "S" in self.orig.last
        for side, has in zip(self.sides, were, strict=True):
            place = side.last.pop("S", 0)
            if has:
                side.last["S"] = place

    def add_tcp(self, side: Side, peer: Side, row: Segment) -> None:
        if self.history == "H" and self.ends[0] != self.ends[1] and not (row.syn or row.fin or row.rst) and (row.acks or row.payload):
            self.turn()
            self.history = "^h"
        if not side.spoke:
            self.partial = not row.syn or (row.acks if side is self.orig else self.partial)
        self.begin_side(side, row)
        place = side.place(row.number, side.sent)
        self.write_flags(side, row, place)
        if not row.window and not row.rst and peer.state != "closed" and side.state != "reset":
            self.write_scaled(side, "W")
        if not (side.closed and peer.closed):
            self.last = row.ts
        if row.fin:
            side.fin = place + row.length
        acked = self.acknowledge(peer, row) if row.acks else 0
        self.advance(side, row)
        closes = self.change_state(side, peer, row)
        if row.acks:
            self.settle(peer, side, acked)
        side.spoke = True
        if not row.rst and place >= 0 and row.is_whole:
            side.come(place + row.syn, place + row.syn + row.payload, peer)
        self.complete(side, peer)
        if closes:
            self.close(side, peer)

    def begin_side(self, side: Side, row: Segment) -> None:
        """A stream begins with its SYN, or as if there had been one; a later SYN corrects that, unless it is old or the stream is over."""
        if not row.syn:
            if side.state == "inactive":
                side.begin(row.number - 1, 1)
            return
        is_over = side.state == "closed" or (side.state == "reset" and side.before != "inactive")
        is_old = side.state in ("syn", "syn-ack") and row.number == side.first
        if not is_over and not is_old:
            side.begin(row.number, row.length)

    def acknowledge(self, peer: Side, row: Segment) -> int:
        if peer.state == "inactive":
            peer.begin(row.acked - 1, 0)
            return 1
        acked = max(0, peer.place(row.acked, peer.acked))
        if not row.rst and not (row.acked == 0 and acked - peer.acked > MEGABYTE):
            peer.acked = max(peer.acked, acked)
        return acked

    def advance(self, side: Side, row: Segment) -> None:
        ahead = side.place(row.number + row.length, side.sent) - side.sent
        if (row.syn or row.rst) and abs(ahead) > MEGABYTE:
            return  # not believed
        if row.fin and side.sent == 1:
            side.sent += ahead % 2**32  # of all that was said only the ends were seen: that may be much
        elif side.state != "reset" and ahead > 0:
            side.sent += ahead
        elif side.state != "reset" and row.payload:
            self.write_scaled(side, "T")

    def change_state(self, side: Side, peer: Side, row: Segment) -> bool:
        """Returns whether that ends what the side says."""
        was, talks = side.state, side.state in ("partial", "established")
        if was in ("closed", "reset"):
            if was == "reset" or not row.rst or peer.state == "closed":
                return False
            self.enter(side, "reset")
            return not side.closed
        if row.syn and was == "inactive":
            self.open(side, peer, row)
        if row.syn and not row.acks and was == "partial" and peer.state == "inactive":
            self.enter(side, "syn")
        if row.fin and not (row.rst and talks):
            self.enter(side, "closed")
            if talks and (peer.state, peer.before) == ("reset", "closed"):
                self.enter(peer, "closed")  # its RST came after its FIN: a usual end
        if row.rst:
            self.enter(side, "reset")
            self.aborted |= was != "inactive" and not (talks and (peer.state, peer.before) == ("reset", "established"))
        acks_a_syn = side is self.resp and not row.payload and peer.state == "syn"  # some do before they answer it
        if side.state == "inactive" and not acks_a_syn:
            answers = row.acks and peer.state == "established"  # only its SYN is missing
            self.partial &= not answers
            self.enter(side, "established" if answers else "partial")
        return row.fin or row.rst

    def open(self, side: Side, peer: Side, row: Segment) -> None:
        if side is self.orig:
            self.enter(side, "syn-ack" if row.acks else "syn")
            self.attempt = row.ts
            return
        if not row.acks and peer.state == "syn-ack" and row.number == side.first:  # its SYN, read from another interface, and later
            self.turn()
            self.history += "^"
            self.enter(peer, "established")
        if peer.state == "syn":
            self.enter(peer, "established")
        self.enter(side, "established")

    # -- what is missing, and the end --------------------------------------------------------------------------------------------

    def settle(self, side: Side, peer: Side, place: int) -> None:
        """The other side has all before that place."""
        if side.fin is not None and place >= side.fin:
            place = side.fin - 1
        if place <= side.trimmed:
            return
        if place > 2 or not self.partial:  # else where the stream began was guessed, and a keep-alive is one octet before it
            for gap in [] if side.unfollowed else side.gaps(place):
                if side.is_clean() and peer.is_clean():
                    side.missed += gap
                    self.write_scaled(side, "G")
            side.whole = max(side.whole, place)
            side.advance()
        side.trim(place)
        self.complete(side, peer)

    def is_pending(self, side: Side, peer: Side) -> bool:
        """Whether octets may yet come: its own, or, unless it was reset, those that it has not acknowledged."""
        if side.unfollowed or side.sent < side.whole:
            return False
        return side.sent - side.whole > 1 or (side.state != "reset" and bool(peer.kept))

    def complete(self, side: Side, peer: Side) -> None:
        is_over = side.fin is not None or side.state in ("closed", "reset")
        if is_over and not side.is_complete and not self.is_pending(side, peer):
            side.is_complete = True
            if self.deferred:
                self.close(side, peer)

    def close(self, side: Side, peer: Side) -> None:
        self.deferred = self.is_pending(side, peer)
        if self.deferred or side.closed:
            return
        side.closed = True
        if side.state == "reset" or peer.closed or peer.state == "inactive":
            self.ended = self.last
        elif side.before != "inactive":
            self.half = self.last

    def is_another(self, row: Any) -> bool:
        """Whether a packet between the same endpoints begins another flow."""
        if self.proto != TCP or not (segment := Segment(row)).syn or (segment.acks and self.orig.state != "inactive"):
            return False
        late = not segment.acks and (self.orig.state, self.resp.state) == ("syn-ack", "inactive") and segment.number == self.resp.first
        return (self.orig.closed and self.resp.closed) or (not late and segment.number != (self.resp if segment.acks else self.orig).first)

    def deadline(self) -> int:
        """When it is over if nobody says anything more."""
        if self.proto != TCP:
            over = [self.last + 60 * SECOND]
            if self.proto == UDP and self.ends[1][1] in (53, 137, 5353, 5355):  # names are asked for
                over.append(self.look(self.first + 10 * SECOND, 10 * SECOND, 9 * SECOND))
            return min(over)
        over = [self.last + (300 if self.handshaken else 60) * SECOND]
        if self.ended is not None:
            over.append(self.ended + 5 * SECOND)
        if self.ended is not None or self.aborted:
            return min(over)
        if self.attempt is not None and self.orig.state in ("syn", "syn-ack") and self.resp.state == "inactive":
            over.append(self.attempt + 5 * SECOND)
        closed = self.orig.closed + self.resp.closed
        if closed == 2 or (closed and {self.orig.state, self.resp.state} & {"reset", "inactive"}):
            over.append(self.look(self.first + 5 * SECOND, 6 * SECOND, 5 * SECOND))
            if self.half is not None:
                over.append(self.look(self.half + 6 * SECOND, 6 * SECOND, 5 * SECOND))
        return min(over)

    def look(self, at: int, again: int, calm: int) -> int:
        """The first of regular looks that finds it calm for longer than that."""
        while at <= self.last + calm:
            at += again
        return at

    # -- the row -----------------------------------------------------------------------------------------------------------------

    def conn(self) -> Conn:
        o, r = self.sides
        counted = (o.bytes(r), r.bytes(o)) if self.proto == TCP else (o.payload, r.payload)
        packets, ip_bytes = (o.packets, r.packets), (o.ip_bytes, r.ip_bytes)
        lasted, missed, state = max(0, self.last - self.first), o.missed + r.missed, self.state(sum(counted))
        return Conn(self.first, *self.ends, self.proto, lasted, counted, packets, ip_bytes, missed, state, self.history)

    def state(self, octets: int) -> str:
        o, r = self.orig.state, self.resp.state
        if self.proto == UDP:
            return {("established", "established"): "SF", ("established", "inactive"): "S0"}.get((o, r), "SHR")
        if self.proto != TCP:
            return "OTH"
        if (o, r) == ("syn", "inactive"):
            return "S0"
        o, r = ("none" if state in ("inactive", "partial") else state for state in (o, r))
        if r == "reset":
            refused = o in ("syn", "syn-ack") or (o == "reset" and not octets)
            return "REJ" if refused else "RSTRH" if o == "none" else "RSTR"
        if o == "reset":
            gave_up = re.match(r"\^?S[^HAFGIQ]*R", self.history)
            return "RSTO" if r != "none" else "RSTOS0" if gave_up else "OTH"
        both = {("closed", "closed"): "SF", ("closed", "none"): "SH", ("none", "closed"): "SHR", ("established", "established"): "S1"}
        return both.get((o, r)) or ("S2" if o == "closed" else "S3" if r == "closed" else "OTH")


class Model:
    """Packets to flows."""

    def __init__(self) -> None:
        self.flows: dict[object, Flow] = {}

    def take(self, row: Any) -> list[Conn]:
        """A row of PACKET. Returns what has ended before it."""
        over = [key for key, flow in self.flows.items() if flow.due <= row["ts"]]
        ended = [self.flows.pop(key).conn() for key in over]
        if not is_of_a_flow(row):
            return ended
        key, sender, receiver = endpoints(row)
        if key in self.flows and self.flows[key].is_another(row):
            ended.append(self.flows.pop(key).conn())
        if key not in self.flows:
            answers = sender != receiver and begins_with_answer(row)
            ends = (receiver, sender) if answers else (sender, receiver)
            self.flows[key] = self.begin(row, *ends, "^" if answers else "")
        flow = self.flows[key]
        flow.add(flow.sides[sender != flow.ends[0]], row)
        flow.due = flow.deadline()
        return ended

    def begin(self, row: Any, orig: Endpoint, resp: Endpoint, history: str) -> Flow:
        return Flow(row, orig, resp, history)

    def end(self) -> list[Conn]:
        ended = [flow.conn() for flow in self.flows.values()]
        self.flows.clear()
        return ended


def is_of_a_flow(row: Any) -> bool:
    """Whether there is enough of the packet's headers, and it is not a tunnel whose inside could not be read."""
    has, proto = int(row["has"]), int(row["proto"])
    only_carries = not row["segments"] and not has & HAS["ports"]
    if not has & HAS["ip"] or only_carries or proto in (4, 41, 47, 50, 59, 135):
        return False
    longest = row["length"] - (14 if has & HAS["l2"] else 0)
    if row["weird"] == LONGER and (row["tunnel_depth"] or row["ip_length"] > longest):
        return False  # it was not even on the wire as long as that
    needed = {TCP: HAS["tcp"] | HAS["payload"], UDP: HAS["payload"], ICMP: HAS["payload"], ICMP6: HAS["payload"]}.get(proto, 0)
    return has & needed == needed


def endpoints(row: Any) -> tuple[object, Endpoint, Endpoint]:
    """What all packets of the flow have in common, the sender and the receiver. Of ICMP, ports are the type, and the type that answers."""
    proto, src, dst, kind = int(row["proto"]), bytes(row["src"]), bytes(row["dst"]), int(row["icmp_type"])
    if proto in PAIRS and kind not in PAIRS[proto]:
        sender, receiver = (src, kind), (dst, int(row["icmp_code"]))
        return (proto, sender, receiver), sender, receiver
    sport, dport = (int(row["sport"]), int(row["dport"])) if proto in (TCP, UDP) and row["has"] & HAS["ports"] else (0, 0)
    sender, receiver = ((src, kind), (dst, PAIRS[proto][kind])) if proto in PAIRS else ((src, sport), (dst, dport))
    return (proto, *sorted((sender, receiver))), sender, receiver


def begins_with_answer(row: Any) -> bool:
    """Whether the first packet is of who was asked, by its port."""
    proto, flags, sport, dport = (int(row[name]) for name in ("proto", "tcp_flags", "sport", "dport"))
    if proto not in SERVERS or bytes(row["dst"]) == EVERYBODY:
        return False
    likely, both = str(sport) in SERVERS[proto].split(), str(dport) in SERVERS[proto].split()
    if proto == TCP and flags & SYN:
        return bool(flags & ACK) and likely and not both
    return likely and (not both or (proto == TCP and sport < dport))
