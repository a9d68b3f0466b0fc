"""Names against registries that are not ours: the kernel's headers, Python's ipaddress and socket, IEEE's list as netaddr reads it."""

import random
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import netaddr
import pytest

from headwater.analysis import names

LINUX = Path("/usr/include/linux")


def octets(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text if ":" in text else f"::ffff:{text}")


def defined(header: str, prefix: str) -> dict[str, int]:
    """The numbers that a header of the kernel gives to names."""
    return {name: int(value, 0) for name, value in re.findall(rf"define\s+{prefix}(\w+)\s+(0[xX]\w+|\d+)", (LINUX / header).read_text())}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("239.255.255.250", "SSDP"),
        ("ff02::c", "SSDP"),
        ("ff05::c", "SSDP"),
        ("224.0.0.251", "mDNS"),
        ("ff02::fb", "mDNS"),
        ("224.0.0.252", "LLMNR"),
        ("ff02::1:3", "LLMNR"),
        ("224.0.0.1", "all nodes"),
        ("ff02::1", "all nodes"),
        ("224.0.0.2", "all routers"),
        ("ff02::2", "all routers"),
        ("224.0.0.22", "IGMPv3"),
        ("ff02::16", "MLDv2"),
        ("224.0.0.13", "PIM"),
        ("ff02::d", "PIM"),
        ("224.0.0.5", "OSPF"),
        ("ff02::6", "OSPF DR"),
        ("224.0.0.18", "VRRP"),
        ("ff02::12", "VRRP"),
        ("ff02::1:ff00:1", "solicited-node"),
        ("ff02::1:ffab:cdef", "solicited-node"),
        ("ff02::2:ff00:1", "link multicast"),  # not a solicited-node group: another bit
        ("ff12::fb", "link multicast"),  # a transient group of the same number is nobody's
        ("ff0e::1234", "global multicast"),
        ("255.255.255.255", "broadcast"),
        ("100.64.0.1", "CGNAT"),
        ("100.128.0.1", ""),
        ("172.31.255.255", "private"),
        ("172.32.0.0", ""),
        ("fd00::1", "private"),
        ("fe80::1", "link-local"),
        ("169.254.1.1", "link-local"),
        ("203.0.113.7", "documentation"),
        ("2001:db8::7", "documentation"),
        ("3fff:fff::1", "documentation"),
        ("64:ff9b::808:808", "NAT64"),
        ("2002:808:808::1", "6to4"),
        ("2001:0:1::1", "Teredo"),
        ("240.0.0.1", "reserved"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("8.8.8.8", "Google DNS"),
        ("93.184.216.34", ""),
        ("2a00:1450::1", ""),
    ],
)
def test_an_address_says_what_it_is(address: str, name: str) -> None:
    assert names.address(octets(address)) == name


def test_kinds_agree_with_ipaddress() -> None:
    rng = random.Random(5)
    edges = [
        part[i]
        for part in map(ip_network, ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "fe80::/10", "ff00::/8", "fc00::/7"))
        for i in (0, -1)
    ]
    made = [IPv4Address(rng.getrandbits(32)) for _ in range(3000)] + [IPv6Address(rng.getrandbits(128)) for _ in range(500)]
    made += [IPv6Address(rng.choice((0xFE80, 0xFC00, 0xFF00)) << 112 | rng.getrandbits(122)) for _ in range(500)]
    for address in [*edges, *made]:
        name = names.address(octets(str(address)))
        if names.well_known(octets(str(address))):
            continue
        assert ("multicast" in name) == address.is_multicast, address
        assert (name == "loopback") == address.is_loopback, address
        assert (name == "link-local") == address.is_link_local, address
        assert not (name == "" and address.is_private), address


def test_address_text_is_canonical() -> None:
    rng = random.Random(6)
    for address in [IPv4Address(rng.getrandbits(32)) for _ in range(200)] + [
        IPv6Address(rng.getrandbits(128) << 16 * rng.randrange(8) & (1 << 128) - 1) for _ in range(500)
    ]:
        assert ip_address(names.address_text(octets(str(address)))) == address


