"""Reads a capture file: pcap or pcapng, plain, gzip or zstd, from disk or a pipe, of any size in the same memory. Needs no privilege."""

import os
import stat
import time
from collections.abc import Generator
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import SourceError
from headwater.filters import Filter, sample_below
from headwater.interfaces import PacketWriter
from headwater.records import PACKET, Batch, Drop
from headwater.records.batch import Payloads
from headwater.records.layouts import FILTER, place_reason
from headwater.sources.octets import PATIENCE_S, Damaged, Octets
from headwater.telemetry import Entry, Ledger

READ = 1 << 18
CHUNK = 4 << 20
_PAYLOADS = 16 << 20  # octets of a batch: with more of a flow at a time, what reads it is asked less often


class _Room:
    """Memory for a batch of `most` rows, for numpy and for C; with `payloads`, for what they carry too."""

    def __init__(self, most: int, payloads: bool) -> None:
        self.rows = np.empty(most, PACKET.dtype)
        self._into = ffi.from_buffer("char[]", self.rows.view(np.uint8))
        self.payloads = (
            Payloads(ffi.new("struct hw_payload[]", most), ffi.from_buffer("char[]", np.empty(_PAYLOADS, np.uint8))) if payloads else None
        )

    def left(self, filled: int) -> tuple[Any, int, int]:
        """Behind so many rows: where C puts the next, the octets of each, and how many there may be."""
        return self._into + filled * self.rows.itemsize, self.rows.itemsize, len(self.rows) - filled


