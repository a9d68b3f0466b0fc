"""The fields that a filter knows, by Wireshark's names, and where a packet row has them.

Addresses, ports and protocols are looked for in each tuple that a row has: the packet's own, the outermost one of a tunnel, and the one
that an ICMP error quotes, as Wireshark looks in every layer. Everything else is that of the innermost packet. A field of several places
(`ip.addr`, `tcp.port`) holds if it holds in any of them; with `!=` it must be there, and hold in none.

A few mean something else than in Wireshark, because a row tells it so, or because it is of more use:

- a flag alone holds if it is set (`tcp.flags.syn`), not wherever there is such a field;
- `eth` and its fields are addresses and types of any link layer, and a type is that behind the last tag; a VLAN tag has any type;
- `pppoes` is discovery too, and `sctp.chunk_type` that of the first chunk;
- `ip` and `ipv6` are a header that is there, whatever a type in front of it says;
- IPv6 addresses are those of a row, where a home address or a Routing header's last one stands in for the fixed header's;
- a tunnel's kind is the nearest one's, under one name (ERSPAN's is not GRE), and only where something was read in it: other packets
  of that protocol are found by `ip.proto` or a port.

tests/filters/test_targets.py holds all others to what tshark keeps. A new field is a line in FIELDS. docs/filters.md is made from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from headwater.records.layouts import ASKED, ENUMS, HAS, PACKET

Kind: TypeAlias = Literal[
    "number", "flag", "ipv4", "ipv6", "mac", "interface", "direction", "tunnel", "weird", "protocol", "interval", "share", "conn_state"
]

UNITS: Mapping[str, Mapping[str, int]] = {"interval": {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}, "share": {"%": 10_000}}
"""What numbers of a kind are written with, in what a row has: nanoseconds, millionths."""


def place_of(column: str) -> tuple[int, int]:
    """Where a column lies in a row, and its octets: of a packet, or with "asked." before it of a flow as a row (bpf/flow_asked.h)."""
    of_flow = column.startswith("asked.")
    fields = (ASKED if of_flow else PACKET.dtype).fields
    assert fields is not None  # noqa: S101 - both are structured
    kind, offset = fields[column.removeprefix("asked.")][:2]
    return offset + (PACKET.dtype.fields["ip_length"][1] if of_flow and PACKET.dtype.fields else 0), kind.itemsize


@dataclass(frozen=True)
class Place:
    """Where in a row: any of `columns`, if the row has all of `needs`, and the column `about` holds `number` (a protocol, a kind), or, with
    `bits`, those of it do."""

    columns: tuple[str, ...]
    needs: int = 0
    about: str = ""
    number: int = 0
    bits: int = 0


@dataclass(frozen=True)
class Field:
    """A field: `kind` says how values are written, "protocol" that it has none and what it is: `bits` of the column are `equal`. `width` is
    of a number that takes fewer bits than its column has.
    """

    kind: Kind
    places: tuple[Place, ...]
    says: str
    bits: int = 0
    equal: int = 0
    width: int = 0

    @property
    def most(self) -> int:
        """The largest number that it can be."""
        return (1 << (self.width or 8 * place_of(self.places[0].columns[0])[1])) - 1


def _has(*layers: str) -> int:
    return sum(HAS[layer] for layer in layers)


def _at(column: str, *layers: str, about: str = "", number: int = 0) -> Place:
    return Place((column,), _has(*layers), about, number)


def _addresses(which: tuple[str, ...], version: int) -> tuple[Place, ...]:
    def at(prefix: str, *layers: str) -> Place:
        return Place(tuple(f"{prefix}{end}" for end in which), _has(*layers))

    if version == 4:  # an IPv4 address is never one of IPv6, so the comparison tells
        return at("", "ipv4"), at("outer_", "outer"), at("quoted_", "quoted")
    return at("", "ipv6"), at("outer_", "outer_ipv6"), at("quoted_", "quoted_ipv6")


def _ports(proto: int, which: tuple[str, ...]) -> tuple[Place, ...]:
    def at(prefix: str, layer: str) -> Place:
        return Place(tuple(f"{prefix}{end}" for end in which), _has(layer), f"{prefix}proto" if proto else "", proto)

    own = at("", "ports"), at("quoted_", "quoted_ports")
    return (*own, at("outer_", "outer_ports")) if proto in (0, 17) else own


_ENDS = {"src": ("src",), "dst": ("dst",), "addr": ("src", "dst")}
_PORTS = {"srcport": ("sport",), "dstport": ("dport",), "port": ("sport", "dport")}
_FLAGS = {"fin": 1, "syn": 2, "reset": 4, "push": 8, "ack": 16, "urg": 32, "ece": 64, "cwr": 128, "ae": 256}
_TUNNELS = {kind: number for number, kind in ENUMS["hw_tunnel"].items() if number}
_AUTHENTICATION = {name: bit for bit, name in ENUMS["hw_ip_option"].items()}["authentication"]
_IDS = {"vxlan.vni": ("vxlan", 24), "geneve.vni": ("geneve", 24), "gre.key": ("gre", 32), "gtp.teid": ("gtp", 32)}
_IDS |= {"erspan.spanid": ("erspan", 10), "nsh.spi": ("nsh", 24), "ieee8021ah.isid": ("pbb", 24)}

_WEIRDS = list(ENUMS["hw_weird"].values())
OF_SEVERAL = {name for name in _WEIRDS[_WEIRDS.index("routing_loop") :] if not name.endswith("_checksum")}
"""Weirds that several packets show, or a flow: they are in the record weird, and in no packet."""


def _number(column: str, says: str, *layers: str, about: str = "", number: int = 0, width: int = 0) -> Field:
    return Field("number", (_at(column, *layers, about=about, number=number),), says, width=width)


def _protocol(column: str, number: int, says: str, *layers: str) -> Field:
    return Field("protocol", (_at(column, *layers),), says, 0xFF, number)


_ARP = (  # by its type, or inside a tunnel that has one of its own by what only ARP has: addresses without IP
    _at("has", "ethertype", about="ethertype", number=0x0806),
    _at("has", "l2", "ethertype", about="ethertype", number=0x8035),  # without addresses, on Cisco's HDLC, that is something else
    Place(("has",), 0, "has", _has("addr"), _has("addr", "ip")),
)


def _esp(column: str) -> tuple[Place, ...]:
    """ESP, right behind IP or in UDP (RFC 3948): there an index is AH's only if the packet has an AH."""
    in_udp = Place((column,), _has("spi", "ports"), "ip_options", 0, _AUTHENTICATION)
    return _at(column, "ip" if column == "has" else "spi", about="proto", number=50), in_udp


