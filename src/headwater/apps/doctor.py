"""`headwater doctor`: what works on this machine, what does not, why, and what to do about it."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from headwater.analysis.databases import OLD, What, load
from headwater.apps.packets import safe
from headwater.config import NamesSettings, Settings
from headwater.errors import ConfigError, StoreError
from headwater.kernel.probe import Finding, available, exit_code, findings, keeps_flows
from headwater.sources.kernel_flows import room_of
from headwater.store.settings import StoreSettings

_MARGIN = 25
_STYLES = {"ok": "green", "warn": "yellow", "off": "bold red"}


def run(as_json: bool, everything: bool = False, settings: Settings = Settings()) -> int:  # noqa: B008 - it is frozen
    """Print what was found: a table for a person, or a JSON list of findings. Returns the exit code.

    For a person, what is ok of the machine is only named, without `everything`.
    """
    found = findings()
    behind = 1 + max(place for place, one in enumerate(found) if one.area == "eBPF")
    found[behind:behind] = [_table(settings.flows.memory_mib), *_names(settings.names), *server(settings.kept())]
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))  # noqa: T201 - the output of the command
    else:
        _show(found if everything else list(_folded(found)))
    return exit_code(found)


def _table(mib: int) -> Finding:
    """The kernel's table of flows."""
    if not keeps_flows():
        return Finding("flows", "table", "warn", "user space keeps flows, from a row of each packet", "kernel 5.12 or newer")
    room, free = f"{mib} MiB hold {room_of(mib << 20):,} flows", available() >> 20
    if free < 2 * mib:
        return Finding("flows", "table", "warn", f"{room}, and {free:,} MiB are free", "a smaller memory_mib ([flows] in a file for -c)")
    return Finding("flows", "table", "ok", f"{room} (memory_mib in [flows])")


def _names(settings: NamesSettings) -> Iterator[Finding]:
    """The files that names are taken from."""
    files: tuple[tuple[What, str | None], ...] = (("asn", settings.asn), ("city", settings.city))
    for what, path in files:
        if path is None:
            continue
        try:
            database = load(Path(path), what)
        except ConfigError as error:
            why, _, todo = str(error).rpartition("; ")
            yield Finding("names", what, "warn", why, todo)
            continue
        about, age = f"{database.about}, {len(database.ranges):,} ranges", datetime.now(UTC) - database.built
        if age > OLD:
            yield Finding("names", what, "warn", f"{about}: {age.days} days old, and networks change hands", f"put a newer one at {path}")
        else:
            yield Finding("names", what, "ok", about)


def server(settings: StoreSettings) -> Iterator[Finding]:
    """The ClickHouse server that rows go to, if there is one."""
    if settings.url is None:
        return
    from headwater.store.server import Server  # noqa: PLC0415 - pyarrow and httpx2, which few need here

    try:
        with closing(Server.of(settings, settings.url)) as asked:
            version = asked.rows("SELECT version()")[0][0]
    except StoreError as error:
        yield Finding("store", "server", "warn", str(error), "look at url, password_file and ca_file of [store]: docs/server.md")
    else:
        yield Finding("store", "server", "ok", f"ClickHouse {version} at {asked.name}")


def _folded(found: list[Finding]) -> Iterator[Finding]:
    """What is ok in an area as one finding; of interfaces, and of the verdict, all is of interest."""
    for area, group in groupby(found, lambda one: one.area):
        findings = list(group)
        fine = [one for one in findings if one.state == "ok" and not one.todo]
        if area.startswith("interface ") or len(fine) < 2:
            yield from findings
            continue
        yield from (one for one in findings if one not in fine)
        yield Finding(area, "fine", "ok", ", ".join(one.name for one in fine))


def _show(found: list[Finding]) -> None:
    console = Console(highlight=False)
    with console.capture() as shown:  # rich would end a closed pipe with 1 by itself
        for area, group in groupby(found, lambda one: one.area):
            console.print(Text(safe(area), style="bold"))
            for one in group:
                state = Text(f"{one.state:>6}", style=_STYLES[one.state])
                console.print(state + Text(f"  {one.name:<17}").append(_text(one, console.width)))
    sys.stdout.write(shown.get())
    sys.stdout.flush()


def _text(one: Finding, width: int) -> str:
    """Why, and what to do, wrapped behind the columns of state and name."""
    lines = wrap(safe(one.why), width - _MARGIN)
    if one.todo:
        lines += wrap(f"-> {safe(one.todo)}", width - _MARGIN, subsequent_indent="   ")
    return f"\n{' ' * _MARGIN}".join(lines)
