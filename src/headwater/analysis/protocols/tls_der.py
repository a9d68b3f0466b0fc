"""DER (X.690) as certificates have it: elements, numbers, times, and what objects are called."""

from calendar import timegm
from datetime import datetime
from typing import Final

from headwater.analysis.wire import Malformed

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, ENUMERATED, SEQUENCE, SET = 1, 2, 3, 4, 5, 6, 10, 0x30, 0x31
UTC_TIME, GENERAL_TIME = 23, 24
_MOST_ELEMENTS: Final = 10_000  # of one that has others in it
_MOST_OID: Final = 64  # octets

_NAMES = """
2.5.4.3 CN|2.5.4.4 SN|2.5.4.5 serialNumber|2.5.4.6 C|2.5.4.7 L|2.5.4.8 ST|2.5.4.9 street|2.5.4.10 O|2.5.4.11 OU|2.5.4.12 title
2.5.4.13 description|2.5.4.15 businessCategory|2.5.4.16 postalAddress|2.5.4.17 postalCode|2.5.4.18 postOfficeBox
2.5.4.19 physicalDeliveryOfficeName|2.5.4.20 telephoneNumber|2.5.4.23 facsimileTelephoneNumber|2.5.4.41 name|2.5.4.42 GN|2.5.4.43 initials
2.5.4.44 generationQualifier|2.5.4.45 x500UniqueIdentifier|2.5.4.46 dnQualifier|2.5.4.51 houseIdentifier|2.5.4.54 dmdName|2.5.4.65 pseudonym
2.5.4.72 role|2.5.4.97 organizationIdentifier|2.5.4.100 dnsName|0.9.2342.19200300.100.1.1 UID|0.9.2342.19200300.100.1.3 mail
0.9.2342.19200300.100.1.8 userClass|0.9.2342.19200300.100.1.9 host|0.9.2342.19200300.100.1.25 DC|0.9.2342.19200300.100.1.44 uid
1.2.840.113549.1.9.1 emailAddress|1.2.840.113549.1.9.2 unstructuredName|1.2.840.113549.1.9.7 challengePassword
1.2.840.113549.1.9.8 unstructuredAddress|1.2.840.113549.1.9.20 friendlyName|1.3.6.1.4.1.311.60.2.1.1 jurisdictionL
1.3.6.1.4.1.311.60.2.1.2 jurisdictionST|1.3.6.1.4.1.311.60.2.1.3 jurisdictionC|1.2.643.3.131.1.1 INN|1.2.643.100.1 OGRN|1.2.643.100.3 SNILS
"""
_ALGORITHMS = """
1.2.840.113549.1.1.1 rsaEncryption|1.2.840.113549.1.1.2 md2WithRSAEncryption|1.2.840.113549.1.1.3 md4WithRSAEncryption
1.2.840.113549.1.1.4 md5WithRSAEncryption|1.2.840.113549.1.1.5 sha1WithRSAEncryption|1.2.840.113549.1.1.7 rsaesOaep
1.2.840.113549.1.1.10 rsassaPss|1.2.840.113549.1.1.11 sha256WithRSAEncryption|1.2.840.113549.1.1.12 sha384WithRSAEncryption
1.2.840.113549.1.1.13 sha512WithRSAEncryption|1.2.840.113549.1.1.14 sha224WithRSAEncryption
1.2.840.113549.1.1.15 sha512-224WithRSAEncryption
1.2.840.113549.1.1.16 sha512-256WithRSAEncryption|1.2.840.113549.1.3.1 dhKeyAgreement|1.3.14.3.2.3 md5WithRSA|1.3.14.3.2.13 dsaWithSHA
1.3.14.3.2.15 shaWithRSAEncryption|1.3.14.3.2.27 dsaWithSHA1-old|1.3.14.3.2.29 sha1WithRSA|1.3.36.3.3.1.2 ripemd160WithRSA
1.2.840.10040.4.1 dsaEncryption|1.2.840.10040.4.3 dsaWithSHA1|1.2.840.10045.2.1 id-ecPublicKey|1.2.840.10045.4.1 ecdsa-with-SHA1
1.2.840.10045.4.3.1 ecdsa-with-SHA224|1.2.840.10045.4.3.2 ecdsa-with-SHA256|1.2.840.10045.4.3.3 ecdsa-with-SHA384
1.2.840.10045.4.3.4 ecdsa-with-SHA512|2.16.840.1.101.3.4.3.1 dsa_with_SHA224|2.16.840.1.101.3.4.3.2 dsa_with_SHA256
2.16.840.1.101.3.4.3.3 dsa_with_SHA384|2.16.840.1.101.3.4.3.4 dsa_with_SHA512|1.3.101.110 X25519|1.3.101.111 X448|1.3.101.112 ED25519
1.3.101.113 ED448|1.2.156.10197.1.301 sm2|1.2.156.10197.1.501 SM2-with-SM3|1.2.156.10197.1.504 sm3WithRSAEncryption
1.2.643.2.2.3 GOST R 34.11-94 with GOST R 34.10-2001|1.2.643.2.2.4 GOST R 34.11-94 with GOST R 34.10-94|1.2.643.2.2.19 GOST R 34.10-2001
1.2.643.2.2.20 GOST R 34.10-94|1.2.643.7.1.1.1.1 GOST R 34.10-2012 with 256 bit modulus
1.2.643.7.1.1.1.2 GOST R 34.10-2012 with 512 bit modulus|1.2.643.7.1.1.3.2 GOST R 34.10-2012 with GOST R 34.11-2012 (256 bit)
1.2.643.7.1.1.3.3 GOST R 34.10-2012 with GOST R 34.11-2012 (512 bit)|1.2.840.113549.2.5 md5|1.3.14.3.2.26 sha1|2.16.840.1.101.3.4.2.1 sha256
2.16.840.1.101.3.4.2.2 sha384|2.16.840.1.101.3.4.2.3 sha512|2.16.840.1.101.3.4.2.4 sha224
"""
_CURVES = """
1.2.840.10045.3.1.1 prime192v1 192|1.2.840.10045.3.1.7 prime256v1 256|1.3.132.0.33 secp224r1 224|1.3.132.0.34 secp384r1 384
1.3.132.0.35 secp521r1 521|1.3.132.0.10 secp256k1 256|1.3.132.0.9 secp160k1 161|1.3.132.0.8 secp160r1 161|1.3.132.0.30 secp160r2 161
1.3.132.0.31 secp192k1 192|1.3.132.0.32 secp224k1 225|1.3.132.0.1 sect163k1 163|1.3.132.0.2 sect163r1 162|1.3.132.0.15 sect163r2 163
1.3.132.0.26 sect233k1 232|1.3.132.0.27 sect233r1 233|1.3.132.0.16 sect283k1 281|1.3.132.0.17 sect283r1 282|1.3.132.0.36 sect409k1 407
1.3.132.0.37 sect409r1 409|1.3.132.0.38 sect571k1 570|1.3.132.0.39 sect571r1 570|1.3.36.3.3.2.8.1.1.1 brainpoolP160r1 160
1.3.36.3.3.2.8.1.1.3 brainpoolP192r1 192|1.3.36.3.3.2.8.1.1.5 brainpoolP224r1 224|1.3.36.3.3.2.8.1.1.7 brainpoolP256r1 256
1.3.36.3.3.2.8.1.1.8 brainpoolP256t1 256|1.3.36.3.3.2.8.1.1.9 brainpoolP320r1 320|1.3.36.3.3.2.8.1.1.11 brainpoolP384r1 384
1.3.36.3.3.2.8.1.1.12 brainpoolP384t1 384|1.3.36.3.3.2.8.1.1.13 brainpoolP512r1 512|1.3.36.3.3.2.8.1.1.14 brainpoolP512t1 512
1.2.156.10197.1.301 SM2 256
"""


