"""Reads the BTF of a BPF object: the layouts, names and tags of our C structs.

Format: Documentation/bpf/btf.rst in the kernel's tree. Depends on the standard library alone, because the build uses it too.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
_TRAILER_BYTES = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
_ENTRY_BYTES = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}


@dataclass(frozen=True)
class Int:
    """An integer: size in octets."""

    name: str
    size: int
    signed: bool


@dataclass(frozen=True)
class Enum:
    """An enumeration: its size in octets, and its enumerators as C spells them."""

    name: str
    size: int
    values: dict[str, int]


@dataclass(frozen=True)
class Array:
    """`count` elements of one type."""

    element: "Type"
    count: int


@dataclass(frozen=True)
class Typedef:
    """A name that carries meaning, over the type that it stands for."""

    name: str
    target: "Type"


@dataclass(frozen=True)
class Member:
    """A struct's member: its offset in octets and its declaration tags. Those of a struct or union without a name are their owner's."""

    name: str
    type: "Type"
    offset: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Struct:
    """A struct or union: its size in octets and its members in order."""

    name: str
    size: int
    members: tuple[Member, ...] = field(default=())


Type: TypeAlias = Int | Enum | Array | Typedef | Struct | None


@dataclass(frozen=True)
class Btf:
    """The named structs and enumerations of one object."""

    structs: dict[str, Struct]
    enums: dict[str, Enum]


@dataclass(frozen=True)
class _Raw:
    name: str
    kind: int
    vlen: int
    size_or_type: int
    flag: bool
    body: bytes


def section(path: Path, wanted: str) -> bytes:
    """One section of a 64-bit little-endian ELF file. Raises ValueError if it has none of that name."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
    start, size, count, names = struct.unpack_from("<Q10xHHH", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, start + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        end = data.index(b"\0", strings + name)
        if data[strings + name : end].decode() == wanted:
            return data[offset : offset + length]
    raise ValueError(f"{path} has no section {wanted}")


def read(path: Path) -> Btf:
    """The BTF of the object at `path`. Raises ValueError if it has none."""
    return parse(section(path, ".BTF"))


def parse(data: bytes) -> Btf:
    """The types of a .BTF section. Raises ValueError if it is not one."""
    raws = _raw_types(data)
    tags: dict[tuple[int, int], list[str]] = {}
    for raw in raws:
        if raw.kind == DECL_TAG:
            tags.setdefault((raw.size_or_type, struct.unpack("<i", raw.body)[0]), []).append(raw.name)
    built: dict[int, Type] = {}

    def resolve(number: int) -> Type:
        if number == 0:
            return None
        if number not in built:
            built[number] = _build(raws[number - 1], number)
        return built[number]

    def _build(raw: _Raw, number: int) -> Type:
        if raw.kind == INT:
            return Int(raw.name, raw.size_or_type, bool(raw.body[3] & 1))
        if raw.kind == ENUM:
            pairs = struct.iter_unpack("<Ii" if raw.flag else "<II", raw.body)
            return Enum(raw.name, raw.size_or_type, {_name(data, offset): value for offset, value in pairs})
        if raw.kind == ARRAY:
            element, _, count = struct.unpack("<III", raw.body)
            return Array(resolve(element), count)
        if raw.kind == TYPEDEF:
            return Typedef(raw.name, resolve(raw.size_or_type))
        if raw.kind in (CONST, VOLATILE, RESTRICT):
            return resolve(raw.size_or_type)
        if raw.kind in (STRUCT, UNION):
            return Struct(raw.name, raw.size_or_type, tuple(_members(raw, number)))
        return None  # pointers, functions and sections: no record holds one

    def _members(raw: _Raw, number: int) -> Iterator[Member]:
        for index, (offset, kind, bits) in enumerate(struct.iter_unpack("<III", raw.body)):
            name, its = _name(data, offset), resolve(kind)
            if not name and isinstance(its, Struct):
                yield from (replace(member, offset=bits // 8 + member.offset) for member in its.members)
            else:
                yield Member(name, its, bits // 8, tuple(tags.get((number, index), ())))

    types = [resolve(number) for number in range(1, len(raws) + 1)]
    return Btf({t.name: t for t in types if isinstance(t, Struct) and t.name}, {t.name: t for t in types if isinstance(t, Enum)})


def _name(data: bytes, offset: int) -> str:
    header, strings = struct.unpack_from("<I8xI", data, 4)
    start = header + strings + offset
    return data[start : data.index(b"\0", start)].decode()


def _raw_types(data: bytes) -> list[_Raw]:
    if len(data) < 24 or struct.unpack_from("<H", data)[0] != 0xEB9F:
        raise ValueError("not BTF: wrong magic number")
    header, types, size = struct.unpack_from("<III", data, 4)
    at, end, raws = header + types, header + types + size, []
    while at < end:
        name, info, size_or_type = struct.unpack_from("<III", data, at)
        kind, vlen = info >> 24 & 31, info & 0xFFFF
        body = _TRAILER_BYTES.get(kind, 0) + _ENTRY_BYTES.get(kind, 0) * vlen
        raws.append(_Raw(_name(data, name), kind, vlen, size_or_type, bool(info >> 31), data[at + 12 : at + 12 + body]))
        at += 12 + body
    return raws
