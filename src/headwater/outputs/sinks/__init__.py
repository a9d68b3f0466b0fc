"""One file a sink or a format of files. This module is their register: a test fails if a file is not in it."""

from typing import TypeAlias

from headwater.outputs.files import Files, Format
from headwater.outputs.sinks.grafana import Grafana

AnySink: TypeAlias = Files | Grafana


def formats() -> tuple[type[Format], ...]:
    """For Files, chosen by their name. A function, because pyarrow takes 0.1 s and 40 MB to load, and a live view needs none of it."""
    from headwater.outputs.sinks.arrow import Arrow  # noqa: PLC0415 - as said
    from headwater.outputs.sinks.csv import Csv  # noqa: PLC0415
    from headwater.outputs.sinks.jsonl import JsonLines  # noqa: PLC0415
    from headwater.outputs.sinks.parquet import Parquet  # noqa: PLC0415
    from headwater.outputs.sinks.zeek import Zeek  # noqa: PLC0415
    from headwater.outputs.sinks.zeek_json import ZeekJson  # noqa: PLC0415

    return (JsonLines, Csv, Parquet, Arrow, Zeek, ZeekJson)
