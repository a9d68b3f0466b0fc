"""The tap against real traffic between namespaces: rows equal what was sent, the ledger adds up, nothing stays attached."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from headwater._native import ffi, lib
from netns import End, FrameSender, Veth, veth_pair
from waiting import MOST_S, until

from headwater.errors import ConfigError, KernelError
from headwater.kernel import clock, hooks, libbpf
from headwater.kernel.interfaces import interfaces
from headwater.records import ENUMS, PACKET, Batch
from headwater.records.layouts import HAS
from headwater.sources import attaching, tap
from headwater.sources.tap import Tap
from headwater.telemetry import Entry, Ledger, imbalances

pytestmark = pytest.mark.kernel
HOOKS = ("tcx", "clsact", "xdp")
BOTH_WAYS = ("tcx", "clsact")  # hooks that see both directions
NEAR_NS = 1_500_000  # between two clocks that are read one after the other


class Watching:
    """A tap on one end, read in a thread until the end of the block; then `rows`, `ledger` and `reports` are there."""

    def __init__(self, end: End, *names: str, **settings: object) -> None:
        self.ledger, self.reports, self._parts = Ledger(), [], []
        self._end = end
        self.tap = Tap(self.ledger, names or (end.interface,), report=self.reports.append, **settings)
        self._ready = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self._end.space.inside(), self.tap:
                self._ready.set()
                for batch in self.tap.read():
                    self._parts.append(batch.copy().rows)
                self.tap.account()
        except BaseException as error:
            self._failed = error
            self._ready.set()

    def __enter__(self) -> "Watching":
        self._thread.start()
        assert self._ready.wait(MOST_S)
        if self._failed:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.05)  # what another CPU has on its way
        self.tap.stop()
        self._thread.join(MOST_S)
        assert not self._thread.is_alive()
        if self._failed:
            raise self._failed
        self.rows = np.concatenate([np.empty(0, PACKET.dtype), *self._parts], dtype=PACKET.dtype)

    def count(self, term: str, *place_reason: str, subject: str = "") -> int:
        return self.ledger.get(Entry("packets", subject or self._end.interface, term, *place_reason))


def ethernet(payload: bytes, ethertype: int = 0x0800, tags: bytes = b"") -> bytes:
    return bytes.fromhex("0200000900010200000900ff") + tags + struct.pack("!H", ethertype) + payload


def ipv4(payload: bytes, proto: int = 17, **fields: int) -> bytes:
    header = struct.pack(
        "!BBHHHBBH", 0x45, fields.get("tos", 0), 20 + len(payload), fields.get("id", 7), fields.get("off", 0), 63, proto, 0
    )
    return header + socket.inet_aton("10.9.0.2") + socket.inet_aton("10.9.0.1") + payload


def udp(sport: int, dport: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


@pytest.mark.parametrize("hook", HOOKS)
def test_every_frame_sent_is_a_row(silent_veth: Veth, hook: str):
    frames = [ethernet(ipv4(udp(1000 + i % 50000, 53, b"x" * (i % 900)), id=i & 0xFFFF)) for i in range(5000)]
    with Watching(silent_veth.near, hook=hook) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(frames)
    assert seen.count("seen") == seen.count("as_row") == len(seen.rows) == sender.sent == 5000
    assert seen.count("octets") == sender.octets == seen.rows["length"].sum()
    assert imbalances(seen.ledger.totals()) == []
    assert seen.rows["sport"].tolist() == [1000 + i % 50000 for i in range(5000)]
    assert seen.rows["ip_id"].tolist() == list(range(5000))
    assert (seen.rows["ttl"] == 63).all()
    assert {ENUMS["hw_hook"][value] for value in np.unique(seen.rows["hook"])} == {hook}
    assert (np.diff(seen.rows["ts"].astype("i8")) >= 0).all()


def test_times_are_utc(silent_veth: Veth):
    with Watching(silent_veth.near) as seen, FrameSender(silent_veth.far) as sender:
        before = time.time_ns()
        sender.send([ethernet(ipv4(udp(1, 2)))])
        after = time.time_ns()
    assert before - 1_000_000 <= seen.rows["ts"][0] <= after + 1_000_000


@pytest.mark.parametrize("hook", HOOKS)
def test_tags_in_the_frame_and_taken_out(silent_veth: Veth, hook: str):
    one, two = struct.pack("!HH", 0x8100, 42), struct.pack("!HHHH", 0x88A8, 0x2064, 0x8100, 7)
    frames = [ethernet(ipv4(udp(1, 2)), tags=tags) for tags in (b"", one, two)]
    with Watching(silent_veth.near, hook=hook) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(frames)
    table = Batch(PACKET, seen.rows).to_arrow()
    assert table["vlan"].to_pylist() == [None, 42, 100]
    assert table["vlan_inner"].to_pylist() == [None, None, 7]
    assert table["ethertype"].to_pylist() == [0x0800] * 3
    assert table["length"].to_pylist() == [len(frame) for frame in frames]
    assert table["sport"].to_pylist() == [1, 1, 1]
    assert seen.count("octets") == sender.octets


def talk(veth: Veth, script: str) -> None:
    """Run a Python client on the far end, against servers of the near end."""
    veth.far.space.run(sys.executable, "-c", script, veth.near.ip4, veth.near.ip6)


TCP_CLIENT = """
import socket, sys
for address in sys.argv[1:]:
    with socket.create_connection((address, 7777)) as c:
        c.sendall(b"y" * 200_000); c.shutdown(1)
        while c.recv(65536): pass
