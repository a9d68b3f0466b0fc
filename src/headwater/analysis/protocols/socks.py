"""SOCKS 4, 4A and 5 (RFC 1928, 1929), as far as to where the proxy has made the connection. What follows is recognised anew."""

import re
from typing import Final

from headwater.analysis.protocols.starttls import WAITING, StartTls, Talk
from headwater.analysis.stream import RESP, Stream, Until
from headwater.analysis.wire import Malformed

_BIND: Final = 2
_UDP: Final = 3
_MOST_TEXT: Final = 512  # a user's or a host's name of SOCKS 4
_MOST_METHODS: Final = 16
_NO_PROOF, _PASSWORD, _NONE = 0, 2, 0xFF
_METHODS: Final = frozenset({*range(10), *range(0x80, 0xFF)})  # of IANA, and private ones
_FOUR: Final = re.compile(rb"\x04[\x01\x02].{6}[^\0]*\0", re.S)
_ANSWERS: Final = frozenset({0x5A, 0x5B, 0x5C, 0x5D})
_GRANTED: Final = 0x5A


class Socks(StartTls):
    """A client says where to, and the proxy that it is there, or why not."""

    service = "socks"
    first = b"\4\5"

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._command = 0

    @classmethod
    def is_begun(cls, stream: Stream, side: int, octets: bytes) -> bool:
        """As a client begins: with a request, or in version 5 with ways to say who it is."""
        if stream.partial or side == RESP:
            return False
        if len(octets) < 3 or octets[0] != 5:
            return _FOUR.match(octets) is not None
        methods = octets[2 : 2 + octets[1]]
        return 0 < len(methods) == octets[1] <= _MOST_METHODS and _METHODS.issuperset(methods)

    def talk(self, side: int) -> Talk:
        """One side of it. What the client says before it is answered waits."""
        if side == RESP:
            return (yield from self._answers())
        asks = self._asks_four if (yield 1) == b"\4" else self._asks_five
        yield from asks()
        yield WAITING
        return False

    def _asks_four(self) -> Talk:
        self._command, _, _, *address = yield 7
        yield Until(b"\0", _MOST_TEXT, "socks_long_name")
        if not any(address[:3]) and address[3]:  # 0.0.0.x: the client knows a name only (4A)
            yield Until(b"\0", _MOST_TEXT, "socks_long_name")
        return True

    def _asks_five(self) -> Talk:
        yield (yield 1)[0]
        begin = (yield 1)[0]
        if begin == 1:  # RFC 1929
            yield (yield 1)[0]
            yield (yield 1)[0]
            begin = (yield 1)[0]
        if begin != 5:
            return False
        self._command, _, kind = yield 3
        yield from _address(kind)
        return True

    def _answers(self) -> Talk:
        version, code = yield 2
        if version == 0 and code in _ANSWERS:
            yield 6
            self._stream.confirm(self)
            if code == _GRANTED and self._command == _BIND:
                _, code = yield 2
                yield 6
            return code == _GRANTED
        if version != 5 or (code not in _METHODS and code != _NONE):
            raise Malformed("socks_answer")
        self._stream.confirm(self)
        if code == _PASSWORD:
            _, code = yield 2
        if code != _NO_PROOF:
            return False
        granted = yield from _reply()
        if granted and self._command == _BIND:  # the second one tells who came
            granted = yield from _reply()
        return granted and self._command != _UDP


def _reply() -> Talk:
    """Of version 5: whether it was granted."""
    version, code, _, kind = yield 4
    if version != 5:
        raise Malformed("socks_reply")
    yield from _address(kind)
    return code == 0


def _address(kind: int) -> Talk:
    """Of version 5, and a port."""
    size = {1: 4, 4: 16}.get(kind) or ((yield 1)[0] if kind == 3 else 0)
    if not size:
        raise Malformed("socks_address")
    yield size + 2
    return True
