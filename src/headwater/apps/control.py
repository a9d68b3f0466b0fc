"""A running Headwater can be told another filter or detail: it listens on a unix socket that only its own user and root may open.

One request and one answer a connection, each a line of JSON: {"filter": "tcp"} sets a filter ("" keeps everything), {"detail": "packets"}
what leaves the kernel, {} asks for both; the answer is {"filter": "...", "detail": "..."}, or {"problem": "..."}.
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
from headwater.filters import Filter
from headwater.interfaces import Detail

MOST_OCTETS = 16_384
PATIENCE_S = 5.0
_UNKNOWN = "this is not a request that Headwater knows"


class Changing(Protocol):
    """A source that can be told another filter and detail while it runs."""

    def set_filter(self, filter: Filter | None) -> None:
        """From the next packet on, keep what it keeps; None keeps all. Raises FilterError."""

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

    `text` is the filter in force; `refused` says why a detail cannot be taken.
    """

    def __init__(self, source: Changing, text: str, detail: str, refused: Mapping[Detail, str]) -> None:
        self._source = source
        self._text = text
        self._detail = detail
        self._refused = refused
        self._path = folder() / f"{os.getpid()}.sock"
        self._socket = socket.socket(socket.AF_UNIX)
        self._open = False

    @property
    def text(self) -> str:
        """The filter in force."""
        return self._text

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
            wanted, detail = asked.get("filter"), asked.get("detail")
            if detail is not None and detail not in get_args(Detail):
                return {"problem": _UNKNOWN}
            if detail in self._refused:
                return {"problem": self._refused[detail]}
            if wanted is not None:
                self._source.set_filter(Filter(str(wanted)) if wanted else None)
                self._text = str(wanted)
            if detail is not None:
                self._source.set_detail(detail)
                self._detail = detail
        except (ValueError, AttributeError, TypeError):
            return {"problem": _UNKNOWN}
        except HeadwaterError as error:
            return {"problem": str(error)}
        return {"filter": self._text, "detail": self._detail}


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


def ask(pid: int | None, *, filter: str | None = None, detail: Detail | None = None) -> dict[str, str]:
    """Set the filter or detail of a running Headwater (None: leave it). Those in force are returned. Raises KernelError or FilterError."""
    if filter:
        Filter(filter)  # a mistake is shown here, with its place
    found = running()
    if not found:
        raise KernelError("no Headwater runs for this user: start one with `headwater run`, or use sudo if it runs as root")
    if pid is not None and pid not in found:
        raise KernelError(f"process {pid} is no Headwater of this user: choose one with --pid: {', '.join(map(str, found))}")
    if pid is None and len(found) > 1:
        raise KernelError(f"several are running: choose one with --pid: {', '.join(map(str, found))}")
    given = {"filter": filter, "detail": detail}
    answer = _request(pid or found[0], {name: value for name, value in given.items() if value is not None})
    if "problem" in answer:
        problem = str(answer["problem"])
        raise FilterError(problem.partition("\n")[0].removeprefix("filter: "), filter or "", 0) if filter else KernelError(problem)
    return {name: str(answer.get(name, "")) for name in given}


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
