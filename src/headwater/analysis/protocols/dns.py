"""DNS: RFC 1035; over TCP too (4.2.2), and what speaks as it does: mDNS (RFC 6762), LLMNR (RFC 4795), NetBIOS names (RFC 1002).

What is told of a transaction, and which weirds there are, is Zeek's: src/analyzer/protocol/dns/DNS.cc and
scripts/base/protocols/dns/main.zeek.
"""

from collections import deque
from typing import Final

from headwater.analysis.protocols.dns_names import CLASSES, ERRORS, LOGGED, NETBIOS_OPCODES, OPCODES, TYPES, UPDATE, netbios, type_name
from headwater.analysis.protocols.dns_records import ANSWERS, Message
from headwater.analysis.stream import Parser, Protocol, Stream
from headwater.analysis.wire import Malformed
from headwater.records.messages import message

DNS = message("dns", {"latency": "interval"})
_MOST_QUESTIONS: Final = 25  # of what is DNS: Zeek's dns_max_queries
_MOST_IDS: Final = 50  # that wait in a flow, as Zeek's max_pending_query_ids
_MOST_WAITING: Final = 50  # of one id, as Zeek's max_pending_msgs

_AA, _TC, _RD, _RA = 0x0400, 0x0200, 0x0100, 0x0080
_PORTS: Final = frozenset({53, 137, 5353, 5355})
_NETBIOS: Final = 137


class Transaction:
    """A query and its answer, as far as they have come."""

    __slots__ = (
        "aa", "answers", "asked", "flags", "latency", "qclass", "qtype", "query", "ra", "rcode", "rd", "rejected", "replied", "rtt", "tc",
        "trans_id", "ts", "ttls", "z",
    )  # fmt: skip

    def __init__(self, ts: int, trans_id: int, flags: int) -> None:
        self.ts, self.trans_id, self.flags = ts, trans_id, flags
        self.query: str | None = None
        self.qclass: int | None = None
        self.qtype: int | None = None
        self.rcode: int | None = None
        self.rtt: float | None = None  # as Zeek has it: of answers with records alone
        self.latency: float | None = None
        self.aa = self.tc = self.rd = self.ra = self.rejected = self.asked = self.replied = False
        self.z = 0
        self.answers: list[str] | None = None
        self.ttls: list[float] | None = None


