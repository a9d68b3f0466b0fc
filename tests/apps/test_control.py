"""Changing the filter of a run from another process."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.apps import control
from headwater.errors import FilterError, KernelError
from headwater.filters import Filter
from headwater.interfaces import Detail


class Source:
    def __init__(self) -> None:
        self.filters: list[str] = []
        self.details: list[str] = []

    def set_detail(self, detail: Detail) -> None:
        self.details.append(detail)

    def set_filter(self, filter: Filter | None) -> None:
        if filter and "icmp" in filter.text:
            raise FilterError("too much", filter.text, 0)
        self.filters.append(filter.text if filter else "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control, "folder", lambda: tmp_path / "headwater")
    return tmp_path / "headwater"


@contextlib.contextmanager
def serving(source: Source) -> Iterator[control.Server]:
    with control.Server(source, "udp", "flows", {"packets": "no use for them"}) as server:
        server.start()
        yield server


def test_a_filter_is_shown_set_and_cleared(folder: Path) -> None:
    source = Source()
    with serving(source) as server:
        assert control.ask(None) == {"filter": "udp", "detail": "flows"}
        assert control.ask(None, filter="tcp.port == 80")["filter"] == "tcp.port == 80" == server.text
        assert control.ask(os.getpid(), filter="")["filter"] == ""
        assert source.filters == ["tcp.port == 80", ""]
        path = folder / f"{os.getpid()}.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not path.exists()
    with pytest.raises(KernelError, match="no Headwater runs"):
        control.ask(None)


def test_detail_is_shown_and_set_but_for_what_the_run_cannot_do() -> None:
    source = Source()
    with serving(source):
        assert control.ask(None, detail="rates") == control.ask(None) == {"filter": "udp", "detail": "rates"}
        with pytest.raises(KernelError, match="no use for them"):
            control.ask(None, detail="packets")
        assert control.ask(None)["detail"] == "rates"
    assert source.details == ["rates"]


def test_another_process_is_not_asked(folder: Path) -> None:
    with pytest.raises(KernelError, match="no Headwater runs for this user"):
        control.ask(1, filter="tcp")
    with serving(Source()) as server:
        with pytest.raises(KernelError, match=f"process 1 is no Headwater of this user: choose one with --pid: {os.getpid()}$"):
            control.ask(1, filter="tcp")
        assert control.ask(os.getpid(), filter="tcp")["filter"] == server.text == "tcp"


def test_a_mistake_changes_nothing() -> None:
    source = Source()
    with serving(source) as server:
        for wrong in ("tcp.prt == 1", "icmp"):
            with pytest.raises(FilterError):
                control.ask(None, filter=wrong)
        assert server.text == "udp"
        assert source.filters == []


@pytest.mark.parametrize(
    "request_", [b"\n", b"{\n", b"[1]\n", b'{"filter": 5}\n', b'{"detail": "all"}\n', b'{"detail": []}\n', b"x" * 40_000, b"\xff\n", b""]
)
def test_a_strange_request_gets_an_answer_and_leaves_the_next_one_be(folder: Path, request_: bytes) -> None:
    with serving(Source()):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(folder / f"{os.getpid()}.sock"))
            stranger.sendall(request_)
            stranger.shutdown(socket.SHUT_WR)
            assert b"problem" in stranger.recv(65_536)
        assert control.ask(None) == {"filter": "udp", "detail": "flows"}


def test_what_a_killed_run_leaves_is_no_run(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "1.sock"))
    left.close()
    assert control.running() == []
    assert not (folder / "1.sock").exists()


def test_a_folder_of_somebody_else_is_not_used(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with serving(Source()):
        assert list(folder.iterdir()) == []
