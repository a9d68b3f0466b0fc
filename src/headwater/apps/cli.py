"""The command `headwater`. Start-up matters here: what a command needs is imported when it runs."""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater import __version__
from headwater.apps import console, starting
from headwater.apps.cli_messages import COMMANDS
from headwater.apps.cli_store import export, import_logs, query, settings_of, store
from headwater.apps.options import (
    Commands,
    Duration,
    Named,
    config_option,
    consume_option,
    cut_option,
    example,
    filter_option,
    flow_filter_option,
    hook_option,
    interface_option,
    keeping,
    output_option,
    packet_filter_option,
    packets_option,
    promiscuous_option,
    sample_option,
    seconds_option,
    store_option,
)
from headwater.errors import ConfigError, HeadwaterError, OutputClosed, SinkError
from headwater.record_names import OF_CAPTURES, RECORDS
from headwater.store.starting import of_the_extra

if TYPE_CHECKING:
    from headwater.apps.outlets import WhereTo
    from headwater.interfaces import Detail

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts threads for matrices, of which we have none
DETAILS = ["flows", "messages", "packets", "rates"]
FORMATS = ["jsonl", "csv", "parquet", "arrow", "zeek", "zeek-json"]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n  sudo headwater run\n  headwater read trace.pcap",
)
@click.version_option(__version__, prog_name="headwater")
def cli() -> None:
    """Show what happens on this host's network, from the first packet header."""


@example(
    "Examples:\n  sudo headwater run\n  sudo headwater run -i eth0 -o rows --format parquet --for 10s\n"
    "  sudo headwater run -w trace.pcapng -f 'udp.port == 53'"
)
@cli.command(context_settings={"allow_extra_args": True})
@click.pass_context
@interface_option
@config_option
@output_option
@filter_option
@packet_filter_option
@flow_filter_option
@sample_option
@packets_option
@cut_option
@click.option(
    "--detail",
    type=click.Choice(DETAILS),
    help="What leaves the kernel: flows that it keeps itself, messages too, packets, or rates alone (default: what the records need).",
)
@click.option(
    "--record",
    "records",
    multiple=True,
    type=click.Choice(RECORDS),
    help="What to write (default: conn and weird; packet with --detail packets).",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="How to write it (default: jsonl).")
@click.option(
    "--rotate",
    "rotate_s",
    type=Duration(),
    metavar="TIME",
    help="With -o and --format zeek or zeek-json: how often logs are begun anew, and those before packed (default: 1h).",
)
@store_option
@seconds_option
@hook_option
@consume_option
@promiscuous_option
def run(
    ctx: click.Context,
    /,
    interfaces: tuple[str, ...],
    config_file: str | None,
    output: str | None,
    format_: str | None,
    rotate_s: float | None,
    seconds: float | None,
    packets: str | None,
    cut: str | None,
    keep: bool,
    **flags: Any,
) -> None:
    """Watch this host's network: its flows, what they say (--detail messages), or each packet (--detail packets)."""
    for word in ctx.args:
        capture = Path(word).is_file() or ".pcap" in word
        meant = f"a capture is read with: headwater read {word}" if capture else f"an interface is chosen with: -i {word}"
        raise click.UsageError(f"unexpected argument {word}; {meant}", ctx)
    from headwater import config  # noqa: PLC0415 - see the module's docstring
    from headwater.apps import live  # noqa: PLC0415

    _check_filters(flags)
    settings = config.load(_path(config_file), os.environ)
    files = {"directory": output, "format": format_, "rotate_s": rotate_s}
    changes = {key: value for key, value in files.items() if value is not None}
    settings = config.override(
        settings,
        "the command line",
        interfaces=list(interfaces) or None,
        records=list(flags.pop("records")) or None,
        output={**config.builtins_of(settings.output), **changes} if changes else None,
        **keeping(settings, keep),
        **flags,
    )
    lonely = os.environ.get("GRAFANA_TOKEN") and not settings.grafana
    said = ["GRAFANA_TOKEN is set, but no GRAFANA_URL: nothing is pushed to Grafana"] if lonely else []
    with _from_environment(interfaces):
        live.run(settings, seconds, *said, packets=_where_to(packets, cut))


