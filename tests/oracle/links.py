"""Link layers, as tshark shows them."""

from walk import Walk, step


def turned(address: str | None) -> str | None:
    """A link-layer address with the bits of each octet in the other order."""
    return address and ":".join(f"{int(f'{int(octet, 16):08b}'[::-1], 2):02x}" for octet in address.split(":"))


def typed(walk: Walk, ethertype: int | None) -> None:
    walk.row["ethertype"] = ethertype


def addresses(walk: Walk, src: str | None, dst: str | None) -> None:
    """A frame begins. Another's tags are its own too, unless IP lies between."""
    if walk.apart:
        walk.row |= {"vlan": None, "vlan_inner": None}
        walk.apart = False
    walk.row |= {"l2_src": src, "l2_dst": dst}


@step("eth")
def ethernet(walk: Walk, after: str) -> bool:
    if walk.following == "cfp":
        return True  # FabricPath's own addresses
    if "sport" in walk.inner:  # VXLAN's generic extension is no layer to tshark
        walk.enter("vxlan", walk.number("vxlan.vni"))
    elif "ttl" in walk.inner:
        walk.enter("ethernet")
    addresses(walk, walk.text("eth.src"), walk.text("eth.dst"))
    typed(walk, walk.number("eth.type") if after in ("ethertype", "") else None)
    return True


def tag(walk: Walk, field: str) -> None:
    column = "vlan" if walk.row.get("vlan") is None else "vlan_inner"
    value = walk.number(field)
    if walk.row.get(column) is None:
        walk.row[column] = value


@step("vlan")
def vlan(walk: Walk, after: str) -> bool:
    tag(walk, "vlan.id")
    typed(walk, walk.number("vlan.etype") if after == "ethertype" else None)
    return True


@step("ieee8021ad")
def provider_vlan(walk: Walk, after: str) -> bool:
    tag(walk, "ieee8021ad.id")
    if "ieee8021ah.isid" in walk.fields and "ieee8021ah" not in walk.tokens:  # both in one layer
        return pbb(walk, after)
    following = {"vlan": 0x8100, "ip": 0x0800, "arp": 0x0806, "ipv6": 0x86DD, "ieee8021ah": 0x88E7}  # tshark shows no type
    if walk.following in following:
        typed(walk, following[walk.following])
    return True


@step("vntag")
def vntag(walk: Walk, after: str) -> bool:
    typed(walk, walk.number("vntag.etype") if after == "ethertype" else None)
    return True


@step("ieee8021ah")
def pbb(walk: Walk, after: str) -> bool:
    walk.enter("pbb", walk.number("ieee8021ah.isid"))
    addresses(walk, walk.text("ieee8021ah.csrc"), walk.text("ieee8021ah.cdst"))
    typed(walk, walk.number("ieee8021ah.etype"))
    return True


@step("llc")
def llc(walk: Walk, after: str) -> bool:
    if walk.text("llc.oui") is not None and "llc.type" in walk.fields:
        typed(walk, walk.number("llc.type"))
    return True


@step("sll")
def cooked(walk: Walk, after: str) -> bool:
    walk.row["direction"] = 2 if walk.number("sll.pkttype") == 4 else 1
    typed(walk, walk.number("sll.etype" if "sll.etype" in walk.fields else "sll.gretype"))
    return True


@step("fddi")
def fddi(walk: Walk, after: str) -> bool:
    """tshark takes all captures for those of systems that leave the bits of an octet in the wire's order; in pcap they are turned."""
    addresses(walk, turned(walk.text("fddi.src")), turned(walk.text("fddi.dst")))
    return True


@step("chdlc")
def hdlc(walk: Walk, after: str) -> bool:
    typed(walk, walk.number("chdlc.protocol"))
    return True


@step("fr")
def frame_relay(walk: Walk, after: str) -> bool:
    typed(walk, walk.number("fr.chdlctype") if "fr.chdlctype" in walk.fields else walk.number("fr.snaptype"))
    return True


@step("wlan")
def wlan(walk: Walk, after: str) -> bool:
    if walk.number("wlan.fc.type") != 2:
        return False
    addresses(walk, walk.text("wlan.sa"), walk.text("wlan.da"))
    return True


@step("arp")
def arp(walk: Walk, after: str) -> bool:
    src, mac = walk.address("arp.src.proto_ipv4"), walk.text("arp.src.hw_mac")
    walk.inner |= {"src": src, "dst": walk.address("arp.dst.proto_ipv4")}
    if src is not None and mac is not None:
        walk.inner |= {"neighbor": src, "neighbor_mac": mac, "arp_operation": walk.number("arp.opcode") or None}
    return False


@step("mpls")
def mpls(walk: Walk, after: str) -> bool:
    if "src" in walk.inner:  # in IP or UDP
        walk.enter("mpls")
    label = walk.number("mpls.label")
    if walk.row.get("mpls_label") is None:
        walk.row["mpls_label"] = label
    if walk.following == "eth":
        walk.enter("eompls")
    return True


@step("pwethcw", "pwethnocw")
def pseudowire(walk: Walk, after: str) -> bool:
    walk.enter("eompls")
    return True


@step("pppoes", "pppoed")
def pppoe(walk: Walk, after: str) -> bool:
    walk.row["pppoe_session"] = walk.number("pppoe.session_id")
    return True


@step("nsh")
def nsh(walk: Walk, after: str) -> bool:
    if "src" in walk.inner:
        walk.enter("vxlan", walk.number("vxlan.vni"))
    walk.enter("nsh", walk.number("nsh.spi"))
    return True
