"""Who may run it: each rung under exactly the capabilities that docs/kernels.md names, without one of them, and what it then keeps."""

import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from frames import ethernet, udp
from netns import FrameSender, Namespace, Veth, veth_pair
from watching import HEADWATER, READY_S, Watching, doctor, shorten, status

LOADING = ("bpf", "net_admin", "perfmon")
NEEDS = {"tcx": LOADING, "clsact": LOADING, "xdp": LOADING, "af_packet": ("net_raw",)}
KEEPS = {"clsact": 1 << 12}  # what the process that stays behind has: CAP_NET_ADMIN
SENT = 40


def become(capabilities: Collection[str]) -> list[str]:
    """The command that makes the next one nobody's, with these capabilities and no others to be had."""
    listed = ",".join(["-all", *(f"+{one}" for one in capabilities)])
    who = "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
    return [*who.split(), f"--inh-caps={listed}", f"--ambient-caps={listed}", f"--bounding-set={listed}"]


def open_to_all(*paths: Path) -> None:
    """Let everybody in where Python and Headwater are: they may be below a home. What is changed is the guest's own."""
    for parent in {parent for path in paths for parent in [path, *path.parents]}:
        if parent.is_dir():
            parent.chmod(parent.stat().st_mode | 0o055)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder in which nobody may write too."""
    with tempfile.TemporaryDirectory() as temporary:
        rows = Path(temporary) / "rows"
        rows.mkdir()
        open_to_all(rows)
        rows.chmod(0o777)
        yield rows


def check(best: str, say: Callable[[str, str, str, str], None]) -> None:
    """`say` is told what, by which rung, what was seen, and what is wrong."""
    open_to_all(Path(__file__).parents[2], Path(sys.executable), Path(sys.base_prefix))
    with veth_pair(silent=True) as pair:
        for rung in ("tcx", "clsact", "xdp", "af_packet"):
            if rung != "tcx" or best == "tcx":
                say("exactly", rung, *_exactly(pair, rung))
        say("all four, no --hook", best, *_exactly(pair, best, (*LOADING, "net_raw"), forced=False))
        for one in LOADING:
            left = [other for other in LOADING if other != one]
            say(f"without {one}", best, *_without(pair, best, one, left))
        say("without net_raw", "af_packet", *_without(pair, "af_packet", "net_raw", LOADING))
        say("only net_raw, no --hook", "af_packet", *_exactly(pair, "af_packet", forced=False))
        for rung in dict.fromkeys((best, "clsact", "xdp", "af_packet")):
            say("follows an interface that goes and comes again", rung, *_follows(pair, rung))
        if best == "clsact":
            say("tcx asked for", "tcx", *_asked_for_tcx(pair))


def _exactly(pair: Veth, rung: str, capabilities: Collection[str] = (), *, forced: bool = True) -> tuple[str, str]:
    """It runs, sees what is sent, and has nothing left itself."""
    who = become(capabilities or NEEDS[rung])
    near = pair.near
    words = ("--hook", rung) if forced else ()
    with folder_for_all() as rows, Watching(near.space, [near.interface], rows, *words, become=who) as seen:
        own = seen.status()
        children = Path(f"/proc/{own['Pid']}/task/{own['Pid']}/children").read_text().split()
        kept = [int(status(int(child))["CapEff"], 16) for child in children]
        verdict = "" if forced else doctor(near.space, become=who)[1][0]["why"]
        with FrameSender(pair.far) as sender:
            sender.send([ethernet(udp("10.9.0.2", "10.9.0.1", 7, 9), 0x0800)] * SENT)
        time.sleep(0.5)
    wrong = [seen.wrong()] if seen.wrong() else []
    sets = {name: int(own[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    if any(sets.values()):
        wrong.append(f"the run keeps {sets}")
    if kept != ([KEEPS[rung]] if rung in KEEPS else []):
        wrong.append(f"processes that stay behind have {kept}")
    if (seen.count(near.interface, dport=9), seen.rungs.get(near.interface)) != (SENT, rung):
        wrong.append(f"{seen.count(near.interface, dport=9)} of {SENT} rows, by {seen.rungs}")
    if not forced and not verdict.startswith(f"by {rung} "):
        wrong.append(f"doctor says: {verdict}")
    return f"with {' '.join(capabilities or NEEDS[rung])}: {SENT} of {SENT} rows, CapEff 0", "; ".join(wrong)


def _follows(pair: Veth, rung: str) -> tuple[str, str]:
    """Confined, it loses an interface twice, and takes it up again each time."""
    space, name = pair.near.space, "later"
    _make(space, name)
    with folder_for_all() as rows, Watching(space, [pair.near.interface, name], rows, "--hook", rung) as seen:
        effective = int(seen.status()["CapEff"], 16)
        for times in (1, 2):
            space.ip(f"link del {name}")
            seen.until(f"{name} is gone", times)
            _make(space, name)
            seen.until(f"listening on {name}", times)
            with FrameSender(replace(pair.near, interface=f"{name}2")) as sender:
                sender.send([ethernet(udp("10.8.0.1", "10.8.0.2", 7, 9), 0x0800)] * SENT)
            time.sleep(0.5)
    space.ip(f"link del {name}")
    wrong = [seen.wrong()] if seen.wrong() else []
    if effective:
        wrong.append(f"the run keeps {effective:x}")
    if seen.count(name, dport=9) != 2 * SENT:
        wrong.append(f"{seen.count(name, dport=9)} of {2 * SENT} rows: {shorten(seen.said)}")
    left = space.run("tc", "qdisc", "show").stdout
    if "clsact" in left:
        wrong.append(f"it leaves {left}")
    return f"{2 * SENT} of {2 * SENT} rows, CapEff 0", "; ".join(wrong)


def _make(space: Namespace, name: str) -> None:
    space.ip(f"link add {name} type veth peer name {name}2")
    for one in (name, f"{name}2"):
        space.ip(f"link set {one} up")


def _without(pair: Veth, rung: str, missing: str, left: Collection[str]) -> tuple[str, str]:
    """It ends with 4 and one line that names what is missing; doctor names the same."""
    who, near = become(left), pair.near
    with folder_for_all() as rows:
        command = (*who, *HEADWATER, "run", "-i", near.interface, "-o", str(rows), "--for", "1s", "--hook", rung)
        done = near.space.run(*command, check=False, timeout=READY_S)
    said = shorten(done.stderr)
    code, found = doctor(near.space, become=who)
    named = {one["name"] for one in found if one["area"] == "privileges" and one["state"] == "off"}
    wrong = []
    if done.returncode != 4 or f"CAP_{missing.upper()}" not in said or " / " in said:
        wrong.append(f"ended with {done.returncode}: {said}")
    if f"CAP_{missing.upper()}" not in named or (rung != "af_packet" and code != 4):
        wrong.append(f"doctor ends with {code} and misses {sorted(named)}")
    return said, "; ".join(wrong)


def _asked_for_tcx(pair: Veth) -> tuple[str, str]:
    """A kernel without it says so, and what to do."""
    near = pair.near
    with folder_for_all() as rows:
        command = (*HEADWATER, "run", "-i", near.interface, "-o", str(rows), "--for", "1s", "--hook", "tcx")
        done = near.space.run(*command, check=False, timeout=READY_S)
    said = shorten(done.stderr)
    clear = done.returncode == 3 and re.search(r"tcx on \S+ is not possible here: it needs kernel 6\.6", said)
    return said, "" if clear else f"on {platform.release()} it ended with {done.returncode}"
