"""Of protocols that no pattern tells (known.py): whether the first octets of a side are one, by lengths that must come out."""

_REQUESTS, _ANSWERS = (
    frozenset({0x60, 0x63, 0x77, 0x42, 0x66, 0x68, 0x4A, 0x6C, 0x6E, 0x50}),
    frozenset({0x61, 0x64, 0x65, 0x73, 0x78, 0x79, 0x67, 0x69, 0x6B, 0x6D, 0x6F}),
)


def _ber(octets: bytes, at: int) -> tuple[int, int]:
    """(where the value begins, how long it is) of what has its tag at `at` (X.690); (0, -1) where that is not there."""
    size = octets[at + 1] if at + 1 < len(octets) else 0x80
    if size < 0x80:
        return at + 2, size
    count = size & 0x7F
    if not 1 <= count <= 4 or at + 2 + count > len(octets):
        return 0, -1
    return at + 2 + count, int.from_bytes(octets[at + 2 : at + 2 + count], "big")


def _behind_integer(octets: bytes, at: int) -> int:
    """Where what follows an integer begins; -1 if there is none."""
    begin, size = _ber(octets, at)
    if at >= len(octets) or octets[at] != 2 or not 1 <= size <= 5 or begin + size >= len(octets):
        return -1
    return begin + size


def snmp(octets: bytes, side: int) -> bool:  # noqa: ARG001 - it shows by content who asks
    """RFC 1157, 3416 and 3412: a sequence as long as the datagram, a version, and a community or a header."""
    at, size = _ber(octets, 0)
    if size < 8 or at + size != len(octets) or octets[at : at + 2] != b"\2\1" or octets[at + 2] not in (0, 1, 3):
        return False
    return octets[at + 3] == (0x30 if octets[at + 2] == 3 else 4)


def ldap(octets: bytes, side: int) -> bool:
    """RFC 4511: a sequence, a message's number, and an operation of that side's."""
    at, size = _ber(octets, 0)
    behind = _behind_integer(octets, at) if 5 <= size < 1 << 24 else -1
    return behind > 0 and octets[behind] in (_ANSWERS if side else _REQUESTS)


def kerberos(octets: bytes, side: int) -> bool:  # noqa: ARG001 - the tag says who asks
    """RFC 4120: an application's tag, as long as the message, and a sequence as long as that."""
    at, size = _ber(octets, 0)
    if size < 16 or at + size != len(octets) or octets[at] != 0x30:
        return False
    inner, rest = _ber(octets, at)
    return inner + rest == len(octets)


def kerberos_tcp(octets: bytes, side: int) -> bool:
    """Likewise, behind its length (7.2.2)."""
    size = int.from_bytes(octets[:4], "big")
    at, rest = _ber(octets, 4)
    return 16 <= size < 1 << 20 and at + rest == 4 + size and octets[at : at + 1] == b"\x30" and side in (0, 1)


def radius(octets: bytes, side: int) -> bool:  # noqa: ARG001 - the code says who asks
    """RFC 2865: as long as it says, and attributes that are so, too."""
    if not 20 <= len(octets) <= 4096 or int.from_bytes(octets[2:4], "big") != len(octets):
        return False
    at = 20
    while at + 1 < len(octets) and octets[at + 1] >= 2:
        at += octets[at + 1]
    return at == len(octets)


def stun(octets: bytes, side: int) -> bool:  # noqa: ARG001 - with ICE, either side asks
    """RFC 8489: behind the cookie, as long as it says."""
    return int.from_bytes(octets[2:4], "big") + 20 == len(octets)


def wireguard(octets: bytes, side: int) -> bool:
    """Messages of the handshake have one length each (the whitepaper, 5.4)."""
    return len(octets) == ({2: 92, 3: 64}.get(octets[0], 0) if side else 148)


def modbus(octets: bytes, side: int) -> bool:
    """Modbus on TCP: messages of the lengths that their headers say, and a function each; of an answer, perhaps an exception."""
    at = 0
    if octets[:2] == b"\x30\x84":  # LDAP can look so
        return False
    while at + 8 <= len(octets):
        size = int.from_bytes(octets[at + 4 : at + 6], "big")
        if octets[at + 2 : at + 4] != b"\0\0" or not 2 <= size <= 254 or not 1 <= octets[at + 7] & (0x7F if side else 0xFF) <= 0x6E:
            return False
        at += 6 + size
    return at == len(octets) > 0


def dnp3(octets: bytes, side: int) -> bool:
    """IEEE 1815: a link header, whose direction is that of the side, as the master begins."""
    return len(octets) >= 10 and octets[2] >= 5 and bool(octets[3] & 0x80) != bool(side)


def mongodb(octets: bytes, side: int) -> bool:
    """Its length, and of an answer to what."""
    return 16 < int.from_bytes(octets[:4], "little") <= 48_000_000 and any(octets[8:12]) == bool(side)


def amqp(octets: bytes, side: int) -> bool:
    """0-9-1: the server begins a connection (class 10, method 10); 1.0: both say what they speak."""
    return (octets[:4] == b"AMQP" and len(octets) >= 8) or (side == 1 and octets[7:11] == b"\0\x0a\0\x0a")


def kafka(octets: bytes, side: int) -> bool:
    """A request that is there whole, and its header has the client's name, of printable letters; an answer is whole, too."""
    size = int.from_bytes(octets[:4], "big")
    if not (4 if side else 10) <= size <= len(octets) - 4:
        return False
    name = int.from_bytes(octets[12:14], "big", signed=True)
    said = octets[14 : 14 + max(0, name)]
    return bool(side) or (-1 <= name <= size - 10 and all(32 <= one < 127 for one in said))


def openvpn_tcp(octets: bytes, side: int) -> bool:
    """A length before the packet; of the originator's there is one, and it waits for the answer."""
    size = int.from_bytes(octets[:2], "big")
    return 14 <= size <= 1500 and bool(side or size + 2 == len(octets))