class Dns(Protocol):
    """The transactions of one flow."""

    service = "dns"
    transports = frozenset({"udp", "tcp"})
    decides = 288
    whole = True
    records = (DNS,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._netbios = stream.resp_port == _NETBIOS
        self._waiting: tuple[dict[int, deque[Transaction]], ...] = {}, {}  # queries, and answers that came before theirs

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """On its own ports, any message; elsewhere one whose header makes sense and whose first question can be read."""
        at = 2 if stream.proto == "tcp" else 0
        at_home = stream.resp_port in _PORTS or stream.orig_port in _PORTS
        if not at_home and octets[at + 4 : at + 6] != b"\0\1":
            return False
        if len(octets) < at + 12 or (at and int.from_bytes(octets[:2], "big") < 12):
            return False
        if at_home:
            return True
        one = Message(octets[at:])
        if one.flags & 0x7840 or one.is_answer != bool(side) or max(one.counts) > 64:
            return False
        try:
            return one.question()[1] in TYPES and not one.weirds
        except Malformed:
            return False

    def datagram(self, side: int, octets: bytes) -> None:  # noqa: ARG002 - the header says who asks
        """One message."""
        self._take(octets)

    def side(self, side: int) -> Parser:  # noqa: ARG002 - likewise
        """Messages, each behind its length."""
        while True:
            length = int.from_bytes((yield 2), "big")
            self._take((yield length))

    def over(self) -> None:
        """Tell of what waits in vain."""
        for waiting in self._waiting:
            for transactions in waiting.values():
                for one in transactions:
                    self._put(one)
            waiting.clear()

    def _take(self, octets: bytes) -> None:
        if len(octets) < 12:
            self._stream.weird("DNS_truncated_len_lt_hdr_len", source="DNS")
            return
        read = Message(octets)
        is_logged = read.opcode in LOGGED
        one = self._transaction(read) if is_logged else Transaction(self._stream.now, read.trans_id, read.flags)
        try:
            if read.counts[0] > _MOST_QUESTIONS:
                raise Malformed("DNS_Conn_count_too_large")
            for _ in range(read.counts[0]):
                self._question(one, read)
            for _ in range(read.counts[1]):
                self._answer(one, read)
            if read.opcode == UPDATE and not self._netbios:
                for _ in range(read.counts[2]):
                    self._told(one, read, *read.updated(ANSWERS))
            self._stream.confirm(self)
        except Malformed as wrong:
            read.weirds.append((str(wrong), ""))
        for name, addl in read.weirds:
            self._stream.weird(name, addl, "DNS")
        one.asked |= not read.is_answer
        one.replied |= read.is_answer
        if one.asked and one.replied and is_logged:
            self._put(one)

    def _transaction(self, read: Message) -> Transaction:
        """That which the message is of: the oldest that waits for it, or a new one."""
        own, other = self._waiting[read.is_answer], self._waiting[not read.is_answer]
        if found := other.get(read.trans_id):
            one = found.popleft()
            if not found:
                del other[read.trans_id]
        else:
            one = Transaction(self._stream.now, read.trans_id, read.flags)
            if (read.trans_id not in own and len(own) > _MOST_IDS) or len(own.get(read.trans_id, ())) > _MOST_WAITING:
                self.over()  # they will never be matched
            own.setdefault(read.trans_id, deque()).append(one)
        if read.is_answer:
            one.rcode = read.flags & 15
            one.latency = (self._stream.now - one.ts) / 1e9 or None
            one.rejected |= bool(one.rcode and not read.counts[0])
        return one

    def _question(self, one: Transaction, read: Message) -> None:
        name, qtype, qclass = read.question()
        if read.is_answer:
            one.rejected |= not any(read.counts[1:])
            return
        one.rd, one.tc, one.z = bool(read.flags & _RD), bool(read.flags & _TC), read.flags >> 4 & 7
        one.qtype, one.qclass = qtype, qclass
        one.query = (netbios(name) or name) if self._netbios else name

    def _answer(self, one: Transaction, read: Message) -> None:
        if read.opcode == UPDATE and not self._netbios:
            self._told(one, read, *read.required())
        else:
            self._told(one, read, *read.answer(ANSWERS, skip=33 if self._netbios else 0))

    def _told(self, one: Transaction, read: Message, name: str, ttl: int, said: str | None) -> None:
        if said is None or not read.is_answer:
            return
        if one.query is None:
            one.query = name
        one.aa, one.ra = bool(read.flags & _AA), bool(read.flags & _RA)
        if one.rtt is None:
            one.rtt = (self._stream.now // 1000 - one.ts // 1000) / 1e6 or None
        if said:
            one.answers = [*(one.answers or ()), said]
            one.ttls = [*(one.ttls or ()), float(ttl)]

    def _put(self, one: Transaction) -> None:
        opcode, qtype, qclass = one.flags >> 11 & 15, one.qtype, one.qclass
        qtype_name = None if qtype is None else type_name(qtype)
        if self._netbios:
            opcode_name = NETBIOS_OPCODES.get(opcode, f"netbios-opcode-{opcode}")
            qtype_name = "NBSTAT" if qtype_name == "SRV" else qtype_name
        else:
            opcode_name = OPCODES.get(opcode, f"opcode-{opcode}")
        self._stream.put(DNS, one.ts, (
            self._stream.proto, one.trans_id, one.rtt, one.query,
            qclass, None if qclass is None else CLASSES.get(qclass, f"qclass-{qclass}"), qtype, qtype_name,
            one.rcode, None if one.rcode is None else ERRORS.get(one.rcode, f"rcode-{one.rcode}"),
            one.aa, one.tc, one.rd, one.ra, one.z, one.answers, one.ttls, one.rejected, opcode, opcode_name,
            one.latency,
        ))  # fmt: skip
