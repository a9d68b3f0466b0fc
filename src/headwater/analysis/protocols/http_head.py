"""The first lines of HTTP's messages, and what its fields say of their bodies: RFC 9112, read as leniently as Zeek reads it.

Which lines are accepted, and which weirds there are, is Zeek's: src/analyzer/protocol/http/HTTP.cc.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from headwater.analysis import mime_fields
from headwater.analysis.wire import text

Weird: TypeAlias = Callable[[str, str], None]
Version: TypeAlias = tuple[int, int]

METHODS: Final = frozenset(
    b"GET POST HEAD OPTIONS PUT DELETE TRACE CONNECT PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK POLL REPORT SUBSCRIBE BMOVE "
    b"SEARCH".split()
)
"""What is no surprise: Zeek's HTTP::http_methods."""

_PLAIN: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+([!#-;=?-\[\]_a-z~]+)[ \t]+HTTP/(\d)\.(\d)[ \t]*")
_METHOD: Final = re.compile(rb"[^\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?={}]+")
_URI: Final = re.compile(rb"\A[!#-;=?-\[\]_a-z~]*")
_VERSION: Final = re.compile(rb"[ \t]*(http/)", re.IGNORECASE)
_STATUS: Final = re.compile(rb"http/([^ \t]*)[ \t]+(...)[^ \t]*(?:[ \t]+(.*))?", re.IGNORECASE | re.DOTALL)
_ESCAPED: Final = re.compile(rb"%(?:([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(%)|(.?)(.?))", re.DOTALL)


def request_line(line: bytes, weird: Weird, is_of: Callable[[Version], None]) -> tuple[bytes, str] | None:
    """(method, URI) of a request; None if it is none. `is_of` is told its version, 0.9 if there is none, unless that cannot be read."""
    if found := _PLAIN.fullmatch(line):
        method, uri, major, minor = found.groups()
        is_of((major[0] - 48, minor[0] - 48))
        return method, unescaped(uri, weird)
    method_found = _METHOD.match(line)
    if not method_found:
        weird("bad_HTTP_request_with_version" if line[-9:-3].lower() == b" http/" else "bad_HTTP_request", "")
        return None
    method, rest = method_found[0], line[method_found.end() :].lstrip(b" \t")
    if len(method) + len(rest) == len(line):
        weird("bad_HTTP_request", "")
        return None
    uri, version = _uri_and_version(rest, weird)
    if version:
        is_of(version)
    said = unescaped(uri, weird)
    if version == (0, 9) and (len(method) < 3 or not uri):
        weird("bad_HTTP_request", "")
        return None
    return method, said


def _uri_and_version(rest: bytes, weird: Weird) -> tuple[bytes, Version | None]:
    """What is behind the method: a URI ends where a version begins, whatever is between them."""
    end = len(rest) - len(_URI.sub(b"", rest, count=1))
    at, is_version = end, _VERSION.match(rest)
    if end == len(rest) and is_version and is_version.start(1) == 0:
        weird("missing_HTTP_uri", "")
        at = end = 0
    while at < len(rest):
        end = at
        found = _VERSION.match(rest, at)
        if found:
            if found[1] != b"HTTP/":
                weird("lowercase_HTTP_keyword", "")
            return rest[:end], version_of(rest[found.end() :]) if found.start(1) + 8 <= len(rest) else None
        at += len(rest[at:]) - len(rest[at:].lstrip(b" \t")) + 1
        if at - end > 1 << 10 or end > 1 << 13:
            break  # whoever writes so many odd octets writes no version
    return rest[:end], (0, 9)


def version_of(octets: bytes) -> Version:
    """1.1 as (1, 1); (0, 0) of what is none."""
    if len(octets) >= 3 and octets[:1].isdigit() and octets[1:2] == b"." and octets[2:3].isdigit():
        return octets[0] - 48, octets[2] - 48
    return 0, 0


def status_line(line: bytes, weird: Weird) -> tuple[Version, int, str | None] | None:
    """(version, code, reason) of an answer; a code of 0 if it is none, no reason if there is none. None if it is no answer."""
    if line[:5].upper() == b"HTTP/" != line[:5]:
        weird("lowercase_HTTP_keyword", "")
    return _status(line) if len(line) < 64 else _status.__wrapped__(line)


@lru_cache(1024)
def _status(line: bytes) -> tuple[Version, int, str | None] | None:
    """Most answers begin with one of few lines."""
    found = _STATUS.fullmatch(line)
    if not found:
        return None
    version, code, reason = found.groups()
    return version_of(version), int(code) if code.isdigit() else 0, None if reason is None else text(reason)


def unescaped(uri: bytes, weird: Weird) -> str:
    """A URI with what is written as %41 as it is meant."""
    if b"%" not in uri:
        return text(uri)

    def octets(found: re.Match[bytes]) -> bytes:
        two, wide, percent, first, second = found.groups()
        if two:
            return bytes.fromhex(two.decode())
        if wide:
            return bytes.fromhex(wide.decode()).removeprefix(b"\0")
        if percent:
            weird("double_%_in_URI", "")
            return b"%"
        if not first:
            weird("illegal_%_at_end_of_URI", "")
        elif not second:
            weird("partial_escape_at_end_of_URI", "")
        else:
            weird("unescaped_%_in_URI", "")
        return found[0]

    return text(_ESCAPED.sub(octets, uri))


def filename(name: bytes, value: bytes) -> str | None:
    """What a file is called by its field `name`, content-disposition or content-type."""
    called = mime_fields.filename(name, value)
    return None if called is None else unescaped(called, lambda *_: None)


def content_range(value: bytes, weird: Weird) -> tuple[int, int, int | None] | None:
    """(first octet, how many, of how many) of `bytes 0-499/1234`; None if it makes no sense."""
    unit, _, rest = value.strip().partition(b" ")
    if unit != b"bytes":
        weird("HTTP_content_range_unknown_byte_unit", "")
        return None
    said = rest.replace(b" ", b"")
    found = re.fullmatch(rb"([^/]*?)-([^/]*)/(.*)", said, re.DOTALL)
    if not found:
        weird("HTTP_content_range_cannot_parse", "")
        return None
    addl = text(said)
    first, last, whole = (_number(part) for part in found.groups())
    if first is None or last is None:
        weird("HTTP_content_range_cannot_parse", addl)
    elif first < 0 or last < 0:
        weird("HTTP_content_range_invalid", addl)
    elif last < first:
        weird("HTTP_non_positive_content_range", addl)
    elif last - first > (1 << 63) - 2:
        weird("HTTP_content_range_overflow", addl)
    else:
        if whole is None and found[3] != b"*":
            weird("HTTP_content_range_invalid_instance", addl)
        return first, last - first + 1, whole
    return None


def _number(octets: bytes) -> int | None:
    found = re.match(rb"[+-]?\d{1,19}", octets)
    return int(found[0]) if found else None
