"""Names for what rows have as numbers, on their way into the store: country, autonomous system, city and scope of each address, the service
of a port, the vendor of a MAC. From tables and files on this machine, never by asking a network.

Each distinct value of a batch is named once. What a column is decides, never which record it belongs to:

- a column of addresses gives `country`, `asn`, `as_org`, `city` and `scope`, a column of MACs `vendor`, with the side before it:
  orig_country of id.orig_h, client_scope of client_addr, src_vendor of l2_src;
- `service_name` is that of the responder's port (id.resp_p), else of the one port that a row has, else of the lower of two.

Sources: countries are those that a registry (RIR) gave an address to, as the package iptocc has them, unless the file of cities tells where
it is used; scopes are of IANA's registries of special-purpose and multicast addresses; services and vendors are those of
analysis/names.py. Its services come with this package, because /etc/services is missing in containers, differs between hosts, and names
ports that nobody uses.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count, product
from pathlib import Path
from string import ascii_uppercase
from typing import TypeAlias

import iptocc
import numpy as np
import pyarrow as pa

from headwater._native import ffi, lib
from headwater.analysis import names
from headwater.analysis.databases import V4, Database, What, Words, load, words
from headwater.analysis.ranges import Addresses, Array, Ranges, octets, ranges, valid
from headwater.errors import ConfigError
from headwater.records import Batch, Column
from headwater.records.columns import made
from headwater.records.schema import Kind
from headwater.records.stored import to_stored

Made: TypeAlias = tuple[pa.Field, pa.Array]
"""A column of names."""

_ENUM, _COUNT = {b"kind": b"enum"}, {b"kind": b"count"}
_KINDS = {b"address": 16, b"mac": 6}  # of fields, and their octets
_PROTOCOLS = {"tcp": 6, "udp": 17}
_PORTS = (("id.resp_p",), ("port",), ("sport", "dport"))
_NUMBERS = {"proto", *(name for ports in _PORTS for name in ports)}
_NO_WORDS = dict.fromkeys(("as_org", "city", "country"), words([""]))
_NOTHING = Database("", datetime.fromtimestamp(0, UTC), ranges([], []), _NO_WORDS, np.zeros(1, np.uint32))


class Names:
    """Makes the columns of names. `country`, `asn` and `city` say which there are; the latter are files (analysis/databases.py).

    Construct it, and call look() before the first rows, and then every few seconds, by any one thread.
    """

    def __init__(self, *, country: bool = True, asn: Path | str | None = None, city: Path | str | None = None) -> None:
        self._country = country
        self._asn = _File(asn, "asn")
        self._city = _File(city, "city")

    def look(self) -> list[str]:
        """Read the files that are new or other ones than before. A line for each that cannot be used: what was read before stays."""
        return [problem for file in (self._asn, self._city) if (problem := file.look())]

    def columns(self, batch: Batch, stored: pa.RecordBatch | None = None) -> list[Made]:
        """Columns for the rows of `batch`, in its order; their fields say whether they are an enum or a count. Null is what has no name.
        `stored` is what to_stored() makes of it, which of messages takes long, from who has it.
        """
        if any(column.zeek for column in batch.record.columns):
            return self.of_table(to_stored(batch) if stored is None else stored)
        values, numbers = {}, {}
        for column in batch.record.columns:
            if column.kind in (Kind.ADDRESS, Kind.MAC):
                raw = np.ascontiguousarray(batch.rows[column.name])
                values[column.name] = made(pa.binary(raw.itemsize), len(batch), [raw.view(np.uint8)], batch.present(column.name))
            elif column.name in _NUMBERS:
                numbers[column.name] = _of_batch(batch, column)
        return self._made(values, numbers, {column.name for column in batch.record.columns})

    def of_table(self, table: "pa.Table | pa.RecordBatch") -> list[Made]:
        """Likewise for an Arrow table. Addresses (16 octets, IPv4 mapped) and MACs (6) are fields whose metadata has them as `kind`."""
        values, numbers = {}, {}
        for field, column in zip(table.schema, table.columns, strict=True):
            array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            width = _KINDS.get((field.metadata or {}).get(b"kind", b""))
            if width and array.type == pa.binary(width):
                values[field.name] = array
            elif field.name in _NUMBERS:
                numbers[field.name] = _of_array(array)
        return self._made(values, numbers, set(table.schema.names))

    def _made(self, values: Mapping[str, pa.Array], numbers: Mapping[str, Array], taken: set[str]) -> list[Made]:
        sides = {
            _side(name): self._of_addresses(Addresses(octets(array, 16), valid(array)))
            for name, array in values.items()
            if array.type.byte_width == 16
        }
        found = [(f"{side}_{name}", by_name[name]) for name in next(iter(sides.values()), ()) for side, by_name in sides.items()]
        found += [("service_name", _services(numbers, ports)) for ports in _PORTS if {"proto", *ports} <= set(numbers)][:1]
        found += [(f"{_side(name)}_vendor", _vendors(array)) for name, array in values.items() if array.type.byte_width == 6]
        return [
            (pa.field(name, array.type, metadata=_ENUM if pa.types.is_dictionary(array.type) else _COUNT), array)
            for name, array in found
            if name not in taken  # an imported log may have such a column itself
        ]

    def _of_addresses(self, addresses: Addresses) -> dict[str, pa.Array]:
        asn, city = self._asn.database, self._city.database
        in_city = city.ranges.find(addresses)
        found = {}
        if self._country:
            found["country"] = _column(*_countries(addresses, city.words["country"], in_city), addresses.rows)
        if self._asn.path:
            in_asn = asn.ranges.find(addresses)
            numbers = np.append(asn.numbers[in_asn], np.uint32(0))[addresses.rows]
            found["asn"] = made(pa.uint32(), len(numbers), [numbers], numbers != 0)
            found["as_org"] = _column(*asn.words["as_org"].of(in_asn), addresses.rows)
        if self._city.path:
            found["city"] = _column(*city.words["city"].of(in_city), addresses.rows)
        scopes, kinds = _scopes()
        found["scope"] = _column(*kinds.of(scopes.find(addresses)), addresses.rows)
        return found


class _File:
    """A database, read again when its file is another one."""

    def __init__(self, path: Path | str | None, what: What) -> None:
        self.path = Path(path) if path else None
        self.database = _NOTHING
        self._what = what
        self._read: object = ()  # what is known of the file that was read, and of the one that the last look found
        self._seen: object = ()

    def look(self) -> str:
        """Read what is new, once it is as it was at the last look: it may still be written. What is wrong with it, or ""."""
        if self.path is None:
            return ""
        seen, self._seen = self._seen, _stamp(self.path)
        if self._seen == self._read or (self._read != () and self._seen != seen):
            return ""
        self._read = self._seen
        try:
            self.database = load(self.path, self._what)
        except ConfigError as error:
            return f"{error}; {'addresses have no such names' if self.database is _NOTHING else 'the one before stays'} until then"
        return ""


def _stamp(path: Path) -> object:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


# -- columns -----------------------------------------------------------------------------------------------------------------------


def _side(name: str) -> str:
    """orig of id.orig_h and orig_l2_addr, client of client_addr, src of l2_src."""
    name = name.removeprefix("id.").removeprefix("l2_")
    return next((name.removesuffix(end) for end in ("_h", "_l2_addr", "_addr") if name.endswith(end)), name)


def _column(place: Array, known: pa.Array, rows: Array) -> pa.Array:
    """For each row the word that its value has: the place of the value's word in `known`, -1 for none."""
    of_rows = np.append(place, np.int32(-1))[rows]
    return pa.DictionaryArray.from_arrays(made(pa.int32(), len(rows), [of_rows], of_rows >= 0), known)


