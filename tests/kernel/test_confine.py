"""What is left to a run once it has given its privileges away: /proc says so, what is forbidden is tried, and it still does its work."""

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import mmdb_made
import pyarrow.parquet
import pytest
from frames import ethernet, udp
from netns import FrameSender, Namespace, Veth, unique
from waiting import MOST_S, until

from headwater.kernel.confine import account
from headwater.sources.zeek import tables

pytestmark = pytest.mark.kernel

HEADWATER = Path(sys.executable).parent / "headwater"
FORBIDDEN = """
import ctypes, os, socket, sys, threading
import headwater.records
from headwater.kernel.confine import account, confine

parent = os.getppid()
confine(account(None))
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *words):
    if libc.syscall(number, *words) < 0:
        raise OSError(ctypes.get_errno(), "")

attempts = {
    "open": lambda: open("/etc/shadow"),
    "open what all may read": lambda: open("/etc/fstab"),
    "write": lambda: open("/tmp/headwater-forbidden", "w"),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "ptrace": lambda: call(101, 16, parent, 0, 0),
    "mount": lambda: call(165, b"none", b"/mnt", b"tmpfs", 0, 0),
    "bpf map create": lambda: call(321, 0, ctypes.create_string_buffer(b"\\2\\0\\0\\0\\4\\0\\0\\0\\4\\0\\0\\0\\1\\0\\0\\0", 128), 128),
    "bpf program load": lambda: call(321, 5, ctypes.create_string_buffer(128), 128),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "setuid": lambda: os.setuid(0),
    "unshare": lambda: call(272, 0x40000000),
    "reading another process": lambda: call(310, parent, 0, 0, 0, 0, 0),
}

def all_of_them():
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        print("possible:", name)

all_of_them()
thread = threading.Thread(target=all_of_them)
thread.start()
thread.join()
os.write(1, b"done\\n")
os.close(os.dup(0))
print(open("/proc/self/status").read())
"""


