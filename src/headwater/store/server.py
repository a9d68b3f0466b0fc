"""A ClickHouse server by URL: what is run there, and what is inserted, over its HTTP protocol (clickhouse.com/docs/interfaces/http)."""

import os
import ssl
from collections.abc import Mapping
from typing import Self

import httpx2
import pyarrow as pa

from headwater.errors import StoreError
from headwater.store.engine import EngineError
from headwater.store.settings import StoreSettings, Url

ANSWER_S = 300.0
"""For which an answer is waited for: replicas may be, too."""
_DDL_S = 30
_ALWAYS = {
    "wait_end_of_query": "1",  # or an answer may begin well, and end badly
    "async_insert": "0",
    "join_use_nulls": "1",
    "alter_sync": "2",  # an insert may come to another replica, and would not find a column there
    "replication_wait_for_inactive_replica_timeout": "0",
    "distributed_ddl_task_timeout": str(_DDL_S),
    "distributed_ddl_output_mode": "null_status_on_timeout",  # a server that is down makes its tables when it comes back
}
NETWORK_ERROR = 210


class Unreachable(EngineError):
    """No answer, or none of ClickHouse's."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Code: {NETWORK_ERROR}. DB::Exception: {text}")


def connected(url: Url, password: str, ca_file: str | None, timeout: httpx2.Timeout, **headers: str) -> httpx2.Client:
    """Who asks that server, or would: nothing is sent yet. Raises StoreError where `ca_file` cannot be read."""
    who = {"X-ClickHouse-User": url.user, "X-ClickHouse-Key": password} if url.user or password else {}
    try:
        trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if url.base.startswith("https") else False
    except (OSError, ssl.SSLError) as error:
        raise StoreError(f"ca_file {ca_file}: {error.strerror or error}; name a file of certificates (PEM)") from None
    return httpx2.Client(
        base_url=url.base,
        verify=trust,
        timeout=timeout,
        headers=[(name.encode(), value.encode()) for name, value in {**who, **headers}.items()],
        trust_env=False,
        follow_redirects=False,  # a password goes where it was meant to go
    )


class Server:
    """The server at `url`, one request at a time. Made before privileges are given away, because it reads files that are root's."""

    def __init__(self, url: Url, password: str, ca_file: str | None) -> None:
        self.name = url.base
        self._http = connected(url, password, ca_file, httpx2.Timeout(10.0, read=ANSWER_S, write=60.0))

    @classmethod
    def of(cls, settings: StoreSettings, url: str) -> Self:
        """That which these name. Raises StoreError."""
        return cls(Url.of(url), settings.password(os.environ), settings.ca_file)

    def run(self, sql: str) -> bytes:
        """All of the answer. Raises EngineError."""
        return self._post(sql.encode(), {}, {})

    def rows(self, sql: str) -> list[list[str]]:
        """The answer's rows, as text."""
        return [line.split("\t") for line in self.run(sql).decode(errors="replace").splitlines()]

    def insert(self, statement: str, octets: bytes, settings: Mapping[str, str]) -> None:
        """Run an INSERT that ends with its format, with what it is to insert. Raises EngineError; if that is Unreachable, nobody knows
        whether it was done.
        """
        body = pa.compress(statement.encode() + b"\n" + octets, codec="zstd", asbytes=True)
        self._post(body, settings, {"Content-Encoding": "zstd"})

    def _post(self, body: bytes, settings: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        try:
            answer = self._http.post("/", params={**_ALWAYS, **settings}, content=body, headers=dict(headers))
        except httpx2.TimeoutException:
            raise Unreachable(f"{self.name} does not answer") from None
        except httpx2.HTTPError as error:
            raise Unreachable(f"no connection to {self.name}: {_plain(error)}") from None
        code = answer.headers.get("X-ClickHouse-Exception-Code")
        if answer.status_code == 200 and not code and any(name.startswith("x-clickhouse-") for name in answer.headers):
            return answer.content  # of another kind of server that would be no word of the rows
        if code or answer.text.startswith("Code: "):
            raise EngineError(answer.text if answer.text.startswith("Code: ") else f"Code: {code}. DB::Exception: no reason given")
        raise Unreachable(
            f"{self.name} answers {answer.status_code}, and not as ClickHouse does: look at the url, and at what stands between"
        )

    def close(self) -> None:
        """Ask no more."""
        self._http.close()


def _plain(error: Exception) -> str:
    """An error's words, harmless and short."""
    words = str(error) or type(error).__name__
    return "".join(one if one.isprintable() else "?" for one in words[:160])
