"""What tshark reads from a capture: the fields of each packet, with every occurrence. walk.py makes the columns of a row of them."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = int | str | None
Fields: TypeAlias = dict[str, list[str]]

PROTOCOLS = {
    *"frame data _ws.short _ws.malformed pcap_pktdata".split(),
    *"eth ethertype vlan ieee8021ad ieee8021ah vntag cfp llc arp mpls pwethheuristic pwethcw pwethnocw pppoe pppoes pppoed ppp nsh".split(),
    *"raw null sll fddi fr chdlc nflog pflog ppi radiotap prism wlancap wlan wlan_radio wlan_aggregate".split(),
    *"ip ipv6 ipv6.hopopts ipv6.dstopts ipv6.fraghdr ah esp shim6 mipv6 hip".split(),
    *"ipv6.routing ipv6.routing.type.rt0 ipv6.routing.type.srh ipv6.routing.type.mipv6 ipv6.routing.type.crh".split(),
    *"tcp udp icmp icmpv6 igmp sctp udpencap".split(),
    *"gre erspan erspan-marker etherip vxlan vxlan_gpe geneve gtp l2tp teredo ayiya".split(),
}
APART = dict.fromkeys(("ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"), "FALSE")
"""Each packet on its own."""
PREFERENCES = APART | {  # and numbers as they are on the wire
    "tcp.analyze_sequence_numbers": "FALSE",
    "tcp.relative_sequence_numbers": "FALSE",
    "tcp.calculate_timestamps": "FALSE",
    "wlan.defragment": "FALSE",
    "eth.fcs": "Never",
    "ip.tso_support": "TRUE",
    "ipv6.tso_support": "TRUE",
    "vlan.qinq_ethertype": "0x9100",
}
DECODE_AS = "udp.port==8472,vxlan udp.port==4754,gre mpls.label==301,pwethcw udp.port==3545,teredo".split()  # what it does not know itself
FIELDS = [
    *"frame.protocols _ws.short _ws.malformed eth.src eth.dst eth.type vlan.id vlan.etype vlan.len ieee8021ad.id vntag.etype".split(),
    *"ieee8021ah.isid ieee8021ah.csrc ieee8021ah.cdst ieee8021ah.etype arp.src.proto_ipv4 arp.dst.proto_ipv4 llc.type llc.oui".split(),
    *"mpls.label pppoe.session_id sll.pkttype sll.etype sll.gretype chdlc.protocol fr.chdlctype fr.snaptype fddi.src fddi.dst".split(),
    *"wlan.sa wlan.da wlan.fc.type wlan_aggregate.a_mdsu.subframe nsh.spi".split(),
    *"ip.version ip.src ip.dst ip.ttl ip.proto ip.dsfield.dscp ip.dsfield.ecn ip.len ip.hdr_len ip.id ip.flags.df ip.flags.mf".split(),
    *"ip.frag_offset ipv6.src ipv6.dst ipv6.hlim ipv6.tclass.dscp ipv6.tclass.ecn ipv6.flow ipv6.plen ipv6.nxt".split(),
    *"ipv6.fraghdr.offset ipv6.fraghdr.more ipv6.fraghdr.ident ipv6.fraghdr.nxt ipv6.hopopts.nxt ipv6.dstopts.nxt".split(),
    *"ipv6.routing.type ipv6.routing.segleft ipv6.routing.len_oct ipv6.routing.src.addr ipv6.routing.mipv6.home_address".split(),
    *"ipv6.opt.mipv6.home_address ipv6.routing.nxt ah.next_header shim6.nxt ah.spi esp.spi".split(),
    *"tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.flags tcp.window_size_value tcp.len".split(),
    *"tcp.options.mss_val tcp.options.wscale.shift tcp.options.sack_perm tcp.options.timestamp.tsval tcp.options.timestamp.tsecr".split(),
    *"udp.srcport udp.dstport udp.length sctp.srcport sctp.dstport sctp.verification_tag sctp.chunk_type igmp.type".split(),
    *"icmp.type icmp.code icmp.mtu icmpv6.type icmpv6.code icmpv6.mtu icmpv6.nd.na.target_address".split(),
    *"icmpv6.opt.src_linkaddr icmpv6.opt.target_linkaddr arp.opcode arp.src.hw_mac".split(),
    *"gre.proto gre.key gre.key.call_id gre.flags.version erspan.version erspan.spanid vxlan.vni geneve.vni gtp.teid".split(),
    *"l2tp.tunnel l2tp.session arp.hw.type arp.hw.size arp.proto.type arp.proto.size tcp.hdr_len ip.opt.type".split(),
]


def profile(scratch: Path) -> None:
    """Make `scratch` a profile in which all protocols but ours are off."""
    known = subprocess.run(["tshark", "-G", "protocols"], capture_output=True, text=True, check=True, timeout=60).stdout
    names = {line.split("\t")[2] for line in known.splitlines()}
    assert len(PROTOCOLS & names) > 50, "tshark names its protocols in another way"
    (scratch / "disabled_protos").write_text("".join(f"{name}\n" for name in sorted(names - PROTOCOLS)))


def _started(capture: Path, scratch: Path, fields: Sequence[str], preferences: Mapping[str, str], *more: str) -> subprocess.Popen[str]:
    """tshark, writing a line for each packet, of `fields` with every occurrence."""
    command = ["tshark", "-r", str(capture), "-n", "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", "-E", "aggregator=,", *more]
    for name, value in preferences.items():
        command += ["-o", f"{name}:{value}"]
    for field in fields:
        command += ["-e", field]
    environment = os.environ | {"WIRESHARK_CONFIG_DIR": str(scratch)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def shown(capture: Path, scratch: Path, fields: Sequence[str], preferences: Mapping[str, str], *more: str) -> Iterator[dict[str, str]]:
    """What it shows of each packet, by field, as far as the capture can be read. `scratch` is a profile()."""
    with _started(capture, scratch, fields, preferences, *more) as process:
        assert process.stdout
        for line in process.stdout:
            yield dict(zip(fields, line.rstrip("\n").split("\t"), strict=True))


def lines(capture: Path, scratch: Path, fields: list[str], *more: str) -> Iterator[str]:
    """What it writes: a line for each packet, of `fields` with every occurrence. `scratch` is a profile()."""
    known = [word for ports in DECODE_AS for word in ("-d", ports)]
    with _started(capture, scratch, fields, PREFERENCES, *more, *known) as process:
        assert process.stdout
        yield from (line.rstrip("\n") for line in process.stdout)
    assert process.returncode == 0, f"tshark refused {more}"


def dissect(capture: Path, scratch: Path) -> Iterator[Fields]:
    """The fields of each packet, every occurrence of each."""
    profile(scratch)
    for line in lines(capture, scratch, FIELDS):
        yield {field: value.split(",") for field, value in zip(FIELDS, line.split("\t"), strict=True) if value}


def kept(capture: Path, scratch: Path, text: str) -> set[int]:
    """The numbers, from 0 on, of the packets that a display filter keeps. `scratch` is a profile()."""
    return {int(line) - 1 for line in lines(capture, scratch, ["frame.number"], "-Y", text)}