def test_what_is_forbidden_is_refused_in_every_thread() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FORBIDDEN)], capture_output=True, text=True, check=False, timeout=MOST_S)
    assert done.returncode == 0, done.stderr
    assert "possible" not in done.stdout
    assert "done" in done.stdout
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert {status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Uid"].split()) & {"0"} == set()


LATER = """
import os, sys
sys.path.insert(0, {folder!r})
import package
from headwater.kernel.confine import account, confine

confine(account(None))
import package.later, beside
print(package.later.found, beside.found, os.access({folder!r}, os.R_OK))
"""


def test_modules_can_still_be_imported_from_a_folder_that_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "modules"
    (folder / "package").mkdir(parents=True)
    (folder / "package/__init__.py").touch()
    (folder / "package/later.py").write_text("found = 1\n")
    (folder / "beside.py").write_text("found = 2\n")
    (tmp_path / "home").chmod(0o700)
    script = textwrap.dedent(LATER.format(folder=str(folder)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=MOST_S)
    assert (done.stdout, done.stderr) == ("1 2 False\n", "")


NAMES = """
import os
import time
from pathlib import Path
from headwater.analysis.databases import load
from headwater.kernel.confine import account, confine
from headwater.errors import ConfigError

there = Path({folder!r})
confine(account(None), readable=[there])
os.write(1, b"confined\\n")
while not (there / "new").exists():
    time.sleep(0.05)
print(load(there / "names.mmdb", "asn").about)
try:
    load(there.parent / "other.mmdb", "asn")
except ConfigError as error:
    print("Permission denied" in str(error))
"""


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that other accounts may search, as tmp_path is not."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_file_of_names_can_be_replaced_and_read_again(everybodys: Path) -> None:
    folder = everybodys / "names"
    folder.mkdir()
    mmdb_made.write(folder / "names.mmdb", {"192.0.2.0/24": mmdb_made.as_record(1, "x")}, kind="Before")
    mmdb_made.write(everybodys / "other.mmdb", {"192.0.2.0/24": mmdb_made.as_record(1, "x")})
    script = textwrap.dedent(NAMES.format(folder=str(folder)))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "confined\n"
        mmdb_made.write(folder / "next", {"192.0.2.0/24": mmdb_made.as_record(2, "y")}, kind="After").rename(folder / "names.mmdb")
        (folder / "new").touch()
        told, problems = process.communicate(timeout=MOST_S)
    assert not problems
    assert told.startswith("After of ")
    assert told.endswith("\nTrue\n")


def start(space: Namespace, folder: Path, *words: str, peer: tuple[str, str] | None = None) -> "subprocess.Popen[str]":
    if peer:
        added(space, *peer)
    return space.start(
        str(HEADWATER), "run", "-o", str(folder), "--format", "parquet", "--record", "packet", *words, text=True, stderr=subprocess.PIPE
    )


def sensor_of(process: "subprocess.Popen[str]", folder: Path) -> dict[str, str]:
    """/proc's status of the run, once it has given its privileges away."""

    def confined() -> dict[str, str]:
        assert process.poll() is None, process.communicate()[1]
        status = status_of(process.pid)
        return status if status["Seccomp"] == "2" and list(folder.iterdir()) else {}

    return until(confined)


def status_of(process: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)


def heard(process: "subprocess.Popen[str]", words: str) -> str:
    """What it says up to the line with these."""
    assert process.stderr
    said = ""
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def ended(process: "subprocess.Popen[str]") -> str:
    """What it still says, asked to end."""
    process.send_signal(signal.SIGINT)
    assert process.stderr
    with process.stderr as told:
        said = told.read()
    process.wait(MOST_S)
    return said


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_a_run_without_privileges_still_follows_interfaces(veth: Veth, tmp_path: Path, hook: str) -> None:
    """One that comes, goes, and comes again is seen, also with its card asked for everybody's frames."""
    name, peer = unique("hwn"), unique("hwp")
    space = veth.near.space
    process = start(space, tmp_path / "rows", "--hook", hook, "-i", veth.near.interface, "-i", name, "--promiscuous", peer=(name, peer))
    try:
        status = sensor_of(process, tmp_path / "rows")
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
        assert status["Uid"].split()[0] != "0"
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            said = (thread / "status").read_text()
            assert re.search(r"^CapEff:\t0+$", said, re.M)
            assert re.search(r"^Seccomp:\t2$", said, re.M)
        said = ""
        for _ in range(2):
            space.ip(f"link del {name}")
            said += heard(process, f"{name} is gone; waiting")
            added(space, name, peer)
            said += heard(process, f"listening on {name}")
            with FrameSender(replace(veth.near, interface=peer)) as sender:
                sender.send([ethernet(udp("10.8.0.1", "10.8.0.2", 7, 9), 0x0800)] * 20)
        said += ended(process)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert said.count(f"{name} is gone; waiting") == said.count(f"listening on {name}") == 2, said
    assert "adds up exactly" in said
    table = pyarrow.parquet.read_table(tmp_path / "rows/packet.parquet")
    ports = [row for row in table.select(["interface", "dport"]).to_pylist() if row == {"interface": name, "dport": 9}]
    assert len(ports) == 40
    assert "clsact" not in space.run("tc", "qdisc", "show").stdout


def added(space: Namespace, name: str, peer: str) -> None:
    space.ip(f"link add {name} type veth peer name {peer}")
    for one in (name, peer):
        space.ip(f"link set {one} up")
    space.carries(peer)


def keeper_of(process: "subprocess.Popen[str]") -> dict[str, str]:
    """/proc's status of the process that a run keeps for what needs a capability each time, once it is confined: it does that by itself."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return until(lambda: status if (status := status_of(int(child)))["Seccomp"] == "2" else {})


KEEPING = {
    "clsact": (["--hook", "clsact"], 1 << 12),
    "times of tcx": (["--hook", "tcx", "--record", "cost"], 1 << 21),
    "times of clsact": (["--hook", "clsact", "--record", "cost"], 1 << 12 | 1 << 21),
}


@pytest.mark.parametrize(("words", "kept"), KEEPING.values(), ids=KEEPING)
def test_what_stays_behind_has_what_it_needs_and_ends_with_the_run(veth: Veth, tmp_path: Path, words: list[str], kept: int) -> None:
    process = start(veth.near.space, tmp_path / "rows", "-i", veth.near.interface, *words)
    try:
        assert int(sensor_of(process, tmp_path / "rows")["CapEff"], 16) == 0
        keeper = keeper_of(process)
        assert {int(keeper[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {kept}
        assert (keeper["NoNewPrivs"], keeper["Seccomp"]) == ("1", "2")
        assert "0" not in keeper["Uid"].split()
        held = Path(f"/proc/{keeper['Pid']}/fd")
        assert len(list(held.iterdir())) <= 6
    finally:
        process.kill()
        process.communicate(timeout=MOST_S)
    until(lambda: not Path(f"/proc/{keeper['Pid']}").exists() and "hw_clsact" not in filters_of(veth))


def filters_of(veth: Veth) -> str:
    """Those of a clsact qdisc, as iproute2 tells them; none without the qdisc."""
    words = f"tc filter show dev {veth.near.interface} ingress 2>&1 || true"
    return veth.near.space.run("sh", "-c", words).stdout


def test_programs_for_one_device_are_loaded_for_a_new_one_too(veth: Veth, tmp_path: Path) -> None:
    """XDP that may ask the card: what stays behind loads it anew, and hands the link over."""
    name, peer = unique("hwn"), unique("hwp")
    space = veth.near.space
    (tmp_path / "headwater.toml").write_text('hook = "xdp"\nxdp_metadata = true\n')
    words = ["-c", str(tmp_path / "headwater.toml"), "-i", name]
    process = start(space, tmp_path / "rows", *words, peer=(name, peer))
    try:
        assert int(sensor_of(process, tmp_path / "rows")["CapEff"], 16) == 0
        assert int(keeper_of(process)["CapEff"], 16) == 1 << 12 | 1 << 38 | 1 << 39
        space.ip(f"link del {name}")
        said = heard(process, f"{name} is gone; waiting")
        added(space, name, peer)
        said += heard(process, f"listening on {name}")
        with FrameSender(replace(veth.near, interface=peer)) as sender:
            sender.send([ethernet(udp("10.8.0.1", "10.8.0.2", 7, 9), 0x0800)] * 20)
        said += ended(process)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "is not asked" not in said
    rows = pyarrow.parquet.read_table(tmp_path / "rows/packet.parquet").select(["dport", "hash"]).to_pylist()
    assert [row["hash"] is not None for row in rows if row["dport"] == 9] == [True] * 20


@pytest.mark.parametrize("hook", ["tcx", "clsact"])
def test_programs_are_still_timed(veth: Veth, tmp_path: Path, hook: str) -> None:
    words = ("--hook", hook, "--record", "cost", "--for", "3s")
    with start(veth.near.space, tmp_path / "rows", "-i", veth.near.interface, *words) as process:
        _, said = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, said
    rows = pyarrow.parquet.read_table(tmp_path / "rows/cost.parquet").to_pylist()
    assert {row["name"] for row in rows if row["kind"] == "program"} == {f"hw_{hook}_in", f"hw_{hook}_out"}
    assert len([row for row in rows if row["kind"] == "process"]) == 2


def test_who_has_the_capabilities_without_being_root_gives_them_away(veth: Veth, tmp_path: Path) -> None:
    """As the service runs: another user, with ambient capabilities."""
    folder = tmp_path / "rows"
    folder.mkdir()
    folder.chmod(0o777)
    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o055)
    keep = "+bpf,+net_admin,+perfmon,+net_raw,+dac_read_search"  # the last so that Python is found, wherever it is
    sets = f"--inh-caps=-all,{keep} --ambient-caps=-all,{keep} --bounding-set=-all,{keep}"
    become = f"setpriv --reuid=65534 --regid=65534 --clear-groups {sets}"
    command = f"exec {become} {HEADWATER} run -i {veth.near.interface} -o {folder} --format parquet"
    process = veth.near.space.start("sh", "-c", command, text=True, stderr=subprocess.PIPE)
    try:
        status = sensor_of(process, folder)
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapAmb"], 16) == 0
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=MOST_S)
    assert "adds up exactly" in said


def test_root_may_keep_its_privileges(veth: Veth, tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text('user = "root"\n')
    with start(veth.near.space, tmp_path / "rows", "-c", str(tmp_path / "headwater.toml"), "-i", veth.near.interface) as run:
        heard(run, "listening on")
        assert "CapEff:\t0000000000000000" not in Path(f"/proc/{run.pid}/status").read_text()
        ended(run)
    assert run.returncode == 0


@pytest.mark.parametrize("form", ["zeek", "zeek-json"])
def test_logs_are_rotated_and_packed_without_privileges(veth: Veth, tmp_path: Path, form: str) -> None:
    """In a folder that the account is not allowed on the way to, by an account that may write nowhere else."""
    (tmp_path / "headwater.toml").write_text("[flows]\nudp_timeout_s = 0.5\n")
    words = ["-c", str(tmp_path / "headwater.toml"), "-i", veth.near.interface, "-o", str(tmp_path / "logs"), "--format", form]
    with veth.near.space.start(str(HEADWATER), "run", *words, "--rotate", "2s", text=True, stderr=subprocess.PIPE) as process:
        try:
            assert int(sensor_of(process, tmp_path / "logs")["CapEff"], 16) == 0
            with FrameSender(veth.far) as sender:
                for port in range(1, 6):
                    sender.send([ethernet(udp("10.8.0.1", "10.8.0.2", port, 9), 0x0800)])
                    if port == 3:
                        until(lambda: list((tmp_path / "logs").glob("*/conn.*.log.gz")))
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, said
    assert "adds up exactly" in said and "cannot" not in said, said
    assert not list((tmp_path / "logs/current").iterdir())
    logs = sorted((tmp_path / "logs").glob("*/conn.*.log.gz"))
    assert len(logs) >= 2, said
    assert all(path.stat().st_uid == path.parent.stat().st_uid == account(None).pw_uid for path in logs)
    rows = [row for one in tables(tmp_path / "logs", print) if one.name == "conn" for row in one.table.to_pylist()]
    assert sorted(row["id.orig_p"] for row in rows if row["id.resp_p"] == 9) == [1, 2, 3, 4, 5]  # the link's own reports may be beside them


def test_an_account_that_is_not_there_is_said(veth: Veth, tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text('user = "nobody-of-that-name"\n')
    with start(veth.near.space, tmp_path / "rows", "-c", str(tmp_path / "headwater.toml"), "-i", veth.near.interface) as run:
        _, said = run.communicate(timeout=MOST_S)
    assert run.returncode == 2
    assert "there is no account nobody-of-that-name" in said
