"""The commands that show messages: `headwater dns`, `http`, `tls`."""

import sys
from pathlib import Path
from typing import Any

import click

from headwater.apps.cli_store import settings_of
from headwater.apps.options import Command, Duration, Named, config_option, example, filter_option
from headwater.store.starting import of_the_extra

_FORMATS = ["table", "jsonl", "csv"]


def _command(name: str, record: str, what: str, wanted: str) -> click.Command:
    @example(
        f"Examples:\n  headwater {name} trace.pcap\n  headwater {name} trace.pcap '{wanted}'\n  headwater {name} --since 1h '{wanted}'"
    )
    @click.command(name, cls=Command, help=f"Show {what}: those of captures, or with --since of the store, for which a filter holds.")
    @click.argument("words", nargs=-1, type=Named(), metavar="[CAPTURE...] [FILTER]")
    @click.option("--since", type=Duration(), metavar="TIME", help="Those of the store, of the last 1h, 7d, ..., the newest first.")
    @click.option("--format", "form", type=click.Choice(_FORMATS), help="table on a terminal, else jsonl.")
    @config_option
    @filter_option
    def command(words: tuple[str, ...], since: float | None, form: str | None, config_file: str | None, **flags: Any) -> None:
        from headwater.apps import messages  # noqa: PLC0415 - start-up matters

        files, text = messages.split(words)
        if since is not None and files:
            raise click.UsageError(f"--since is for the store, and {files[0]} would be a capture: leave one of the two out")
        if since is not None:
            with of_the_extra():
                from headwater.apps import storing  # noqa: PLC0415 - likewise
            storing.latest(settings_of(config_file, None), record, since, text, form)
            return
        if not files:
            raise click.UsageError("name captures to read, or the time with --since, for instance --since 1h")
        from headwater import config  # noqa: PLC0415 - likewise
        from headwater.apps import offline  # noqa: PLC0415 - likewise

        shown = form or ("table" if sys.stdout.isatty() else "jsonl")
        settings = config.load(Path(config_file) if config_file else None, {})
        output = None if shown == "table" else {**config.builtins_of(settings.output), "format": shown, "directory": None}
        settings = config.override(settings, "the command line", output=output, **flags)
        offline.read(files, settings, (record,), as_table=shown == "table", where=text)

    return command


COMMANDS = (
    _command("dns", "dns", "names that were asked for, and the answers", "rcode_name == NXDOMAIN"),
    _command("http", "http", "requests of HTTP, and the answers", "status_code >= 400"),
    _command("tls", "ssl", "handshakes of TLS", 'server_name contains "example"'),
)
