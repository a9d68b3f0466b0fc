"""What each column means: from a member's C type to how it is read, shown and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from headwater.records import btf
from headwater.records.numbered import SERVICES


class Kind(Enum):
    """How a column's numbers are to be understood at the edge."""

    NUMBER = "number"
    TIME = "time"  # timestamp[ns, UTC]
    ADDRESS = "address"  # text
    MAC = "mac"  # text
    FLAG = "flag"  # bool
    NAME = "name"  # an enumerator's name
    INTERFACE = "interface"  # the name that the batch knows
    TEXT = "text"  # of records that Python makes
    INTERVAL = "interval"  # seconds
    UID = "uid"  # text
    UIDS = "uids"  # text, with commas between them
    COMMUNITY_ID = "community id"  # text
    LETTERS = "letters"  # text
    LIST = "list"  # of messages: a set or vector


TYPEDEFS = {
    "hw_ktime": Kind.TIME,
    "hw_addr": Kind.ADDRESS,
    "hw_mac": Kind.MAC,
    "hw_flag": Kind.FLAG,
    "hw_ifindex": Kind.INTERFACE,
    "hw_interval": Kind.INTERVAL,
    "hw_uid": Kind.UID,
    "hw_uids": Kind.UIDS,
    "hw_community_id": Kind.COMMUNITY_ID,
    "hw_letters": Kind.LETTERS,
    "hw_service": Kind.NAME,
}
ABSENT_WHEN_ZERO = {
    "hw_weird",
    "hw_hook",
    "hw_direction",
    "hw_tunnel",
    "hw_arp_operation",
    "hw_hops",
    "hw_conn_end",
    "hw_service",
}  # whose 0 says that there is none


@dataclass(frozen=True)
class Column:
    """One column of a record.

    `needs` is the bit of the row's `has` without which the value is absent, 0 if it is always there. `names` are the enumerators
    of a NAME column. `ctype` is the C type as records.h spells it. Of a message, whose values are objects, `zeek` is its type as Zeek
    spells it (records/messages.py); else it is empty.
    """

    name: str
    kind: Kind
    ctype: str
    needs: int = 0
    names: Mapping[int, str] | None = None
    zeek: str = ""

    @property
    def zero_is_absent(self) -> bool:
        """Whether 0 says that there is none: of some enumerations and numbers, and of times."""
        return self.kind is Kind.TIME or self.ctype.removeprefix("enum ") in ABSENT_WHEN_ZERO


@dataclass(frozen=True)
class Record:
    """A type of row: its name, its columns in the order of files, and its layout in memory."""

    name: str
    columns: tuple[Column, ...]
    dtype: np.dtype[Any]

    def __hash__(self) -> int:
        return hash(self.name)  # rows of messages are put by their record, one at a time: all columns would take 2 us

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


# The order of files is the reader's: who and what, when and where, then the layers outwards in. Members of the struct that are not here
# follow.
FILE_ORDER = (
    "ts name uid id.orig_h id.orig_p id.resp_h id.resp_p interface hook direction length captured l2_src l2_dst ethertype vlan "
    "vlan_inner inner_vlan mpls_label pppoe_session src dst is_orig addr "
    "proto port begun established failed refused half_open ended handshakes "
    "handshake_min handshake_mean handshake_max handshakes_100us handshakes_300us handshakes_1ms handshakes_3ms handshakes_10ms "
    "handshakes_30ms handshakes_100ms handshakes_300ms handshakes_1s handshakes_3s "
    "service duration orig_bytes resp_bytes conn_state local_orig local_resp "
    "missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents ip_proto community_id orig_l2_addr resp_l2_addr "
    "end_reason ended_by interface_2 interface_3 progress tunnel_type action "
    "ip_version ttl dscp ecn ip_id ip_length flow_label ip_options df mf fragment_offset sport dport tcp_flags seq ack window "
    "window_scale mss sack_permitted tsval tsecr icmp_type icmp_code icmp_mtu quoted_src quoted_dst quoted_proto quoted_sport "
    "quoted_dport igmp_type sctp_chunk sctp_tag spi arp_operation neighbor neighbor_mac payload_length tunnel tunnel_id tunnel_depth "
    "outer_src outer_dst outer_proto outer_sport outer_dport segments hash weird packets bytes mac mac_before ttl_before count"
).split()
INTERNAL = {"has", "unused"}


def column_name(member: str) -> str:
    """The name of a struct's member in all outputs: id_orig_h is Zeek's id.orig_h."""
    return f"id.{member.removeprefix('id_')}" if member.startswith("id_") else member


def record(name: str, struct: btf.Struct, dtype: np.dtype[Any], enums: Mapping[str, Mapping[int, str]], has: Mapping[str, int]) -> Record:
    """The record that `struct` describes."""
    columns = [_column(member, enums, has) for member in struct.members if member.name not in INTERNAL]
    order = {column: place for place, column in enumerate(FILE_ORDER)}
    columns.sort(key=lambda column: order.get(column.name, len(order)))
    return Record(name, tuple(columns), dtype)


def _column(member: btf.Member, enums: Mapping[str, Mapping[int, str]], has: Mapping[str, int]) -> Column:
    name = column_name(member.name)
    needs = next((has[tag.removeprefix("if:")] for tag in member.tags if tag.startswith("if:")), 0)
    match member.type:
        case btf.Enum(name=enum):
            names = {value: text for value, text in enums[enum].items() if value or enum not in ABSENT_WHEN_ZERO}
            return Column(name, Kind.NAME, f"enum {enum}", needs, names)
        case btf.Typedef(name=typedef):
            return Column(name, TYPEDEFS.get(typedef, Kind.NUMBER), typedef, needs, SERVICES.names if typedef == "hw_service" else None)
    raise ValueError(f"records.h: {member.name} has no named type")
