"""What servers do in each second, by a second way: slow, and with a flow model (flow_model.py) that is not that of the C code.

It knows no bound of servers, nothing of what is sent again, and no ICMP errors.
"""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

from flow_model import ACK, RST, SYN, TCP, UDP, Flow, Model, endpoints, is_of_a_flow

SECOND = 10**9
LATE = 10 * SECOND
WITHIN = {"100us": 10**5, "300us": 3 * 10**5, "1ms": 10**6, "3ms": 3 * 10**6, "10ms": 10**7, "30ms": 3 * 10**7}
WITHIN |= {"100ms": 10**8, "300ms": 3 * 10**8, "1s": SECOND, "3s": 3 * SECOND}


class Server(NamedTuple):
    """The port is 0 where there is none."""

    addr: bytes
    port: int
    proto: int


class Row(NamedTuple):
    """Columns that are 0 are not in `counts`."""

    ts: int
    server: Server
    counts: frozenset[tuple[str, int]]


class Watched:
    """A flow, and how far it is."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        addr, port = flow.ends[1]
        self.server = Server(addr, port if flow.proto in (TCP, UDP) else 0, flow.proto)
        self.counted: Counter[str] = Counter()
        self.begun = self.half_open = self.established = False
        self.syn = self.syn_ack = 0


class Servers:
    """Packets to rows of each second. A list of rows is one second, in no order."""

    def __init__(self) -> None:
        self.model = Model()
        self.watched: dict[int, Watched] = {}
        self.counts: defaultdict[Server, Counter[str]] = defaultdict(Counter)
        self.times: defaultdict[Server, list[int]] = defaultdict(list)
        self.second, self.newest = 0, 0

    def take(self, row: Any) -> list[list[Row]]:
        ts, told = int(row["ts"]), []
        second = ts // SECOND * SECOND
        if second > self.second or ts < self.second - LATE:
            told = self.tell()
            self.second = second
        numbers = {id(one.flow): one.flow.resp.first for one in self.watched.values()}
        self.model.take(row)
        there = {id(flow): flow for flow in self.model.flows.values()}
        for gone in [one for key, one in self.watched.items() if key not in there]:
            self.end(gone)
        if is_of_a_flow(row):
            key, sender, _ = endpoints(row)
            flow = self.model.flows[key]
            one = self.watched.setdefault(id(flow), Watched(flow))
            self.add(one, sender == flow.ends[0], row, numbers.get(id(flow), 0))
        return told

    def add(self, one: Watched, of_orig: bool, row: Any, number: int) -> None:
        """`number` is that of the responder's SYN until now."""
        self.turn(one)
        counts, side = self.counts[one.server], "orig" if of_orig else "resp"
        for name, count in ((f"{side}_pkts", 1), (f"{side}_ip_bytes", int(row["ip_length"]))):
            counts[name] += count
            one.counted[name] += count
        flags, ts = int(row["tcp_flags"]), int(row["ts"])
        if not one.begun:
            one.begun = True
            counts["begun"] += 1
            one.half_open = one.flow.proto == TCP and flags & (SYN | ACK | RST) == SYN
            one.syn = ts
        if one.flow.proto != TCP:
            if one.flow.orig.packets and one.flow.resp.packets and not one.established:
                one.established = True
                counts["established"] += 1
        elif one.half_open:
            self.shake_hands(one, of_orig, row, number)

    def turn(self, one: Watched) -> None:
        """What this second has counted of a flow whose server turns out to be the other end goes there, if the flow began in it."""
        server = Watched(one.flow).server
        if server == one.server:
            return
        if one.flow.first >= self.second and not one.half_open:
            self.counts[one.server].subtract(one.counted + Counter(begun=1))
            self.counts[server].update({name.replace("orig", "resp"): count for name, count in one.counted.items()}, begun=1)
        one.server = server

    def shake_hands(self, one: Watched, of_orig: bool, row: Any, number: int) -> None:
        counts, flags, ts = self.counts[one.server], int(row["tcp_flags"]), int(row["ts"])
        if not of_orig and flags & (SYN | ACK | RST) == SYN | ACK and not one.syn_ack:
            one.syn_ack = ts
        elif of_orig and flags & (SYN | ACK | RST) == ACK and one.syn_ack and 0 < (int(row["ack"]) - number) % 2**32 < 2**31:
            one.half_open, one.established = False, True
            counts["established"] += 1
            self.times[one.server].append(max(0, one.syn_ack - one.syn) + max(0, ts - one.syn_ack))
        elif "reset" in (one.flow.orig.state, one.flow.resp.state):
            one.half_open = False
            counts["failed"] += 1
            counts["refused"] += one.flow.resp.state == "reset"

    def end(self, one: Watched, *, stopped: bool = False) -> None:
        self.counts[one.server]["ended"] += 1
        self.counts[one.server]["failed"] += one.half_open and not stopped
        if not stopped:
            del self.watched[id(one.flow)]

    def tell(self) -> list[list[Row]]:
        """The second is over. What is half open is told of no second twice, and of the first one after 1970 never."""
        half_open = Counter(one.server for one in self.watched.values() if one.half_open)
        servers = {server for server, counts in self.counts.items() if +counts}
        if self.second > self.newest:
            self.newest = self.second
            servers |= set(half_open)
        rows = [self.row(server, half_open[server]) for server in servers]
        self.counts.clear()
        self.times.clear()
        return [rows] if rows else []

    def row(self, server: Server, half_open: int) -> Row:
        counts, times = self.counts[server], self.times[server]
        counts["half_open"] = half_open
        if times:
            counts |= {"handshakes": len(times), "handshake_min": min(times), "handshake_max": max(times)}
            counts["handshake_mean"] = sum(times) // len(times)
            counts.update({f"handshakes_{name}": sum(time <= most for time in times) for name, most in WITHIN.items()})
        return Row(self.second, server, frozenset((+counts).items()))

    def finish(self) -> list[list[Row]]:
        """No more packets come."""
        for one in self.watched.values():
            self.end(one, stopped=True)
        return self.tell()
