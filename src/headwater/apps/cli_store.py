"""The commands of the store."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater.apps.console import tell
from headwater.apps.options import Command, Commands, Duration, Named, config_option, example
from headwater.store.starting import of_the_extra

if TYPE_CHECKING:
    from headwater.config import Settings

path_option = click.option(
    "--path", type=Named(), metavar="DIR|URL", help="The store's folder, or a ClickHouse server's URL (default: those of [store])."
)


def settings_of(config_file: str | None, path: str | None, **changes: Any) -> "Settings":
    """The settings of the file, with those of the store that the command line gives. Raises ConfigError."""
    from headwater import config  # noqa: PLC0415 - start-up matters

    settings = config.load(Path(config_file) if config_file else None, os.environ)
    where = "url" if path and path.startswith(("http://", "https://")) else "path"
    given = {key: value for key, value in {where: path, **changes}.items() if value is not None}
    return config.override(settings, "the command line", store={**config.builtins_of(settings.kept()), **given})


@click.group(cls=Commands, invoke_without_command=True, epilog="\b\nExamples:\n  headwater store\n  headwater store status")
@click.pass_context
@config_option
@path_option
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to answer questions, besides the socket in the folder; empty for nowhere.")
@click.option("--once", is_flag=True, help="End when nothing waits in the spool.")
@click.option("--user", hidden=True)
@click.option("--while-asked", is_flag=True, hidden=True, help="End when standard input does.")
@click.option("--remove-nothing", is_flag=True, hidden=True, help="Let stay what is old.")
@click.option("--settings", "told", hidden=True, help="All of [store], as JSON, of who starts it.")
@click.option("--begun", is_flag=True, hidden=True, help="Be it, and not what begins it.")
def store(
    ctx: click.Context,
    config_file: str | None,
    path: str | None,
    listen: str | None,
    once: bool,
    user: str | None,
    while_asked: bool,
    remove_nothing: bool,
    told: str | None,
    begun: bool,
) -> None:
    """Keep the rows that wait in the spool, and answer questions; `headwater run --store` starts it by itself."""
    if ctx.invoked_subcommand is None:
        if not begun:
            from headwater.kernel.confine import without_capabilities  # noqa: PLC0415 - likewise
            from headwater.store.anew import begun_anew  # noqa: PLC0415 - likewise

            without_capabilities()  # while there is one thread: the engine begins some as it is loaded
            sys.exit(begun_anew([sys.executable, *sys.orig_argv[1:], "--begun"], tell, while_asked=while_asked))
        with of_the_extra():
            from headwater.apps import storing  # noqa: PLC0415 - likewise

        given = json.loads(told) if told else {}
        given |= {key: value for key, value in (("path", path), ("listen", listen)) if value is not None}
        settings = settings_of(config_file, given.pop("path", None), **given)
        storing.serve(settings.kept(), user or settings.user, once=once, while_asked=while_asked, removing=not remove_nothing)


@example(
    "Examples:\n  headwater query 'SELECT proto, count() FROM conn GROUP BY proto'\n"
    "  headwater query 'SELECT * FROM conn ORDER BY ts DESC LIMIT 10' --format csv"
)
@click.command(cls=Command)
@click.argument("sql", required=False, metavar="[SQL]")
@config_option
@path_option
@click.option("--format", "form", type=click.Choice(["table", "jsonl", "csv", "parquet", "arrow"]), help="table on a terminal, else jsonl.")
def query(sql: str | None, config_file: str | None, path: str | None, form: str | None) -> None:
    """Ask the store, in ClickHouse's SQL; without SQL, what there is to ask."""
    with of_the_extra():
        from headwater.apps import storing  # noqa: PLC0415 - likewise

    storing.query(settings_of(config_file, path), sql or "", form)


@example("Example:\n  headwater store status")
@store.command("status")
@config_option
@path_option
def store_status(config_file: str | None, path: str | None) -> None:
    """Say what there is: rows, size, what waits, what was put aside."""
    with of_the_extra():
        from headwater.apps import exporting  # noqa: PLC0415 - likewise

    for what, much in exporting.status(settings_of(config_file, path)):
        click.echo(f"{what:<22} {much}")


@example("Example:\n  sudo headwater store backup /mnt/backup/2026-11-23")
@store.command("backup")
@click.argument("directory", type=Named(), metavar="DIR")
@config_option
@path_option
def store_backup(directory: str, config_file: str | None, path: str | None) -> None:
    """Write all rows into a new folder, as Arrow files; also while the store is in use."""
    with of_the_extra():
        from headwater.apps import backups  # noqa: PLC0415 - likewise

    backups.back_up(settings_of(config_file, path), Path(directory))


@example("Example:\n  sudo headwater store restore /mnt/backup/2026-11-23")
@store.command("restore")
@click.argument("directory", type=Named(), metavar="DIR")
@config_option
@path_option
@click.option("--again", is_flag=True, help="Also what of this backup was restored before.")
def store_restore(directory: str, config_file: str | None, path: str | None, again: bool) -> None:
    """Give the rows of a backup to the store, beside those that it has; they count as stored now."""
    with of_the_extra():
        from headwater.apps import backups  # noqa: PLC0415 - likewise

    backups.put_back(settings_of(config_file, path), Path(directory), again=again)


@example("Example:\n  sudo headwater store compact")
@store.command("compact")
@config_option
@path_option
def store_compact(config_file: str | None, path: str | None) -> None:
    """Merge what came in many parts, now rather than when the engine finds time for it; also while the store is in use."""
    with of_the_extra():
        from headwater.apps import backups  # noqa: PLC0415 - likewise

    backups.compact(settings_of(config_file, path))


@example("Examples:\n  headwater export -o rows\n  headwater export --since 1d --table conn --format csv -o rows")
@click.command(cls=Command)
@config_option
@path_option
@click.option("-o", "--output", type=Named(), metavar="DIR", required=True, help="Write one file a table into DIR.")
@click.option("--since", type=Duration(), metavar="TIME", help="Rows of the last 1h, 7d, ... (default: all).")
@click.option("--table", "only", multiple=True, help="This one (default: all but sums of others).")
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "jsonl", "zeek", "zeek-json"]), default="parquet", show_default=True)
def export(config_file: str | None, path: str | None, output: str, since: float | None, only: tuple[str, ...], form: str) -> None:
    """Write what the store has into files."""
    with of_the_extra():
        from headwater.apps import exporting  # noqa: PLC0415 - likewise

    exporting.export(settings_of(config_file, path), since, Path(output), form, only)


@example(
    "Examples:\n  headwater import /opt/zeek/logs/2026-11-22\n  headwater import conn.log.gz eve.json\n"
    "  headwater import --follow /opt/zeek/logs/current /opt/zeek/logs"
)
@click.command("import", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=Named(), metavar="DIR|FILE...")
@click.option("--follow", is_flag=True, help="Then go on with what is written there, through rotation, until Ctrl-C or SIGTERM.")
@click.option("--again", is_flag=True, help="Take what was taken before as if it never was.")
@config_option
@path_option
def import_logs(paths: tuple[str, ...], follow: bool, again: bool, config_file: str | None, path: str | None) -> None:
    """Take logs of Zeek (TSV, JSON) and Suricata (eve.json) into the store, packed or not; of a directory all, rotated ones in order.

    Each row is taken once, however often the logs that have it are imported, and whatever they are called by then.
    """
    from headwater.apps import importing  # noqa: PLC0415 - likewise

    importing.read_in(paths, settings_of(config_file, path), follow=follow, again=again)