@pytest.mark.parametrize(
    ("mac", "name"),
    [
        ("ff:ff:ff:ff:ff:ff", "broadcast"),
        ("01:00:5e:00:00:fb", "IPv4 multicast"),
        ("33:33:00:00:00:01", "IPv6 multicast"),
        ("01:80:c2:00:00:00", "STP"),
        ("01:80:c2:00:00:0e", "LLDP"),
        ("01:80:c2:00:00:7f", "bridge group"),
        ("01:00:0c:cc:cc:cc", "CDP"),
        ("00:00:5e:00:01:2a", "VRRP"),
        ("00:00:0c:07:ac:01", "HSRP"),
        ("00:00:0c:9f:f1:23", "HSRP"),
        ("03:00:00:00:00:01", "multicast"),
        ("02:00:00:00:00:01", "local"),
        ("da:a1:19:00:00:01", "local"),
        ("52:54:00:12:34:56", "QEMU"),
        ("00:00:00:00:00:00", "none"),
        ("00:1b:21:aa:bb:cc", "Intel"),
        ("b8:27:eb:00:00:01", "Raspberry Pi Foundation"),
    ],
)
def test_a_mac_says_whose_it_is(mac: str, name: str) -> None:
    assert names.mac(bytes.fromhex(mac.replace(":", ""))) == name


def test_vendors_agree_with_netaddr() -> None:
    rng, registered = random.Random(7), 0
    for oui in [rng.choice((0x000000, 0x3C0000, 0xAC0000)) | rng.getrandbits(16) for _ in range(2000)]:
        mac = oui.to_bytes(3) + b"\1\2\3"
        if mac[0] & 3 or mac.hex()[:4] == "0000":
            continue
        try:
            organization = netaddr.OUI(oui).registration().org
        except netaddr.NotRegisteredError:
            assert names.mac(mac) == ""
            continue
        registered += 1
        assert names.mac(mac) and organization.startswith(names.mac(mac)), organization
    assert registered > 100


def test_a_missing_list_of_vendors_only_takes_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Found:
        origin = str(tmp_path / "__init__.py")

    for cached in (names.mac, names._vendor, names._registry):
        cached.cache_clear()
    monkeypatch.setattr(names, "find_spec", lambda _: Found)
    try:
        assert names.mac(bytes.fromhex("001b21aabbcc")) == ""
    finally:
        for cached in (names.mac, names._vendor, names._registry):
            cached.cache_clear()


def test_protocols_agree_with_the_kernel() -> None:
    numbers = {name.removeprefix("IPPROTO_"): getattr(socket, name) for name in dir(socket) if name.startswith("IPPROTO_")}
    for name in ("ICMP", "IGMP", "IPIP", "TCP", "EGP", "UDP", "IPV6", "RSVP", "GRE", "ESP", "AH", "ICMPV6", "PIM", "SCTP", "UDPLITE"):
        assert names.protocol(numbers[name]).upper() == name
    assert names.protocol(89) == "OSPF"
    assert names.protocol(253) == "IP-253"  # RFC 3692: for experiments


def test_ethertypes_agree_with_the_kernel() -> None:
    numbers = defined("if_ether.h", "ETH_P_")
    ours = {
        "IP": "IPv4",
        "ARP": "ARP",
        "RARP": "RARP",
        "IPV6": "IPv6",
        "8021Q": "VLAN",
        "8021AD": "QinQ",
        "8021AH": "PBB",
        "MPLS_UC": "MPLS",
        "MPLS_MC": "MPLS",
        "PPP_DISC": "PPPoED",
        "PPP_SES": "PPPoE",
        "PAE": "EAPOL",
        "PROFINET": "PROFINET",
        "AOE": "AoE",
        "ETHERCAT": "EtherCAT",
        "TIPC": "TIPC",
        "LLDP": "LLDP",
        "MACSEC": "MACsec",
        "MRP": "MRP",
        "MVRP": "MVRP",
        "1588": "PTP",
        "PRP": "PRP",
        "HSR": "HSR",
        "CFM": "CFM",
        "FCOE": "FCoE",
        "FIP": "FIP",
        "IBOE": "RoCE",
        "NSH": "NSH",
        "TEB": "TEB",
        "SLOW": "Slow",
        "PAUSE": "Pause",
        "IPX": "IPX",
        "LOOPBACK": "Loopback",
        "AARP": "AARP",
        "ATALK": "AppleTalk",
        "ERSPAN2": "0x22eb",  # no word of ours
    }
    assert {name: names.ethertype(numbers[name]) for name in ours} == ours


