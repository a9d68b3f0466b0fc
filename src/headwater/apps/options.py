"""What the commands have in common: options, types of their values, and how mistakes are told."""

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from headwater.errors import NO_ROOM, OutputClosed, SinkError

if TYPE_CHECKING:
    from headwater import config

_UNITS = {"s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(click.ParamType[float]):
    """A time such as 10s, 5m, 1h30m, 500ms or 10."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        part = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
        if not re.fullmatch(rf"(?:{part})+|\d+(?:\.\d+)?", text):
            self.fail(f"{value!r} is not a time; write 10s, 5m or 1h30m", param, ctx)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(part, text) or [(text, "s")])
        if not seconds:
            self.fail("that is no time at all; leave it out to go on until Ctrl-C", param, ctx)
        return seconds


class Named(click.Path):
    """A path, with a name. Whether it can be read is told by who opens it, in one line and with an exit code of its own."""

    def __init__(self) -> None:
        super().__init__(readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path as it was given. Fails for an empty one: of an unset variable, most likely."""
        if not value:
            self.fail("it is empty; name one, or leave it out", param, ctx)
        return super().convert(value, param, ctx)


def example(text: str) -> Callable[[click.Command], click.Command]:
    """Put an example under a command's help."""

    def add(command: click.Command) -> click.Command:
        command.epilog = "\b\n" + text
        return command

    return add


@contextmanager
def _writing() -> Iterator[None]:
    """Raises OutputClosed or SinkError for what becomes of standard output. click would end a closed pipe with 1 by itself."""
    if sys.stdout is None:
        raise SinkError("standard output is closed: send it to a file or to /dev/null", retryable=False)
    try:
        yield
    except BrokenPipeError:
        raise OutputClosed from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise SinkError(f"standard output: no room left ({error.strerror}): free some, or choose another place", retryable=False) from None


class Command(click.Command):
    """A command whose every mistake is told with the command, and with what may be chosen."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options: of one that lacks its value click tells neither."""
        try:
            return super().parse_args(ctx, args)
        except click.BadOptionUsage as error:
            kind = next((param.type for param in self.params if error.option_name in param.opts), None)
            which = f": {' or '.join(kind.choices)}" if isinstance(kind, click.Choice) else ""
            raise click.BadOptionUsage(error.option_name, error.message.rstrip(".") + which, ctx) from None


class Commands(click.Group):
    """A group whose commands write to standard output, where anything may happen."""

    command_class = Command
    group_class = type

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        """Read the command line; --help and --version are written here."""
        with _writing():
            return super().make_context(*words, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _writing():
            return super().invoke(ctx)


def _interfaces(_context: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    names = [*sorted(name for _, name in socket.if_nameindex()), "any"]
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def _split(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Names with commas between them are several, as in INTERFACE_NAME."""
    names = [name.replace(",", " ").split() for name in given]
    if not all(names):
        raise click.BadParameter("it is empty; name an interface, or leave it out", ctx, param)
    return tuple(name for each in names for name in each)


interface_option = click.option(
    "-i",
    "--interface",
    "interfaces",
    multiple=True,
    metavar="IF",
    callback=_split,
    shell_complete=_interfaces,
    help='Listen here; several with commas between them; "any" for all.',
)
seconds_option = click.option("--for", "seconds", type=Duration(), help="Stop after this time, for instance 10s.")
hook_option = click.option(
    "--hook", type=click.Choice(["auto", "tcx", "clsact", "xdp", "af_packet"]), help="Where to see packets (default: auto)."
)
consume_option = click.option("--consume", is_flag=True, default=None, help="With --hook xdp: drop what was seen (mirror ports).")
promiscuous_option = click.option("--promiscuous", is_flag=True, default=None, help="See frames addressed to others (mirror ports).")
output_option = click.option(
    "-o",
    "--output",
    type=Named(),
    metavar="DIR",
    help="Write one file a record into DIR, in place of those of the same name; "
    "a name with a time in it (%Y%m%dT%H%M%S) is of this run alone.",
)
filter_option = click.option(
    "-f", "--filter", metavar="FILTER", help="Keep the packets for which this holds, for instance 'tcp.port == 443' (docs/filters.md)."
)
packet_filter_option = click.option(
    "--packet-filter", metavar="FILTER", help="Of these, make rows of the packets for which this holds; flows are made of all."
)
flow_filter_option = click.option(
    "--flow-filter", metavar="FILTER", help="Make rows of the flows for which this holds, for instance 'conn.failed' (docs/filters.md)."
)
sample_option = click.option("--sample", type=click.IntRange(1, 1_000_000), help="Of these, keep one in so many, at random.")
packets_option = click.option(
    "-w",
    "--write-packets",
    "packets",
    metavar="FILE",
    type=Named(),
    help='Write the packets that are kept to FILE, as pcapng; "-" is standard output.',
)
cut_option = click.option("--cut", type=click.Choice(["headers"]), help="With -w: cut packets behind their headers.")
config_option = click.option("-c", "--config", "config_file", type=Named(), metavar="FILE", help="A TOML file with settings.")
store_option = click.option("--store", "keep", is_flag=True, help="Keep rows in the store, where `headwater query` finds them.")


def keeping(settings: "config.Settings", keep: bool) -> "dict[str, Any]":
    """The change of settings that --store is."""
    from headwater.config import builtins_of  # noqa: PLC0415 - start-up matters

    return {"store": builtins_of(settings.kept())} if keep else {}
