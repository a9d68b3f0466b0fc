"""Packets as one pcapng file, or on standard output. Native code makes the blocks (native/pcapng_writer.c); here they are written away.

The file behaves as those of rows do (outputs/files.py): it replaces one of the same name, can be read at any time, never has a packet in
pieces, and grows again when a full disk has room. Packets are acked when they are durable: after an fsync, once a second; on a pipe, when
they are written.
"""

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headwater._native import ffi, lib
from headwater.errors import NO_ROOM, OutputClosed, SinkError
from headwater.outputs.files import Stream, create, explain, lost_for
from headwater.records import Batch, Drop
from headwater.records.layouts import place_reason
from headwater.telemetry import Entry, Ledger

WAIT_S = 0.1  # for the reader of a pipe, at a time
SYNC_S = 1.0
CALM_S = 1.0  # without a failure, before it is said that there is room again
ASK_S = 1.0  # of waiting at the end, before it is said for whom
PIPE_OCTETS = select.PIPE_BUF  # that a pipe takes without blocking, if it takes any
LEAST = 512  # octets of packets, to be tried by themselves when there is no room for more


class PacketFile:
    """One pcapng file, or with `path` None standard output, as a pipeline's output and a source's PacketWriter.

    Live, what cannot be written is lost and counted, said in a line by `report`, and tried again with the next packets; else the first
    failure ends the run: `failure` says why, and put() and flush() raise it. A reader that has gone (OutputClosed) always does.
    """

    def __init__(
        self,
        path: Path | None,
        ledger: Ledger,
        report: Callable[[str], None],
        *,
        headers_only: bool = False,
        live: bool = False,
        application: str = "Headwater",
    ) -> None:
        self.name = str(path) if path else "standard output"
        self.headers_only = headers_only
        self.failure: SinkError | None = None
        self.memory = ffi.gc(lib.hw_pcapng_writer_new(application.encode(), headers_only), lib.hw_pcapng_writer_free)
        if not self.memory:
            raise MemoryError
        self._path = path
        self._ledger = ledger
        self._report = report
        self._live = live
        self._stream: Stream | None = None
        self._due = 0.0
        self._ended_at = 0.0
        self._asked = False
        self._lock = threading.Lock()  # holds what follows
        self._acked = 0
        self._settled = 0  # packets that were made durable, or could not be
        self._dropped: dict[Drop, int] = {}
        self._problem = ""
        self._problem_at = (0.0, 0)  # when it began, and what had been lost before
        self._failed_at = 0.0  # the last time
        self._reason = Drop["sink__unreachable"]  # what is lost from now on is lost for
        self._given_up = False
        self._settling = threading.Lock()
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync_each_second, name=f"packets to {self.name}", daemon=True)

    def prepare(self) -> None:
        """Make the file, with what is known of interfaces. Raises SinkError and OutputClosed."""
        if not self._path and sys.stdout.isatty():
            raise SinkError("pcapng is not for a terminal: give a file, or pipe standard output into a reader", retryable=False)
        try:
            fd = create(self._path) if self._path else os.dup(1)
            try:
                self._stream = Stream(fd)
                self._stream.append([self._octets()], lib.hw_pcapng_writer_end_room(self.memory))
            except BaseException:
                self._stream = None
                os.close(fd)
                if self._path:
                    self._path.unlink()
                raise
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise SinkError(f"{self.name}: {explain(error)}", retryable=False) from error
        lib.hw_pcapng_writer_wrote(self.memory, len(self._octets()))

    def open(self) -> None:
        """Make the file, if it is not, and begin. Raises what prepare() raises."""
        if not self._stream:
            self.prepare()
        self._syncing.start()

    def put(self, batch: Batch) -> None:  # noqa: ARG002 - an outlet's
        """Rows do not matter here. Raises SinkError once the file has failed."""
        if self.failure:
            raise self.failure

    def ready(self) -> bool:
        """Write away what is due, and all if there is no room for a packet. Whether there is; a slow pipe may need more than 100 ms."""
        full = bool(lib.hw_pcapng_writer_full(self.memory))
        if full or time.monotonic() >= self._due:
            self._write(WAIT_S if full else 0)
        if full and self._given_up:
            self._lose()
        return not lib.hw_pcapng_writer_full(self.memory)

    def flush(self, deadline_s: float = 2.0) -> None:
        """Write and sync what there is; live, a pipe's reader is waited for until `deadline_s`. After the source's end. Raises as put()."""
        self._drain(deadline_s)
        if self._stream:
            self._settle(self._stream.sync)
        if self.failure:
            raise self.failure

    def close(self, deadline_s: float = 2.0) -> None:
        """Write the rest and what was received and lost, and close the file. What cannot be written is lost for its reason; safe twice."""
        if not self._stream:
            return
        self._closing.set()
        if self._syncing.is_alive():
            self._syncing.join()
        self._drain(deadline_s)
        self._lose()
        if not self.failure or self._stream.regular:
            lib.hw_pcapng_writer_end(self.memory)
            self._write_end(self._stream, deadline_s)
        stream, self._stream = self._stream, None
        self._settle(stream.finish)
        os.close(stream.fd)

    def give_up(self) -> None:
        """Wait for the reader of a pipe no longer. Callable from a signal handler."""
        self._given_up = True

    # -- writing: the source's thread, after its end the pipeline's ------------------------------------------------------------------

    def _octets(self) -> memoryview:
        size = ffi.new("size_t *")
        octets = lib.hw_pcapng_writer_octets(self.memory, size)
        return memoryview(ffi.buffer(octets, size[0]))

    def _drain(self, deadline_s: float) -> None:
        self._ended_at = self._ended_at or time.monotonic()  # flush() and close() together do not wait longer than one
        while len(self._octets()) and not self.failure and not self._given_up:
            self._write(WAIT_S)
            waited = time.monotonic() - self._ended_at
            if self._live and waited > deadline_s:
                return
            if waited > ASK_S and not self._asked:
                self._asked = True
                self._report(f"{self.name}: waiting for its reader to take what is left; Ctrl-C again gives up")

    def _write(self, wait_s: float) -> None:
        stream = self._stream
        left_alone = self._given_up and stream and not stream.regular  # a reader that was given up may have half a block
        if stream and not self.failure and not left_alone:
            try:
                if stream.regular:
                    self._write_file(stream)
                    self._due = time.monotonic() + SYNC_S
                else:
                    self._write_pipe(stream.fd, wait_s)
            except BrokenPipeError:
                self.failure = OutputClosed()
            except OSError as error:
                self._lose(error)
        if self.failure:
            self._lose()

    def _write_file(self, stream: Stream) -> None:
        """All of it, or on a disk that is nearly full what has room: halves of what had none, down to a packet."""
        most = len(self._octets())
        failed = 0  # its number, and not the error: that would hold this frame, and so the memory, in a circle
        while octets := self._octets():
            part = lib.hw_pcapng_writer_part(self.memory, most)
            if failed and (not part or most < LEAST):
                raise OSError(failed, os.strerror(failed))
            try:
                stream.append([octets[:part]], lib.hw_pcapng_writer_end_room(self.memory))
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                failed, most = error.errno, part // 2
            else:
                lib.hw_pcapng_writer_wrote(self.memory, part)
        self._well()

    def _write_pipe(self, fd: int, wait_s: float) -> None:
        octets, sent = self._octets(), 0
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        until = time.monotonic() + wait_s
        try:
            while sent < len(octets) and poll.poll(max(until - time.monotonic(), 0) * 1000):
                sent += os.write(fd, octets[sent : sent + PIPE_OCTETS])
        finally:
            lib.hw_pcapng_writer_wrote(self.memory, sent)

    def _write_end(self, stream: Stream, deadline_s: float) -> None:
        """The last blocks, for which there is room in a file since the first packet."""
        if not stream.regular:
            self._drain(deadline_s)
            return
        try:
            stream.append([self._octets()], 0)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError | None = None) -> None:
        """Forget the packets in memory."""
        lost = int(lib.hw_pcapng_writer_drop(self.memory))
        with self._lock:
            before = sum(self._dropped.values())
            self._reason = lost_for(error) if error else self._reason
            self._dropped[self._reason] = self._dropped.get(self._reason, 0) + lost
        if error:
            self._trouble(explain(error), before)

    def _trouble(self, problem: str, lost_before: int) -> None:
        """Say it, unless it is known; not live, it is said by whom it is raised to."""
        if not self._live:
            self.failure = self.failure or SinkError(f"{self.name}: {problem}", retryable=False)
        elif problem != self._problem:
            self._report(f"{self.name}: {problem}")
        with self._lock:
            if not self._problem:
                self._problem_at = time.monotonic(), lost_before
            self._problem, self._failed_at = problem, time.monotonic()

    def _well(self) -> None:
        """Say that it is back, but not between two failures."""
        with self._lock:
            if not self._problem or time.monotonic() < self._failed_at + CALM_S:
                return
            since, before = self._problem_at
            lost = sum(self._dropped.values()) - before
            self._problem, self._reason = "", Drop["sink__unreachable"]
        self._report(f"{self.name}: back after {time.monotonic() - since:,.0f} s, {lost:,} packet{'' if lost == 1 else 's'} lost")

    # -- what is durable -----------------------------------------------------------------------------------------------------------

    def _sync_each_second(self) -> None:
        while (stream := self._stream) and not self._closing.wait(SYNC_S):
            self._settle(stream.sync)
            poll = select.poll()
            poll.register(stream.fd, 0)
            if not stream.regular and poll.poll(0):  # no packet need come to notice that
                self.failure = self.failure or OutputClosed()

    def _settle(self, make_durable: Callable[[], None]) -> None:
        """Ack what was written until now, if it can be made durable: a second fsync would not tell again that the first one failed."""
        error = None
        with self._settling:
            written = int(lib.hw_pcapng_writer_written(self.memory))
            new, self._settled = written - self._settled, written
            try:
                make_durable()
            except OSError as failed:
                error = failed
            with self._lock:
                before = sum(self._dropped.values())
                if error:
                    self._dropped[lost_for(error)] = self._dropped.get(lost_for(error), 0) + new
                else:
                    self._acked += new
                self._publish()
        if error:
            self._trouble(explain(error), before)

    def _publish(self) -> None:
        made = int(lib.hw_pcapng_writer_made(self.memory))
        totals = {Entry("records", self.name, "dropped", *place_reason(reason)): count for reason, count in self._dropped.items()}
        totals[Entry("records", self.name, "made")] = made
        totals[Entry("records", self.name, "acked")] = self._acked
        totals[Entry("records", self.name, "queued")] = made - self._acked - sum(self._dropped.values())
        self._ledger.replace(totals)
