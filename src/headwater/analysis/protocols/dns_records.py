"""A DNS message, piece by piece (RFC 1035, 4.1), and what Zeek's log tells of the data of each type of record."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from headwater.analysis.protocols.dns_names import type_name
from headwater.analysis.wire import Malformed, Reader, address, text
from headwater.records.address import unpacked

_MOST_POINTERS: Final = 128  # of one name
_EDNS, _TSIG = 41, 250
_NONE, _ANY = 254, 255  # classes; and a type
_ADDRESSES: Final = frozenset({1, 28, 38})
_SVCB: Final = frozenset({64, 65})
_ALPN: Final = 1


class Message:
    """A message of 12 octets at least. Its questions, then its answers are to be read in turn; `weirds` are (name, what more there is)."""

    __slots__ = ("counts", "flags", "owner", "reader", "trans_id", "weirds")

    def __init__(self, octets: bytes) -> None:
        self.trans_id, self.flags, *self.counts = (int.from_bytes(octets[at : at + 2], "big") for at in range(0, 12, 2))
        self.reader = Reader(octets, 12)
        self.owner = ""  # the name of the record that is read
        self.weirds: list[tuple[str, str]] = []

    @property
    def is_answer(self) -> bool:
        """Whether it is no query."""
        return self.flags >= 0x8000

    @property
    def opcode(self) -> int:
        """What is to be done."""
        return self.flags >> 11 & 15

    def question(self) -> tuple[str, int, int]:
        """(name, type, class) of the next question. Raises Malformed."""
        name, reader = self.name(), self.reader
        if len(reader) < 4:
            raise Malformed("DNS_truncated_quest_too_short")
        return name, reader.u16(), reader.u16()

    def answer(self, kinds: "Mapping[int, Told]", skip: int = 0) -> tuple[str, int, str | None]:
        """(name, time to live, what is told) of the next record; None is told of those that no log has. Raises Malformed."""
        rtype, _, ttl, length = self._head()
        reader = self.reader
        if not length and len(reader) and rtype not in (_EDNS, _TSIG):
            raise Malformed("DNS_zero_rdlength")
        return self.owner, ttl, self._data(kinds, rtype, length, skip)

    def required(self) -> tuple[str, int, str | None]:
        """The same of what an update asks for to be so, or not (RFC 2136, 2.4). Raises Malformed."""
        rtype, rclass, ttl, length = self._head()
        self.reader.take(length)
        if rtype == _ANY and rclass in (_NONE, _ANY):
            said = f"Name{'Not' if rclass == _NONE else ''}InUse"
        else:
            said = f"{'NoRRSet' if rclass == _NONE else 'RRSetExists'} {type_name(rtype)}"
        return self.owner, ttl, f"pre: {said} {self.owner}"

    def updated(self, kinds: "Mapping[int, Told]") -> tuple[str, int, str | None]:
        """The same of what an update adds or deletes (2.5). Raises Malformed."""
        rtype, rclass, ttl, length = self._head()
        if rclass in (_NONE, _ANY):
            self.reader.take(length)
            if rclass == _NONE:
                said = f"RR {type_name(rtype)} {self.owner}"
            else:
                said = f"RRSet * {self.owner}" if rtype == _ANY else f"RRSet {type_name(rtype)}"
            return self.owner, ttl, f"del: {said}"
        said = self._data(kinds, rtype, length, 0) or ""
        if rtype in _ADDRESSES:
            said = f"{type_name(rtype)} {self.owner} {said}"
        return self.owner, ttl, said and f"add: {said}"

    def _head(self) -> tuple[int, int, int, int]:
        """(type, class, time to live, octets of data) of the next record."""
        self.owner, reader = self.name(), self.reader
        if len(reader) < 10:
            raise Malformed("DNS_truncated_ans_too_short")
        rtype, rclass, ttl, length = reader.u16(), reader.u16(), reader.u32(), reader.u16()
        if length > len(reader):
            raise Malformed("DNS_truncated_RR_rdlength_lt_len")
        return rtype, rclass, ttl, length

    def _data(self, kinds: "Mapping[int, Told]", rtype: int, length: int, skip: int) -> str | None:
        """What is told of a record's data."""
        reader = self.reader
        begin, end = reader.at, reader.at + length
        told = kinds.get(rtype)
        said: str | None = None
        if rtype == skip:
            pass
        elif told:
            said = told(self, length)
            if reader.at != end and rtype in _NAMES:
                self.weirds.append(("DNS_RR_length_mismatch", ""))
        elif rtype in _SVCB:
            _look_at_svcb(self, reader.sub(length))
        elif rtype not in _UNTOLD:
            said = f"<unknown type={rtype}>"
            self.weirds.append(("DNS_RR_unknown_type", str(rtype)))
        reader.at = max(begin, end)
        return said

    def name(self) -> str:
        """A name in small letters, without the dot at its end (4.1.4); as far as it can be read, where it is malformed."""
        reader = self.reader
        octets, at, end, after = reader.octets, reader.at, reader.end, -1
        labels: list[bytes] = []
        length = pointers = 0
        while at < end:
            size = octets[at]
            at += 1
            if not size:
                break
            if size >= 0xC0:
                if at == end:
                    after = end if after < 0 else after
                    break
                to = (size & 0x3F) << 8 | octets[at]
                if after < 0:
                    after = at + 1
                pointers += 1
                if to >= at - 1 or pointers > _MOST_POINTERS:
                    self.weirds.append(("DNS_label_forward_compress_offset", ""))
                    break
                at = to
                continue
            if size > end - at:
                self.weirds.append(("DNS_label_len_gt_pkt", ""))
                at = end
                break
            if size > 63:
                self.weirds.append(("DNS_label_too_long", ""))
                break
            length += size + 1
            if length > 512:
                self.weirds.append(("DNS_label_len_gt_name_len", ""))
                break
            labels.append(octets[at : at + size])
            at += size
        if length >= 255:
            self.weirds.append(("DNS_NAME_too_long", ""))
        reader.at = at if after < 0 else after
        return text(b".".join(labels).lower())


