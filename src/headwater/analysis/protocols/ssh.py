"""SSH: RFC 4253, and so much of SSH 1 as says that it is that. HASSH: github.com/salesforce/hassh.

Fields are Zeek's (scripts/base/protocols/ssh/main.zeek), and so is the guess who was let in, by the sizes of what is encrypted
(src/analyzer/protocol/ssh/SSH.cc).
"""

from base64 import b64encode
from hashlib import md5, sha256
from typing import Final

from headwater.analysis.stream import ORIG, RESP, SEGMENT, Gap, Parser, Protocol, Stream, Until
from headwater.analysis.wire import Malformed, Reader, text
from headwater.records.messages import message

SSH = message("ssh", {"hassh": "string", "hasshServer": "string"})
_PORT: Final = 22
_LONGEST_LINE: Final = 8192  # as OpenSSH's, of which 1024 may come before the version
_MOST_LINES: Final = 1024
_LONGEST_PACKET: Final = 256 << 10  # OpenSSH's
_MOST_ENCRYPTED: Final = 1 << 20  # octets of a side: by then somebody was let in
_KEXINIT, _NEWKEYS = 20, 21
_REPLIES: Final = {"diffie-hellman-group-exchange-": 33, "gss-": 33, "rsa": 0} | dict.fromkeys(
    ("curve25519-", "curve448-", "diffie-hellman-", "ecdh-", "ecmqv-", "mlkem", "sntrup"), 31
)
"""By how exchanges of keys begin, the message of the server's that begins with its host key."""
_SESSION_KEY: Final = 3  # of SSH 1
_FINGERPRINT: Final = 32  # letters of it that Zeek writes
_COMPRESSED: Final = frozenset({"zlib", "zlib@openssh.com"})
_KEX, _HOST_KEY, _CIPHER, _MAC, _COMPRESSION = 0, 1, 2, 4, 6  # lists of a KEXINIT; of the last three the server's is behind the client's
_NOTHING: Final = "Algorithm negotiation failed"


