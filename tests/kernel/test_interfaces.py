"""Which interfaces there are, by the kernel and beside iproute2, which are chosen, and how changes are told."""

import json
import select
import socket
from pathlib import Path

import pytest
from netns import Namespace, Veth, namespace, unique, veth_pair

from headwater.errors import ConfigError
from headwater.kernel import interfaces as module
from headwater.kernel.ethtool import card
from headwater.kernel.interfaces import Interface, Watcher, choose, default_route_interfaces, interfaces

pytestmark = pytest.mark.kernel


def chosen(space: Namespace, *names: str) -> list[str]:
    with space.inside():
        return [one.name for one in choose(names)]


# -- what there is ------------------------------------------------------------------------------------------------------------------


def test_interfaces_are_those_that_iproute2_shows(veth: Veth) -> None:
    space, bridge = veth.near.space, unique("hwb")
    space.ip(f"link add {bridge} mtu 1400 type bridge")
    space.ip(f"link set {veth.near.interface} master {bridge}")
    with space.inside():
        ours = interfaces()
    theirs = json.loads(space.run("ip", "-json", "-details", "link").stdout)
    assert set(ours) == {one["ifindex"] for one in theirs}
    for one in theirs:
        found = ours[one["ifindex"]]
        assert (found.name, found.mtu, found.mac) == (one["ifname"], one["mtu"], one["address"])
        assert (found.up, found.running) == ("UP" in one["flags"], "LOWER_UP" in one["flags"])
        assert found.kind == one.get("linkinfo", {}).get("info_kind")
        assert found.hardware == {"ether": 1, "loopback": 772}[one["link_type"]]
        assert (ours[found.master].name if found.master else None) == one.get("master")
        assert (found.link, found.peer_netns) == (one.get("link_index", 0), one.get("link_netnsid"))


def test_the_program_of_others_is_told(veth: Veth, tmp_path: Path) -> None:
    source, target = tmp_path / "pass.c", tmp_path / "pass.o"
    source.write_text('__attribute__((section("xdp"), used)) int pass(void *c) { return 2; }\n')
    veth.near.space.run("clang", "-O2", "-target", "bpf", "-c", str(source), "-o", str(target))
    for mode, name in (("xdpgeneric", "generic"), ("xdpdrv", "native")):
        veth.near.space.ip(f"link set {veth.near.interface} {mode} obj {target} sec xdp")
        with veth.near.space.inside():
            ((found, number),) = interfaces()[veth.near.index].xdp
        shown = json.loads(veth.near.space.run("ip", "-json", "-details", "link", "show", veth.near.interface).stdout)[0]["xdp"]
        assert (found, number) == (name, shown["prog"]["id"])
        veth.near.space.ip(f"link set {veth.near.interface} {mode} off")


def test_hundreds_of_interfaces_come_in_several_pieces() -> None:
    with namespace() as space:
        script = "".join(f"link add hwmany{number} type ifb\n" for number in range(300))
        space.run("ip", "-batch", "-", input=script)
        with space.inside():
            assert {f"hwmany{number}" for number in range(300)} < {one.name for one in interfaces().values()}


def test_default_routes_of_both_families_and_all_paths() -> None:
    with veth_pair() as one, namespace() as other:
        space = one.near.space
        second, third = unique("hwx"), unique("hwx")
        for number, name in enumerate((second, third), 10):
            space.ip(f"link add {name} type veth peer name {unique('hwy')} netns {other.name}")
            space.ip(f"addr add 10.9.{number}.1/24 dev {name}")
            space.ip(f"addr add fd09:{number}::1/64 dev {name} nodad")
            space.ip(f"link set {name} up")

        def routed() -> set[str]:
            with space.inside():
                return {socket.if_indextoname(index) for index in default_route_interfaces()}

        assert routed() == set()
        space.ip("route add 0.0.0.0/1 via 10.9.0.2")  # half of everything is not a default route
        space.ip(f"route add default dev {third} table 99")  # and neither is another table's
        space.ip("route add unreachable default metric 9999")
        assert routed() == set()
        space.ip("-6 route add default via fd09::2")
        assert routed() == {one.near.interface}
        space.ip("route add default nexthop via 10.9.10.2 nexthop via 10.9.11.2")
        assert routed() == {one.near.interface, second, third}


