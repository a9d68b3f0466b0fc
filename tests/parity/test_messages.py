"""What the kernel's flows carry, as the native table's do: the same messages of the same captures, and the same services."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import captured
import frames
import kernel_flows as kf
import numpy as np
import pytest
from answering import answer
from conversations import ACK, SYN
from forge import timed
from headwater._native import ffi
from kernel_flows import Table
from places import CORPORA

from headwater.analysis.flows import Flows, FlowSettings
from headwater.analysis.protocols import MESSAGES
from headwater.kernel import libbpf
from headwater.records import CARRIED, CONN, Batch
from headwater.records.layouts import WANT_ALL
from headwater.records.numbered import SERVICES
from headwater.sources.capture import Capture
from headwater.telemetry import Ledger

pytestmark = pytest.mark.kernel

SETTINGS = FlowSettings(bytes(range(16)))
Told = dict[str, list[tuple[object, ...]]]
LEAST = {
    "dns": 90,
    "ntp": 70,
    "dhcp": 30,
    "http": 100,
    "ssl": 50,
    "x509": 50,
    "quic": 5,
    "ssh": 5,
    "service": 1000,
}  # rows that are compared
OF_BODIES = {"http", "files"}  # of which there is less with a budget
UNLIKE = {
    "dns-huge-ttl": "it begins with an answer, and is not turned",
    "dns53": "likewise",
    "dns__max-compression-depth": "likewise",
    "ntp__misordered-ntp": "likewise",
    "erspan": "datagrams that carry its packets are in pieces",
    "http__entity_gap": "the time of a gap is that of the packet by which it is one",
    "http__http-body-match": "likewise",
    "smtp__smtp-bdat-gap": "likewise",
}


def told(batches: list[Batch]) -> Told:
    """Rows of messages by record, and the services of flows by their uid."""
    found: Told = {name: [] for name in (*MESSAGES, "service")}
    for batch in batches:
        if batch.record.name in MESSAGES:
            found[batch.record.name] += [tuple(map(str, row)) for row in batch.rows.tolist()]
        elif batch.record is CONN:
            found["service"] += [
                (uid.tobytes(), SERVICES.names.get(int(number), ""))
                for uid, number in zip(batch.rows["uid"], batch.rows["service"], strict=True)
            ]
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def native(path: Path) -> Told:
    """What user space makes of the capture."""
    flows = Flows("native", SETTINGS, messages=True)
    with Capture(str(path), Ledger(), carriers=True, payloads=True) as capture:
        found = [one.copy() for batch in capture.read() for one in flows.find(batch)]
    return told(found + [batch.copy() for batch in flows.end()])


def kernel(table: Table, taken: list[captured.Frame]) -> Told:
    """And the kernel, which is shown its frames."""
    found: list[Batch] = []
    table.forget()
    for frame in taken:
        table.put(frame.ts, frame.octets)
        found += [batch.copy() for batch in table.told()]
    return told(found + [batch.copy() for batch in table.end()])


def suiting() -> list[tuple[Path, list[captured.Frame]]]:
    """Captures of Zeek's that the kernel can be shown, of little more than messages."""
    found = []
    for path in sorted(path for path in (CORPORA / "zeek").rglob("*") if path.suffix in {".pcap", ".pcapng"}):
        taken = list(captured.frames(path))
        if kf.suits(taken) and kf.is_clock(np.array([frame.ts for frame in taken])) and len(taken) < 600:
            found.append((path, taken))
    return found


