"""Frames that the corpora lack, made by hand: each encapsulation in the forms that its text allows, with what must come out of it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from frames import ethernet, ethertype, ip, tcp, udp

A4, B4, A6, B6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
INNER4 = tcp("10.1.0.1", "10.1.0.2", 40001, 80, 0x12, seq=7, ack=9, payload=b"hello")
INNER6 = udp("fd00::1", "fd00::2", 40002, 53, b"query")
FRAME4 = ethernet(INNER4, 0x0800, src="02:00:00:0a:00:01", dst="02:00:00:0a:00:02")
FRAME6 = ethernet(INNER6, 0x86DD, src="02:00:00:0a:00:01", dst="02:00:00:0a:00:02", tags=((0x8100, 77),))
V4 = {"src": "10.1.0.1", "dst": "10.1.0.2", "sport": 40001, "dport": 80, "proto": 6, "seq": 7}
V6 = {"src": "fd00::1", "dst": "fd00::2", "sport": 40002, "dport": 53, "proto": 17}
OUTER4 = {"outer_src": A4, "outer_dst": B4}
SNAP = b"\xaa\xaa\x03\0\0\0"


@dataclass(frozen=True)
class Made:
    """A frame of a link type, the columns that it must give, and those in which tshark is another opinion, with the reason."""

    name: str
    frame: bytes
    gives: dict[str, Any] = field(default_factory=dict)
    link_type: int = 1
    but: str = ""
    packets: int = 1


def on_wire(packet: bytes) -> bytes:
    return ethernet(packet, ethertype(packet))


def to_port(port: int, payload: bytes, src: str = A4, dst: str = B4) -> bytes:
    """In a UDP datagram, whose source port tells the tunnels apart to tshark, which remembers conversations."""
    return on_wire(udp(src, dst, 50000 + port, port, payload))


def to_proto(proto: int, payload: bytes, src: str = A4, dst: str = B4) -> bytes:
    return on_wire(ip(payload, proto, src, dst))


def bits(form: str, *values: int) -> bytes:
    return struct.pack("!" + form, *values)


def gre() -> Iterator[Made]:
    key, seq, check = bits("I", 0xCAFE0001), bits("I", 5), bits("HH", 0, 0)
    route = bits("HBB", 2, 0, 8) + bytes(8) + bits("HBB", 0, 0, 0)
    for name, flags, rest, number in [
        ("plain", 0, b"", None),
        ("with a key", 0x2000, key, 0xCAFE0001),
        ("with a checksum, a key and a sequence number", 0xB000, check + key + seq, 0xCAFE0001),
        ("with routing", 0x4000, check + route, None),
        ("with routing, a checksum and a key", 0xE000, check + key + route, 0xCAFE0001),
    ]:
        for kind, inner, of in [(0x0800, INNER4, V4), (0x86DD, INNER6, V6), (0x6558, FRAME4, V4)]:
            gives = {**of, **OUTER4, "tunnel": "gre", "tunnel_id": number, "tunnel_depth": 1}
            yield Made(f"GRE {name}, {kind:04x}", to_proto(47, bits("HH", flags, kind) + rest + inner), gives)
    six = {**V4, "tunnel": "gre", "outer_src": A6, "outer_dst": B6, "outer_proto": 47}
    yield Made("GRE over IPv6", to_proto(47, bits("HH", 0, 0x0800) + INNER4, A6, B6), six)
    labels = bits("II", 100 << 12 | 64, 200 << 12 | 0x100 | 64)
    yield Made("MPLS in GRE", to_proto(47, bits("HH", 0, 0x8847) + labels + INNER4), {**V4, "tunnel": "gre", "mpls_label": 100})
    yield Made("GRE in UDP", to_port(4754, bits("HH", 0, 0x0800) + INNER4), {**V4, "tunnel": "gre", "outer_dport": 4754})
    pptp = {**V4, **OUTER4, "tunnel": "pptp", "tunnel_id": 777}
    yield Made("PPTP", to_proto(47, bits("HHHHII", 0x3081, 0x880B, 49, 777, 1, 2) + b"\xff\x03\0\x21" + INNER4), pptp)
    yield Made("PPTP, its PPP compressed", to_proto(47, bits("HHHHI", 0x3001, 0x880B, 46, 777, 1) + b"\x21" + INNER4), pptp)
    yield Made("WCCP", to_proto(47, bits("HHI", 0, 0x883E, 0x01000000) + INNER4), {**V4, "tunnel": "gre"})


def erspan() -> Iterator[Made]:
    two = bits("HHII", 0x1000, 0x88BE, 1, 0x1000 << 16 | 0x0123) + bits("I", 5)
    yield Made("ERSPAN I", to_proto(47, bits("HH", 0, 0x88BE) + FRAME4), {**V4, "tunnel": "erspan", "tunnel_id": None})
    yield Made("ERSPAN II", to_proto(47, two + FRAME6), {**V6, "tunnel": "erspan", "tunnel_id": 0x123, "vlan": 77})
    for name, kind, inner, gives, but in [("Ethernet", 0, FRAME4, V4, ""), ("IP", 2, INNER4, V4, "tshark reads Ethernet alone")]:
        for part, tail in [(0, b""), (1, bits("II", 0x0C000000, 0))]:
            head = bits("HHI", 0x1000, 0x22EB, 1) + bits("HHIHH", 0x2000, 0x03FF, 99, 0, kind << 10 | part | (0 if kind else 0x8000)) + tail
            yield Made(
                f"ERSPAN III with {name}, {part}", to_proto(47, head + inner), {**gives, "tunnel": "erspan", "tunnel_id": 0x3FF}, but=but
            )


def in_ip() -> Iterator[Made]:
    yield Made("IPIP", to_proto(4, INNER4), {**V4, **OUTER4, "tunnel": "ipip", "outer_proto": 4})
    yield Made("6in4", to_proto(41, INNER6), {**V6, **OUTER4, "tunnel": "6in4", "outer_proto": 41})
    yield Made("4in6", to_proto(4, INNER4, A6, B6), {**V4, "tunnel": "4in6", "outer_src": A6})
    yield Made("6in6", to_proto(41, INNER6, A6, B6), {**V6, "tunnel": "6in6", "outer_src": A6})
    limit = bits("BB", 41, 0) + b"\x04\x01\x04\x01\0\0"
    yield Made(
        "6in6 behind a tunnel encapsulation limit", to_proto(60, limit + INNER6, A6, B6), {**V6, "tunnel": "6in6", "outer_proto": 41}
    )
    routing = bits("BBBBBBH", 143, 2, 4, 0, 0, 0, 0) + bytes(16)
    yield Made("Ethernet behind a segment routing header", to_proto(43, routing + FRAME4, A6, B6), {**V4, "tunnel": "ethernet"})
    yield Made("EtherIP", to_proto(97, b"\x30\0" + FRAME4), {**V4, **OUTER4, "tunnel": "etherip"})
    label = bits("I", 300 << 12 | 0x100 | 64)
    yield Made("MPLS in IP", to_proto(137, label + INNER4), {**V4, **OUTER4, "tunnel": "mpls", "mpls_label": 300})
    yield Made("MPLS in UDP", to_port(6635, label + INNER6), {**V6, **OUTER4, "tunnel": "mpls", "mpls_label": 300, "outer_dport": 6635})
    wire = bits("I", 301 << 12 | 0x100 | 64)
    yield Made("an Ethernet pseudowire", ethernet(wire + bytes(4) + FRAME4, 0x8847), {**V4, "tunnel": "eompls", "outer_src": None})
    near, far = "00:0c:29:00:00:01", "00:00:5e:00:01:0a"  # tshark wants to know who makes such cards
    tagged = ethernet(INNER6, 0x86DD, tags=((0x8100, 77),), src=near, dst=far)
    yield Made("a pseudowire without a control word", ethernet(label + tagged, 0x8847), {**V6, "tunnel": "eompls", "vlan": 77})
    yield Made("an untagged one", ethernet(label + ethernet(INNER4, 0x0800, src=near, dst=far), 0x8847), {**V4, "tunnel": "eompls"})
    behind = ethernet(wire + bytes(4) + FRAME6, 0x8847, tags=((0x8100, 5),))
    yield Made("a pseudowire behind a tag", behind, {**V6, "tunnel": "eompls", "vlan": 5, "vlan_inner": 77})
    apart = ethernet(ip(bits("HH", 0, 0x8847) + wire + bytes(4) + FRAME6, 47, A4, B4), 0x0800, tags=((0x8100, 5),))
    yield Made("a pseudowire in GRE behind a tag", apart, {**V6, **OUTER4, "tunnel": "eompls", "vlan": 77, "vlan_inner": None})
    auth = bits("BBHII", 6, 4, 0, 0xABCD, 1) + bytes(12)
    yield Made("AH", to_proto(51, auth + INNER4[20:], "10.1.0.1", "10.1.0.2"), {**V4, "spi": 0xABCD, "tunnel": None})
    yield Made(
        "AH over IPv6", to_proto(51, bits("BBHII", 17, 4, 0, 5, 1) + bytes(12) + INNER6[40:], "fd00::1", "fd00::2"), {**V6, "spi": 5}
    )
    yield Made("ESP", to_proto(50, bits("II", 0x1234, 1) + bytes(32)), {"spi": 0x1234, "proto": 50})
    yield Made("ESP in UDP", to_port(4500, bits("II", 0x1234, 1) + bytes(32)), {"spi": 0x1234, "dport": 4500})
    yield Made("IKE beside ESP", to_port(4500, bytes(4) + bytes(28)), {"spi": None, "dport": 4500})


def overlays() -> Iterator[Made]:
    vni = 0xABCDE
    vxlan = bits("II", 8 << 24, vni << 8)
    gives = {**OUTER4, "tunnel": "vxlan", "tunnel_id": vni, "tunnel_depth": 1, "outer_proto": 17, "outer_sport": 54789, "outer_dport": 4789}
    yield Made("VXLAN", to_port(4789, vxlan + FRAME4), {**V4, **gives, "l2_src": "02:00:00:0a:00:01", "vlan": None})
    yield Made("VXLAN with a tag inside", to_port(4789, vxlan + FRAME6), {**V6, **gives, "vlan": 77})
    tagged = ethernet(udp(A4, B4, 54789, 4789, vxlan + FRAME4), 0x0800, tags=((0x8100, 5),))
    yield Made("VXLAN with a tag outside", tagged, {**V4, **gives, "vlan": None})
    for name, kind, inner, of in [("IPv4", 1, INNER4, V4), ("IPv6", 2, INNER6, V6), ("Ethernet", 3, FRAME4, V4)]:
        head = bits("II", 0x0C << 24 | kind, vni << 8)
        yield Made(f"VXLAN-GPE with {name}", to_port(4790, head + inner), {**of, "tunnel": "vxlan", "tunnel_id": vni})
    nsh = bits("HBBI", 0x0FC6, 1, 1, 0x0000AAFF) + bytes(16)
    chain = {**V4, "tunnel": "nsh", "tunnel_id": 0xAA}
    yield Made("NSH in VXLAN-GPE", to_port(4790, bits("II", 0x0C << 24 | 4, vni << 8) + nsh + INNER4), {**chain, "tunnel_depth": 2})
    yield Made("NSH over Ethernet", ethernet(nsh + INNER4, 0x894F), {**chain, "tunnel_depth": 1, "outer_src": None})
    other = bits("HBBI", 0x0FC2, 2, 3, 0x0000BBFF)
    yield Made("NSH without metadata, with Ethernet", ethernet(other + FRAME4, 0x894F), {**V4, "tunnel": "nsh", "tunnel_id": 0xBB})
    option = bits("HBB", 0x0102, 0x80, 1) + bytes(4)
    for name, kind, inner, of in [("Ethernet", 0x6558, FRAME6, V6), ("IPv4", 0x0800, INNER4, V4), ("IPv6", 0x86DD, INNER6, V6)]:
        for many in (0, 1, 3):
            head = bits("BBHI", many * 2, 0x40, kind, vni << 8) + option * many
            yield Made(f"Geneve with {name}, {many} options", to_port(6081, head + inner), {**of, "tunnel": "geneve", "tunnel_id": vni})
    pbb = {**V4, "tunnel": "pbb", "tunnel_id": 0x00BEEF, "l2_src": "02:00:00:0a:00:01", "outer_src": None}
    yield Made("PBB", ethernet(bits("I", 0x0000BEEF) + FRAME4, 0x88E7), pbb)
    yield Made("PBB behind a backbone tag", ethernet(bits("I", 0x0000BEEF) + FRAME4, 0x88E7, tags=((0x88A8, 9),)), {**pbb, "vlan": 9})
    customer = {**V6, "tunnel": "pbb", "tunnel_id": 0x00BEEF}
    for name, tags, vlan, inner in [("", (), 77, None), (" behind a backbone tag", ((0x88A8, 9),), 9, 77)]:
        frame = ethernet(bits("I", 0x0000BEEF) + FRAME6, 0x88E7, tags=tags)
        yield Made(f"PBB with a customer's tag{name}", frame, {**customer, "vlan": vlan, "vlan_inner": inner})
    mirrored = to_port(4789, vxlan + ethernet(bits("I", 0x0000BEEF) + FRAME6, 0x88E7, tags=((0x88A8, 9),)))
    yield Made("PBB in VXLAN", mirrored, {**customer, "vlan": 9, "vlan_inner": 77, "tunnel_depth": 2})


def gtp() -> Iterator[Made]:
    for name, flags, rest in [
        ("plain", 0x30, b""),
        ("with a sequence number", 0x32, bits("HBB", 5, 0, 0)),
        ("with an N-PDU number", 0x31, bits("HBB", 0, 7, 0)),
        ("with a PDU session container", 0x34, bits("HBB", 0, 0, 0x85) + bits("BBBB", 1, 0x10, 9, 0)),
        ("with two extension headers", 0x36, bits("HBB", 5, 0, 0xC0) + bits("BHB", 1, 0x1234, 0x85) + bits("BBBB", 1, 0x10, 9, 0)),
        ("with an extension header of 8 octets", 0x34, bits("HBB", 0, 0, 0x85) + b"\x02\x10\x09\0\0\0\0\0"),
    ]:
        for inner, of in [(INNER4, V4), (INNER6, V6)]:
            payload = bits("BBHI", flags, 0xFF, len(rest) + len(inner), 0xDEADBEEF) + rest + inner
            gives = {**of, **OUTER4, "tunnel": "gtp", "tunnel_id": 0xDEADBEEF}
            yield Made(f"GTP-U {name}, {inner[0] >> 4}", to_port(2152, payload), gives)
    yield Made("GTP-U echo", to_port(2152, bits("BBHI", 0x32, 1, 4, 0) + bytes(4)), {"tunnel": None, "dport": 2152})


def l2tp() -> Iterator[Made]:
    for flags in (0x0002, 0x4002, 0x0802, 0x4802, 0x0202, 0x4A02, 0x0102):
        for name, ppp in [("", b"\xff\x03\0\x21"), ("its PPP without an address", b"\0\x21"), ("its PPP compressed", b"\x21")]:
            rest = bits("HH", 11, 22) + (bits("HH", 1, 2) if flags & 0x0800 else b"") + (bits("H", 3) + bytes(3) if flags & 0x0200 else b"")
            whole = len(rest) + len(ppp) + len(INNER4) + 4
            payload = bits("H", flags) + (bits("H", whole) if flags & 0x4000 else b"") + rest + ppp + INNER4
            gives = {**V4, **OUTER4, "tunnel": "l2tp", "tunnel_id": 11 << 16 | 22}
            yield Made(f"L2TP {flags:04x} {name}", to_port(1701, payload), gives)
    control = bits("HHHHHH", 0xC802, 12, 1, 0, 0, 0)
    yield Made("L2TP control", to_port(1701, control), {"tunnel": None, "dport": 1701})


def teredo() -> Iterator[Made]:
    auth = bits("HBB", 1, 2, 4) + b"ID" + b"AUTH" + bytes(9)
    origin = bits("HHI", 0, 0xFFFF, 0x01020304)
    for name, head in [("plain", b""), ("with authentication", auth), ("with an origin", origin), ("with both", auth + origin)]:
        yield Made(f"Teredo {name}", to_port(3544, head + INNER6), {**V6, **OUTER4, "tunnel": "teredo", "outer_dport": 3544})
    bubble = ip(b"", 59, A6, B6)
    yield Made("Teredo bubble", to_port(3544, bubble), {"src": A6, "proto": 59, "tunnel": "teredo"})
    to, at = "2001:0:4137:9e50::1", 3545
    relayed = {"src": A6, "dst": to, "sport": 40002, "tunnel": "teredo", "outer_dport": at}
    yield Made("Teredo from a relay", to_port(at, udp(A6, to, 40002, 53, b"query")), relayed)
    yield Made("Teredo to a relay", to_port(at, udp(to, A6, 40002, 53, b"query")), {**relayed, "src": to, "dst": A6})
    yield Made("a bubble to a relay", to_port(at, ip(b"", 59, to, A6)), {"src": to, "proto": 59, "tunnel": "teredo"})
    for name, payload in [
        ("IPv6 in UDP that is not Teredo's", INNER6),
        ("Teredo's addresses, and an octet too many", udp(A6, to, 40002, 53, b"query") + b"\0"),
        ("Teredo's addresses, and an octet too few", udp(A6, to, 40002, 53, b"query")[:-1]),
    ]:
        yield Made(name, to_port(3546, payload), {"src": A4, "dport": 3546, "tunnel": None})
    ayiya = bits("BBBBI", 0x41, 0x52, 0x11, 41, 0) + bytes(16) + bytes(20)
    yield Made("AYIYA", to_port(5072, ayiya + INNER6), {**V6, **OUTER4, "tunnel": "ayiya"})


def stand_ins() -> Iterator[Made]:
    """IPv6 whose sender or receiver is not in the fixed header."""
    home, there, hop = (ip_address(text).packed for text in (V6["src"], V6["dst"], B6))
    option = b"\xc9\x10" + home
    shows = "tshark shows it whatever its size is"
    for name, options, src, but in [
        ("a home address", b"\1\2\0\0" + option, V6["src"], ""),
        ("a home address behind four pieces of padding", bytes(4) + option, V6["src"], ""),
        ("a home address behind another option", b"\4\1\4\0" + option, V6["src"], ""),
        ("a home address before another option", option + b"\4\1\4\0", V6["src"], ""),
        ("a home address of another size", b"\1\1\0" + b"\xc9\x11" + home + b"\0", A6, shows),
        ("no home address", b"\1\4\0\0\0\0", A6, ""),
    ]:
        header = bits("BB", 17, (2 + len(options)) // 8 - 1) + options
        yield Made(name, to_proto(60, header + INNER6[40:], A6, V6["dst"]), {**V6, "src": src, "tunnel": None}, but=but)
    for name, kind, left, addresses, dst in [
        ("a Routing header", 0, 1, there, V6["dst"]),
        ("a Routing header of two", 0, 1, hop + there, V6["dst"]),
        ("a Routing header of a packet that has arrived", 0, 0, there, B6),
        ("a Routing header of an odd size", 0, 1, there + bytes(8), B6),
        ("a mobile's Routing header", 2, 1, there, V6["dst"]),
        ("a mobile's Routing header that has been followed", 2, 0, there, B6),
        ("a mobile's Routing header of two", 2, 1, hop + there, B6),
        ("a segment Routing header", 4, 1, there, B6),
    ]:
        routing = bits("BBBBI", 17, len(addresses) // 8, kind, left, 0) + addresses
        yield Made(name, to_proto(43, routing + INNER6[40:], V6["src"], B6), {**V6, "dst": dst, "tunnel": None})
    both = bits("BB", 43, 2) + b"\1\2\0\0" + option + bits("BBBBI", 17, 2, 2, 1, 0) + there + INNER6[40:]
    yield Made("both", to_proto(60, both, A6, B6), {**V6, "tunnel": None})
    tunnel = to_proto(43, bits("BBBBI", 4, 2, 0, 1, 0) + there + INNER4, A6, B6)
    yield Made("4in6 behind a Routing header", tunnel, {**V4, "tunnel": "4in6", "outer_src": A6, "outer_dst": V6["dst"]})


def vxlan_in(inner: bytes, vni: int) -> bytes:
    return ethernet(udp(f"10.0.{vni}.1", f"10.0.{vni}.2", 50000, 4789, bits("II", 8 << 24, vni << 8) + inner), 0x0800)


def nested() -> Iterator[Made]:
    gives = {**V4, "tunnel": "ipip", "tunnel_depth": 4, "outer_src": "172.16.4.1", "outer_dst": "172.16.4.2"}
    packet, packets = INNER4, [INNER4]
    for level in range(1, 6):
        packet = ip(packet, 4, f"172.16.{level}.1", f"172.16.{level}.2")
        packets.append(packet)
    yield Made("4 tunnels deep", on_wire(packets[4]), gives)
    fifth = {
        "src": "172.16.1.1",
        "tunnel": "ipip",
        "tunnel_depth": 4,
        "outer_src": "172.16.5.1",
        "proto": 4,
        "weird": "exceeded_tunnel_max_depth",
    }
    yield Made("5 tunnels deep", on_wire(packets[5]), fifth)
    yield Made("VXLAN in VXLAN", vxlan_in(vxlan_in(FRAME4, 2), 1), {**V4, "tunnel_id": 2, "tunnel_depth": 2, "outer_src": "10.0.1.1"})
    geneve = udp(A6, B6, 50000, 6081, bits("BBHI", 0, 0, 0x6558, 7 << 8) + ethernet(ip(INNER4, 4, A4, B4), 0x0800))
    mixed = {**V4, "tunnel": "ipip", "tunnel_id": None, "tunnel_depth": 2, "outer_src": A6, "outer_dport": 6081}
    yield Made("IPIP in Geneve over IPv6", on_wire(geneve), mixed)
    pppoe = ethernet(bits("BBHH", 0x11, 0, 99, 2 + len(INNER4)) + b"\0\x21" + INNER4, 0x8864, tags=((0x8100, 3), (0x8100, 4)))
    yield Made("PPPoE behind two tags", pppoe, {**V4, "pppoe_session": 99, "vlan": 3, "vlan_inner": 4, "tunnel": None})


def quoted() -> Iterator[Made]:
    for name, kind, code, number in [("unreachable", 3, 3, 0), ("too big", 3, 4, 1400), ("time exceeded", 11, 0, 0), ("redirect", 5, 1, 9)]:
        about = {"quoted_src": "10.1.0.1", "quoted_dst": "10.1.0.2", "quoted_proto": 6, "quoted_sport": 40001, "quoted_dport": 80}
        gives = {**about, "icmp_type": kind, "icmp_mtu": 1400 if number == 1400 else None, "src": A4, "sport": None}
        yield Made(f"ICMP {name}", to_proto(1, bits("BBHI", kind, code, 0, number) + INNER4[:28]), gives)
    for kind, number in [(1, 0), (2, 1280), (3, 0), (4, 0)]:
        about = {"quoted_src": "fd00::1", "quoted_proto": 17, "quoted_sport": 40002, "icmp_mtu": number or None}
        yield Made(f"ICMPv6 {kind}", to_proto(58, bits("BBHI", kind, 0, 0, number) + INNER6, A6, B6), about)
    extended = ip(bits("BB", 17, 0) + b"\x01\x04\0\0\0\0" + INNER6[40:], 60, "fd00::1", "fd00::2")
    behind = {"quoted_proto": 17, "quoted_dport": 53}
    yield Made("ICMPv6 about a packet with an extension", to_proto(58, bits("BBHI", 1, 0, 0, 0) + extended, A6, B6), behind)
    sctp = bits("HHII", 5000, 36412, 0xAABBCCDD, 0) + bits("BBHI", 1, 0, 20, 1) + bytes(12)
    chunk = {"sport": 5000, "dport": 36412, "sctp_tag": 0xAABBCCDD, "sctp_chunk": 1}
    yield Made("SCTP", to_proto(132, sctp), chunk)
    yield Made("ICMP of IPv4 in IPv6", to_proto(1, bits("BBHI", 8, 0, 0, 0), A6, B6), {"icmp_type": 8, "proto": 1})
    yield Made("SCTP in VXLAN", to_port(4789, bits("II", 8 << 24, 1 << 8) + to_proto(132, sctp)), {**chunk, "tunnel": "vxlan"})
    yield Made("IGMP 3", to_proto(2, bits("BBHHH", 0x22, 0, 0, 0, 0)), {"igmp_type": 0x22})


def wifi() -> Iterator[Made]:
    a, b, c, d = (bytes.fromhex(f"02000000000{n}") for n in "abcd")
    snap4 = SNAP + b"\x08\0" + INNER4
    text = {n: f"02:00:00:00:00:0{n}" for n in "abcd"}
    of = {**V4, "ethertype": 0x0800}
    for name, flags, src, dst, fourth in [
        ("ad hoc", 0, "b", "a", b""),
        ("to the system", 1, "b", "c", b""),
        ("from the system", 2, "c", "a", b""),
        ("between systems", 3, "d", "c", d),
    ]:
        gives = {**of, "l2_src": text[src], "l2_dst": text[dst]}
        for qos, kind in [(b"", 0x08), (b"\0\0", 0x88)]:
            frame = bytes([kind, flags, 0, 0]) + a + b + c + b"\0\0" + fourth + qos + snap4
            yield Made(f"802.11 {name}, {kind:02x}", frame, gives, 105)
            yield Made(f"802.11 {name}, {kind:02x}, behind radiotap", bits("BBHI", 0, 0, 0x0800, 0) + frame, gives, 127)
    plain = b"\x08\x01\0\0" + a + b + c + b"\0\0" + snap4
    gives = {**of, "l2_src": text["b"], "l2_dst": text["c"]}
    control = b"\x88\x81\0\0" + a + b + c + b"\0\0" + b"\0\0" + bytes(4) + snap4
    yield Made("802.11 with high throughput control", control, gives, 105)
    later = b"\x08\x01\0\0" + a + b + c + b"\x01\0" + snap4
    yield Made("a later fragment of 802.11", later, {"src": None, "l2_src": text["b"]}, 105)
    yield Made("802.11 encrypted", b"\x08\x41\0\0" + a + b + c + b"\0\0" + bytes(8) + snap4, {"src": None, "l2_src": text["b"]}, 105)
    padded = b"\x88\x01\0\0" + a + b + c + b"\0\0" + b"\0\0" + b"\0\0" + snap4
    yield Made("radiotap with padding", struct.pack("<BBHIBB", 0, 0, 10, 2, 0x20, 0)[:9] + b"\0" + padded, gives, 127)
    times = struct.pack("<BBHIIIQBB", 0, 0, 26, 0x8000_0003, 0, 0, 5, 0x20, 0)
    yield Made("radiotap with two words and a time", times + padded, gives, 127)
    subframe = c + b + bits("H", len(snap4)) + snap4
    second = d + b + bits("H", len(snap4)) + snap4
    amsdu = b"\x88\x01\0\0" + a + b + a + b"\0\0" + b"\x80\0" + subframe + bytes(-len(subframe) % 4) + second
    four = b"\x88\x03\0\0" + a + b + c + b"\0\0" + d + b"\0\0" + snap4
    in_gre = {**gives, **OUTER4, "tunnel": "gre", "tunnel_depth": 1, "vlan": None}
    for name, kind, frame, l2_src, but in [
        ("802.11", 0x8200, plain, "b", ""),
        ("802.11 with high throughput control", 0x8210, control, "b", ""),
        ("802.11 between systems", 0x8370, four, "d", ""),
        ("802.11 with the last type", 0x83F0, plain, "b", "tshark's types end at 8370, Zeek's do not"),
        ("A-MSDU", 0x8300, amsdu, "b", ""),
    ]:
        tunnelled = ethernet(ip(bits("HH", 0, kind) + frame, 47, A4, B4), 0x0800, tags=((0x8100, 5),))
        yield Made(f"{name} in GRE", tunnelled, {**in_gre, "l2_src": text[l2_src]}, but=but, packets=2 if frame is amsdu else 1)
    unlike = to_proto(47, bits("HH", 0, 0x8201) + plain)
    yield Made("a type beside those of 802.11 in GRE", unlike, {"src": A4, "proto": 47, "tunnel": None})
    beacon = to_proto(47, bits("HH", 0, 0x8200) + b"\x80\0\0\0" + a + b + c + bytes(14))
    yield Made("a beacon in GRE", beacon, {**OUTER4, "tunnel": "gre", "src": None})
    yield Made("A-MSDU", amsdu, {**of, "l2_src": text["b"], "l2_dst": text["c"]}, 105, packets=2)
    avs = bits("II", 0x80211001, 64) + bytes(56)
    yield Made("AVS", avs + plain, gives, 163)
    yield Made("AVS as Prism", avs + plain, gives, 119)
    for order in "<>":
        yield Made(f"Prism {order}", struct.pack(order + "II", 0x44, 144) + bytes(136) + plain, gives, 119)
    yield Made("PPI with 802.11", struct.pack("<BBHI", 0, 0, 8, 105) + plain, gives, 192)
    yield Made("PPI with Ethernet", struct.pack("<BBHI", 0, 0, 8, 1) + FRAME4, V4, 192)


def captures() -> Iterator[Made]:
    cooked = bits("HHH", 4, 1, 6) + bytes.fromhex("02000000000a0000")
    two = bits("HHIHBB", 0x86DD, 0, 3, 1, 0, 6) + bytes.fromhex("02000000000a0000")
    yield Made("cooked", cooked + bits("H", 0x0800) + INNER4, {**V4, "direction": "out", "ethertype": 0x0800, "l2_src": None}, 113)
    yield Made("cooked with a tag", cooked + bits("HHH", 0x8100, 12, 0x0800) + INNER4, {**V4, "vlan": 12, "ethertype": 0x0800}, 113)
    yield Made("cooked with LLC", cooked + bits("H", 4) + SNAP + b"\x08\0" + INNER4, {**V4, "ethertype": 0x0800}, 113)
    yield Made("cooked, version 2", two + INNER6, {**V6, "direction": "in", "ethertype": 0x86DD}, 276)
    for order in "<>":
        yield Made(f"BSD loopback {order}", struct.pack(order + "I", 2) + INNER4, V4, 0)
        yield Made(f"BSD loopback with IPv6 {order}", struct.pack(order + "I", 30) + INNER6, V6, 0)
    yield Made("OpenBSD's loopback", bits("I", 24) + INNER6, V6, 108)
    yield Made("PPP", b"\xff\x03\0\x21" + INNER4, V4, 9)
    yield Made("PPP without an address", b"\0\x57" + INNER6, V6, 9)
    yield Made("PPP compressed", b"\x21" + INNER4, V4, 9)
    yield Made("PPP with MPLS", b"\x02\x81" + bits("I", 5 << 12 | 0x140) + INNER4, {**V4, "mpls_label": 5}, 9)
    yield Made("PPP in HDLC", b"\xff\x03\0\x21" + INNER4, V4, 50)
    yield Made("PPPoE alone", bits("BBHH", 0x11, 0, 7, 2 + len(INNER4)) + b"\0\x21" + INNER4, {**V4, "pppoe_session": 7}, 51)
    yield Made("Cisco HDLC", b"\x0f\0\x08\0" + INNER4, {**V4, "ethertype": 0x0800}, 104)
    for name, address in [("2", b"\x18\x41"), ("3", b"\x18\x40\x01"), ("4", b"\x18\x40\0\x01")]:
        yield Made(f"frame relay, {name} octets of address", address + b"\x03\xcc" + INNER4, V4, 107)
        yield Made(
            f"frame relay, {name} octets of address, SNAP", address + b"\x03\0\x80\0\0\0\x86\xdd" + INNER6, {**V6, "ethertype": 0x86DD}, 107
        )
        yield Made(f"frame relay, {name} octets of address, Cisco's way", address + b"\x08\0" + INNER4, V4, 107)
        yield Made(f"frame relay, {name} octets of address, bridged", address + b"\x03\0\x80\0\x80\xc2\0\x07" + FRAME4, V4, 107)
    yield Made("RFC 1483", SNAP + b"\x08\0" + INNER4, {**V4, "ethertype": 0x0800}, 100)
    fddi = b"\x50" + bytes.fromhex("02000000000a02000000000b") + SNAP + b"\x86\xdd" + INNER6
    yield Made("FDDI", fddi, {**V6, "l2_dst": "02:00:00:00:00:0a", "ethertype": 0x86DD}, 10)
    for order in "<>":
        mark = struct.pack(order + "HH", 8, 3) + bytes(4) + struct.pack(order + "HH", 5, 10) + b"\0" + bytes(3)
        yield Made(
            f"NFLOG {order}",
            b"\x02\0\0\0" + mark + struct.pack(order + "HH", 4 + len(INNER4), 9) + INNER4,
            V4,
            239,
            "tshark goes by the file's order" if order == ">" else "",
        )
    nested = struct.pack("<HH4xHH", 8, 0x8013, 4 + len(INNER4), 9)
    yield Made("NFLOG with nested attributes", b"\x02\0\0\0" + nested + INNER4, V4, 239)
    six = b"\x0a\0\0\0" + struct.pack("<HH", 4 + len(INNER6), 9) + INNER6
    yield Made("NFLOG with IPv6", six, V6, 239)
    pflog = bits("BBBB", 61, 2, 0, 0) + bytes(57) + bytes(3)
    yield Made("pflog", pflog + INNER4, V4, 117)
    for link_type in (12, 14, 101):
        yield Made(f"raw {link_type}", INNER6, V6, link_type)
    short = ethernet(b"\x06\x06\x03" + INNER4, 3 + len(INNER4))
    yield Made("LLC with IP", short, {**V4, "ethertype": None})
    yield Made("SNAP", ethernet(SNAP + b"\x08\0" + INNER4, 8 + len(INNER4)), {**V4, "ethertype": 0x0800})
    yield Made("bridged Ethernet behind SNAP's F8", ethernet(b"\xaa\xaa\x03\0\0\xf8\x08\0" + INNER4, 8 + len(INNER4)), V4)
    vntag = ethernet(bits("IHHH", 0x00010002, 0x8100, 5, 0x0800) + INNER4, 0x8926)
    yield Made("VN-Tag", vntag, {**V4, "vlan": 5, "ethertype": 0x0800})
    fabric = bytes.fromhex("02000000000a02000000000b") + bits("HH", 0x8903, 0x0001 << 6 | 32) + FRAME4 + bytes(4)
    yield Made("FabricPath", fabric, {**V4, "l2_src": "02:00:00:0a:00:01"})
    reverse = bits("HHBBH", 1, 0x0800, 6, 4, 3) + bytes(6) + bytes([192, 0, 2, 1]) + bytes(6) + bytes([192, 0, 2, 2])
    yield Made("RARP", ethernet(reverse, 0x8035), {"src": A4, "dst": B4, "proto": None})


MADE = [made for kind in (gre, erspan, in_ip, overlays, gtp, l2tp, teredo, stand_ins, nested, quoted, wifi, captures) for made in kind()]
