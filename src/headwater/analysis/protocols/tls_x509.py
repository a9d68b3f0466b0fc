"""X.509 certificates (RFC 5280): what one says, as Zeek logs it, and which names it is for.

It is read here, in bounds, and not by a library: those refuse certificates that clients take, and those that attackers send are the ones to
see. Names are written as OpenSSL does with XN_FLAG_RFC2253, for Zeek does.
"""

from collections.abc import Callable
from typing import Any, Final

from headwater.analysis.protocols import tls_der as der
from headwater.analysis.wire import Malformed, address, text
from headwater.records.messages import message

X509 = message("x509")
_RSA, _DSA, _EC = map(der.encoded, ("1.2.840.113549.1.1.1", "1.2.840.10040.4.1", "1.2.840.10045.2.1"))
_CONSTRAINTS, _ALTERNATIVES, _COMMON_NAME = map(der.encoded, ("2.5.29.19", "2.5.29.17", "2.5.4.3"))
_MOST_EXPONENT: Final = 1024  # octets
_STRINGS: Final = {
    12: "",
    18: "latin-1",
    19: "latin-1",
    20: "latin-1",
    22: "latin-1",
    26: "latin-1",
    27: "latin-1",
    28: "utf-32-be",
    30: "utf-16-be",
}
_ESCAPES: Final = {code: f"\\{code:02X}" for code in (*range(32), *range(127, 256))} | {code: f"\\{chr(code)}" for code in b'"+,;<>\\'}


def certificate(octets: bytes) -> tuple[list[str], tuple[Any, ...]]:
    """The hosts that a certificate is for, and what the record has of it, from its version to its basic constraints. Raises Malformed."""
    whole = der.within(octets, der.element(octets, 0, len(octets)))
    if len(whole) < 3:
        raise Malformed("x509_truncated")
    parts = der.within(octets, whole[0])
    version = 1
    if parts and parts[0][0] == 0xA0:
        _, at, end = der.element(octets, *parts[0][1:])
        version = int.from_bytes(octets[at:end][-4:], "big") + 1
        parts = parts[1:]
    if len(parts) < 6:
        raise Malformed("x509_truncated")
    number, _, issuer, times, subject, key, *more = parts
    begins, ends, *_ = *(der.moment(tag, octets[at:end]) or 0 for tag, at, end in der.within(octets, times)[:2]), 0, 0
    san, constraints = _extensions(octets, more)
    names = list(san[0]) if san and san[0] else _common_names(octets, subject)
    return names, (
        version, der.serial(octets[number[1] : number[2]]), name(octets, subject), name(octets, issuer), begins, ends,
        *_key(octets, key, _algorithm(octets, whole[1])), *(san or (None,) * 4), *(constraints or (None,) * 2),
    )  # fmt: skip


def _extensions(octets: bytes, parts: list[tuple[int, int, int]]) -> tuple[tuple[Any, ...] | None, tuple[Any, ...] | None]:
    san: tuple[Any, ...] | None = None
    constraints: tuple[Any, ...] | None = None
    for part in parts:
        if part[0] != 0xA3:
            continue
        for one in der.within(octets, der.element(octets, part[1], part[2])):
            said = der.within(octets, one)
            if len(said) < 2:
                raise Malformed("x509_extension")
            oid, value = (octets[said[at][1] : said[at][2]] for at in (0, -1))
            if oid == _ALTERNATIVES:
                san = _or_none(_alternatives, value)
            elif oid == _CONSTRAINTS:
                constraints = _or_none(_constraints, value)
    return san, constraints


def _or_none(read: Callable[[bytes], tuple[Any, ...]], octets: bytes) -> tuple[Any, ...] | None:
    """An extension that is broken is none; the certificate is one."""
    try:
        return read(octets)
    except Malformed:
        return None


def _algorithm(octets: bytes, one: tuple[int, int, int]) -> str:
    found = der.within(octets, one)
    if not found or found[0][0] != der.OID:
        raise Malformed("der_tag")
    oid = octets[found[0][1] : found[0][2]]
    return der.ALGORITHMS.get(oid) or der.dotted(oid)


def _key(octets: bytes, one: tuple[int, int, int], signed: str) -> tuple[Any, ...]:
    """key_alg, sig_alg, key_type, key_length, exponent, curve."""
    parts = der.within(octets, one)
    if len(parts) < 2:
        raise Malformed("x509_truncated")
    said = _algorithm(octets, parts[0])
    algorithm = der.within(octets, parts[0])
    oid = octets[algorithm[0][1] : algorithm[0][2]]
    try:
        if oid == _RSA:
            modulus, exponent = (octets[at:end] for _, at, end in der.within(octets, der.element(octets, parts[1][1] + 1, parts[1][2])))
            power = str(int.from_bytes(exponent, "big")) if len(exponent) < _MOST_EXPONENT else None
            return said, signed, "rsa", int.from_bytes(modulus, "big").bit_length() or None, power, None
        if oid == _DSA:
            prime = der.within(octets, algorithm[1])[0]
            return said, signed, "dsa", int.from_bytes(octets[prime[1] : prime[2]], "big").bit_length() or None, None, None
        if oid == _EC:
            curve, bits = der.CURVES.get(octets[algorithm[1][1] : algorithm[1][2]], (None, None))
            return said, signed, "ecdsa", bits, None, curve
    except (Malformed, ValueError, IndexError):
        pass  # a key that cannot be read
    return said, signed, None, None, None, None


