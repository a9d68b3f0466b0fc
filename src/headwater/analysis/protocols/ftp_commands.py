"""Commands of FTP and what is said to them: which reply belongs to which command, what directories and data connections they name."""

import re
from collections.abc import Collection
from typing import Final

from headwater.analysis.files import File
from headwater.records.address import MAPPED, packed

_OFTEN = "500 501 421"
CODES: Final = {
    name: frozenset(map(int, codes.split()))
    for name, codes in {
        "<init>": "0 120 220 421",
        "USER": f"{_OFTEN} 230 331 332 530",
        "PASS": f"{_OFTEN} 202 230 332 503 530",
        "ACCT": f"{_OFTEN} 202 230 503 530",
        "CWD": f"{_OFTEN} 250 502 530 550",
        "CDUP": f"{_OFTEN} 200 250 502 530 550",
        "SMNT": f"{_OFTEN} 202 250 502 530 550",
        "REIN": "120 220 421 500 502",
        "QUIT": "0 221 500",
        "PORT": f"{_OFTEN} 200 530",
        "PASV": f"{_OFTEN} 227 502 530",
        "MODE": f"{_OFTEN} 200 502 504 530",
        "TYPE": f"{_OFTEN} 200 504 530",
        "STRU": f"{_OFTEN} 200 504 530",
        "ALLO": f"{_OFTEN} 200 202 504 530",
        "REST": f"{_OFTEN} 200 350 502 530",
        "STOR": f"{_OFTEN} 110 125 150 226 250 425 426 450 451 452 530 532 550 551 552 553",
        "STOU": f"{_OFTEN} 110 125 150 226 250 425 426 450 451 452 530 532 550 551 552 553",
        "RETR": f"{_OFTEN} 110 125 150 226 250 425 426 450 451 530 550",
        "LIST": f"{_OFTEN} 125 150 226 250 425 426 450 451 502 530 550",
        "NLST": f"{_OFTEN} 125 150 226 250 425 426 450 451 502 530 550",
        "APPE": f"{_OFTEN} 125 150 226 250 425 426 450 451 452 502 530 532 550 551 552 553",
        "RNFR": f"{_OFTEN} 350 450 502 530 550",
        "RNTO": f"{_OFTEN} 250 502 503 530 532 553",
        "DELE": f"{_OFTEN} 250 450 502 530 550",
        "RMD": f"{_OFTEN} 250 502 530 550",
        "MKD": f"{_OFTEN} 257 502 530 550",
        "PWD": f"{_OFTEN} 257 502 550",
        "ABOR": f"{_OFTEN} 225 226 502",
        "SYST": f"{_OFTEN} 215 502 530",
        "STAT": f"{_OFTEN} 211 212 213 450 502 530",
        "HELP": f"{_OFTEN} 200 211 214 502",
        "SITE": "200 202 214 500 501 502 530",
        "NOOP": "200 421 500",
        "LPRT": "500 501 521",
        "FEAT": "211 500 502",
        "OPTS": "200 451 501",
        "EPSV": "229 500 501",
        "EPRT": "200 500 501 522",
        "SIZE": "213 500 501 550",
        "MDTM": "213 500 501 550",
        "MLST": "150 226 250 500 501 550",
        "MLSD": "150 226 250 500 501 550",
        "CLNT": "200 500",
        "MACB": "200 500 550",
    }.items()
}
"""By command, the replies to it: RFC 959, 1639, 2389, 2428, 3659. 0 is an answer to what was not asked."""

OF_FILES: Final = frozenset("APPE CWD DELE MKD RETR RMD RNFR RNTO STOR STOU REST SIZE MDTM".split())
"""Those whose argument names a file or directory."""

TRANSFERS: Final = frozenset("APPE LIST MLSD NLST RETR STOR STOU".split())
"""Those that need a data connection."""

_DIRECTORY: Final = {("CWD", 250), ("CDUP", 200), ("CDUP", 250), ("PWD", 257), ("XPWD", 257)}
_ABSOLUTE = re.compile(rb"/|[A-Za-z]:[\\/]")
_NAMED = re.compile(rb'(?:/|[A-Za-z]:[\\/])(?:\\ |[^" ])*')
_SIX = re.compile(rb",".join([rb"\s*(\d{1,9})"] * 6))
_NUMBER = re.compile(rb"\d+")

