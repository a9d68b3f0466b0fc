"""What this kernel, these privileges and these interfaces allow, by trying it; version numbers are only told, never believed."""

import ctypes
import errno
import itertools
import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from headwater._native import ffi, lib
from headwater.errors import ConfigError, KernelError, PermissionDenied
from headwater.kernel import clsact
from headwater.kernel.confine import account
from headwater.kernel.ethtool import Card, card
from headwater.kernel.hooks import BPF_TCX_EGRESS, BPF_TCX_INGRESS
from headwater.kernel.interfaces import Interface, choose, interfaces
from headwater.kernel.libbpf import Object, create_ring, named, possible_cpus
from headwater.kernel.spare import SpareSockets

State = Literal["ok", "warn", "off"]
Rung = Literal["tcx", "clsact", "af_packet"]

ROOT = "run as root (sudo)"
_RING_BYTES = 16 << 20  # what a run asks for, for each CPU
_CAPABILITIES = {  # name: (bit, what stands for it too, what it is for)
    "CAP_BPF": (39, "CAP_SYS_ADMIN", "loading eBPF programs"),
    "CAP_NET_ADMIN": (12, None, "attaching to interfaces, promiscuous mode"),
    "CAP_PERFMON": (38, "CAP_SYS_ADMIN", "loading eBPF programs"),
    "CAP_NET_RAW": (13, None, "packet sockets"),
    "CAP_SYS_ADMIN": (21, None, ""),
}
_SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
_TIME_ERROR = 5
_PROGRAMS_SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """One thing that was tried. `area` is what it belongs to (an interface: `interface eth0`); `todo` is empty where nothing is."""

    area: str
    name: str
    state: State  # ok; warn: works, but mind this; off: does not
    why: str
    todo: str = ""
    denied: bool = False  # it is off for want of a privilege


def ladder(interface: Interface) -> tuple[Rung, str]:
    """The best way to see an interface's packets here, and why it is that one."""
    return _rung(interface, _ebpf())


def best(wanted: list[Interface]) -> Rung:
    """The best way that all of them have. tcx and clsact ask nothing of a driver; an ingress qdisc stands in clsact's way."""
    ebpf = _ebpf()
    rungs = {_rung(interface, ebpf)[0] for interface in wanted}
    return max(rungs, key=get_args(Rung).index)


def _rung(interface: Interface, ebpf: list[Finding]) -> tuple[Rung, str]:
    for finding in ebpf:
        if finding.state == "off":
            return "af_packet", f"no tcx: {finding.why}"
    failed, _ = _attached(interface, BPF_TCX_INGRESS)
    if failed:
        why = f"no tcx: {_why_no_tcx(failed)}"
        against = clsact.why_not(interface.index)
        return ("af_packet", f"{why}; {against}") if against else ("clsact", why)
    return "tcx", "both directions, beside other programs"


def _why_no_tcx(failed: int) -> str:
    if failed == errno.EINVAL:
        return "it came with kernel 6.6"
    return f"the kernel refused to be asked ({os.strerror(failed)})"


def findings() -> list[Finding]:
    """Everything, the verdict first: whether packets can be captured live."""
    ebpf = _ebpf()
    socket = _packet_socket()
    there = interfaces()
    chosen: list[Interface] = []
    none_chosen: Finding | None = None
    try:
        chosen = choose([])
    except ConfigError as error:
        none_chosen = _refusal("interfaces", "choice", error, "warn")
    rungs = {one.index: _rung(one, ebpf) for one in there.values()}
    verdict = _verdict([rungs[one.index] for one in chosen] or list(rungs.values()), ebpf, socket)
    found = [verdict, *_kernel(), *ebpf, _loads("XDP program", "hw_xdp", "warn"), socket, *_privileges(), *_clocks()]
    found += [none_chosen] if none_chosen else []
    for one in there.values():
        found += _interface(one, rungs[one.index], socket, listened=one in chosen)
    return found


