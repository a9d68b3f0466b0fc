"""The configuration: one TOML file for everything, checked before anything starts.

The command line wins over the environment (INTERFACE_NAME, GRAFANA_URL, GRAFANA_TOKEN), which wins over the file. docs/configuration.md is
made from the types and docstrings here.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from headwater.errors import ConfigError
from headwater.outputs.sinks.grafana import GrafanaSettings

Hook = Literal["auto", "tcx", "xdp", "af_packet"]
Format = Literal["jsonl", "csv", "parquet", "arrow"]


class OutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files.

    directory: one file a record is written here; it is made if it is missing.
    format: of those files (jsonl unless set). Set without a directory, rows go to standard output, unless that is a terminal.
    """

    directory: str | None = None
    format: Format | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set.

    interfaces: names to listen on; empty takes those with a default route and the other physical ones; "any" takes all.
    hook: where packets are seen; "auto" takes tcx, or AF_PACKET where the kernel has no tcx.
    consume: with hook "xdp", drop what was seen (for a mirror port, which has no other use).
    generic_xdp: with hook "xdp", accept the slow generic mode where the driver has no native one.
    promiscuous: ask the card for frames that are addressed to others, as a mirror port needs.
    ring_bytes: room for rows between kernel and user space, for each CPU; a power of two.
    records: what is written and sent; the ledger always is.
    """

    interfaces: tuple[str, ...] = ()
    hook: Hook = "auto"
    consume: bool = False
    generic_xdp: bool = False
    promiscuous: bool = False
    ring_bytes: Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)] = 16 << 20
    records: tuple[Literal["packet", "rate"], ...] = ("packet",)
    output: OutputSettings = OutputSettings()
    grafana: GrafanaSettings | None = None

    def __post_init__(self) -> None:
        """Checks that types cannot express; msgspec turns ValueError into its own error with the place."""
        if self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(f"ring_bytes must be a power of two, for instance {1 << self.ring_bytes.bit_length() - 1}")
        if self.consume and self.hook != "xdp":
            raise ValueError('consume needs hook = "xdp"')


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at `path` (None: the defaults) with the environment's over them. Raises ConfigError, naming the place."""
    text = _read(path) if path else ""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"not TOML: {error}") from error
    where = str(path) if path else "the environment"
    if environ.get("INTERFACE_NAME"):
        raw["interfaces"] = environ["INTERFACE_NAME"].replace(",", " ").split()
    grafana = {key: environ[name] for key, name in (("url", "GRAFANA_URL"), ("token", "GRAFANA_TOKEN")) if environ.get(name)}
    if "url" in grafana or (grafana and "grafana" in raw):
        raw["grafana"] = {**raw.get("grafana", {}), **grafana}
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(*_explain(where, text, str(error))) from error


def override(settings: Settings, where: str, **changes: object) -> Settings:
    """The settings with those of the command line over them; None leaves one as it is. Raises ConfigError."""
    raw = msgspec.to_builtins(settings)
    raw.update({key: value for key, value in changes.items() if value is not None})
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(*_explain(where, "", str(error))) from error


def show(settings: Settings) -> str:
    """The settings as a TOML file, the token withheld."""
    raw = msgspec.to_builtins(settings)
    if raw["grafana"]:
        raw["grafana"]["token"] = "(set)" if raw["grafana"]["token"] else ""
    tables = {key: value for key, value in raw.items() if isinstance(value, dict)}
    plain = {key: value for key, value in raw.items() if key not in tables}
    blocks = [_assignments(plain)] + [f"[{name}]\n{_assignments(values)}" for name, values in tables.items()]
    return "\n".join(blocks)


def _assignments(values: Mapping[str, object]) -> str:
    """TOML of plain values; JSON spells strings, numbers, booleans and lists of them as TOML does."""
    return "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in values.items() if value is not None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"not UTF-8 text (byte {error.start})") from error


def _explain(where: str, text: str, problem: str) -> tuple[str, str]:
    """msgspec's message with the file's line and the nearest known name."""
    message, _, place = problem.partition(" - at `$")
    path = [key for key in re.split(r"[.\[\]`]+", place) if key and not key.isdigit() and key != "..."]
    if unknown := re.match(r"Object contains unknown field `(.+)`", message):
        path.append(unknown[1])
        known = [field for kind in (Settings, OutputSettings, GrafanaSettings) for field in kind.__struct_fields__]
        near = difflib.get_close_matches(unknown[1], known, 1)
        message = f"`{'.'.join(path)}` is not a setting" + (f"; did you mean `{near[0]}`?" if near else "; see docs/configuration.md")
    elif path:
        message = f"`{'.'.join(path)}`: {message[:1].lower()}{message[1:]}"
    line = _line_of(text, path)
    return (f"{where}, line {line}" if line else where), message


def _line_of(text: str, path: list[str]) -> int:
    """The line that sets the last key of `path`, within its table; 0 if it is not to be found."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            table = header[1].split(".")
            if table == path:
                return number
        elif (key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line)) and table + key[1].split(".") == path:
            return number
    return 0
