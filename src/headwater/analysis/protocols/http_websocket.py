"""WebSocket as far as HTTP agrees on it: RFC 6455, 4. Fields are Zeek's: scripts/base/protocols/websocket/main.zeek."""

from collections.abc import Mapping
from typing import Final

from headwater.analysis.wire import text
from headwater.records.messages import message

WEBSOCKET = message("websocket")
SERVICE: Final = "websocket"
PROTOCOL: Final = b"sec-websocket-protocol"
EXTENSIONS: Final = b"sec-websocket-extensions"

Lists = Mapping[bytes, list[bytes]]
NO_LISTS: Final[Lists] = {}


def agreed(asked: Lists, answered: Lists) -> tuple[str | None, list[str] | None, list[str] | None, list[str] | None]:
    """(subprotocol, those that the client asked for, extensions of the server, of the client), of fields by these names."""
    subprotocol = answered.get(PROTOCOL)
    return (
        text(subprotocol[-1]) if subprotocol else None,
        _apart(asked.get(PROTOCOL)),
        _apart(answered.get(EXTENSIONS)),
        _apart(asked.get(EXTENSIONS)),
    )


def _apart(values: list[bytes] | None) -> list[str] | None:
    return [text(one.strip()) for value in values for one in value.split(b",")] if values else None
