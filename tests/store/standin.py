"""In place of a ClickHouse server, of which there is none to be had: its HTTP protocol in front of chDB, strict where a server is.

As a program: FOLDER PORT FAULTS. Settings are the engine's own and it has the last word on them and on each statement; inserts, tokens and
a Distributed table are its own too. What it cannot do is put in place: ON CLUSTER, which nobody carries to the one server that there is, is
taken out once the engine's parser has read it, and a Replicated table is one without replicas, whose tokens it remembers alike
(tests/store/test_remote.py has the engine make the real one too).

FAULTS are names from `FAULTS`, or empty ones, each for one insert in turn; the file `faults` in FOLDER has how many have been met, also by
those before.
"""

import contextlib
import http.client
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

USER, PASSWORD, CLUSTER = "headwater", "naïve ☃ 'p\"w\\d", "two words".replace(" ", "-")
CONFIG = f"""<clickhouse>
<tcp_port>9000</tcp_port>
<zookeeper><implementation>testkeeper</implementation></zookeeper>
<macros><shard>01</shard><replica>a</replica></macros>
<remote_servers><{CLUSTER}><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></{CLUSTER}></remote_servers>
</clickhouse>"""
"""Keeper in the engine's own memory, and a cluster of this one server, which it never dials."""
FAULTS = ("500", "503 of a proxy", "429", "no answer", "half an answer", "late", "dies before", "dies after", "memory")
_PROTOCOL = {"wait_end_of_query", "default_format", "database", "query_id", "enable_http_compression"}
_PACKED = {"zstd": lambda octets: pa.input_stream(pa.py_buffer(octets), compression="zstd").read(), "": bytes}
_STATUS = {60: 404, 81: 404, 115: 404, 62: 400, 516: 403}
LATE_S = 1.5


class Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} (version 26.9.2.1)")
        self.code = code


class Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Standin"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True, strict_parsing=True))
            if (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key", "")) != (
                USER,
                PASSWORD.encode().decode("latin-1"),
            ):
                raise Refused(516, f"{USER}: Authentication failed: password is incorrect, or there is no user with such name")
            unpacked = _PACKED[self.headers.get("Content-Encoding", "")](body)
            fault = self.server.fault() if unpacked.startswith(b"INSERT") else ""
            if fault in ("500", "429", "503 of a proxy"):
                return self.say(int(fault[:3]), b"<html>not now</html>")
            if fault == "memory":
                raise Refused(241, "(total) memory limit exceeded (MEMORY_LIMIT_EXCEEDED)")
            if fault == "dies before":
                os._exit(9)
            answer = self.server.answer(unpacked, given, self.headers.get("X-ClickHouse-Database", "default"))
            if fault == "dies after":
                os._exit(9)
            if fault == "late":
                time.sleep(LATE_S)
            if fault in ("no answer", "half an answer"):
                if fault == "half an answer":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nOk")
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            self.say(200, answer)
        except Refused as error:
            self.say(_STATUS.get(error.code, 500), f"{error}\n".encode(), error.code)

        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked was not as patient

    def say(self, status: int, answer: bytes, code: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if status == 200:
            self.send_header("X-ClickHouse-Summary", "{}")
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Standin(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, port: int, faults: list[str]) -> None:
        from chdb.session import Session  # noqa: PLC0415 - it is heavy, and only this process has it

        self._folder = folder
        self._faults = faults
        self._engine = threading.Lock()
        self._session = Session(str(folder / "engine"))
        self._defaults = {line.split("\t")[0] for line in self._run("SELECT name FROM system.settings").decode().splitlines()}
        self._aliases = {"insert_distributed_sync"}
        super().__init__(("127.0.0.1", port), Asked)

    def fault(self) -> str:
        """The next one, if any is left."""
        with self._engine:
            met = (self._folder / "faults").read_text()
            if len(met) >= len(self._faults):
                return ""
            (self._folder / "faults").write_text(met + ".")
            return self._faults[len(met)]

    def answer(self, body: bytes, given: dict[str, str], database: str) -> bytes:
        form = given.get("default_format", "TabSeparated")
        settings = {name: value for name, value in given.items() if name not in _PROTOCOL and not name.startswith("param_")}
        for name in settings:
            if name not in self._defaults | self._aliases:
                raise Refused(115, f"Unknown setting '{name}' (UNKNOWN_SETTING)")
        with self._engine:
            if self._run("SELECT count() FROM system.databases WHERE name = " + _text(database)).strip() != b"1":
                raise Refused(81, f"Database {database} does not exist. (UNKNOWN_DATABASE)")
            self._run(f"USE {database}")
            try:
                for name, value in settings.items():
                    self._run(f"SET {name} = {_text(value)}")
                return self._insert(body) if body.startswith(b"INSERT") else self._statement(body.decode(), form)
            finally:
                for name in settings:
                    self._run(f"SET {name} = DEFAULT")

    def _statement(self, text: str, form: str) -> bytes:
        if text.startswith(("CREATE", "ALTER")):
            self._run(f"EXPLAIN AST {text}")
        return self._run(alone(text), form)

    def _insert(self, body: bytes) -> bytes:
        """INSERT ... SELECT ... FROM input('columns') ... FORMAT Arrow, a line's end, and the file."""
        head, end, octets = body.partition(b" FORMAT Arrow\n")
        if not end:
            raise Refused(62, "Syntax error: no data (SYNTAX_ERROR)")
        statement = head.decode()
        self._run(f"EXPLAIN AST {statement} FORMAT Arrow")
        data = self._folder / "data.arrow"
        data.write_bytes(octets)
        inserted, count = re.subn(r"\binput\(('(?:[^'\\]|\\.)*')\)", lambda found: f"file('{data}', 'Arrow', {found[1]})", statement)
        if count != 1:
            raise Refused(62, "Syntax error: input (SYNTAX_ERROR)")
        return self._run(inserted)

    def _run(self, text: str, form: str = "TabSeparated") -> bytes:
        try:
            return bytes(self._session.query(text, form).bytes())
        except RuntimeError as error:
            found = re.search(r"Code: (\d+)\. DB::Exception: (.*)", str(error), re.S)
            assert found, error
            raise Refused(int(found[1]), found[2]) from None


def alone(statement: str) -> str:
    """What a statement for all servers of the cluster comes to where there is one, without replicas."""
    statement, count = re.subn(" ON CLUSTER `([^`]+)`", "", statement)
    if count:
        statement = re.sub(r"ENGINE = Replicated(\w*MergeTree)\('[^']*', '[^']*'\)", r"ENGINE = \1", statement)
        statement = statement.replace(" replicated_deduplication_window = ", " non_replicated_deduplication_window = ")
        return re.sub(", replicated_deduplication_window_seconds = [0-9]+", "", statement)
    return statement


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _free() -> int:
    """A port that nobody has, and that nobody is given while the program is dead."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Running:
    """The program, in `folder`, for as long; it is begun again where it dies if `again()` is called."""

    def __init__(self, folder: Path, faults: tuple[str, ...] = ()) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.xml").write_text(CONFIG)
        (folder / "faults").write_text("")
        self._folder = folder
        self._faults = faults
        self.port = _free()
        self.url = f"http://{USER}@127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def met(self) -> int:
        """Faults until now."""
        return len((self._folder / "faults").read_text())

    def again(self) -> bool:
        """Whether it had died."""
        if self._process and self._process.poll() is None:
            return False
        self.kill()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, __file__, str(self._folder), str(self.port), ",".join(self._faults)]
        self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout and self._process.stdout.readline() == b"ready\n"
        return True

    def ask(self, sql: str) -> list[list[str]]:
        """The answer's rows."""
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asking.request("POST", "/", sql.encode(), {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD.encode()})
        answer = asking.getresponse()
        text = answer.read().decode()
        asking.close()
        assert answer.status == 200, text
        return [line.split("\t") for line in text.splitlines()]

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> "Running":
        self.again()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


def main() -> None:
    folder, port, faults = sys.argv[1:]
    server = Standin(Path(folder), int(port), faults.split(",") if faults else [])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