@pytest.mark.corpora
@pytest.mark.parametrize("budget", [WANT_ALL, 4096], ids=["full", "budget"])
def test_messages_of_captures(budget: int, objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that flows carry, and with little: a protocol that is read asks for more."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    compared = dict.fromkeys(LEAST, 0)
    unlike: dict[str, object] = {}
    with Table(SETTINGS, budget=budget) as table:
        for path, taken in suiting():
            expected, found = native(path), kernel(table, taken)
            for name in expected.keys() - (set() if budget == WANT_ALL else OF_BODIES):
                if found[name] != expected[name] and path.parent.name not in UNLIKE:
                    unlike[f"{path.parent.name} {name}"] = [
                        pair for pair in zip(found[name], expected[name], strict=False) if len({*pair}) > 1
                    ]
            for name, rows in expected.items():
                compared[name] = compared.get(name, 0) + len(rows)
        totals = table.kernel.totals()
    assert not unlike
    assert all(compared[name] >= least for name, least in LEAST.items())
    assert totals["carried"] == sum(totals[name] for name in ("handed", "unwanted", "beyond", "carried_unreadable"))
    assert bool(totals["beyond"]) == (budget != WANT_ALL)


def connection(said: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Times and frames of one in which each side says that, a millisecond apart."""
    places, ts = [1000, 2000], 10**18
    for side, flags, payload in ((0, SYN, b""), (1, SYN | ACK, b""), (0, ACK, b""), *((side, ACK, octets) for side, octets in said)):
        ends = ("10.0.0.1", "10.0.0.2", 40_000, 8080) if not side else ("10.0.0.2", "10.0.0.1", 8080, 40_000)
        packet = frames.tcp(*ends, flags, payload=payload, seq=places[side], ack=places[1 - side])
        ts += 1_000_000
        yield ts, frames.ethernet(packet, 0x0800)
        places[side] += len(payload) + (flags & SYN) // SYN


def in_segments(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1400] for at in range(0, len(octets), 1400)]


def test_heads_leave_the_kernel_wherever_they_begin(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a connection that is kept open, though nobody has asked yet; of what is behind them as much as the budget says."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    said: list[tuple[int, bytes]] = []
    for number in range(5):
        said += [(0, b"GET /%d HTTP/1.1\r\nHost: there\r\n\r\n" % number)]
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\nX-Number: %d\r\n\r\n" % number + bytes([number]) * 30_000
        said += [(1, octets) for octets in in_segments(answer)]
    with Table(SETTINGS, budget=2048) as table:
        for ts, frame in connection(said):
            table.put(ts, frame)
        given = [
            bytes(ffi.buffer(batch.payloads.each[i].octets, batch.payloads.each[i].length))
            for batch in table.kernel.read(kf.NAMES)
            if batch.record is CARRIED and batch.payloads
            for i in range(len(batch))
        ]
    assert [octets for octets in given if octets.startswith(b"GET")] == [octets for side, octets in said if not side]
    assert [octets for octets in given if octets.startswith(b"HTTP")] == [octets for _, octets in said if octets.startswith(b"HTTP")]
    assert sum(map(len, given)) == 5 * (2048 + len(said[0][1]))


def test_a_form_is_whole_when_it_is_answered(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though most of it has stayed in the kernel, and what tells that is a packet of the other side."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    form = b"POST / HTTP/1.1\r\nHost: there\r\nContent-Length: 30000\r\n\r\n" + bytes(30_000)
    said = [*((0, octets) for octets in in_segments(form)), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    with Table(SETTINGS, budget=2048) as table:
        for ts, frame in connection(2 * said):
            table.put(ts, frame)
        batches = [batch.copy() for tell in (table.told, table.end) for batch in tell()]
        totals = table.kernel.totals()
    names = ["trans_depth", "request_body_len", "status_code", "latency"]
    rows = [row for batch in batches if batch.record.name == "http" for row in batch.rows[names].tolist()]
    assert rows == [(number, 30_000, 200, pytest.approx(0.001, abs=2e-6)) for number in (1, 2)]
    assert totals["handed"] < totals["carried"] / 4


def asked_and_answered(count: int) -> Iterator[tuple[int, bytes]]:
    """So many flows of DNS and of HTTP that go on together, a millisecond a frame; every other answer of DNS comes in pieces."""
    ends = [(f"10.0.{number >> 8}.{number & 255}", "10.1.0.1") for number in range(count)]
    said: list[bytes] = []
    for number, (asks, tells) in enumerate(ends):
        question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + (b"\3big" if number % 2 else b"\3one") + b"\0\0\x10\0\1"
        said += [frames.ethernet(frames.udp(asks, tells, 4000, 53, question), 0x0800)]
        told = frames.udp(tells, asks, 53, 4000, answer(question))
        said += frames.pieces(told, 1480, identification=number) if number % 2 else [frames.ethernet(told, 0x0800)]
        for side, flags, seq, ack in ((0, SYN, 100, 0), (1, SYN | ACK, 900, 101), (0, ACK, 101, 901)):
            said += [http(asks, tells, side, flags, seq, ack)]
    for asks, tells in ends:
        question, told = b"GET /%b HTTP/1.1\r\n\r\n" % asks.encode(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere"
        said += [http(asks, tells, 0, ACK, 101, 901, question), http(asks, tells, 1, ACK, 901, 101 + len(question), told)]
    yield from ((10**18 + place * 10**6, frame) for place, frame in enumerate(said))


def http(asks: str, tells: str, side: int, flags: int, seq: int, ack: int, payload: bytes = b"") -> bytes:
    ends = (tells, asks, 8080, 40_000) if side else (asks, tells, 40_000, 8080)
    return frames.ethernet(frames.tcp(*ends, flags, payload=payload, seq=seq, ack=ack), 0x0800)


def test_a_question_in_pieces_is_before_its_answer(objects: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is whole when the answer was seen already, with which its flow has begun."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\3one\0\0\1\0\1"
    asks, tells = frames.udp("10.0.0.1", "10.1.0.1", 4000, 53, question), frames.udp("10.1.0.1", "10.0.0.1", 53, 4000, answer(question))
    made = [(10**18 + place * 10**6, frame) for place, frame in enumerate([*frames.pieces(asks, 16), frames.ethernet(tells, 0x0800)])]
    (tmp_path / "made.pcap").write_bytes(timed(made))
    (expected,) = native(tmp_path / "made.pcap")["dns"]
    with Table(SETTINGS, budget=2048) as table:
        table.forget()
        for ts, frame in made:
            table.put(ts, frame)
        found = [batch.copy() for batch in table.told()]
        found = told(found + [batch.copy() for batch in table.end()])
    ((_, uid, *row),) = found["dns"]
    assert row == list(expected[2:])
    assert {(str(uid), service) for uid, service in found["service"]} == {(uid, "dns")}


@pytest.mark.parametrize(("octets", "budget"), [(32 << 20, 2048), (1, 2048), (1, WANT_ALL)])
def test_flows_that_find_no_room_and_answers_in_pieces(
    octets: int, budget: int, objects: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a table of 32 flows as in a large one: all their messages are read, and all octets are accounted for."""
    monkeypatch.setattr(libbpf, "OBJECTS", objects)
    path = tmp_path / "made.pcap"
    path.write_bytes(timed(asked_and_answered(200)))
    expected = native(path)
    assert {name: len(rows) for name, rows in expected.items() if rows} == {"dns": 200, "http": 200, "service": 400, "files": 200}
    with Table(SETTINGS, octets=octets, budget=budget) as table:
        assert kernel(table, list(captured.frames(path))) == expected
        totals, streams = table.kernel.totals(), table.streams()
    assert (totals["refused"] > 1000) == (octets == 1)
    assert totals["carried"] == sum(totals[name] for name in ("handed", "unwanted", "beyond")) >= 200 * (3000 + 40) / 2
    assert totals["handed"] == streams
