"""`headwater query` alone, on a terminal."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cpu import spent
from rows_made import TCP, conns
from shell import Shell, ready
from storing import children, keep, running
from waiting import until


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with ready(120, 50, XDG_STATE_HOME=str(tmp_path / "state"), PROMPT_TOOLKIT_NO_CPR="1") as shell:
        yield shell


@pytest.mark.parametrize("history", ["kept", "no folder"])
def test_it_completes_answers_and_remembers(history: str, shell: Shell, tmp_path: Path) -> None:
    """Tab, a mistake, Ctrl-C within an answer; and what was asked before, where that can be kept."""
    if history != "kept":
        (tmp_path / "state").write_text("a file where a folder should be")
    command = f"{sys.executable} -m headwater query --path {tmp_path}/store\n"
    with running(tmp_path / "store") as client:
        assert client.place
        keep(client.place, conns([TCP]))
        shell.type(command)
        shell.until("who sends most")
        shell.until("headwater>")
        shell.type("SELECT sum(missed_\t")
        shell.until("bytes")
        shell.type(") + 4711 AS n FROM conn\r")
        shell.until("│ 4711 │")
        shell.until("headwater>")
        shell.type("SELECT nothing FROM conn\r")
        shell.until("Unknown expression[^\n]*nothing")
        shell.until("headwater>")
        assert client._process
        [engine] = children(client._process)
        before = spent(engine)
        shell.type("SELECT sum(sipHash64(number)) FROM numbers(100000000000)\r")
        until(lambda: spent(engine) > before + 0.5)  # the engine is at it
        shell.type("\x03")
        shell.until("no more of that")
        shell.until("headwater>")
        shell.type("SELECT 4000 + 712\r")
        shell.until("4712")
        shell.until("headwater>")
        shell.type("\x1b[A\r")
        shell.until("4712")
        shell.until("headwater>")
        shell.type("\x04")
        shell.until("ready> ")
        assert shell.status() == 0
        if history == "kept":
            shell.type(command)
            shell.until("headwater>")
            shell.type("\x1b[A\r")
            shell.until("4712")
            shell.until("headwater>")
            shell.type("exit\r")
            shell.until("ready> ")
            assert shell.status() == 0
