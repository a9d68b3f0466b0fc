"""Grafana Live: POST {url}/api/live/push/{stream}, Influx line protocol, a bearer token (grafana.com/docs, Set up Grafana Live).

Grafana answers 500 both when it is broken and when one line is bad, and then takes none of the lines. An empty body tells the two apart:
if that is taken, the lines are at fault, and halving finds which. An empty body is also the first that is sent, so that a wrong token is
known before there is a row. Lines that were sent when a connection broke are sent again, so a picture may show a packet twice; the
ledger counts it once.

By default Grafana makes one frame of a request, and up to version 12 its page shows only the last row of each millisecond of a frame.
So a frame a line is asked for (gf_live_frame_format=wide), unless `url` is a whole push URL with a query of its own.
"""

import re
import socket
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import msgspec

from headwater.errors import SinkError
from headwater.interfaces import Sent
from headwater.records import Batch, Drop

if TYPE_CHECKING:
    import httpx2

    from headwater.outputs.lines import Lines

_REJECTED = Drop["sink__rejected"]
_PUSH = "/api/live/push/"
_WIDE = "gf_live_frame_format=wide"
_STREAM = r"[A-Za-z0-9_-]{1,138}"  # stream/ and /packet_details make 160, Grafana's limit for a channel
_LINES = 500  # in one request
_TRIES = 1000  # requests to find the bad lines of one send(); what is not told apart by then is lost with them
_REST_S = 60.0  # where nothing changes until somebody acts
_PATIENCE_S = 3600.0  # the longest Retry-After that is believed


class GrafanaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Grafana Live.

    url: Grafana's address, for instance http://localhost:3000; or the whole push URL, with the stream in its path.
    token: of a service account with the role Editor, in the organisation whose dashboards are to show the packets.
    stream: the first part of the channels' names: stream/headwater/packet_details.
    max_rows_per_s: packets a second at most; of more, an even sample is sent. A panel keeps 500 rows unless it is told otherwise.
    linger_ms: how long packets are gathered for one request.
    timeout_s: how long Grafana may take to connect, or to send or receive anything.
    """

    url: str
    token: str = ""
    stream: str = "headwater"
    max_rows_per_s: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 200
    linger_ms: Annotated[int, msgspec.Meta(ge=50, le=250)] = 100
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0

    def __post_init__(self) -> None:
        """Checks that types cannot express; msgspec turns ValueError into its own error with the place."""
        if not re.fullmatch(r"https?://[^/?#\s]+(?:[/?][^#\s]*)?", self.url):
            raise ValueError("url must be Grafana's address, for instance http://localhost:3000")
        if problem := _not_a_url(self.push_url()):
            raise ValueError(f"url {problem}, for instance http://localhost:3000")
        _, push, stream = self.url.partition("?")[0].partition(_PUSH)
        if not re.fullmatch(_STREAM, stream.rstrip("/") if push else self.stream):
            raise ValueError("stream (or the url's last part) may have letters, digits, - and _, and 138 characters at most")
        if not re.fullmatch(r"[\x21-\x7e]*", self.token):
            raise ValueError("token has a space or another character that no token has: copy it again")

    def __repr__(self) -> str:
        return f"GrafanaSettings(url={self.address()!r}, stream={self.stream!r}, token={'(set)' if self.token else ''!r})"

    def push_url(self) -> str:
        """Where lines go."""
        base, _, query = self.url.partition("?")
        if _PUSH in base:
            return f"{base.rstrip('/')}?{query or _WIDE}"
        return f"{base.rstrip('/')}{_PUSH}{self.stream}?{_WIDE}"

    def address(self) -> str:
        """The server, as messages name it: without a password."""
        scheme, rest = self.url.split("://", 1)
        return f"{scheme}://{re.split('[/?]', rest)[0].rpartition('@')[2]}"


class Grafana:
    """Pushes packets, rates, servers and the ledger, one request at a time over one connection."""

    def __init__(self, settings: GrafanaSettings) -> None:
        self.name = "grafana"
        self.records: frozenset[str] | None = frozenset({"packet", "rate", "server", "ledger"})
        self.linger_s = settings.linger_ms / 1000
        self.sample: Mapping[str, int] = {"packet": settings.max_rows_per_s}
        self._settings = settings
        self._url = settings.push_url()
        self._asked = self._taken_once = False
        self._client: httpx2.Client | None = None
        self._batches: Sequence[Batch] | None = None  # of which send() is not through
        self._lines: Lines
        self._todo: list[tuple[int, int]] = []  # stretches of them, the next one last
        self._tries = 0
        self._acked = self._rejected = 0  # rows that are settled and not yet told

    def open(self) -> None:
        """Get ready; whether Grafana is there shows with the first flush()."""
        import httpx2  # noqa: PLC0415 - takes 0.1 s to load, and few runs push

        self._client = httpx2.Client(
            headers={"Content-Type": "text/plain; charset=utf-8"}
            | ({"Authorization": f"Bearer {self._settings.token}"} if self._settings.token else {}),
            timeout=self._settings.timeout_s,
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30),
            follow_redirects=False,  # a token goes where it was meant to go
        )

    def close(self) -> None:
        """Close the connection."""
        if self._client:
            self._client.close()
        self._client = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def flush(self, last: bool) -> Sent:
        """Tell what a send() that failed had settled. The first one asks whether Grafana is there, and raises SinkError if it is not."""
        if not (self._asked or last):
            self._asked = True
            self._ask()
        return self._settled()

    def _settled(self) -> Sent:
        sent = Sent(self._acked, {_REJECTED: self._rejected} if self._rejected else {})
        self._acked = self._rejected = 0
        return sent

    def send(self, batches: Sequence[Batch]) -> Sent:
        """Push the rows. Raises SinkError; what is offered again goes on where it failed."""
        if batches is not self._batches:
            self._begin(batches)
        try:
            while self._todo:
                self._push(*self._todo[-1])
        except SinkError as error:
            if error.retryable:
                raise
            self._batches = None
            if not self._acked + self._rejected:
                raise
            self._rejected += sum(int(self._lines.rows[begin:end].sum()) for begin, end in self._todo)
            sent = self._settled()
            return Sent(sent.acked, sent.dropped, str(error))
        self._batches = None
        if not self._acked and self._rejected > 1:
            self._rejected = 0  # the outlet counts what raises
            raise SinkError(f"{self._settings.address()} refuses every line: is it Grafana?", retryable=False, after_s=_REST_S)
        return self._settled()

    def _ask(self) -> None:
        """Push nothing. What is not Grafana may call that a bad request; only what it would say to any request counts."""
        response = self._post(b"")
        if response.status_code == 404 and self._url.endswith(f"?{_WIDE}"):
            response = self._post(b"", self._url.removesuffix(f"?{_WIDE}"))  # as _push() would find
        if 300 <= response.status_code < 400 or response.status_code in (401, 403, 404):
            raise self._explain(response)

    def _begin(self, batches: Sequence[Batch]) -> None:
        from headwater.outputs.lines import Lines  # noqa: PLC0415 - pyarrow, as above

        self._batches = batches
        self._lines = Lines(batches)
        self._rejected += self._lines.malformed
        self._todo = [(begin, min(begin + _LINES, len(self._lines))) for begin in range(0, len(self._lines), _LINES)][::-1]
        self._tries = 0

    def _push(self, begin: int, end: int) -> None:
        """Send one stretch of lines; if they are at fault, halve it. Raises SinkError."""
        rows = int(self._lines.rows[begin:end].sum())
        response = self._post(self._lines.body(begin, end))
        self._tries += 1
        if response.is_success:
            self._taken_once = True
            self._acked += rows
            self._todo.pop()
        elif response.status_code in (400, 404) and not self._taken_once and self._url.endswith(f"?{_WIDE}"):
            self._url = self._url.removesuffix(f"?{_WIDE}")  # something like Grafana, which knows no formats
        elif response.status_code not in (400, 413, 422, 500) or (response.status_code != 413 and not self._post(b"").is_success):
            if not self._taken_once:
                self._url = self._settings.push_url()
            raise self._explain(response)
        else:
            self._todo.pop()
            if end - begin > 1 and self._tries < _TRIES:
                middle = (begin + end) // 2
                self._todo += [(middle, end), (begin, middle)]
            else:
                self._rejected += rows

    def _post(self, body: bytes, url: str = "") -> "httpx2.Response":
        import httpx2  # noqa: PLC0415 - as above

        assert self._client is not None  # noqa: S101 - open() came before
        try:
            with self._client.stream("POST", url or self._url, content=body) as response:
                for _ in zip(range(16), response.iter_raw(4096), strict=False):
                    pass  # so that the connection can be used again; more than that it may keep
        except httpx2.TimeoutException as error:
            raise SinkError(f"{self._settings.address()} does not answer within {self._settings.timeout_s:g} s", retryable=True) from error
        except httpx2.HTTPError as error:
            raise SinkError(f"no connection to {self._settings.address()} ({_plain(error)})", retryable=True) from error
        return response

    def _explain(self, response: "httpx2.Response") -> SinkError:
        status, address = response.status_code, self._settings.address()
        wait_s = _retry_after(response)
        match status:
            case 401:
                problem = f"{address} does not accept the token (401): set GRAFANA_TOKEN to one of a service account with the role Editor"
            case 403:
                problem = f"{address} does not let this token push (403): give its service account the role Editor, or a newer token"
            case 404:
                problem = f"{address} has no Grafana Live there (404): set the url to Grafana's address, for instance http://localhost:3000"
            case 408 | 429:
                return SinkError(f"{address} asks for patience ({status})", retryable=True, after_s=wait_s)
            case _ if status >= 500:
                return SinkError(f"{address} answers {status}", retryable=True, after_s=wait_s)
            case _ if 300 <= status < 400:
                problem = f"{address} answers with a redirect ({status}): set the url to where Grafana really is"
            case _:
                problem = f"{address} answers {status}: is it Grafana?"
        return SinkError(problem, retryable=False, after_s=max(_REST_S, wait_s))


def _not_a_url(url: str) -> str:
    """What keeps `url` from being one; nothing if it can be asked for. The client itself takes port 300000 for 300000 mod 65536."""
    import httpx2  # noqa: PLC0415 - takes 0.1 s to load, and few settings have a url

    try:
        made = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        if "port" in str(error):  # not the whole message: what it takes for a port may be a password
            return "must have a port from 1 to 65535 behind the host, and nothing else there"
        return "has a character or a part that no URL may have"
    if made.port is not None and not 1 <= made.port <= 65_535:
        return "must have a port from 1 to 65535"
    return "" if made.host else "must name a host"


def _retry_after(response: "httpx2.Response") -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    try:
        wait_s = (
            float(value)
            if value.isdecimal()
            else (parsedate_to_datetime(value) - parsedate_to_datetime(response.headers["Date"])).total_seconds()
        )
    except (ValueError, TypeError, KeyError):
        return 0.0
    return min(max(wait_s, 0.0), _PATIENCE_S)


def _plain(error: BaseException) -> str:
    """An error's words, harmless and short."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, socket.gaierror):
        cause = cause.__context__
    if cause:
        return "its name has no address here: check the url, and this machine's DNS"
    words = re.sub(r"^\[Errno \d+\] ", "", str(error) or type(error).__name__)
    return "".join(c if c.isprintable() else "?" for c in words[:160])
