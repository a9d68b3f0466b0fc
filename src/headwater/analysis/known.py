"""What a flow speaks, where no protocol here reads it: by how each side begins. Names are Zeek's where Zeek has the protocol.

A line is a name, what carries it, and how the originator and the responder begin. Both sides have to fit, but where `alone` says that one
of them tells. What a pattern cannot say (lengths that must be those of the message) is a function.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from headwater.analysis.known_binary import (
    amqp,
    dnp3,
    kafka,
    kerberos,
    kerberos_tcp,
    ldap,
    modbus,
    mongodb,
    openvpn_tcp,
    radius,
    snmp,
    stun,
    wireguard,
)  # fmt: skip

TCP, UDP = "tcp", "udp"
_Match: TypeAlias = Callable[[bytes], Any]


class Known(NamedTuple):
    """A protocol that is known by name only."""

    service: str
    proto: str
    orig: bytes
    resp: bytes
    whole: Callable[[bytes, int], bool] | None = None  # the first octets of a side, and which
    alone: bool = False


_SIP: Final = rb"(?:[A-Z]{3,12} (?i:sips?|tel):\S+ SIP/2\.0\r?\n|SIP/2\.0 [1-6]\d\d )"
_CACHE: Final = (
    rb"(?:gets?|set|add|replace|append|prepend|cas|incr|decr|delete|touch|stats|version|flush_all|verbosity|m[gsdan])(?: [^\r\n]+)?\r\n"
)
_CACHED: Final = (
    rb"VALUE |STAT |VERSION |(?:END|STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|OK|ERROR|RESET|\d+)\r\n|(?:CLIENT|SERVER)_ERROR "
    rb"|(?:HD|EN|NS|EX|NF|VA \d+)[ \r]"
)
_TORRENT: Final = rb"d1:[aqr]d2:id20:|\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00"

KNOWN: Final = (
    Known("http2", TCP, rb"PRI \* HTTP/2\.0\r\n\r\nSM\r\n\r\n", rb"\x00..\x04\x00\x00\x00\x00\x00"),
    Known("rfb", TCP, rb"RFB \d{3}\.\d{3}\n", rb"RFB \d{3}\.\d{3}\n"),
    Known("postgresql", TCP, rb"\x00\x00..(?:\x04\xd2\x16[\x2f\x30]|\x00\x03\x00[\x00\x02][\w.]+\x00)", rb"[SN]|[RE]\x00\x00"),
    Known("redis", TCP, rb"\*[1-9]\d{0,6}\r\n\$\d{1,9}\r\n", rb"[+-][ -~]*\r\n|[:,(]-?\d|[$*%~>=]-?\d+\r\n|_\r\n|#[tf]\r\n"),
    Known("memcached", TCP, _CACHE, _CACHED),
    Known("memcached", TCP, rb"\x80[\x00-\x4f].{2}.\x00", rb"\x81[\x00-\x4f].{2}.\x00"),
    Known("mongodb", TCP, rb".{12}[\xd4\xd5\xdc\xdd]\x07\x00\x00", rb".{12}(?:\x01\x00|[\xdc\xdd]\x07)\x00\x00", mongodb),
    Known("amqp", TCP, rb"AMQP[\x00-\x03]", rb"AMQP[\x00-\x03]|\x01\x00\x00", amqp),
    Known("mqtt", TCP, rb"\x10[\x00-\xff]{1,4}\x00(?:\x04MQTT|\x06MQIsdp)", rb"\x20[\x02-\x7f][\x00\x01]"),
    Known("bittorrent", TCP, rb"\x13BitTorrent protocol", rb"\x13BitTorrent protocol"),
    Known("krb_tcp", TCP, rb"\x00...[\x6a\x6c]", rb"\x00...[\x6b\x6d\x7e]", kerberos_tcp),
    Known("ldap_tcp", TCP, rb"\x30", rb"\x30", ldap),
    Known("modbus", TCP, rb"..\x00\x00", rb"..\x00\x00", modbus, alone=True),
    Known("dnp3_tcp", TCP, rb"\x05\x64", rb"\x05\x64", dnp3, alone=True),
    Known("kafka", TCP, rb"\x00...\x00[\x00-\x5c]\x00[\x00-\x14]", rb"\x00...", kafka),
    Known("openvpn", TCP, rb"..[\x38\x50].{8}", rb"..\x40.{8}", openvpn_tcp),
    Known("sip", TCP, _SIP, _SIP),
    Known("sip", UDP, _SIP, _SIP, alone=True),
    Known("syslog", UDP, rb"<(?:\d|[1-9]\d|1[0-8]\d|19[01])>[ -~]", rb"(?!)", alone=True),
    Known("snmp", UDP, rb"\x30", rb"\x30", snmp),
    Known("radius", UDP, rb"[\x01\x04\x0c\x28\x2b]", rb"[\x02\x03\x05\x0b\x29\x2a\x2c\x2d]", radius),
    Known("krb", UDP, rb"[\x6a\x6c\x7e]", rb"[\x6b\x6d\x7e]", kerberos, alone=True),
    Known("ldap_udp", UDP, rb"\x30", rb"\x30", ldap),
    Known("tftp", UDP, rb"\x00[\x01\x02][ -~]+\x00(?i:netascii|octet|mail)\x00", rb"\x00[\x03-\x06]", alone=True),
    Known("stun", UDP, rb"[\x00\x01]...\x21\x12\xa4\x42", rb"[\x00\x01]...\x21\x12\xa4\x42", stun, alone=True),
    Known("wireguard", UDP, rb"\x01\x00\x00\x00", rb"[\x02\x03]\x00\x00\x00", wireguard),
    Known("openvpn", UDP, rb"[\x38\x50].{8}", rb"\x40.{8}"),
    Known("bittorrent", UDP, _TORRENT, rb"d1:[er][dl]|d2:ip|\x00\x00\x00\x00.{12}"),
    Known("memcached", UDP, rb"..\x00\x00\x00\x01\x00\x00(?:" + _CACHE + rb")", rb"..\x00\x00..\x00\x00(?:" + _CACHED + rb")"),
    Known("dnp3_udp", UDP, rb"\x05\x64", rb"\x05\x64", dnp3, alone=True),
)  # fmt: skip


class Recognition:
    """Which of `known` streams are. The first of them that fits counts."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._any: dict[tuple[str, int], _Match] = {}
        self._of: dict[str, list[tuple[Known, _Match, _Match]]] = {}
        for proto in (TCP, UDP):
            of = [one for one in known if one.proto == proto]
            self._of[proto] = [(one, _matching(one.orig), _matching(one.resp)) for one in of]
            for side, patterns in enumerate(([one.orig for one in of], [one.resp for one in of])):
                self._any[proto, side] = _matching(b"|".join(b"(?:%b)" % pattern for pattern in patterns) or rb"(?!)")
        self._alone = {proto: [one for one in of if one[0].alone] for proto, of in self._of.items()}

    def may_be(self, proto: str, side: int, octets: bytes) -> bool:
        """Whether a side that begins so is any of them at all."""
        return self._any[proto, side](octets) is not None

    def name(self, proto: str, orig: bytes, resp: bytes) -> str:
        """What it is, of what both sides have said until now; empty if that is not known."""
        if orig and resp:
            for one, is_orig, is_resp in self._of[proto]:
                if is_resp(resp) and is_orig(orig) and (not one.whole or (one.whole(orig, 0) and one.whole(resp, 1))):
                    return one.service
            return ""
        side, octets = (0, orig) if orig else (1, resp)
        for one, *sides in self._alone[proto]:
            if sides[side](octets) and (not one.whole or one.whole(octets, side)):
                return one.service
        return ""


def _matching(pattern: bytes) -> _Match:
    return re.compile(pattern, re.DOTALL).match