@example(
    "Examples:\n  headwater read trace.pcap\n  headwater read *.pcapng.gz -o rows --format parquet\n  tcpdump -U -w - | headwater read -\n"
    "  headwater read *.pcap -w all.pcapng --cut headers"
)
@cli.command()
@click.argument("files", nargs=-1, required=True, type=Named(), metavar="FILE...")
@config_option
@output_option
@filter_option
@packet_filter_option
@flow_filter_option
@sample_option
@packets_option
@cut_option
@click.option(
    "--record",
    "records",
    multiple=True,
    type=click.Choice(OF_CAPTURES),
    help="What to write (default: conn; with -o also tunnel and weird, if there are any).",
)
@click.option("--format", "format_", type=click.Choice(["table", *FORMATS]), help="table on a terminal, else jsonl.")
@click.option("--no-services", is_flag=True, help="Do not look what flows speak: without messages, several times as fast.")
@click.option("--checksums", is_flag=True, help="Verify checksums: a packet whose checksum is wrong is a weird, and of no flow a part.")
@click.option("--extract", type=click.Path(), metavar="DIR", help="Write the files that flows carry into DIR, each under a name of ours.")
@click.option(
    "--extract-type", "types", multiple=True, metavar="TYPE", help="Only those of this MIME type: application/x-dosexec, image/*."
)
@click.option("--no-hashes", is_flag=True, help="Make no hashes of files.")
@click.option("--uid", "uids", multiple=True, metavar="UID", help="With -w: the packets of that flow alone; captures are read twice.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    metavar="N",
    help="Share what flows carry among so many processes, of which each wants a CPU and the memory of all flows (default: 1).",
)
@store_option
@click.option("--extra", is_flag=True, help="With --format zeek or zeek-json: our columns too, behind Zeek's fields.")
def read(
    files: tuple[str, ...],
    config_file: str | None,
    output: str | None,
    records: tuple[str, ...],
    format_: str | None,
    extra: bool,
    checksums: bool,
    no_services: bool,
    packets: str | None,
    cut: str | None,
    uids: tuple[str, ...],
    workers: int,
    keep: bool,
    **flags: Any,
) -> None:
    """Read captures (pcap, pcapng, also .gz and .zst; "-" is standard input): the flows in them, or the packets (--record packet).

    Several are read as one, in the order they are named in: let that be the order of time.
    """
    from headwater import config  # noqa: PLC0415 - see the module's docstring
    from headwater.apps import offline  # noqa: PLC0415

    _check_filters(flags)
    settings = config.load(_path(config_file), {})
    as_table = format_ == "table"
    changes = {"directory": output, "format": None if as_table else format_}
    given = {key: value for key, value in changes.items() if value is not None}
    files_given = _of_files(flags)
    settings = config.override(
        settings,
        "the command line",
        output={**config.builtins_of(settings.output), **given} if given else None,
        flows={**config.builtins_of(settings.flows), "services": False} if no_services else None,
        files={**config.builtins_of(settings.files), **files_given} if files_given else None,
        **keeping(settings, keep),
        **flags,
    )
    if extra and not (settings.output.format or "").startswith("zeek"):
        raise ConfigError("--extra", "goes with --format zeek or zeek-json: other formats have all columns")
    if "types" in files_given and not settings.files.directory:
        raise ConfigError("--extract-type", "says which files --extract DIR writes: name a directory too")
    to = _where_to(packets, cut)
    if workers > 1 and to:
        raise ConfigError("--workers", "one process writes packets: leave -w or this out")
    if not uids:
        offline.read(files, settings, records, as_table=as_table, packets=to, extra=extra, checksums=checksums, workers=workers)
        return
    from headwater.apps import picking  # noqa: PLC0415

    if not to or output or records or format_ or keep:
        raise ConfigError("--uid", "goes with -w alone: name the file for the packets, as in -w flow.pcapng")
    picking.write(files, settings, uids, to, checksums=checksums)


