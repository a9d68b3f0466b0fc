"""`headwater store` and `headwater query`."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from headwater.apps.beside import made
from headwater.apps.console import tell
from headwater.config import Settings
from headwater.errors import ConfigError, HeadwaterError, OutputClosed, StoreError
from headwater.filters.sql import condition, plain, since
from headwater.kernel.confine import account, confine, confine_engine
from headwater.store.anew import ENDS
from headwater.store.client import Client
from headwater.store.process import Store
from headwater.store.settings import StoreSettings

FORMATS = {"table": "PrettyCompactMonoBlock", "jsonl": "JSONEachRow", "csv": "CSVWithNames", "parquet": "Parquet", "arrow": "Arrow"}
"""What --format is called, and what ClickHouse calls it."""
_BINARY = {"parquet", "arrow"}
_LOG_OCTETS = 1 << 20


def serve(settings: StoreSettings, user: str | None, *, once: bool = False, while_asked: bool = False, removing: bool = True) -> None:
    """Be the store's process until standard input ends, or nothing waits; or a signal comes, but not `while_asked` (store/anew.py)."""
    store = Store(settings, tell, removing=removing)
    for number in ENDS:
        signal.signal(number, lambda *_: None if while_asked else store.stop())  # Ctrl-C is for whoever asks: their end is ours
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*ENDS, signal.SIGCHLD})
    code, is_engine = 0, settings.url is None
    try:
        made(settings.place(), user)
        _send_words_to(settings.place().log)
        store.prepare()  # which asks for more than what is left then
        os.chdir(settings.place().folder)  # the engine would take a config.xml that lies where we were started
        if user != "root":
            confine(account(user), [settings.place().folder], readable=[Path("/sys/fs/cgroup")], engine=is_engine)
        store.open()
        if is_engine and user != "root" and confine_engine().missing:
            tell("this kernel has no seccomp: the store is confined without")
        threading.Thread(target=_until_eof, args=(store,), daemon=True).start()
        store.run(once=once)
    except HeadwaterError as error:
        tell(str(error))
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - whatever it is, it is told, and the process ends by os._exit
        traceback.print_exc()
        code = 1
    finally:
        store.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # the engine's threads cannot be stopped


def _send_words_to(log: Path) -> None:
    """What the engine itself writes to standard error is long, and for developers: it goes to a file, behind what it said of its last
    death, and ours stays what it was.
    """
    ours = os.dup(2)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(fd).st_size > _LOG_OCTETS:
        os.ftruncate(fd, 0)
    os.dup2(fd, 2)
    os.close(fd)
    sys.stderr = open(ours, "w", buffering=1)  # noqa: SIM115, PTH123 - for as long as the process lasts


def _until_eof(store: Store) -> None:
    sys.stdin.buffer.read()
    store.stop()


def query(settings: Settings, sql: str, form: str | None) -> None:
    """Print the answer; without a question, what there is to ask, and on a terminal answer until there is no more."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not sql and not sys.stdin.isatty():
        sql = sys.stdin.read().strip()
    with Client.of(settings.kept(), settings.user) as client:
        if sql:
            _print(client, sql, form)
            return
        from headwater.apps import prompt  # noqa: PLC0415 - 0.1 s, which an answer need not

        click.echo(prompt.describe(client))
        if on_terminal:
            prompt.ask(client, lambda text: _print(client, text, form))


def _print(client: Client, sql: str, form: str | None) -> bool:
    """Whether the answer has anything."""
    chosen, found = form or ("table" if sys.stdout.isatty() else "jsonl"), False
    if chosen in _BINARY and sys.stdout.isatty():
        raise ConfigError(f"--format {chosen}", "is not for a terminal: send standard output to a file")
    try:
        for piece in client.ask(sql, FORMATS[chosen]):
            sys.stdout.buffer.write(piece)
            found = True
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise OutputClosed from None
    except StoreError as error:
        if '"' in sql and "UNKNOWN_IDENTIFIER" in str(error):
            raise StoreError(f"{error}; in SQL a text stands in single quotes: 'tcp'") from None
        raise
    return found


_MOST = 1000
_OF_CONN = ("round(duration, 6) AS duration", *"conn_state history orig_bytes resp_bytes orig_pkts resp_pkts uid".split())


def latest(settings: Settings, record: str, shown: Sequence[str], since_s: float, text: str, form: str | None) -> None:
    """Print the messages of the last `since_s` seconds for which a filter holds, with these columns, the newest first, 1,000 at most."""
    with Client.of(settings.kept(), settings.user) as client:
        sql = latest_of(record, ("ts",), (*shown, "uid"), text, client.columns(record), since(since_s), _MOST)
        if not _print(client, sql, form):
            _tell_latest(client, record)


def flows(settings: Settings, since_s: float, text: str, form: str | None) -> None:
    """Print the connections of the last `since_s` seconds for which a filter holds, the newest first, 1,000 at most."""
    with Client.of(settings.kept(), settings.user) as client:
        if not _print(client, conns_of(text, client.columns("conn"), since(since_s), _MOST), form):
            _tell_latest(client, "conn")


def _tell_latest(client: Client, table: str) -> None:
    """Where nothing was found: rows of a capture are as old as it is, however late they were stored."""
    [[count, last]] = client.rows(f"SELECT count(), toDateTime(max(ts), 'UTC') FROM {table}", 2)
    tell(f"none found; of the store's {int(count):,} rows of {table} the latest is of {last} UTC")


def conns_of(text: str, columns: Mapping[str, str], when: str, most: int) -> str:
    """latest_of() connections."""
    return latest_of("conn", ("ts", "proto"), _OF_CONN, text, columns, when, most)


def latest_of(table: str, before: Sequence[str], behind: Sequence[str], text: str, columns: Mapping[str, str], when: str, most: int) -> str:
    """The question for the latest rows of a table with these columns and their types for which a filter, and `when`, holds: their ends, and
    what comes before and behind them, if the table has it. Raises FilterError.
    """
    held = condition(text, columns) if text.strip() else "1"
    ends = [f"{plain(f'id.{end}_h')} AS {end}, id.{end}_p AS {end}_port" for end in ("orig", "resp")]
    shown = [name for name in behind if name in columns or " AS " in name]
    return f"SELECT {', '.join([*before, *ends, *shown])} FROM {table} WHERE {when} AND {held} ORDER BY ts DESC LIMIT {most}"
