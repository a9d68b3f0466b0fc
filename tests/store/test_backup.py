"""What is backed up comes back exactly: every record and value, once, whatever interrupts it; and what is damaged costs nothing else."""

import hashlib
import json
import math
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from rows_made import START, TCP, conns, ledger, rates
from storing import LARGE, running, until_taken, values

from headwater.apps.cli import cli
from headwater.apps.outlets import RECORDS
from headwater.errors import SinkError, StoreError
from headwater.outputs import spool as spool_module
from headwater.outputs.spool import Spool
from headwater.records import Batch, Record
from headwater.records.log_columns import schema
from headwater.records.schema import Kind
from headwater.store import backup as module
from headwater.store import restore as restore_module
from headwater.store.backup import Backup, back_up, read
from headwater.store.client import Client
from headwater.store.restore import forget, must_fit, restore
from headwater.store.rollups import SUMS
from headwater.store.settings import StoreSettings, Url
from headwater.store.tables import INGESTED

DAY_NS = 86_400 * 10**9
FIRST, LAST = -(2**63), 2**63 - 1


MAPPED, SIX = bytes(10) + b"\xff\xff\x01\x02\x03\x04", bytes(range(16))
EDGES: dict[str, list[Any]] = {
    "time": [0, 1, LAST, 1_700_000_000_123_456_789, -1, FIRST + 1],
    "addr": [MAPPED, SIX, bytes(16), b"\xff" * 16],
    "subnet": ["10.0.0.0/8", "fe80::/10"],
    "port": [0, 65535],
    "count": [0, 2**64 - 1],
    "int": [FIRST, LAST, -1],
    "interval": [0.1 + 0.2, 5e-324, -0.0],
    "double": [math.nan, math.inf, -math.inf, 1.7976931348623157e308],
    "bool": [True, False],
    "string": ["", "-", "(empty)", "12345678901234567890.12345678901234567890", "1e400", "\x00\t\n\\'\"", "☃𝄞", "NULL", "\\N"],
    "enum": ["", "Notice::Tally"],
    "pattern": ["/^?(a|b)$?/"],
    "set[enum]": [[], ["Notice::Tally"]],
    "set[addr]": [[], [MAPPED, SIX], [SIX]],
    "set[string]": [[], [""], ["", "a,b", "\\x2c"], ["-"]],
    "vector[addr]": [[], [MAPPED, None, SIX]],
    "vector[string]": [[], ["", None, "-"]],
    "vector[double]": [[], [math.nan, 0.1, None], [1.0] * 3],
    "vector[interval]": [[], [0.1 + 0.2]],
    "vector[time]": [[], [0, LAST]],
}
"""Of Zeek's types, the values that are easily lost."""


