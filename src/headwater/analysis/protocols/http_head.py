"""The first lines of HTTP's messages, and the ranges that they have of files: RFC 9112, and 9110, 14.4, read as leniently as Zeek reads
them.

Which lines are accepted, and which weirds there are, is Zeek's: src/analyzer/protocol/http/HTTP.cc.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from headwater.analysis.wire import text

Weird: TypeAlias = Callable[[str, str], None]
Version: TypeAlias = str
"""As rows tell it, and in order: 1.1; 0.9 of a request without one, 0.0 of what is none."""

METHODS: Final[Mapping[bytes, str]] = {
    name.encode(): name
    for name in (
        "GET POST HEAD OPTIONS PUT DELETE TRACE CONNECT "
        "PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK POLL REPORT SUBSCRIBE BMOVE SEARCH QUERY"
    ).split()
}
"""What is no surprise, as text: Zeek's HTTP::http_methods, and QUERY (RFC 10008)."""

_VERSIONS: Final[Mapping[bytes, Version]] = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_METHOD: Final = re.compile(rb"[^\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?={}]+")
_URI: Final = re.compile(rb"\A[!#-;=?-\[\]_a-z~]*")
_OF_URIS: Final = bytes(octet for octet in range(256) if _URI.fullmatch(bytes([octet])))
_VERSION: Final = re.compile(rb"[ \t]*(http/)", re.IGNORECASE)
_STATUS: Final = re.compile(rb"http/([^ \t]*)[ \t]+(...)[^ \t]*(?:[ \t]+(.*))?", re.IGNORECASE | re.DOTALL)
_ESCAPED: Final = re.compile(rb"%(?:([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(%)|(.?)(.?))", re.DOTALL)


def without_end(line: bytes) -> bytes:
    """A line without LF, or CR and LF."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def request_line(line: bytes, weird: Weird) -> tuple[bytes, bytes, Version | None] | None:
    """(method, URI as it is written, version) of a request; None if it is none. No version if that cannot be read."""
    method, _, rest = line.partition(b" ")
    uri, _, version = rest.partition(b" ")
    if version in _VERSIONS and method in METHODS and uri and not uri.translate(None, _OF_URIS):  # as most
        return method, uri, _VERSIONS[version]
    found = _METHOD.match(line)
    if not found:
        weird("bad_HTTP_request_with_version" if line[-9:-3].lower() == b" http/" else "bad_HTTP_request", "")
        return None
    method, rest = found[0], line[found.end() :].lstrip(b" \t")
    if len(method) + len(rest) == len(line):
        weird("bad_HTTP_request", "")
        return None
    return method, *_uri_and_version(rest, weird)


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
            return rest[:end], _version(rest[found.end() :]) if found.start(1) + 8 <= len(rest) else None
        at += len(rest[at:]) - len(rest[at:].lstrip(b" \t")) + 1
        if at - end > 1 << 10 or end > 1 << 13:
            break  # whoever writes so many odd octets writes no version
    return rest[:end], "0.9"


def _version(octets: bytes) -> Version:
    found = octets[:3]
    return found.decode() if found[:1].isdigit() and found[1:2] == b"." and found[2:].isdigit() else "0.0"


def status_line(line: bytes, weird: Weird) -> tuple[Version, int, str] | None:
    """(version, code, reason) of the answer whose first line is that, with its end; a code of 0 if it is none. None if it is no answer."""
    if not line.startswith(b"HTTP/") and line[:5].upper() == b"HTTP/":
        weird("lowercase_HTTP_keyword", "")
    return _status(line) if len(line) < 64 else _status.__wrapped__(line)


@lru_cache(1024)
def _status(line: bytes) -> tuple[Version, int, str] | None:
    """Most answers begin with one of few lines."""
    found = _STATUS.fullmatch(without_end(line))
    if not found:
        return None
    version, code, reason = found.groups()
    return _version(version), int(code) if code.isdigit() else 0, "<empty>" if reason is None else text(reason)


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
