"""Rows of conn as of a site: every column filled that a flow has when it is over, the same for the same seed; and beacons, which a hunt
should find, and nothing else.
"""

from collections.abc import Iterator
from hashlib import sha1

import numpy as np
from numpy.typing import NDArray

from headwater.records import CONN, Batch
from headwater.records.numbered import SERVICES

LOCAL, SERVERS, TUNNELS = 2_000, 50_000, 50  # hosts of the site, that they speak with, tunnels that carry some of it
BEACONS = 40
DAY_NS, SECOND_NS = 86_400 * 10**9, 10**9
HISTORIES = (
    "ShADadFf ShADadFfr ShADadfF ShADadtFf ShADadTtFf ShAdDaFf ShAdDafF ShADadFRf ShADadR ShADdaFf ShADad ShADadr ShADadcFf ^hADadFf "
    "ShADFfa ShAFf ShR Sr S SW ShA D Dd DdA ^d DTd"
).split()
_MTU, BEACON_PORT = 1_448, 8_443
_PORTS = np.array([443, 53, 80, 123, 22, 25, 993, 3389, 445, 8080, 5223, 389, 88, 1883, 5060], np.uint16)
_SERVICES = np.array([SERVICES[name] for name in "ssl dns http ntp ssh smtp ssl rdp smb http xmpp ldap krb mqtt sip".split()])
_UDP = np.array([53, 123, 5060], np.uint16)
_SCALE = np.array([7, 8, 2, 0, 9], np.uint8)
_MSS = np.array([1460, 1400, 1440, 1380, 1360, 536], np.uint16)


