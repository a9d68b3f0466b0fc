"""Logs that are followed into the store, by a process that is killed at any moment: each row of the files is there once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from storing import LARGE, made, running
from waiting import MOST_S, until

from headwater.apps import importing
from headwater.apps.importing import _Taking
from headwater.outputs.spool import Spool, settle, waiting, writers
from headwater.sources.log_files import LogFiles
from headwater.sources.log_memory import Memory
from headwater.store.client import Client

KILLS = 8


def line(number: int) -> str:
    return json.dumps({"ts": 86_000 + number, "uid": f"C{number}", "note": "x" * 150}) + "\n"


class Died(BaseException):
    """In place of a signal that nobody can catch."""


class NoNames:
    def of_table(self, _: Any) -> list[Any]:
        return []


def take(folder: Path, logs: Path) -> None:
    """As the command does, without the store's process."""
    place = made(folder)
    with Memory(place.imports) as memory:
        settle(place.spool, *memory.made())
        spool = Spool(place.spool, LARGE)
        spool.open()
        try:
            with closing(LogFiles([logs], memory, pytest.fail)) as files:
                taking = _Taking(spool, memory, NoNames, Event())  # type: ignore[arg-type]
                taking.take(files.look())
        finally:
            os.close(spool._fd)  # all that a death does


def taken(folder: Path) -> Iterator[str]:
    """What the store would take now, and removes."""
    for writer in writers(made(folder).spool):
        for file in waiting(writer):
            yield from file.table().column("uid").to_pylist()
            file.path.unlink()


def test_whoever_dies_between_two_steps_takes_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step in turn at which something becomes true on the disk, before it and behind it."""
    left = 0

    def dying(module: Any, name: str) -> None:
        original = getattr(module, name)

        def step(*words: Any) -> Any:
            nonlocal left
            for behind in (False, True):
                if behind:
                    result = original(*words)
                left -= 1
                if left == 0:
                    raise Died
            return result

        monkeypatch.setattr(module, name, step)

    monkeypatch.setattr(os, "fsync", lambda _: None)
    dying(os, "fsync")
    dying(Path, "rename")
    dying(Memory, "commit")
    monkeypatch.setattr(importing, "ROWS", 500)
    for steps in range(1, 1000):
        folder, logs = tmp_path / f"store{steps}", tmp_path / f"logs{steps}"
        logs.mkdir()
        number, rows, died = 0, list[str](), 0
        for begin in range(2):
            for log in range(2):
                with (logs / f"log{log}.log").open("a") as file:
                    for _ in range(600):  # of two days
                        file.write(line(number))
                        number += 1
            left = steps if not begin else 0
            try:
                take(folder, logs)
            except Died:
                died += 1
                if steps % 2:
                    rows += taken(folder)
        rows += taken(folder)
        assert not [*folder.glob("spool/*/*")]
        assert sorted(rows) == sorted(f"C{one}" for one in range(number)), f"died at step {steps}"
        if not died:
            assert steps > 10
            return
    raise AssertionError


def follow(folder: Path, *logs: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "headwater", "import", "--path", str(folder), "--follow", *map(str, logs)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


class Writer:
    """Two logs as Zeek and Suricata write them, rotated now and then."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.numbers = {"conn.log": 0, "eve.json": 0}
        self.rotated = 0

    def write(self) -> None:
        name = self.chance.choice(list(self.numbers))
        with (self.folder / name).open("a") as log:
            for _ in range(self.chance.randrange(1, 400)):
                number = self.numbers[name]
                self.numbers[name] += 1
                when = f"2024-01-01T00:00:{number % 60:02d}.{number:06d}+0000"
                text = (
                    line(number) if name == "conn.log" else json.dumps({"timestamp": when, "event_type": "flow", "flow_id": number}) + "\n"
                )
                log.write(text[:20])
                log.flush()
                log.write(text[20:])
        if self.chance.random() < 0.1:
            self.rotated += 1
            (self.folder / name).rename(
                self.folder / (f"{name[:-4]}.{self.rotated:03d}.log" if name == "conn.log" else f"{name}.{self.rotated}")
            )


def counted(client: Client, table: str, column: str) -> tuple[int, int]:
    [(rows, distinct)] = client.table(f"SELECT count(), uniqExact({column}) FROM {table}").to_pandas().to_numpy().tolist()
    return rows, distinct