def _transport(name: str, proto: int, layer: str) -> Mapping[str, Field]:
    places: tuple[Place, ...] = (_at("has", layer, about="proto", number=proto), _at("has", "quoted", about="quoted_proto", number=proto))
    if proto == 17:
        places = (*places, _at("has", "outer_ports", about="outer_proto", number=proto))
    return {name: Field("protocol", places, f"{name.upper()}, also in what an ICMP error quotes")}


FIELDS: dict[str, Field] = {
    "frame.len": _number("length", "octets on the wire"),
    "frame.cap_len": _number("captured", "octets there were to read"),
    "frame.interface_name": Field("interface", (_at("interface"),), "where it was seen"),
    "direction": Field("direction", (_at("direction"),), "as seen from the interface: in or out"),
    "weird": Field("weird", (_at("weird"),), "a malformation, by name; alone: any"),
    "eth": Field("protocol", (_at("has", "l2"),), "a link-layer header with addresses"),
    **{
        f"eth.{end}": Field("mac", (Place(tuple(f"l2_{column}" for column in columns), _has("l2")),), f"link-layer address ({end})")
        for end, columns in _ENDS.items()
    },
    "eth.type": _number("ethertype", "type behind the last tag, or of SNAP", "ethertype"),
    "vlan": Field("protocol", (_at("has", "vlan"),), "a VLAN tag"),
    "vlan.id": Field("number", (_at("vlan", "vlan"), _at("vlan_inner", "vlan_inner")), "VLAN id, of either tag", width=12),
    "mpls": Field("protocol", (_at("has", "mpls"),), "an MPLS label"),
    "mpls.label": _number("mpls_label", "the first label", "mpls", width=20),
    "pppoes": Field("protocol", (_at("has", "pppoe"),), "PPPoE"),
    "pppoe.session_id": _number("pppoe_session", "PPPoE session", "pppoe"),
    "arp": Field("protocol", _ARP, "ARP and RARP"),
    "ip": Field("protocol", _addresses(("src",), 4), "IPv4"),
    **{f"ip.{end}": Field("ipv4", _addresses(columns, 4), f"IPv4 address ({end})") for end, columns in _ENDS.items()},
    "ip.proto": _number("proto", "protocol number, after AH", "ipv4"),
    "ip.ttl": _number("ttl", "time to live", "ipv4"),
    "ip.len": _number("ip_length", "octets, header included", "ipv4"),
    "ip.id": _number("ip_id", "identification", "ipv4"),
    "ip.dsfield.dscp": _number("dscp", "differentiated services", "ipv4", width=6),
    "ip.dsfield.ecn": _number("ecn", "congestion notification", "ipv4", width=2),
    "ip.flags.df": Field("flag", (_at("df", "ipv4"),), "do not fragment", 1),
    "ip.flags.mf": Field("flag", (_at("mf", "ipv4"),), "more fragments", 1),
    "ipv6": Field("protocol", tuple(Place(("has",), place.needs) for place in _addresses(("src",), 6)), "IPv6"),
    **{f"ipv6.{end}": Field("ipv6", _addresses(columns, 6), f"IPv6 address ({end})") for end, columns in _ENDS.items()},
    "ipv6.hlim": _number("ttl", "hop limit", "ipv6"),
    "ipv6.flow": _number("flow_label", "flow label", "ipv6", width=20),
    "ipv6.tclass.dscp": _number("dscp", "differentiated services", "ipv6", width=6),
    **_transport("tcp", 6, "ports"),
    **_transport("udp", 17, "ports"),
    **_transport("sctp", 132, "ports"),
    **_transport("icmp", 1, "icmp"),
    **_transport("icmpv6", 58, "icmp"),
    "igmp": Field("protocol", (_at("has", "igmp"),), "IGMP"),
    **{
        f"{name}.{end}": Field("number", _ports(proto, columns), f"{name.upper()} port ({end})")
        for name, proto in (("tcp", 6), ("udp", 17), ("sctp", 132))
        for end, columns in _PORTS.items()
    },
    "port": Field("number", _ports(0, ("sport", "dport")), "a port of any transport"),
    "tcp.flags": _number("tcp_flags", "the flags as a number", "tcp", width=12),
    **{f"tcp.flags.{name}": Field("flag", (_at("tcp_flags", "tcp"),), f"the flag {name}", bits) for name, bits in _FLAGS.items()},
    "tcp.seq_raw": _number("seq", "sequence number", "tcp"),
    "tcp.ack_raw": _number("ack", "acknowledgement number", "tcp"),
    "tcp.window_size_value": _number("window", "window, not scaled", "tcp"),
    "tcp.options.mss_val": _number("mss", "largest segment", "mss"),
    "tcp.options.wscale.shift": _number("window_scale", "window scale", "window_scale"),
    "tcp.len": _number("payload_length", "octets of payload", "tcp", "payload"),
    "icmp.type": _number("icmp_type", "ICMP type", "icmp", "ipv4"),
    "icmp.code": _number("icmp_code", "ICMP code", "icmp", "ipv4"),
    "icmpv6.type": _number("icmp_type", "ICMPv6 type", "icmp", "ipv6"),
    "icmpv6.code": _number("icmp_code", "ICMPv6 code", "icmp", "ipv6"),
    "igmp.type": _number("igmp_type", "IGMP type", "igmp"),
    "sctp.verification_tag": _number("sctp_tag", "verification tag", "sctp"),
    "sctp.chunk_type": _number("sctp_chunk", "type of the first chunk", "sctp"),
    "esp.spi": Field("number", _esp("spi"), "security parameters index of ESP"),
    "esp": Field("protocol", _esp("has"), "ESP, also in UDP"),
    "ah": Field("protocol", (_at("ip_options", "ip"),), "AH", _AUTHENTICATION, _AUTHENTICATION),
    "tunnel": Field("tunnel", (_at("tunnel"),), "the nearest tunnel's kind; alone: any"),
    "tunnel.depth": _number("tunnel_depth", "tunnels in each other", width=3),
    "tunnel.id": _number("tunnel_id", "the nearest tunnel's number", "tunnel_id"),
    **{kind: _protocol("tunnel", number, "in a tunnel of that kind") for kind, number in _TUNNELS.items() if kind != "mpls"},
    **{
        name: _number("tunnel_id", f"the number of {kind}", "tunnel_id", about="tunnel", number=_TUNNELS[kind], width=width)
        for name, (kind, width) in _IDS.items()
    },
}

