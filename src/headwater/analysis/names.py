"""What addresses and numbers of the wire mean, in few words: from tables in this package, never by asking a network.

Every function is pure, gives "" where there is nothing to say, and keeps at most a bounded number of answers.
Sources: the IANA registries of special-purpose addresses (RFC 6890), multicast addresses, protocol numbers, ICMP types and service
names; IEEE 802 for link-layer groups and ethertypes. Where people use another word than the registry (dns, not domain), theirs.
"""

import re
import socket
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from headwater.records import ENUMS
from headwater.records.address import MAPPED
from headwater.records.protocols import ethertype as ethertype  # noqa: PLC0414 - to be used as names.ethertype
from headwater.records.protocols import numbered
from headwater.records.protocols import protocol as protocol  # noqa: PLC0414 - to be used as names.protocol


def _table(text: str) -> dict[str, str]:
    """`a b: words` lines as {a: words, b: words}."""
    split = (line.rsplit(": ", 1) for line in text.strip().splitlines())
    return {key: words for keys, words in split for key in keys.split()}


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address) if ":" in address else MAPPED + socket.inet_aton(address)


# Single addresses. Multicast: IANA ipv4-multicast-addresses and ipv6-multicast-addresses.
_ADDRESSES = {
    _packed(key): words
    for key, words in _table(
        """
255.255.255.255: broadcast
224.0.0.1 ff01::1 ff02::1: all nodes
224.0.0.2 ff01::2 ff02::2 ff05::2: all routers
224.0.0.4 ff02::4: DVMRP
224.0.0.5 ff02::5: OSPF
224.0.0.6 ff02::6: OSPF DR
224.0.0.9: RIPv2
ff02::9: RIPng
224.0.0.10 ff02::a: EIGRP
224.0.0.13 ff02::d: PIM
224.0.0.18 ff02::12: VRRP
224.0.0.22: IGMPv3
ff02::16: MLDv2
224.0.0.102 ff02::66: HSRP
224.0.0.106 ff02::6a: all snoopers
224.0.0.107 ff02::6b 224.0.1.129: PTP
224.0.0.251: mDNS
224.0.0.252 ff02::1:3: LLMNR
224.0.1.1: NTP
239.255.255.250: SSDP
239.255.255.253: SLP
ff02::1:2 ff05::1:3: DHCPv6
0.0.0.0 ::: unspecified
169.254.169.254 fd00:ec2::254: cloud metadata
"""
    ).items()
}
# Everybody's too, but addresses like any other.
_RESOLVERS = {
    _packed(key): words
    for key, words in _table(
        """
1.1.1.1 1.0.0.1 2606:4700:4700::1111 2606:4700:4700::1001: Cloudflare DNS
8.8.8.8 8.8.4.4 2001:4860:4860::8888 2001:4860:4860::8844: Google DNS
9.9.9.9 149.112.112.112 2620:fe::fe 2620:fe::9: Quad9 DNS
"""
    ).items()
}
# Permanent IPv6 groups that exist in every scope, ff0X::group (RFC 4291, section 2.7).
_GROUPS = {0xC: "SSDP", 0xFB: "mDNS", 0x101: "NTP", 0x181: "PTP"}
_SOLICITED = b"\xff\x02" + bytes(9) + b"\x01\xff"  # RFC 4291, section 2.7.1
_SCOPES = {1: "interface", 2: "link", 3: "realm", 4: "admin", 5: "site", 8: "organization", 14: "global"}  # RFC 7346

# The kind of address, by the longest prefix: RFC 6890's registry, IANA's ipv6-address-space, RFC 5771 (IPv4 multicast), 4193, 4291, 9637.
_KINDS = _table(
    """
0.0.0.0/0 2000::/3: global
::/0: reserved
0.0.0.0/8: this network
10.0.0.0/8 172.16.0.0/12 192.168.0.0/16: private
100.64.0.0/10: CGNAT
127.0.0.0/8 ::1/128: loopback
169.254.0.0/16 fe80::/10: link-local
192.0.0.0/24 2001::/23: IETF protocols
192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20: documentation
192.88.99.0/24 2002::/16: 6to4
198.18.0.0/15 2001:2::/48: benchmarking
224.0.0.0/4 ff00::/8: multicast
224.0.0.0/24: local multicast
232.0.0.0/8: source-specific multicast
239.0.0.0/8: site multicast
240.0.0.0/4: reserved
fc00::/7: private
2001::/32: Teredo
2001:20::/28: ORCHID
64:ff9b::/96 64:ff9b:1::/48: NAT64
100::/64: discard-only
fec0::/10: site-local
5f00::/16: SRv6
"""
)