def test_what_the_driver_says_is_what_ethtool_shows(veth: Veth) -> None:
    for state in ("on", "off"):
        veth.near.space.run("ethtool", "-K", veth.near.interface, "gro", state, "tso", state, "rxvlan", state)
        with veth.near.space.inside():
            found = card(veth.near.interface)
        assert (found.driver, found.gro, found.tso, found.rxvlan, found.lro) == ("veth", *[state == "on"] * 3, False)
    with veth.near.space.inside():
        assert card("lo").driver is None
        assert card("nothing").gro is None


# -- which are chosen -------------------------------------------------------------------------------------------------------------


def test_named_ones_are_taken_as_they_are_and_others_refused(veth: Veth) -> None:
    space, down = veth.near.space, unique("hwd")
    space.ip(f"link add {down} type ifb")
    assert chosen(space, down, "lo", down) == ["lo", down]
    assert chosen(space, "any") == ["lo", veth.near.interface]
    with pytest.raises(ConfigError, match=f"no interface named eth9: there are {veth.near.interface}, {down}, lo$"):
        chosen(space, "lo", "eth9")


def test_where_no_route_leads_out_whatever_is_up_is_taken() -> None:
    with namespace() as space:
        assert chosen(space) == ["lo"]
        name, peer = unique("hwv"), unique("hwv")
        space.ip(f"link add {name} type veth peer name {peer}")
        space.ip(f"link set {peer} up")
        assert chosen(space) == [peer]
        space.ip(f"link set {name} up")
        with space.inside():
            lower = min(interfaces()[socket.if_nametoindex(one)].index for one in (name, peer))
            assert [one.index for one in choose([])] == [lower]  # each frame of the pair passes both ends
        space.ip("link set lo down")
        space.ip(f"link set {name} down")
        space.ip(f"link set {peer} down")
        with pytest.raises(ConfigError, match=r"no interface is up: there are .*lo.*: ip link set NAME up"):
            chosen(space)


def test_a_bridge_with_a_default_route_stands_for_its_ports(veth: Veth) -> None:
    space, bridge = veth.near.space, unique("hwb")
    space.ip(f"link add {bridge} type bridge")
    space.ip(f"link set {veth.near.interface} master {bridge}")
    space.ip(f"link set {bridge} up")
    assert chosen(space) == [bridge]
    space.ip(f"addr flush dev {veth.near.interface}")
    space.ip(f"addr add 10.9.0.1/24 dev {bridge}")
    space.ip("route add default via 10.9.0.2")
    assert chosen(space) == [bridge]


def test_a_macvlan_device_goes_where_its_parent_stays(veth: Veth) -> None:
    space, child = veth.near.space, unique("hwm")
    space.ip(f"link add {child} link {veth.near.interface} type macvlan")
    space.ip(f"link set {child} up")
    assert chosen(space) == [veth.near.interface]


ETHERNET, LOOPBACK, NONE = 1, 772, 65534


