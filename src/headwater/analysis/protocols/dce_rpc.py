"""DCE/RPC over TCP (C706, chapter 12; MS-RPCE): that it is, and with what it proves who asks. In pipes of SMB, smb.py finds it."""

import re
from typing import Final

from headwater.analysis.stream import Parser, Protocol, Skip, Stream
from headwater.analysis.wire import Malformed

REQUEST: Final = re.compile(rb"\x05\x00[\x00\x02\x03\x0b-\x10][\x00-\x83]\x10\x00\x00\x00", re.DOTALL)
"""How a message begins that is in the order of octets that all use."""
_HEADER: Final = 16
_MOST: Final = 65_535
_OF_ORIG, _OF_RESP = frozenset({0, 11, 14, 16, 18, 19}), frozenset({2, 3, 12, 13, 15})
_PROOFS: Final = {9: "gssapi", 10: "ntlm", 16: "krb"}  # MS-RPCE, 2.2.1.1.7
_NETLOGON: Final = 68  # a proof that Zeek does not read either
_LOOKED_AT: Final = 200  # messages of a side: what is later says nothing new


class DceRpc(Protocol):
    """No rows: what proves who asks is a service, too, and comes first, as in Zeek."""

    service = "dce_rpc"
    transports = frozenset({"tcp"})
    first = b"\5"
    records = ()

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._proofs: list[str] = []
        self._messages = [0, 0]

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:  # noqa: ARG003 - the type says who asks
        """A message that this side sends, as long as one can be."""
        return len(octets) >= _HEADER and _is_header(octets, side)

    def side(self, side: int) -> Parser:
        """Messages. The last octets of one are its proof."""
        for _ in range(_LOOKED_AT):
            header = yield _HEADER
            if not _is_header(header, side):
                raise Malformed("dce_rpc_header")
            order = "little" if header[4] else "big"
            size, proof = (int.from_bytes(header[at : at + 2], order) for at in (8, 10))  # type: ignore[arg-type]
            if proof and proof + 8 <= size - _HEADER:
                yield Skip(size - _HEADER - proof - 8)
                self._prove((yield 1)[0])
                yield Skip(proof + 7)
            elif size > _HEADER:
                yield Skip(size - _HEADER)
            self._messages[side] += 1
            if all(self._messages) or self._messages[side] > 1:
                for name in self._proofs:
                    self._stream.speaks(name)
                self._stream.confirm(self)
        self._stream.leave(self)

    def _prove(self, kind: int) -> None:
        if kind == _NETLOGON:
            self._stream.weird("netlogon_dce_rpc_auth_type", str(kind), "DCE_RPC")
        if kind in _PROOFS and _PROOFS[kind] not in self._proofs:
            self._proofs.append(_PROOFS[kind])


def _is_header(octets: bytes, side: int) -> bool:
    if octets[0] != 5 or octets[1] > 1 or octets[2] not in (_OF_RESP if side else _OF_ORIG) or octets[4] not in (0, 0x10) or octets[5]:
        return False
    return _HEADER <= int.from_bytes(octets[8:10], "little" if octets[4] else "big") <= _MOST
