"""What FTP transfers, on the connections that its commands agree on (RFC 959, 3.2): nothing but the file."""

from typing import Final

from headwater.analysis.files import FILES, File
from headwater.analysis.protocols.ftp_commands import Channel
from headwater.analysis.stream import SOME, Gap, Parser, Protocol, Stream

_SOURCE: Final = "FTP_DATA"


class FtpData(Protocol):
    """A data connection: the octets of each side are a file."""

    service = "ftp-data"
    transports = frozenset({"tcp"})
    first = b""
    records = (FILES,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        stream.confirm(self)

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - nothing in it tells
        """It is one only if it is expected."""
        return False

    def side(self, side: int) -> Parser:
        """All of it."""
        file: File | None = None
        try:
            while True:
                octets, lost = b"", 0
                try:
                    octets = yield SOME
                except Gap as gap:
                    lost = gap.octets
                if file is None:
                    file = File(self._stream, side, _SOURCE)
                    if isinstance(self._stream.expected, Channel):
                        self._stream.expected.file = file
                if lost:
                    file.gap(lost)
                else:
                    file.octets(octets)
        finally:
            if file is not None:
                file.end()
