"""What the documentation says is so: generated parts are up to date, links and paths lead somewhere, commands and examples run."""

import importlib.util
import itertools
import os
import re
import shlex
import socket
import struct
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec
import pyarrow as pa
import pytest
from frames import ethernet, ethertype, ip, tcp, udp
from places import ROOT
from spoken import spoken

from bench.flat import Line
from headwater import config
from headwater.apps.cli import cli
from headwater.outputs.outlet import Outlet
from headwater.pipeline import Pipeline
from headwater.records import Batch
from headwater.sources.capture import Capture
from headwater.telemetry import Entry, Ledger, imbalances

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PATH = re.compile(r"`((?:src|bpf|native|docs|tests|bench|dashboards|\.ci)/[\w./*-]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOT_RUN = {
    "make",
    "ln",
    "export",
    "python3",
    "/opt/headwater/bin/pip",
    "tcpdump",
    "ethtool",
    "editcap",
    "tshark",
    "grep",
    ".venv/bin/pytest",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs/make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- generated parts ----------------------------------------------------------------------------------------------------------


def test_generated_parts_are_what_the_code_says(make: ModuleType) -> None:
    assert [name_of(path) for path, text in make.pages().items() if path.read_text() != text] == []
    used = re.findall(r"<!-- make: (\w+) -->", "".join(page.read_text() for page in PAGES))
    assert set(used) == set(make.BLOCKS)


def test_an_old_page_is_found_and_made_anew(tmp_path: Path) -> None:
    for folder in ("docs", "bpf"):
        (tmp_path / folder).mkdir()
    for path in (*ROOT.glob("docs/*.md"), ROOT / "docs/make.py", ROOT / "docs/headwater.toml", ROOT / "docs/soak.txt"):
        (tmp_path / "docs" / path.name).write_text(path.read_text())
    header = (ROOT / "bpf/records.h").read_text()
    (tmp_path / "bpf/records.h").write_text(header.replace("/* sequence number */", "/* where in the stream */"))

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, tmp_path / "docs/make.py", *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert run("--check") == (1, "docs/records.md: not as the code has it; run `make docs`\n")
    assert run() == (0, "")
    assert run("--check") == (0, "")
    assert "| where in the stream |" in (tmp_path / "docs/records.md").read_text()


@pytest.mark.parametrize(
    ("block", "comment", "member"), [("packet", r"(seq HW_IF\(tcp\);).*", "seq"), ("drop", r"(HW_DROP_ringbuf__full,).*", "ringbuf__full")]
)
def test_what_has_no_description_is_refused(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch, block: str, comment: str, member: str
) -> None:
    monkeypatch.setattr(make, "HEADER", re.sub(comment, r"\1", make.HEADER))
    with pytest.raises(SystemExit, match=f"no comment behind {member}$"):
        make.BLOCKS[block]()


def test_each_line_of_a_load_is_a_row_of_its_table(make: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = (Line("a", "x | y"), Line("b: memory", "1 MiB (0 to 2)", "less: much", met=True), Line("c", "7", "8", met=False))
    load = "bench.load b --seconds 9, 2 CPUs\n" + "".join(f"{line}\n" for line in lines)
    (tmp_path / "soak.txt").write_text(f"tests/a.py\nseed 1: 2 frames\n{load}tests/b.py\n0 crashes\n")
    monkeypatch.setattr(make, "DOCS", tmp_path)
    assert make.load().splitlines() == [
        "`python -m bench.load b --seconds 9`, 2 CPUs.",
        "",
        "| what | promised | measured |  |",
        "| --- | --- | --- | --- |",
        "| a |  | x \\| y |  |",
        "| b: memory | less: much | 1 MiB (0 to 2) | met |",
        "| c | 8 | 7 | **missed** |",
    ]
    assert make.long_tests() == "```text\ntests/a.py\nseed 1: 2 frames\ntests/b.py\n0 crashes\n```"


def test_the_example_configuration_loads_and_has_every_key() -> None:
    settings = config.load(ROOT / "docs/headwater.toml", {})
    written = tomllib.loads((ROOT / "docs/headwater.toml").read_text())

    def keys(value: Any) -> Any:
        return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None

    assert keys(written) == keys(msgspec.to_builtins(settings))


def test_each_environment_variable_is_one() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/configuration.md").read_text(), re.M))
    code = "".join(path.read_text() for path in (ROOT / "src/headwater").rglob("*.py"))
    names = set(re.findall(r'"([A-Z]+_[A-Z]+)"', code)) - {"DCE_RPC"}  # which is an analyzer of Zeek's
    assert told == {name for name in names if re.search(rf'environ[^\n]*"{name}"|"{name}"\)', code)}


# -- what the pages refer to --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(_prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in {_slug(title) for title in re.findall(r"^#+ (.*)$", there.read_text(), re.M)}, target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_spelled_paths_are_there(page: Path) -> None:
    missing = {path for path in PATH.findall(_prose(page)) if not list(ROOT.glob(path.rstrip("/")))}
    assert not missing


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve() for page in PAGES for target in LINK.findall(_prose(page)) if "://" not in target
    }
    folders = {path for path in linked if path.is_dir()}
    assert not [name_of(page) for page in PAGES if page not in linked and page.parent not in folders and page.name != "README.md"]


def test_architecture_has_the_layers_that_are_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert "```text\n" + "\n".join(layers) + "\n```" in (ROOT / "docs/architecture.md").read_text()


# -- commands and examples ----------------------------------------------------------------------------------------------------


def _commands() -> list[tuple[str, str]]:
    return [
        (name_of(page), line.strip())
        for page in PAGES
        for block in re.findall(r"^ *```sh\n(.*?)```", page.read_text().replace("\\\n", ""), re.M | re.S)
        for line in block.splitlines()
        if line.strip()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the commands speak of."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "trace.pcap").write_bytes(_capture())
    (folder / "headwater.toml").write_text((ROOT / "docs/headwater.toml").read_text())
    return folder


@pytest.mark.parametrize(("page", "line"), _commands())
def test_commands_run(page: str, line: str, folder: Path) -> None:
    line = line.partition("  #")[0]
    for _, command in itertools.groupby(shlex.split(line), "|".__eq__):
        words = [word for word in command if word not in ("sudo", "|") and not re.match(r"[A-Z_]+=", word)]
        if not words:
            continue
        while words and words[0] not in NOT_RUN and Path(words[0]).name != "headwater":
            words.pop(0)  # what another command is given to run
        assert words, line
        if Path(words[0]).name == "headwater":
            _parses(words[1:])
    first = shlex.split(line)
    of_the_store = {"--store", "store", "query", "export", "import", "--since"} & set(first)  # tests/store asks one of its own
    if first[0] != "headwater" or first[1] in ("run", "demo", "doctor", "flows") or of_the_store:
        return
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, env=environ, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or {"-o", "-w"} & set(first) or first[1] in {"dns", "http", "tls"}  # the filter need not hold for any


def _parses(words: list[str]) -> None:
    """The command and its options are ours. Raises click's errors."""
    command: click.Command = cli
    parent: click.Context | None = None
    while isinstance(command, click.Group):
        parent = click.Context(command, parent=parent)
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words, parent=parent):
        pass


def _capture() -> bytes:
    """A pcap file with a TCP handshake's beginning, a DNS question over IPv6, and a packet with a wrong header."""
    packets = [
        tcp("192.0.2.1", "198.51.100.7", 40000, 443, 2),
        tcp("198.51.100.7", "192.0.2.1", 443, 40000, 18),
        udp("2001:db8::1", "2001:db8::53", 50000, 53, b"\0" * 12),
        ip(b"", 6, "192.0.2.1", "198.51.100.7"),
    ]
    frames = [ethernet(packet, ethertype(packet)) for packet in packets]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return header + b"".join(struct.pack("<IIII", 1_700_000_000 + n, 0, len(f), len(f)) + f for n, f in enumerate(frames))


def _example(name: str) -> dict[str, Any]:
    text = (ROOT / "docs/extending.md").read_text()
    found = re.search(rf"<!-- run: {name} -->\n\n```python\n(.*?)```", text, re.S)
    assert found
    space: dict[str, Any] = {"__name__": f"docs_{name}"}
    exec(compile(found[1], f"docs/extending.md ({name})", "exec"), space)  # noqa: S102 - our own page
    return space


@pytest.mark.parametrize("size", [0, 1])
def test_the_protocol_example_reads_what_was_asked_for(size: int) -> None:
    gopher = _example("protocol")["Gopher"]
    made = spoken(gopher, [(0, b"/news\tlinux\r\n"), (1, b"iNothing new\r\n.\r\n")], "tcp", size, resp_port=70)
    [row] = made.rows
    assert (row["_path"], row["selector"], row["search"], row["response_bytes"]) == ("gopher", "/news", "linux", 17)
    assert made.stream.services == ["gopher"]
    assert spoken(gopher, [(0, b"x" * 300)], "tcp").rows == []


def test_the_source_example_counts_what_the_kernel_counts(tmp_path: Path) -> None:
    ledger = Ledger()
    numbers = tmp_path / "dev"
    numbers.write_text(
        "header\nheader\n    lo: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n eth0: 3000000000000 30 0 0 0 0 0 0 40 4 0 0 0 0 0 0\n"
    )
    with _example("source")["Counters"](ledger, numbers) as source:
        batch = next(source.read())
        source.stop()
        assert list(source.read()) == []
        source.account()
    assert batch.to_arrow().to_pylist() == [
        {"interface": "lo", "bytes_in": 100, "packets_in": 1, "bytes_out": 200, "packets_out": 2},
        {"interface": "eth0", "bytes_in": 3_000_000_000_000, "packets_in": 30, "bytes_out": 40, "packets_out": 4},
    ]
    assert ledger.get(Entry("records", "counters", "made")) == 2
    assert not imbalances(ledger.totals())


class Onlooker:
    """A watcher that remembers."""

    watches = frozenset({"packet"})

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def draw(self) -> None: ...

    def fileno(self) -> int:
        return -1

    def update(self, batch: Batch) -> None:
        self.seen.append(batch)

    def tick(self, rates: Batch, talkers: Any, totals: Any) -> None:
        self.seen += [*rates.rows, *talkers]


def test_a_source_of_another_record_is_not_taken_for_packets() -> None:
    ledger, onlooker = Ledger(), Onlooker()
    Pipeline([_example("source")["Counters"](ledger)], [], ledger, onlooker).run(0.3)
    assert ledger.get(Entry("records", "counters", "made")) > 0
    assert onlooker.seen == []


def test_the_sink_example_delivers_a_capture(tmp_path: Path) -> None:
    """Through the pipeline and an outlet, as in earnest; the other side refuses once, is away once, and then takes all."""
    path = str(tmp_path / "socket")
    capture = tmp_path / "trace.pcap"
    capture.write_bytes(_capture())
    got: list[dict[str, Any]] = []

    def listen() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            while len(got) < 4:
                peer, _ = server.accept()
                with peer, peer.makefile("rb") as stream:
                    got.extend(pa.ipc.open_stream(stream).read_all().to_pylist())
                    peer.sendall(b"1")

    told: list[str] = []
    ledger = Ledger()
    outlet = Outlet(_example("sink")["ArrowSocket"](path), ledger, told.append, on_full="wait", backoff_s=(0.01, 0.01))
    threading.Timer(0.3, listen).start()
    pipeline = Pipeline([Capture(str(capture), ledger)], [outlet], ledger, rates=False)
    pipeline.run()
    assert [(row["proto"], row["dport"], row["weird"]) for row in got] == [
        (6, 443, None),
        (6, 40000, None),
        (17, 53, None),
        (6, None, "truncated_header"),
    ]
    assert "start the program" in told[0]
    assert ledger.get(Entry("records", f"unix:{path}", "acked")) == ledger.get(Entry("records", f"unix:{path}", "made")) == 4
    assert not imbalances(ledger.totals())


def _prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)


def _slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-")
