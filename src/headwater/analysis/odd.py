"""Rows of `weird` of what C and protocols found odd. Which are told is as in Zeek's scripts/base/frameworks/notice/weird.zeek."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from headwater.records import WEIRD
from headwater.records.layouts import HAS, WEIRDS
from headwater.records.zeek_types import BEFORE_IP

Rows: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Odd: TypeAlias = tuple[int, bytes, bytes, int, bytes, int, str, str, str]
"""What a protocol found: when, the flow's uid and ends, a name, what more there is to say, and the protocol as Zeek calls its analyzer."""

_SOURCES: Final = {
    "TCP": "truncated_header bad_TCP_header_len bad_TCP_checksum TCP_christmas baroque_SYN SYN_with_data TCP_scale_range "
    "TCP_seq_underflow_or_misorder TCP_ack_underflow_or_misorder FIN_storm RST_storm connection_originator_SYN_ack "
    "unsolicited_SYN_response bad_SYN_ack simultaneous_open spontaneous_FIN spontaneous_RST repeated_SYN_with_ack inappropriate_FIN "
    "data_before_established SYN_after_partial SYN_after_close FIN_advanced_last_seq SYN_after_reset FIN_after_reset data_after_reset "
    "truncated_tcp_payload above_hole_data_without_any_acks excessive_data_without_further_acks active_connection_reuse "
    "premature_connection_reuse",
    "UDP": "UDP_datagram_length_mismatch bad_UDP_checksum",
    "ICMP": "bad_ICMP_checksum",
    "IP": "truncated_IP unknown_ip_version ip_hdr_len_zero truncated_IP_len invalid_IP_header_size IPv4_min_header_size "
    "internally_truncated_header ipv6_no_next bad_IP_checksum",
    "GRE": "truncated_GRE unknown_gre_version egre_protocol_type unknown_ERSPAN_version",
    "IPTUNNEL": "exceeded_tunnel_max_depth",
    "VXLAN": "vxlan_empty_packet",
    "GENEVE": "geneve_invalid_version geneve_empty_packet",
    "AYIYA": "ayiya_empty_packet",
    "ARP": "truncated_ARP corrupt_arp_header unknown_arp_hw_address unknown_arp_proto_address",
    "ETHERNET": "truncated_ethernet_frame undefined_ether_type",
    "VLAN": "truncated_VLAN_header triple_tagged_vlan_unsupported undefined_vlan_protocol",
    "LLC": "truncated_llc_header",
    "VNTAG": "truncated_vntag_header",
    "PBB": "truncated_pbb_header",
    "PPPOE": "truncated_pppoe_header",
    "LINUXSLL": "truncated_Linux_SLL_header",
    "IEEE802_11": "truncated_802_11_header truncated_802_11_amsdu_header",
    "NFLOG": "truncated_nflog_header unknown_nflog_version nflog_bad_tlv_len nflog_no_pcap_payload",
}
_SOURCE_OF: Final = np.full(256, "", object)
for _source, _names in _SOURCES.items():
    for _name in _names.split():
        _SOURCE_OF[WEIRDS[_name]] = _source
_FLOW: Final = WEIRD.column("uid").needs


_DAWN_NS: Final = 10**9
"""When the clock of Zeek begins, by which weirds are told, and not by the time of a packet: the first second of 1970."""
_TRUNCATED: Final = WEIRDS["internally_truncated_header"]
_TRANSPORTS: Final = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMP"}


_OF_STREAMS: Final = ("ts", "uid", "src", "sport", "dst", "dport", "name", "addl", "source")


def rows_of_packets(found: Rows) -> Rows:
    """Rows of WEIRD of those that C made (WEIRD_ROW)."""
    made = np.zeros(len(found), WEIRD.dtype)
    for name in found.dtype.names or ():
        made[name] = found[name]
    made["ts"] = np.maximum(made["ts"], _DAWN_NS)
    made["source"] = _SOURCE_OF[found["name"]]
    for proto, source in _TRANSPORTS.items():  # whose own header it is then
        made["source"][(found["name"] == _TRUNCATED) & (found["proto"] == proto) & (found["has"] & HAS["ip"] != 0)] = source
    return made


def rows_of_streams(found: Sequence[Odd]) -> Rows:
    """Rows of WEIRD of what protocols found. Which side said it is not told: `src` is who began the flow."""
    made = np.zeros(len(found), WEIRD.dtype)
    made["has"], made["count"], made["is_orig"] = HAS["addr"] | HAS["ports"] | _FLOW, 1, 1
    columns = dict(zip(_OF_STREAMS, zip(*found, strict=True), strict=False))
    for name, values in columns.items():
        match name:
            case "ts":
                made[name] = np.maximum(np.array(values, np.uint64), _DAWN_NS)
            case "name":
                made[name] = [WEIRDS[value] for value in values]
            case "uid" | "src" | "dst":
                made[name] = np.frombuffer(b"".join(values), WEIRD.dtype[name])
            case _:
                made[name] = values
    return made


