"""The one door to the store: ClickHouse's HTTP protocol, for questions alone (clickhouse.com/docs/interfaces/http).

What comes in is read by the wall first. Answers go out in pieces, as the engine makes them. Whoever asks must know the store's token, as
password, key or bearer.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
import os
import queue
import re
import socket
import threading
import uuid
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from headwater.errors import QueryRefused, StoreError
from headwater.store.compacting import compact
from headwater.store.engine import IN_PIECES, Connection, EngineError
from headwater.store.lexer import shown
from headwater.store.native import in_revision
from headwater.store.wall import FORMATS, Statement, checked

READERS = 4
MOST_OCTETS = 1 << 20  # of a question
WAIT_S = 10.0  # for one of the readers
_OVERRUN_S, _OVERRUN_PART = 3.0, 1 / 3
"""How long a question may go on past its time, at least, and as a part of that: the engine looks at the clock between blocks of rows, and
one may take a while, and hours with functions such as editDistance.
"""
_WRONG_TOKEN_S = 0.5  # each wrong one costs that much time
_STATUS = {47: 404, 60: 404, 62: 400, 81: 404, 159: 504, 241: 507, 456: 400, 497: 403, 516: 401}  # of ClickHouse's codes; else 500
_OF_ANY_SIZE = " SETTINGS max_result_bytes = 0"
_ACCESS_DENIED, _AUTHENTICATION_FAILED, _TOO_MANY = 497, 516, 202
_NAME = re.compile(r"[\w.:-]{1,100}", re.ASCII)  # what is sent back in a header
_TYPES = {
    "JSON": "application/json",
    "CSV": "text/csv",
    "XML": "application/xml",
    "Ma": "text/markdown",
    "Pretty": "text/plain",
    "Tab": "text/tab-separated-values",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Asked(Exception):
    """What is wrong with a question, with ClickHouse's code for it."""

    def __init__(self, code: int, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.code = code
        self.status = status or _STATUS.get(code, 500)


class _OverrunError(Exception):
    """The engine goes on with a question, long after its time."""


class Door:
    """Answers who knows `token`, each question on one of a few connections that `connect` makes, for `time_s` at most. `overrun` is called,
    and does not return, when the engine works on one long after that.

    At the socket it may be told to compact, on a connection that `connect_to_change` makes.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        connect_to_change: Callable[[], Connection],
        token: str,
        time_s: float,
        report: Callable[[str], None],
        overrun: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._connect_to_change = connect_to_change
        self._working = threading.Lock()
        self._time_s = time_s
        self._token = token.encode()
        self._report = report
        self._overrun = overrun
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._made = 0
        self._making = threading.Lock()
        self._pool = ThreadPoolExecutor(2 * READERS, "reader")
        self._servers: list[uvicorn.Server] = []
        self._threads: list[threading.Thread] = []
        self.address = ""

    def listen(self, listen: str) -> None:
        """Answer at an address and port, if that is free. Then `address` says which it is."""
        try:
            listener = _tcp(listen)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            self._report(f"store: cannot listen at {listen} ({why}): it answers at its socket alone; [store] listen names another")
            return
        host, port = listener.getsockname()[:2]
        self.address = f"{host}:{port}"
        if not ipaddress.ip_address(host).is_loopback:
            self._report(
                f"store: nothing is encrypted at {self.address}, and others reach it: who sees the packets reads the token and the "
                "answers; [store] listen = 127.0.0.1:8123 is for this host alone"
            )
        self._serve(listener)

    def open(self, path: Path) -> None:
        """Answer at the socket `path`. Raises StoreError."""
        self._serve(_unix(path))

    def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            self,
            log_level="critical",
            lifespan="off",
            server_header=False,
            date_header=False,
            ws="none",
            h11_max_incomplete_event_size=MOST_OCTETS,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # they are the process's own
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="door", daemon=True)
        thread.start()
        self._servers.append(server)
        self._threads.append(thread)

    def close(self) -> None:
        """Answer nobody any more."""
        for server in self._servers:
            server.should_exit = True
        for thread in self._threads:
            thread.join(5)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            return None
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=1000))
        try:
            if scope["path"] == "/ping":
                return await _answer(send, 200, b"Ok.\n", {})
            if scope["path"] == "/compact" and scope["method"] == "POST" and scope["client"] is None:  # at the socket, which is its owner's
                await self._let_in(headers, given)
                return await self._lines(compact, send)
            if scope["path"] not in ("/", "/query") or scope["method"] not in ("GET", "POST", "HEAD"):
                raise _Asked(_ACCESS_DENIED, "there is nothing here but /, for questions, and /ping", 404)
            await self._let_in(headers, given)
            unlimited = scope["client"] is None and given.get("max_execution_time") == "0"  # likewise: an export takes what it takes
            await self._ask(await _text(headers, given, receive), headers, given, send, None if unlimited else self._time_s)
        except _Asked as wrong:
            await _answer(
                send,
                wrong.status,
                f"Code: {wrong.code}. DB::Exception: {wrong}\n".encode(),
                {"X-ClickHouse-Exception-Code": str(wrong.code)},
            )

    async def _let_in(self, headers: Mapping[str, str], given: Mapping[str, str]) -> None:
        offered = [headers.get("x-clickhouse-key", ""), given.get("password", "")]
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            offered.append(value.strip())
        elif kind.lower() == "basic":
            with contextlib.suppress(binascii.Error):
                offered.append(base64.b64decode(value).decode("latin-1").partition(":")[2])
        if not any([hmac.compare_digest(one.encode("utf-8", "replace"), self._token) for one in offered]):  # noqa: C419 - all are compared
            await asyncio.sleep(_WRONG_TOKEN_S)
            raise _Asked(_AUTHENTICATION_FAILED, "the store's token is needed, as password: it is in the file `token` of its folder")

    async def _ask(self, text: str, headers: Mapping[str, str], given: Mapping[str, str], send: Send, time_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            question = await loop.run_in_executor(self._pool, checked, text)  # of a long text it takes seconds, in which others are served
        except QueryRefused as refused:
            raise _Asked(_ACCESS_DENIED, str(refused)) from None
        if given.get("compress") == "1":
            raise _Asked(_ACCESS_DENIED, "blocks are not packed here with LZ4 or ZSTD: have the client pack with gzip, or not", 400)
        form = question.format or headers.get("x-clickhouse-format") or given.get("default_format") or "TabSeparated"
        if form.lower() not in FORMATS:
            raise _Asked(73, f"unknown format {shown(form)}", 400)
        parameters = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}
        try:
            connection = await loop.run_in_executor(self._pool, self._reader)
        except queue.Empty:
            raise _Asked(_TOO_MANY, f"{READERS} questions are being answered: ask again", 503) from None
        except EngineError as error:
            raise _Asked(error.code, str(error)) from None
        in_pieces = question.kind == "select" and form.lower() in IN_PIECES
        pieces = connection.stream(self._runs(question, in_pieces, time_s), form, parameters, in_pieces=in_pieces)
        asked = given.get("client_protocol_version", "")
        revision = int(asked) if form.lower() == "native" and re.fullmatch("[0-9]{1,6}", asked) else 0
        begun = False
        try:
            piece = await self._next(pieces, time_s)
            packed = (
                zlib.compressobj(1, wbits=31)
                if "gzip" in headers.get("accept-encoding", "") and given.get("enable_http_compression") == "1"
                else None
            )
            begun = True
            await send(_start(200, {
                "Content-Type": next((kind for name, kind in _TYPES.items() if form.startswith(name)), "application/octet-stream"),
                "X-ClickHouse-Format": form, "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Query-Id": given["query_id"] if _NAME.fullmatch(given.get("query_id", "")) else str(uuid.uuid4()),
                "X-ClickHouse-Summary": '{"read_rows":"0","read_bytes":"0"}',
                **({"Content-Encoding": "gzip"} if packed else {}),
            }))  # fmt: skip
            while piece is not None:
                if revision:
                    piece = await loop.run_in_executor(self._pool, in_revision, revision, piece)
                sent = send({"type": "http.response.body", "body": packed.compress(piece) if packed else piece, "more_body": True})
                await asyncio.wait_for(sent, time_s)  # who does not read keeps a reader from others
                piece = await self._next(pieces, time_s)
            await send({"type": "http.response.body", "body": packed.flush() if packed else b"", "more_body": False})
        except _OverrunError:
            if not begun:
                overran = b"Code: 159. DB::Exception: the question went on past its time, and was ended with the store's process\n"
                await _answer(send, 504, overran, {})
            self._overrun()
        except EngineError as error:
            if begun:  # what was sent is not all, and whoever reads must see that: the connection ends without the last piece
                raise
            said = error.text.partition("DB::Exception: ")[2] or error.text
            raise _Asked(error.code, said.replace(_OF_ANY_SIZE, "")) from None
        finally:
            await loop.run_in_executor(self._pool, pieces.close)
            await loop.run_in_executor(self._pool, self._give_back, connection)

    async def _next(self, pieces: Iterator[bytes], time_s: float | None) -> bytes | None:
        """Raises _OverrunError when it takes longer than the engine has, if it has a limit."""
        soon = asyncio.get_running_loop().run_in_executor(self._pool, next, pieces, None)
        done, _ = await asyncio.wait([soon], timeout=time_s and time_s + max(_OVERRUN_S, time_s * _OVERRUN_PART))
        if not done:
            raise _OverrunError
        return soon.result()

    async def _lines(self, work: Callable[[Connection], Iterator[str]], send: Send) -> None:
        """What the store's own work says, on a connection that may change tables; one such work at a time."""
        if not self._working.acquire(blocking=False):
            raise _Asked(_TOO_MANY, "the store is at that already: wait for it", 503)
        loop, connection, begun = asyncio.get_running_loop(), None, False
        try:
            connection = await loop.run_in_executor(self._pool, self._connect_to_change)
            lines = work(connection)
            while (line := await loop.run_in_executor(self._pool, next, lines, None)) is not None:
                if not begun:
                    await send(_start(200, {"Content-Type": "text/plain; charset=UTF-8"}))
                begun = True
                await send({"type": "http.response.body", "body": f"{line}\n".encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except EngineError as error:
            if begun:
                raise
            raise _Asked(error.code, str(error)) from None
        finally:
            self._working.release()
            if connection:
                connection.close()

    def _runs(self, question: Statement, in_pieces: bool, time_s: float | None) -> str:
        """What the engine is given: the question, with the settings that it may have. What nobody has whole may be of any size."""
        given = dict(question.settings)
        if time_s is None:
            given["max_execution_time"] = "0"
        elif "max_execution_time" in given:
            given["max_execution_time"] = str(min(float(given["max_execution_time"]), time_s))
        said = ", ".join(f"{name} = {value if value.isdigit() else repr(value)}" for name, value in given.items())
        runs = f"{question.text} SETTINGS {said}" if said else question.text
        return runs + (_OF_ANY_SIZE.replace(" SETTINGS", ",") if said else _OF_ANY_SIZE) if in_pieces else runs

    def _reader(self) -> Connection:
        """One that nobody uses. Raises queue.Empty, EngineError."""
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._making:
            if self._made < READERS:
                connection = self._connect()
                self._made += 1
                return connection
        return self._idle.get(timeout=WAIT_S)

    def _give_back(self, connection: Connection) -> None:
        if connection.spoilt:
            connection.close()
            try:
                connection = self._connect()
            except EngineError:
                with self._making:
                    self._made -= 1  # who asks next makes another
                return
        self._idle.put(connection)


async def _text(headers: Mapping[str, str], given: Mapping[str, str], receive: Receive) -> str:
    """The question: of the address, then of the body, which may be packed."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Asked(210, "gone", 400)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_OCTETS:
            raise _Asked(_ACCESS_DENIED, f"a question has {MOST_OCTETS:,} octets at most", 413)
    try:
        octets = bytes(body)
        if headers.get("content-encoding", "") == "gzip":
            unpacker = zlib.decompressobj(wbits=31)
            octets = unpacker.decompress(octets, MOST_OCTETS)
            if unpacker.unconsumed_tail:
                raise _Asked(_ACCESS_DENIED, f"a question has {MOST_OCTETS:,} octets at most", 413)
        elif headers.get("content-encoding"):
            raise _Asked(_ACCESS_DENIED, "a question may be packed with gzip, not otherwise", 415)
        parts = [given.get("query", ""), octets.decode()]
    except (zlib.error, UnicodeDecodeError) as error:
        raise _Asked(_ACCESS_DENIED, f"the question cannot be read: {error}", 400) from None
    return "\n".join(part for part in parts if part.strip())


def _start(status: int, headers: Mapping[str, str]) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
    }


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    await send(_start(status, {"Content-Type": "text/plain; charset=UTF-8", **headers}))
    await send({"type": "http.response.body", "body": body})


def _unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen()
    except OSError as error:
        listener.close()
        raise StoreError(f"cannot listen at {path}: {error.strerror}; give the store a shorter path") from None
    return listener


def _tcp(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    return socket.create_server((host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