def encoded(oid: str) -> bytes:
    """The octets of an object's number, which is written with dots."""
    first, second, *rest = map(int, oid.split("."))
    found = bytearray()
    for number in (first * 40 + second, *rest):
        groups = [number & 127]
        while number := number >> 7:
            groups.append(number & 127 | 128)
        found += bytes(reversed(groups))
    return bytes(found)


def _read(table: str) -> dict[bytes, str]:
    return {encoded(oid): said for oid, _, said in (entry.partition(" ") for entry in table.strip().replace("\n", "|").split("|"))}


ATTRIBUTES: Final = _read(_NAMES)
"""What a name consists of: OpenSSL's short names."""
ALGORITHMS: Final = _read(_ALGORITHMS)
"""Of keys, signatures and hashes: OpenSSL's long names."""
CURVES: Final = {oid: (said.split()[0], int(said.split()[1])) for oid, said in _read(_CURVES).items()}
"""OpenSSL's short names, and the bits of their order."""


def dotted(octets: bytes) -> str:
    """An object's number with dots. Raises Malformed."""
    if not octets or octets[-1] & 128 or len(octets) > _MOST_OID:
        raise Malformed("der_oid")
    numbers: list[int] = []
    number = 0
    for octet in octets:
        number = number << 7 | octet & 127
        if not octet & 128:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - first * 40, *numbers[1:])))


