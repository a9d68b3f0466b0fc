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
from headwater.filters import AnyFilter, Filter, FlowFilter
from headwater.interfaces import Detail
from headwater.records.layouts import FilterOf

AT_FIRST = {"filter": "udp", "packet_filter": "", "flow_filter": "", "detail": "flows"}


class Run:
    """What it was told, in order."""

    def __init__(self) -> None:
        self.filters: list[str] = []
        self.flow_filters: list[str] = []
        self.details: list[str] = []

    def set_detail(self, detail: Detail) -> None:
        self.details.append(detail)

    def set_filter(self, filter: AnyFilter | None, of: FilterOf) -> None:
        if filter and "icmp" in filter.text:
            raise FilterError("too much", filter.text, 0)
        assert isinstance(filter, FlowFilter if of is FilterOf["flows"] else Filter) or not filter
        (self.flow_filters if of is FilterOf["flows"] else self.filters).append(filter.text if filter else "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control, "folder", lambda: tmp_path / "headwater")
    return tmp_path / "headwater"


@contextlib.contextmanager
def serving(run: Run) -> Iterator[control.Server]:
    refused = {"packets": "no use for them", "packet_filter": "none of them"}
    with control.Server(run, run, AT_FIRST, refused) as server:
        server.start()
        yield server


def test_a_filter_is_shown_set_and_cleared(folder: Path) -> None:
    run = Run()
    with serving(run) as server:
        assert control.ask(None) == AT_FIRST
        assert control.ask(None, filter="tcp.port == 80") == {**AT_FIRST, **server.filters()} == {**AT_FIRST, "filter": "tcp.port == 80"}
        assert control.ask(os.getpid(), filter="")["filter"] == ""
        assert run.filters == ["tcp.port == 80", ""]
        path = folder / f"{os.getpid()}.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not path.exists()
    with pytest.raises(KernelError, match="no Headwater runs"):
        control.ask(None)


def test_each_filter_is_one_of_its_own() -> None:
    run = Run()
    with serving(run) as server:
        assert control.ask(None, flow_filter="conn.failed") == {**AT_FIRST, "flow_filter": "conn.failed"}
        assert server.filters() == {"filter": "udp", "flow_filter": "conn.failed"}
        with pytest.raises(KernelError, match="none of them"):
            control.ask(None, packet_filter="tcp")
        with pytest.raises(FilterError, match="is of flows"):
            control.ask(None, filter="conn.failed")
        assert control.ask(None, flow_filter="") == AT_FIRST
    assert (run.filters, run.flow_filters) == ([], ["conn.failed", ""])


def test_a_run_of_an_older_version_is_asked_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Run()):
        monkeypatch.setattr(control, "_request", lambda _pid, request: {"filter": request.get("filter", "udp"), "detail": "flows"})
        assert control.ask(None) == AT_FIRST
        assert control.ask(None, filter="tcp")["filter"] == "tcp"
        with pytest.raises(KernelError, match="is of another version, which has no flow_filter: start it anew"):
            control.ask(None, flow_filter="conn.failed")


def test_detail_is_shown_and_set_but_for_what_the_run_cannot_do() -> None:
    run = Run()
    with serving(run):
        assert control.ask(None, detail="rates") == control.ask(None) == {**AT_FIRST, "detail": "rates"}
        with pytest.raises(KernelError, match="no use for them"):
            control.ask(None, detail="packets")
        assert control.ask(None)["detail"] == "rates"
    assert run.details == ["rates"]


def test_another_process_is_not_asked(folder: Path) -> None:
    with pytest.raises(KernelError, match="no Headwater runs for this user"):
        control.ask(1, filter="tcp")
    with serving(Run()) as server:
        with pytest.raises(KernelError, match=f"process 1 is no Headwater of this user: choose one with --pid: {os.getpid()}$"):
            control.ask(1, filter="tcp")
        assert control.ask(os.getpid(), filter="tcp")["filter"] == server.filters()["filter"] == "tcp"


def test_a_mistake_changes_nothing() -> None:
    run = Run()
    with serving(run) as server:
        for wrong in ("tcp.prt == 1", "icmp"):
            for name in ("filter", "flow_filter"):
                with pytest.raises(FilterError):
                    control.ask(None, **{name: wrong})
        assert server.filters() == {"filter": "udp"}
        assert run.filters == run.flow_filters == []


@pytest.mark.parametrize(
    "request_",
    [
        b"\n",
        b"{\n",
        b"[1]\n",
        b'{"filter": 5}\n',
        b'{"detail": "all"}\n',
        b'{"flow_filter": "eth"}\n',
        b'{"detail": []}\n',
        b"x" * 40_000,
        b"\xff\n",
        b"",
    ],
)
def test_a_strange_request_gets_an_answer_and_leaves_the_next_one_be(folder: Path, request_: bytes) -> None:
    with serving(Run()):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(folder / f"{os.getpid()}.sock"))
            stranger.sendall(request_)
            stranger.shutdown(socket.SHUT_WR)
            assert b"problem" in stranger.recv(65_536)
        assert control.ask(None) == AT_FIRST


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
    with serving(Run()):
        assert list(folder.iterdir()) == []
