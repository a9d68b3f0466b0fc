"""What flows say, live: rows equal those of the file that tcpdump wrote at the same time, and all octets are accounted for."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import frames
import pytest
from answering import dns_server
from netns import End, FrameSender, Veth
from tcpdumps import tcpdump
from waiting import MOST_S, until
from watched import counted, read, watching, written

pytestmark = pytest.mark.kernel

MANY = 3_000_000
OF_TIME = {"ts", "uid", "rtt", "latency"}  # tcpdump's clock is read at another moment


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what depends on a clock."""
    return [{name: value for name, value in row.items() if name not in OF_TIME} for row in sorted(rows, key=lambda row: row["ts"])]


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_dns_as_tcpdump_has_it(veth: Veth, hook: str, tmp_path: Path) -> None:
    """Over UDP, and over TCP where an answer is too large for that; the flow has the service."""
    with (
        dns_server(veth.far),
        tcpdump(veth.near, tmp_path / "same.pcap"),
        watching(veth.near, tmp_path / "live", "dns", "--record", "conn", "--hook", hook) as rows,
    ):
        for words in ("one.example A", "two.example AAAA", "big.example TXT", "big.example TXT +tcp"):
            veth.near.space.run("dig", f"@{veth.far.ip4}", *words.split(), "+tries=1", "+time=30")
    read(tmp_path / "same.pcap", tmp_path / "file", "dns")
    there = written(tmp_path / "file", "dns")
    assert told(rows) == told(there)
    assert [row["query"] for row in told(rows)] == ["one.example", "two.example", *["big.example"] * 3]
    conns = written(tmp_path / "live", "conn")
    assert {(row["uid"], row["service"]) for row in conns if row["id.resp_p"] == 53} == {(row["uid"], "dns") for row in rows}
    if hook == "af_packet":
        return
    (handed,) = re.findall(r"octets   kernel: .* ([\d,]+) handed_on", rows.said)
    (carried,) = re.findall(r"octets   tap: ([\d,]+) carried", rows.said)
    assert handed == carried


