"""Answers of OCSP (RFC 6960), whether a server of TLS staples them or a file is one: a row for each certificate, as Zeek logs them."""

from typing import TYPE_CHECKING, Final

from headwater.analysis.files import READERS
from headwater.analysis.protocols import tls_der as der
from headwater.analysis.wire import Malformed
from headwater.records.messages import message

if TYPE_CHECKING:
    from headwater.analysis.files import File

OCSP = message("ocsp")
MIME: Final = "application/ocsp-response"
_BASIC: Final = der.encoded("1.3.6.1.5.5.7.48.1.1")
_GOOD, _REVOKED = 0x80, 0xA1
_EXPLICIT_0: Final = 0xA0
_REASONS: Final = {
    0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation",
    6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise",
}  # fmt: skip
_MOST_ANSWERS: Final = 100


def read(file: "File", octets: bytes) -> None:
    """What a file says, if it is an answer."""
    try:
        answers = _answers(octets)
        for one in answers[:_MOST_ANSWERS]:
            file.stream.put_row(OCSP, (file.begun, file.fuid, *_answer(octets, one)))
    except (Malformed, IndexError, ValueError, StopIteration):
        file.stream.weird("openssl_ocsp_response_parse_error")


READERS[MIME] = "OCSP_REPLY", read


def _answers(octets: bytes) -> list[tuple[int, int, int]]:
    """The single answers of a basic response; there is none in one that says what went wrong."""
    whole = der.within(octets, der.element(octets, 0, len(octets)))
    if len(whole) < 2:
        return []
    kind, basic = der.within(octets, der.within(octets, whole[1], _EXPLICIT_0)[0])
    if octets[kind[1] : kind[2]] != _BASIC:
        return []
    data = der.within(octets, der.element(octets, basic[1], basic[2]))[0]
    # a version (which has a tag of its own), who answers and when come before
    return der.within(octets, next(part for part in der.within(octets, data)[2:] if part[0] == der.SEQUENCE))


def _answer(octets: bytes, one: tuple[int, int, int]) -> tuple[object, ...]:
    """hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber, certStatus, revoketime, revokereason, thisUpdate, nextUpdate."""
    certificate, status, updated, *more = der.within(octets, one)
    algorithm, name, key, number = der.within(octets, certificate)
    oid = der.within(octets, algorithm)[0]
    hashed = octets[oid[1] : oid[2]]
    when: int | None = None
    reason: str | None = None
    if status[0] == _REVOKED:
        revoked = der.within(octets, status, _REVOKED)
        when = der.moment(revoked[0][0], octets[revoked[0][1] : revoked[0][2]])
        if len(revoked) > 1:
            code = der.element(octets, revoked[1][1], revoked[1][2])
            reason = _REASONS.get(int.from_bytes(octets[code[1] : code[2]][:4], "big"), "(UNKNOWN)")
    nexts = [der.element(octets, part[1], part[2]) for part in more if part[0] == _EXPLICIT_0]
    return (
        der.ALGORITHMS.get(hashed) or der.dotted(hashed), octets[name[1] : name[2]].hex().upper(), octets[key[1] : key[2]].hex().upper(),
        der.serial(octets[number[1] : number[2]]), {_GOOD: "good", _REVOKED: "revoked"}.get(status[0], "unknown"), when or None, reason,
        der.moment(updated[0], octets[updated[1] : updated[2]]) or 0,
        (der.moment(nexts[0][0], octets[nexts[0][1] : nexts[0][2]]) or None) if nexts else None,
    )  # fmt: skip