def _prefix(text: str) -> tuple[int, int]:
    address, bits = text.split("/")
    shift = (128 if ":" in address else 32) - int(bits)
    return shift, int.from_bytes(_packed(address)) >> shift


_PREFIXES = sorted((*_prefix(key), words) for key, words in _KINDS.items())  # the smallest shift is the longest prefix


@lru_cache(maxsize=8192)
def address_text(address: bytes) -> str:
    """16 octets as text; IPv4 where they are mapped."""
    if address[:12] == MAPPED:
        return socket.inet_ntoa(address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


@lru_cache(maxsize=8192)
def well_known(address: bytes) -> str:
    """The name of one address or group that everybody's network has: mDNS, SSDP, all nodes, solicited-node, Google DNS."""
    return _RESOLVERS.get(address) or _group(address)


def _group(address: bytes) -> str:
    if address in _ADDRESSES:
        return _ADDRESSES[address]
    if address[0] == 0xFF and address[1] >> 4 == 0:
        return _GROUPS.get(int.from_bytes(address[2:]), "solicited-node" if address[:13] == _SOLICITED else "")
    return ""


@lru_cache(maxsize=8192)
def address(address: bytes) -> str:
    """What a 16-octet address is: well_known(), else its kind (private, link-local, documentation, multicast ...), else "" (global)."""
    known = well_known(address)
    if known:
        return known
    kind = _kind(address)
    if kind == "multicast" and address[0] == 0xFF:
        return f"{_SCOPES.get(address[1] & 15, 'unknown-scope')} multicast"
    return "" if kind == "global" else kind


def _kind(address: bytes) -> str:
    number = int.from_bytes(address)
    return next(words for shift, value, words in _PREFIXES if number >> shift == value)


def scope(address: bytes) -> str:
    """The same in one word for a column: a group's name (mdns, ssdp, all_nodes), broadcast, cloud_metadata, else the kind of address:
    private, loopback, link_local, shared (RFC 6598), documentation, benchmarking, multicast, reserved, ..., global.
    """
    words = _group(address) or _kind(address)
    if words == "CGNAT":
        return "shared"
    return "multicast" if words.endswith("multicast") else re.sub("[ -]", "_", words.lower())


def scope_starts() -> list[int]:
    """Every 16-octet number from which on scope() may be another than before, in order: between two of them it is the same."""
    singles = [*_ADDRESSES, *(bytes([0xFF, reach]) + group.to_bytes(14) for reach in range(16) for group in _GROUPS)]
    ranges = [(128 - 8 * len(_SOLICITED), int.from_bytes(_SOLICITED))] + [(shift, value) for shift, value, _ in _PREFIXES]
    ranges += [(0, int.from_bytes(one)) for one in singles]
    return sorted({end << shift for shift, value in ranges for end in (value, value + 1)} - {1 << 128})


# -- link layer ----------------------------------------------------------------------------------------------------------------

# IEEE 802.1Q tables 8-1 to 8-3, RFC 1112, RFC 2464, RFC 9542 (VRRP's), and groups of vendors.
_MACS = _table(
    """
ffffffffffff: broadcast
000000000000: none
0180c2000000: STP
0180c2000001: pause
0180c2000002: LACP
0180c2000003: 802.1X
0180c2000008: provider STP
0180c200000e: LLDP
0180c2000014 0180c2000015: IS-IS
0180c2000021: MVRP
01000ccccccc: CDP
01000ccccccd: PVST+
011b19000000: PTP
0180c2: bridge group
01005e: IPv4 multicast
3333: IPv6 multicast
00005e0001 00005e0002: VRRP
00000c07ac 00000c9ff: HSRP
525400: QEMU
0242: Docker
"""
)


@lru_cache(maxsize=4096)
def mac_text(mac: bytes) -> str:
    """6 octets as text."""
    return mac.hex(":")


@lru_cache(maxsize=4096)
def mac(mac: bytes) -> str:
    """Whose a MAC is: a group's name, the vendor's, or that it is locally administered (made up: a VM, a container, a private phone)."""
    text = mac.hex()
    for octets in (12, 10, 9, 6, 4):
        if text[:octets] in _MACS:
            return _MACS[text[:octets]]
    if mac[0] & 1:
        return "multicast"
    if mac[0] & 2:
        return "local"
    return _vendor(int.from_bytes(mac[:3]))


_LEGAL = re.compile(
    r"[ ,]+(?:inc|incorporated|co|corp|corporate|corporation|company|limited|ltd|llc|gmbh|ag|ab|bv|b\.v|sa|s\.a|spa|plc|oyj?)\.?$", re.I
)
_OUI_LINE = re.compile(rb"\(hex\)\s+(.+)")


@lru_cache(maxsize=1)
def _registry() -> tuple[Path, np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """IEEE's list as netaddr carries it, and where in it each OUI is (OUI, offset, octets).

    netaddr's own index is a dict that takes 20 MB and 0.15 s with its import, which would hold up the first packets; as an array
    it takes 1 MB and 5 ms.
    """
    found = find_spec("netaddr")
    assert found is not None and found.origin is not None  # noqa: S101 - a dependency of this package
    folder = Path(found.origin).parent / "eui"
    index = np.loadtxt(folder / "oui.idx", delimiter=",", dtype=np.int64, ndmin=2)
    return folder / "oui.txt", index[np.argsort(index[:, 0], kind="stable")]


@lru_cache(maxsize=8192)
def _vendor(oui: int) -> str:
    try:
        path, index = _registry()
        at = int(np.searchsorted(index[:, 0], oui))
        if at == len(index) or index[at, 0] != oui:
            return ""
        with path.open("rb") as file:
            file.seek(int(index[at, 1]))
            line = _OUI_LINE.search(file.read(int(index[at, 2])))
    except (OSError, ValueError):  # another edition of netaddr: a name less
        return ""
    name = line[1].decode("utf-8", "replace").strip() if line else ""
    while (shorter := _LEGAL.sub("", name).rstrip(" ,.")) != name:
        name = shorter
    return name


# -- numbers ---------------------------------------------------------------------------------------------------------------------


_SERVICES = numbered(
    """
7 echo  9 discard  13 daytime  19 chargen  20 ftp-data  21 ftp  22 ssh  23 telnet  25 smtp  37 time  43 whois  49 tacacs  53 dns
67 dhcp  68 dhcp  69 tftp  70 gopher  79 finger  80 http  88 kerberos  102 iso-tsap  104 dicom  110 pop3  111 rpcbind  113 ident
119 nntp  123 ntp  135 msrpc  137 netbios-ns  138 netbios-dgm  139 netbios-ssn  143 imap  161 snmp  162 snmptrap  179 bgp  194 irc
319 ptp-event  320 ptp  389 ldap  427 slp  443 https  445 smb  464 kpasswd  465 smtps  500 ike  502 modbus  512 exec  513 login
514 shell  515 lpd  520 rip  521 ripng  546 dhcpv6  547 dhcpv6  548 afp  554 rtsp  563 nntps  587 submission  623 ipmi  631 ipp
636 ldaps  646 ldp  853 dot  860 iscsi  873 rsync  902 vmware  989 ftps-data  990 ftps  993 imaps  995 pop3s  1080 socks  1194 openvpn
1433 mssql  1434 mssql-browser  1521 oracle  1645 radius  1646 radius-acct  1701 l2tp  1723 pptp  1812 radius  1813 radius-acct
1883 mqtt  1900 ssdp  1985 hsrp  2049 nfs  2055 netflow  2152 gtp-u  2123 gtp-c  2181 zookeeper  2375 docker  2376 docker-tls
2379 etcd  2380 etcd-peer  3128 squid  3260 iscsi  3268 ldap-gc  3306 mysql  3389 rdp  3478 stun  3493 nut  3689 daap
3702 ws-discovery  3784 bfd  4222 nats  4369 epmd  4500 ipsec-nat  4739 ipfix  4789 vxlan  5004 rtp  5005 rtcp  5044 beats  5060 sip
5061 sips  5201 iperf3  5222 xmpp  5269 xmpp-server  5349 stuns  5351 nat-pmp  5353 mdns  5355 llmnr  5432 postgres  5555 adb
5671 amqps  5672 amqp  5683 coap  5684 coaps  5900 vnc  5938 teamviewer  5984 couchdb  5985 winrm  5986 winrm-tls  6000 x11
6081 geneve  6343 sflow  6379 redis  6443 kubernetes  6514 syslog-tls  6653 openflow  6667 irc  6697 ircs  6881 bittorrent  7946 swarm
8008 http-alt  8080 http-alt  8086 influxdb  8200 vault  8333 bitcoin  8443 https-alt  8472 vxlan  8500 consul  8883 mqtts
9042 cassandra  9090 prometheus  9092 kafka  9100 jetdirect  9200 elasticsearch  9418 git  10050 zabbix-agent  10051 zabbix
10250 kubelet  11211 memcached  11434 ollama  20000 dnp3  25565 minecraft  27015 steam  27017 mongodb
"""
)
_UDP_SERVICES = numbered(
    """
443 quic  514 syslog  853 doq  33434 traceroute  41641 tailscale  47808 bacnet  51820 wireguard
"""
)


def services(proto: int) -> dict[int, str]:
    """What each port of TCP or UDP stands for that has a name, by the port, the lowest first."""
    return dict(sorted((_SERVICES | (_UDP_SERVICES if proto == 17 else {})).items()))


def service(proto: int, port: int) -> str:
    """The service that a TCP or UDP port stands for."""
    return (proto == 17 and _UDP_SERVICES.get(port)) or _SERVICES.get(port, "")


@lru_cache(maxsize=8192)
def service_of(proto: int, sport: int, dport: int) -> str:
    """The service of a packet: the lower port's if that has a name, else the other's."""
    low, high = sorted((sport, dport))
    return service(proto, low) or service(proto, high)


@lru_cache(maxsize=512)
def tcp_flags(bits: int) -> str:
    """A letter a flag, from FIN up: F S R P A U E C N (N is AE, once NS). A handshake is S, SA, A; "none" if none is set."""
    return "".join(letter for place, letter in enumerate("FSRPAUECN") if bits >> place & 1) or "none"


def ip_options(bits: int) -> list[str]:
    """The words for the bits of enum hw_ip_option."""
    return [name.replace("_", " ") for bit, name in ENUMS["hw_ip_option"].items() if bits & bit]


_UNREACHABLE = (
    "network;host;protocol;port;too big;source route;network unknown;host unknown;isolated;network prohibited;host prohibited;"
    "network tos;host tos;prohibited;precedence;precedence cutoff"
)
_UNREACHABLE6 = "no route;prohibited;beyond scope;address;port;policy;rejected route;source routing"
_PARAMETER6 = "header;next header;option;first fragment;segment"
_ICMP: dict[int, tuple[str, str]] = {
    0: ("echo reply", ""),
    3: ("unreachable", _UNREACHABLE),  # RFC 792, 1122, 1812
    4: ("source quench", ""),
    5: ("redirect", "network;host;network tos;host tos"),
    8: ("echo request", ""),
    9: ("router advert", ""),
    10: ("router solicit", ""),
    11: ("time exceeded", "hops;reassembly"),
    12: ("bad parameter", "at a place;missing option;length"),
    13: ("timestamp request", ""),
    14: ("timestamp reply", ""),
    17: ("mask request", ""),
    18: ("mask reply", ""),
    42: ("probe request", ""),  # RFC 8335
    43: ("probe reply", ""),
}
_ICMP6: dict[int, tuple[str, str]] = {
    1: ("unreachable", _UNREACHABLE6),  # RFC 4443
    2: ("too big", ""),
    3: ("time exceeded", "hops;reassembly"),
    4: ("bad parameter", _PARAMETER6),
    128: ("echo request", ""),
    129: ("echo reply", ""),
    130: ("MLD query", ""),
    131: ("MLD report", ""),
    132: ("MLD done", ""),
    133: ("router solicit", ""),  # RFC 4861
    134: ("router advert", ""),
    135: ("neighbor solicit", ""),
    136: ("neighbor advert", ""),
    137: ("redirect", ""),
    139: ("node query", ""),
    140: ("node reply", ""),
    143: ("MLDv2 report", ""),
    151: ("multicast router advert", ""),
    152: ("multicast router solicit", ""),
    153: ("multicast router done", ""),
    155: ("RPL control", ""),
    160: ("probe request", ""),
    161: ("probe reply", ""),
}


@lru_cache(maxsize=4096)
def icmp(proto: int, kind: int, code: int) -> str:
    """Type and code of ICMP (proto 1) or ICMPv6 (58) in words: "echo request", "unreachable: port"."""
    words, codes = (_ICMP6 if proto == 58 else _ICMP).get(kind, (f"type {kind}", ""))
    known = codes.split(";")
    if codes and code < len(known):
        return f"{words}: {known[code]}"
    return f"{words}, code {code}" if code else words