class Ssh(Protocol):
    """A row a connection, when somebody was let in or when it is over."""

    service = "ssh"
    transports = frozenset({"tcp"})
    first = b"S"
    decides = 2048
    records = (SSH,)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._begun = 0  # when the first version came
        self._lines: list[bytes] = [b"", b""]
        self._version: int | None = None
        self._lists: list[list[bytes]] = [[], []]  # of either side's KEXINIT
        self._algorithms: tuple[str | None, ...] = (None,) * 5
        self._reply: int | None = None  # the message with the host key
        self._fingerprint: str | None = None
        self._hassh: list[str | None] = [None, None]
        self._stopped = False  # nothing further can be told
        self._told = False
        self._asked = self._passed_banner = False
        self._accept = self._failure = 0  # sizes of what the server said: that it offers to let in, and that it did not
        self._success: bool | None = None
        self._attempts = 0

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """On its own port one side's version, elsewhere both."""
        if stream.partial or not octets.startswith(b"SSH-"):
            return False
        other = (stream.head or (b"", b""))[1 - side]
        return stream.resp_port == _PORT or other.startswith(b"SSH-") or (side == ORIG and b"\nSSH-" in other)

    def side(self, side: int) -> Parser:
        """Its version, what it says before keys are there, and the sizes of the rest."""
        try:
            yield from self._line(side)
            if self._spoken() == 1:
                yield from self._first_of_ssh1(side)
            else:
                yield from self._packets(side)
                yield from self._encrypted(side)
        except (Gap, Malformed):
            self._stopped = True

    def over(self) -> None:
        """Tell of one that is over without a success."""
        if self._begun and not self._told:
            self._put()

    # -- versions ---------------------------------------------------------------------------------------------------------------------

    def _line(self, side: int) -> Parser:
        for _ in range(_MOST_LINES):
            line = (yield Until(b"\n", _LONGEST_LINE, "SSH_long_line")).rstrip(b"\r\n")
            if line.startswith(b"SSH-"):
                self._begun = self._begun or self._stream.now
                self._lines[side] = line
                self._compare()
                return
            if side == ORIG:
                break
        raise Malformed("malformed_ssh_identification")

    def _compare(self) -> None:
        if not all(self._lines):
            return
        kinds = {_kind(line) for line in self._lines}
        mismatch = kinds == {1, 2}
        if kinds <= {1, 2, 199} and not mismatch:
            self._version = 1 if 1 in kinds else 2
        elif mismatch or min(map(len, self._lines)) < 5:
            name = "SSH_version_mismatch" if mismatch else "SSH_cannot_determine_version"
            self._stream.weird(name, f"{text(self._lines[RESP])} vs {text(self._lines[ORIG])}")
            self._stopped = True

    def _spoken(self) -> int:
        """What version the next packet is of. One side may go on before the other has told its own."""
        return self._version or (1 if 1 in map(_kind, filter(None, self._lines)) else 2)

    def _first_of_ssh1(self, side: int) -> Parser:
        length = int.from_bytes((yield 4), "big")
        if length > _LONGEST_PACKET:
            raise Malformed("SSH_max_packet_length_exceeded")
        padded = yield 8 - length % 8 + 1
        if side == ORIG and padded[-1] == _SESSION_KEY and self._version:
            self._stream.confirm(self)

    # -- keys -------------------------------------------------------------------------------------------------------------------------

    def _packets(self, side: int) -> Parser:
        while True:
            head = yield 5
            length = int.from_bytes(head[:4], "big")
            if length > _LONGEST_PACKET:
                if self._version == 2:  # not of one side alone, nor where the other one turned out to speak version 1
                    self._stream.weird("SSH_max_packet_length_exceeded", f"{length} > {_LONGEST_PACKET}", "SSH")
                raise Malformed("SSH_max_packet_length_exceeded")
            if length < head[4] + 2:
                raise Malformed("SSH_short_packet")
            packet = yield length - 1
            if self._stopped:
                return
            self._take(side, packet[0], Reader(packet, 1, len(packet) - head[4]))
            if packet[0] == _NEWKEYS:
                if self._version:
                    self._stream.confirm(self)
                return

    def _take(self, side: int, kind: int, packet: Reader) -> None:
        if kind == _KEXINIT and not self._lists[side]:
            packet.take(16)
            self._lists[side] = [packet.take(packet.u32()) for _ in range(8)]
            chosen = (_KEX, *(which + side for which in (_CIPHER, _MAC, _COMPRESSION)))
            self._hassh[side] = md5(b";".join(self._lists[side][at] for at in chosen), usedforsecurity=False).hexdigest()
            if all(self._lists):
                self._choose()
        elif side == RESP and kind == self._reply:
            key = sha256(packet.take(packet.u32())).digest()
            self._fingerprint = "SHA256:" + b64encode(key).decode()[:_FINGERPRINT]

    def _choose(self) -> None:
        kex, host_key = self._chosen(_KEX), self._chosen(_HOST_KEY)
        both = []
        for which in (_CIPHER, _MAC, _COMPRESSION):
            there, back = self._chosen(which), self._chosen(which + 1)
            both.append(there if there == back else f"To server: {there}, to client: {back}")
        self._algorithms = kex, host_key, *both
        self._reply = next((kind for begin, kind in _REPLIES.items() if kex.startswith(begin)), None)
        if kex != _NOTHING and self._reply is None:
            self._stream.weird("ssh_unknown_kex_algorithm", kex, "SSH")

    def _chosen(self, which: int) -> str:
        offered = set(self._lists[RESP][which].split(b","))
        return next((text(name) for name in self._lists[ORIG][which].split(b",") if name in offered), _NOTHING)

    # -- what is encrypted ------------------------------------------------------------------------------------------------------------

    def _encrypted(self, side: int) -> Parser:
        if self._algorithms[4] in _COMPRESSED:
            self._stopped = True  # sizes say nothing
        octets = 0
        while not self._stopped and octets < _MOST_ENCRYPTED:
            size = len((yield SEGMENT))
            octets += size
            if self._stopped or self._version != 2:
                return
            if side == ORIG:
                self._asked = True
            elif self._asked:
                self._guess(size)

    def _guess(self, size: int) -> None:
        """What the server says to a user: first that it may be tried (24 octets before they are encrypted), then a failure, whose size is
        that of each further one, or a success (8 octets).
        """
        if not self._accept:
            self._accept = size
        elif size + 16 == self._accept:
            self._success, self._stopped = True, True
            self._attempts += 1
            self._put()
        elif self._failure:
            if size == self._failure:
                self._success = False
                self._attempts += 1
        elif size - self._accept > 256 and not self._passed_banner:
            self._passed_banner = True
        else:
            self._failure = size

    def _put(self) -> None:
        self._told = True
        stream = self._stream
        local, remote = stream.files.is_local(stream.orig), stream.files.is_local(stream.resp)
        direction = None if local == remote else "OUTBOUND" if local else "INBOUND"
        kex, host_key, cipher, mac, compression = self._algorithms
        client, server = (text(line) or None for line in self._lines)
        stream.put(SSH, self._begun, (
            self._version, self._success, self._attempts, direction, client, server, cipher, mac, compression, kex, host_key,
            self._fingerprint, *self._hassh,
        ))  # fmt: skip


def _kind(line: bytes) -> int:
    """2, 1, or 199 of who speaks both (RFC 4253, 5.1); 0 of what is neither."""
    return 2 if line[4:5] == b"2" else 0 if line[4:5] != b"1" else 199 if line[6:8] == b"99" else 1