def batches(count: int, begin_ns: int, span_ns: int, rows: int, seed: int) -> Iterator[Batch]:
    """So many of them from `begin_ns` on, in the order of time, `rows` a batch; the last one has what is left."""
    for number, first in enumerate(range(0, count, rows)):
        size = min(rows, count - first)
        at = begin_ns + span_ns * first // count
        yield made(size, at, span_ns * (first + size) // count - span_ns * first // count, seeded(seed, number))


def seeded(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(count: int, begin_ns: int, span_ns: int, rng: np.random.Generator) -> Batch:
    """Flows that began within a span, the earliest first; the beacons' times depend on nothing else than the time itself."""
    rows = np.zeros(count, CONN.dtype)
    beacons = _beacons(begin_ns, span_ns)[:count]
    ts = np.sort(rng.integers(begin_ns, begin_ns + span_ns, count - len(beacons)))
    ts = np.concatenate([ts, [at for at, _ in beacons]]).astype(np.uint64)
    local, server = _often(rng, LOCAL, count, 0.6), _often(rng, SERVERS, count, 0.9)
    kind = _often(rng, len(_PORTS), count, 1.2)
    port = _PORTS[kind]
    six = rng.random(count) < 0.15
    for row, (_, number) in enumerate(beacons, count - len(beacons)):
        local[row], server[row], port[row], six[row] = number * 37, SERVERS + number, BEACON_PORT, False
    order = np.argsort(ts, kind="stable")
    local, server, port, six = local[order], server[order], port[order], six[order]
    rows["service"] = _SERVICES[kind[order]]
    rows["ts"] = ts[order]
    rows["id.orig_h"], rows["id.resp_h"] = _addresses(local, 0x0A000000, six), _addresses(server, 0, six)
    rows["id.orig_p"], rows["id.resp_p"] = rng.integers(32_768, 61_000, count), port
    udp = np.isin(port, _UDP)
    rows["proto"], rows["ip_proto"] = np.where(udp, 2, 1), np.where(udp, 17, 6)
    rows["conn_state"] = np.array([3, 1, 7, 8, 4, 2, 0, 5, 6, 9, 10, 11, 12])[_often(rng, 13, count, 1.5)]
    rows["history"] = np.array([one.encode() for one in HISTORIES], "S40").view("V40")[_often(rng, len(HISTORIES), count, 1.2)]
    _amounts(rows, rng)
    _times(rows, rng)
    _names(rows, rng, local)
    rows["has"] = np.iinfo(np.uint32).max
    return Batch(CONN, rows, {1: "eth0", 2: "eth1", 3: "vlan7"})


def _beacons(begin_ns: int, span_ns: int) -> list[tuple[int, int]]:
    """Each calls its server evenly, every one to eleven minutes, a twentieth of that sooner or later: (when, which)."""
    found = []
    for number in range(BEACONS):
        period = (60 + 15 * number) * SECOND_NS
        first = -(-begin_ns // period)
        for call in range(first, -(-(begin_ns + span_ns) // period)):
            jitter = (call * 2_654_435_761 + number * 40_503) % (period // 20)
            if call * period + jitter < begin_ns + span_ns:
                found.append((call * period + jitter, number))
    return found


def _often(rng: np.random.Generator, most: int, count: int, power: float) -> NDArray[np.int64]:
    """Which of `most`: the first often, the last seldom, as by a law of Zipf."""
    share = np.cumsum(np.arange(1, most + 1) ** -power)
    return np.searchsorted(share / share[-1], rng.random(count)).clip(max=most - 1)


def _addresses(numbers: NDArray[np.int64], network: int, six: NDArray[np.bool_]) -> NDArray[np.void]:
    """IPv4 within a network, or scattered where there is none; IPv6 for some."""
    four = numbers + network if network else (numbers + 1) * 2_654_435_761 % 0xDF000000 + 0x01000000
    octets = np.zeros((len(numbers), 4), ">u4")
    octets[:, 2], octets[:, 3] = 0xFFFF, four
    octets[six, 0], octets[six, 1], octets[six, 2] = 0x20010DB8, 7 if network else numbers[six], 0
    return octets.view("V16").ravel()


def _long_tailed(rng: np.random.Generator, middle: float, width: float, count: int) -> NDArray[np.uint64]:
    return rng.lognormal(np.log(middle), width, count).astype(np.uint64)


def _amounts(rows: NDArray[np.void], rng: np.random.Generator) -> None:
    """Payload, packets and what TCP does with them; of UDP too, so that no column is empty."""
    count = len(rows)
    for side, middle in (("orig", 800.0), ("resp", 4_000.0)):
        payload = _long_tailed(rng, middle, 2.0, count)
        packets = payload // _MTU + rng.integers(2, 9, count).astype(np.uint64)
        rows[f"{side}_bytes"], rows[f"{side}_pkts"], rows[f"{side}_ip_bytes"] = payload, packets, payload + 52 * packets
        for name, share in (("retransmits", 0.1), ("dup_acks", 0.2), ("out_of_order", 0.1), ("zero_windows", 0.02)):
            rows[f"{side}_{name}"] = rng.binomial(np.minimum(packets, 1_000_000).astype(np.int64), share * rng.random(count))
        rows[f"{side}_retransmitted_bytes"] = rows[f"{side}_retransmits"].astype(np.uint64) * rng.integers(1, _MTU, count).astype(np.uint64)
        rows[f"{side}_tcp_flags"] = np.array([0x1B, 0x1F, 0x12, 0x02, 0x18, 0x14])[_often(rng, 6, count, 1.0)]
        rows[f"{side}_mss"] = _MSS[_often(rng, len(_MSS), count, 1.5)]
        rows[f"{side}_window_scale"] = _SCALE[_often(rng, len(_SCALE), count, 1.0)]
        rows[f"{side}_ttl_max"] = np.array([64, 128, 255])[_often(rng, 3, count, 1.0)] - rng.integers(0, 24, count)
        rows[f"{side}_ttl"] = rows[f"{side}_ttl_max"] - (rng.random(count) < 0.01)
        for name in ("dscp", "dscp_last"):
            rows[f"{side}_{name}"] = np.array([0, 10, 46, 34])[_often(rng, 4, count, 2.0)]
        rows[f"{side}_ecn"] = np.array([1, 4, 5, 12])[_often(rng, 4, count, 2.0)]
    rows["missed_bytes"] = np.where(rng.random(count) < 0.02, _long_tailed(rng, 3_000, 1.5, count), 0)


def _times(rows: NDArray[np.void], rng: np.random.Generator) -> None:
    """To the nanosecond, in the order in which they must be."""
    count = len(rows)
    rows["syn_ack_time"] = _long_tailed(rng, 20e6, 1.0, count)
    rows["ack_time"] = _long_tailed(rng, 3e5, 1.0, count)
    rows["orig_rtt"] = _long_tailed(rng, 4e5, 1.0, count)
    rows["resp_rtt"] = _long_tailed(rng, 21e6, 1.0, count)
    rows["orig_first_data"] = rows["syn_ack_time"] + rows["ack_time"] + _long_tailed(rng, 1e6, 1.0, count)
    rows["resp_first_data"] = rows["orig_first_data"] + rows["syn_ack_time"] + _long_tailed(rng, 5e6, 1.0, count)
    rows["duration"] = rows["resp_first_data"] + _long_tailed(rng, 5e8, 2.0, count)


def _community_ids(rows: NDArray[np.void]) -> NDArray[np.void]:
    """https://github.com/corelight/community-id-spec, version 1, the seed 0: the lower address comes first."""
    ends = [rows["id.orig_h"].view("S16"), rows["id.resp_h"].view("S16")]
    lower = np.where(ends[0] < ends[1], 0, 1)
    octets = np.zeros((len(rows), 40), np.uint8)
    for place in (0, 1):
        of_orig = lower == place
        octets[:, 2 + 16 * place : 18 + 16 * place] = np.where(of_orig, *ends).astype("S16").view(np.uint8).reshape(-1, 16)
        octets[:, 36 + 2 * place : 38 + 2 * place] = (
            np.where(of_orig, rows["id.orig_p"], rows["id.resp_p"]).astype(">u2").view(np.uint8).reshape(-1, 2)
        )
    octets[:, 34] = rows["ip_proto"]
    plain = octets.tobytes()
    four = (octets[:, 12:14] == 0xFF).all(1).tolist()
    ids = [
        sha1(  # noqa: S324 - the specification's
            plain[at : at + 2] + plain[at + 14 : at + 18] + plain[at + 30 : at + 40] if is_four else plain[at : at + 40]
        ).digest()
        for at, is_four in zip(range(0, len(plain), 40), four, strict=True)
    ]
    return np.frombuffer(b"".join(ids), "V20")


def _names(rows: NDArray[np.void], rng: np.random.Generator, local: NDArray[np.int64]) -> None:
    """Of interfaces, links and flows. A uid is a hash, of which no part follows from another."""
    count = len(rows)
    rows["uid"] = np.frombuffer(rng.bytes(12 * count), "V12")
    rows["community_id"] = _community_ids(rows)
    parents = np.zeros((count, 48), np.uint8)
    tunnels = np.random.default_rng(7).integers(0, 256, (TUNNELS, 12), np.uint8)
    parents[:, :12] = tunnels[_often(rng, TUNNELS, count, 1.0)]
    rows["tunnel_parents"] = parents.view("V48").ravel()
    rows["ended_by"] = np.frombuffer(rng.bytes(12 * count), "V12")
    links = np.random.default_rng(8).integers(0, 256, (LOCAL + 4, 6), np.uint8)
    rows["orig_l2_addr"] = links[local].view("V6").ravel()
    rows["resp_l2_addr"] = links[LOCAL + rng.integers(0, 4, count)].view("V6").ravel()
    rows["end_reason"] = np.array([1, 2, 3, 4, 5, 6, 7])[_often(rng, 7, count, 1.0)]
    rows["interface"], rows["interface_2"], rows["interface_3"] = 1, 2, 3
    rows["vlan"], rows["inner_vlan"] = 100 + _often(rng, 12, count, 1.0), 1 + _often(rng, 4, count, 1.0)
    rows["local_orig"], rows["local_resp"] = 1, rng.random(count) < 0.1
