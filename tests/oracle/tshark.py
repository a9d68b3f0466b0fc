"""What tshark reads from a capture, as the columns of a packet row: only the outermost IP header and its transport."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = int | str | None
Fields: TypeAlias = dict[str, list[str]]

PROTOCOLS = {
    *"frame eth ethertype raw vlan ieee8021ad arp ip tcp udp icmp icmpv6 data _ws.short _ws.malformed".split(),
    *"ipv6 ipv6.hopopts ipv6.dstopts ipv6.fraghdr ah shim6 mipv6 hip".split(),
    *"ipv6.routing ipv6.routing.type.rt0 ipv6.routing.type.srh ipv6.routing.type.mipv6 ipv6.routing.type.crh".split(),
}
PREFERENCES = {  # each packet on its own, numbers as they are on the wire
    "ip.defragment": "FALSE",
    "ipv6.defragment": "FALSE",
    "tcp.desegment_tcp_streams": "FALSE",
    "tcp.analyze_sequence_numbers": "FALSE",
    "tcp.relative_sequence_numbers": "FALSE",
    "tcp.calculate_timestamps": "FALSE",
    "eth.fcs": "Never",
    "ip.tso_support": "TRUE",
    "ipv6.tso_support": "TRUE",
    "vlan.qinq_ethertype": "0x9100",
}
NEXT = {  # where a header of IPv6 says what follows
    "ipv6": "ipv6.nxt",
    "ipv6.hopopts": "ipv6.hopopts.nxt",
    "ipv6.dstopts": "ipv6.dstopts.nxt",
    "ipv6.routing": "ipv6.routing.nxt",
    "ipv6.fraghdr": "ipv6.fraghdr.nxt",
    "ah": "ah.next_header",
    "shim6": "shim6.nxt",
}
TRANSPORTS = {"tcp", "udp", "icmp", "icmpv6"}
FIELDS = [
    *"frame.protocols eth.src eth.dst eth.type vlan.id vlan.etype vlan.len ieee8021ad.id arp.src.proto_ipv4 arp.dst.proto_ipv4".split(),
    *"ip.src ip.dst ip.ttl ip.proto ip.dsfield.dscp ip.dsfield.ecn ip.len ip.hdr_len ip.id ip.flags.df ip.flags.mf ip.frag_offset".split(),
    *"ipv6.src ipv6.dst ipv6.hlim ipv6.tclass.dscp ipv6.tclass.ecn ipv6.flow ipv6.plen".split(),
    *"ipv6.fraghdr.offset ipv6.fraghdr.more ipv6.fraghdr.ident".split(),
    *NEXT.values(),
    *"tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.flags tcp.window_size_value tcp.len".split(),
    *"tcp.options.mss_val tcp.options.wscale.shift tcp.options.sack_perm tcp.options.timestamp.tsval tcp.options.timestamp.tsecr".split(),
    *"udp.srcport udp.dstport udp.length icmp.type icmp.code icmpv6.type icmpv6.code _ws.short _ws.malformed".split(),
]
COLUMNS = (
    "l2_src l2_dst ethertype vlan vlan_inner src dst proto ttl dscp ecn ip_length ip_id df mf fragment_offset flow_label sport dport "
    "tcp_flags seq ack window mss window_scale sack_permitted tsval tsecr icmp_type icmp_code payload_length"
).split()


def dissect(capture: Path, scratch: Path) -> Iterator[Fields]:
    """The fields of each packet, every occurrence of each. `scratch` holds a profile in which all other protocols are off."""
    known = subprocess.run(["tshark", "-G", "protocols"], capture_output=True, text=True, check=True, timeout=60).stdout
    names = {line.split("\t")[2] for line in known.splitlines()}
    assert len(PROTOCOLS & names) > 20, "tshark names its protocols in another way"
    (scratch / "disabled_protos").write_text("".join(f"{name}\n" for name in sorted(names - PROTOCOLS)))
    command = ["tshark", "-r", str(capture), "-n", "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", "-E", "aggregator=,"]
    for name, value in PREFERENCES.items():
        command += ["-o", f"{name}:{value}"]
    for field in FIELDS:
        command += ["-e", field]
    environment = os.environ | {"WIRESHARK_CONFIG_DIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
        assert process.stdout
        for line in process.stdout:
            values = line.rstrip("\n").split("\t")
            yield {field: value.split(",") for field, value in zip(FIELDS, values, strict=True) if value}
    assert process.returncode == 0


def _number(fields: Fields, name: str, nth: int = 0) -> int | None:
    values = fields.get(name, [])
    return int(values[nth], 0) if nth < len(values) else None


def _address(fields: Fields, name: str) -> str | None:
    return str(ip_address(fields[name][0])) if name in fields else None


def _link(fields: Fields) -> dict[str, Value]:
    tags = fields.get("ieee8021ad.id", []) + fields.get("vlan.id", [])
    types = fields.get("eth.type", [])[:1] + fields.get("vlan.etype", [])
    if "vlan.len" in fields:
        types = []  # a length behind the tag, and LLC
    elif "ieee8021ad.id" in fields:
        types.insert(1, "0x8100")  # tshark shows no type for the outer tag
    return {
        "l2_src": fields.get("eth.src", [None])[0],
        "l2_dst": fields.get("eth.dst", [None])[0],
        "ethertype": int(types[-1], 0) if types else None,
        "vlan": int(tags[0]) if tags else None,
        "vlan_inner": int(tags[1]) if len(tags) > 1 else None,
    }


def _ipv4(fields: Fields) -> dict[str, Value]:
    offset = _number(fields, "ip.frag_offset")
    names = {
        "ttl": "ip.ttl",
        "dscp": "ip.dsfield.dscp",
        "ecn": "ip.dsfield.ecn",
        "ip_length": "ip.len",
        "ip_id": "ip.id",
        "proto": "ip.proto",
    }
    flags = {"df": "ip.flags.df", "mf": "ip.flags.mf"}
    return {
        "src": _address(fields, "ip.src"),
        "dst": _address(fields, "ip.dst"),
        "fragment_offset": None if offset is None else offset * 8,
        **{column: _number(fields, name) for column, name in (names | flags).items()},
    }


def _ipv6(fields: Fields, headers: list[str]) -> dict[str, Value]:
    length = _number(fields, "ipv6.plen")
    names = {"ttl": "ipv6.hlim", "dscp": "ipv6.tclass.dscp", "ecn": "ipv6.tclass.ecn", "flow_label": "ipv6.flow"}
    offset = _number(fields, "ipv6.fraghdr.offset")
    fragment = {
        "fragment_offset": None if offset is None else offset * 8,
        "mf": _number(fields, "ipv6.fraghdr.more"),
        "ip_id": _number(fields, "ipv6.fraghdr.ident"),
    }
    met = Counter(headers)
    last = headers[-1]
    return {
        "src": _address(fields, "ipv6.src"),
        "dst": _address(fields, "ipv6.dst"),
        "ip_length": None if length is None else length + 40,
        "proto": _number(fields, NEXT[last], met[last] - 1),
        **{column: _number(fields, name) for column, name in names.items()},
        **(fragment if "ipv6.fraghdr" in headers else {}),
    }


def _udp_payload(fields: Fields) -> int | None:
    """As the IP header tells, which UDP's own length need not: a first fragment holds less."""
    if "udp.length" not in fields:
        return None
    if "ipv6.plen" in fields and ":udp" in fields["frame.protocols"][0] and "ipv6:udp" not in fields["frame.protocols"][0]:
        length = _number(fields, "udp.length")  # behind extension headers
    elif "ip.len" in fields:
        length = int(fields["ip.len"][0]) - int(fields["ip.hdr_len"][0])
    else:
        length = _number(fields, "ipv6.plen")
    return length - 8 if length and length >= 8 else None