@example(
    "Examples:\n  sudo headwater flows\n  sudo headwater flows -i eth0 -f 'tcp.port == 443'\n  headwater flows trace.pcap\n"
    "  headwater flows --since 1h 'id.resp_p == 443 && conn_state == \"S0\"'\n"
    "  tcpdump -U -w - | headwater flows -"
)
@cli.command()
@click.argument("files", nargs=-1, type=Named(), metavar="[CAPTURE...]")
@click.option(
    "--since", type=Duration(), metavar="TIME", help="Those of the store instead, of the last 1h, 7d, ...; then a filter may follow."
)
@click.option("--format", "form", type=click.Choice(["table", "jsonl", "csv"]), help="With --since: table on a terminal, else jsonl.")
@interface_option
@config_option
@filter_option
@flow_filter_option
@seconds_option
@hook_option
@consume_option
@promiscuous_option
def flows(
    files: tuple[str, ...],
    interfaces: tuple[str, ...],
    config_file: str | None,
    seconds: float | None,
    since: float | None,
    form: str | None,
    **flags: Any,
) -> None:
    """Show flows on a terminal, live or those of captures; keys sort and filter them (? says which). Or print those of the store."""
    if since is not None:
        with of_the_extra():
            from headwater.apps import storing  # noqa: PLC0415 - see the module's docstring

        storing.flows(settings_of(config_file, None), since, " ".join(files) or flags["filter"] or "", form)
        return
    from headwater import config  # noqa: PLC0415 - see the module's docstring
    from headwater.apps.flows import command  # noqa: PLC0415

    _check_filters(flags)
    for word in files:
        if not Path(word).exists() and word in (name for _, name in socket.if_nameindex()):
            raise click.UsageError(f"{word} is no capture; an interface is chosen with: -i {word}")
    if files:
        names = {"interfaces": "-i", "seconds": "--for", **{name: f"--{name}" for name in ("hook", "consume", "promiscuous")}}
        given = {"interfaces": interfaces, "seconds": seconds, **flags}
        if wrong := [option for name, option in names.items() if given[name]]:
            raise click.UsageError(f"{wrong[0]} is for live flows, and {files[0]} would be a capture: leave one of the two out")
        settings = config.override(
            config.load(_path(config_file), {}), "the command line", filter=flags["filter"], flow_filter=flags["flow_filter"]
        )
        command.captures(files, settings)
        return
    settings = config.load(_path(config_file), os.environ)
    settings = config.override(settings, "the command line", interfaces=list(interfaces) or None, **flags)
    with _from_environment(interfaces):
        command.live(settings, seconds)


@example("Examples:\n  headwater doctor\n  headwater doctor --json | jq '.[] | select(.state != \"ok\")'")
@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--all", "everything", is_flag=True, help="Tell also what is fine, each by itself.")
@config_option
def doctor(as_json: bool, everything: bool, config_file: str | None) -> None:
    """Say what will work on this machine, what will not, why, and what to do about it."""
    from headwater import config  # noqa: PLC0415
    from headwater.apps import doctor as checks  # noqa: PLC0415

    sys.exit(checks.run(as_json, everything, config.load(_path(config_file), {})))


@example("Example:\n  sudo headwater demo --for 20s")
@cli.command()
@click.option("--for", "seconds", type=Duration(), help="Stop after this time.")
def demo(seconds: float | None) -> None:
    """Make two network namespaces with traffic of many kinds, watch it, and take everything away again."""
    from headwater import config  # noqa: PLC0415
    from headwater.apps import demo as show  # noqa: PLC0415
    from headwater.apps import live  # noqa: PLC0415

    def watch(names: list[str]) -> int:
        live.run(config.Settings(interfaces=tuple(names), detail="packets", user="root"), seconds)  # which takes the namespaces away again
        return 0

    sys.exit(show.run(watch, seconds))


cli.add_command(query)
cli.add_command(store)
cli.add_command(export)
cli.add_command(import_logs)
for _messages in COMMANDS:
    cli.add_command(_messages)


@cli.group("config")
def config_group() -> None:
    """Check or show the configuration."""


@example("Example:\n  headwater config check headwater.toml")
@config_group.command("check")
@click.argument("file", type=Named())
def config_check(file: str) -> None:
    """Check a configuration file; nothing is started."""
    from headwater import config  # noqa: PLC0415

    config.load(Path(file), os.environ)
    click.echo(f"{file}: ok")


@example("Example:\n  headwater config show -c headwater.toml")
@config_group.command("show")
@config_option
def config_show(config_file: str | None) -> None:
    """Show all settings as they would apply: defaults, file and environment."""
    from headwater import config  # noqa: PLC0415

    click.echo(config.show(config.load(_path(config_file), os.environ)), nl=False)


@example('Example:\n  eval "$(headwater completion bash)"')
@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion code."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - the choices are click's own
    click.echo(found(cli, {}, "headwater", "_HEADWATER_COMPLETE").source())


@cli.group("filter")
def filter_group() -> None:
    """See or change the filters of a Headwater that runs."""


pid_option = click.option("--pid", type=int, help="Which one, if several run.")


of_flows_option = click.option("--flows", is_flag=True, help="That of flows (--flow-filter of run).")
of_packets_option = click.option("--packets", is_flag=True, help="That of packets beside flows (--packet-filter of run).")


def _which(flows: bool, packets: bool) -> str:
    """As the configuration calls it."""
    if flows and packets:
        raise click.UsageError("--flows and --packets are two filters: leave one of the two out")
    return "flow_filter" if flows else "packet_filter" if packets else "filter"


@example(
    "Examples:\n  sudo headwater filter set 'ip.addr == 10.0.0.0/8 && !(tcp.port == 22)'\n"
    "  sudo headwater filter set --flows 'conn.failed'\n  sudo headwater filter set --packets 'udp.port == 53'"
)
@filter_group.command("set")
@click.argument("text", metavar="FILTER")
@of_flows_option
@of_packets_option
@pid_option
def filter_set(text: str, flows: bool, packets: bool, pid: int | None) -> None:
    """Keep the packets for which FILTER holds, from the next one on; or with --flows, the flows, from the next that ends on."""
    from headwater.apps import control  # noqa: PLC0415

    control.ask(pid, **{_which(flows, packets): text})


