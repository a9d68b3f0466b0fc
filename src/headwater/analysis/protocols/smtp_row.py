"""What is told of one mail: its sender, those who get it, and what its headers say."""

from typing import Any, Final

from headwater.analysis.files import File
from headwater.analysis.protocols import smtp_headers as headers
from headwater.analysis.stream import Stream
from headwater.analysis.wire import text
from headwater.records.messages import message

SMTP = message("smtp")
_MOST: Final = 1000  # people of a kind, as Zeek's max_to_addresses, and hosts
_LONG: Final = 4096  # octets of one of them
_FILES: Final = 10_000
_LISTS: Final = {"TO": "to", "CC": "cc"}
_TEXTS: Final = {
    "MESSAGE-ID": "msg_id", "IN-REPLY-TO": "in_reply_to", "SUBJECT": "subject", "FROM": "from", "REPLY-TO": "reply_to", "DATE": "date",
    "X-MAILER": "user_agent", "USER-AGENT": "user_agent", "X-USER-AGENT": "user_agent",
}  # fmt: skip
_FIELDS: Final = [column.name for column in SMTP.columns[6:]]


class Row:
    """The row of a mail, which begins now. It is told only if it is `active`: if the client did something for it."""

    def __init__(self, stream: Stream, depth: int, helo: str | None) -> None:
        self._stream = stream
        self._ts = stream.now
        self._parts = 0
        self.active = False
        self.values: dict[str, Any] = dict.fromkeys(_FIELDS)
        self.values.update(trans_depth=depth, helo=helo, path=[stream.resp, stream.orig], tls=False, fuids=[])

    def put(self) -> None:
        """Tell of it."""
        self._stream.put(SMTP, self._ts, tuple(self.values[name] for name in _FIELDS))

    def add(self, name: str, people: list[bytes]) -> None:
        """People of rcptto, to or cc."""
        known = self.values[name] = self.values[name] or []
        for one in (text(octets[:_LONG]) for octets in people):
            if len(known) >= _MOST:
                self._stream.weird(f"smtp_too_many_{name}_addresses")
                return
            if one not in known:
                known.append(one)

    def part(self) -> None:
        """A part of the mail begins."""
        self._parts += 1

    def found(self, file: File) -> None:
        """A part is that file."""
        if not self.values["tls"] and len(self.values["fuids"]) < _FILES:
            self.values["fuids"].append(file.fuid)

    def header(self, name: str, value: bytes) -> None:
        """One of the mail; those of what is in it are none."""
        values = self.values
        if self._parts > 1:
            return
        if name in _TEXTS:
            values[_TEXTS[name]] = text(value)
        elif name in _LISTS:
            self.add(_LISTS[name], headers.people(value))
        elif name == "X-ORIGINATING-IP":
            values["x_originating_ip"] = headers.any_host(value) or values["x_originating_ip"]
        elif name == "RECEIVED":
            values["second_received"], values["first_received"] = values["first_received"], text(value)
            self._pass(headers.host(value))

    def _pass(self, host: bytes) -> None:
        """The mail was at that host before."""
        path = self.values["path"]
        if not host or host == path[-1]:
            return
        if len(path) >= _MOST:
            self._stream.weird("smtp_max_path_length_exceeded")
        else:
            path.append(host)
