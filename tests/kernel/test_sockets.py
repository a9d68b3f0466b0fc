"""Who began a connection that was there before the run: the kernel's own sockets say so."""

import socket
from pathlib import Path

import pytest
from netns import Veth
from watched import watching

from headwater.kernel import sockets

pytestmark = pytest.mark.kernel

PORT = 4000  # of no service that Zeek knows


def begun() -> list[tuple[str, int, str, int]]:
    rows = sockets.begun()
    return [(str(_addr(row["src"])), int(row["sport"]), str(_addr(row["dst"])), int(row["dport"])) for row in rows]


def _addr(octets: bytes) -> str:
    mapped = bytes(octets).startswith(bytes(10) + b"\xff\xff")
    return socket.inet_ntop(socket.AF_INET, bytes(octets)[12:]) if mapped else socket.inet_ntop(socket.AF_INET6, bytes(octets))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_each_end_knows_who_asked(veth: Veth, family: socket.AddressFamily) -> None:
    far = veth.far.ip4 if family == socket.AF_INET else veth.far.ip6
    near = veth.near.ip4 if family == socket.AF_INET else veth.near.ip6
    with veth.far.space.inside():
        listener = socket.create_server((far, PORT), family=family)
    with veth.near.space.inside():
        asking = socket.create_connection((far, PORT))
    answering, _ = listener.accept()
    expected = [(near, asking.getsockname()[1], far, PORT)]
    with listener, asking, answering:
        for space in (veth.near.space, veth.far.space):
            with space.inside():
                assert begun() == expected


def test_of_others_nothing_is_known(veth: Veth) -> None:
    """A port that the kernel did not choose, and on which nobody listens any more: it may have asked, or answered."""
    with veth.far.space.inside():
        listener = socket.create_server((veth.far.ip4, PORT))
    with veth.near.space.inside():
        asking = socket.create_connection((veth.far.ip4, PORT), source_address=(veth.near.ip4, 2000))
    answering, _ = listener.accept()
    listener.close()
    with asking, answering:
        for space in (veth.near.space, veth.far.space):
            with space.inside():
                assert begun() == []


def test_a_listener_for_all_addresses_and_families(veth: Veth) -> None:
    with veth.near.space.inside():
        listener = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        with listener, socket.create_connection(("127.0.0.1", PORT)) as asking, listener.accept()[0]:
            assert set(begun()) == {("127.0.0.1", asking.getsockname()[1], "127.0.0.1", PORT)}


@pytest.mark.parametrize("more", [("tcx",), ("clsact",), ("af_packet",)], ids=" ".join)
@pytest.mark.parametrize("end", ["near", "far"])
def test_a_connection_that_was_there_has_its_originator(veth: Veth, end: str, more: tuple[str, ...], tmp_path: Path) -> None:
    """Its first packet that is seen is the server's."""
    with veth.far.space.inside():
        listener = socket.create_server((veth.far.ip4, PORT))
    with veth.near.space.inside():
        asking = socket.create_connection((veth.far.ip4, PORT))
    answering, _ = listener.accept()
    with listener, asking, answering, watching(getattr(veth, end), tmp_path, "conn", "-f", "tcp", "--hook", *more) as rows:
        answering.sendall(b"x" * 100)
        asking.recv(100)
        asking.sendall(b"y" * 7)
        answering.recv(7)
    assert [(row["id.orig_h"], row["id.resp_p"], row["orig_bytes"], row["resp_bytes"]) for row in rows] == [(veth.near.ip4, PORT, 7, 100)]
    assert rows[0]["history"].startswith("^d")
