"""`headwater store backup`, `restore` and `compact`."""

from pathlib import Path

import click

from headwater.apps.amounts import many
from headwater.apps.beside import Beside
from headwater.apps.console import tell
from headwater.config import Settings
from headwater.errors import StoreError
from headwater.outputs.outlet import NEVER
from headwater.store import backup as backups
from headwater.store.client import Client
from headwater.store.restore import forget, must_fit, restore
from headwater.store.settings import Place


def back_up(settings: Settings, directory: Path) -> None:
    """Write what the store has into `directory`. Raises SinkError, StoreError."""
    with _client(settings) as client:
        made = backups.back_up(client, settings.kept(), directory, tell)
    _say(made.rows, "")
    octets = sum(file.octets for file in made.files)
    click.echo(f"{directory}: {sum(made.rows.values()):,} rows in {len(made.files):,} files, {octets / 2**20:,.1f} MiB")


def put_back(settings: Settings, directory: Path, *, again: bool) -> None:
    """Give the rows of a backup to the store, which is made if there is none. Raises StoreError, at the end for what could not be."""
    place, found = _place(settings), backups.read(directory)
    beside = Beside(settings, NEVER)
    with beside:
        beside.begin(tell)
        beside.ready()
        with Client(place) as client:
            must_fit(client, settings.kept(), found)
        if again:
            forget(place, found)
        outcome = restore(place, directory, found, tell)
    _say(outcome.rows, "restored")
    _say(outcome.before, "restored before (--again does it once more)")
    if outcome.unread or outcome.aside:
        missing = f"{outcome.unread:,} of {len(found.files):,} files could not be read, {outcome.aside:,} rows were put aside"
        raise StoreError(f"{directory}: {missing}, see above; with another copy of those files, restore it again: only they are missing")
    click.echo(f"{directory}: {sum(outcome.rows.values()):,} rows restored")


def compact(settings: Settings) -> None:
    """Merge the parts of each table and day. Raises StoreError."""
    with _client(settings) as client:
        for line in client.compact():
            click.echo(line)


def _client(settings: Settings) -> Client:
    _place(settings)
    return Client.of(settings.kept(), settings.user)


def _place(settings: Settings) -> Place:
    """Raises StoreError where tables are a server's."""
    if settings.kept().url:
        raise StoreError("this is for a store in a folder, and [store] url names a server: use its own BACKUP, RESTORE and OPTIMIZE")
    return settings.kept().place()


def _say(rows: dict[str, int], what: str) -> None:
    for table, count in rows.items():
        click.echo(f"{table:<22} {many(count, 'row')} {what}".rstrip())
