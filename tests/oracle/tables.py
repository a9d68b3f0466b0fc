"""Which columns are compared, and the names that tshark has for what they hold."""

from headwater.records import ENUMS

COLUMNS = (
    "direction l2_src l2_dst ethertype vlan vlan_inner mpls_label pppoe_session src dst proto ip_version ttl dscp ecn ip_length ip_options "
    "ip_id df mf fragment_offset flow_label sport dport tcp_flags seq ack window mss window_scale sack_permitted tsval tsecr "
    "icmp_type icmp_code icmp_mtu quoted_src quoted_dst quoted_proto quoted_sport quoted_dport igmp_type sctp_tag sctp_chunk spi "
    "arp_operation neighbor neighbor_mac payload_length tunnel tunnel_id tunnel_depth outer_src outer_dst outer_proto outer_sport "
    "outer_dport"
).split()
TUNNELS = {name: value for value, name in ENUMS["hw_tunnel"].items()}
SILENT = {"ethertype", "data", "raw", "pcap_pktdata", "wlan_radio", "pwethheuristic", "erspan-marker"}  # layers without a header
DEEPEST = 4

EXTENSIONS = {  # of IPv6, and AH: where each says what follows
    "ipv6.hopopts": "ipv6.hopopts.nxt",
    "ipv6.dstopts": "ipv6.dstopts.nxt",
    "ipv6.routing": "ipv6.routing.nxt",
    "ipv6.fraghdr": "ipv6.fraghdr.nxt",
    "ah": "ah.next_header",
    "shim6": "shim6.nxt",
}
EXTENSION_OPTIONS = {"ipv6.hopopts": "hop_by_hop", "ipv6.dstopts": "destination", "ipv6.routing": "routing", "ipv6.fraghdr": "fragment"}
EXTENSION_OPTIONS |= {"ah": "authentication", "shim6": "shim6"}
OPTIONS = {name: value for value, name in ENUMS["hw_ip_option"].items()}
IPV4_OPTIONS = {7: "record_route", 68: "timestamp", 131: "loose_source_route", 137: "strict_source_route", 148: "router_alert"}
IPV4_OPTIONS |= {130: "security", 133: "security", 134: "security"}
ENDS = {135: OPTIONS["mobility"], 139: OPTIONS["hip"]}  # extension headers with nothing behind them
MINIMUM = 20  # octets of an IPv4 header
MAC_TEXT = 17  # characters
UNKNOWN = -1  # a value that tshark does not tell
IPV4 = {"ttl": "ttl", "dscp": "dsfield.dscp", "ecn": "dsfield.ecn", "ip_length": "len", "ip_id": "id", "proto": "proto"}
IPV4 |= {"df": "flags.df", "mf": "flags.mf", "fragment_offset": "frag_offset"}
IPV6 = {"ttl": "hlim", "dscp": "tclass.dscp", "ecn": "tclass.ecn", "flow_label": "flow", "ip_length": "plen", "proto": "nxt"}
FRAGMENT = {"fragment_offset": "offset", "mf": "more", "ip_id": "ident"}
TCP = {"sport": "srcport", "dport": "dstport", "seq": "seq_raw", "ack": "ack_raw", "tcp_flags": "flags", "window": "window_size_value"}
TCP |= {"payload_length": "len", "mss": "options.mss_val", "window_scale": "options.wscale.shift"}
TCP |= {"tsval": "options.timestamp.tsval", "tsecr": "options.timestamp.tsecr"}
