"""Files that a user has of whose networks are whose: read whole, into sorted ranges and the columns that they give.

Autonomous systems: .mmdb of MaxMind, DB-IP or IPinfo, or iptoasn.com's ip2asn-*.tsv, gzipped or not. Cities and countries: .mmdb of theirs.
"""

import gzip
import io
import os
import re
import socket
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from headwater.analysis.mmdb import Malformed, Mmdb, Section
from headwater.analysis.ranges import Array, Ranges, ranges
from headwater.errors import ConfigError
from headwater.records.address import MAPPED
from headwater.records.columns import strings

What: TypeAlias = Literal["asn", "city"]

_WANTED: dict[What, str] = {
    "asn": "an .mmdb of autonomous systems, or iptoasn.com's ip2asn-combined.tsv,",
    "city": "an .mmdb of cities",
}
OLD = timedelta(days=90)
"""From when on somebody should be told."""

_MOST_OCTETS = 2 << 30  # of a file, unpacked
_MOST_LETTERS = 128  # of a name
V4 = int.from_bytes(MAPPED) << 32
_NUMBERS = ("autonomous_system_number",), ("asn",)
_ORGANIZATIONS = ("autonomous_system_organization",), ("as_name",), ("name",)
_CITIES = ("city", "names", "en"), ("city",)
_COUNTRIES = ("country", "iso_code"), ("country_code",), ("country",)


@dataclass(frozen=True)
class Words:
    """A column's words by code: the place of each code's word in `words`, which has each once; -1 for none."""

    place: Array
    words: pa.StringArray

    def of(self, codes: Array) -> tuple[Array, pa.StringArray]:
        """The place of each code's word among those that these codes have, and those."""
        wanted = self.place[codes]
        there = np.zeros(len(self.words) + 1, np.bool_)  # the last is -1's
        there[wanted] = True
        used = np.flatnonzero(there[:-1])
        place = np.empty(len(there), np.int32)
        place[-1] = -1
        place[used] = np.arange(len(used), dtype=np.int32)
        return place[wanted], self.words.take(pa.Array.from_buffers(pa.int64(), len(used), [None, pa.py_buffer(used)]))


def words(by_code: list[str]) -> Words:
    """The words of codes from 0 on; "" is none."""
    places = {word: place for place, word in enumerate(dict.fromkeys(word for word in by_code if word))}
    return Words(np.array([places.get(word, -1) for word in by_code], np.int32), strings(places))


@dataclass(frozen=True)
class Database:
    """A file, read: what its maker calls it, when it was built, and for each code of its ranges a number (of an AS) and words by column.

    Code 0 is that of addresses of which the file says nothing.
    """

    about: str
    built: datetime
    ranges: Ranges
    words: dict[str, Words]
    numbers: Array


def load(path: Path, what: What) -> Database:
    """The database at `path`. Raises ConfigError, which says what is wrong with it and what to do."""
    try:
        data, modified = _read(path)
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data)
        if what == "asn" and re.match(rb"[\da-fA-F:.]+\t", data):
            return _of_lines(data, modified)
        return _of_mmdb(Mmdb(data), what)
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot be read: {error.strerror or error}; give {_WANTED[what]} that this account may read"
        ) from error
    except (Malformed, MemoryError) as error:
        raise ConfigError(str(path), f"cannot be used: {error or 'no memory for it'}; give {_WANTED[what]}") from error