def element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The tag of the element at `at`, where its content begins, and where it ends. Raises Malformed."""
    if at + 2 > end:
        raise Malformed("der_truncated")
    tag, size = octets[at], octets[at + 1]
    at += 2
    if size & 128:
        count = size & 127
        if not 0 < count < 5 or at + count > end:
            raise Malformed("der_length")
        size = int.from_bytes(octets[at : at + count], "big")
        at += count
    if at + size > end or tag & 31 == 31:
        raise Malformed("der_truncated")
    return tag, at, at + size


def elements(octets: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """All elements between two places. Raises Malformed."""
    found: list[tuple[int, int, int]] = []
    while at < end:
        if len(found) >= _MOST_ELEMENTS:
            raise Malformed("der_too_many")
        one = element(octets, at, end)
        found.append(one)
        at = one[2]
    return found


def within(octets: bytes, one: tuple[int, int, int], tag: int = SEQUENCE) -> list[tuple[int, int, int]]:
    """The elements in one, which has that tag. Raises Malformed."""
    if one[0] != tag:
        raise Malformed("der_tag")
    return elements(octets, one[1], one[2])


def serial(octets: bytes) -> str:
    """An integer in hexadecimal, as OpenSSL prints serial numbers."""
    if octets[:1] > b"\x7f":
        size = len(octets)
        return f"-{(1 << 8 * size) - int.from_bytes(octets, 'big'):0{size * 2}X}"
    return (octets.lstrip(b"\0") or b"\0").hex().upper()


def moment(tag: int, octets: bytes) -> int | None:
    """Nanoseconds since 1970; None of what is no time (X.690, 11.7 and 11.8; RFC 5280, 4.1.2.5)."""
    said = octets.decode("latin-1")
    if tag == UTC_TIME:
        said = ("20" if said[:1] < "5" else "19") + said
    digits = said[:14] if said[12:14].isdigit() else f"{said[:12]}00"
    zone = said.lstrip("0123456789").lstrip(".").lstrip("0123456789")
    try:
        seconds = timegm(datetime.strptime(digits, "%Y%m%d%H%M%S").timetuple())
        if zone not in ("", "Z"):
            shift = int(zone[1:3]) * 60 + int(zone[3:5])
            seconds += -shift if zone[0] == "-" else shift  # as Zeek reads it
    except ValueError:
        return None
    return seconds * 10**9
