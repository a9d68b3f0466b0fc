"""The commands as a user meets them: help, mistakes, pipes. Each mistake is one line, an exit code, and never a traceback."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from forge import Pcapng, frame
from places import CORPORA

from headwater import telemetry
from headwater.apps import console
from headwater.apps.cli import Duration
from headwater.apps.lines import tries

HEADWATER = Path(sys.executable).parent / "headwater"


def headwater(*words: object, check: int | None = 0, **how: object) -> "subprocess.CompletedProcess[str]":
    environ = {key: value for key, value in os.environ.items() if key not in ("INTERFACE_NAME", "GRAFANA_URL", "GRAFANA_TOKEN")}
    environ |= how.pop("env", {})
    done = subprocess.run([HEADWATER, *map(str, words)], capture_output=True, text=True, check=False, timeout=60, env=environ, **how)
    assert check is None or done.returncode == check, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return make_capture(tmp_path / "three.pcap", 3)


def make_capture(path: Path, count: int, begin: int = 1_700_000_000) -> Path:
    frame = bytes.fromhex("020000000001020000000002080045000020000100004011") + bytes(2) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    frame += struct.pack("!HHHH", 53, 5353, 12, 0) + b"abcd"
    packets = b"".join(struct.pack("<IIII", begin + i, i % 1_000_000, len(frame), len(frame)) + frame for i in range(count))
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + packets)
    return path


COMMANDS = [["run"], ["read"], ["doctor"], ["demo"], ["config"], ["config", "check"], ["config", "show"], ["completion"]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example(words: list[str]):
    shown = headwater(*words, "--help").stdout
    assert words == ["config"] or "Example" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shell_code(shell: str):
    code = headwater("completion", shell).stdout
    assert "_HEADWATER_COMPLETE" in code
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=code, text=True, check=False).returncode == 0
        offered = headwater(env={"_HEADWATER_COMPLETE": "bash_complete", "COMP_WORDS": "headwater ", "COMP_CWORD": "1"}).stdout
        assert "plain,run" in offered


def test_into_a_pipe_come_json_lines(capture: Path):
    done = headwater("read", "--record", "packet", capture)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["ts"] for row in rows][1] == "2023-11-14T22:13:21.000001000Z"
    assert rows[0]["src"] == "10.0.0.1"
    assert "seq" not in rows[0]
    assert "three.pcap: 3 seen = 3 as_row" in done.stderr
    assert "adds up exactly" in done.stderr


def test_every_format_holds_the_same_rows(capture: Path, tmp_path: Path):
    for form in ("jsonl", "csv", "parquet", "arrow"):
        headwater("read", "--record", "packet", capture, "-o", tmp_path / form, "--format", form)
    lines = (tmp_path / "jsonl/packet.jsonl").read_text().splitlines()
    assert [json.loads(line)["dport"] for line in lines] == [5353] * 3
    assert pyarrow.csv.read_csv(tmp_path / "csv/packet.csv")["dport"].to_pylist() == [5353] * 3
    tables = [pyarrow.parquet.read_table(tmp_path / "parquet/packet.parquet"), pyarrow.feather.read_table(tmp_path / "arrow/packet.arrow")]
    assert tables[0].equals(tables[1])
    ledger = [json.loads(line) for line in (tmp_path / "jsonl/ledger.jsonl").read_text().splitlines()]
    assert sum(row["count"] for row in ledger if row["term"] == "seen") == 3


def test_zeeks_logs_are_files_of_their_own(tmp_path: Path):
    capture = make_capture(tmp_path / "cut.pcap", 1)
    octets = bytearray(capture.read_bytes()[:-30])
    octets[32] -= 30  # captured
    capture.write_bytes(octets)
    for form in ("zeek", "zeek-json"):
        headwater("read", capture, "-o", tmp_path / form, "--format", form, "--record", "weird")
        assert [path.name for path in (tmp_path / form).iterdir()] == ["weird.log"], "Zeek has no ledger"
    extra = headwater("read", capture, "--format", "zeek-json", "--record", "weird", "--extra").stdout
    (row,), (more,) = ([json.loads(line) for line in text.splitlines()] for text in ((tmp_path / "zeek-json/weird.log").read_text(), extra))
    assert row == {"ts": 1_700_000_000.0, "name": "truncated_IP", "notice": False, "peer": "headwater", "source": "IP"}
    assert more.items() > row.items() and more["l2_src"] == "02:00:00:00:00:02"
    lines = (tmp_path / "zeek/weird.log").read_text().splitlines()
    assert len(lines) == 10 and lines[8] == "1700000000.000000" + "\t-" * 5 + "\ttruncated_IP\t-\tF\theadwater\tIP"


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "arrow", "zeek", "zeek-json"])
def test_what_an_earlier_capture_left_does_not_mix_with_a_later_ones(tmp_path: Path, form: str):
    capture, rows = make_capture(tmp_path / "three.pcap", 3), tmp_path / "rows"
    headwater("read", capture, "-o", rows, "--format", form)
    own = {path.name for path in rows.iterdir()}
    (suffix,) = {path.suffix for path in rows.iterdir()}
    assert f"conn{suffix}" in own and f"weird{suffix}" not in own
    (rows / f"weird{suffix}").write_text("of another capture")
    (rows / f"tunnel{suffix}").symlink_to(capture)
    others = {"weird.txt", f"packet{suffix}", f"tunnel{suffix}"}
    (rows / "weird.txt").touch()
    (rows / f"packet{suffix}").touch()
    said = headwater("read", capture, "-o", rows, "--format", form).stderr
    assert {path.name for path in rows.iterdir()} == own | others
    assert "weird" not in said


def test_a_directory_with_the_time_in_its_name_is_a_new_one_each_time(capture: Path, tmp_path: Path):
    for _ in range(2):
        headwater("read", capture, "-o", tmp_path / "rows %Y")
    first, second = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert (len(first.name), second.name) == (9, f"{first.name}-2")
    assert (first / "conn.jsonl").read_text() == (second / "conn.jsonl").read_text()
    assert "has %q, which is no part of a time" in headwater("read", capture, "-o", "%q", check=2).stderr


def test_a_table_when_asked(capture: Path):
    shown = headwater("read", "--record", "packet", capture, "--format", "table").stdout
    assert "10.0.0.1" in shown
    assert len(shown.splitlines()) == 5  # heading, date, three packets


def test_standard_input(capture: Path):
    with capture.open("rb") as stream:
        assert len(headwater("read", "--record", "packet", "-", stdin=stream).stdout.splitlines()) == 3


def test_several_captures_one_of_them_broken(capture: Path, tmp_path: Path):
    broken = tmp_path / "broken.pcap"
    broken.write_bytes(b"hello, I am not a capture at all")
    done = headwater("read", "--record", "packet", capture, broken, make_capture(tmp_path / "two.pcap", 2), check=5)
    assert len(done.stdout.splitlines()) == 5
    assert "broken.pcap" in done.stderr


def test_captures_that_are_not_in_the_order_of_time_are_told_once(tmp_path: Path):
    first, second, third = (make_capture(tmp_path / f"x.pcap{n}", 3, 1_700_000_000 + 10 * n) for n in (1, 2, 10))
    said = headwater("read", first, third, second, first).stderr
    assert said.count("begins before") == 1
    assert "headwater: x.pcap2 begins before x.pcap10 ends, which was read first" in said and "mergecap -w all.pcap" in said
    empty = make_capture(tmp_path / "empty.pcap", 0)
    assert "begins before" not in headwater("read", first, empty, second, third).stderr


@pytest.mark.parametrize(("lost", "said"), [(1, "lost 1 packet before it reached"), (1234, "lost 1,234 packets before they reached")])
def test_what_the_capturing_side_lost_is_told(tmp_path: Path, lost: int, said: str):
    made = Pcapng("<").section().interface()
    made.enhanced(frame(60), (4, made.number(lost)))
    (tmp_path / "lossy.pcapng").write_bytes(made.data)
    assert f"lossy.pcapng: whoever captured this {said} the file\n" in headwater("read", tmp_path / "lossy.pcapng").stderr


def test_captures_of_one_name_are_told_apart(tmp_path: Path):
    names = ["a/x/trace.pcap", "b/x/trace.pcap", "other.pcap", "trace.pcap", "./trace.pcap"]
    for number, name in enumerate(names[:4], 1):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_capture(tmp_path / name, number)
    (tmp_path / "b/x/trace.pcap").write_bytes(b"no capture")
    done = headwater("read", "--record", "packet", *names, check=5, cwd=tmp_path)
    told = {"a/x/trace.pcap": 1, "other.pcap": 3, "trace.pcap": 8}
    rows = [json.loads(line)["interface"] for line in done.stdout.splitlines()]
    assert {name: rows.count(name) for name in rows} == told
    assert [line for line in done.stderr.splitlines() if line.startswith("packets")] == [
        f"packets  {name}: {count} seen = {count} as_row" for name, count in told.items()
    ]
    assert "headwater: b/x/trace.pcap is not a pcap or pcapng capture" in done.stderr


NO_CAPTURES = [
    (b"\xfd7zXZ\0 and so on", "it is packed with xz, which Headwater does not unpack: do that first (xz -d)"),
    (b"PK\x03\x04 and so on", "it is packed with zip, which Headwater does not unpack: do that first (unzip)"),
    (b"\x89PNG\r\n\x1a\n", "is it from tcpdump or Wireshark, and whole?"),
    (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 9999), "link type 9999"),
    (b"", "is empty"),
]


@pytest.mark.parametrize(("octets", "said"), NO_CAPTURES, ids=[said for _, said in NO_CAPTURES])
@pytest.mark.parametrize("more", [[], ["--format", "table"], ["-o", "rows"]], ids=["jsonl", "table", "files"])
def test_where_nothing_could_be_read_nothing_adds_up(tmp_path: Path, octets: bytes, said: str, more: list[str]):
    (tmp_path / "x").write_bytes(octets)
    done = headwater("read", "--record", "packet", "x", *more, check=5, cwd=tmp_path)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_was_not_kept_of_flows_is_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    flood = bytearray(make_capture(tmp_path / "flood.pcap", 3000).read_bytes())
    size = (len(flood) - 24) // 3000
    for number in range(3000):
        struct.pack_into("!H", flood, 24 + number * size + 16 + 34, 1024 + number)  # its source port
        struct.pack_into("<I", flood, 24 + number * size, 1_700_000_000)
    (tmp_path / "flood.pcap").write_bytes(flood)
    (tmp_path / "most.toml").write_text("[flows]\nmost = 1024\n")
    assert "evicted" not in headwater("read", tmp_path / "flood.pcap").stderr
    said = headwater("read", tmp_path / "flood.pcap", "-c", tmp_path / "most.toml").stderr
    assert "flows    evicted for want of room, before they were over: 1,976; a larger most ([flows] in a file for -c) makes room\n" in said
    ledger = telemetry.Ledger()
    ledger.add(telemetry.Entry("flows", "x", "letters_lost"), 7)
    console.tell_ledger(ledger)
    assert "letters of histories and parts of streams that flows had no room for: 7;" in capsys.readouterr().err


def test_a_capture_without_packets_adds_up(tmp_path: Path):
    assert "none.pcap: 0 seen = 0\n" in headwater("read", "--record", "packet", make_capture(tmp_path / "none.pcap", 0)).stderr


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "arrow", "table"])
@pytest.mark.parametrize("reader", ["head -c1", "true"])
def test_head_ends_it_quietly(tmp_path: Path, form: str, reader: str):
    big = make_capture(tmp_path / "big.pcap", 150_000)
    shell = f"set -o pipefail; {HEADWATER} read --record packet {big} --format {form} | {reader}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, b"", reader != "true")


def test_head_ends_it_while_nothing_comes(tmp_path: Path):
    many = make_capture(tmp_path / "many.pcap", 5_000)  # more than a pipe holds
    words = [HEADWATER, "read", "--record", "packet", "-", "--format", "jsonl"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(many.read_bytes())
        process.stdin.flush()
        assert process.stdout.readline().startswith(b'{"ts":')
        process.stdout.close()
        try:
            assert process.wait(20) == 0, "its standard input is still open"
        finally:
            process.kill()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("form", ["jsonl", "csv", "arrow"])  # the limit would hit the file in memory that parquet makes a group in
def test_rows_that_found_no_room_at_the_end_are_told(tmp_path: Path, form: str):
    capture = make_capture(tmp_path / "many.pcap", 20_000)
    shell = f"ulimit -f 64; {HEADWATER} read --record packet {capture} -o {tmp_path / 'rows'} --format {form}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "no room left (File too large)" in done.stderr.splitlines()[-1]) == (6, True), done.stderr
    assert "disk full" in done.stderr and "unreachable" not in done.stderr


MISTAKES = [
    (["read", "missing.pcap"], 5, "no such file"),
    (["read", "."], 5, "is a folder"),
    (["read"], 2, "missing argument 'FILE...'; see headwater read --help"),
    (["run", "--for", "soon"], 2, "is not a time"),
    (["run", "-c", "missing.toml"], 2, "cannot be read: No such file or directory; give the path of a file with settings"),
    (["run", "--cut"], 2, "requires an argument: headers; see headwater run --help"),
    (["read", "x.pcap", "--format"], 2, "requires an argument: table or jsonl or csv"),
    (["run", "--for"], 2, "requires an argument; see headwater run --help"),
    (["completion"], 2, "choose from: bash, zsh, fish; see headwater completion --help"),
    (["config", "chek"], 2, "see headwater config --help"),
    (["read", "x.pcap", "--extra"], 2, "--extra: goes with --format zeek or zeek-json"),
    (["run", "--consume"], 2, 'consume needs hook = "xdp"'),
    (["run", "-i", "eth77"], 2, "no interface named eth77"),
    (["rnu"], 2, "no such command 'rnu'. Did you mean 'run'? - see headwater --help"),
    (["run", "-o", ""], 2, "'--output': it is empty"),
    (["run", "-i", ""], 2, "'--interface': it is empty"),
    (["run", "-c", ""], 2, "'--config': it is empty"),
    (["read", "x.pcap", "-o", ""], 2, "'--output': it is empty"),
    (
        ["read", "x.pcap", "--format", "zeek", "--record", "packet"],
        2,
        "there is no such log of the record packet: choose --record conn or --record conn_long or --record tunnel or --record weird",
    ),
    (["read", "x.pcap", "--format", "zeek-json", "-o", "rows", "--record", "weird", "--record", "packet"], 2, "of the record packet"),
    (["read", ""], 2, "it is empty"),
    (["run", "-i", "lo,eth77"], 2, "no interface named eth77"),
    (["run", "eth0"], 2, "an interface is chosen with: -i eth0"),
    (["run", "trace.pcapng"], 2, "a capture is read with: headwater read trace.pcapng"),
    (["run", "--for", "0s"], 2, "that is no time at all"),
    (["run", "--for", "1h30"], 2, "is not a time"),
    (["read", "x.pcap", "--workers", "0"], 2, "0 is not in the range 1<=x<=64"),
    (["read", "x.pcap", "--workers", "2", "-w", "y.pcap"], 2, "--workers: one process writes packets: leave -w or this out"),
    (["read", "x.pcap", "--workers", "2", "--record", "packet"], 2, "--workers: packets are not shared, only what flows carry"),
    (["read", "x.pcap", "--workers", "2", "--no-services"], 2, "--workers: nothing is read of what flows carry"),
    (["read", "x.pcap", "--workers", "2", "--extract", "files"], 2, "--workers: the limits of --extract are of all files together"),
    (["read", "-", "--workers", "2"], 2, "--workers: each of them reads the captures: name files, not a pipe"),
    (["read", "x.pcap", "--workers", "2"], 5, "no such file"),
]


@pytest.mark.parametrize(("words", "code", "said"), MISTAKES, ids=[" ".join(words) for words, *_ in MISTAKES])
def test_a_mistake_is_one_clear_line(words: list[str], code: int, said: str, tmp_path: Path):
    done = headwater(*words, check=code, cwd=tmp_path)
    assert said.lower() in done.stderr.lower()
    assert done.stderr.startswith("headwater: ") and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_flows_without_a_terminal_say_what_shows_those_captures(capture: Path, tmp_path: Path):
    spaced = capture.rename(tmp_path / "a b.pcap")
    assert headwater("flows", spaced, check=2).stderr.endswith(f"read --format table '{spaced}'\n")
    said = headwater("flows", *[spaced] * 4, check=2).stderr
    assert said.endswith("a b.pcap' ...\n") and said.count("a b") == 3
    said = headwater("flows", spaced, "missing.pcap", check=5).stderr
    assert said == "headwater: missing.pcap: there is no such file: give the path of a pcap or pcapng capture\n"


@pytest.mark.kernel
def test_without_privilege_the_line_says_what_to_do(tmp_path: Path):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    for hook, wanted in (("tcx", "CAP_BPF"), ("af_packet", "CAP_NET_RAW")):
        words = [*nobody, HEADWATER, "run", "-i", "lo", "--hook", hook]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd="/")
        assert done.returncode == 4, done.stderr
        assert wanted in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.kernel
@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_a_live_run_writes_files_and_a_ledger(tmp_path: Path, hook: str):
    sender = "import socket,time; s=socket.socket(socket.AF_INET,2)\nwhile 1: s.sendto(b'x',('127.0.0.1',9)); time.sleep(.05)"
    with subprocess.Popen([sys.executable, "-c", sender]) as sending:
        done = headwater("run", "-i", "lo", "--hook", hook, "-o", tmp_path, "--record", "packet", "--record", "rate", "--for", "2s")
        sending.kill()
    rows = [json.loads(line) for line in (tmp_path / "packet.jsonl").read_text().splitlines()]
    rates = [json.loads(line) for line in (tmp_path / "rate.jsonl").read_text().splitlines()]
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert sum(row.get("dport") == 9 for row in rows) >= 10
    assert {row["hook"] for row in rows} == {hook}
    assert sum(rate["packets"] for rate in rates) == sum(row["segments"] for row in rows)
    seen = sum(row["count"] for row in ledger if (row["ledger"], row["term"]) == ("packets", "seen"))
    assert seen == len(rows)
    assert "adds up exactly" in done.stderr
    assert done.stderr.startswith(f"headwater: listening on lo ({hook})\n"), "once it does"


@pytest.mark.kernel
def test_ctrl_c_ends_a_run_and_prints_the_ledger():
    run = subprocess.Popen([HEADWATER, "run", "-i", "lo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stderr and run.stderr.readline().startswith("time ")  # the heading of what will be shown
    run.send_signal(signal.SIGINT)
    _, said = run.communicate()
    assert run.returncode == 0
    assert "adds up exactly" in said


@pytest.mark.kernel
def test_what_keeps_packets_away_is_said_at_the_start(tmp_path: Path):
    words = ["unshare", "-n", HEADWATER, "run", "-i", "lo", "-o", "rows", "--for"]
    environ = {**os.environ, "GRAFANA_TOKEN": "glsa_alone", "GRAFANA_URL": ""}
    done = subprocess.run([*words, "0.5s"], capture_output=True, text=True, check=True, timeout=60, env=environ, cwd=tmp_path)
    assert done.stderr.splitlines()[:2] == [
        "headwater: GRAFANA_TOKEN is set, but no GRAFANA_URL: nothing is pushed to Grafana",
        "headwater: lo is down: ip link set lo up",
    ]


@pytest.mark.kernel
def test_what_the_ring_lost_is_said_in_a_line_with_what_to_do(tmp_path: Path):
    (tmp_path / "small.toml").write_text("ring_bytes = 4096\n")
    sender = "import socket; s=socket.socket(socket.AF_INET,2)\nwhile 1: s.sendto(b'x',('127.0.0.1',9))"
    with subprocess.Popen([sys.executable, "-c", sender]) as sending:
        try:
            done = headwater(
                "run",
                "-i",
                "lo",
                "--hook",
                "tcx",
                "-c",
                tmp_path / "small.toml",
                "--detail",
                "packets",
                "-o",
                tmp_path / "rows",
                "--for",
                "1s",
            )
        finally:
            sending.kill()
    assert re.match(r"headwater: (over |under )?\d+ % of packets were lost", done.stderr.splitlines()[-1]), done.stderr
    assert done.stderr.endswith("make ring_bytes larger (it is 4096) in a file for -c\n")


def test_what_to_try_can_be_typed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(sys, "argv", [str(HEADWATER)])
    monkeypatch.setenv("PATH", str(HEADWATER.parent))
    assert console.typed() == "headwater"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("SUDO_UID", "1000")
    assert [command.rstrip() for command, _ in tries()][1:] == [f"sudo {HEADWATER} {verb}" for verb in ("run -i any", "demo", "doctor")]


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_standard_output_that_takes_nothing(capture: Path, form: str):
    for where, code, said in ((">/dev/full", 6, "no room left"), (">&-", 6, "standard output is closed")):
        done = subprocess.run(
            ["sh", "-c", f"{HEADWATER} read --record packet {capture} --format {form} {where}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, said in done.stderr, "internal" in done.stderr) == (code, True, False), done.stderr


@pytest.mark.parametrize("words", ["--help", "read --help", "doctor --json", "doctor", "config show", "completion bash"])
def test_whatever_is_written_may_find_no_room_or_no_reader(words: str):
    full = subprocess.run(["sh", "-c", f"{HEADWATER} {words} >/dev/full"], capture_output=True, text=True, check=False)
    assert (full.returncode, len(full.stderr.splitlines()), "no room left" in full.stderr) == (6, 1, True), full.stderr
    gone = subprocess.run(["bash", "-c", f"set -o pipefail; {HEADWATER} {words} | true"], capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stderr) == (0, "")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "2>&- <&-"])
def test_a_standard_error_that_takes_nothing_costs_nothing(capture: Path, tmp_path: Path, where: str):
    done = subprocess.run(["sh", "-c", f"{HEADWATER} read --record packet {capture} {where}"], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    words = f"{HEADWATER} read --record packet {capture} {tmp_path}/none -o {tmp_path}/rows {where}"
    done = subprocess.run(["sh", "-c", words], check=False)
    assert (done.returncode, len((tmp_path / "rows/packet.jsonl").read_text().splitlines())) == (5, 3)


@pytest.mark.kernel
def test_a_capture_that_may_not_be_read_is_one_line(tmp_path: Path):
    (tmp_path / "mine.pcap").touch(0o600)
    tmp_path.chmod(0o755)
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", HEADWATER, "read", "mine.pcap"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), "you may not read this file" in done.stderr) == (5, 1, True), done.stderr


def test_times_may_have_several_parts():
    assert [Duration().convert(text, None, None) for text in ("1h30m", "1m0.5s", "500ms", "10")] == [5400, 60.5, 0.5, 10]


def test_config_check_and_show(tmp_path: Path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('interfaces = ["eth0"]\n')
    bad.write_text("\ninterfces = []\n")
    assert "ok" in headwater("config", "check", good).stdout
    assert "line 2" in headwater("config", "check", bad, check=2).stderr
    assert 'interfaces = ["eth0"]' in headwater("config", "show", "-c", good).stdout


@pytest.mark.corpora
def test_a_real_capture_from_elsewhere():
    done = headwater("read", "--record", "packet", CORPORA / "tcpdump/tests/802.1ad_QinQ.pcap", check=None)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert all("vlan" in row for row in rows)
