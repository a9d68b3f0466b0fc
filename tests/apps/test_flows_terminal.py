"""`headwater flows` on a terminal that is one: a capture that is made here, and traffic of the kernel's own in a network namespace."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import ethernet, ethertype, tcp, udp
from netns import Veth, veth_pair
from places import CORPORA
from shell import Shell, ready

pytestmark = pytest.mark.alone

HEADWATER = Path(sys.executable).parent / "headwater"
TAKEN, GIVEN_BACK = r"\x1b\[\?1049h", r"\x1b\[\?25h\x1b\[\?1049l"
FLOWS = 50


@pytest.fixture
def shell() -> Iterator[Shell]:
    with ready(100, 20, NO_COLOR="1") as shell:  # so that a line is sent in one piece
        yield shell


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """FLOWS flows over UDP, the Nth of N datagrams, and a TCP handshake whose SYN-ACK takes 30 ms."""
    packets = [(n + k / 100, udp("192.0.2.1", f"198.51.100.{n}", 40000 + n, 53, b"x" * 100)) for n in range(1, FLOWS + 1) for k in range(n)]
    near, far = ("2001:db8::1", "2001:db8:85a3:1319:8a2e:370:7344:1234")
    packets += [
        (100.0, tcp(near, far, 50000, 443, 2, seq=100)),
        (100.03, tcp(far, near, 443, 50000, 18, seq=500, ack=101)),
        (100.031, tcp(near, far, 50000, 443, 16, seq=101, ack=501)),
    ]
    frames = [(at, ethernet(packet, ethertype(packet))) for at, packet in sorted(packets)]
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    data += b"".join(struct.pack("<IIII", 1_700_000_000 + int(at), round(at % 1 * 1e6), len(f), len(f)) + f for at, f in frames)
    path = tmp_path / "made.pcap"
    path.write_bytes(data)
    return path


def opened(shell: Shell, *words: object) -> int:
    """The process id of `headwater flows`, once it has the screen."""
    shell.type(" ".join(map(str, (HEADWATER, "flows", *words))) + "\n")
    shell.until(TAKEN)
    children = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text().split()
    return int(children[0])


def test_a_capture_is_looked_at(shell: Shell, capture: Path) -> None:
    opened(shell, capture)
    shell.until(rf"{FLOWS + 1} flows")
    assert not shell.echoes()
    shell.until("by bytes ↓")
    shell.until(rf">192\.0\.2\.1:400{FLOWS} +198\.51\.100\.{FLOWS}:53 ")  # the most octets are the last one's
    shell.type("r")
    shell.until(r">192\.0\.2\.1:40001 +198\.51\.100\.1:53 ")
    shell.type("/tcp\n")
    shell.until("1 with tcp")
    shell.until(r">\[2001:db8::1\]:50000 +\[2001:d…4:1234\]:443 +TCP +S1 .* 31\.0ms ")
    shell.type("\n")
    shell.until(r"responder +\[2001:db8:85a3:1319:8a2e:370:7344:1234\]:443 ")
    shell.until(r"Enter or Esc goes back")
    shell.type("\x1b")
    shell.until("1 with tcp")
    shell.type("?")
    shell.until("a screen up or down")
    shell.type("q")
    shell.until(GIVEN_BACK)
    shell.until("adds up exactly")
    assert shell.status() == 0


def test_the_arrow_keys_of_a_terminal_move_the_mark(shell: Shell, capture: Path) -> None:
    opened(shell, capture)
    shell.until(rf"{FLOWS + 1} flows")
    for typed, port in (("", 50), ("\x1b[B\x1bOB", 48), ("\x1b[6~", 33), ("\x1b[F", 1), ("\x1b[A\x1b[A", 2), ("\x1bOH", 50)):
        shell.type(typed)
        shell.until(rf">192\.0\.2\.1:{40000 + port} ")  # by octets: the Nth has N datagrams
    shell.type("q")
    shell.until(GIVEN_BACK)
    assert shell.status() == 0


def test_a_new_size_is_taken_at_once(shell: Shell, capture: Path) -> None:
    run = opened(shell, capture)
    shell.until("res%.*Enter all")
    for width, last in ((60, "prot"), (200, "history"), (20, "originat")):
        shell.resize(width, 10)
        os.kill(run, signal.SIGWINCH)
        screen = shell.until(rf"\x1b\[2J(?s:.)*{last}").rpartition("\x1b[2J")[2]
        lines = re.split(r"\x1b\[\d*;?\d*H(?:\x1b\[2K)?", screen)
        assert max(map(len, (line for line in lines if "\x1b" not in line)), default=0) <= width
    shell.type("q")
    shell.until(GIVEN_BACK)


def test_from_a_pipe_while_it_still_comes(shell: Shell, capture: Path) -> None:
    half = capture.stat().st_size // 2
    shell.type(f"(head -c {half} {capture}; sleep 1000) | {HEADWATER} flows -\n")
    shell.until(TAKEN)
    shell.until("reading standard input")
    shell.type("q")
    shell.until(GIVEN_BACK)  # long before the pipe ends
    shell.until("adds up exactly")
    shell.type("\x03")


@pytest.mark.parametrize(
    "ending", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGQUIT], [signal.SIGTERM] * 3], ids=lambda e: f"{e[0].name}{len(e)}"
)
def test_whatever_signal_ends_it_the_terminal_is_given_back(shell: Shell, capture: Path, ending: list[signal.Signals]) -> None:
    run = opened(shell, capture)
    shell.until(rf"{FLOWS + 1} flows")
    for number in ending:
        os.kill(run, number)
    shell.until(GIVEN_BACK)
    shell.until("ready> ")
    assert shell.status() in (0, 128 + ending[0])


def test_ctrl_z_gives_the_screen_back_and_fg_takes_it_again(shell: Shell, capture: Path) -> None:
    opened(shell, capture)
    shell.until(rf"{FLOWS + 1} flows")
    shell.type("\x1a")
    shell.until(GIVEN_BACK)
    shell.until("Stopped")
    shell.type("fg\n")
    shell.until(TAKEN)
    shell.until(rf"{FLOWS + 1} flows")
    shell.type("q")
    shell.until(GIVEN_BACK)
    assert shell.status() == 0


def test_a_fault_of_ours_gives_the_terminal_back_too(shell: Shell, capture: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'headwater.apps.flows.command':\n"
        "            from headwater.apps.flows import look\n"
        "            look.Look._sort = lambda *_: 1 / 0\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    shell.type(f"export PYTHONPATH={tmp_path}:$PYTHONPATH\n")
    opened(shell, capture)
    shell.until(rf"{FLOWS + 1} flows")
    shell.type("s")
    shell.until(GIVEN_BACK)
    shell.until("internal error .ZeroDivisionError")
    assert shell.status() == 70


def test_what_cannot_be_read_is_said_and_what_was_read_is_shown(shell: Shell, capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-10])
    opened(shell, cut)
    shell.until(r"headwater flows cut\.pcap \w+")
    shell.type(">")
    shell.until(rf"{FLOWS + 1} flows  lost 0  by RTT")
    shell.type("q")
    shell.until(GIVEN_BACK)
    shell.until(r"headwater: cut\.pcap ")
    assert shell.status() == 5
    shell.type(f"{HEADWATER} flows {tmp_path}/none.pcap\n")
    shell.until("there is no such file")
    assert shell.status() == 5


def test_without_a_terminal_it_says_what_to_use(capture: Path) -> None:
    def told(*words: object, **environ: str) -> str:
        done = subprocess.run(
            [HEADWATER, "flows", *map(str, words)], capture_output=True, text=True, env={**os.environ, **environ}, check=False
        )
        assert done.returncode == 2 and not done.stdout
        return done.stderr

    assert re.fullmatch(r"headwater: flows: needs a terminal [^\n]*read --format table \S+/made\.pcap\n", told(capture))
    assert re.fullmatch(r"headwater: flows: needs a terminal [^\n]*run --record conn --format jsonl\n", told())
    assert "an interface is chosen with: -i lo" in told("lo")
    assert "--hook is for live flows" in told("--hook", "tcx", capture)
    assert re.search("filter: .*\n.*\n.*\\^", told("-f", "nonsense ==", capture))


@pytest.mark.corpora
def test_a_capture_of_others_has_the_flows_that_zeek_tells(shell: Shell) -> None:
    trace = next(path for path in sorted((CORPORA / "zeek").glob("*/trace.pcap")) if path.parent.name == "http__206_example_a")
    opened(shell, trace)
    shell.until(r"[1-9][\d,]* flows")
    shell.until(r"TCP +(SF|S1|RSTO|S3|SH)")
    shell.type("q")
    shell.until(GIVEN_BACK)
    assert shell.status() == 0


# -- live ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def veth() -> Iterator[Veth]:
    with veth_pair() as pair:
        yield pair


def send(pair: Veth, stop: threading.Event) -> None:
    """100 kB/s, or as fast as it goes, over one connection, and then its end."""
    with pair.far.space.inside(), socket.create_server((pair.far.ip4, 8080)) as listener:
        with pair.near.space.inside():
            connection = socket.create_connection((pair.far.ip4, 8080))
        peer, _ = listener.accept()
        with connection, peer:
            while not stop.wait(0.05):
                connection.sendall(b"x" * 5000)
                peer.recv(1 << 20)


@pytest.mark.kernel
@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_live_a_connection_is_seen_while_it_lasts_and_when_it_is_over(shell: Shell, veth: Veth, hook: str) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=send, args=(veth, stop))
    shell.type(f"ip netns exec {veth.near.space.name} {HEADWATER} flows -i {veth.near.interface} --hook {hook}\n")
    try:
        shell.until(TAKEN)
        shell.until(rf"headwater flows {veth.near.interface} \({hook}\)")
        thread.start()
        shell.until(r"10\.9\.0\.1:\d+ +10\.9\.0\.2:8080 +TCP +S1( +[\d.,]+[kM]?){4} +≥?[\d.]+ms")
        shell.until(r"\d flows  [1-9][\d,.k]* packets/s  [\d.]+ [kM]b/s  lost 0")
        stop.set()
        shell.until(r"10\.9\.0\.1:\d+ +10\.9\.0\.2:8080 +TCP +SF")
        shell.type("/nothing\n")
        shell.until("none of them has these words|waiting|no flow yet")
        shell.type("q")
        shell.until(GIVEN_BACK)
        said = shell.until("adds up exactly")
        assert "flows " in said
        assert shell.status() == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.kernel
def test_live_it_ends_by_the_clock_and_needs_a_privilege(shell: Shell) -> None:
    shell.type(f"{HEADWATER} flows -i lo --for 2s\n")
    shell.until(TAKEN)
    shell.until(GIVEN_BACK)
    shell.until("adds up exactly")
    assert shell.status() == 0
    shell.type(f"setpriv --reuid=65534 --clear-groups {HEADWATER} flows -i lo\n")
    shell.until(r"needs CAP_\w+: run as root")
    assert shell.status() == 4