Told: TypeAlias = Callable[[Message, int], str]
"""Reads the data of a record, of that length. Raises Malformed."""


def _a(message: Message, length: int) -> str:
    if length != 4:
        raise Malformed("DNS_RR_bad_length")
    return unpacked(address(message.reader.take(4)))


def _aaaa(message: Message, length: int) -> str:
    if length != 16:
        raise Malformed("DNS_RR_bad_length")
    return unpacked(message.reader.take(16))


def _name_behind(octets: int) -> Told:
    def read(message: Message, _: int) -> str:
        message.reader.take(octets)
        return message.name()

    return read


def _soa(message: Message, _: int) -> str:
    name = message.name()
    message.name()
    message.reader.take(20)
    return name


def _texts(kind: str) -> Told:
    def read(message: Message, length: int) -> str:
        data = message.reader.sub(length)
        said: list[str] = []
        while len(data):
            size = data.u8()
            said.append(f"{kind} {size} {text(data.take(size))}")
        return " ".join(said)

    return read


def _rrsig(message: Message, _: int) -> str:
    covered = message.reader.u16()
    message.reader.take(16)
    return f"RRSIG {covered} {message.name() or '<Root>'}"


def _dnskey(message: Message, _: int) -> str:
    message.reader.take(3)
    return f"DNSKEY {message.reader.u8()}"


def _ds(message: Message, _: int) -> str:
    message.reader.u16()
    return f"DS {message.reader.u8()} {message.reader.u8()}"


def _nsec(message: Message, _: int) -> str:
    return f"NSEC {message.owner} {message.name()}"


def _naptr(message: Message, _: int) -> str:
    """RFC 3403, 4.1."""
    reader = message.reader
    order, preference = reader.u16(), reader.u16()
    flags, services, expression = [text(reader.take(reader.u8())) for _ in range(3)]
    rest = " ".join(filter(None, (expression, message.name())))
    return f"NAPTR {order} {preference} {flags} {services} {rest}"


def _sshfp(message: Message, length: int) -> str:
    return f"SSHFP: {message.reader.sub(length).octets[message.reader.at - length + 2 : message.reader.at].hex()}"


def _loc(message: Message, _: int) -> str:
    version, size, horizontal, vertical = message.reader.take(4)
    if version:
        message.weirds.append(("DNS_LOC_version_unrecognized", str(version)))
    return f"LOC:  {size} {horizontal} {vertical}"


def _look_at_svcb(message: Message, data: Reader) -> None:
    """RFC 9460, 2.2 and 7.1: whether protocols of ALPN are as long as they say. No log has any of it."""
    try:
        data.take(2)
        while size := data.u8():
            data.take(size)
        while len(data):
            key, value = data.u16(), data.sub(data.u16())
            while key == _ALPN and len(value):
                size = value.u8()
                if not 0 < size <= len(value):
                    message.weirds.append(("DNS_SVCB_alpn_length_invalid", ""))
                    return
                value.take(size)
    except Malformed:  # Zeek's log says nothing of what ends too soon
        return


def _said(text_: str) -> Told:
    return lambda _message, _length: text_


ANSWERS: Final[Mapping[int, Told]] = {
    1: _a,
    2: _name_behind(0),
    5: _name_behind(0),
    6: _soa,
    11: _said(""),
    12: _name_behind(0),
    15: _name_behind(2),
    16: _texts("TXT"),
    28: _aaaa,
    29: _loc,
    33: _name_behind(6),
    35: _naptr,
    38: _aaaa,
    43: _ds,
    44: _sshfp,
    46: _rrsig,
    47: _nsec,
    48: _dnskey,
    50: _said("NSEC3"),
    51: _said("NSEC3PARAM"),
    65534: _said("BIND9 signing signal"),
    99: _texts("SPF"),
}
"""By type of record. Nothing is told of an empty one but that there was an answer."""

_NAMES: Final = frozenset({2, 5, 6, 12, 15, 33})
_UNTOLD: Final = frozenset({13, 32, 41, 249, 250, 257})
"""Types that Zeek reads, and whose data its log does not have."""
