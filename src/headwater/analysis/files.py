"""Files that flows carry: what they are by their first octets, how much of them came, their hashes; a row of `files` each.

Which fields there are, and what they mean, is Zeek's: scripts/base/frameworks/files/main.zeek and src/file_analysis/File.cc.
"""

import hashlib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from headwater.analysis.mime import mime_type
from headwater.records.address import unpacked
from headwater.records.messages import message

if TYPE_CHECKING:
    from headwater.analysis.stream import Stream

FILES = message("files")
HASHES: Final = ("md5", "sha1", "sha256")
_HEAD: Final = 4096  # octets by which it is known what a file is: Zeek's default_file_bof_buffer_size
_LASTING: Final = 1 << 12  # files of which more may come
_SILENCE: Final = 120 * 10**9  # nanoseconds without more of it, after which such a file is over: Zeek's default_file_timeout_interval
_AHEAD: Final = 1 << 19  # octets that wait for those before them: Zeek's reassembly_buffer_size
_WHOLE: Final = 1 << 20  # octets of a file that is read whole
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = [low + high for high in _DIGITS for low in _DIGITS]

READERS: dict[str, tuple[str, "Callable[[File, bytes], None]"]] = {}
"""By MIME type, who reads files of it that came whole: what Zeek calls that analyzer, and a function of the file and its octets."""


class Extracted(Protocol):
    """A file that is written out as it comes (outputs/extracted.py): its name, how long it is by now, whether that is not all."""

    name: str
    size: int
    is_cut: bool

    def write(self, octets: bytes) -> None:
        """The next of it."""

    def skip(self, octets: int) -> None:
        """So many were never seen."""

    def close(self) -> None:
        """It is over."""


@dataclass(frozen=True)
class FileSettings:
    """Which `hashes` are made, and which addresses are local (`local_nets`, as in FlowSettings). `extract` is given the source, fuid and
    MIME type of each file (nothing where that is not known), and gives who writes it out, if anybody. Files are rows unless nobody wants
    them `told`.
    """

    hashes: Sequence[str] = HASHES
    told: bool = True
    local_nets: Sequence[str] = ()
    extract: Callable[[str, str, str], Extracted | None] | None = None


@dataclass
class Files:
    """What the files of all streams have in common."""

    settings: FileSettings = field(default_factory=FileSettings)
    known: dict[Any, Any] = field(default_factory=dict)  # what readers remember of files; they bound how much it is
    lasting: dict[bytes, "File"] = field(default_factory=dict)
    """Files of which more may come on any connection, by their handles."""
    due: int = 0  # until then (nanoseconds) none of them is over

    def keep(self, file: "File") -> None:
        """More of it may come, for two minutes after the last."""
        while len(self.lasting) >= _LASTING:
            next(iter(self.lasting.values())).end(timed_out=True)
        self.due = min(self.due, file.active + _SILENCE) if self.lasting else file.active + _SILENCE
        self.lasting[file.handle] = file

    def expire(self, now: int | None = None) -> None:
        """Those of which nothing came for long are over at that time (nanoseconds), or all. Until `due` that is none."""
        for file in tuple(self.lasting.values()):
            if now is None or file.active + _SILENCE < now:
                file.end(timed_out=True)
        self.due = min((file.active for file in self.lasting.values()), default=0) + _SILENCE

    def __post_init__(self) -> None:
        nets = [ipaddress.ip_network(net) for net in self.settings.local_nets]

        @lru_cache(1 << 12)
        def is_local(addr: bytes) -> bool:
            said = ipaddress.ip_address(unpacked(addr))
            return any(said.version == net.version and said in net for net in nets)

        self.is_local: Callable[[bytes], bool] = is_local