def _read(path: Path) -> tuple[bytes, float]:
    """A file's octets, and when it was written."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Malformed("it is no file")
        if about.st_size > _MOST_OCTETS:
            raise Malformed(f"it has more than {_MOST_OCTETS >> 30} GiB")
        return file.read(_MOST_OCTETS), about.st_mtime


def _unpacked(data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            plain = file.read(_MOST_OCTETS + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Malformed(f"its compression is broken ({error})") from error
    if len(plain) > _MOST_OCTETS:
        raise Malformed(f"it has more than {_MOST_OCTETS >> 30} GiB, unpacked")
    return plain


# -- .mmdb -------------------------------------------------------------------------------------------------------------------------


def _of_mmdb(file: Mmdb, what: What) -> Database:
    found, records, section = file.records()
    built = _time(file.built)
    about = f"{plain(file.kind) or 'a database'} of {built:%Y-%m-%d}"
    if what == "asn":
        numbers, (organizations,) = _columns(section, records, _ORGANIZATIONS, number=_as_number)
        if not numbers.any():
            raise Malformed(f"{about} has no numbers of autonomous systems")
        return Database(about, built, found, {"as_org": organizations}, numbers)
    none, (cities, countries) = _columns(section, records, _CITIES, _COUNTRIES)
    if not len(cities.words) and not len(countries.words):
        raise Malformed(f"{about} has neither cities nor countries")
    return Database(about, built, found, {"city": cities, "country": countries}, none)


def _columns(
    section: Section, records: Array, *paths: tuple[tuple[str, ...], ...], number: Callable[[Section, int], int] = lambda _, __: 0
) -> tuple[Array, list[Words]]:
    """Of each record a number, and the first word that each of `paths` leads to."""
    numbers = np.zeros(len(records), np.uint32)
    found: list[list[str]] = [[""] for _ in paths]
    for code, at in enumerate(records.tolist()[1:], 1):
        numbers[code] = number(section, at)
        for column, ways in zip(found, paths, strict=True):
            column.append(next((word for way in ways if (word := plain(section.text(at, *way)))), ""))
    return numbers, [words(column) for column in found]


def _as_number(section: Section, at: int) -> int:
    for path in _NUMBERS:
        if found := section.number(at, *path) or _number(section.text(at, *path)):
            return found if found < 1 << 32 else 0
    return 0


def _number(text: str) -> int:
    """15169 for AS15169; 0 for what is none."""
    digits = text.removeprefix("AS")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0


def _time(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def plain(text: str) -> str:
    """A stranger's text as a name: one line that can be printed, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in text.strip()[:_MOST_LETTERS])


# -- iptoasn.com -------------------------------------------------------------------------------------------------------------------


def _of_lines(data: bytes, modified: float) -> Database:
    """Lines of first address, last address, number, country and name of the AS, with tabs between; 0 is for what nobody announces."""
    codes: dict[tuple[int, str], int] = {(0, ""): 0}
    first: tuple[dict[int, int], ...] = ({}, {})  # IPv4, IPv6
    after: tuple[dict[int, int], ...] = ({}, {})
    for begin, end, number, name in _lines(data):
        family, base = (0, V4) if begin >> 32 == V4 >> 32 and end >> 32 == V4 >> 32 else (1, 0)
        code = codes.setdefault((number, name if number else ""), len(codes))
        first[family][begin - base] = code
        if end - base + 1 < 1 << (128 if family else 32):
            after[family][end - base + 1] = 0
    if len(codes) == 1:
        raise Malformed("no line of it has the number of an autonomous system")
    built = _time(int(modified))
    found = ranges(*({**gaps, **begins}.items() for gaps, begins in zip(after, first, strict=True)))
    numbers = np.array([number for number, _ in codes], np.uint32)
    return Database(f"ip2asn of {built:%Y-%m-%d}", built, found, {"as_org": words([name for _, name in codes])}, numbers)


def _lines(data: bytes) -> Iterator[tuple[int, int, int, str]]:
    for place, line in enumerate(io.BytesIO(data), 1):
        fields = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")
        try:
            begin, end, number = _address(fields[0]), _address(fields[1]), int(fields[2])
            if not (begin <= end and 0 <= number < 1 << 32):
                raise ValueError
        except (ValueError, IndexError, OSError):
            raise Malformed(f"line {place} is not one of ip2asn's") from None
        yield begin, end, number, plain(fields[4]) if len(fields) > 4 else ""


def _address(text: str) -> int:
    if ":" in text:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text))
    return V4 | int.from_bytes(socket.inet_pton(socket.AF_INET, text))
