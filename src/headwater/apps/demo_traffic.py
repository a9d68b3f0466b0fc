"""The two ends of the demo's cable: one process each, in a namespace of its own. Both leave when their parent does.

The far end serves (HTTP, DNS, echo); the near end goes round asking. Frames that need devices which a kernel may lack (VLAN, LLDP) are
written as they are through a packet socket.
"""

import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from headwater._native import ffi, lib

V4 = {"near": "192.0.2.1", "far": "192.0.2.2"}
V6 = {"near": "2001:db8::1", "far": "2001:db8::2"}
NOWHERE4, NOWHERE6 = "198.51.100.1", "3fff::1"  # the far end is their router and has no route: silence for IPv4, ICMPv6 says so
MAC = {"near": bytes.fromhex("02005e100001"), "far": bytes.fromhex("02005e100002")}
ECHO, DNS, HTTP, CLOSED = 7, 53, 80, 81
PAUSE_S = 0.1  # so that each kind is seen for itself


def main(role: str, interface: str, parent: int, seconds: float) -> None:
    """Make the namespace, say so, wait for the cable, and talk for `seconds` (0: until killed)."""
    lib.hw_die_with_parent()
    if os.getppid() != parent:
        return  # it went before we asked
    if lib.hw_unshare_net():
        say(f"no network namespace: {os.strerror(ffi.errno)}")
        return
    say("ready")
    if not sys.stdin.readline():
        return
    try:
        plug_in(role, interface)
        if role == "far":
            serve(interface)
        say("ready")
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"{getattr(error, 'stderr', '') or error}".strip().replace("\n", "; "))
        return
    threading.Thread(target=leave_with_parent, daemon=True).start()
    end = time.monotonic() + seconds if seconds else float("inf")
    talk = far_round if role == "far" else near_round
    number = 0
    while time.monotonic() < end:
        talk(interface, number)
        number += 1
    threading.Event().wait()  # quiet, but there, until the parent is done


def say(word: str) -> None:
    """A line to the parent."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def leave_with_parent() -> None:
    """Standard input ends when the parent does: for where the kernel's signal did not come."""
    sys.stdin.read()
    os._exit(0)


def plug_in(role: str, interface: str) -> None:
    """Address and raise this end. Documentation addresses (RFC 5737, 3849, 9637), because they are nobody's."""
    far = role == "far"
    commands = [
        "link set lo up",
        f"link set {interface} address {MAC[role].hex(':')}",
        f"addr add {V4[role]}/24 dev {interface}",
        f"addr add {V6[role]}/64 dev {interface} nodad",
        f"link set {interface} up",
        *([] if far else [f"route add 198.51.100.0/24 via {V4['far']}", f"route add 3fff::/20 via {V6['far']}"]),
    ]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True)


# -- the far end ---------------------------------------------------------------------------------------------------------------


def serve(interface: str) -> None:
    """HTTP, DNS and echo over both families, each in a thread; and member of the groups that the near end calls."""
    site = Site(("::", HTTP), Page)
    listener = socket.create_server(("::", ECHO), family=socket.AF_INET6, dualstack_ipv6=True)
    for task in (site.serve_forever, lambda: answer_streams(listener)):
        threading.Thread(target=task, daemon=True).start()
    for port, answer in ((DNS, dns_answer), (ECHO, lambda query: query)):
        threading.Thread(target=answer_datagrams, args=(port, answer), daemon=True).start()
    join(interface)


class Site(ThreadingHTTPServer):
    """A web server for both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and ask no resolver for a name of our own."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "demo", HTTP


class Page(BaseHTTPRequestHandler):
    """One small page."""

    def do_GET(self) -> None:
        """Answer with a line."""
        body = b"Headwater: where streams begin.\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads a log here."""


def answer_streams(listener: socket.socket) -> None:
    """Send back what comes, a connection at a time."""
    while True:
        with suppress(OSError), listener.accept()[0] as stream:
            while octets := stream.recv(65536):
                stream.sendall(octets)


def answer_datagrams(port: int, answer: Callable[[bytes], bytes]) -> None:
    """Answer each datagram."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", port))
        while True:
            with suppress(OSError):
                query, whence = sock.recvfrom(65536)
                sock.sendto(answer(query), whence)


def dns_answer(query: bytes) -> bytes:
    """The far end's address, whatever was asked for (RFC 1035): the question again, and one A or AAAA record that points at it."""
    kind = query[-4:-2]
    value = socket.inet_pton(socket.AF_INET6, V6["far"]) if kind == b"\x00\x1c" else socket.inet_aton(V4["far"])
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:] + b"\xc0\x0c" + kind + struct.pack("!HIH", 1, 60, len(value)) + value


def join(interface: str) -> None:
    """Join the groups of mDNS and SSDP, which IGMP and MLD announce. The sockets stay open as long as the process."""
    index = socket.if_nametoindex(interface)
    v4, v6 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for group in ("224.0.0.251", "239.255.255.250"):
        v4.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + struct.pack("@4si", bytes(4), index))
    for group in ("ff02::fb", "ff02::c"):
        v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index))
    _held.extend((v4, v6))


_held: list[socket.socket] = []


def far_round(interface: str, number: int) -> None:
    """Frames that a switch would send."""
    with raw(interface) as sock:
        sock.send(bytes.fromhex("0180c200000e") + MAC["far"] + b"\x88\xcc" + LLDP)
        sock.send(ipv4_frame("far", b"\x81\x00\x00\x0a\x08\x00", number))
    time.sleep(3)


# -- the near end --------------------------------------------------------------------------------------------------------------


