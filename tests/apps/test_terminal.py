"""The live view on a terminal that is one, under a shell that stops, resumes and ends it."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell, ready

pytestmark = pytest.mark.kernel
HEADWATER = Path(sys.executable).parent / "headwater"
TAKEN, GIVEN_BACK = r"\x1b\[\?1049h", r"\x1b\[\?25h\x1b\[\?1049l"

SENDER = (
    "import itertools, socket, time; one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    'any(one.sendto(b"x", ("127.0.0.1", 9)) == time.sleep(0.1) for _ in itertools.count())'
)


@pytest.fixture
def shell() -> Iterator[Shell]:
    with ready() as shell:
        yield shell


def started(shell: Shell) -> int:
    """The process id of a run that has the screen, of which nothing typed is shown."""
    shell.type(f"{HEADWATER} run --detail packets -i lo\n")
    shell.until(TAKEN)
    shell.until("waiting for the first packet|time +")
    assert not shell.echoes()
    children = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text().split()
    return int(children[0])


def test_ctrl_z_gives_the_screen_back_fg_takes_it_again_and_q_ends(shell: Shell) -> None:
    started(shell)
    for _ in range(2):
        shell.type("\x1a")
        shell.until(GIVEN_BACK)
        shell.until("Stopped")
        shell.type("echo again $((40 + 2))\n")
        shell.until("again 42")
        shell.type("fg\n")
        shell.until(TAKEN)
        shell.until("headwater")
        assert not shell.echoes()
    shell.type("xyz")
    shell.type("q")
    shell.until(GIVEN_BACK)
    said = shell.until("adds up exactly")
    assert "xyz" not in said
    assert shell.status() == 0


def test_in_the_background_it_leaves_the_terminal_alone(shell: Shell) -> None:
    shell.type(f"{HEADWATER} run --detail packets -i lo &\n")
    time.sleep(2.5)
    shell.type("echo still $((40 + 2)); jobs\n")
    assert "\x1b[?1049h" not in shell.until("still 42")
    shell.until("Running")
    shell.type("fg\n")
    shell.until(TAKEN)
    shell.type("q")
    shell.until(GIVEN_BACK)
    assert shell.status() == 0


def test_rows_that_are_asked_for_come_instead_of_the_view(shell: Shell) -> None:
    shell.type(f"{HEADWATER} run --detail packets -i lo --format jsonl --for 4s & {sys.executable} -c '{SENDER}' & wait %1; kill %2\n")
    shell.until(r'{"ts":"[^\n]*"dport":9,')
    assert "\x1b[?1049h" not in shell.until("adds up exactly")
    shell.type(f"{HEADWATER} run --detail packets -i lo --format arrow --for 2s\n")
    shell.until("arrow is not for a terminal: give a directory with -o")
    assert shell.status() == 6


def test_a_terminal_that_tells_no_name_gets_lines(shell: Shell) -> None:
    shell.type(f"env -u TERM {HEADWATER} run --detail packets -i lo --for 4s & {sys.executable} -c '{SENDER}' & wait %1; kill %2\n")
    shell.until(r" lo in UDP 127\.0\.0\.1:\d+ > 127\.0\.0\.1:9 ")
    assert "\x1b[?1049h" not in shell.until("adds up exactly")


@pytest.mark.parametrize("ending", [[signal.SIGTERM], [signal.SIGQUIT], [signal.SIGTERM] * 3], ids=["TERM", "QUIT", "TERM three times"])
def test_whatever_signal_ends_it_the_terminal_is_given_back(shell: Shell, ending: list[signal.Signals]) -> None:
    run = started(shell)
    for number in ending:
        os.kill(run, number)
    shell.until(GIVEN_BACK)
    shell.until("ready> ")
    assert shell.status() in (0, 128 + ending[0])
