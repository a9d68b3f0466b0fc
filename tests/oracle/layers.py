"""IP, transports and tunnels, as tshark shows them."""

from tables import ENDS, EXTENSION_OPTIONS, EXTENSIONS, FRAGMENT, IPV4, IPV4_OPTIONS, IPV6, MAC_TEXT, MINIMUM, OPTIONS, TCP, UNKNOWN
from walk import STEPS, Walk, step


@step("ip")
def ip(walk: Walk, after: str) -> bool:
    if walk.following == "ipv6" and walk.tokens.count("ip") > len(walk.fields.get("ip.ttl", [])):
        return True  # a type said IPv4, and the packet is IPv6
    inside(walk, "ip")
    found = {column: walk.number(f"ip.{field}") for column, field in IPV4.items()}
    if found["fragment_offset"] is not None:
        found["fragment_offset"] *= 8
    header = walk.number("ip.hdr_len")
    walk.inner |= {"src": walk.address("ip.src"), "dst": walk.address("ip.dst"), **found}
    if found["ttl"] is not None:
        walk.inner |= {"ip_version": 4, "ip_options": ipv4_options(walk, header)}
    walk.rest = None if header is None or found["ip_length"] is None else found["ip_length"] - header
    extensions(walk)
    return True


@step("ipv6")
def ipv6(walk: Walk, after: str) -> bool:
    inside(walk, "ipv6")
    found = {column: walk.number(f"ipv6.{field}") for column, field in IPV6.items()}
    walk.rest = found["ip_length"]
    if found["ip_length"] is not None:
        found["ip_length"] += 40
    walk.inner |= {"src": walk.address("ipv6.src"), "dst": walk.address("ipv6.dst"), **found}
    walk.inner |= {"ip_version": 6, "ip_options": 0}
    extensions(walk)
    return True


def ipv4_options(walk: Walk, header: int | None) -> int | None:
    """Their bits. tshark does not say in which of several headers an option is."""
    lengths = [int(length) for length in walk.fields.get("ip.hdr_len", [])]
    if header == MINIMUM:
        return 0
    if sum(length > MINIMUM for length in lengths) > 1:
        return UNKNOWN
    kinds = {int(kind) for kind in walk.fields.get("ip.opt.type", [])} - {0, 1}
    return sum({OPTIONS[IPV4_OPTIONS.get(kind, "other")] for kind in kinds})


def inside(walk: Walk, version: str) -> None:
    """IP in IP, or in a tunnel that is no layer to tshark."""
    if "ttl" not in walk.inner:
        return
    if "sport" in walk.inner:
        walk.enter("vxlan", walk.number("vxlan.vni"))
    elif walk.inner.get("flow_label") is None:
        walk.enter("ipip" if version == "ip" else "6in4")
    else:
        walk.enter("4in6" if version == "ip" else "6in6")


def extensions(walk: Walk) -> None:
    """What lies between the IP header and the transport; `rest` is how many octets the transport has, None if tshark does not say."""
    while walk.following in EXTENSIONS or walk.following.startswith("ipv6.routing."):
        layer = walk.following
        walk.at += 1
        if layer.startswith("ipv6.routing."):
            continue
        before = walk.inner["ip_options"]
        walk.inner["ip_options"] = UNKNOWN if before == UNKNOWN else int(before or 0) | OPTIONS[EXTENSION_OPTIONS[layer]]
        walk.rest = None
        walk.inner["proto"] = walk.number(EXTENSIONS[layer])
        if layer == "ipv6.routing":
            routed(walk)
        if layer == "ipv6.dstopts":
            walk.inner["src"] = walk.address("ipv6.opt.mipv6.home_address") or walk.inner["src"]
        if layer == "ah":
            walk.inner["spi"] = walk.number("ah.spi")
        if layer == "ipv6.fraghdr":
            found = {column: walk.number(f"ipv6.fraghdr.{field}") for column, field in FRAGMENT.items()}
            if found["fragment_offset"] is not None:
                found["fragment_offset"] *= 8
            walk.inner |= found
    if walk.inner.get("ip_version") == 6 and walk.inner["proto"] in ENDS:
        walk.inner["ip_options"] = int(walk.inner["ip_options"] or 0) | ENDS[int(walk.inner["proto"] or 0)]