def near_round(interface: str, number: int) -> None:
    """Each kind once, with pauses: some three seconds."""
    if number % 2:  # so that ARP and neighbour discovery are seen again
        subprocess.run(["ip", "neigh", "flush", "dev", interface], check=False, capture_output=True)
    for family, far, nowhere in ((socket.AF_INET, V4["far"], NOWHERE4), (socket.AF_INET6, V6["far"], NOWHERE6)):
        lost = threading.Thread(target=connect, args=(family, nowhere, HTTP, 1.5), daemon=True)  # long enough to see it tried twice
        kinds: list[Callable[[], None]] = [
            partial(ping, family, far, number),
            partial(ask_dns, family, far, number),
            partial(fetch, far),
            partial(echo_stream, far),
            partial(ask, family, (far, ECHO), bytes(100)),
            partial(ask, family, (far, ECHO), bytes(4000)),  # in fragments
            partial(connect, family, far, CLOSED, 0.2),
            lost.start,
        ]
        for kind in kinds:
            with suppress(OSError, HTTPException):
                kind()
            time.sleep(PAUSE_S)
    for tags in (b"\x81\x00\x00\x0a\x08\x00", b"\x88\xa8\x00\x64\x81\x00\x00\x14\x08\x00"):  # VLAN 10; 20 in 100
        with suppress(OSError), raw(interface) as sock:
            sock.send(ipv4_frame("near", tags, number))
        time.sleep(PAUSE_S)
    for family, group, port, text in MULTICAST:
        with suppress(OSError):
            send_group(interface, family, group, port, text)
        time.sleep(PAUSE_S)
    time.sleep(0.5)


def ping(family: socket.AddressFamily, host: str, number: int) -> None:
    """An echo request (RFC 792, 4443), and wait for the answer."""
    kind, proto = (8, socket.IPPROTO_ICMP) if family == socket.AF_INET else (128, socket.IPPROTO_ICMPV6)
    body = struct.pack("!HH", os.getpid() & 0xFFFF, number & 0xFFFF) + bytes(range(56))
    check = checksum(struct.pack("!BBH", kind, 0, 0) + body)  # ICMPv6's is the kernel's work
    with socket.socket(family, socket.SOCK_RAW, proto) as sock:
        sock.sendto(struct.pack("!BBH", kind, 0, check) + body, (host, 0))
        select.select([sock], [], [], 0.2)


def ask_dns(family: socket.AddressFamily, host: str, number: int) -> None:
    """A question for headwater.example: A over IPv4, AAAA over IPv6."""
    kind = 1 if family == socket.AF_INET else 28
    query = struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + DNS_NAME + struct.pack("!HH", kind, 1)
    ask(family, (host, DNS), query)


def fetch(host: str) -> None:
    """A page."""
    connection = HTTPConnection(host, HTTP, timeout=1)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def echo_stream(host: str) -> None:
    """Some full segments there and back, in one packet with the kernel's offload."""
    with socket.create_connection((host, ECHO), timeout=1) as stream:
        stream.sendall(bytes(6_000))
        left = 6_000
        while left and (octets := stream.recv(65536)):
            left -= len(octets)


def ask(family: socket.AddressFamily, whom: tuple[str, int], query: bytes) -> None:
    """Send a datagram and wait for the answer."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.sendto(query, whom)
        sock.recv(65536)


def connect(family: socket.AddressFamily, host: str, port: int, seconds: float) -> None:
    """Try to connect, in vain."""
    with socket.socket(family, socket.SOCK_STREAM) as sock, suppress(OSError):
        sock.settimeout(seconds)
        sock.connect((host, port))


def send_group(interface: str, family: socket.AddressFamily, group: str, port: int, text: bytes) -> None:
    """A datagram to a multicast group."""
    index = socket.if_nametoindex(interface)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", bytes(4), bytes(4), index))
            sock.sendto(text, (group, port))
        else:
            sock.sendto(text, (group, port, 0, index))


# -- octets --------------------------------------------------------------------------------------------------------------------

DNS_NAME = b"\x09headwater\x07example\0"
MDNS = bytes(5) + b"\1" + bytes(6) + b"\x05_http\x04_tcp\x05local\0\0\x0c\0\1"  # RFC 6762: a PTR question
SSDP = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'
MULTICAST = (
    (socket.AF_INET, "224.0.0.251", 5353, MDNS),
    (socket.AF_INET6, "ff02::fb", 5353, MDNS),
    (socket.AF_INET, "239.255.255.250", 1900, SSDP),
    (socket.AF_INET6, "ff02::c", 1900, SSDP),
)
LLDP = b"\x02\x07\x04" + MAC["far"] + b"\x04\x03\x07e1\x06\x02\x00\x78\x00\x00" + bytes(30)  # IEEE 802.1AB: chassis, port, TTL, end


def raw(interface: str) -> socket.socket:
    """A packet socket that sends whole frames and receives none."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, 0))
    return sock


def ipv4_frame(role: str, tags: bytes, number: int) -> bytes:
    """A UDP datagram to the discard port of the other side, behind `tags` (from the first type to the last)."""
    other = "near" if role == "far" else "far"
    data = b"in a VLAN".ljust(32, b".")
    udp = struct.pack("!HHHH", 40000, 9, 8 + len(data), 0) + data  # 0: no checksum (RFC 768)
    ends = socket.inet_aton(V4[role]) + socket.inet_aton(V4[other])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0)
    head = head[:10] + struct.pack("!H", checksum(head + ends)) + ends
    return MAC[other] + MAC[role] + tags + head + udp


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of octets."""
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
