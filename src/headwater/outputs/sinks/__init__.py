"""One file a sink or a format of files. This module is their register: a test fails if a file is not in it."""

from importlib import import_module
from typing import TypeAlias, cast

from headwater.outputs.files import Files, Format
from headwater.outputs.sinks.grafana import Grafana

AnySink: TypeAlias = Files | Grafana

FORMATS = {
    "jsonl": "jsonl:JsonLines",
    "csv": "csv:Csv",
    "parquet": "parquet:Parquet",
    "arrow": "arrow:Arrow",
    "zeek": "zeek:Zeek",
    "zeek-json": "zeek_json:ZeekJson",
}
"""For Files: where the class of each name is. Only one is loaded: pyarrow alone takes 0.1 s and 40 MB, and a live view needs none of it."""


def form_of(name: str) -> type[Format]:
    """The format of that name."""
    module, _, kind = FORMATS[name].partition(":")
    return cast(type[Format], getattr(import_module(f"{__name__}.{module}"), kind))