class File:
    """One file, as far as it has come. It has begun now, or when the first octet came of what a parser was given last.

    `side` of `stream` sends it; `source` is the protocol as Zeek writes it (HTTP, SSL, FTP_DATA, SMTP). `total` is how long it is, where
    that is known: with its last octet it ends by itself. `depth` is which part of a message it is. `mime_type` is known after up to 4,096
    octets, or at its end. A file of which parts come on several connections is known by its `handle`.
    """

    def __init__(
        self,
        stream: "Stream",
        side: int,
        source: str,
        *,
        filename: str | None = None,
        total: int | None = None,
        depth: int = 0,
        handle: bytes = b"",
    ) -> None:
        self.stream, self.side, self.source, self.filename, self.total, self.depth = stream, side, source, filename, total, depth
        self.handle = handle or _number(stream)
        self.fuid = _fuid(self.handle)
        self.uids: dict[bytes, tuple[Any, ...]] = {}
        """Which connections it came on: the columns of each."""
        self.follow(stream)
        self.mime_type: str | None = None
        self.seen = self.missing = self.overflow = 0
        self.is_over = self._timed_out = False
        self.hashes: Mapping[str, str] = {}
        self._analyzers: list[str] = []
        self._ts = self.active = min(stream.since or stream.now, stream.now)
        self._head: bytes | None = b""
        self._whole: list[bytes] | None = None
        self._extracted: Extracted | None = None
        self._last = 0  # when the last of it came, if what waited was taken later
        self._ahead: dict[int, bytes] = {}  # what came before its turn, by its place
        self._digests = [(name, hashlib.new(name, usedforsecurity=False)) for name in stream.files.settings.hashes]

    @property
    def begun(self) -> int:
        """When."""
        return self._ts

    @property
    def is_known(self) -> bool:
        """Whether it has been looked at, what it is."""
        return self._head is None

    def octets(self, octets: bytes) -> None:
        """The next of them."""
        if self.is_over:
            return
        self.active = self.stream.now
        self.seen += len(octets)
        if self._head is not None:
            self._head += octets
            if len(self._head) >= _HEAD:
                self._know()
        else:
            if self._extracted:
                self._extracted.write(octets)
            if self._whole is not None:
                self._whole.append(octets)
                if self.seen > _WHOLE:
                    self._whole = None
        for _, digest in self._digests:
            digest.update(octets)
        if self.total is not None and self.seen + self.missing >= self.total:
            self.end()

    def follow(self, stream: "Stream") -> None:
        """It comes on that stream now."""
        self.stream = stream
        self.uids[stream.uid] = (stream.uid, stream.orig, stream.orig_port, stream.resp, stream.resp_port)

    def range(self, at: int, octets: bytes) -> None:
        """Some of them, which begin at that place: they wait for those before them."""
        if self.is_over:
            return
        have = self.seen + self.missing
        if at <= have:
            if at + len(octets) > have:
                self.octets(octets[have - at :])
            self._take_ahead()
            return
        self.active = self.stream.now
        if len(octets) > len(self._ahead.get(at, b"")):
            self._ahead[at] = octets
        if sum(map(len, self._ahead.values())) > _AHEAD:
            self._take_ahead(all_of_it=True)

    def _take_ahead(self, *, all_of_it: bool = False) -> None:
        """What has its turn now; or all, with gaps between."""
        while self._ahead and not self.is_over:
            at = min(self._ahead)
            have = self.seen + self.missing
            if at > have:
                if not all_of_it:
                    return
                self.gap(at - have)
                have = at
            octets = self._ahead.pop(at)
            if at + len(octets) > have:
                self.octets(octets[have - at :])

    def skip(self, at: int, octets: int) -> None:
        """So many that begin at that place were never seen."""
        have = self.seen + self.missing
        if at <= have < at + octets:
            self.gap(at + octets - have)

    def gap(self, octets: int) -> None:
        """So many were never seen."""
        if self.is_over:
            return
        self.active = self.stream.now
        if self._head is not None:
            self._know()
        self.missing += octets
        if self._extracted:
            self._extracted.skip(octets)
        self._digests, self._whole = [], None

    def end(self, *, timed_out: bool = False) -> None:
        """There is no more of it: it is told."""
        if self.is_over:
            return
        self._timed_out |= timed_out
        if self._ahead:
            self._last = self.active
            self._take_ahead(all_of_it=True)
            if self.is_over:
                return
        if self._head is not None:
            self._know()
        self.is_over = True
        self.stream.files.lasting.pop(self.handle, None)
        self.hashes = {name: digest.hexdigest() for name, digest in self._digests}
        self._analyzers += [name.upper() for name in self.hashes]
        if self._extracted:
            self._extracted.close()
            self._analyzers.append("EXTRACT")
        if self._whole is not None and self.mime_type:
            READERS[self.mime_type][1](self, b"".join(self._whole))
        if self.stream.files.settings.told:
            self._put()

    def _know(self) -> None:
        """What it is, by as much as has come without a gap."""
        head, self._head = self._head or b"", None
        if head and not self.missing:
            self._look_at(head)
        if extract := self.stream.files.settings.extract:
            self._extracted = extract(self.source, self.fuid, self.mime_type or "")
        if self._extracted and head:
            self._extracted.write(head)

    def _look_at(self, head: bytes) -> None:
        self.mime_type = mime_type(head[:_HEAD])
        if self.mime_type in READERS:
            self._analyzers.append(READERS[self.mime_type][0])
            self._whole = [head]

    def _put(self) -> None:
        stream = self.stream
        hashes: list[Any] = [self.hashes.get(name) for name in HASHES]
        extracted = (self._extracted.name, self._extracted.is_cut, self._extracted.size) if self._extracted else (None, None, None)
        local = stream.files.is_local
        for connection in self.uids.values():
            stream.put_row(FILES, (
                self._ts, self.fuid, *connection, self.source, self.depth, self._analyzers, self.mime_type, self.filename,
                ((self._last or self.active) // 1000 - self._ts // 1000) / 1e6, local(connection[3 if self.side else 1]), not self.side,
                self.seen, self.total, self.missing, self.overflow, self._timed_out, None, *hashes, *extracted,
            ))  # fmt: skip


def _number(stream: "Stream") -> bytes:
    """What only this file of all is known by: its flow's uid, and which of its files it is."""
    outermost = stream
    while outermost.outer:
        outermost = outermost.outer
    outermost.file_count += 1
    return outermost.file_count.to_bytes(8, "little") + bytes(stream.uid)


def _fuid(handle: bytes) -> str:
    """A file's name, as Zeek makes it: 96 bits in base 62."""
    number = int.from_bytes(hashlib.blake2s(handle, digest_size=12).digest(), "little")
    digits = ["F"]
    while number:
        number, four = divmod(number, len(_PAIRS) ** 2)
        high, low = divmod(four, len(_PAIRS))
        digits += _PAIRS[low], _PAIRS[high]
    return "".join(digits).rstrip("0")