def test_icmp_agrees_with_the_kernel() -> None:
    v4, v6, nd = defined("icmp.h", "ICMP_"), defined("icmpv6.h", "ICMPV6_"), defined("icmp.h", "ICMP_EXT_")
    words = {
        "ECHOREPLY": "echo reply",
        "DEST_UNREACH": "unreachable: network",
        "SOURCE_QUENCH": "source quench",
        "REDIRECT": "redirect: network",
        "ECHO": "echo request",
        "TIME_EXCEEDED": "time exceeded: hops",
        "TIMESTAMP": "timestamp request",
        "TIMESTAMPREPLY": "timestamp reply",
        "ADDRESS": "mask request",
        "ADDRESSREPLY": "mask reply",
    }
    assert {name: names.icmp(1, v4[name], 0) for name in words} == words
    codes = {
        "HOST_UNREACH": "host",
        "PROT_UNREACH": "protocol",
        "PORT_UNREACH": "port",
        "FRAG_NEEDED": "too big",
        "PKT_FILTERED": "prohibited",
    }
    assert {name: names.icmp(1, 3, v4[name]) for name in codes} == {name: f"unreachable: {word}" for name, word in codes.items()}
    words6 = {
        "DEST_UNREACH": "unreachable: no route",
        "PKT_TOOBIG": "too big",
        "TIME_EXCEED": "time exceeded: hops",
        "ECHO_REQUEST": "echo request",
        "ECHO_REPLY": "echo reply",
        "MGM_QUERY": "MLD query",
        "MGM_REPORT": "MLD report",
        "MGM_REDUCTION": "MLD done",
        "MLD2_REPORT": "MLDv2 report",
        "EXT_ECHO_REQUEST": "probe request",
    }
    assert {name: names.icmp(58, v6[name], 0) for name in words6} == words6
    codes6 = {
        "ADM_PROHIBITED": "prohibited",
        "NOT_NEIGHBOUR": "beyond scope",
        "ADDR_UNREACH": "address",
        "PORT_UNREACH": "port",
        "POLICY_FAIL": "policy",
    }
    assert {name: names.icmp(58, 1, v6[name]) for name in codes6} == {name: f"unreachable: {word}" for name, word in codes6.items()}
    assert nd["ECHO"] == 42 and names.icmp(1, 42, 0) == "probe request"
    assert [names.icmp(58, kind, 0) for kind in range(133, 138)] == [  # RFC 4861, section 4
        "router solicit",
        "router advert",
        "neighbor solicit",
        "neighbor advert",
        "redirect",
    ]
    assert names.icmp(1, 99, 7) == "type 99, code 7"
    assert names.icmp(1, 3, 200) == "unreachable, code 200"


def test_flags_are_letters_from_fin_up() -> None:
    assert [names.tcp_flags(bits) for bits in (0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x29, 0xC2, 0x100, 0)] == [
        *("S", "SA", "A", "PA", "FA", "R", "RA", "FPU", "SEC", "N", "none")
    ]


def test_services_are_what_people_call_them() -> None:
    tcp, udp = 6, 17
    assert names.service_of(tcp, 50312, 443) == names.service_of(tcp, 443, 50312) == "https"
    assert names.service_of(udp, 443, 50312) == "quic"
    assert names.service_of(udp, 5353, 5353) == "mdns"
    assert names.service_of(udp, 68, 67) == "dhcp"
    assert names.service_of(tcp, 51820, 40000) == ""  # WireGuard is UDP
    assert names.service_of(udp, 51820, 40000) == "wireguard"
    assert names.service_of(tcp, 8123, 5432) == "postgres"
    known = {22: "ssh", 25: "smtp", 53: "dns", 80: "http", 123: "ntp", 179: "bgp", 389: "ldap", 445: "smb", 3306: "mysql", 6379: "redis"}
    assert {port: names.service(tcp, port) for port in known} == known


def test_options_are_words() -> None:
    assert names.ip_options(1 << 4 | 1 << 6) == ["router alert", "hop by hop"]
    assert names.ip_options(0) == []
