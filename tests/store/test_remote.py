"""Rows on a server, by URL: each once, whoever dies, and the same questions as ever. What stands there is told in standin.py."""

import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pytest
import standin
import writing
from rows_made import TCP, conns, ledger, packets, rates
from standin import CLUSTER, FAULTS, PASSWORD, Running
from storing import children, kill

import headwater
from headwater import config
from headwater.apps import doctor
from headwater.errors import ConfigError, StoreError
from headwater.outputs.spool import Spool, waiting, writers
from headwater.records import CONN, log_columns
from headwater.records.stored import stored_schema
from headwater.store import loader as loading
from headwater.store import server as servers
from headwater.store.loader import Loader
from headwater.store.remote import Remote
from headwater.store.server import Server
from headwater.store.settings import StoreSettings, Url
from headwater.store.tables import Layout, creation

LARGE = 1 << 30
LAYOUTS = {"server": Layout(server=True), "cluster": Layout(server=True, cluster=CLUSTER)}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> None:
    if "there" in request.fixturenames:
        for database in ("headwater", "headwater_local"):
            request.getfixturevalue("there").ask(f"DROP DATABASE IF EXISTS {database} SYNC")


_opened: list[Server] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def sending(to: Running, folder: Path, layout: Layout, said: Callable[[str], None] = print, password: str = PASSWORD) -> Loader:
    _opened.append(Server(Url.of(to.url), password, None))
    return Loader(Remote(_opened[-1], layout, "of-this-test", said), folder, said, (0.01, 0.05), "it")


def waits(folder: Path) -> bool:
    return any(not file.refused for writer in writers(folder) for file in waiting(writer))


def must_have_each_once(to: Running, rows: int) -> None:
    [[count, distinct]] = to.ask("SELECT count(), uniqExact(packets) FROM headwater.rate")
    assert (int(count), int(distinct)) == (rows, rows)
    for step in ("minute", "hour"):
        assert to.ask(f"SELECT sum(rows), sum(packets) FROM headwater.rate_{step}") == to.ask(
            "SELECT count(), sum(packets) FROM headwater.rate"
        )


