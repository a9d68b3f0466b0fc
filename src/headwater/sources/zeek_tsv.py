"""Zeek's logs as its ASCII writer has them: lines of cells behind a header that says what they are (src/logging/writers/ascii/Ascii.cc).

The header may come again within a file, with other fields, where logs were put behind one another or Zeek was started anew.
"""

import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from headwater.records.log_columns import is_known, schema
from headwater.records.zeek_types import LOGS
from headwater.sources.log_lines import Notes, pieces
from headwater.sources.log_values import batch_of, from_text, unescape

FIELDS_MAX = 1024
NAME_MAX = 256  # letters of a field's name
PATHS_MAX = 256  # logs in one file
CELLS = 1 << 22  # of a batch
PATH = re.compile(r"[A-Za-z_][\w-]{0,63}", re.ASCII)
_KEYWORDS = ("separator", "set_separator", "empty_field", "unset_field", "path", "fields", "types")
_DEFAULTS = {"separator": "\t", "set_separator": ",", "empty_field": "(empty)", "unset_field": "-"}


class TsvLog:
    """Reads blocks of one log. `path` is what the file's name says that the log is; its header knows better."""

    format = "tsv"

    def __init__(self, path: str, notes: Notes, header: Mapping[str, str] | None = None) -> None:
        self._name = path
        self._notes = notes
        self._header: dict[str, str] = dict(header or {})
        self._schema: pa.Schema | None = None
        self._paths: set[str] = set()
        if header:
            self._settle(0)

    def state(self) -> dict[str, Any]:
        """What a later reader of the same file needs, as JSON can hold it."""
        return dict(self._header)

    def read(self, number: int, block: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(path, rows) of whole lines, the first of which is line `number`."""
        begin = 0
        at = 0 if block.startswith(b"#") else block.find(b"\n#") + 1
        while at or block.startswith(b"#", begin):
            yield from self._cells(number, block[begin:at])
            number += block.count(b"\n", begin, at)
            begin = block.index(b"\n", at) + 1
            self._said(number, block[at : begin - 1].removesuffix(b"\r"))
            number += 1
            at = begin if block.startswith(b"#", begin) else block.find(b"\n#", begin) + 1
        yield from self._cells(number, block[begin:])

    # -- the header -----------------------------------------------------------------------------------------------------------------

    def _said(self, number: int, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        if text.startswith("#separator"):
            said = unescape(line[len("#separator") :].strip(b" ")).strip(" ") or "\t"
            self._header, self._schema = {"separator": said}, None
            return
        keyword, _, said = text[1:].partition(self._header.get("separator", "\t"))
        if keyword not in _KEYWORDS:
            return  # when it was opened or closed, or a remark
        if keyword in {"fields", "types"} and said == self._header.get(keyword) and self._schema:
            return
        if keyword == "fields":
            self._header.pop("types", None)
        self._header[keyword] = said
        self._settle(number)

    def _settle(self, number: int) -> None:
        """Make the schema of what the header has said so far."""
        self._schema = None
        names = self._list("fields")
        types = self._list("types")
        if not names or not types:
            return
        fit = len(names) == len(types) == len(set(names)) <= FIELDS_MAX and all(0 < len(name) <= NAME_MAX for name in names)
        self._paths.add(self.path)
        if not fit or len(self._paths) > PATHS_MAX:
            self._notes.say(number, f"a header of {len(names)} fields and {len(types)} types is none: its rows are left out")
            return
        for name, of in zip(names, types, strict=True):
            if not is_known(of):
                self._notes.learn(number, f"{name} is of type {of}, which is not known: it is kept as text")
        self._schema = schema(dict(zip(names, types, strict=True)), self.path, "zeek")

    def _list(self, keyword: str) -> list[str]:
        said = self._header.get(keyword)
        return said.split(self._header.get("separator", "\t")) if said else []

    @property
    def path(self) -> str:
        """What Zeek calls the log."""
        said = self._header.get("path", "")
        return said if PATH.fullmatch(said) else self._name

    # -- rows -----------------------------------------------------------------------------------------------------------------------

    def _cells(self, number: int, text: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
        if not text:
            return
        if self._schema is None and not self._presumed():
            self._notes.count("header", text.count(b"\n"), number, "rows without a header of #fields and #types are left out")
            return
        assert self._schema is not None  # noqa: S101 - else we had returned
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", rb"\x0d")  # which Arrow would take for an end of line
        if (separator := self._octets("separator")) != b"\t":
            text = text.replace(b"\t", rb"\x09").replace(separator, b"\t")
        for piece in pieces(text, min(1 << 16, CELLS // len(self._schema))):
            yield from self._rows(number, piece, self._schema)
            number += piece.count(b"\n")

    def _presumed(self) -> bool:
        """Where there is no #types line, the types that Zeek's own log has."""
        names, known = self._list("fields"), LOGS.get(self.path, {})
        if "types" in self._header or not names or not all(name in known for name in names) or len(set(names)) < len(names):
            return False
        self._schema = schema({name: known[name] for name in names}, self.path, "zeek")
        return True

    def _octets(self, keyword: str) -> bytes:
        return self._header.get(keyword, _DEFAULTS[keyword]).encode()

    def _rows(self, number: int, text: bytes, columns: pa.Schema) -> Iterator[tuple[str, pa.RecordBatch]]:
        octets = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(octets == ord("\n"))
        tabs = np.diff(np.searchsorted(np.flatnonzero(octets == ord("\t")), ends), prepend=0)
        numbers = number + np.arange(len(ends))
        whole = tabs == len(columns) - 1
        if not whole.all():
            for row in np.flatnonzero(~whole).tolist():
                self._notes.skip("fields", number + row, f"{tabs[row] + 1} fields where the header has {len(columns)}: left out")
            text = octets[np.repeat(whole, np.diff(ends, prepend=-1))].tobytes()
            numbers = numbers[whole]
        if not len(numbers):
            return
        names = [str(place) for place in range(len(columns))]
        cells = csv.read_csv(
            BytesIO(text),
            csv.ReadOptions(use_threads=False, column_names=names, block_size=len(text) + 1),
            csv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()),
                null_values=[self._header.get("unset_field", _DEFAULTS["unset_field"])],
                strings_can_be_null=True,
            ),
        )
        marks = {"unset": self._octets("unset_field"), "empty": self._octets("empty_field"), "separator": self._octets("set_separator")}
        made = [
            (column, from_text(chunks.combine_chunks(), column, **marks)) for column, chunks in zip(columns, cells.columns, strict=True)
        ]
        yield self.path, batch_of(made, numbers, self._notes, columns.metadata)
