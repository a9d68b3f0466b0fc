"""Batches of a source made one ahead, in a thread of their own: one CPU parses packets while another one follows those before."""

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue

from headwater.records import Batch

BATCHES_AHEAD = 1
BATCHES_IN_USE = BATCHES_AHEAD + 2
"""Of whoever lends the memory of its batches: the one that was handed out, those that wait, and the one that is being made."""


def ahead(batches: Iterator[Batch], stop: Callable[[], None]) -> Generator[Batch]:
    """The same batches, and what they raise. `stop` makes their source end soon: it is called when nobody wants more."""
    made: SimpleQueue[Batch | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(BATCHES_AHEAD)
    unwanted = threading.Event()

    def make() -> None:
        try:
            for batch in batches:
                room.acquire()
                if unwanted.is_set():
                    return
                made.put(batch)
            made.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the batches are wanted
            made.put(error)

    thread = threading.Thread(target=make, name="ahead")
    thread.start()
    try:
        while (batch := made.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            room.release()  # the one before is not used any more
            yield batch
    finally:
        unwanted.set()
        stop()
        room.release()
        thread.join()
