"""`headwater query` alone: what there is to ask, ten examples, and on a terminal a prompt that completes names and remembers questions."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from headwater.errors import StoreError
from headwater.store.client import Client
from headwater.store.tables import INGESTED

EXAMPLES: dict[str, str] = {
    "the latest connections": """
        SELECT ts, id.orig_h, id.resp_h, id.resp_p, proto, conn_state FROM conn ORDER BY ts DESC LIMIT 10""",
    "who sends most": """
        SELECT id.orig_h, formatReadableSize(sum(orig_bytes)) AS sent FROM conn GROUP BY 1 ORDER BY sum(orig_bytes) DESC LIMIT 10""",
    "one address, on whichever side": """
        SELECT * FROM conn WHERE id.orig_h = '10.0.0.1' OR id.resp_h = '10.0.0.1' ORDER BY ts DESC LIMIT 100""",
    "connections that failed, by server": """
        SELECT id.resp_h, id.resp_p, conn_state, count() AS n FROM conn
        WHERE conn_state IN ('S0', 'REJ', 'RSTO', 'RSTR') GROUP BY ALL ORDER BY n DESC LIMIT 20""",
    "traffic by minute and protocol": """
        SELECT ts, proto, sum(orig_bytes + resp_bytes) AS octets FROM conn_minute GROUP BY ALL ORDER BY ts DESC LIMIT 60""",
    "who tries many ports of a host": """
        SELECT id.orig_h, id.resp_h, uniq(id.resp_p) AS ports FROM conn
        WHERE proto = 'tcp' GROUP BY ALL HAVING ports > 20 ORDER BY ports DESC""",
    "how long connections last": """
        SELECT proto, quantiles(0.5, 0.95, 0.99)(duration) AS seconds FROM conn GROUP BY proto""",
    "calls at even intervals": """
        SELECT id.orig_h, id.resp_h, id.resp_p, length(gaps) AS n, arrayReduce('stddevPop', gaps) / arrayAvg(gaps) AS unevenness
        FROM (
            SELECT id.orig_h, id.resp_h, id.resp_p,
                arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp64Milli(ts))))) AS gaps
            FROM conn WHERE ts > now() - INTERVAL 1 DAY GROUP BY ALL HAVING count() > 20)
        WHERE unevenness < 0.35 ORDER BY unevenness""",
    "what a day takes on the disk": """
        SELECT table, partition, formatReadableSize(sum(bytes_on_disk)) AS size, sum(rows) AS rows FROM system.parts
        WHERE active AND startsWith(database, 'headwater') GROUP BY ALL ORDER BY ALL""",
    "what was lost": """
        SELECT ledger, subject, place, reason, sum(count) AS n FROM ledger WHERE term = 'dropped' GROUP BY ALL ORDER BY n DESC""",
}
"""What it answers, and the question."""


def describe(client: Client) -> str:
    """What there is to ask, for a person. Raises StoreError."""
    counted = {row[0]: row[1:] for row in client.rows(
        "SELECT table, sum(rows), formatReadableSize(sum(bytes_on_disk)) FROM system.parts "
        "WHERE active AND startsWith(database, 'headwater') GROUP BY table", 3)}  # fmt: skip
    lines = ["Tables (SELECT * FROM ... LIMIT 10 shows what is in one; docs/records.md says what columns mean):"]
    for table, columns in client.tables().items():
        rows, size = counted.get(table, ["0", "0 B"])
        much = f"{int(rows):>14,} rows {size:>12}" if INGESTED in columns else f"{'what numbers are called':>32}"
        lines.append(f"  {table:<16} {much}  {len(columns)} columns")
    lines += ["", "Questions to begin with:"]
    lines += [f"  -- {what}\n{textwrap.indent(textwrap.dedent(sql).strip(), '  ')}" for what, sql in EXAMPLES.items()]
    return "\n".join(lines)


class _Words(Completer):
    """Names of tables and columns, and ClickHouse's own words."""

    _OWN = (
        "SELECT FROM WHERE GROUP BY ORDER LIMIT HAVING AND OR NOT IN AS DESC ALL DISTINCT JOIN LEFT ANTI USING BETWEEN INTERVAL "
        "count() sum( avg( min( max( uniq( quantile( toStartOfMinute( toStartOfHour( formatReadableSize( now() isIPAddressInRange("
    ).split()

    def __init__(self, names: Iterable[str]) -> None:
        self._words = sorted({*names, *self._OWN})

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Those that begin with what stands before the cursor."""
        del complete_event
        begun = document.get_word_before_cursor(WORD=True).rpartition(",")[2].rpartition("(")[2]
        if begun:
            for word in self._words:
                if word.lower().startswith(begun.lower()):
                    yield Completion(word, -len(begun))


class _Questions(FileHistory):
    """Those that were asked before. Where they cannot be kept (a full disk, no folder of one's own), those of now alone."""

    def load_history_strings(self) -> Iterable[str]:
        """The latest first."""
        with contextlib.suppress(OSError):
            yield from super().load_history_strings()

    def store_string(self, string: str) -> None:
        """Keep one."""
        with contextlib.suppress(OSError):
            super().store_string(string)


def ask(client: Client, answer: Callable[[str], object]) -> None:
    """Answer questions until there is no more: Ctrl-D, or `exit`. Ctrl-C ends an answer."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "headwater"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = client.tables()
    session: PromptSession[str] = PromptSession(
        history=_Questions(str(folder / "questions")),
        completer=_Words([*known, *(column for columns in known.values() for column in columns)]),
        complete_while_typing=False,
    )
    while True:
        try:
            text = session.prompt("headwater> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.lower().rstrip(";") in ("exit", "quit"):
            return
        if text:
            try:
                answer(text)
            except StoreError as error:
                sys.stderr.write(f"{error}\n")
            except KeyboardInterrupt:
                sys.stderr.write("no more of that\n")