_OF_FLOWS = "ip ip.addr ip.src ip.dst ipv6 ipv6.addr ipv6.src ipv6.dst ip.proto tcp udp sctp icmp icmpv6 port vlan vlan.id".split()
_OF_FLOWS += [f"{name}.{end}" for name in ("tcp", "udp", "sctp") for end in _PORTS]


def _asked(kind: Kind, column: str, says: str, bits: int = 0, about: str = "") -> Field:
    return Field(kind, (Place((f"asked.{column}",), about=about and f"asked.{about}", number=bool(about)),), says, bits)


FLOW_FIELDS: dict[str, Field] = {
    **{name: replace(FIELDS[name], places=FIELDS[name].places[: 2 if name == "vlan.id" else 1]) for name in _OF_FLOWS},
    "conn.failed": _asked("flag", "failed", "TCP: a RST, or a SYN that nothing answered", 1),
    "conn.state": _asked("conn_state", "state", "conn_state"),
    "conn.handshake": _asked("interval", "handshake", "TCP: from the first SYN to the acknowledgement of the SYN-ACK", about="handshaken"),
    "conn.duration": _asked("interval", "duration", "duration"),
    "conn.bytes": _asked("number", "bytes", "payload of both sides, octets"),
    "conn.packets": _asked("number", "packets", "packets of both sides"),
    "conn.retransmitted": _asked("share", "retransmitted", "TCP: the part of its packets that were sent again"),
}
"""Those of a flow. Of its endpoints, `src` is the originator."""