def some(kind: str, number: int) -> Any:
    """One of those, or none: in this row, and in another one with others beside it."""
    possible = [None, *EDGES[kind]]
    return possible[(number + number // len(possible)) % len(possible)]


def any_rows(record: Record, count: int = 300) -> Batch:
    """Random octets in every column, so that whatever can be is absent, not a number, or as large as it may be; of messages all edges."""
    if any(column.zeek for column in record.columns):
        ends = {"ts": START, "uid": b"uid", "id.orig_h": SIX, "id.orig_p": 1, "id.resp_h": MAPPED, "id.resp_p": 65535}
        rows = [tuple(ends[one.name] if one.name in ends else some(one.zeek, number) for one in record.columns) for number in range(count)]
        return Batch(record, np.array(rows, record.dtype))
    rng = np.random.default_rng(len(record.name))
    rows = np.zeros(count, record.dtype)
    for name in record.dtype.names or ():
        of = record.dtype[name]
        rows[name] = (
            [some("string", number) for number in range(count)] if of.hasobject else np.frombuffer(rng.bytes(count * of.itemsize), of)
        )
    rows["ts"] = np.uint64(START) + rows["ts"] % np.uint64(DAY_NS // 3)
    for column in record.columns:
        if column.names:
            rows[column.name] = rng.choice(list(column.names), count)
        elif column.kind is Kind.LETTERS:
            rows[column.name] = rng.choice([b"", b"S", b"ShADadFf"], count).astype("S40").view("V40")
    return Batch(record, rows, {1: "eth0"})


def imported() -> pa.RecordBatch:
    """Every type of Zeek's, unset, empty and otherwise."""
    types = schema({"ts": "time"} | {f"a.{kind.replace('[', '_of_').rstrip(']')}": kind for kind in EDGES}, "every", "zeek")
    rows = 60
    columns = [pa.array([START + n * DAY_NS // 15 for n in range(rows)], types.field(0).type)]
    columns += [pa.array([some(kind, number) for number in range(rows)], types.field(place).type) for place, kind in enumerate(EDGES, 1)]
    return pa.RecordBatch.from_arrays(columns, schema=types)


def fill(client: Client) -> None:
    assert client.place
    with Spool(client.place.spool, LARGE) as spool:
        spool.send([any_rows(record) for name, record in RECORDS.items() if name != "cost"])  # whose rows are texts, as the ledger's
        few = {name: value for name, value in TCP.items() if name not in ("duration", "local_orig", "vlan")}
        spool.send([conns([TCP, few]), ledger(["a", "", 'b,"c"', "d\\e\nf\x1b\t", "naïve ☃ 𝄞"]), rates(50)])
        spool.encode("every", imported())
        spool.encode("no_list", pa.RecordBatch.from_pylist([{"a": None}], schema({"a": "set[string]"}, "no_list", "zeek")))
        spool.encode("without_time", pa.RecordBatch.from_pydict({"name": ["a", "", None], "n": [1, None, 3]}))
        spool.write()
        assert not until_taken(spool).dropped


def kept(tables: dict[str, list[str]]) -> set[str]:
    """Those that have rows of their own: no sums, no views."""
    return {table for table, columns in tables.items() if table not in SUMS and INGESTED in columns}


def rows_in(client: Client, table: str) -> list[str]:
    """Each row as text; times as whole nanoseconds."""
    found = client.table(f"SELECT * EXCEPT ingested FROM `{table}`")
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in found.columns]
    return values(list(zip(*[column.to_pylist() for column in columns], strict=True)))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("full")) as client:
        fill(client)
        yield client


@pytest.fixture(scope="module")
def backup(full: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup") / "of today"
    back_up(full, StoreSettings(path=str(full.place and full.place.folder)), folder, pytest.fail)
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("empty")) as client:
        yield client


def put_back(client: Client, folder: Path, report: Callable[[str], None] = pytest.fail) -> Any:
    assert client.place
    return restore(client.place, folder, read(folder), report)


def test_every_table_comes_back_as_it_was(full: Client, backup: Path, empty: Client) -> None:
    outcome = put_back(empty, backup)
    assert (outcome.unread, outcome.aside) == (0, 0)
    tables = full.tables()
    assert {"every", "no_list", "without_time", "ledger", *RECORDS} - {"cost"} <= tables.keys()
    assert "empty" in tables["every"] and "empty" not in tables["no_list"]
    assert empty.tables() == tables
    for table in kept(tables):
        assert (empty.columns(table), empty.logged(table)) == (full.columns(table), full.logged(table))
        was = rows_in(full, table)
        assert outcome.rows[table] == len(was) > 0
        assert rows_in(empty, table) == was
    for table in SUMS:
        sums = "sum(rows), " + ", ".join(f"sum({name})" for name in tables[table] if name.endswith(("bytes", "packets", "pkts")))
        assert empty.rows(f"SELECT {sums} FROM {table}", 9) == full.rows(f"SELECT {sums} FROM {table}", 9)
    assert put_back(empty, backup).rows == {}
    assert rows_in(empty, "every") == rows_in(full, "every")


def test_rows_count_as_stored_when_they_were_restored(full: Client, empty: Client) -> None:
    [[before]] = full.rows("SELECT max(ingested) FROM rate", 1)
    [[after]] = empty.rows("SELECT min(ingested) FROM rate", 1)
    assert after >= before


def test_others_read_its_files_and_its_list(backup: Path) -> None:
    listed = json.loads((backup / "backup.json").read_text())
    assert {str(path.relative_to(backup)) for path in backup.rglob("*.arrow")} == {file["name"] for file in listed["files"]}
    for file in listed["files"]:
        assert hashlib.sha256((backup / file["name"]).read_bytes()).hexdigest() == file["sha256"]
        table = pl.read_ipc(backup / file["name"])
        assert len(table) == file["rows"]
        if "ts" in table.columns:
            assert {str(day) for day in table["ts"].dt.date().unique().to_list()} == {file["day"]}


class Dies(BaseException):
    """As if the process had been killed."""


def test_a_restore_that_dies_anywhere_goes_on_where_it_was(empty: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or behind any of its first steps: a file is written, noted, named."""
    count, chance = 40, random.Random(3)
    folder = rows_of_days(tmp_path, "dying", count)
    calls = at = 0

    def dying(real: Callable[..., Any], first: bool) -> Callable[..., Any]:
        def instead(*given: Any) -> Any:
            nonlocal calls
            calls += 1
            dies = calls == at
            if dies and first:
                raise Dies
            result = real(*given)
            if dies:
                raise Dies
            return result

        return instead

    deaths = 0
    for _ in range(150):
        calls, at, first = 0, chance.choice([1, 1, 2, 3, 4, 5, 6, 7, 7, 8]), chance.random() < 0.5
        for where, name in ((restore_module, "put"), (spool_module, "write_whole"), (Path, "rename")):
            monkeypatch.setattr(where, name, dying(getattr(where, name), first))
        try:
            put_back(empty, folder)
            break
        except Dies:
            deaths += 1
        finally:
            monkeypatch.undo()
    put_back(empty, folder)
    assert deaths >= 60
    assert empty.rows("SELECT count(), uniqExact(n) FROM dying", 2) == [[str(10 * count)] * 2]
    assert empty.place and not list(empty.place.spool.glob("*/*.new"))


def rows_of_days(tmp_path: Path, table: str, count: int) -> Path:
    """A backup of as many files, made by hand: 10 rows each."""
    folder = tmp_path / table
    (folder / table).mkdir(parents=True)
    files = []
    for day in range(count):
        ts = pa.array([START + day * DAY_NS] * 10, pa.timestamp("ns", "UTC"))
        rows = pa.RecordBatch.from_arrays([ts, pa.array(range(10 * day, 10 * day + 10))], ["ts", "n"])
        files.append(module._file(folder, table, str(np.datetime64(1_750_000_000 + day * 86_400, "s").astype("M8[D]")), day, rows))
    about = Backup(1, module._id(files), 0, 0, 0, files)
    module.put(folder / module.LIST, module.msgspec.json.encode(about).decode())
    return folder


def test_a_damaged_file_is_told_and_costs_no_other(empty: Client, tmp_path: Path) -> None:
    folder = rows_of_days(tmp_path, "damaged", 5)
    files = sorted(folder.rglob("*.arrow"))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    files[3].write_bytes(files[3].read_bytes()[:-1])
    files[4].rename(tmp_path / "elsewhere")
    told: list[str] = []
    outcome = put_back(empty, folder, told.append)
    assert (outcome.rows, outcome.unread, len(told)) == ({"damaged": 20}, 3, 3)
    assert str(files[1]) in told[0] and "10 rows of damaged are not restored" in told[0]
    files[1].write_bytes(whole)
    outcome = put_back(empty, folder, told.append)
    assert (outcome.rows, outcome.before, outcome.unread) == ({"damaged": 10}, {"damaged": 20}, 2)
    assert empty.rows("SELECT count(), uniqExact(n) FROM damaged", 2) == [["30", "30"]]
    assert empty.place
    forget(empty.place, read(folder))
    assert put_back(empty, folder, told.append).rows == {"damaged": 30}


def test_what_is_no_backup_is_refused_in_one_line(backup: Path, tmp_path: Path) -> None:
    def says(pattern: str) -> None:
        with pytest.raises(StoreError, match=pattern) as told:
            read(tmp_path)
        assert "\n" not in str(told.value)

    says("is no backup")
    (tmp_path / module.UNFINISHED).touch()
    says("was not finished")
    whole = (backup / module.LIST).read_text()
    (tmp_path / module.LIST).write_text(whole.replace('"version": 1', '"version": 2'))
    says("newer Headwater")
    for damaged in (whole[:-9], whole.replace("rate/", "/etc/"), whole.replace('"rows": 1', '"rows": 2'), "[]", "{}"):
        (tmp_path / module.LIST).write_text(damaged)
        says("is damaged")


def test_a_folder_that_is_in_use_is_refused(full: Client, backup: Path, tmp_path: Path) -> None:
    settings = StoreSettings(path=str(full.place and full.place.folder))
    with pytest.raises(SinkError, match="has a backup already"):
        back_up(full, settings, backup, pytest.fail)
    (tmp_path / "mine").touch()
    with pytest.raises(SinkError, match="is not empty"):
        back_up(full, settings, tmp_path, pytest.fail)
    (tmp_path / module.UNFINISHED).touch()
    (tmp_path / "rate").mkdir()
    (tmp_path / "rate/2020-01-01.000000.arrow").write_text("half")
    told: list[str] = []
    back_up(full, settings, tmp_path, told.append)
    assert told == [f"the backup in {tmp_path} was not finished: it is begun again"]
    assert (tmp_path / "mine").exists() and not (tmp_path / module.UNFINISHED).exists()
    assert {path.parent.name for path in tmp_path.glob("*/*")} == kept(full.tables())
    assert not (tmp_path / "rate/2020-01-01.000000.arrow").exists()


def test_what_would_make_the_store_drop_rows_is_refused(full: Client, backup: Path) -> None:
    large = module.msgspec.structs.replace(read(backup), octets=1 << 30)
    with pytest.raises(StoreError, match=r"\[store\] size_gib leaves"):
        must_fit(full, StoreSettings(path=str(full.place and full.place.folder), size_gib=0.5), large)


def test_a_backup_while_rows_come_and_parts_are_merged_has_each_once(full: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1000)  # several questions a day
    assert full.place
    before, over = 40, threading.Event()

    def batch(number: int) -> pa.RecordBatch:
        ts = START // DAY_NS * DAY_NS + (np.arange(1000) * 73 % 24) * (DAY_NS // 24)  # on the hour, where questions meet
        return pa.RecordBatch.from_arrays([pa.array(ts, pa.timestamp("ns", "UTC")), pa.array(np.arange(1000) + 1000 * number)], ["ts", "n"])

    def write(spool: Spool) -> None:
        number = before
        while not over.is_set():
            spool.encode("coming", batch(number))
            spool.write()
            number += 1
            over.wait(0.1)

    with Spool(full.place.spool, LARGE) as spool:
        for number in range(before):
            spool.encode("coming", batch(number))
        spool.write()
        until_taken(spool)
        writer = threading.Thread(target=write, args=(spool,))
        writer.start()
        try:
            merging = threading.Thread(target=lambda: list(full.compact()))
            merging.start()
            found = back_up(full, StoreSettings(path=str(full.place.folder)), tmp_path / "b", pytest.fail)
        finally:
            over.set()
            writer.join()
        merging.join()
        until_taken(spool)
    numbers = np.concatenate([pl.read_ipc(tmp_path / "b" / file.name)["n"].to_numpy() for file in found.files if file.table == "coming"])
    assert len(np.unique(numbers)) == len(numbers)
    assert set(range(1000 * before)) <= set(numbers.tolist())


def test_compacting_merges_all_and_loses_nothing(full: Client) -> None:
    assert full.place
    with Spool(full.place.spool, LARGE) as spool:
        for _ in range(3):
            spool.send([rates(10)])
        until_taken(spool)
    before = rows_in(full, "rate")
    lines = list(full.compact())
    assert lines[-1].startswith("all: ")
    parts = full.rows("SELECT table, partition_id, count() FROM system.parts WHERE active AND database = 'headwater' GROUP BY 1, 2", 3)
    assert {count for _, _, count in parts} == {"1"}
    assert rows_in(full, "rate") == before
    far = Client(None, Url.of(f"http://{full.place.address.read_text()}"), full.place.token.read_text().strip())
    with far, pytest.raises(StoreError, match="nothing here"):  # only who may open the socket may have it work
        list(far.compact())


@pytest.mark.kernel
def test_a_disk_that_is_too_small_is_told_and_a_full_one_too(full: Client, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings(path=str(full.place and full.place.folder))
    with pytest.raises(SinkError, match="MiB are free"):
        back_up(full, settings, small_disk / "b", pytest.fail)
    monkeypatch.setattr(module, "LARGER", 0)
    with pytest.raises(SinkError, match="No space left on device; this backup is not finished"):
        back_up(full, settings, small_disk / "b", pytest.fail)
    with pytest.raises(StoreError, match="was not finished"):
        read(small_disk / "b")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    told: list[str] = []
    assert back_up(full, settings, small_disk / "b", told.append) == read(small_disk / "b")
    assert len(told) == 1


def test_the_commands_say_what_they_did(backup: Path, tmp_path: Path) -> None:
    config = tmp_path / "headwater.toml"
    config.write_text(f'user = "root"\n[store]\npath = "{tmp_path}/store"\nlisten = ""\n')

    def headwater(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "headwater", "store", words[0], "-c", str(config), *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    rows = sum(read(backup).rows.values())
    done = headwater("restore", str(backup))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{rows:,} rows restored" in done.stdout
    done = headwater("backup", str(tmp_path / "b"))
    assert f"{rows:,} rows in" in done.stdout
    done = headwater("backup", str(tmp_path / "b"))
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    done = headwater("restore", str(tmp_path))
    assert (done.returncode, done.stderr) == (
        7,
        f"headwater: {tmp_path} is no backup (backup.json: No such file or directory): name the folder of one\n",
    )


@pytest.mark.parametrize("word", ["backup", "restore", "compact"])
def test_a_servers_store_is_its_own_to_back_up(word: str, tmp_path: Path) -> None:
    words = ["store", word, "--path", "http://127.0.0.1:1", *([str(tmp_path / "b")] if word != "compact" else [])]
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, StoreError) and "names a server: use its own BACKUP" in str(done.exception)
    assert not (tmp_path / "b").exists()
