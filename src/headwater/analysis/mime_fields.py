"""What the fields of a message, or of a part of one, say of its body: RFC 2045, 2046, 2183, read as leniently as Zeek reads them
(src/analyzer/protocol/mime/MIME.cc, scripts/base/utils/files.zeek).
"""

import re
from typing import Final

_TYPE: Final = re.compile(rb"\s*+([^\s/;]++)\s*+/\s*+[^\s;]")
_BOUNDARY: Final = re.compile(rb';\s*+boundary\s*+=\s*+(?:"((?:[^"\\]|\\.)++)"|([^\s;"]++))', re.IGNORECASE | re.DOTALL)
_QUOTED: Final = re.compile(rb"\\(.)", re.DOTALL)
_LONGEST: Final = 1 << 10  # octets of a boundary: RFC 2046 has 70
_NAMES: Final = {
    b"content-disposition": re.compile(rb"filename[ \t]*+\*?=", re.IGNORECASE),
    b"content-type": re.compile(rb"name[ \t]*+=", re.IGNORECASE),
}
_NAMED: Final = re.compile(rb"name[ \t]*+\*?=[ \t]*+", re.IGNORECASE)
_CHARSET: Final = re.compile(rb"[!#-&+-{}~]++'[!#-&+-{}~]*+'")
_VALUE: Final = 1 << 12  # octets of one that are looked at for a name


def boundary(content_type: bytes) -> bytes | None:
    """What is between the parts of a body of that type: nothing if it is a message itself, None if it has no parts."""
    found = _TYPE.match(content_type)
    kind = found[1].lower() if found else b""
    if kind == b"message":
        return b""
    told = _BOUNDARY.search(content_type) if kind == b"multipart" else None
    between = told and (_QUOTED.sub(rb"\1", told[1]) if told[1] else told[2])
    return between if between and len(between) <= _LONGEST else None


def filename(name: bytes, value: bytes) -> bytes | None:
    """What a field (its name in small letters) calls a file, as it is escaped; None if it does not, or may not."""
    value = value[:_VALUE]
    if name not in _NAMES or not _NAMES[name].search(value):
        return None
    called = value[max(found.end() for found in _NAMED.finditer(value)) :]
    if called.startswith(b'"'):
        called = called[1:].partition(b'"')[0]
    return called.rpartition(b"'")[2] if _CHARSET.match(called) else called