@contextlib.contextmanager
def http_server(end: End, folder: Path, version: str = "1.1", port: int = 8080) -> Iterator[str]:
    """Python's, of what is in that folder. Of 1.1 it keeps connections open, but for those on which it has told of an error."""
    serving = f"import http.server as h; h.test(h.SimpleHTTPRequestHandler, protocol='HTTP/{version}', port={port})"
    server = end.space.start(sys.executable, "-uc", serving, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        server.stdout.readline()
        yield f"http://{end.ip4}:{port}"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("hook", ["tcx", "xdp", "af_packet"])
def test_answers_in_pieces_as_tcpdump_has_them(veth: Veth, hook: str, tmp_path: Path) -> None:
    """Of more octets than the path takes at a time; what is handed on is what came."""
    with (
        dns_server(veth.far, most=4096),
        tcpdump(veth.near, tmp_path / "same.pcap"),
        watching(veth.near, tmp_path / "live", "dns", "--record", "conn", "--hook", hook) as rows,
    ):
        for words in ("big.example TXT", "one.example A", "big.other TXT"):
            veth.near.space.run("dig", f"@{veth.far.ip4}", *words.split(), "+bufsize=4096", "+ignore", "+tries=1", "+time=30")
    read(tmp_path / "same.pcap", tmp_path / "file", "dns")
    there = written(tmp_path / "file", "dns")
    if hook == "xdp":  # which sees what arrives, and whose flows begin with an answer
        assert [row["answers"] for row in told(rows)] == [row["answers"] for row in told(there)]
    else:
        assert told(rows) == told(there)
    assert [len(row["answers"][0]) > 3000 for row in told(rows)] == [True, False, True]
    if hook != "af_packet":
        counted = octets(rows.said, "kernel")
        assert counted == {name: octets(rows.said, "tap")["carried"] for name in ("carried", "handed_on")}


@pytest.mark.parametrize("hook", ["tcx", "clsact", "xdp", "af_packet"])
def test_pieces_that_do_not_fit_are_odd(silent_veth: Veth, hook: str, tmp_path: Path) -> None:
    """As they are in the file, whoever puts them together."""
    small, again, other, longer, fits = (frames.udp("10.9.0.2", "10.9.0.1", 4000 + number, 5000, bytes(1200)) for number in range(5))
    changed = frames.pieces(other, 400, 800, identification=3)[1]
    sent = [
        *frames.pieces(small, 24, 800, identification=1),
        *frames.pieces(again, 400, 800, identification=2)[:2],
        *frames.pieces(again, 400, 800, identification=2)[1:],
        *frames.pieces(other, 400, identification=3)[:1],
        changed[:-16] + bytes(range(16)),
        *frames.pieces(other, 400, identification=3)[1:],
        *frames.pieces(longer, 800, identification=4)[:1],
        *frames.pieces(longer[:-8], 1000, identification=4)[1:],
        *frames.pieces(longer, 800, identification=4)[1:],
        *frames.pieces(fits, 400, 800, identification=5),
    ]
    with (
        tcpdump(silent_veth.near, tmp_path / "same.pcap"),
        watching(silent_veth.near, tmp_path / "live", "weird", "--record", "dns", "--record", "conn", "--hook", hook) as rows,
        FrameSender(silent_veth.far) as sender,
    ):
        sender.send(sent)
    names = ("id.orig_h", "id.resp_h", "name", "proto")
    read(tmp_path / "same.pcap", tmp_path / "file", "weird")
    there = [[row.get(name) for name in names] for row in written(tmp_path / "file", "weird")]
    assert [[row.get(name) for name in names] for row in rows] == there
    assert {row["name"] for row in rows} == {
        "excessively_small_fragment",
        "fragment_overlap",
        "fragment_inconsistency",
        "fragment_size_inconsistency",
    }
    assert "1 fragment" not in rows.said or hook == "af_packet"
    conns = written(tmp_path / "live", "conn")
    assert sorted(row["id.orig_p"] for row in conns) == [4000, 4001, 4002, 4003, 4004]


def test_heads_of_http_in_a_connection_that_is_kept_open(veth: Veth, tmp_path: Path) -> None:
    """Between bodies that stay in the kernel; each request has its answer, as in the file."""
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "small").write_text("here")
    with (
        http_server(veth.far, tmp_path) as url,
        tcpdump(veth.near, tmp_path / "same.pcap"),
        watching(veth.near, tmp_path / "live", "http") as rows,
    ):
        words = [word for name in ("large", "small", "large", "small") for word in ("-O", f"{url}/{name}")]
        veth.near.space.run("curl", "-s", "--output-dir", str(tmp_path / "got"), "--create-dirs", *words)
    read(tmp_path / "same.pcap", tmp_path / "file", "http")
    there = written(tmp_path / "file", "http")
    names = ("id.orig_p", "trans_depth", "method", "host", "uri", "version", "user_agent", "status_code", "status_msg")
    assert [[row.get(name) for name in names] for row in rows] == [[row.get(name) for name in names] for row in there]
    assert [(row["trans_depth"], row["status_code"]) for row in rows] == [(number, 200) for number in range(1, 5)]
    told = octets(rows.said, "kernel")
    assert told["handed_on"] < told["carried"] / 10


def test_requests_behind_uploads_of_which_nobody_knows_the_length(veth: Veth, tmp_path: Path) -> None:
    """Chunks that stay in the kernel hide where a request ends; the next one is read, and has its own answer."""
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4096)
    with veth.far.space.inside():
        listener = socket.create_server((veth.far.ip4, 8080))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as requests:
            while line := requests.readline():
                fields = list(iter(requests.readline, b"\r\n"))
                if any(b"100-continue" in field for field in fields):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while line.startswith(b"PUT") and (size := int(requests.readline(), 16)):
                    requests.read(size + 2)
                if line.startswith(b"PUT"):
                    requests.readline()
                connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    serving = threading.Thread(target=serve)
    url = f"http://{veth.far.ip4}:8080"
    upload = ("-T", str(tmp_path / "large"), "-H", "Transfer-Encoding: chunked", "-o", "/dev/null")
    asking = (*upload, f"{url}/1", "--next", "-s", *upload, f"{url}/2", "--next", "-s", f"{url}/3", "--next", "-s", *upload, f"{url}/4")
    with listener, watching(veth.near, tmp_path / "live", "http") as rows:
        serving.start()
        veth.near.space.run("curl", "-s", *asking)
        serving.join()
    assert [(row["trans_depth"], row["method"], row["uri"], row["status_code"], row["response_body_len"]) for row in rows] == [
        (1, "PUT", "/1", 201, 2),
        (2, "PUT", "/2", 201, 2),
        (3, "GET", "/3", 201, 2),
        (4, "PUT", "/4", 201, 2),
    ]
    told = octets(rows.said, "kernel")
    assert told["handed_on"] < told["carried"] / 10


