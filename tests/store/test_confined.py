"""The store's process as root starts it: what is left to each of its threads, that its engine lives with that, and what a death costs."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rows_made import TCP, conns, packets, rates
from storing import children, keep, made
from waiting import until

from headwater.errors import StoreError
from headwater.store.client import Client
from headwater.store.door import READERS
from headwater.store.settings import Place

pytestmark = pytest.mark.kernel
LONG = "SELECT sum(sipHash64(number)) FROM numbers(150000000) SETTINGS max_threads = 1"
KILLING = "SELECT editDistance(repeat('ab', 32000), repeat('ba', 32000 + number)) FROM numbers(1000)"


@pytest.fixture
def place() -> Iterator[Place]:
    """Where other accounts may go, as they may not below tmp_path."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield made(Path(folder) / "store")


def status(process: int) -> Iterator[dict[str, str]]:
    for thread in Path(f"/proc/{process}/task").iterdir():
        yield dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)


def child_of(client: Client) -> int:
    assert client._process
    return next(iter(children(client._process)), 0)


def test_each_thread_is_confined_and_the_engine_lives_with_it(place: Place) -> None:
    with Client(place, begin_with=("--listen", "127.0.0.1:0")) as client:
        for seed in range(4):  # parts that are merged
            assert keep(place, rates(200, seed=seed), conns([TCP]), packets(500, seed=seed)).acked == 701
        grouped = "SELECT toString(number) AS k, count() FROM numbers(300000) GROUP BY k ORDER BY k LIMIT 1"
        assert client.table(grouped).num_rows == 1
        assert client.table("SELECT count() AS n FROM rate JOIN rate_minute USING proto").num_rows == 1
        threads = list(status(child_of(client)))
        assert len(threads) > 10
        for one in threads:
            assert (one["NoNewPrivs"], one["Seccomp"], int(one["CapEff"], 16), one["Uid"].split()[0] == "0") == ("1", "2", 0, False), one
        first = child_of(client)
        os.kill(first, signal.SIGSEGV)
        until(lambda: child_of(client) not in (0, first))  # what met a fault is gone


FORBIDDEN = """
    import os, socket
    from pathlib import Path
    from headwater.kernel.confine import account, confine, confine_engine

    connected, other = socket.socketpair()
    free = socket.socket()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    confine(account(None), [Path({folder!r})], engine=True)
    assert not confine_engine().missing
    def tried(what, *given):
        try:
            what(*given)
        except OSError as error:
            print(what.__qualname__, error.errno)
        else:
            print(what.__qualname__, "done")
    tried(socket.socket)
    tried(free.connect, address)
    tried(free.bind, ("127.0.0.1", 0))
    tried(os.execv, "/bin/true", ["true"])
    tried(os.fork)
    tried(os.open, "/etc/shadow", os.O_RDONLY)
    tried(os.chroot, "/")
    tried(connected.send, b"x")
    tried(os.mkdir, {folder!r} + "/made")
"""


def test_nobody_is_dialled_and_nothing_executed(place: Place) -> None:
    place.folder.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORBIDDEN.format(folder=str(place.folder)))],
        capture_output=True,
        text=True,
        check=False,
    )
    refused = errno.EPERM
    assert done.stdout.splitlines() == [
        f"socket {refused}",
        f"socket.connect {refused}",
        f"socket.bind {refused}",
        f"execv {refused}",
        f"fork {refused}",
        f"open {errno.EACCES}",
        f"chroot {refused}",
        "socket.send done",
        "mkdir done",
    ], done.stderr


def test_who_does_not_read_keeps_nobody_from_asking(place: Place) -> None:
    config = place.folder / "headwater.toml"
    config.write_text(f'[store]\npath = "{place.folder}"\nlisten = ""\nquery_time_s = 0.5\n')
    with Client(place, begin_with=("-c", str(config))) as client, contextlib.ExitStack() as stack:
        asked = b"SELECT repeat('x', 10000) FROM numbers(100000000) SETTINGS max_block_size = 100"
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: {place.token.read_text().strip()}\r\nContent-Length: {len(asked)}\r\n\r\n"
        for _ in range(READERS):
            lazy = stack.enter_context(socket.socket(socket.AF_UNIX))
            lazy.connect(str(place.socket))
            lazy.sendall(head.encode() + asked)
        time.sleep(0.5)
        assert client.table("SELECT 1 AS one").num_rows == 1
        with pytest.raises(StoreError, match="exceeded"):
            list(client.ask(LONG))
        assert list(client.ask(LONG, however_long=True))


def test_a_question_that_nothing_else_ends_costs_the_others_a_moment(place: Place) -> None:
    config = place.folder / "headwater.toml"
    config.write_text(f'[store]\npath = "{place.folder}"\nlisten = ""\nquery_time_s = 5\n')
    with Client(place, begin_with=("-c", str(config))) as client:
        first, said = child_of(client), list[str]()

        def ask() -> None:
            try:
                list(client.ask(KILLING))
            except StoreError as error:
                said.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        for _ in range(4):
            assert client.table("SELECT 1 AS one").num_rows == 1
        assert asking.is_alive()
        asking.join()
        assert said[0].startswith("the question went on past its time")
        keep(place, rates(10))
        assert client.rows("SELECT count() FROM rate", 1) == [["10"]]
        assert child_of(client) != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
