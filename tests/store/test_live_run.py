"""`headwater run --store` as root starts it: rows are asked for while it runs, and a death of the store costs none of them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from waiting import MOST_S, until

from headwater.store.client import Client
from headwater.store.settings import Place
from headwater.store.starting import answers

pytestmark = pytest.mark.kernel
SENDER = """
import itertools, socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in itertools.count():
    sender.sendto(b"x", ("127.0.0.1", 9))
    time.sleep(0.02)
"""


def engine_of(place: Place) -> int:
    """The process that has the engine: its parent begins it anew."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if str(place.folder).encode() in words and b"--begun" in words:
                return int(folder.name)
    return 0


def test_rows_can_be_asked_for_while_they_come_and_the_store_may_die() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # where the account may go that the store becomes
        place, config = Place(Path(folder) / "store"), Path(folder) / "headwater.toml"
        config.write_text(f'[store]\npath = "{place.folder}"\nlisten = ""\n')
        command = [sys.executable, "-m", "headwater", "run", "-c", str(config), "-i", "lo", "--record", "packet", "--store"]
        with (
            subprocess.Popen([sys.executable, "-c", SENDER]) as sender,
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run,
        ):
            try:
                until(lambda: answers(place))

                def kept() -> int:
                    with Client(place) as client:
                        there = "packet" in client.tables()
                        return int(client.rows("SELECT count() FROM packet WHERE dport = 9", 1)[0][0]) if there else 0

                until(kept)
                before, killed = kept(), engine_of(place)
                os.kill(killed, signal.SIGKILL)
                until(lambda: engine_of(place) not in (0, killed) and answers(place))
                until(lambda: kept() > before)
            finally:
                sender.kill()
                run.send_signal(signal.SIGINT)
                said = run.communicate(timeout=MOST_S)[1]
        assert run.returncode == 0, said
        assert "the store's process has died (SIGKILL), and begins anew" in said
        [made, acked] = re.findall(r"records  store: ([\d,]+) made = ([\d,]+) acked\n", said)[0]
        assert made == acked and "adds up exactly" in said, said
        with Client(place) as client:
            assert client.rows("SELECT (SELECT count() FROM packet) + (SELECT count() FROM ledger)", 1) == [[made.replace(",", "")]]