@pytest.mark.parametrize("hook", ["tcx", "af_packet"])
def test_requests_of_connections_that_were_open_before(veth: Veth, hook: str, tmp_path: Path) -> None:
    """As a gateway keeps them for hours."""
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    (tmp_path / "small").write_text("here")
    with http_server(veth.far, tmp_path) as url, veth.near.space.inside():
        connection = HTTPConnection(url.removeprefix("http://"))

        def ask(path: str) -> int:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        statuses = [ask("/large")]
        with watching(veth.near, tmp_path / "live", "http", "--hook", hook) as rows:
            statuses += [ask("/large"), ask("/small"), ask("/large")]
        connection.close()
    assert statuses == [200] * 4
    told = [(row["trans_depth"], row["uri"], row["status_code"], row["response_body_len"]) for row in rows]
    assert [one[:3] for one in told] == [(1, "/large", 200), (2, "/small", 200), (3, "/large", 200)]
    assert told[0][3] == told[2][3] == 1 << 20


def test_a_body_that_comes_later_than_its_head(veth: Veth, tmp_path: Path) -> None:
    """By then it is known how long it is. Its begin is wanted all the same: without it, nobody knows what it is, nor where its end is."""
    body = b"<html>" + bytes(20_000)
    with veth.near.space.inside():
        listener = socket.create_server((veth.near.ip4, 8080))

    head, said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), 0

    def is_read() -> bool:
        """Whether all that was said until now has been, and nothing of it is on its way."""
        carried, handed_on = (counted(tmp_path / "live", "octets", term, "kernel") for term in ("carried", "handed_on"))
        return carried == said and handed_on == counted(tmp_path / "live", "octets", "carried", "tap")

    def serve() -> None:
        nonlocal said
        answers, _ = listener.accept()
        with answers:
            while request := answers.recv(1024):
                answers.sendall(head)
                said += len(request) + len(head)
                until(is_read)
                answers.sendall(body)
                said += len(body)

    serving = threading.Thread(target=serve)
    with listener, watching(veth.near, tmp_path / "live", "http") as rows:
        serving.start()
        urls = [f"http://{veth.near.ip4}:8080/{number}" for number in range(3)]
        veth.far.space.run("curl", "-s", *(word for url in urls for word in ("-o", "/dev/null", url)))
        serving.join()
    assert [(row["uri"], row["status_code"], row["response_body_len"], row["resp_mime_types"]) for row in rows] == [
        (f"/{number}", 200, len(body), ["text/html"]) for number in range(3)
    ]
    assert octets(rows.said, "kernel")["handed_on"] < 2 * len(body)


