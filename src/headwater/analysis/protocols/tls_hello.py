"""What client and server of TLS say first: RFC 8446 4.1, RFC 5246 7.4.1, RFC 6347 4.2.1; their fingerprints JA3, JA3S and JA4.

JA3 and JA3S are those of github.com/salesforce/ja3, JA4 that of FoxIO's technical description.
"""

import struct
from functools import lru_cache
from hashlib import md5, sha256
from typing import Final

from headwater.analysis.protocols.tls_names import GREASE
from headwater.analysis.wire import Malformed, Reader

SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, TICKET, PRE_SHARED_KEY, VERSIONS, KEY_SHARE, CONNECTION_ID = (
    0, 10, 11, 13, 16, 35, 41, 43, 51, 54,
)  # fmt: skip
_GREASED: Final = GREASE  # what fingerprints leave out
_SHOWN: Final = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3",
}  # fmt: skip
_NOTHING: Final = "000000000000"


class Hello:
    """One hello, of either side."""

    __slots__ = ("extensions", "is_client", "random", "session", "suites", "version")

    def __init__(self, octets: bytes, *, is_client: bool, has_cookie: bool = False) -> None:
        """From the body of the message; with `has_cookie` it may be a client's of DTLS. Raises Malformed."""
        reader = Reader(octets)
        self.is_client = is_client
        self.version = reader.u16()
        self.random = reader.take(32)
        self.session = reader.take(reader.u8())
        if is_client:
            if has_cookie:
                reader.take(reader.u8())
            size = reader.u16()
            if size < 2 or size % 2:
                raise Malformed("SSL_suites")
            self.suites = numbers(reader.take(size))
            if not reader.take(reader.u8()):
                raise Malformed("SSL_compression")
        else:
            self.suites = (reader.u16(),)
            reader.u8()
        self.extensions = _extensions(octets, reader.at + 2) if len(reader) else []

    def of(self, code: int) -> bytes | None:
        """What an extension says, the first of that number."""
        for one, said in self.extensions:
            if one == code:
                return said
        return None

    def versions(self) -> tuple[int, ...]:
        """Those of supported_versions: a server's is one."""
        said = self.of(VERSIONS)
        return () if said is None else numbers(said[1 : 1 + said[0]] if self.is_client and said else said)

    def listed(self, code: int) -> tuple[int, ...]:
        """The numbers of an extension that is a list of them."""
        said = self.of(code)
        return numbers(said[2:]) if said else ()

    def protocols(self) -> list[bytes]:
        """Those of ALPN (RFC 7301)."""
        return _prefixed(self.of(ALPN))

    def names(self) -> list[bytes]:
        """The hosts of server_name (RFC 6066, 3)."""
        found: list[bytes] = []
        said, at = self.of(SERVER_NAME) or b"", 2
        while at + 3 <= len(said):
            size = int.from_bytes(said[at + 1 : at + 3], "big")
            if said[at] == 0 and at + 3 + size <= len(said):
                found.append(said[at + 3 : at + 3 + size])
            at += 3 + size
        return found


def numbers(octets: bytes) -> tuple[int, ...]:
    """Of 16 bits each; an odd octet is left out."""
    return struct.unpack_from(f">{len(octets) // 2}H", octets)


def _extensions(octets: bytes, at: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    end = len(octets)
    while (body := at + 4) <= end:  # fewer octets behind the last one are not looked at
        code, size = octets[at] << 8 | octets[at + 1], octets[at + 2] << 8 | octets[at + 3]
        at = body + size
        if at > end:
            raise Malformed("SSL_extension")
        found.append((code, octets[body:at]))
    return found


def _prefixed(said: bytes | None) -> list[bytes]:
    found: list[bytes] = []
    at = 2
    while said is not None and at < len(said) and at + 1 + said[at] <= len(said):
        found.append(said[at + 1 : at + 1 + said[at]])
        at += 1 + said[at]
    return found


def _joined(said: tuple[int, ...]) -> str:
    return "-".join([str(number) for number in said if number not in _GREASED])


def _hashed(said: str) -> str:
    return sha256(said.encode()).hexdigest()[:12]


@lru_cache(256)
def _suites(said: tuple[int, ...]) -> tuple[str, int, str]:
    """Of suites, of which clients have few lists: as JA3 writes them, how many, and JA4's hash."""
    known = [number for number in said if number not in _GREASED]
    return "-".join(map(str, known)), len(known), _hashed(",".join(sorted([f"{number:04x}" for number in known]))) if known else _NOTHING


def ja3(hello: Hello) -> str:
    """Of a client: the MD5 of version, suites, extensions, groups and forms of points."""
    forms = hello.of(POINT_FORMATS) or b""
    codes = tuple([code for code, _ in hello.extensions])
    said = f"{hello.version},{_suites(hello.suites)[0]},{_joined(codes)},{_joined(hello.listed(GROUPS))},{'-'.join(map(str, forms[1:]))}"
    return md5(said.encode(), usedforsecurity=False).hexdigest()


def ja3s(hello: Hello) -> str:
    """Of a server: the MD5 of version, suite and extensions."""
    said = f"{hello.version},{hello.suites[0]},{'-'.join([str(code) for code, _ in hello.extensions])}"
    return md5(said.encode(), usedforsecurity=False).hexdigest()


def ja4(hello: Hello, carrier: str) -> str:
    """Of a client, carried by TCP (t), QUIC (q) or datagrams (d)."""
    _, count, suites = _suites(hello.suites)
    versions = [one for one in hello.versions() if one not in _GREASED] or [hello.version]
    version = _SHOWN.get(min(versions) if versions[0] >> 8 == 0xFE else max(versions), "00")  # the numbers of DTLS count down
    codes = [code for code, _ in hello.extensions if code not in _GREASED]
    kept = ",".join(sorted([f"{code:04x}" for code in codes if code not in (SERVER_NAME, ALPN)]))
    signatures = ",".join([f"{one:04x}" for one in hello.listed(SIGNATURES) if one not in _GREASED])
    extensions = _hashed(f"{kept}_{signatures}" if signatures else kept) if kept else _NOTHING
    name = "d" if SERVER_NAME in codes else "i"
    return f"{carrier}{version}{name}{min(count, 99):02}{min(len(codes), 99):02}{_ends(hello.protocols())}_{suites}_{extensions}"


def _ends(protocols: list[bytes]) -> str:
    """The first and the last letter of the first protocol; of its octets in hexadecimal, if one of them is no letter or digit."""
    if not protocols or not protocols[0]:
        return "00"
    first, last = protocols[0][:1], protocols[0][-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode()
    return first.hex()[0] + last.hex()[1]