def _alternatives(octets: bytes) -> tuple[Any, ...]:
    """Of an alternative name: hosts, URIs, addresses of mail and of IP (RFC 5280, 4.2.1.6); none of a kind is None."""
    found: dict[int, list[Any]] = {}
    for tag, at, end in der.within(octets, der.element(octets, 0, len(octets))):
        kind, said = tag & 31, octets[at:end]
        if kind in (1, 2, 6):
            found.setdefault(kind, []).append(text(said.partition(b"\0")[0]))
        elif kind == 7 and len(said) in (4, 16):
            found.setdefault(kind, []).append(address(said) if len(said) == 4 else said)
    return found.get(2), found.get(6), found.get(1), found.get(7)


def _constraints(octets: bytes) -> tuple[Any, ...]:
    """Whether it is of an authority, and how long a chain it may sign (RFC 5280, 4.2.1.9)."""
    is_ca, most = False, None
    for tag, at, end in der.within(octets, der.element(octets, 0, len(octets))):
        if tag == der.BOOLEAN:
            is_ca = octets[at:end] != b"\0"
        elif tag == der.INTEGER and end - at < 5:
            most = int.from_bytes(octets[at:end], "big")
    return is_ca, most


# -- names ---------------------------------------------------------------------------------------------------------------------------------


def _attributes(octets: bytes, one: tuple[int, int, int]) -> list[tuple[bytes, tuple[int, int, int], int]]:
    """(OID, value, which of the relative names) of a name."""
    found = []
    for number, relative in enumerate(der.within(octets, one)):
        for attribute in der.within(octets, relative, der.SET):
            said = der.within(octets, attribute)
            if len(said) != 2 or said[0][0] != der.OID:
                raise Malformed("x509_name")
            found.append((octets[said[0][1] : said[0][2]], said[1], number))
    return found


def name(octets: bytes, one: tuple[int, int, int]) -> str:
    """A distinguished name: RFC 2253, the last first."""
    found = ""
    before = -1
    for oid, (tag, at, end), number in reversed(_attributes(octets, one)):
        said = der.ATTRIBUTES.get(oid)
        if said is None or tag not in _STRINGS:
            size = bytes([end - at]) if end - at < 128 else _long(end - at)
            value = f"#{(bytes([tag]) + size + octets[at:end]).hex().upper()}"
        else:
            value = _escaped(_utf8(tag, octets[at:end]))
        found += ("" if before < 0 else "+" if number == before else ",") + f"{said or der.dotted(oid)}={value}"
        before = number
    return found


def _long(size: int) -> bytes:
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([128 | len(octets)]) + octets


def _utf8(tag: int, octets: bytes) -> bytes:
    return octets.decode(_STRINGS[tag], "replace").encode() if _STRINGS[tag] else octets


def _escaped(octets: bytes) -> str:
    said = octets.decode("latin-1").translate(_ESCAPES)
    if octets[-1:] == b" ":
        said = said[:-1] + "\\ "
    return "\\" + said if octets[:1] in (b" ", b"#") and octets != b" " else said


def _common_names(octets: bytes, subject: tuple[int, int, int]) -> list[str]:
    return [
        text(_utf8(tag, octets[at:end]))
        for oid, (tag, at, end), _ in _attributes(octets, subject)
        if oid == _COMMON_NAME and tag in _STRINGS
    ]


def is_for(names: list[str], host: str) -> bool:
    """Whether one of a certificate's names is that of the host, as OpenSSL's X509_check_host() finds it: a star stands for one label, the
    first of three or more, or for its beginning or end."""
    host = host.lower()
    return any(_matches(pattern.lower(), host) for pattern in names)


def _matches(pattern: str, host: str) -> bool:
    label, _, rest = pattern.partition(".")
    if "*" not in label or label.count("*") > 1 or "." not in rest or "*" in rest or (label != "*" and "xn--" in (label[:4], host[:4])):
        return pattern == host
    before, _, behind = label.partition("*")
    own, _, others = host.partition(".")
    if (
        (before and behind)
        or others != rest
        or len(own) < len(before) + len(behind)
        or not (own.startswith(before) and own.endswith(behind))
    ):
        return False
    star = own[len(before) : len(own) - len(behind)]
    return (bool(star) or label != "*") and all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in star)
