"""Names of IP protocols and Ethernet types: IANA's and IEEE 802's numbers, in the words that people use."""


def numbered(text: str, base: int = 10) -> dict[int, str]:
    """`number word number word` as {number: word}."""
    words = text.split()
    return dict(zip((int(word, base) for word in words[::2]), words[1::2], strict=True))


PROTOCOLS = numbered(
    """
0 HOPOPT  1 ICMP  2 IGMP  4 IPIP  6 TCP  8 EGP  9 IGP  17 UDP  27 RDP  33 DCCP  41 IPv6  43 Routing  44 Fragment  46 RSVP  47 GRE
50 ESP  51 AH  58 ICMPv6  59 NoNext  60 DstOpt  88 EIGRP  89 OSPF  97 EtherIP  103 PIM  108 IPComp  112 VRRP  113 PGM  115 L2TP
124 ISIS  132 SCTP  133 FC  135 MIPv6  136 UDPLite  137 MPLS  139 HIP  140 Shim6  142 ROHC  143 Ethernet
"""
)
ETHERTYPES = numbered(
    """
0800 IPv4  0806 ARP  0842 WoL  22f0 AVTP  22f3 TRILL  6558 TEB  8035 RARP  809b AppleTalk  80f3 AARP  8100 VLAN  8137 IPX  86dd IPv6
8808 Pause  8809 Slow  8847 MPLS  8848 MPLS  8863 PPPoED  8864 PPPoE  886d ANS  887b HomePlug  888e EAPOL  8892 PROFINET  88a2 AoE
88a4 EtherCAT  88a8 QinQ  88ab POWERLINK  88b8 GOOSE  88ba SV  88ca TIPC  88cc LLDP  88d9 LLTD  88e1 HomePlug  88e3 MRP  88e5 MACsec
88e7 PBB  88f5 MVRP  88f7 PTP  88fb PRP  8902 CFM  8906 FCoE  8914 FIP  8915 RoCE  893a IEEE1905  893f ETag  894f NSH  9000 Loopback
9100 QinQ  892f HSR
""",
    16,
)


def protocol(number: int) -> str:
    """An IP protocol by number: TCP, ICMPv6, or IP-253 where it has no name."""
    return PROTOCOLS.get(number) or f"IP-{number}"


def ethertype(number: int) -> str:
    """An Ethernet II type: ARP, LLDP, or 0x1234 where it has no name."""
    return ETHERTYPES.get(number) or f"0x{number:04x}"