def exit_code(found: list[Finding]) -> int:
    """What a run would end with if it ended here: 0 if it can see packets, 4 if a privilege is missing, else 3."""
    verdict = next(one for one in found if one.area == "live capture")
    if verdict.state != "off":
        return 0
    return PermissionDenied.exit_code if verdict.denied else KernelError.exit_code


def _verdict(rungs: list[tuple[Rung, str]], ebpf: list[Finding], socket: Finding) -> Finding:
    rung, why = rungs[0] if rungs else ("af_packet", "there is no interface")
    if rung == "af_packet" and socket.state == "off":
        denied = any(one.denied for one in (*ebpf, socket))
        todo = "read a capture file: headwater read FILE"
        return Finding("live capture", "verdict", "off", f"{why}; {socket.why}", f"{ROOT}, or {todo}" if denied else todo, denied)
    return Finding("live capture", "verdict", "ok", f"by {rung} ({why})")


def _refusal(area: str, name: str, error: Exception, state: State = "off") -> Finding:
    """An error of ours as a finding: it says first what is wrong, then what to do."""
    why, _, todo = str(error).partition(": ")
    return Finding(area, name, state, why, todo, isinstance(error, PermissionDenied))


# -- kernel ----------------------------------------------------------------------------------------------------------------------------


def _kernel() -> Iterator[Finding]:
    yield Finding("kernel", "release", "ok", f"{platform.system()} {platform.release()} ({platform.machine()})")
    cpus = possible_cpus()
    yield Finding(
        "kernel", "possible CPUs", "ok", f"{cpus}; a run takes {cpus * _RING_BYTES >> 20} MiB for rings, unless ring_bytes says other"
    )
    if Path("/sys/kernel/btf/vmlinux").exists():
        yield Finding("kernel", "BTF", "ok", "there")
    else:
        yield Finding("kernel", "BTF", "warn", "not there; capturing packets needs none, what reads the kernel's own structures does")
    match _sysctl("net/core/bpf_jit_enable"):
        case "0":
            todo = "sysctl -w net.core.bpf_jit_enable=1"
            yield Finding("kernel", "JIT", "warn", "off: eBPF programs are interpreted, several times slower", todo)
        case None:
            yield Finding("kernel", "JIT", "ok", "not to be seen from here")
        case _:
            yield Finding("kernel", "JIT", "ok", "on")
    mounts = (line.split() for line in _lines("/proc/self/mounts"))
    where = [fields[1] for fields in mounts if fields[2] == "bpf"]
    yield Finding("kernel", "bpffs", "ok", f"mounted at {where[0]}" if where else "not mounted; nothing here needs it")


def _sysctl(name: str) -> str | None:
    found = _lines(f"/proc/sys/{name}")
    return found[0].strip() if found else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # hidden from this namespace, or not in this kernel
        return []


# -- eBPF and packet sockets, tried -------------------------------------------------------------------------------------------------


def _ebpf() -> list[Finding]:
    """What a run with tcx does first, tried: its ring and its program."""
    return [_ring(_RING_BYTES), _loads("tcx program", "hw_tcx_in", "off")]


def _loads(name: str, program: str, otherwise: State) -> Finding:
    try:
        with Object("tap", (program,)):
            return Finding("eBPF", name, "ok", "loads")
    except KernelError as error:
        return _refusal("eBPF", name, error, otherwise)


def _ring(octets: int) -> Finding:
    try:
        os.close(create_ring("hw_probe", octets))
    except KernelError as error:
        return _refusal("eBPF", "ring buffer", error)
    return Finding("eBPF", "ring buffer", "ok", f"{octets >> 20} MiB can be made")


def _packet_socket() -> Finding:
    """A small TPACKET_V3 ring on the first interface."""
    one = next(iter(interfaces().values()), None)
    if one is None:
        return Finding("packet sockets", "ring", "off", "there is no interface in this network namespace")
    try:
        opened = SpareSockets().take()
    except PermissionDenied as error:
        return _refusal("packet sockets", "ring", error)
    except OSError as error:
        return Finding("packet sockets", "ring", "off", f"the kernel refused it ({error.strerror})")
    ring = lib.hw_af_packet_open(opened, one.index, not one.starts_with_ethernet, 64 << 10, 0, 0)
    if ring != ffi.NULL:
        lib.hw_af_packet_close(ring)
        return Finding("packet sockets", "ring", "ok", "can be opened and mapped")
    return Finding("packet sockets", "ring", "off", f"the kernel refused it ({os.strerror(ffi.errno)})")