@example("Example:\n  sudo headwater filter show")
@filter_group.command("show")
@pid_option
def filter_show(pid: int | None) -> None:
    """Show the filter in force; where there are others than the main one, each by its name in the configuration."""
    from headwater.apps import control  # noqa: PLC0415

    in_force = control.ask(pid)
    if in_force["packet_filter"] or in_force["flow_filter"]:
        named = [(name, in_force[name]) for name in ("filter", "packet_filter", "flow_filter")]
        click.echo("\n".join(f"{name} = {json.dumps(text)}" for name, text in named if text))
    else:
        click.echo(in_force["filter"] or "(none: all packets are kept)")


@example("Examples:\n  sudo headwater filter clear\n  sudo headwater filter clear --flows")
@filter_group.command("clear")
@of_flows_option
@of_packets_option
@pid_option
def filter_clear(flows: bool, packets: bool, pid: int | None) -> None:
    """Keep all packets again, or all flows."""
    from headwater.apps import control  # noqa: PLC0415

    control.ask(pid, **{_which(flows, packets): ""})


@cli.group("detail")
def detail_group() -> None:
    """See or change what leaves the kernel of a Headwater that runs: flows, packets, or rates alone."""


@example("Example:\n  sudo headwater detail set packets")
@detail_group.command("set")
@click.argument("detail", type=click.Choice(DETAILS))
@pid_option
def detail_set(detail: "Detail", pid: int | None) -> None:
    """From the next packet on, let that leave the kernel; for rows of packets, the run must have --record packet."""
    from headwater.apps import control  # noqa: PLC0415

    control.ask(pid, detail=detail)


@example("Example:\n  sudo headwater detail show")
@detail_group.command("show")
@pid_option
def detail_show(pid: int | None) -> None:
    """Show what leaves the kernel."""
    from headwater.apps import control  # noqa: PLC0415

    click.echo(control.ask(pid)["detail"])


@contextmanager
def _from_environment(interfaces: tuple[str, ...]) -> Iterator[None]:
    """Names INTERFACE_NAME as the place of a mistake where that chose them: there is no such interface. Raises ConfigError."""
    try:
        yield
    except ConfigError as error:
        if interfaces or not os.environ.get("INTERFACE_NAME"):
            raise
        raise ConfigError("INTERFACE_NAME", str(error)) from error


def _of_files(flags: dict[str, Any]) -> dict[str, Any]:
    """What --extract, --extract-type and --no-hashes change of [files], taken out of `flags`."""
    found = {"directory": flags.pop("extract"), "types": list(flags.pop("types")) or None, "hashes": [] if flags.pop("no_hashes") else None}
    return {key: value for key, value in found.items() if value is not None}


def _where_to(packets: str | None, cut: str | None) -> "WhereTo | None":
    """Raises ConfigError."""
    if packets:
        from headwater.apps.outlets import WhereTo  # noqa: PLC0415 - see the module's docstring

        return WhereTo(packets, headers_only=cut is not None)
    if cut:
        raise ConfigError("--cut", "goes with -w FILE")
    return None


def _check_filters(flags: Mapping[str, Any]) -> None:
    """Raises FilterError, which shows the place, before a configuration is looked at."""
    from headwater.filters import FILTERS, understood  # noqa: PLC0415 - see the module's docstring

    for name, of in FILTERS.items():
        understood(flags.get(name) or "", of)


def _path(name: str | None) -> Path | None:
    return Path(name) if name else None


def _tell(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"headwater: {line}", err=True)


def _mistake(error: click.ClickException) -> str:
    """What click says in four lines, in one that ends with where to read more."""
    said = " ".join(error.format_message().split()).rstrip(".")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said[:1].lower()}{said[1:]}{' -' if said.endswith('?') else ';'} see {ctx.command_path if ctx else 'headwater'} --help"


def main() -> None:
    """Run the command; each failure is one line (a wrong configuration: one a mistake) and an exit code, never a traceback."""
    console.open_stderr()
    starting.prepare()
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _tell(_mistake(error))
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except HeadwaterError as error:
        if not isinstance(error, OutputClosed):
            _tell(str(error))
        if isinstance(error, SinkError) and sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own flush at exit finds an open file
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("HEADWATER_DEBUG"):
            raise
        _tell(f"internal error ({type(error).__name__}: {error}); please report it with HEADWATER_DEBUG=1 set")
        sys.exit(70)