@lru_cache(maxsize=1)
def _scopes() -> tuple[Ranges, Words]:
    starts = names.scope_starts()
    kinds = [names.scope(start.to_bytes(16)) for start in starts]
    numbered = list(zip(starts, range(len(starts)), strict=True))
    return ranges([(start - V4, code) for start, code in numbered if start >> 32 == V4 >> 32], numbered), words(kinds)


class _Codes(dict[str | None, int]):
    """All that ISO 3166-1 may have of two letters, numbered. None is 0, and whatever else too."""

    def __missing__(self, _: str | None) -> int:
        return 0


_ISO = ["".join(letters) for letters in product(ascii_uppercase, repeat=2)]
_CODES, _COUNTRIES = _Codes(zip([None, *_ISO], count())), words(["", *_ISO])


def _countries(addresses: Addresses, used_in: Words, in_city: Array) -> tuple[Array, pa.Array]:
    """Where the file of cities says that addresses are used, else where they were given to."""
    of_word = np.array([*map(_CODES.__getitem__, used_in.words.to_pylist()), 0], np.int32)
    found = of_word[used_in.place[in_city]]
    others = np.flatnonzero(found == 0)
    split = np.searchsorted(others, len(addresses.v4))
    v4, v6 = addresses.v4[others[:split]], addresses.v6[others[split:] - len(addresses.v4)]
    first, rows = _first_halves(v6)
    given_to = iptocc.country_code(_v4_texts(v4) + _v6_texts(first))
    codes = np.fromiter(map(_CODES.__getitem__, given_to), np.int32, len(given_to))
    found[others[:split]], found[others[split:]] = codes[: len(v4)], codes[len(v4) :][rows]
    return _COUNTRIES.of(found)


