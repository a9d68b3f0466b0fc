"""What headers and commands of mail name: people, hosts and files. How they are found is Zeek's: email, addrs and files of
scripts/base/utils.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from headwater.analysis import mime_fields
from headwater.analysis.wire import Malformed
from headwater.records.address import packed

_ADDRESS = re.compile(rb"(?:^|[<,: \t])[^<,: \t@]+@[^>,; \t]+(?:[>,; \t]|$)")
_MARKS: Final = b"<>,:; \t"
_ORIGINAL = re.compile(rb"ORCPT=rfc822;?")
_SIZE = re.compile(rb"(\d+)(?: (.*))?", re.S)
_CHUNK: Final = len("18446744073709551615 LAST")
_PERSON = re.compile(rb'(?:"[^"]*"|[^",]|")+')
_HOST: Final = rb"([0-9A-Fa-f:.]{2,45})"
_WRAPPED = re.compile(rb"\[(?:%b)\]|\((?:%b)\)|\{(?:%b)\}|(?<= )(?:%b)(?= )|^(?:%b)$".replace(b"%b", _HOST))
_ANYWHERE = re.compile(_HOST)
_NAME = re.compile(rb"[ \t]*([!-9;-~]++)[ \t]*+:\s*+")


def mailboxes(argument: bytes) -> list[bytes]:
    """The addresses in an argument of MAIL or RCPT."""
    return [_ORIGINAL.sub(b"", found.translate(None, _MARKS)) for found in _ADDRESS.findall(argument)]


def chunk(argument: bytes) -> tuple[int, bool]:
    """(octets, whether it is the last one) of an argument of BDAT (RFC 3030). Raises Malformed, with what Zeek says of it."""
    if not 0 < len(argument) <= _CHUNK:
        raise Malformed("BDAT argument bad length")
    if not argument[:1].isdigit():
        raise Malformed("BDAT not followed by a valid chunk-size")
    if not (found := _SIZE.fullmatch(argument)):
        raise Malformed("BDAT chunk-size not valid")
    if int(found[1]) >= 1 << 64:
        raise Malformed("BDAT chunk-size too large")
    if found[2] is not None and found[2].upper() != b"LAST":
        raise Malformed("BDAT chunk-size followed by junk")
    return int(found[1]), found[2] is not None


def people(value: bytes) -> list[bytes]:
    """Those in a header, with their names."""
    return [found.strip() for found in _PERSON.findall(value) if b"@" in found[1:-1]]


def host(value: bytes) -> bytes:
    """The address of 16 octets that a Received header tells between brackets or blanks: the second one, or the only one."""
    found = [octets for one in _WRAPPED.finditer(value) if (octets := packed(next(filter(None, one.groups())).decode()))]
    return found[1] if len(found) > 1 else found[0] if found else b""


def any_host(value: bytes) -> bytes:
    """The first address in a header, of 16 octets."""
    return next((octets for one in _ANYWHERE.findall(value) if (octets := packed(one.decode()))), b"")


def field(line: bytes) -> tuple[str, bytes] | None:
    """(name in capitals, value) of a header."""
    found = _NAME.match(line)
    return (found[1].decode("ascii").upper(), line[found.end() :]) if found else None


def filename(name: str, value: bytes) -> bytes | None:
    """What a header calls its file, if it may and does."""
    called = mime_fields.filename(name.lower().encode(), value)
    return None if called is None else unquote_to_bytes(called)