@pytest.mark.parametrize(("layout", "faults"), [(LAYOUTS["server"], FAULTS), (LAYOUTS["cluster"], [*FAULTS, *FAULTS, *FAULTS[3:5]])])
def test_each_row_is_there_once_through_faults(
    layout: Layout, faults: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "ANSWER_S", standin.LATE_S / 3)
    faults = [*faults, *[""] * (len(faults) // 2)]
    random.Random(len(faults)).shuffle(faults)
    with Running(tmp_path / "server", tuple(faults)) as there, Spool(tmp_path / "spool", LARGE) as spool:
        for number in range(len(faults) // 3):
            spool.send([writing.batch(number)])
        loader = sending(there, tmp_path / "spool", layout)
        deadline = time.monotonic() + 120
        while waits(tmp_path / "spool"):
            there.again()
            if not loader.load():
                time.sleep(loader.pause_s)
            assert time.monotonic() < deadline
        assert there.met == len(faults)
        must_have_each_once(there, len(faults) // 3 * writing.ROWS)
        assert spool.flush(last=False).dropped == {}


def test_a_sender_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """And none of what it says, of its own arguments or of its files has the password."""
    chance, home, said = random.Random(3), tmp_path / "store", b""
    with Running(tmp_path / "server") as there, Spool(home / "spool", LARGE) as spool:
        there.kill()
        settings = StoreSettings(path=str(home), url=there.url, cluster=CLUSTER)
        command = [sys.executable, "-m", "headwater", "store", "--user", "root", "--settings", msgspec.json.encode(settings).decode()]
        number = 0
        for round_ in range(4):
            sender = subprocess.Popen(command, env={**os.environ, "CLICKHOUSE_PASSWORD": PASSWORD}, stderr=subprocess.PIPE)
            assert sender.stderr
            if round_ == 0:
                spool.send([writing.batch(number)])
                line = sender.stderr.readline()
                assert line.count(b"no connection to") == 1 and b"they wait in the spool" in line
            there.again()
            until = time.monotonic() + chance.uniform(0.5, 1.5)
            while time.monotonic() < until:
                number += 1
                spool.send([writing.batch(number)])
                time.sleep(0.1)
            for process in (sender.pid, *children(sender)):
                assert PASSWORD.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
            kill(sender)
            said += sender.communicate()[1]
        last = subprocess.run([*command, "--once"], env={**os.environ, "CLICKHOUSE_PASSWORD": PASSWORD}, capture_output=True, check=True)
        assert not waits(home / "spool")
        must_have_each_once(there, (number + 1) * writing.ROWS)
        for octets in [said, last.stderr, *(path.read_bytes() for path in home.rglob("*") if path.is_file())]:
            assert PASSWORD.encode() not in octets


def test_a_file_that_the_server_cannot_have_lies_aside_and_others_go_on(there: Running, tmp_path: Path) -> None:
    said: list[str] = []
    with Spool(tmp_path, LARGE) as spool:
        loader = sending(there, tmp_path, LAYOUTS["server"], said.append)
        spool.send([rates(5)])
        assert loader.load() == 1
        spool.encode("services", pa.RecordBatch.from_pydict({"port": [1] * 3}))  # a view
        spool.write()
        spool.send([ledger(["a"])])
        assert loader.load() == 2
        assert spool.flush(last=False).acked == 6
        assert there.ask("SELECT count() FROM headwater.rate") == [["5"]]
        assert len(said) == 1 and said[0].startswith("store: 3 rows of services cannot be taken (") and "aside" in said[0]


def test_who_is_not_let_in_waits_and_says_so_once(there: Running, tmp_path: Path) -> None:
    said: list[str] = []
    with Spool(tmp_path, LARGE) as spool:
        spool.send([rates(5)])
        wrong = sending(there, tmp_path, LAYOUTS["server"], said.append, "hunter2")
        assert [wrong.load() for _ in range(3)] == [0, 0, 0]
        assert len(said) == 1 and "Authentication failed" in said[0] and "hunter2" not in said[0]
        elsewhere = sending(there, tmp_path, Layout(server=True, cluster="nowhere"), said.append)
        assert elsewhere.load() == 0 and "no cluster nowhere" in said[1]
        assert sending(there, tmp_path, LAYOUTS["server"], said.append).load() == 1


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_tables_widen_and_come_back_when_somebody_has_dropped_them(layout: Layout, there: Running, tmp_path: Path) -> None:
    with Spool(tmp_path, LARGE) as spool:
        loader = sending(there, tmp_path, layout)
        for column in ("a", "b", "c"):
            if column == "c":
                there.ask("DROP DATABASE headwater SYNC")
            spool.encode("own", pa.RecordBatch.from_pydict({column: [1]}))
            spool.write()
            while waits(tmp_path):
                loader.load()
        columns = [row[0] for row in there.ask("DESCRIBE TABLE headwater.own")]
        assert columns == (["a", "ingested", "b", "c"] if layout.cluster else ["c", "ingested"])
        assert there.ask("SELECT count() FROM headwater.own") == [["3" if layout.cluster else "1"]]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_values_of_another_type_go_beside(layout: Layout, there: Running, tmp_path: Path) -> None:
    said: list[str] = []
    with Spool(tmp_path, LARGE) as spool:
        for _ in range(2):  # as of two processes
            loader = sending(there, tmp_path, layout, said.append)
            for value, of in ((1.5, "double"), ("text", "string"), ([True], "vector[bool]")):
                columns = log_columns.schema({"ts": "time", "a": of, "a_string": "enum"}, "own", "zeek")
                spool.encode("own", pa.RecordBatch.from_pylist([{"ts": 0, "a": value, "a_string": "b"}], columns))
                spool.write()
            assert loader.load() == 3
    asked = "SELECT a, a_string, a_string_string, arrayStringConcat(a_vector) FROM headwater.own"
    rows = [[r"\N", "b", r"\N", "true"], [r"\N", "b", "text", ""], ["1.5", "b", r"\N", ""]]
    assert sorted(there.ask(asked)) == sorted(rows * 2)
    told = "SELECT name, comment FROM system.columns WHERE database = 'headwater' AND table = 'own' AND endsWith(comment, ' a')"
    assert there.ask(told) == [["a_string_string", "string a"], ["a_vector", "vector[bool] a"]]
    beside = [f"store: own has {name} for values that are not of the type of its column a" for name in ("a_string_string", "a_vector")]
    assert said == beside * 2


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_server_of_any_version_knows_how_columns_are_packed(layout: Layout) -> None:
    """And its ids are a column like others, for those who insert there without us."""
    here, there = (" ".join(creation("conn", stored_schema(CONN), one)) for one in (Layout(), layout))
    assert "ALP" in here and "T64, ZSTD" in here and "`community_id` Nullable(String) ALIAS" in here
    assert "ALP" not in there and "Delta(8), ZSTD" in there and "`community_id` Nullable(String) CODEC" in there


def test_rows_expire_where_that_is_asked_for_and_as_late_as_was_asked_last(there: Running, tmp_path: Path) -> None:
    with Spool(tmp_path, LARGE) as spool:
        for seconds in (0, 500, 90):
            spool.send([rates(5)])
            layout = Layout(server=True, cluster=CLUSTER, expire_s=seconds)
            assert sending(there, tmp_path, layout).load() == 1
            made = [row[0] for row in there.ask("SELECT engine_full FROM system.tables WHERE database = 'headwater_local'")]
            assert len(made) == 3
            for engine in made:
                assert (f"TTL ingested + toIntervalSecond({seconds})" in engine) == bool(seconds)


def test_the_engine_itself_makes_the_replicated_tables(there: Running) -> None:
    """With Keeper in its memory; it takes no rows there, because it listens to no other replica."""
    layout = Layout(server=True, cluster=CLUSTER, expire_s=60)
    for database in layout.databases:
        there.ask(f"CREATE DATABASE IF NOT EXISTS {database}")
    for statement in creation("own", pa.schema([("a", pa.int64()), ("ts", pa.timestamp("ns", "UTC"))]), layout):
        there.ask(statement.replace(f" ON CLUSTER `{CLUSTER}`", ""))
    [[engine]] = there.ask("SELECT engine_full FROM system.tables WHERE database = 'headwater_local' AND name = 'own'")
    assert "ReplicatedMergeTree(\\'/clickhouse/tables/{shard}/headwater/own\\', \\'{replica}\\')" in engine
    assert "replicated_deduplication_window_seconds = 2592000" in engine
    assert [row[0] for row in there.ask("DESCRIBE TABLE headwater.own")] == ["a", "ts", "ingested"]


class Noted(Server):
    """A cluster of three servers, of which nobody ever answers an insert."""

    def __init__(self) -> None:
        self.given: list[dict[str, str]] = []

    def rows(self, sql: str) -> list[list[str]]:
        return [["3"]] if "system.clusters" in sql else []

    def run(self, sql: str) -> bytes:
        return b""

    def insert(self, statement: str, octets: bytes, settings: object) -> None:
        self.given.append(dict(settings))  # type: ignore[call-overload]


def test_a_file_goes_whole_to_one_server_of_a_cluster_whoever_sends_it_again(tmp_path: Path) -> None:
    with Spool(tmp_path, LARGE) as spool:
        for number in range(20):
            spool.send([writing.batch(3 * number + 1)])
        seen = []
        for _ in range(2):  # as of two processes
            noted = Noted()
            remote = Remote(noted, LAYOUTS["cluster"], "here", pytest.fail)
            remote.open()
            for file in waiting(spool.folder):
                remote.put(file)
            seen.append([(one["insert_deduplication_token"], one["insert_shard_id"], one["insert_quorum"]) for one in noted.given])
    assert seen[0] == seen[1]
    assert len({token for token, _, _ in seen[0]}) == 20
    assert {shard for _, shard, _ in seen[0]} == {"1", "2", "3"} and {quorum for *_, quorum in seen[0]} == {"auto"}


def test_what_says_nothing_of_the_rows_is_called_so_by_the_engine(there: Running) -> None:
    names = dict(there.ask(f"SELECT arrayJoin({[*loading._LATER]}) AS code, errorCodeToName(code)"))
    assert {int(code): name for code, name in names.items()} == loading._LATER


def test_the_commands_and_python_ask_there(there: Running, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    file = tmp_path / "headwater.toml"
    file.write_text(
        f'[store]\npath = "{tmp_path}/store"\nurl = "{there.url}"\ncluster = "{CLUSTER}"\npassword_file = "{secret}"\nexpire = true\n'
    )

    def said(*words: str, **environment: str) -> str:
        command = [sys.executable, "-m", "headwater", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    tmp_path.chmod(0o711)
    secret.chmod(0o600)  # read before root becomes somebody else
    for folder in tmp_path.parents:
        if folder.name.startswith(("pytest", "popen")):
            folder.chmod(0o711)
    with Spool(tmp_path / "store/spool", LARGE) as spool:
        spool.send([conns([TCP]), packets(20)])
    said("store", "-c", str(file), "--once")
    assert not waits(tmp_path / "store/spool")

    sql = "SELECT count() AS n, any(p.name) AS name, any(nothing.name) AS none FROM packet"
    sql += " LEFT JOIN protocols AS p ON p.number = packet.proto LEFT JOIN ethertypes AS nothing ON nothing.number = 1"
    assert json.loads(said("query", "-c", str(file), sql))["none"] is None
    assert json.loads(said("query", "--path", there.url, "SELECT 1 AS one", CLICKHOUSE_PASSWORD=PASSWORD)) == {"one": 1}
    assert TCP["uid"] in said("flows", "-c", str(file), "--since", "99999d", "conn.bytes >= 0")
    assert "conn.parquet: 1 row\n" in said("export", "-c", str(file), "-o", str(tmp_path / "out"))
    status = said("store", "status", "-c", str(file))
    assert f"at {there.url.replace('headwater@', '')}" in status and "30 days" in status
    with headwater.open(there.url.replace("@", f":{quote(PASSWORD)}@")) as store:
        assert store.arrow("SELECT count() AS n FROM conn").to_pylist() == [{"n": 1}]


def test_doctor_tells_whether_the_server_is_there(there: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings(url=there.url)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
    [found] = doctor.server(settings)
    assert found.state == "ok" and found.why.startswith("ClickHouse 26.")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hunter2")
    [found] = doctor.server(settings)
    assert found.state == "warn" and "Authentication failed" in found.why and "hunter2" not in found.why
    assert [*doctor.server(StoreSettings())] == []


class Answers(BaseHTTPRequestHandler):
    """To whatever it is asked."""

    name = "X-ClickHouse-Query-Id"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header(self.name, "1")
        self.end_headers()
        self.wfile.write(b"1\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Elsewhere(Answers):
    name = "X-Powered-By"


def test_who_takes_anything_and_is_no_clickhouse_has_taken_nothing(tmp_path: Path) -> None:
    peer = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=peer.serve_forever, daemon=True).start()
    said: list[str] = []
    _opened.append(Server(Url.of(f"http://127.0.0.1:{peer.server_port}"), "", None))
    with Spool(tmp_path, LARGE) as spool:
        spool.send([rates(5)])
        assert Loader(Remote(_opened[-1], LAYOUTS["server"], "a", said.append), tmp_path, said.append).load() == 0
        assert waits(tmp_path)
    assert len(said) == 1 and "not as ClickHouse does" in said[0]
    peer.shutdown()
    peer.server_close()


def test_a_certificate_that_nobody_trusts_is_no_server(tmp_path: Path) -> None:
    own = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db", "-addext"]
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run([*own, "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)

    peer = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    peer.socket = context.wrap_socket(peer.socket, server_side=True)
    threading.Thread(target=peer.serve_forever, daemon=True).start()
    url = Url.of(f"https://127.0.0.1:{peer.server_port}")
    elsewhere = Url.of(url.base.replace("127.0.0.1", "localhost"))
    _opened.extend(Server(*of) for of in ((url, "", str(certificate)), (url, "", None), (elsewhere, "", str(certificate))))
    assert _opened[0].rows("SELECT 1") == [["1"]]
    with pytest.raises(StoreError, match="certificate verify failed"):
        _opened[1].rows("SELECT 1")
    with pytest.raises(StoreError, match=r"certificate verify failed.*localhost"):
        _opened[2].rows("SELECT 1")
    peer.shutdown()
    peer.server_close()
    with pytest.raises(StoreError, match=r"ca_file .*No such file"):
        Server(url, "", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('url = "https://me:hunter2@db"', "url has a password in it"),
        ('url = "clickhouse://db"', "url must be that of a ClickHouse server's HTTP"),
        ('url = "http://db:99999"', "url must be that of a ClickHouse server's HTTP"),
        ('url = "http://db/?a=b"', "url must be that of a ClickHouse server's HTTP"),
        ("url = 5", 'for instance url = "https://headwater@db.example:8443"'),
        ('url = "http://db"\ncluster = "a`b"', "cluster must be a name"),
        ('cluster = "a"', "cluster needs the url"),
        ("expire = true", "expire needs the url"),
    ],
)
def test_wrong_settings_are_told_without_their_secrets(table: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "headwater.toml"
    file.write_text(f"[store]\n{table}\n")
    with pytest.raises(ConfigError, match=said) as problem:
        config.load(file, {})
    assert "hunter2" not in str(problem.value)


def test_a_password_is_one_line_of_a_file_or_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("a b\n")
    settings = StoreSettings(url="https://db", password_file=str(file))
    assert settings.password({"CLICKHOUSE_PASSWORD": "other"}) == "a b"
    assert StoreSettings(url="https://db").password({"CLICKHOUSE_PASSWORD": "other"}) == "other"
    file.write_text("a\nb")
    with pytest.raises(StoreError, match="one line") as problem:
        settings.password({})
    assert "a\nb" not in str(problem.value)
    file.unlink()
    with pytest.raises(StoreError, match="No such file"):
        settings.password({})