"""


def serve(end: End, address: str) -> threading.Thread:
    with end.space.inside():
        server = socket.create_server((address, 7777), family=socket.AF_INET6 if ":" in address else socket.AF_INET)

    def answer() -> None:
        with server, server.accept()[0] as c:
            while c.recv(65536):
                pass
            c.sendall(b"z" * 50_000)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


@pytest.mark.parametrize("hook", BOTH_WAYS)
@pytest.mark.parametrize("offload", [True, False], ids=["gso", "no gso"])
def test_tcp_over_both_families_with_and_without_offload(offload: bool, hook: str):
    with veth_pair(offload=offload) as veth:
        servers = [serve(veth.near, veth.near.ip4), serve(veth.near, veth.near.ip6)]
        with Watching(veth.near, hook=hook) as seen:
            talk(veth, TCP_CLIENT)
            for server in servers:
                server.join()
        tcp = seen.rows[(seen.rows["has"] & HAS["tcp"]) != 0]
        for family in (4, 6):
            for direction, octets, port in (("in", 200_000, "dport"), ("out", 50_000, "sport")):
                wanted = next(value for value, name in ENUMS["hw_direction"].items() if name == direction)
                rows = tcp[(tcp["ip_version"] == family) & (tcp["direction"] == wanted)]
                assert (rows[port] == 7777).all()
                syn, fin = rows[rows["tcp_flags"] & 2 != 0], rows[rows["tcp_flags"] & 1 != 0]
                assert len(syn) == 1
                sent = (int(fin["seq"][-1]) + int(fin["payload_length"][-1]) - int(syn["seq"][0]) - 1) % 2**32
                assert sent == octets
                assert rows["payload_length"].sum() >= octets
                assert (syn["mss"] == (1460 if family == 4 else 1440)).all()
        arrived = tcp[tcp["direction"] == 1]  # what leaves is always large: TCP segments below this hook
        assert (arrived["segments"].max() > 1) == offload
        assert seen.count("segments") == seen.rows["segments"].sum()
        assert imbalances(seen.ledger.totals()) == []


@pytest.mark.parametrize("hook", BOTH_WAYS)
def test_fragments_icmp_arp_and_a_closed_port(veth: Veth, hook: str):
    with Watching(veth.near, hook=hook) as seen:
        talk(
            veth,
            """
import socket, sys
for address in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"f" * 4000, (address, 9))
    try: socket.create_connection((address, 4))
    except ConnectionRefusedError: pass