def _first_halves(v6: Array) -> tuple[Array, Array]:
    """The first 64 bits of sorted IPv6 addresses, each once, and for each address the place of its own. No registry gives away less."""
    halves = np.ascontiguousarray(v6.view(np.uint64).reshape(-1, 2)[:, 0])
    new = np.ones(len(halves), np.bool_)
    new[1:] = halves[1:] != halves[:-1]
    return halves[new], np.cumsum(new) - 1


def _v4_texts(v4: Array) -> list[str]:
    mapped = np.zeros((len(v4), 4), ">u4")
    mapped[:, 2], mapped[:, 3] = 0xFFFF, v4
    text, offsets = np.empty(len(v4) * 46 + 1, np.uint8), np.empty(len(v4) + 1, np.int32)
    first = ffi.cast("char *", mapped.ctypes.data)
    lib.hw_format_addresses(first, first, 16, len(v4), 0, ffi.cast("char *", text.ctypes.data), ffi.cast("int32_t *", offsets.ctypes.data))
    return _listed(text, offsets)


def _v6_texts(halves: Array) -> list[str]:
    """As iptocc reads them: with all digits, which takes a tenth of the time that finding zeros does."""
    text = np.full((len(halves), 21), ord(":"), np.uint8)
    text[:, :20] = np.frombuffer(halves.tobytes().hex(":", 2).encode() + b":" * (len(halves) > 0), np.uint8).reshape(-1, 20)
    return _listed(text, np.arange(0, 21 * len(halves) + 1, 21, dtype=np.int32))


def _listed(text: Array, offsets: Array) -> list[str]:
    listed: list[str] = made(pa.string(), len(offsets) - 1, [offsets, text], np.True_).to_pylist()
    return listed


def _vendors(array: pa.Array) -> pa.Array:
    once, rows = _once(array)
    known = words([names.mac(mac.tobytes()) for mac in octets(once, 6)])
    return _column(known.place, known.words, rows)


def _once(array: pa.Array) -> tuple[pa.Array, Array]:
    """Each value of an array once, and for each row the place of its value; one place more than there are where there is none."""
    encoded = array.dictionary_encode()
    once, indices = encoded.dictionary, encoded.indices.cast(pa.int32())
    rows = np.frombuffer(indices.buffers()[1] or b"", np.int32, len(array), indices.offset * 4)
    return once, np.where(valid(indices), rows, np.int32(len(once)))


# -- services ----------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _known_services() -> Words:
    """By the port, of UDP behind TCP's; the last is none."""
    by_port = [names.services(proto) for proto in _PROTOCOLS.values()]
    known = words([word for of in by_port for word in of.values()])
    place = np.full((len(by_port) << 16) + 1, -1, np.int32)
    place[[(number << 16) + port for number, of in enumerate(by_port) for port in of]] = known.place
    return Words(place, known.words)


def _services(numbers: Mapping[str, Array], ports: tuple[str, ...]) -> pa.Array:
    known, proto = _known_services(), numbers["proto"]
    lower = np.minimum.reduce([numbers[name] for name in ports])
    higher = np.maximum.reduce([numbers[name] for name in ports])
    codes = [
        np.where((port >= 0) & np.isin(proto, tuple(_PROTOCOLS.values())), (proto == _PROTOCOLS["udp"]) * (1 << 16) + port, 2 << 16)
        for port in (lower, higher)
    ]
    place, found = known.of(np.where(known.place[codes[0]] >= 0, *codes))
    return _column(place, found, np.arange(len(place), dtype=np.int32))


def _of_batch(batch: Batch, column: Column) -> Array:
    """A port or an IP protocol for each row, -1 where there is none."""
    values = batch.rows[column.name].astype(np.int32)
    if column.names:
        known = np.array([_PROTOCOLS.get(column.names.get(value, ""), -1) for value in range(max(column.names) + 1)], np.int32)
        values = known[np.minimum(values, len(known) - 1)]
    return np.where(batch.present(column.name), values, np.int32(-1))


def _of_array(array: pa.Array) -> Array:
    once, rows = _once(array)
    values = once.to_pylist()
    known = [value if isinstance(value, int) else _PROTOCOLS.get(str(value).lower(), -1) for value in values]
    return np.array([*(value if 0 <= value < 1 << 16 else -1 for value in known), -1], np.int32)[rows]
