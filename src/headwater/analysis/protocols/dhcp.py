"""DHCP: RFC 2131, options of RFC 2132 and RFC 4702. Of several flows, since much of it is sent to all: a row has the messages of one
transaction that come within a short time.

Fields, and what joins messages, are Zeek's: scripts/base/protocols/dhcp/main.zeek.
"""

from typing import Any, Final, NamedTuple

from headwater.analysis.stream import ORIG, Joint, Protocol, Stream
from headwater.analysis.wire import Malformed, Reader, address, text
from headwater.records.address import uid_text
from headwater.records.messages import message

DHCP = message("dhcp")
_COOKIE: Final = b"\x63\x82\x53\x63"
_HEADER: Final = 236  # octets before the cookie
_CLIENT, _SERVER = 68, 67
_SILENCE_NS: Final = 5 * 10**9  # after it a transaction is over,
_LEAST_NS: Final = 10 * 10**9  # if it has lasted so long
_LONGEST_NS: Final = 30 * 10**9
_MOST_UIDS: Final = 10
_MOST_MESSAGES: Final = 50
_MOST_WAITING: Final = 1 << 14  # transactions at a time
_PAD, _HOST_NAME, _DOMAIN, _REQUESTED, _LEASE, _TYPE, _MESSAGE, _CLIENT_ID, _FQDN, _END = 0, 12, 15, 50, 51, 53, 56, 61, 81, 255
_ETHERNET: Final = b"\1"
_TYPES: Final = (
    "DISCOVER OFFER REQUEST DECLINE ACK NAK RELEASE INFORM FORCERENEW LEASEQUERY LEASEUNASSIGNED LEASEUNKNOWN LEASEACTIVE BULKLEASEQUERY "
    "LEASEQUERYDONE ACTIVELEASEQUERY LEASEQUERYSTATUS TLS"
).split()


class Message(NamedTuple):
    """One, with what its flow says of it."""

    ts: int
    transaction: int
    uid: bytes
    sender: bytes | None  # of a client
    server: bytes  # of a server's
    kind: str
    assigned: bytes | None
    hardware: str
    options: dict[int, bytes]