""",
        )
        time.sleep(0.1)
    rows = seen.rows
    v4 = rows[(rows["ip_version"] == 4) & (rows["proto"] == 17)]
    assert sorted(v4["fragment_offset"].tolist()) == [0, 1480, 2960]
    assert v4["mf"].sum() == 2
    v6 = rows[(rows["ip_version"] == 6) & (rows["proto"] == 17)]
    assert sorted(v6["fragment_offset"].tolist()) == [0, 1448, 2896]
    assert len(np.unique(v6["ip_id"])) == 1
    assert {(1, 3, 3), (58, 1, 4)} <= set(zip(*(rows[c].tolist() for c in ("proto", "icmp_type", "icmp_code")), strict=True))
    arp = rows[rows["ethertype"] == 0x0806]
    assert len(arp) >= 2
    assert bytes(arp["src"][0])[10:12] == b"\xff\xff"
    assert (rows["tcp_flags"] & 4 != 0).sum() == 2


@pytest.mark.parametrize("hook", HOOKS)
def test_jumbo_frames(hook: str):
    with veth_pair(mtu=9000, silent=True) as veth:
        with Watching(veth.near, hook=hook) as seen, FrameSender(veth.far) as sender:
            sender.send([ethernet(ipv4(udp(5, 6, b"j" * 8900)))])
        assert seen.rows["length"].tolist() == [14 + 20 + 8 + 8900]
        assert seen.rows["payload_length"].tolist() == [8900]


@pytest.mark.parametrize("hook", BOTH_WAYS)
def test_a_ring_that_overflows_counts_to_the_packet(silent_veth: Veth, hook: str):
    with Watching(silent_veth.near, hook=hook, ring_bytes=4096) as seen, FrameSender(silent_veth.far) as sender:
        frame = ethernet(ipv4(udp(1, 2)))
        sender.send(frame for _ in range(20_000))
    lost = seen.count("dropped", "ringbuf", "full")
    assert lost > 0
    assert len(seen.rows) + lost == seen.count("seen") == sender.sent
    assert imbalances(seen.ledger.totals()) == []


def test_consume_drops_what_it_saw(silent_veth: Veth):
    with Watching(silent_veth.near, hook="xdp", consume=True) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(ethernet(ipv4(udp(1, 2))) for _ in range(100))
    assert seen.count("consumed") == seen.count("as_row") == 100
    with silent_veth.near.space.inside():
        received = dict(line.split(":") for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:])
    assert int(next(v for k, v in received.items() if k.strip() == silent_veth.near.interface).split()[3]) == 0  # not counted as errors


def compiled(folder: Path, kind: str, act: str) -> Path:
    """A program of somebody else."""
    source = f'#include <linux/bpf.h>\n__attribute__((section("{kind}"), used)) int other(void *ctx) {{ return {act}; }}'
    return compiled_source(folder, source)


def compiled_source(folder: Path, source: str) -> Path:
    path = folder / "other.o"
    flags = ["-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-x", "c", "-", "-c", "-o", str(path)]
    subprocess.run(["clang", *flags], input=source.encode(), check=True)
    return path


def other_program(end: End, folder: Path, kind: str, act: str) -> int:
    """The same, attached; returns its link."""
    return attach_object(end, compiled(folder, kind, act), kind)


def attach_object(end: End, path: Path, kind: str, *, egress: bool = False) -> int:
    loaded = lib.bpf_object__open_file(bytes(path), ffi.NULL)
    assert lib.bpf_object__load(loaded) == 0
    program = lib.bpf_program__fd(lib.bpf_object__find_program_by_name(loaded, b"other"))
    with end.space.inside():
        attach = hooks.attach_xdp if kind == "xdp" else hooks.attach_tcx
        return attach(program, end.index, end.interface, **({} if kind == "xdp" else {"egress": egress}))


@pytest.mark.parametrize("act", [0, -1], ids=["TC_ACT_OK", "TC_ACT_UNSPEC"])
def test_beside_another_tcx_program(silent_veth: Veth, act: int, tmp_path: Path):
    link = other_program(silent_veth.near, tmp_path, "tc", str(act))
    with Watching(silent_veth.near) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(ethernet(ipv4(udp(1, 2))) for _ in range(50))
    os.close(link)
    assert len(seen.rows) == 50


def test_another_xdp_program_is_named_and_left_alone(silent_veth: Veth, tmp_path: Path):
    link = other_program(silent_veth.near, tmp_path, "xdp", "2")
    shown = silent_veth.near.space.run("ip", "-json", "-details", "link", "show", silent_veth.near.interface).stdout
    number = json.loads(shown)[0]["xdp"]["prog"]["id"]
    told = rf"program {number} \(other\) is there \(native\) and is left alone: .*without --hook .* what it passes is seen"
    with pytest.raises(KernelError, match=told), Watching(silent_veth.near, hook="xdp"):
        pass
    with Watching(silent_veth.near) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(ethernet(ipv4(udp(1, 2))) for _ in range(50))
    os.close(link)
    assert len(seen.rows) == 50


@pytest.mark.parametrize("mode", ["xdpdrv", "xdpgeneric"])
def test_what_it_says_frees_the_place_of_another_xdp_program(silent_veth: Veth, mode: str, tmp_path: Path):
    near = silent_veth.near
    near.space.run("ip", "link", "set", "dev", near.interface, mode, "object", str(compiled(tmp_path, "xdp", "2")), "section", "xdp")
    with pytest.raises(KernelError, match="left alone") as caught, Watching(near, hook="xdp"):
        pass
    near.space.run(*re.search("`(ip link set .*?)`", str(caught.value))[1].split())
    with Watching(near, hook="xdp") as seen, FrameSender(silent_veth.far) as sender:
        sender.send(ethernet(ipv4(udp(1, 2))) for _ in range(50))
    assert len(seen.rows) == 50


def test_generic_xdp_wants_gro_off(silent_veth: Veth):
    near = silent_veth.near
    near.space.run("ethtool", "-K", near.interface, "gro", "on")
    with pytest.raises(KernelError, match=f"`ethtool -K {near.interface} gro off`"), Watching(near, hook="xdp", generic=True):
        pass
    near.space.run("ethtool", "-K", near.interface, "gro", "off")
    with Watching(near, hook="xdp", generic=True) as seen, FrameSender(silent_veth.far) as sender:
        sender.send(ethernet(ipv4(udp(1, 2))) for _ in range(50))
    assert len(seen.rows) == 50


def test_xdp_on_a_bond_names_its_ports(silent_veth: Veth, monkeypatch: pytest.MonkeyPatch):
    near = silent_veth.near
    with near.space.inside():
        there = interfaces()
    bond, port = replace(there[near.index], kind="bond"), replace(there[1], master=near.index)
    monkeypatch.setattr(tap, "choose", lambda names: [bond])
    monkeypatch.setattr(attaching, "interfaces", lambda: {bond.index: bond, port.index: port})
    with pytest.raises(KernelError, match=rf"XDP on {near.interface} would run on its ports.*\(-i lo\)"), Watching(near, hook="xdp"):
        pass


@pytest.mark.parametrize("missing", ["bpf", "perfmon", "net_admin"])
def test_without_a_capability_it_is_named(missing: str):
    script = "from headwater.kernel.libbpf import Object; Object('tap', ('hw_clsact_in',)).open()"
    without = f"-{missing},-sys_admin"  # which stands for two of them
    command = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_S)
    assert "PermissionDenied: loading eBPF programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON" in done.stderr


def test_an_unknown_interface_is_named_with_the_known_ones(silent_veth: Veth):
    with pytest.raises(ConfigError, match=f"eth77.*{silent_veth.near.interface}"), Watching(silent_veth.near, "eth77"):
        pass


@pytest.mark.parametrize("hook", ["tcx", "xdp"])
def test_kill_9_leaves_nothing_attached(silent_veth: Veth, hook: str):
    script = (
        "import sys; from headwater.sources.tap import Tap; from headwater.telemetry import Ledger\n"
        f"with Tap(Ledger(), [sys.argv[1]], hook={hook!r}) as tap:\n    print('on', flush=True)\n    [None for _ in tap.read()]"
    )
    watcher = silent_veth.near.space.start(sys.executable, "-c", script, silent_veth.near.interface, stdout=subprocess.PIPE)
    assert watcher.stdout.readline() == b"on\n"
    assert attached(silent_veth.near) == (2 if hook == "tcx" else 1)
    watcher.send_signal(signal.SIGKILL)
    watcher.wait()
    watcher.stdout.close()
    until(lambda: not attached(silent_veth.near))  # the kernel releases links in its own time


def attached(end: End) -> int:
    """How many programs the kernel says are attached: tcx by BPF_PROG_QUERY, XDP as iproute2 shows it."""
    found = ffi.new("__u32 *")
    total = 0
    with end.space.inside():
        for place in (hooks.BPF_TCX_INGRESS, hooks.BPF_TCX_EGRESS):
            found[0] = 0
            assert lib.bpf_prog_query(end.index, place, 0, ffi.NULL, ffi.NULL, found) == 0
            total += found[0]
    return total + ("xdp" in json.loads(end.space.run("ip", "-j", "link", "show", "dev", end.interface).stdout)[0])


@pytest.mark.parametrize("hook", BOTH_WAYS)
@pytest.mark.parametrize("again", ["", "index {}"], ids=["new index", "same index"])
def test_interfaces_are_followed(veth: Veth, again: str, hook: str):
    end = veth.near
    with Watching(end, hook=hook) as seen:
        with end.space.inside():
            ping = lambda: end.space.run(  # noqa: E731
                sys.executable, "-c", f"import socket; socket.socket(socket.AF_INET, 2).sendto(b'x', ('{veth.far.ip4}', 9))", check=False
            )
        end.space.ip(f"link set {end.interface} down")
        end.space.ip(f"link set {end.interface} up")
        ping()
        with seen.tap._lock if again else contextlib.nullcontext():  # it must not look between the two
            end.space.ip(f"link del {end.interface}")
            until(lambda: again or any("gone" in line for line in seen.reports))
            end.space.ip(f"link add {end.interface} {again.format(end.index)} type veth peer name again netns {veth.far.space.name}")
        veth.far.space.ip("link set again up")
        end.space.ip(f"addr add {end.ip4}/24 dev {end.interface}")
        end.space.ip(f"link set {end.interface} up")
        until(lambda: any("listening" in line for line in seen.reports))
        seen.tap.account()
        before = seen.count("seen")
        ping()
    assert any("gone" in line for line in seen.reports)
    assert seen.count("seen") == len(seen.rows) > before
    assert imbalances(seen.ledger.totals()) == []


@pytest.mark.parametrize("hook", BOTH_WAYS)
def test_a_renamed_interface_keeps_what_it_counted(silent_veth: Veth, hook: str):
    end = silent_veth.near
    frame = ethernet(ipv4(udp(1, 2)))
    with Watching(end, hook=hook) as seen, FrameSender(silent_veth.far) as sender:
        sender.send([frame] * 10)
        end.space.ip(f"link set {end.interface} name other9")
        until(lambda: seen.tap.listening() == [("other9", hook)])
        sender.send([frame] * 20)
    assert seen.count("seen") == 10
    assert seen.count("seen", subject="other9") == 20
    assert imbalances(seen.ledger.totals()) == []


def test_a_step_of_the_clock_is_followed(silent_veth: Veth):
    """Two steps of 40 ms, forth and back: rows keep the time of their moment."""

    def step(ns: int) -> None:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + ns)
        until(lambda: abs(int(seen.tap._control.utc_offset[0]) - clock.utc_offset()) < NEAR_NS)

    with Watching(silent_veth.near) as seen, FrameSender(silent_veth.far) as sender:
        times = []
        for change in (0, 40_000_000, -40_000_000):
            step(change)
            before = time.time_ns()
            sender.send([ethernet(ipv4(udp(1, 2)))])
            times.append((before, time.time_ns()))
    assert [begun - NEAR_NS < int(ts) < over + NEAR_NS for ts, (begun, over) in zip(seen.rows["ts"], times, strict=True)] == [True] * 3


def test_possible_cpus_is_at_least_those_there():
    assert libbpf.possible_cpus() >= os.cpu_count()


PUSH = """
#include <linux/bpf.h>
__attribute__((section("tc"), used)) int other(struct __sk_buff *skb)
{
    long (*push)(struct __sk_buff *, unsigned short, unsigned short) = (void *)BPF_FUNC_skb_vlan_push;
    push(skb, 0x0081, 42);
    return 0;
}
char gpl[] __attribute__((section("license"), used)) = "GPL";
"""


@pytest.mark.parametrize("consume", [False, True])
def test_a_card_is_asked_for_the_tag_that_it_took_out_and_for_its_hash(silent_veth: Veth, tmp_path: Path, consume: bool):
    """A tag beside the frame, as offload leaves it: XDP sees it through the driver alone."""
    near, far = silent_veth.near, silent_veth.far
    link = attach_object(far, compiled_source(tmp_path, PUSH), "tc", egress=True)
    frames = [ethernet(ipv4(udp(1, 2)))] * 20
    try:
        for metadata in (False, True):
            with Watching(near, hook="xdp", consume=consume, metadata=metadata) as seen, FrameSender(far) as sender:
                sender.send(frames)
            table = Batch(PACKET, seen.rows).to_arrow()
            assert seen.reports == []
            assert table["vlan"].to_pylist() == [42 if metadata else None] * 20
            assert table["length"].to_pylist() == [len(frames[0]) + 4 * metadata] * 20
            assert table["sport"].to_pylist() == [1] * 20
            assert len(table["hash"].drop_null()) == 20 * metadata
            assert seen.count("octets") == sum(table["length"].to_pylist())
            assert imbalances(seen.ledger.totals()) == []
    finally:
        os.close(link)