# -- privileges --------------------------------------------------------------------------------------------------------------------------


def _privileges() -> Iterator[Finding]:
    held = _effective()
    for name, (_, also, purpose) in _CAPABILITIES.items():
        if name in held or also in held:
            yield Finding("privileges", name, "ok", "held" if name in held else f"{also} stands for it")
        elif purpose:
            yield Finding("privileges", name, "off", f"not held; it is for {purpose}", ROOT, denied=True)
        else:
            yield Finding("privileges", name, "ok", "not held, and not needed")
    restricted = _sysctl("kernel/unprivileged_bpf_disabled")
    if restricted == "0":
        why = "0: any user of this host may load some kinds of eBPF programs"
        yield Finding("privileges", "unprivileged bpf", "warn", why, "sysctl -w kernel.unprivileged_bpf_disabled=2")
    elif restricted is not None:
        yield Finding("privileges", "unprivileged bpf", "ok", f"{restricted}: eBPF needs the capabilities above")
    yield from _confinement()
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = "no limit" if soft == resource.RLIM_INFINITY else f"{soft >> 10:,} KiB; since kernel 5.11 maps do not count"
    yield Finding("privileges", "locked memory", "ok", limit)


def _confinement() -> Iterator[Finding]:
    """What a run gives its privileges away to."""
    try:
        become = account(None)
    except ConfigError as error:
        yield _refusal("privileges", "account", error, "warn")
    else:
        who = f"a run becomes {become.pw_name} once everything is open" if become else "a run stays who you are"
        yield Finding("privileges", "account", "ok", f"{who}, with no capability")
    landlock, seccomp = lib.hw_landlock_version(), Path("/proc/sys/kernel/seccomp").exists()
    for name, there, why in (("Landlock", landlock, "few files"), ("seccomp", seccomp, "few system calls")):
        if there:
            yield Finding("privileges", name, "ok", f"there: a run has {why}")
        else:
            yield Finding("privileges", name, "warn", "this kernel has none: a run is confined without", f"a kernel with {name}")


def map_calls_need_a_capability() -> bool:
    """Whether also a map or program that is open is of no use without CAP_BPF: before kernel 5.19, unless eBPF is allowed to all.

    Source: "bpf: refine kernel.unprivileged_bpf_disabled behaviour". A version number is believed here, as trying costs the capability.
    """
    return _release() < (5, 19) and _sysctl("kernel/unprivileged_bpf_disabled") != "0"


def keeps_flows() -> bool:
    """Whether eBPF programs can keep flows: with atomic instructions, and steps behind a tail call."""
    return _release() >= (5, 12)