class Transaction:
    """What has come of one."""

    def __init__(self, ts: int) -> None:
        self.begun = self.last = ts
        self.uids: dict[bytes, None] = {}
        self.kinds: list[str] = []
        self.said: dict[str, Any] = {}
        self.hardware: str | None = None  # as the client's header has it, if it has not told by an option

    def add(self, one: Message) -> None:
        """A further one."""
        self.last = one.ts
        self.uids[one.uid] = None
        self.kinds.append(one.kind)
        (self._of_client if one.sender is not None else self._of_server)(one)

    def _of_client(self, one: Message) -> None:
        options = one.options
        if one.sender and one.sender not in (address(bytes(4)), address(b"\xff" * 4)):
            self.said["client_addr"] = one.sender
        self._take(one, {"host_name": _HOST_NAME, "client_message": _MESSAGE})
        if _FQDN in options:
            self.said["client_fqdn"] = text(options[_FQDN][3:])
        if options.get(_CLIENT_ID, b"")[:1] == _ETHERNET:
            self.said["mac"] = _mac(options[_CLIENT_ID][1:])
        else:
            self.hardware = one.hardware
        if _REQUESTED in options:
            self.said["requested_addr"] = address(options[_REQUESTED])

    def _of_server(self, one: Message) -> None:
        said = self.said
        self._take(one, {"server_message": _MESSAGE})
        said.setdefault("mac", one.hardware)
        if one.assigned:
            said["server_addr"], said["assigned_addr"] = one.server, one.assigned
        if "assigned_addr" in said:
            said.setdefault("client_addr", said["assigned_addr"])
        if _DOMAIN in one.options:
            said["domain"] = text(one.options[_DOMAIN].rstrip(b"\0"))
        if _LEASE in one.options:
            said["lease_time"] = float(Reader(one.options[_LEASE]).u32())

    def _take(self, one: Message, fields: dict[str, int]) -> None:
        self.said |= {name: text(one.options[code]) for name, code in fields.items() if code in one.options}

    def row(self) -> tuple[Any, ...]:
        """Of DHCP."""
        mac = self.said.get("mac") or self.hardware
        duration = (self.last // 1000 - self.begun // 1000) / 1e6
        said = self.said | {"uids": [uid_text(uid) for uid in self.uids], "mac": mac, "msg_types": self.kinds, "duration": duration}
        return (self.begun, *(said.get(column.name) for column in DHCP.columns[1:]))


class Transactions(Joint):
    """Those of all flows."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self._new: list[Message] = []
        self._waiting: dict[int, Transaction] = {}

    def add(self, one: Message) -> None:
        """One that was read."""
        self._new.append(one)

    def settle(self, now: int) -> None:
        """Messages in the order of time, and then those transactions that are over."""
        for one in sorted(self._new, key=lambda one: one.ts):
            self._join(one)
        self._new.clear()
        for number in [number for number, known in self._waiting.items() if _is_over(known, now)]:
            self._put(number)

    def end(self) -> None:
        """All."""
        self.settle(0)
        for number in tuple(self._waiting):
            self._put(number)

    def _join(self, one: Message) -> None:
        known = self._waiting.get(one.transaction)
        if known and _is_over(known, one.ts):
            self._put(one.transaction)
            known = None
        if not known:
            if len(self._waiting) >= _MOST_WAITING:
                self._put(next(iter(self._waiting)))
            known = self._waiting[one.transaction] = Transaction(one.ts)
        known.add(one)
        if len(known.uids) >= _MOST_UIDS or len(known.kinds) >= _MOST_MESSAGES:
            self._put(one.transaction)

    def _put(self, number: int) -> None:
        self.put(DHCP, self._waiting.pop(number).row())


class Dhcp(Protocol):
    """The messages of one flow."""

    service = "dhcp"
    transports = frozenset({"udp"})
    records = (DHCP,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._all = stream.joint(Transactions)

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - the cookie says enough
        """What has the cookie where it belongs."""
        return octets[_HEADER : _HEADER + 4] == _COOKIE

    def datagram(self, side: int, octets: bytes) -> None:
        """One message."""
        if octets[_HEADER : _HEADER + 4] != _COOKIE:
            raise Malformed("DHCP_no_cookie")
        options = _options(octets, _HEADER + 4)
        for code in (_REQUESTED, _LEASE):
            if len(options.get(code, bytes(4))) != 4:
                raise Malformed("DHCP_wrong_length")
        stream, kind = self._stream, options.get(_TYPE, b"\0")[0]
        is_client = side == ORIG and (stream.orig == address(bytes(4)) or stream.orig_port == _CLIENT or stream.resp_port == _SERVER)
        assigned = octets[16:20]
        self._all.add(Message(
            stream.now, int.from_bytes(octets[4:8], "big"), stream.uid, stream.orig if is_client else None,
            stream.resp if side else stream.orig, _TYPES[kind - 1] if 0 < kind <= len(_TYPES) else f"unknown-message-type-{kind}",
            address(assigned) if any(assigned) else None, _mac(octets[28:44]), options,
        ))  # fmt: skip
        stream.confirm(self)


def _options(octets: bytes, at: int) -> dict[int, bytes]:
    """What those from there on say, by their codes; the last of several. Raises Malformed."""
    found: dict[int, bytes] = {}
    try:
        while (code := octets[at]) != _END:
            at += 1
            if code != _PAD:
                begin, at = at + 1, at + 1 + octets[at]
                found[code] = octets[begin:at]
    except IndexError:
        raise Malformed("truncated") from None
    if _TYPE in found and not found[_TYPE]:
        raise Malformed("DHCP_wrong_length")
    return found


def _is_over(known: Transaction, now: int) -> bool:
    age = now - known.begun
    return age > _LEAST_NS and (now - known.last > _SILENCE_NS or age > _LONGEST_NS)


def _mac(octets: bytes) -> str:
    """A hardware address as Zeek writes it: of 6 octets, or of 8 where the last two say something."""
    if len(octets) < 8 and len(octets) != 6:
        return ""
    return octets[: 8 if len(octets) > 6 and any(octets[6:8]) else 6].hex(":")
