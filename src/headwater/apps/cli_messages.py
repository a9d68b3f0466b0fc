"""The commands that show messages as they come, of captures, or of the store: `headwater dns`, `http`, `tls`."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import click

from headwater.apps.cli_store import settings_of
from headwater.apps.options import (
    Command,
    Duration,
    Named,
    config_option,
    example,
    filter_option,
    hook_option,
    interface_option,
    promiscuous_option,
    seconds_option,
)
from headwater.store.starting import of_the_extra

_FORMATS = ["table", "jsonl", "csv"]


def _command(name: str, record: str, what: str, wanted: str) -> click.Command:
    @example(
        f"Examples:\n  sudo headwater {name}\n  sudo headwater {name} -i eth0 '{wanted}'\n  headwater {name} trace.pcap '{wanted}'\n"
        f"  headwater {name} --since 1h '{wanted}'"
    )
    @click.command(
        name, cls=Command, help=f"Show {what}, for which a filter holds: as they come, those of captures, or with --since of the store."
    )
    @click.argument("words", nargs=-1, type=Named(), metavar="[CAPTURE...] [FILTER]")
    @click.option("--since", type=Duration(), metavar="TIME", help="Those of the store, of the last 1h, 7d, ..., the newest first.")
    @click.option("--format", "form", type=click.Choice(_FORMATS), help="table on a terminal, else jsonl.")
    @interface_option
    @config_option
    @filter_option
    @seconds_option
    @hook_option
    @promiscuous_option
    def command(
        words: tuple[str, ...],
        since: float | None,
        form: str | None,
        interfaces: tuple[str, ...],
        config_file: str | None,
        seconds: float | None,
        **flags: Any,
    ) -> None:
        from headwater.apps import messages  # noqa: PLC0415 - start-up matters

        files, text = messages.split(words)
        of_packets = {"--filter": flags["filter"]}
        of_live = {"-i": interfaces, "--for": seconds, "--hook": flags["hook"], "--promiscuous": flags["promiscuous"]}
        if since is not None:
            _must_not_be({files[0]: True} if files else of_packets | of_live, "--since is for the store")
            with of_the_extra():
                from headwater.apps import storing  # noqa: PLC0415 - likewise
            shown = [name for name, _, _ in messages.SHOWN[record]]
            storing.latest(settings_of(config_file, None), record, shown, since, text, form)
            return
        from headwater import config  # noqa: PLC0415 - likewise

        written = form or ("table" if sys.stdout.isatty() else "jsonl")
        as_table = written == "table"
        settings = config.load(Path(config_file) if config_file else None, {} if files else os.environ)
        if files:
            _must_not_be(of_live, f"{files[0]} is a capture")
            from headwater.apps import offline  # noqa: PLC0415 - likewise

            output = None if as_table else {**config.builtins_of(settings.output), "format": written, "directory": None}
            settings = config.override(settings, "the command line", output=output, **flags)
            offline.read(files, settings, (record,), as_table=as_table, where=text)
            return
        for word in words:
            if word in (there for _, there in socket.if_nameindex()):
                raise click.UsageError(f"{word} is an interface, which is chosen with: -i {word}")
        from msgspec.structs import replace  # noqa: PLC0415 - likewise

        from headwater.apps import live  # noqa: PLC0415 - likewise

        settings = config.override(
            settings,
            "the command line",
            interfaces=list(interfaces) or None,
            records=[record],
            detail="messages",
            output={} if as_table else {"format": written},
            sample=1,
            flow_filter="",
            packet_filter="",
            **flags,
        )
        live.run(replace(settings, grafana=None, store=None), seconds, where=text)

    return command


def _must_not_be(given: dict[str, Any], because: str) -> None:
    """Raises click.UsageError where one of them was given all the same."""
    if wrong := [option for option, value in given.items() if value]:
        raise click.UsageError(f"{because}, and {wrong[0]} is not for that: leave one of the two out")


COMMANDS = (
    _command("dns", "dns", "names that were asked for, and the answers", "rcode_name == NXDOMAIN"),
    _command("http", "http", "requests of HTTP, and the answers", "status_code >= 400"),
    _command("tls", "ssl", "handshakes of TLS", 'server_name contains "example"'),
)
