"""A running Headwater can be told other filters or another detail: it listens on a unix socket that only its own user and root may open.

One request and one answer a connection, each a line of JSON: {"filter": "tcp"} sets a filter ("" keeps everything), and so do
"packet_filter" and "flow_filter"; {"detail": "packets"} what leaves the kernel; {} asks for all of them, which is what the answer has, or
{"problem": "..."}.
"""

import contextlib
import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, get_args

from headwater.errors import FilterError, HeadwaterError, KernelError
from headwater.filters import FILTERS, understood
from headwater.interfaces import Detail, Filtering

MOST_OCTETS = 16_384
PATIENCE_S = 5.0
_UNKNOWN = "this is not a request that Headwater knows"


class Detailed(Protocol):
    """A source that can be told another detail while it runs."""

    def set_detail(self, detail: Detail) -> None:
        """From the next packet on, that leaves the kernel."""


def folder() -> Path:
    """Where the sockets of this user's runs are: the system's place for them, the session's, or a private one."""
    if os.geteuid() == 0:
        return Path("/run/headwater")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "headwater" if runtime else Path(tempfile.gettempdir()) / f"headwater-{os.geteuid()}"


class Server:
    """Listens while the run lasts. Where it cannot, the run goes on without: nothing depends on it.

    `in_force` are the filters (of FILTERS) and the detail to begin with; `refused` says, by name, why a filter or a detail cannot be taken.
    """

    def __init__(self, pipeline: Filtering, source: Detailed, in_force: Mapping[str, str], refused: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self._source = source
        self._in_force = dict(in_force)
        self._refused = refused
        self._path = folder() / f"{os.getpid()}.sock"
        self._socket = socket.socket(socket.AF_UNIX)
        self._open = False

    def filters(self) -> dict[str, str]:
        """Those in force."""
        return {name: text for name in FILTERS if (text := self._in_force[name])}

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            _private(self._path.parent)
            self._path.unlink(missing_ok=True)
            mask = os.umask(0o177)
            try:
                self._socket.bind(str(self._path))
            finally:
                os.umask(mask)
            self._socket.listen()
            self._open = True
        return self

    def start(self) -> None:
        """Answer, in a thread."""
        if self._open:
            threading.Thread(target=self._serve, name="control", daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(OSError):  # the folder is not ours any more, once privileges are given away: who asks next cleans up
                self._path.unlink(missing_ok=True)
            self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._socket.close()

    def _serve(self) -> None:
        while self._open:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE_S)
                connection.sendall(json.dumps(self._answer(_line(connection))).encode() + b"\n")

    def _answer(self, request: bytes) -> dict[str, str]:
        try:
            asked = json.loads(request)
            given = {name: asked[name] for name in self._in_force if asked.get(name) is not None}
            detail = given.get("detail")
            if detail is not None and detail not in get_args(Detail):
                return {"problem": _UNKNOWN}
            for one in (*given, str(detail)):
                if one in self._refused:
                    return {"problem": self._refused[one]}
            wanted = {name: understood(str(given[name]), of) for name, of in FILTERS.items() if name in given}
            for name, filter in wanted.items():
                self._pipeline.set_filter(filter, FILTERS[name])
                self._in_force[name] = filter.text if filter else ""
            if detail is not None:
                self._source.set_detail(detail)
                self._in_force["detail"] = detail
        except (ValueError, AttributeError, TypeError):
            return {"problem": _UNKNOWN}
        except HeadwaterError as error:
            return {"problem": str(error)}
        return dict(self._in_force)


def running() -> list[int]:
    """The processes of this user that listen."""
    found = []
    for path in sorted(folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
                found.append(int(path.stem))
            except ConnectionRefusedError:  # killed: nobody else cleans up
                path.unlink(missing_ok=True)
            except (OSError, ValueError):
                continue
    return found


def ask(pid: int | None, **changes: str) -> dict[str, str]:
    """Set filters, by their names, or the detail of a running Headwater. Those in force are returned. Raises KernelError or FilterError."""
    texts = [text for name, text in changes.items() if name in FILTERS]
    for name in FILTERS.keys() & changes:
        understood(changes[name], FILTERS[name])  # a mistake is shown here, with its place
    found = running()
    if not found:
        raise KernelError("no Headwater runs for this user: start one with `headwater run`, or use sudo if it runs as root")
    if pid is not None and pid not in found:
        raise KernelError(f"process {pid} is no Headwater of this user: choose one with --pid: {', '.join(map(str, found))}")
    if pid is None and len(found) > 1:
        raise KernelError(f"several are running: choose one with --pid: {', '.join(map(str, found))}")
    answer = _request(pid or found[0], changes)
    if "problem" in answer:
        problem = str(answer["problem"])
        if texts and problem.startswith("filter: "):
            raise FilterError(problem.partition("\n")[0].removeprefix("filter: "), texts[0], 0)
        raise KernelError(problem)
    if missing := [name for name in changes if name not in answer]:
        raise KernelError(f"process {pid or found[0]} is of another version, which has no {missing[0]}: start it anew")
    return {name: str(answer.get(name, "")) for name in (*FILTERS, "detail")}


def _request(pid: int, request: dict[str, str]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(str(folder() / f"{pid}.sock"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(connection))
        except (OSError, ValueError) as error:
            raise KernelError(f"process {pid} does not answer ({error}): is it a Headwater of this user?") from error
    return answer if isinstance(answer, dict) else {}


def _line(connection: socket.socket) -> bytes:
    """What the other side sends, up to the end of a line; at most MOST_OCTETS."""
    got = b""
    while not got.endswith(b"\n") and len(got) < MOST_OCTETS:
        more = connection.recv(4096)
        if not more:
            break
        got += more
    return got


def _private(folder: Path) -> None:
    """A folder of ours that nobody else can write to. Raises OSError if somebody else made it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(folder)
