"""Real devices of many kinds between two network namespaces, each with addresses of its own, and how their packets look below them."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pppoe
from netns import Namespace

UNDER = "under"  # the veth pair that carries the tunnels, with 10.9.0.1 and 10.9.0.2


@dataclass
class Device:
    """One kind, made on both sides under `name`. Its addresses are 10.8.NUMBER.1 near and .2 far (with `six`, fd08:NUMBER::1 and ::2)."""

    kind: str
    number: int
    name: str
    below: dict[str, dict[str, object]] = field(default_factory=dict)  # device near: columns that its packets have there
    six: bool = False
    ethernet: bool = True
    native_xdp: bool = False
    opaque: tuple[int, ...] = ()  # below, nothing of the packet can be read: payload octets of a datagram and of an echo there
    lossy: bool = False

    def address(self, side: int) -> str:
        """Of the near (1) or the far end (2)."""
        return f"fd08:{self.number}::{side}" if self.six else f"10.8.{self.number}.{side}"


@dataclass(frozen=True)
class Both:
    """The two namespaces, and what has to be closed at the end."""

    near: Namespace
    far: Namespace
    closing: ExitStack
    wg: Path

    @property
    def sides(self) -> tuple[tuple[int, Namespace], tuple[int, Namespace]]:
        """(1, near) and (2, far)."""
        return (1, self.near), (2, self.far)

    def veth(self, name: str, number: int) -> None:
        """A pair with one name on both sides, up, and with MAC addresses by side."""
        self.near.ip(f"link add {name} type veth peer name {name} netns {self.far.name}")
        for side, space in self.sides:
            space.ip(f"link set {name} address {mac(number, side)} up")


def mac(number: int, side: int) -> str:
    """An address that tells whose it is."""
    return f"02:00:00:{number:02x}:00:0{side}"


TUNNELS = {
    "vlan": "link {under} type vlan id 42",
    "QinQ": "link {under} type vlan protocol 802.1ad id 43",
    "vxlan": "type vxlan id 77 local {local} remote {remote} dstport 4789 dev {under}",
    "geneve": "type geneve id 78 remote {remote}",
    "gre": "type gre local {local} remote {remote} key 79",
    "gretap": "type gretap local {local} remote {remote} key 80",
    "ipip": "type ipip local {local} remote {remote}",
    "6in4": "type sit local {local} remote {remote}",
}
BELOW: dict[str, dict[str, object]] = {
    "vlan": {"vlan": 42},
    "QinQ": {"vlan": 43},
    "vxlan": {"tunnel": "vxlan", "tunnel_id": 77, "outer_dport": 4789},
    "geneve": {"tunnel": "geneve", "tunnel_id": 78, "outer_dport": 6081},
    "gre": {"tunnel": "gre", "tunnel_id": 79, "outer_proto": 47},
    "gretap": {"tunnel": "gre", "tunnel_id": 80, "outer_proto": 47},
    "ipip": {"tunnel": "ipip", "outer_proto": 4},
    "6in4": {"tunnel": "6in4", "outer_proto": 41},
    "PPPoE": {"pppoe_session": 5},
}


def make(both: Both) -> list[Device]:
    """All kinds."""
    both.veth(UNDER, 9)
    for side, space in both.sides:
        space.ip(f"addr add 10.9.0.{side}/24 dev {UNDER}")
        space.ip(f"neigh replace 10.9.0.{3 - side} lladdr {mac(9, 3 - side)} dev {UNDER} nud permanent")
    made = [Device("veth", 1, "veth", native_xdp=True)]
    both.veth("veth", 1)
    for number, (kind, words) in enumerate(TUNNELS.items(), 2):
        name, has_ethernet = f"d{number}{kind.lower()}", kind not in ("gre", "ipip", "6in4")
        for side, space in both.sides:
            space.ip(f"link add {name} " + words.format(under=UNDER, local=f"10.9.0.{side}", remote=f"10.9.0.{3 - side}"))
            space.ip(f"link set {name} up" + (f" address {mac(number, side)}" if has_ethernet else ""))
        made.append(Device(kind, number, name, {UNDER: BELOW[kind]}, six=kind == "6in4", ethernet=has_ethernet))
    more: tuple[Callable[[Both, int], Device], ...] = (_wireguard, _pppoe, _bond, _bridge, _netem)
    made += [make_one(both, number) for number, make_one in enumerate(more, len(made) + 1)]
    for device in made:
        _give_addresses(both, device)
    return made


def _give_addresses(both: Both, device: Device) -> None:
    for side, space in both.sides:
        here, there = device.address(side), device.address(3 - side)
        if device.six:
            space.run("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{device.name}/disable_ipv6")
            space.ip(f"addr add {here}/64 dev {device.name} nodad")
        elif device.kind == "PPPoE":
            space.ip(f"addr add {here} peer {there} dev {device.name}")
        else:
            space.ip(f"addr add {here}/24 dev {device.name}")
        if device.ethernet:
            space.ip(f"neigh replace {there} lladdr {mac(device.number, 3 - side)} dev {device.name} nud permanent")


def _wireguard(both: Both, number: int) -> Device:
    private = [subprocess.check_output([both.wg, "genkey"], text=True) for _ in both.sides]
    public = [subprocess.check_output([both.wg, "pubkey"], input=key, text=True).strip() for key in private]
    for side, space in both.sides:
        file = Path(f"/run/wireguard-{side}")
        file.touch(0o600)
        file.write_text(private[side - 1])
        space.ip("link add wg type wireguard")
        peer = f"peer {public[2 - side]} allowed-ips 10.8.{number}.0/24 endpoint 10.9.0.{3 - side}:51820"
        space.run(str(both.wg), "set", "wg", "listen-port", "51820", "private-key", str(file), *peer.split())
        space.ip("link set wg up")
    return Device("WireGuard", number, "wg", {UNDER: {"sport": 51820, "dport": 51820}}, ethernet=False, opaque=(64, 128))


def _pppoe(both: Both, number: int) -> Device:
    for side, space in both.sides:
        session = pppoe.Session(space, UNDER, mac(9, 3 - side), 5)
        both.closing.callback(session.close)
        space.ip(f"link set {session.name} up")
    return Device("PPPoE", number, session.name, {UNDER: BELOW["PPPoE"]}, ethernet=False)


def _bond(both: Both, number: int) -> Device:
    ports = ("port1", "port2")
    for _, space in both.sides:
        space.ip("link add bond type bond mode balance-rr miimon 20")
    for port in ports:
        both.veth(port, number)
    for side, space in both.sides:
        for port in ports:
            space.ip(f"link set {port} down")
            space.ip(f"link set {port} master bond")
        space.ip(f"link set bond address {mac(number, side)} up")
    return Device("bond", number, "bond", {port: {} for port in ports})


def _bridge(both: Both, number: int) -> Device:
    """Near it is a bridge with one port, far the other end of that."""
    both.near.ip("link add bridge type bridge stp_state 0 mcast_snooping 0")
    both.veth("bridged", number)
    both.near.ip(f"link set bridge address {mac(number, 1)} up")
    both.near.ip("link set bridged master bridge")
    both.near.ip(f"link set bridged address 02:00:00:{number:02x}:00:03")
    both.far.ip("link set bridged down")
    both.far.ip("link set bridged name bridge")
    both.far.ip("link set bridge up")
    return Device("bridge", number, "bridge", {"bridged": {}})


def _netem(both: Both, number: int) -> Device:
    both.veth("netem", number)
    for _, space in both.sides:
        space.run("tc", *"qdisc add dev netem root netem loss 20% duplicate 10% delay 3ms 2ms".split())
    return Device("netem", number, "netem", native_xdp=True, lossy=True)


def load() -> None:
    """What the kernel does not fetch by itself in time; a bond of its own is not wanted."""
    subprocess.run(["/run/modprobe", "bonding", "max_bonds=0"], check=True, timeout=60)
    if not Path("/dev/ppp").exists():
        subprocess.run(["/run/modprobe", "ppp_generic"], check=True, timeout=60)
