"""How Zeek writes values in its logs: in its TSV, what is escaped and the lines around rows; in its JSON, times."""

import time
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.outputs.text import ANY_HARMFUL, HARMFUL, joined, literal

UNSET, EMPTY = "-", "(empty)"
END, TRUE, FALSE = literal("\n"), literal("T"), literal("F")
_SPECIAL = f"[\\\\{ANY_HARMFUL}]"
_MILLIS, _MICROS = pa.array([f".{number:03d}" for number in range(1000)]), pa.array([f"{number:03d}" for number in range(1000)])


def header(path: str, fields: Mapping[str, str]) -> bytes:
    """The lines that tell a reader all about those behind them: `fields` are names and Zeek's types."""
    lines = [
        r"#separator \x09",
        "#set_separator\t,",
        f"#empty_field\t{EMPTY}",
        f"#unset_field\t{UNSET}",
        f"#path\t{path}",
        f"#open\t{_now()}",
        "\t".join(["#fields", *fields]),
        "\t".join(["#types", *fields.values()]),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def closing() -> bytes:
    """The last line."""
    return f"#close\t{_now()}\n".encode()


def _now() -> str:
    return time.strftime("%Y-%m-%d-%H-%M-%S")  # the local time, as Zeek's


def seconds(values: pa.Array) -> pa.Array:
    """Microseconds as seconds with six decimals; null where null."""
    micros = np.asarray(values.fill_null(0))
    whole = micros // 1_000_000
    micros = micros - whole * 1_000_000
    millis = micros // 1000
    micros -= millis * 1000
    there = pc.if_else(values.is_valid(), pa.array(whole), None) if values.null_count else pa.array(whole)
    return joined([there.cast(pa.string()), _MILLIS.take(pa.array(millis)), _MICROS.take(pa.array(micros))], "emit_null")


def escape(words: pa.Array) -> pa.Array:
    """Text as a field. What would be read as unset or as empty has its first octet escaped."""
    if pc.any(pc.match_substring_regex(words, _SPECIAL)).as_py():
        words = pc.replace_substring(words, "\\", "\\\\")
        for code in HARMFUL:
            words = pc.replace_substring(words, chr(code), "".join(f"\\x{octet:02x}" for octet in chr(code).encode()))
    for reserved in (UNSET, EMPTY):
        words = pc.if_else(pc.equal(words, reserved), f"\\x{ord(reserved[0]):02x}{reserved[1:]}", words)
    return pc.if_else(pc.equal(words, ""), EMPTY, words)


def doubles(values: pa.Array) -> pa.Array:
    """Microseconds as seconds: the shortest text that is read as that double; null where null."""
    there = pc.divide(values.cast(pa.float64()), 1e6)
    text = there.cast(pa.string())
    whole = pc.equal(there, pc.floor(there))
    return pc.if_else(whole, pc.binary_join_element_wise(text, literal(".0"), ""), text) if pc.any(whole).as_py() else text
