"""What can be set of the store."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec

from headwater.errors import StoreError

DATABASE = "headwater"
"""Of all tables."""
DEFAULT_LISTEN = "127.0.0.1:8123"
_PORTS = {"http": 8123, "https": 8443}


class Url(msgspec.Struct, frozen=True):
    """Where a ClickHouse server answers HTTP, and as whom it is asked; `base` has neither name nor password."""

    base: str
    user: str
    password: str

    @classmethod
    def of(cls, text: str) -> "Url":
        """Raises ValueError where it is none."""
        try:
            parts = urlsplit(text)
            port = parts.port or _PORTS[parts.scheme]
            right = parts.hostname and not (parts.query or parts.fragment or re.search(r"[^\x21-\x7e]", text))
        except (ValueError, KeyError):
            right = None
        if not right:
            raise ValueError("url must be that of a ClickHouse server's HTTP, for instance https://headwater@db.example:8443")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        base = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
        return cls(base, unquote(parts.username or ""), unquote(parts.password or ""))


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that are kept and can be asked for. Needs `pip install 'headwater[store]'`.

    path: the folder of tables, spool and token; unset, /var/lib/headwater/store for root, and ~/.local/share/headwater/store for others.
    listen: where questions are answered besides the socket in that folder, an address of this host and a port; empty for nowhere. Nothing
        is encrypted there.
    records: what is kept, beside the ledger; empty takes what the run has.
    retention_days: how long, counted from when a row was stored.
    size_gib: octets of disk for tables; the partition whose rows were stored first makes room.
    free_part: part of the disk that is left free, likewise.
    spool_mib: octets of disk for rows on their way to the store; the oldest make room, and are counted as lost.
    memory_part: part of the machine's memory that the store's process may use.
    query_memory_part: part of that for one question.
    query_time_s: after which a question is refused further work; exports and backups take what they take.
    url: of a ClickHouse server, which then has the tables and is asked; `path` has rows on their way alone, and what is above of sizes,
        memory and time is the server's own affair. See docs/server.md.
    cluster: of that server's, over all of whose hosts the tables are spread.
    password_file: has the password for url, and nothing else; unset, it is that of the environment, CLICKHOUSE_PASSWORD.
    ca_file: certificates that url is trusted by (PEM); unset, those of this machine.
    expire: have the server remove rows, retention_days after they were stored. Unless set, they stay.
    """

    path: str | None = None
    listen: str = DEFAULT_LISTEN
    records: tuple[str, ...] = ()
    retention_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    size_gib: Annotated[float, msgspec.Meta(gt=0, le=1 << 20)] = 50.0
    free_part: Annotated[float, msgspec.Meta(ge=0, le=0.9)] = 0.05
    spool_mib: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 1024
    memory_part: Annotated[float, msgspec.Meta(gt=0, le=0.9)] = 0.3
    query_memory_part: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    query_time_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    url: str | None = None
    cluster: str = ""
    password_file: str | None = None
    ca_file: str | None = None
    expire: bool = False

    def __post_init__(self) -> None:
        """Checks that types cannot express."""
        if self.path == "":
            raise ValueError("path is empty: name a folder, or leave it out")
        if self.listen and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):\d{1,5}", self.listen):
            raise ValueError(f'listen must be an address and a port, for instance "{DEFAULT_LISTEN}"')
        if self.url is not None and Url.of(self.url).password:
            raise ValueError(
                "url has a password in it: put that into a file that password_file names, or into the variable CLICKHOUSE_PASSWORD"
            )
        if self.cluster and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", self.cluster):
            raise ValueError("cluster must be a name of the server's <remote_servers>, of letters, digits, dots, dashes and underscores")
        for key in ("cluster", "password_file", "ca_file", "expire"):
            if getattr(self, key) and not self.url:
                raise ValueError(f"{key} needs the url of a server")

    def password(self, environ: Mapping[str, str]) -> str:
        """For the server at `url`. Raises StoreError where the file cannot be read."""
        if self.password_file is None:
            where, found = "CLICKHOUSE_PASSWORD", environ.get("CLICKHOUSE_PASSWORD", "")  # as ClickHouse's own client has it
        else:
            where = f"password_file {self.password_file}"
            try:
                found = Path(self.password_file).read_text().strip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise StoreError(f"{where}: {why}; name a file with the password, or use sudo") from None
        if not found.isprintable():
            raise StoreError(f"{where} has a character that no password has: one line is what it should be")
        return found

    def place(self) -> "Place":
        """Where it is."""
        if self.path:
            return Place(Path(self.path).absolute())
        if os.geteuid() == 0:
            return Place(Path("/var/lib/headwater/store"))
        return Place(Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "headwater/store")


class Place(msgspec.Struct, frozen=True):
    """The folder of a store, and what is where in it."""

    folder: Path

    @property
    def engine(self) -> Path:
        """The engine's own files."""
        return self.folder / "engine"

    @property
    def spool(self) -> Path:
        """Rows on their way."""
        return self.folder / "spool"

    @property
    def socket(self) -> Path:
        """Where questions are answered."""
        return self.folder / "http.sock"

    @property
    def address(self) -> Path:
        """At which address and port else, while there is one."""
        return self.folder / "address"

    @property
    def token(self) -> Path:
        """What who asks must know."""
        return self.folder / "token"

    @property
    def about(self) -> Path:
        """Of which version it is, and when it was last looked after."""
        return self.folder / "store.json"

    @property
    def note(self) -> Path:
        """Which file of the spool was begun last."""
        return self.folder / "begun.json"

    def restored(self, backup: str) -> Path:
        """How far the backup of that id has been restored."""
        return self.folder / "restored" / f"{backup}.json"

    @property
    def imports(self) -> Path:
        """Which logs were taken, and how far."""
        return self.folder / "imports.sqlite"

    @property
    def clock(self) -> Path:
        """The time when it was last looked after."""
        return self.folder / "clock.json"

    @property
    def reserve(self) -> Path:
        """Room that is given up where the disk is full and something is to go."""
        return self.folder / "reserve"

    @property
    def log(self) -> Path:
        """What the engine says of itself."""
        return self.folder / "engine.log"

    @property
    def lock(self) -> Path:
        """Held by the process that has it."""
        return self.folder / "lock"
