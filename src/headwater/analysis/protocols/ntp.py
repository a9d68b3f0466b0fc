"""NTP: RFC 5905; of its messages of control (RFC 9327), that they are. Fields are Zeek's: scripts/base/protocols/ntp/main.zeek."""

import struct
from typing import Final

from headwater.analysis.stream import Protocol, Stream
from headwater.analysis.wire import Malformed, address, text
from headwater.records.address import unpacked
from headwater.records.messages import message

NTP = message("ntp")
_PORT: Final = 123
_TIMES = struct.Struct(">xBbbHHHH4sIIIIIIII")  # what is behind the first octet of modes 1 to 5
_1970: Final = 2_208_988_800  # seconds since 1900
_CONTROL, _PRIVATE = 6, 7
_LEAST: Final = 16  # octets of an extension field
_CODES: Final = (4, 20, 24)  # octets of a code, with the key's number before it


class Ntp(Protocol):
    """A row a message of modes 1 to 5."""

    service = "ntp"
    transports = frozenset({"udp"})
    records = (NTP,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """Elsewhere than on its own port, a question of a client or its answer, with nothing behind it that is not NTP's."""
        if stream.resp_port == _PORT or len(octets) < _TIMES.size:
            return stream.resp_port == _PORT and bool(octets)
        if octets[0] & 7 != 3 + side or not 3 <= octets[0] >> 3 & 7 <= 4:
            return False
        return octets[1] <= 16 and -32 <= _signed(octets[3]) < 0 and _is_whole(octets)

    def datagram(self, side: int, octets: bytes) -> None:  # noqa: ARG002 - the mode says who asks
        """One message."""
        version, mode = octets[0] >> 3 & 7, octets[0] & 7
        if mode in (_CONTROL, _PRIVATE):
            if len(octets) < (12 if mode == _CONTROL else 8):
                raise Malformed("NTP_truncated")
            self._stream.confirm(self)
            return
        if not mode or not _is_whole(octets):
            raise Malformed("NTP_truncated")
        self._stream.confirm(self)
        stratum, poll, precision, delay, delay_part, dispersion, dispersion_part, reference, *times = _TIMES.unpack_from(octets)
        self._stream.put(NTP, self._stream.now, (
            version, mode, stratum, 2.0**poll, 2.0**precision, delay + delay_part / 65536, dispersion + dispersion_part / 65536,
            text(reference) if stratum < 2 else unpacked(address(reference)),
            *(_time(times[at], times[at + 1]) for at in (0, 2, 4, 6)), 0,
        ))  # fmt: skip


def _is_whole(octets: bytes) -> bool:
    """Whether there is nothing behind the header but extension fields (RFC 7822) and perhaps an authentication code."""
    at = _TIMES.size
    while len(octets) - at not in (0, *_CODES):
        size = int.from_bytes(octets[at + 2 : at + 4], "big")
        if size < _LEAST or size % 4 or at + size > len(octets):
            return False
        at += size
    return True


def _signed(octet: int) -> int:
    return octet - 256 if octet > 127 else octet


def _time(seconds: int, part: int) -> int:
    """Nanoseconds since 1970 of a time stamp (RFC 5905, 6) of its first era; 0 of one that says nothing, and of what was before."""
    return max(0, (seconds - _1970) * 10**9 + (part * 10**9 + (1 << 31) >> 32)) if seconds or part else 0
