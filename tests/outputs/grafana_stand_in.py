"""A stand-in for Grafana's Live push endpoint, as strict as the real one, which can also be slow, ill, rude or away."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from line_protocol import BadLine, Line, parse

TOKEN, VIEWER = "glsa_editor", "glsa_viewer"


class StandIn:
    """Listens on 127.0.0.1. `lines` are what it took. `act` may change each answer: see the handler."""

    def __init__(self, *, formats: bool = True) -> None:
        self.formats = formats  # False: something that is not Grafana, and knows only the path
        self.lines: list[Line] = []
        self.requests: list[dict[str, Any]] = []
        self.schemas: dict[str, Any] = {}
        self.problems: list[str] = []  # what would blank a panel
        self.act: Callable[[int, list[Line]], object] = lambda number, lines: None
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                stand_in._connections.add(self.connection)

            def finish(self) -> None:
                stand_in._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                stand_in._push(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *arguments: object) -> None:
                pass  # connections that a test broke

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            _reset(connection)

    def of(self, measurement: str) -> list[Line]:
        return [line for line in self.lines if line.name == measurement]

    def _push(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests.append(
            {"path": handler.path, "headers": dict(handler.headers), "body": body, "at": time.monotonic(), "from": handler.client_address}
        )
        status, headers = self._judge(address.path, parse_qs(address.query), handler, body)
        if status == 0:
            _reset(handler.connection)
            handler.close_connection = True
            return
        answer = b'{"message":"..."}' if status >= 400 else b""
        handler.send_response_only(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)

    def _judge(self, path: str, query: dict[str, list[str]], handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str]]:
        """Status and headers, 0 to reset the connection. The order is Grafana's: routes, authentication, permission, body."""
        parts = path.split("/")
        if parts[1:4] != ["api", "live", "push"] or len(parts) != 5 or not parts[4] or (query and not self.formats):
            return 404, {}
        token = handler.headers.get("Authorization", "")
        if token != f"Bearer {TOKEN}":
            return (403 if token == f"Bearer {VIEWER}" else 401), {}
        if query.get("gf_live_frame_format", ["labels_column"])[0] not in ("labels_column", "wide", "prometheus"):
            return 400, {}
        try:
            lines = parse(body)
        except BadLine:
            return 500, {}
        match self.act(len(self.requests), lines):
            case int(status):
                return status, {}
            case (int(status), dict(headers)):
                return status, headers
            case "took it, then reset":
                self._take(lines, query)
                return 0, {}
        self._take(lines, query)
        return 200, {}

    def _take(self, lines: list[Line], query: dict[str, list[str]]) -> None:
        self.lines += lines
        if query.get("gf_live_frame_format") == ["wide"] and len({(line.name, line.time) for line in lines}) != len(lines):
            self.problems.append("two lines of one time make one frame with twice the fields")
        for line in lines:
            schema = (line.tags, [(name, type(value)) for name, value in line.fields])
            if self.schemas.setdefault(line.name, schema) != schema:
                self.problems.append(f"{line.name}: fields or types changed: {schema}")
            if line.time is None:
                self.problems.append("a line without a time")


def _reset(connection: socket.socket) -> None:
    """RST, not FIN."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        pass