class Capture:
    """A capture file as a source of packets.

    `path` is a file, a FIFO, or `-` for standard input; `name`, what it is called in messages, rows and the ledger (the file's name
    unless said otherwise: captures of one name are one subject there). Batches have up to `batch_rows` rows. A packet that the file
    describes but that cannot be a row is dropped{capture, link_type} or dropped{capture, no_interface} in `ledger`. Of those that `filter`
    keeps, one in `sample` becomes a row, and goes whole to `packets`. With `carriers`, what carries a tunnelled packet is a row before it;
    with `checksums`, wrong ones are weirds. With `lends`, batches are borrowed, and of the memory of so many in turn: for who keeps none.
    With `payloads`, they come with what their packets carry.

    Frames are numbered from `before` + 1 on, and unless `only` is None, of those numbers, which rise, alone (uint32).
    """

    def __init__(
        self,
        path: str,
        ledger: Ledger,
        batch_rows: int = 65536,
        name: str = "",
        *,
        filter: Filter | None = None,
        sample: int = 1,
        packets: PacketWriter | None = None,
        carriers: bool = False,
        checksums: bool = False,
        lends: int = 0,
        payloads: bool = False,
        only: np.ndarray[Any, np.dtype[np.uint32]] | None = None,
    ) -> None:
        self.before = 0
        self.name = printable(name) or ("stdin" if path == "-" else printable(Path(path).name))
        self._path = path
        self._ledger = ledger
        self._batch_rows = batch_rows
        self._filter = filter
        self._sample = sample
        self._packets = packets
        self._wants_carriers = carriers
        self._checksums = checksums
        self._lends = lends
        self._keeps = payloads
        self._only = only
        self._carriers = self._made_carriers = 0  # until the last batch, and until now
        self._stopped = False
        self._fd = -1
        self._total = 0
        self._octets: Octets | None = None
        self._counts: Any = None  # as of the last block: account() may run in another thread while the decoder does
        self._before: dict[Entry, int] = {}  # what another capture of the same name has counted
        self._interfaces: dict[int, str] = {}
        self._named: dict[int, str] = {}  # those of the last batch, which are its own: another thread may look at them
        self._numbers: dict[str, int] = {}  # of the first interface of each name that the filter asks for
        self._unnamed = ffi.new("char[]", self.name.encode())
        self._decoder: Any = None

    def open(self) -> None:
        """Open the file. Raises SourceError if there is none that could be a capture."""
        self._fd = 0 if self._path == "-" else self._open_file()
        try:
            status = os.fstat(self._fd)
        except OSError:
            raise SourceError("there is no standard input: pipe a capture in (tcpdump -U -w - | headwater read -)") from None
        if stat.S_ISREG(status.st_mode):
            self._total = status.st_size
            if not self._total:
                self._refuse("is empty: not even a capture's header is there")
        elif os.isatty(self._fd):
            self._refuse("is a terminal: give a capture's path, or pipe one in (tcpdump -U -w - | headwater read -)")
        self._octets = Octets(self._fd)
        self._decoder = ffi.gc(lib.hw_capture_new(), lib.hw_capture_free)
        if not self._decoder:
            raise MemoryError
        self._choose()
        only = ffi.NULL if self._only is None else ffi.from_buffer("uint32_t[]", self._only, require_writable=False)
        lib.hw_capture_number(self._decoder, self.before, only, 0 if self._only is None else len(self._only))
        if self._wants_carriers:
            lib.hw_capture_carry(self._decoder)
        if self._checksums:
            lib.hw_capture_verify(self._decoder)
        if self._packets:
            lib.hw_capture_write(self._decoder, self._packets.memory, self._unnamed)
        self._before = self._ledger.totals()

    def _open_file(self) -> int:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO without a writer would block here
        except FileNotFoundError:
            raise missing(self._path) from None
        except PermissionError:
            raise SourceError(
                f"{printable(self._path)}: you may not read this file: ask its owner, or make it readable with chmod"
            ) from None
        except OSError as error:
            raise SourceError(f"{printable(self._path)} cannot be opened: {error.strerror}") from None
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise SourceError(f"{printable(self._path)} is a folder: name the captures in it, as in {printable(self._path)}/*.pcap")
        return fd

    def _refuse(self, problem: str) -> None:
        self.close()
        raise SourceError(f"{self.name} {problem}")

    def close(self) -> None:
        """Close the file, but not standard input."""
        if self._fd > 0:
            os.close(self._fd)
        self._fd = -1
        self._octets = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def progress(self) -> tuple[int, int] | None:
        """Octets of the file that are read, and how many it has; None for a pipe, whose end nobody knows."""
        octets = self._octets  # close() may come from another thread
        return (octets.position, self._total) if octets and self._total else None

    @property
    def frames(self) -> int:
        """How many have been read."""
        return int(self._counts.seen) if self._counts else 0

    @property
    def lost_before(self) -> int:
        """Packets that the capturing side says it lost. They are not in the file, so they are no part of `seen`."""
        return int(self._counts.lost_before) if self._counts else 0

    def read(self) -> Generator[Batch]:
        """Batches until the file's end. After the rows, raises SourceError if it is no capture, damaged, cut off, or
        not all of it could be rows.

        A pipe gives what it has every 100 ms, even if that is an empty batch.
        """
        if self._octets is None:
            raise ValueError("read() before open()")
        octets = np.empty(lib.HW_CAPTURE_LARGEST + READ, np.uint8)  # so every block that is decoded fits
        buffer = octets.data
        base = ffi.cast("char *", octets.ctypes.data)  # no view of a view: the garbage collector may clear those in the wrong order
        rooms = cycle([self._room() for _ in range(self._lends)]) if self._lends else iter(self._room, None)
        room = self._begin(next(rooms))
        made, consumed = ffi.new("size_t *"), ffi.new("size_t *")
        filled = left = 0  # rows not handed out; octets not decoded
        yielded = time.monotonic()
        problem = ""
        while not self._stopped and not problem:
            got, problem = self._more(buffer[left : left + READ])
            if got == 0:
                if not problem and lib.hw_capture_finish(self._decoder, base, left):
                    problem = self._problem()
                break
            left, at = left + (got or 0), 0
            status = lib.HW_CAPTURE_full if got else lib.HW_CAPTURE_more
            while status in (lib.HW_CAPTURE_full, lib.HW_CAPTURE_described) and not self._stopped:
                if not self._ready():
                    continue
                status = lib.hw_capture_decode(self._decoder, base + at, left - at, *room.left(filled), made, consumed)
                at += consumed[0]
                filled += made[0]
                self._learn_interfaces()
                self._take_counts()
                if self._is_full(room, filled):
                    yield self._batch(room, filled)
                    room = self._begin(next(rooms))
                    filled, yielded = 0, time.monotonic()
            if status == lib.HW_CAPTURE_bad:
                problem = self._problem()
            self._ready()  # so that what came last goes out while nothing comes
            buffer[: left - at] = buffer[at:left]
            left -= at
            if not self._total and time.monotonic() - yielded >= PATIENCE_S:  # a file's batches are the same whoever reads it
                yield self._batch(room, filled)
                room = self._begin(next(rooms))
                filled, yielded = 0, time.monotonic()
        if filled:
            yield self._batch(room, filled)
        counts = self._counts
        if problem and not (counts and counts.seen):
            self._counts = None  # not even the first packet was reached: there is nothing to add up
        if problem and not self._stopped:
            kept = "; the rows that were read are kept" if counts and counts.as_row else ""
            raise SourceError(f"{self.name} {problem}{kept}")

    def _more(self, into: memoryview) -> tuple[int | None, str]:
        """How many octets came, none for now, or 0 at the end; and what is wrong with the file, if it ends for that."""
        assert self._octets is not None  # noqa: S101 - read() has seen to that
        try:
            return self._octets.readinto(into), ""
        except (Damaged, OSError) as error:
            what = str(error) if isinstance(error, Damaged) else f"cannot be read further ({error.strerror})"
            return 0, f"{what}, after packet {self._counts.seen if self._counts else 0}"

    def _ready(self) -> bool:
        return self._packets is None or self._packets.ready()

    def _room(self) -> "_Room":
        """Memory for a batch. A new one each is less than copying it for who keeps the rows."""
        return _Room(self._batch_rows, self._keeps)

    def _begin(self, room: "_Room") -> "_Room":
        if room.payloads is not None:
            lib.hw_capture_keep(self._decoder, room.payloads.each, room.payloads.octets, _PAYLOADS)
        return room

    def _is_full(self, room: "_Room", filled: int) -> bool:
        most = lib.HW_MOST_ROWS if self._wants_carriers else 1  # of one packet
        return len(room.rows) - filled < most or (
            room.payloads is not None and lib.hw_capture_room(self._decoder) < lib.HW_CAPTURE_PACKET_OCTETS
        )

    def _problem(self) -> str:
        return printable(ffi.string(lib.hw_capture_problem(self._decoder)).decode())

    def _batch(self, room: "_Room", filled: int) -> Batch:
        before, self._carriers = self._carriers, self._made_carriers
        if len(self._named) != len(self._interfaces):
            self._named = dict(self._interfaces)
        return Batch(
            PACKET,
            room.rows[:filled],
            self._named,
            borrowed=bool(self._lends),
            carriers=self._carriers > before,
            payloads=room.payloads,
        )

    def _learn_interfaces(self) -> None:
        """The names of those that the decoder has met by now. It tells of each at once, if the filter asks for names."""
        for index in range(len(self._interfaces), lib.hw_capture_interfaces(self._decoder)):
            text = ffi.string(lib.hw_capture_interface_name(self._decoder, index)).decode(errors="replace")
            name = self._interfaces[index] = printable(text) or self.name
            if self._filter and name in self._filter.names_interfaces:
                lib.hw_capture_call(self._decoder, index, self._numbers.setdefault(name, index))
                self._choose()

    def _choose(self) -> None:
        terms = self._filter.terms({index: name for name, index in self._numbers.items()}) if self._filter else np.zeros(1, FILTER)
        names = bool(self._filter and self._filter.names_interfaces)
        lib.hw_capture_choose(self._decoder, ffi.from_buffer(terms), sample_below(self._sample), names)

    def _take_counts(self) -> None:
        counts = ffi.new("struct hw_capture_counts *")
        lib.hw_capture_counts_of(self._decoder, counts)
        self._made_carriers = counts.carriers
        self._counts = counts

    def _dropped(self, drop: str) -> Entry:
        return Entry("packets", self.name, "dropped", *place_reason(Drop[drop]))

    def account(self) -> None:
        """Write the present totals into the ledger."""
        counts = self._counts
        if not counts:
            return
        totals = {
            Entry("packets", self.name, "seen"): counts.seen + counts.further,
            Entry("packets", self.name, "as_row"): counts.as_row,
            Entry("packets", self.name, "filtered"): counts.filtered,
            Entry("packets", self.name, "sampled_out"): counts.sampled_out,
            self._dropped("capture__link_type"): counts.unknown_link_type,
            self._dropped("capture__no_interface"): counts.no_interface,
        }
        self._ledger.replace({entry: self._before.get(entry, 0) + count for entry, count in totals.items()})

    def stop(self) -> None:
        """Make read() end within 100 ms."""
        self._stopped = True


def missing(path: str) -> SourceError:
    """What is wrong with a path where nothing is."""
    return SourceError(f"{printable(path)}: there is no such file: give the path of a pcap or pcapng capture")


def printable(text: str) -> str:
    """Text of a stranger for a terminal: what is no visible character becomes `?`; at most 255 of them."""
    return "".join(character if character.isprintable() else "?" for character in text[:255])
