"""The commands as a user types them, from a folder that the store's account cannot read, and without what the store needs."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from places import CORPORA
from rows_made import ledger, packets
from storing import keep, made, running
from waiting import MOST_S, until

from headwater.apps import storing
from headwater.apps.cli import cli
from headwater.errors import StoreError
from headwater.outputs.spool import waiting, writers
from headwater.store import starting
from headwater.store.client import Client
from headwater.store.settings import Place, StoreSettings
from headwater.store.starting import answers

OWN = "SELECT name FROM system.tables WHERE database = 'headwater' AND NOT endsWith(name, '_minute') AND NOT endsWith(name, '_hour')"
CAPTURE = CORPORA / "zeek/modbus__modbusBig/trace.pcap"


def headwater(*words: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "headwater", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.corpora
def test_rows_of_a_capture_are_kept_asked_for_and_exported(tmp_path: Path) -> None:
    config, private = tmp_path / "headwater.toml", tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in tmp_path.parents:
        if folder.name.startswith(("pytest", "popen")):
            folder.chmod(0o711)
    tmp_path.chmod(0o711)
    config.write_text(f'[store]\npath = "{tmp_path}/store"\nlisten = ""\n')
    kept = headwater("read", "-c", str(config), str(CAPTURE), "--store", cwd=private)
    assert (kept.returncode, kept.stdout) == (0, "")
    assert "acked" in kept.stderr and "spooled" not in kept.stderr
    assert "adds up exactly" in kept.stderr
    asked = headwater("query", "-c", str(config), "SELECT sum(orig_bytes) AS octets, count() AS n FROM conn", cwd=private)
    assert json.loads(asked.stdout) == {"octets": 85592, "n": 3}
    with Client(Place(tmp_path / "store")) as client:  # else each of them begins the store, as that one did
        shown = headwater("flows", "-c", str(config), "--since", "9999d", "conn.bytes > 0 && ip.addr == 10.235.0.0/16", cwd=private)
        assert len(shown.stdout.splitlines()) == 3
        listed = headwater("query", "-c", str(config), cwd=private)
        assert "conn_minute" in listed.stdout and "who sends most" in listed.stdout
        assert "3 rows" in headwater("export", "-c", str(config), "-o", str(tmp_path / "out"), "--table", "conn", cwd=private).stdout
        status = headwater("store", "status", "-c", str(config), cwd=private).stdout
        [[rows, days]] = client.rows(f"SELECT sum(rows), uniqExact(partition) FROM system.parts WHERE active AND table IN ({OWN})", 2)
        assert f"{rows} of {days} days in " in status and "waiting in the spool   0 rows in 0 files" in status
        assert f" {rows} made = {rows} acked" in kept.stderr
        none = headwater("flows", "-c", str(config), "--since", "1h", cwd=private)
        [[latest]] = client.rows("SELECT toDateTime(max(ts), 'UTC') FROM conn", 1)
        assert (none.stdout, none.stderr) == ("", f"headwater: none found; of the store's 3 rows of conn the latest is of {latest} UTC\n")
        for wrong, said in (
            ("SELECT nothing FROM conn", "nothing"),
            ('SELECT * FROM conn WHERE proto = "tcp"', "single quotes"),
            ("DROP TABLE conn", "refused"),
            ("SELECT file('/etc/passwd')", "refused"),
        ):
            refused = headwater("query", "-c", str(config), wrong, cwd=private)
            assert refused.returncode != 0 and said in refused.stderr
            assert len(refused.stderr.splitlines()) == 1


@pytest.mark.corpora
def test_rows_are_kept_where_standard_output_is_a_terminal_too(tmp_path: Path) -> None:
    config = tmp_path / "headwater.toml"
    config.write_text(f'user = "root"\n[store]\npath = "{tmp_path}/store"\nlisten = ""\n')
    theirs, ours = os.openpty()
    words = [sys.executable, "-m", "headwater", "read", "-c", str(config), str(CAPTURE), "--store"]
    done = subprocess.run(words, stdout=ours, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "records  store: " in done.stderr and " 0 made" not in done.stderr


@pytest.mark.corpora
def test_rows_that_the_store_puts_aside_are_an_error(tmp_path: Path) -> None:
    config, place, over = tmp_path / "headwater.toml", made(tmp_path / "store"), threading.Event()
    config.write_text(f'user = "root"\n[store]\npath = "{place.folder}"\nlisten = ""\n')

    def put_aside() -> None:
        """What a store does with what the disk gives back otherwise."""
        while not over.wait(0.01):
            for file in [file for writer in writers(place.spool) for file in waiting(writer)]:
                if not file.refused:
                    file.refuse()

    with place.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # there is a store: none is begun
        putting = threading.Thread(target=put_aside)
        putting.start()
        done = headwater("read", "-c", str(config), str(CAPTURE), "--store", cwd=tmp_path)
        over.set()
        putting.join()
    assert done.returncode == 7
    assert "did not reach the store" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("asks", [True, False])
def test_who_only_asks_has_nothing_removed(asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr(storing, "serve", lambda settings, user, **how: served.append((settings, how["removing"])))
    settings = StoreSettings(path="/a", retention_days=365, listen="", cluster="c", url="https://me@db")
    given = ["--settings", msgspec.json.encode(settings).decode(), *(["--remove-nothing"] if asks else [])]
    done = CliRunner().invoke(cli, ["store", "--path", "/b", "--while-asked", "--begun", *given])
    assert done.exit_code == 0, done.output
    assert served == [(msgspec.structs.replace(settings, path="/b"), not asks)]


def test_who_asks_starts_the_store_as_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def start(place: Place, *more: str) -> "subprocess.Popen[bytes]":
        begun.append(more)
        return subprocess.Popen(["true"], stderr=subprocess.PIPE)

    monkeypatch.setattr(starting, "start", start)
    with pytest.raises(StoreError), Client.of(StoreSettings(path=str(tmp_path), query_time_s=7), "me"):
        pass
    [[*words, settings, user, name]] = begun
    assert (words, user, name) == (["--remove-nothing", "--settings"], "--user", "me")
    assert msgspec.json.decode(settings, type=StoreSettings) == StoreSettings(path=str(tmp_path), query_time_s=7, listen="")


@pytest.mark.corpora
def test_captures_and_logs_go_to_the_store_that_another_process_has(tmp_path: Path) -> None:
    config, log = tmp_path / "headwater.toml", tmp_path / "notice.log"
    config.write_text(f'user = "root"\n[store]\npath = "{tmp_path}/store"\nlisten = ""\n')
    log.write_text("".join(f'{{"ts": {1_700_000_000 + n}, "note": "n{n}"}}\n' for n in range(100)))
    command = [sys.executable, "-m", "headwater"]
    with subprocess.Popen([*command, "store", "-c", str(config)], stderr=subprocess.PIPE, text=True) as daemon:
        try:
            place = Place(tmp_path / "store")
            until(lambda: answers(place))
            words = (["import", str(log)], ["read", str(CAPTURE), "--store"])  # a store has one import at a time
            beside = [subprocess.Popen([*command, *each, "-c", str(config)], stderr=subprocess.PIPE, text=True) for each in words]
            said = [process.communicate(timeout=MOST_S)[1] for process in beside]
            assert [process.returncode for process in beside] == [0, 0], said
            assert all("adds up exactly" in one for one in said)
            with Client(place) as client:
                assert client.rows("SELECT count(), uniqExact(note) FROM notice", 2) == [["100", "100"]]
                assert client.rows("SELECT count(), sum(orig_bytes) FROM conn", 2) == [["3", "85592"]]
            second = headwater("store", "-c", str(config), cwd=tmp_path)
            assert (second.returncode, second.stderr.count("\n")) == (7, 1) and "another process has the store" in second.stderr
            assert daemon.poll() is None and answers(place), "whoever is refused leaves the other's socket alone"
        finally:
            daemon.kill()


@pytest.mark.kernel
def test_an_export_tells_how_many_rows_it_has_and_leaves_nothing_where_they_have_no_room(tmp_path: Path, small_disk: Path) -> None:
    with running(tmp_path / "store") as client:
        assert client.place
        keep(client.place, ledger(['a "quoted\n"', "b,\n\n", '"'] * 200), packets(20_000))
        words = ["export", "--path", str(tmp_path / "store")]
        for form in ("csv", "jsonl"):
            told = headwater(*words, "-o", str(tmp_path), "--table", "ledger", "--format", form, cwd=tmp_path)
            assert told.stdout == f"{tmp_path}/ledger.{form}: 600 rows\n", told.stderr
        for form in ("csv", "jsonl", "parquet"):
            full = headwater(*words, "-o", str(small_disk), "--table", "packet", "--format", form, cwd=tmp_path)
            assert (full.returncode, full.stdout, len(full.stderr.splitlines())) == (6, "", 1), full.stderr
            assert "No space left" in full.stderr and not [*small_disk.iterdir()]


def test_where_there_is_no_store_one_line_says_how_to_make_one(tmp_path: Path) -> None:
    done = headwater("query", "--path", str(tmp_path / "none"), "SELECT 1", cwd=tmp_path)
    assert done.returncode == 7
    assert done.stderr.startswith("headwater: there is no store in") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["chdb", "iptocc", "uvicorn"])
def test_what_is_not_installed_is_named(module: str, tmp_path: Path) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(f"raise ModuleNotFoundError('No module named {module}', name='{module}')")
    with_it = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    words = (
        ["read", "--store", str(CAPTURE)]
        if module == "iptocc"
        else ["store", "--once", "--path", str(tmp_path / "store"), "--user", "root"]
    )
    done = headwater(*words, cwd=tmp_path, PYTHONPATH=with_it)
    assert done.returncode == 7, done.stderr
    assert f"needs {module}, which is not installed: pip install 'headwater[store]'" in done.stderr