def made(index: int, name: str, kind: str | None = None, *, master: int = 0, link: int = 0, **other: object) -> Interface:
    fields = {"hardware": ETHERNET, "mtu": 1500, "up": True, "running": True, "mac": "", "peer_netns": None, "xdp": ()} | other
    return Interface(index=index, name=name, kind=kind, master=master, link=link, **fields)  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(
    ("there", "routed", "expected"),
    [
        pytest.param([made(2, "eth0"), made(3, "eth1")], {2}, ["eth0", "eth1"], id="all cards"),
        pytest.param([made(2, "eth0"), made(3, "eth1", up=False)], {2}, ["eth0"], id="a card that is down"),
        pytest.param([made(2, "eth0"), made(3, "wg0", "wireguard", hardware=NONE)], {3}, ["eth0", "wg0"], id="a tunnel by route"),
        pytest.param([made(2, "eth0"), made(3, "docker0", "bridge"), made(4, "veth1", "veth", master=3)], {2}, ["eth0"], id="containers"),
        pytest.param([made(2, "eth0", master=3), made(3, "br0", "bridge")], {3}, ["br0"], id="a bridge over the card"),
        pytest.param([made(2, "eth0", master=3), made(3, "br0", "bridge")], set(), ["eth0"], id="a bridge that nothing leaves by"),
        pytest.param(
            [made(2, "eth0", master=4), made(3, "eth1", master=4), made(4, "bond0", "bond", master=5), made(5, "br0", "bridge")],
            {5},
            ["br0"],
            id="a bridge over a bond",
        ),
        pytest.param([made(2, "eth0"), made(3, "eth0.10", "vlan", link=2)], {3}, ["eth0"], id="a VLAN over the card"),
        pytest.param(
            [made(2, "eth0"), made(3, "eth0.10", "vlan", link=2, master=4), made(4, "br10", "bridge")],
            {4},
            ["eth0"],
            id="a bridge over a VLAN",
        ),
        pytest.param(
            [made(2, "eth0", master=3), made(3, "bond0", "bond"), made(4, "bond0.5", "vlan", link=3)],
            {4},
            ["eth0"],
            id="a VLAN over a bond",
        ),
        pytest.param([made(2, "eth0", "vlan", link=2, peer_netns=0)], {2}, ["eth0"], id="a VLAN whose parent is elsewhere"),
        pytest.param([made(2, "eth0"), made(3, "ifb0", "ifb"), made(4, "sit0", None, hardware=776)], set(), ["eth0"], id="not cards"),
        pytest.param([made(5, "va", "veth", link=6), made(6, "vb", "veth", link=5)], {6}, ["vb"], id="the routed end of a pair"),
        pytest.param([made(2, "eth0"), made(3, "vxlan0", "vxlan", link=2)], {3}, ["eth0", "vxlan0"], id="a tunnel shows other frames"),
    ],
)
def test_no_frame_is_shown_twice(there: list[Interface], routed: set[int], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "interfaces", lambda: {1: made(1, "lo", hardware=LOOPBACK)} | {one.index: one for one in there})
    monkeypatch.setattr(module, "default_route_interfaces", lambda: routed)
    assert [one.name for one in choose([])] == expected


# -- how changes are told ---------------------------------------------------------------------------------------------------------


def told(watcher: Watcher, seconds: float = 5) -> bool:
    return bool(select.select([watcher], [], [], seconds)[0]) and watcher.drain()


def test_a_watcher_tells_what_happens_to_interfaces() -> None:
    with namespace() as space:
        watcher = Watcher()
        with space.inside():
            watcher.open()
        assert not told(watcher, 0)
        name, new = unique("hwc"), unique("hwc")
        for words in (f"add {name} type ifb", f"set {name} up", f"set {name} name {new}", f"set {new} down", f"delete {new}"):
            space.ip(f"link {words}")
            assert told(watcher), words
            while told(watcher, 0.05):
                pass
        watcher.close()
        assert watcher.fileno() == -1
        assert not watcher.drain()


def test_a_watcher_of_routes_tells_only_default_ones(veth: Veth) -> None:
    watcher = Watcher(routes=True)
    with veth.near.space.inside():
        watcher.open()
    veth.near.space.ip("route add 10.77.0.0/16 via 10.9.0.2")
    assert select.select([watcher], [], [], 5)[0]
    assert not watcher.drain()
    veth.near.space.ip("route add default via 10.9.0.2")
    assert told(watcher)
    watcher.close()


def test_more_changes_than_a_socket_holds_are_a_change() -> None:
    with namespace() as space:
        watcher = Watcher()
        with space.inside():
            watcher.open()
            plain = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            plain.bind((0, 1))
        name = unique("hwc")
        changes = "".join(f"link set {name} mtu {1000 + number}\n" for number in range(400))
        space.run("ip", "-batch", "-", input=f"link add {name} type ifb\n{changes}")
        with plain, pytest.raises(OSError, match="No buffer space"):
            while True:
                plain.recv(1 << 16)
        assert told(watcher)
        assert not told(watcher, 0)
        watcher.close()