def available() -> int:
    """Octets of memory that can be had without swapping."""
    return next((int(line.split()[1]) << 10 for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:")), 0)


def _release() -> tuple[int, int]:
    words = platform.release().split(".")
    return int(words[0]), int("".join(itertools.takewhile(str.isdigit, words[1])) or 0)


def _effective() -> set[str]:
    """The names of effective capabilities, of those that matter."""
    bits = next((int(line.split()[1], 16) for line in _lines("/proc/thread-self/status") if line.startswith("CapEff:")), 0)
    return {name for name, (bit, _, _) in _CAPABILITIES.items() if bits >> bit & 1}


# -- clocks ------------------------------------------------------------------------------------------------------------------------------


def _clocks() -> Iterator[Finding]:
    source = (_lines("/sys/devices/system/clocksource/clocksource0/current_clocksource") or ["unknown"])[0]
    if source in _SLOW_CLOCKS:
        yield Finding(
            "clocks", "source", "warn", f"{source}: slow to read, which each packet pays", "boot with clocksource=tsc if the CPU has it"
        )
    else:
        yield Finding("clocks", "source", "ok", source)
    if ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) == _TIME_ERROR:  # struct timex with modes 0: only a question
        yield Finding("clocks", "wall clock", "warn", "not synchronised: times of packets are this machine's own", "start an NTP client")
    else:
        yield Finding("clocks", "wall clock", "ok", "synchronised")


# -- interfaces ----------------------------------------------------------------------------------------------------------------------------


def _interface(one: Interface, rung: tuple[Rung, str], socket: Finding, *, listened: bool) -> Iterator[Finding]:
    area = f"interface {one.name}"
    facts = card(one.name)
    about = ", ".join(
        (one.kind or facts.driver or ("loopback" if one.loopback else "no driver known"), f"MTU {one.mtu}", "up" if one.up else "down")
    )
    if one.up and not one.running:
        yield Finding(
            area, "device", "warn" if listened else "ok", f"{about}, no carrier", "plug it in, or start its other end" if listened else ""
        )
    else:
        yield Finding(area, "device", "ok", about)
    hook, why = rung
    if hook == "af_packet" and socket.state == "off":
        yield Finding(area, "hook", "off", "run cannot listen here, by tcx, clsact or af_packet: see the verdict", denied=socket.denied)
    elif listened:
        yield Finding(area, "hook", "ok", f"run listens here, by {hook}: {why}")
    else:
        yield Finding(area, "hook", "ok", f"run leaves it out; with -i {one.name} it is seen by {hook}")
    yield from _others(one)
    if listened:
        yield from _offloads(one, facts)


def _others(one: Interface) -> Iterator[Finding]:
    """Programs that are attached already. They are left alone."""
    area = f"interface {one.name}"
    for mode, program in one.xdp:
        why = f"{mode}: program {named(program)}; tcx sees what it passes, and --hook xdp is refused here"
        yield Finding(area, "XDP", "warn", why)
    for direction, place in (("in", BPF_TCX_INGRESS), ("out", BPF_TCX_EGRESS)):
        _, programs = _attached(one, place)
        if programs:
            names = ", ".join(named(program) for program in programs)
            yield Finding(area, f"tcx {direction}", "ok", f"program {names}; ours goes before it and leaves the verdict to it")
    if left := [one for one in clsact.filters(one.index) if one.ours and not one.is_held]:
        yield Finding(area, "clsact", "warn", f"{len(left)} filters of a killed run are there, idle", "the next run removes them")


def _offloads(one: Interface, facts: Card) -> Iterator[Finding]:
    """What the card or its driver does to packets before XDP or everybody else sees them."""
    area = f"interface {one.name}"
    off = f"for --hook xdp: ethtool -K {one.name}"
    if facts.rxvlan:
        yield Finding(area, "rxvlan", "ok", "XDP does not see VLAN tags that the card takes out; tcx and AF_PACKET do", f"{off} rxvlan off")
    if facts.lro:
        why = "the card merges received packets: what is seen is not what was on the wire"
        yield Finding(area, "LRO", "warn", why, f"ethtool -K {one.name} lro off")
    if facts.gro:
        yield Finding(area, "GRO", "ok", "merged packets count as several; generic XDP would count them as one", f"{off} gro off")
    if facts.tso:
        yield Finding(area, "TSO", "ok", "sent packets are seen before they are split, and count as several")


def _attached(one: Interface, place: int) -> tuple[int, list[int]]:
    """Why the kernel does not say (an errno, 0 if it does), and the ids of the programs at a tcx hook."""
    ids, count = ffi.new("__u32[]", _PROGRAMS_SHOWN), ffi.new("__u32 *", _PROGRAMS_SHOWN)
    failed = -int(lib.bpf_prog_query(one.index, place, 0, ffi.NULL, ids, count))
    if failed and failed != errno.ENOSPC:  # there are more: the first ones are told
        return failed, []
    return 0, list(ids[0 : min(count[0], _PROGRAMS_SHOWN)])