# -- which of them are told ------------------------------------------------------------------------------------------------------------

_ONCE_A_FLOW: Final = (
    "simultaneous_open FTP_max_command_length_exceeded FTP_too_many_pending_commands FTP_user_too_long FTP_reply_msg_too_long "
    "FTP_arg_too_long FTP_password_too_long smtp_mail_transaction_invalid smtp_excessive_invalid_mail_transactions "
    "smb_tree_connect_andx_response_without_tree"
).split()
_ONCE_A_HOST: Final = (
    "bad_ICMP_checksum bad_RPC bad_TCP_checksum bad_UDP_checksum connection_originator_SYN_ack DNS_label_forward_compress_offset "
    "DNS_label_len_gt_name_len DNS_label_len_gt_pkt DNS_label_too_long excess_RPC FIN_storm originator_RPC_reply partial_RPC "
    "responder_RPC_call successful_RPC_reply_to_invalid_request SYN_after_partial SYN_with_data UDP_datagram_length_mismatch "
    "excessively_small_fragment fragment_inconsistency fragment_overlap fragment_size_inconsistency bad_IP_checksum"
).split()
_EACH_TIME: Final = "routing_loop duplicate_arp_answer gratuitous_arp ipv6_neighbor_changed".split()
_LOOKED_AT: Final = ["name", "ts", "has", "is_orig", "src", "sport", "dst", "dport"]
_UNDECIDED: Final = WEIRDS["connection_originator_SYN_ack"]  # whose sender Zeek takes for the originator then
_A_DAY_NS: Final = 86_400 * 10**9


class Repeats:
    """What was told of late. Of the same ends a name is told again after `again_s`, and of any ends where it is of IP's header or of what
    is before that; some are told once a day, of the same ends or of whoever began. What is left out is counted, and has a row a name each
    time. `most` are remembered, and those that were told first go first. With 0 seconds all is told.
    """

    def __init__(self, again_s: float, most: int = 65_536) -> None:
        self._again = round(again_s * 1e9)
        self._most = most
        self._told: dict[tuple[int, bytes], int] = {}
        self._left: dict[int, list[int]] = {}  # by name: when the first that is counted came, the last one, and how many
        self._a_flow = frozenset(WEIRDS[name] for name in _ONCE_A_FLOW)
        self._a_host = frozenset(WEIRDS[name] for name in _ONCE_A_HOST)
        self._always = frozenset(WEIRDS[name] for name in _EACH_TIME)
        self._anywhere = frozenset(np.flatnonzero(np.isin(_SOURCE_OF, BEFORE_IP)).tolist()) - {_TRUNCATED}

    def new_of(self, rows: Rows) -> Rows:
        """Those rows of WEIRD that are told; behind them, what was left out before."""
        if not len(rows) or not self._again:
            return rows
        mask = [self._is_news(*row) for row in rows[_LOOKED_AT].tolist()]
        for name, ts, count in rows[["name", "ts", "count"]][np.logical_not(mask)].tolist():
            left = self._left.setdefault(name, [ts, ts, 0])
            left[1:] = ts, left[2] + count
        return np.concatenate([rows[mask], self._rest(int(rows["ts"][-1]) - self._again)])

    def rest(self) -> Rows:
        """All that was left out and is not told yet."""
        return self._rest(1 << 64)

    def _rest(self, until: int) -> Rows:
        due = [name for name, (first, _, _) in self._left.items() if first <= until]
        made = np.zeros(len(due), WEIRD.dtype)
        for row, name in zip(made, due, strict=True):
            _, row["ts"], row["count"] = self._left.pop(name)
            row["name"], row["source"] = name, _SOURCE_OF[name] if name < len(_SOURCE_OF) else ""
        return made

    def _is_news(self, name: int, ts: int, has: int, is_orig: int, src: bytes, sport: int, dst: bytes, dport: int) -> bool:
        if not has or name in self._always:  # C has counted; or no log of Zeek's has it
            return True
        if name in self._anywhere:
            src = dst = b""
        if not has & _FLOW:
            sport = dport = 0
            is_orig = True
        if not is_orig and name != _UNDECIDED:
            src, sport, dst, dport = dst, dport, src, sport
        a_host = name in self._a_host
        key = name, src if a_host else b"%b%b%d,%d" % (src, dst, sport, dport)
        before = self._told.get(key)
        if before is not None:
            if 0 <= ts - before < (_A_DAY_NS if a_host or name in self._a_flow else self._again):
                return False
            del self._told[key]
        self._told[key] = ts
        if len(self._told) > self._most:
            del self._told[next(iter(self._told))]
        return True
