"""A second judge of what is odd in flows, to hold bpf/flow_weird.h against, on top of flow_model.py. Names and meanings are Zeek's."""

from typing import Any

from flow_model import Endpoint, Flow, Model, Segment, Side


def signed(number: int) -> int:
    """The difference of two sequence numbers."""
    return (number + 2**31) % 2**32 - 2**31


class OddFlow(Flow):
    """A flow that notes what is odd in it. Without options: window scaling is not in it, nor are storms."""

    def __init__(self, row: Any, orig: Endpoint, resp: Endpoint, history: str) -> None:
        super().__init__(row, orig, resp, history)
        self.odd = set[str]()
        self.offers = dict.fromkeys(self.sides, (0, 0, 0))  # number, acknowledgement and window of its last good offer
        self.place = self.ahead = 0

    def note(self, name: str, when: bool = True) -> None:
        if when:
            self.odd.add(name)

    def add_tcp(self, side: Side, peer: Side, row: Segment) -> None:
        was_followed = not side.unfollowed
        if row.syn:
            self.judge_syn(side, peer, row)
        super().add_tcp(side, peer, row)
        if row.payload and not row.rst and self.place >= 0:
            self.note("truncated_tcp_payload", not row.is_whole)
            self.note("above_hole_data_without_any_acks", was_followed and side.unfollowed and side.nothing_acked())

    def judge_syn(self, side: Side, peer: Side, row: Segment) -> None:
        talks = side.state in ("partial", "established")
        self.note("SYN_inside_connection", talks and side.bytes(peer) > 0)
        self.note("SYN_seq_jump", side.state in ("syn", "syn-ack", "partial", "established") and row.number != side.first)
        self.note("TCP_christmas", row.rst)
        self.note("SYN_with_data", row.payload > 0)

    def write_flags(self, side: Side, row: Segment, place: int) -> None:
        super().write_flags(side, row, place)
        self.place = place
        self.note("TCP_seq_underflow_or_misorder", place < 0 and not row.rst)
        number, acked, window = self.offers[side]
        if row.syn or row.fin or row.rst or side.state in ("closed", "reset"):
            return
        if signed(row.number - number) >= 0 and signed(row.acked - acked) >= 0:
            self.note("window_recision", signed(row.acked + row.window - acked - window) < 0)
            self.offers[side] = row.number, row.acked, row.window

    def acknowledge(self, peer: Side, row: Segment) -> int:
        side = self.orig if peer is self.resp else self.resp
        if peer.state != "inactive":
            self.note("TCP_ack_underflow_or_misorder", peer.place(row.acked, peer.acked) < 0)
        elif not (row.syn or row.fin or row.rst or self.odd):
            self.note("possible_split_routing", side.state in ("syn", "syn-ack", "established"))
        return super().acknowledge(peer, row)

    def advance(self, side: Side, row: Segment) -> None:
        self.ahead = side.place(row.number + row.length, side.sent) - side.sent
        super().advance(side, row)

    def change_state(self, side: Side, peer: Side, row: Segment) -> bool:
        match side.state:
            case "inactive":
                self.judge_first(side, peer, row)
            case "syn" | "syn-ack":
                again = row.syn and row.acks and not row.fin and not row.rst
                self.note("repeated_SYN_with_ack", again and side is self.orig and side.state == "syn")
                self.note("inappropriate_FIN", row.fin and peer.state in ("inactive", "syn"))
                self.note("data_before_established", row.payload > 0 and not row.rst)
            case "partial":
                self.note("SYN_after_partial", row.syn and not row.acks and peer.state == "inactive")
            case "closed":
                self.note("SYN_after_close", row.syn)
                self.note("FIN_advanced_last_seq", row.fin and self.ahead > 0)
            case "reset":
                self.note("SYN_after_reset", row.syn)
                self.note("FIN_after_reset", row.fin)
                self.note("data_after_reset", row.payload > 0 and not row.rst)
        return super().change_state(side, peer, row)

    def judge_first(self, side: Side, peer: Side, row: Segment) -> None:
        if row.syn and side is self.orig:
            self.note("connection_originator_SYN_ack", row.acks)
        elif row.syn:
            if peer.state == "inactive":
                self.note("unsolicited_SYN_response")
            elif row.acks and peer.state != "partial":
                self.note("bad_SYN_ack", (row.acked - peer.first) % 2**32 > peer.sent % 2**32)
            self.note("simultaneous_open", not row.acks and not (peer.state == "syn-ack" and row.number == side.first))
        self.note("spontaneous_FIN", row.fin and not row.syn and peer.state != "partial")
        self.note("spontaneous_RST", row.rst and peer.state == "inactive")

    def is_another(self, row: Any) -> bool:
        if not super().is_another(row):
            return False
        if not (self.orig.closed and self.resp.closed):
            side = self.resp if Segment(row).acks else self.orig
            self.note("SYN_seq_jump" if side.state == "syn" else "active_connection_reuse")
        elif "reset" not in (self.orig.state, self.resp.state) and int(row["ts"]) - self.last < 5 * 10**9:
            self.note("premature_connection_reuse")
        return True


class OddModel(Model):
    """Packets to flows, all of which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.every: list[OddFlow] = []

    def begin(self, row: Any, orig: Endpoint, resp: Endpoint, history: str) -> Flow:
        self.every.append(OddFlow(row, orig, resp, history))
        return self.every[-1]
