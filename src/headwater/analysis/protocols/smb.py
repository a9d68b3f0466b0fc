"""SMB 1 to 3 (MS-CIFS, MS-SMB2), over TCP or NetBIOS (RFC 1002, 4.3): that it is, who proves what, and whether pipes carry DCE/RPC."""

import re
from typing import Final

from headwater.analysis.protocols.dce_rpc import REQUEST
from headwater.analysis.stream import Parser, Protocol, Skip, Stream
from headwater.analysis.wire import Malformed

_SESSION: Final = frozenset({0x81, 0x82, 0x83, 0x84, 0x85})  # of NetBIOS
_MOST_OF_SESSION: Final = 256
_KINDS: Final = {b"\xffSMB": 1, b"\xfeSMB": 2, b"\xfdSMB": 3, b"\xfcSMB": 3}  # 3: encrypted or packed
_LEAST: Final = 32
_NEGOTIATE: Final = 0x72
_READ: Final = 1024  # octets of a message that are looked at
_LOOKED_AT: Final = 200  # messages of a side
_SPNEGO: Final = b"\x2b\6\1\5\5\2"
_NTLM: Final = b"NTLMSSP\0"
_KERBEROS: Final = re.compile(rb"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02[\x01-\x03]\x00")  # RFC 4121, 4.1
_PIPES: Final = {1: frozenset({0x25, 0x2E, 0x2F}), 2: frozenset({8, 9, 11})}  # commands that carry what a pipe does
_SETUPS: Final = {1: frozenset({_NEGOTIATE, 0x73}), 2: frozenset({0, 1})}


class Smb(Protocol):
    """No rows: what proves who asks, and what pipes carry, are services, in Zeek's order. SMB 2 is one with its second answer."""

    service = "smb"
    transports = frozenset({"tcp"})
    first = b"\0\x81\x82"
    records = ()

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._answers = 0

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - it shows by content
        """A message, or NetBIOS's before it."""
        if len(octets) >= 5 and octets[0] in (0x81, 0x82) and octets[1] == 0:
            return octets[0] == 0x81 + side and (side == 1 or octets[4] == 0x20)
        return octets[:1] == b"\0" and octets[4:8] in _KINDS

    def side(self, side: int) -> Parser:
        """Messages, each behind its length."""
        for _ in range(_LOOKED_AT):
            head = yield 4
            size = int.from_bytes(head[1:], "big")
            if head[0] in _SESSION:
                if size > _MOST_OF_SESSION:
                    raise Malformed("excess_netbios_hdr_len")
                yield Skip(size)
                continue
            if head[0] or size < _LEAST:
                raise Malformed("deficit_netbios_hdr_len")
            message = yield min(size, _READ)
            if size > _READ:
                yield Skip(size - _READ)
            self._read(side, message)
        self._stream.leave(self)

    def _read(self, side: int, message: bytes) -> None:
        kind = _KINDS.get(message[:4])
        if kind is None:
            raise Malformed("SMB_parsing_error")
        if kind == 3:
            return
        command = message[4] if kind == 1 else message[12]
        if kind == 2:
            self._answers += side
            if self._answers > 1:
                self._stream.confirm(self)
        if command in _SETUPS[kind]:
            if _SPNEGO in message:
                self._stream.speaks("gssapi")
            if _NTLM in message:
                self._stream.speaks("ntlm")
            if _KERBEROS.search(message):
                self._stream.speaks("krb")
        if command in _PIPES[kind] and REQUEST.search(message, _LEAST):
            self._stream.speaks("dce_rpc")
        if kind == 1 and command != _NEGOTIATE:
            self._stream.confirm(self)