Endpoint = tuple[bytes, int]
"""An address of 16 octets and a port."""


class Channel:
    """A data connection that was agreed on, and the file that it carried once that is known."""

    __slots__ = ("endpoint", "file", "orig", "passive")

    def __init__(self, passive: bool, orig: bytes, endpoint: Endpoint) -> None:
        self.passive, self.orig, self.endpoint = passive, orig, endpoint
        self.file: File | None = None


class Command:
    """What a client asked, and when. Nobody asked that without a number."""

    __slots__ = ("argument", "channel", "moved", "name", "number", "ts")

    def __init__(self, ts: int, number: int, name: str = "<unknown>", argument: bytes = b"") -> None:
        self.ts, self.number, self.name, self.argument = ts, number, name, argument
        self.moved = False  # to another directory
        self.channel: Channel | None = None


def answered(waiting: Collection[Command], code: int, said: bytes) -> Command | None:
    """Which of the commands is answered by that: by its code, by what it repeats, and then the oldest."""
    if len(waiting) < 2:
        return next(iter(waiting), None)

    def fits(one: Command) -> tuple[int, int]:
        score = 100 if code == 500 or code in CODES.get(one.name, ()) else 0
        score += 20 * (one.name.encode() in said) + 10 * (one.argument in said)
        return score, -one.number

    return max(waiting, key=fits, default=None)


def moved(directory: bytes, one: Command, code: int, said: bytes) -> bytes:
    """The working directory after that reply."""
    if one.moved or (one.name, code) not in _DIRECTORY:
        return directory
    one.moved = True
    if one.name == "CWD":
        return joined(directory, one.argument)
    if one.name == "CDUP":
        return joined(directory, b"/..")
    found = _NAMED.search(said)
    return found[0] if found else b""


def joined(directory: bytes, name: bytes) -> bytes:
    """A name as seen from a directory, without what cancels itself."""
    if directory and not _ABSOLUTE.match(name):
        name = directory + (b"" if directory.endswith(b"/") else b"/") + name
    parts: list[bytes] = []
    for at, part in enumerate(name.split(b"/")):
        if not part or (part == b"." and at):
            continue
        if part == b".." and parts and parts[-1] not in (b"..", b"~"):
            if parts.pop() == b".":
                parts.append(part)
        else:
            parts.append(part)
    return (b"/" if name.startswith(b"/") else b"") + b"/".join(parts)


def last_number(said: bytes) -> int:
    """The last number in a reply, 0 if there is none."""
    numbers = _NUMBER.findall(said)
    return int(numbers[-1][:18]) if numbers else 0


def port(argument: bytes) -> Endpoint | None:
    """What PORT names: four octets of an address, two of a port."""
    found = _SIX.match(argument)
    octets = [int(octet) for octet in found.groups()] if found and len(argument) > 10 else [256]
    return (MAPPED + bytes(octets[:4]), octets[4] << 8 | octets[5]) if max(octets) < 256 else None


def pasv(said: bytes) -> Endpoint | None:
    """What the answer to PASV names: likewise, behind a parenthesis, behind PORT, or anywhere."""
    if b"(" in said:
        return port(said[said.index(b"(") + 1 :])
    if b"PORT" in said:
        return port(said[said.index(b"PORT") + 5 :])
    found = _SIX.search(said)
    return port(found[0]) if found else None


def eprt(argument: bytes) -> Endpoint | None:
    """What EPRT names (RFC 2428): a family, an address and a port between delimiters. Of EPSV the port alone, and an address of zeros."""
    argument = argument.lstrip()
    parts = argument[1:].split(argument[:1], 3) if argument else []
    if len(parts) < 4 or not parts[2].isdigit() or len(parts[2]) > 5 or int(parts[2]) > 65535 or not (parts[0] or b"0").isdigit():
        return None
    address = packed(parts[1].decode("ascii", "replace")) if parts[1] else bytes(16)
    return (address, int(parts[2])) if address else None


def epsv(said: bytes) -> Endpoint | None:
    """What the answer to EPSV names."""
    return eprt(said[said.index(b"(") + 1 :]) if b"(" in said else None