def kill_again_and_again(folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """How many rows there are in the end."""
    chance, logs = random.Random(seed), folder / "logs"
    logs.mkdir(parents=True)
    writer = Writer(logs, chance)
    with running(folder / "store") as client:
        for kill in range(kills):
            reader = follow(folder / "store", logs)
            [spool] = until(lambda: [*(folder / "store/spool").glob(f"*-{reader.pid}")])  # noqa: B023 - before that it is only starting
            end = time.monotonic() + chance.uniform(0, 0.6)
            while time.monotonic() < end:
                writer.write()
                time.sleep(0.02)
            end = time.monotonic() + (kill % 2)  # every other time while files have no names yet
            while time.monotonic() < end and not [*spool.glob("*.held")]:
                time.sleep(0.0005)
            reader.kill()
            reader.communicate()
        reader = follow(folder / "store", logs)
        expected = [(number, number) for number in writer.numbers.values()]
        deadline, found = time.monotonic() + MOST_S, []
        while found != expected and time.monotonic() < deadline and reader.poll() is None:
            time.sleep(0.2)
            if {"conn", "suricata_flow"} <= {name for (name,) in client.table("SHOW TABLES").to_pandas().to_numpy().tolist()}:
                found = [counted(client, "conn", "uid"), counted(client, "suricata_flow", "flow_id")]
        reader.send_signal(signal.SIGTERM)
        said = reader.communicate(timeout=MOST_S)[1].decode()
        assert found == expected, said
        assert reader.returncode == 0 and "adds up exactly" in said, said
    return found[0][0], found[1][0]


def test_killed_again_and_again_while_following(tmp_path: Path) -> None:
    rows, events = kill_again_and_again(tmp_path, KILLS, seed=3)
    assert rows > 100 and events > 100


TSV = "#separator \\x09\n#path\t{}\n#fields\t{}\n#types\t{}\n{}"
SUMMED = [
    ("ts", "time", "5"),
    ("uid", "string", "G"),
    ("duration", "interval", "1"),
    ("proto", "enum", "tcp"),
    ("conn_state", "string", "SF"),
]
SUMMED += [(name, "addr", "192.0.2.1") for name in ("id.orig_h", "id.resp_h")]
SUMMED += [(name, "string", "many") for name in ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "missed_bytes")]
ODD = {
    "conn.1.log": '{"ts":1,"uid":"A","own":1}',
    "conn.2.log": '{"ts":2,"uid":"B","own":"text"}',
    "conn.3.log": '{"ts":3,"uid":"C","a b":"x","\u00e9":1,"ingested":true,"community_id_kept":true,"own":[1]}',
    "conn.4.log": TSV.format("conn", "ts\tuid\town\torig_bytes", "string\tstring\tcounter\tstring", "never\tD\tx\t-1"),
    "conn.5.log": TSV.format("conn", *("\t".join(words) for words in zip(*SUMMED, strict=True))),
    "strange.log": '{"ts":1.5,"id.orig_h":"192.0.2.1","uid":"E"}',
    "x509.log": '{"ts":1,"fingerprint":"F","san.dns":["a","b"],"san.ip":["192.0.2.1"]}',
    "stranger.log": TSV.format("stranger", "ts", "string", "never"),
}


def test_odd_logs_cost_no_row(tmp_path: Path) -> None:
    """Names that no column has, and values of another type than those before them."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, text in ODD.items():
        (logs / name).write_text(text + "\n")
    with running(tmp_path / "store") as client:
        eve = Path(__file__).parents[1] / "sources/eve"

        def imported(*words: str) -> str:
            command = [sys.executable, "-m", "headwater", "import", "--path", str(tmp_path / "store"), *words]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr

        said = imported(str(logs), str(eve))
        assert "27 made = 27 acked" in said and "counter, which is not known" in said, said
        rows = {row["uid"]: row for row in client.table("SELECT * FROM conn").to_pylist()}
        assert [rows["A"]["own"], rows["B"]["own_string"], rows["C"]["own_vector"]] == [1.0, "text", [1.0]]
        assert (rows["C"]["a_b"], rows["C"]["_"], rows["C"]["ingested_"], rows["C"]["community_id_kept_"]) == ("x", 1.0, True, True)
        assert (rows["D"]["ts_string"], rows["D"]["own_other"], rows["D"]["orig_bytes"]) == ("never", "x", "-1")
        assert rows["G"]["missed_bytes"] == "many"
        [strange] = client.table("SELECT toString(`id.orig_h`) AS who, toUnixTimestamp64Milli(ts) AS ms FROM strange").to_pylist()
        assert strange == {"who": "::ffff:192.0.2.1", "ms": 1500}
        [lists] = client.table("SELECT san.dns AS names, length(`san.ip`) AS ips FROM x509").to_pylist()
        assert lists == {"names": ["a", "b"], "ips": 1}
        answers = client.table("SELECT `dns.grouped.A` AS a, `dns.grouped.CNAME` AS names FROM suricata_dns WHERE has(a, '13.107.21.200')")
        assert [(len(row["a"]), len(row["names"])) for row in answers.to_pylist()] == [(2, 3)]
        assert client.table("SELECT ts FROM stranger").column("ts").to_pylist() == ["never"]
        columns = client.columns("suricata_flow")
    with running(tmp_path / "store") as client:  # another process finds the same columns
        assert "acked" in imported("--again", str(eve))
        assert client.columns("suricata_flow") == columns


def test_a_command_that_is_given_twice_takes_nothing_the_second_time(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "conn.log").write_text("".join(map(line, range(3))) + "nonsense\n" + line(3)[:20])
    with running(tmp_path / "store") as client:

        def imported(*words: str) -> tuple[int, str]:
            command = [sys.executable, "-m", "headwater", "import", "--path", str(tmp_path / "store"), *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            return done.returncode, done.stderr

        code, said = imported(str(logs), str(tmp_path / "none"))
        assert code == 5 and "none cannot be read" in said and "3 made = 3 acked" in said
        assert "1 line left out (json)" in said and "1 line left out (cut)" in said
        assert imported(str(logs)) == (0, "headwater: 1 log had nothing that was not taken before; --again takes it anew\n")
        assert counted(client, "conn", "uid") == (3, 3)
        with Memory(made(tmp_path / "store").imports):
            code, said = imported(str(logs))
            assert code == 5 and "another process imports" in said and len(said.splitlines()) == 1
        code, said = imported("--again", str(logs))
        assert code == 0 and counted(client, "conn", "uid") == (6, 3)