def _transport(fields: Fields, name: str) -> dict[str, Value]:
    if name == "tcp":
        columns = {"sport": "srcport", "dport": "dstport", "seq": "seq_raw", "ack": "ack_raw", "tcp_flags": "flags"}
        columns |= {"window": "window_size_value", "payload_length": "len", "mss": "options.mss_val"}
        columns |= {"window_scale": "options.wscale.shift", "tsval": "options.timestamp.tsval", "tsecr": "options.timestamp.tsecr"}
        found: dict[str, Value] = {column: _number(fields, f"tcp.{field}") for column, field in columns.items()}
        found["sack_permitted"] = None if found["window"] is None else int("tcp.options.sack_perm" in fields)
        return found
    if name == "udp":
        return {"sport": _number(fields, "udp.srcport"), "dport": _number(fields, "udp.dstport"), "payload_length": _udp_payload(fields)}
    return {"icmp_type": _number(fields, f"{name}.type"), "icmp_code": _number(fields, f"{name}.code")}


def columns(fields: Fields) -> dict[str, Value]:
    """The columns that tshark has a value for. What lies in tunnels and ICMP errors, behind the first IP header, is left out."""
    layers = [layer for layer in fields.get("frame.protocols", [""])[0].split(":") if layer not in ("ethertype", "data", "raw")]
    found: dict[str, Value] = _link(fields) if layers[:1] == ["eth"] else {}
    first = next((place for place, layer in enumerate(layers) if layer in ("ip", "ipv6", "arp")), None)
    if first is None:
        return found
    if layers[first] == "arp":
        return found | {"src": _address(fields, "arp.src.proto_ipv4"), "dst": _address(fields, "arp.dst.proto_ipv4")}
    place = first + 1
    if layers[first : first + 2] == ["ip", "ipv6"] and "ip.ttl" not in fields:
        layers.pop(first)  # the Ethernet type said IPv4 and the packet IPv6
    if layers[first] == "ip":
        found |= _ipv4(fields)
    else:
        while place < len(layers) and (layers[place] in NEXT or layers[place].startswith("ipv6.routing.")) and layers[place] != "ipv6":
            place += 1
        found |= _ipv6(fields, [layer for layer in layers[first:place] if layer in NEXT])
    if place < len(layers) and layers[place] in TRANSPORTS:
        found |= _transport(fields, layers[place])
    return found