def routed(walk: Walk) -> None:
    """To the last address of a Routing header that has some left to go to."""
    kind, left, octets = (walk.number(f"ipv6.routing.{field}") for field in ("type", "segleft", "len_oct"))
    field, size = {0: ("src.addr", (octets or 0) // 16), 2: ("mipv6.home_address", 1)}.get(kind or 0, ("", 0))
    addresses = [walk.address(f"ipv6.routing.{field}") for _ in range(size)]
    if left and addresses and addresses[-1]:
        walk.inner["dst"] = addresses[-1]


@step("tcp")
def tcp(walk: Walk, after: str) -> bool:
    walk.inner |= {column: walk.number(f"tcp.{field}") for column, field in TCP.items()}
    walk.inner["sack_permitted"] = None if walk.inner["window"] is None else int("tcp.options.sack_perm" in walk.fields)
    return False


@step("udp")
def udp(walk: Walk, after: str) -> bool:
    walk.inner |= {"sport": walk.number("udp.srcport"), "dport": walk.number("udp.dstport")}
    stated = walk.number("udp.length")
    length = stated if walk.rest is None else walk.rest  # as the IP header tells: a first fragment holds less than UDP says
    walk.inner["payload_length"] = length - 8 if stated is not None and length is not None and length >= 8 else None
    return True


@step("sctp")
def sctp(walk: Walk, after: str) -> bool:
    walk.inner |= {"sport": walk.number("sctp.srcport"), "dport": walk.number("sctp.dstport")}
    walk.inner |= {"sctp_tag": walk.number("sctp.verification_tag"), "sctp_chunk": walk.number("sctp.chunk_type")}
    return False


@step("igmp")
def igmp(walk: Walk, after: str) -> bool:
    walk.inner["igmp_type"] = walk.number("igmp.type")
    return False


@step("esp")
def esp(walk: Walk, after: str) -> bool:
    walk.inner["spi"] = walk.number("esp.spi")
    return False


@step("icmp", "icmpv6")
def icmp(walk: Walk, after: str) -> bool:
    name = walk.layers[walk.at - 1][0]  # in IPv6, too, either may be
    walk.inner |= {column: walk.number(f"{name}.{column[5:]}") for column in ("icmp_type", "icmp_code", "icmp_mtu")}
    walk.inner["icmp_mtu"] = walk.inner["icmp_mtu"] or None
    if name == "icmpv6" and walk.inner["icmp_type"] in (133, 134, 135, 136):
        neighbor(walk, walk.inner["icmp_type"] == 136)
    if walk.following in ("ip", "ipv6"):
        quoted(walk)
    return False


def neighbor(walk: Walk, advertised: bool) -> None:
    """The first link-layer address of the kind, if it has six octets."""
    told = [text for text in walk.fields.get(f"icmpv6.opt.{'target' if advertised else 'src'}_linkaddr", []) if len(text) == MAC_TEXT]
    of = walk.address("icmpv6.nd.na.target_address") if advertised else walk.inner["src"]
    if told and of is not None:
        walk.inner |= {"neighbor": of, "neighbor_mac": told[0]}


def quoted(walk: Walk) -> None:
    about = Walk(walk.fields)
    about.taken, about.layers, about.at = walk.taken, walk.layers, walk.at + 1
    STEPS[walk.following](about, "")
    found = about.inner
    walk.inner |= {f"quoted_{name}": found.get(name) for name in ("src", "dst", "proto")}
    transport = about.following
    if transport in ("tcp", "udp", "sctp"):
        walk.inner |= {"quoted_sport": walk.number(f"{transport}.srcport"), "quoted_dport": walk.number(f"{transport}.dstport")}


@step("gre")
def gre(walk: Walk, after: str) -> bool:
    key, call, version = walk.number("gre.key"), None, walk.number("gre.flags.version")
    walk.number("gre.proto")
    if version == 1:
        call = walk.number("gre.key.call_id")
        if walk.following != "ppp" or walk.layers[walk.at + 1 : walk.at + 2] == []:
            return False
    if walk.following and walk.following != "erspan":
        walk.enter("pptp" if version == 1 else "gre", call if version == 1 else key)
    return True


@step("erspan")
def erspan(walk: Walk, after: str) -> bool:
    number = walk.number("erspan.spanid")
    if walk.following:
        walk.enter("erspan", number)
    return True


@step("etherip")
def etherip(walk: Walk, after: str) -> bool:
    walk.enter("etherip")
    return True


@step("vxlan")
def vxlan(walk: Walk, after: str) -> bool:
    if walk.following:
        walk.enter("vxlan", walk.number("vxlan.vni"))
    return True


@step("geneve")
def geneve(walk: Walk, after: str) -> bool:
    number = walk.number("geneve.vni")
    if walk.following:
        walk.enter("geneve", number)
    return True


@step("gtp")
def gtp(walk: Walk, after: str) -> bool:
    number = walk.number("gtp.teid")
    if walk.following in ("ip", "ipv6"):
        walk.enter("gtp", number)
    return walk.following in ("ip", "ipv6")


@step("l2tp")
def l2tp(walk: Walk, after: str) -> bool:
    tunnel, session = walk.number("l2tp.tunnel"), walk.number("l2tp.session")
    if walk.following == "ppp" and walk.layers[walk.at + 1 :]:
        walk.enter("l2tp", (tunnel or 0) << 16 | (session or 0))
        return True
    return False


@step("teredo")
def teredo(walk: Walk, after: str) -> bool:
    if walk.following:
        walk.enter("teredo")
    return True


@step("ayiya")
def ayiya(walk: Walk, after: str) -> bool:
    if walk.following:
        walk.enter("ayiya")
    return True