def test_http_of_many_connections_at_a_time(veth: Veth, tmp_path: Path) -> None:
    """Some are kept open, and others have one request each: curl says what each came to, and which connections are new."""
    (tmp_path / "large").write_bytes(bytes(range(256)) * 80)
    (tmp_path / "small").write_text("here")
    settings = tmp_path / "headwater.toml"
    settings.write_text("[privacy]\nqueries = true\n")
    written = "%{url_effective} %{http_code} %{size_download} %{num_connects}\n"
    with (
        http_server(veth.near, tmp_path) as keeps,
        http_server(veth.near, tmp_path, "1.0", 8081) as closes,
        watching(veth.near, tmp_path / "live", "http", "-c", str(settings)) as rows,
    ):
        asking = [
            veth.far.space.start("curl", "-s", "-o", "/dev/null", "-w", written, url, stdout=subprocess.PIPE, text=True)
            for number in range(4)
            for url in (f"{keeps}/{{small,large}}?kept={number}.[1-40]", f"{closes}/{{small,large,missing}}?short={number}.[1-10]")
        ]
        told = [one.communicate(timeout=MOST_S)[0].splitlines() for one in asking]
    expected, connections = [], 0
    for lines in told:
        depth = 0
        for line in lines:
            asked, status, size, new = line.split()
            depth = 1 if int(new) else depth + 1
            connections += int(new)
            expected.append((asked[asked.index("/", 8) :], int(status), int(size), depth))
    assert len(expected) == 4 * (80 + 30)
    assert connections == 4 * (1 + 30)
    assert {status for _, status, _, _ in expected} == {200, 404}
    names = ("uri", "status_code", "response_body_len", "trans_depth")
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(expected)
    assert len({row["uid"] for row in rows}) == connections
    assert " dropped (" not in rows.said
    assert octets(rows.said, "kernel")["handed_on"] == octets(rows.said, "tap")["carried"]


def test_the_command_shows_those_for_which_a_filter_holds(veth: Veth) -> None:
    """Lines, as they come, until a signal ends it; what the filter does not hold for is not among them."""
    command = (sys.executable, "-um", "headwater", "dns", "-i", veth.near.interface, "--format", "table", 'query contains "two"')
    with dns_server(veth.far):
        showing = veth.near.space.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asking = threading.Event()

        def ask() -> None:
            while not asking.wait(0.2):
                for name in ("one.example", "two.example"):
                    veth.near.space.run("dig", f"@{veth.far.ip4}", name, "A", "+tries=1", "+time=30")

        asks = threading.Thread(target=ask)
        asks.start()
        try:
            first = showing.stdout.readline()
        finally:
            asking.set()
            asks.join()
            showing.send_signal(signal.SIGINT)
            rest, said = showing.communicate(timeout=MOST_S)
    assert showing.returncode == 0
    assert all(line.split()[-2:] == ["two.example", "192.0.2.1"] for line in [first, *rest.splitlines()]), first + rest
    assert "adds up exactly" in said


def octets(said: str, subject: str) -> dict[str, int]:
    """A line of that ledger."""
    (line,) = re.findall(rf"octets   {subject}: (.*)", said)
    return {name: int(count.replace(",", "")) for count, name in re.findall(r"([\d,]+) (\w+)", line)}


@pytest.mark.parametrize(("payload", "hook"), [("budget", "tcx"), ("full", "tcx"), ("budget", "xdp")])
def test_what_is_beyond_the_budget_stays_in_the_kernel(veth: Veth, payload: str, hook: str, tmp_path: Path) -> None:
    """Of a stream that nobody knows a little is handed on; its flow is counted as ever, and nothing is missed."""
    settings = tmp_path / "headwater.toml"
    settings.write_text(f'[messages]\npayload = "{payload}"\nbudget_octets = 4096\n')
    more = ("--record", "dns", "--hook", hook, "-c", str(settings))
    with (
        watching(veth.near, tmp_path / "live", "conn", *more) as rows,
        veth.far.space.inside(),
        socket.create_server((veth.far.ip4, 9)) as listener,
    ):
        with veth.near.space.inside():
            asks = socket.create_connection((veth.far.ip4, 9))
        answers, _ = listener.accept()
        with asks, answers:
            asks.sendall(b"?")
            sending = threading.Thread(target=answers.sendall, args=(bytes(MANY),))
            sending.start()
            left = MANY
            while left:
                left -= len(asks.recv(left))
            sending.join()
    (conn,) = (row for row in rows if row["id.resp_p"] == 9)
    assert conn["missed_bytes"] == 0
    told = octets(rows.said, "kernel")
    assert told["carried"] == sum(told.get(name, 0) for name in ("handed_on", "unwanted", "beyond_budget"))
    assert told["carried"] >= MANY  # some may have been sent again
    if payload == "budget":
        assert told["handed_on"] <= 8192
    assert told["handed_on"] == octets(rows.said, "tap")["carried"]
