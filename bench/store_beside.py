"""The sensor beside a busy store: packets into tables, while the store takes flows and answers heavy questions."""

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import conns
from bench.common import BUILD, HEADWATER, Figure, Veth, attached, counters, finish, median, running, veth_pair
from bench.peer_queries import CLICKHOUSE
from headwater.errors import StoreError
from headwater.outputs.spool import Spool
from headwater.store.client import Client
from headwater.store.settings import Place
from headwater.store.starting import answers

RATE, SECONDS = 50_000, 30
FLOWS = 50_000  # a second, of another writer
ASKING = 2


def _send(veth: Veth) -> int:
    """At that rate, from 16 ports."""
    command = [str(BUILD / "udp_sender"), veth.near.ip4, "5000", str(SECONDS), "16", "1", str(RATE)]
    (told,) = finish([veth.far.space.start(*command, stdout=subprocess.PIPE, text=True)], SECONDS + 20)
    return int(told["sent"])


def _ask(place: Place, done: threading.Event, took: list[float]) -> None:
    """For beacons among all rows, again and again."""
    with Client(place) as client:
        while not done.is_set():
            begin = time.monotonic()
            with contextlib.suppress(StoreError):  # there is no table yet
                client.table(CLICKHOUSE["beacons"], {"day": "0"})
                took.append(time.monotonic() - begin)
            done.wait(0.1)


def _write(place: Place, done: threading.Event) -> None:
    batch = next(conns.batches(FLOWS, 0, conns.SECOND_NS, FLOWS, 1))
    with Spool(place.spool, 4 << 30) as spool:
        while not done.wait(1.0):
            spool.send([batch])
            spool.flush(last=False)


@contextlib.contextmanager
def _busy(place: Place, took: list[float]) -> Iterator[None]:
    done = threading.Event()
    threads = [threading.Thread(target=_ask, args=(place, done, took)) for _ in range(ASKING)]
    threads.append(threading.Thread(target=_write, args=(place, done)))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def measure() -> Figure:
    took: list[float] = []
    with TemporaryDirectory() as folder, veth_pair() as veth:
        place, settings = Place(Path(folder) / "store"), Path(folder) / "headwater.toml"
        settings.write_text(f'user = "root"\n[store]\npath = "{place.folder}"\nlisten = ""\nspool_mib = 4096\n')
        command = [HEADWATER, "run", "-c", str(settings), "-i", veth.near.interface, "--hook", "tcx", "--store"]
        command += ["--detail", "packets", "--record", "packet", "--record", "conn"]

        def ready(pid: int) -> bool:
            return attached(2)(pid) and answers(place)

        with running(veth.near.space, *command, ready=ready, stdout=subprocess.DEVNULL) as process, _busy(place, took):
            time.sleep(3)
            before = counters(veth.near)
            sent = _send(veth)
            passed = counters(veth.near) - before
            time.sleep(2)
        told: str = process.told  # type: ignore[attr-defined]
        with Client(place, begin_with=("--user", "root", "--listen", "")) as client:
            [[kept, lost]] = client.rows(
                "SELECT (SELECT count() FROM packet WHERE dport = 5000), (SELECT ifNull(sum(count), 0) FROM ledger WHERE term = 'dropped')",
                2,
            )
    exact = "adds up exactly" in told and not re.search(r"dropped", told)
    return Figure(
        title="The sensor beside a busy store",
        target=f"nothing is lost at {RATE:,} packets/s, each of them a row, while the store takes flows and is asked without a pause",
        met=exact and int(kept) == sent and not int(lost) and sent >= 0.99 * RATE * SECONDS,
        ours=f"{int(kept):,} of {sent:,} packets in the store, {int(lost):,} dropped",
        peers="-",
        columns=("what", "measured"),
        rows=[
            ("packets sent", f"{sent:,} in {SECONDS} s; the device counted {passed.received:,}"),
            ("rows of them in the store", f"{int(kept):,}"),
            ("dropped, by the ledger", f"{int(lost):,}"),
            ("questions meanwhile", f"{len(took):,}, {median(took):.2f} s each" if took else "none"),
        ],
        told=(
            f"A veth pair between two namespaces; {RATE:,} UDP datagrams a second are sent from one for {SECONDS} s, and the other is "
            "watched by `headwater run --store --hook tcx --detail packets --record packet --record conn`. Another writer gives the "
            f"same store {FLOWS:,} flows each second, and {ASKING} ask it for beacons among all that there is, again and again."
        ),
    )
