"""The live view, drawn to a console that keeps what it gets, and plain lines."""

import io
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from made import IP4, NOON, batch, every_kind, packet, rate
from rich.cells import cell_len
from rich.console import Console

from headwater.apps import lines as plain
from headwater.apps.lines import Lines
from headwater.apps.view import View
from headwater.records import PACKET, RATE, Batch
from headwater.records.rollup import TALKER, Rollup
from headwater.telemetry import Entry

NOBODY = np.zeros(0, dtype=TALKER)
QUIET = Batch(RATE, np.zeros(0, dtype=RATE.dtype))
HOSTILE = "\x1b[2J\x1b]0;owned\x07e\u202evil\u200b[red]x[/red]\r\n\x9b31m"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A view on a terminal that is a string, and what a terminal would show of it: a cursor, lines, and an alternate screen."""

    def __init__(self, width: int = 80, height: int = 24, encoding: str = "utf-8", **options: Any) -> None:
        self.clock = Clock()
        self.raw = io.BytesIO()
        file = io.TextIOWrapper(self.raw, encoding=encoding, write_through=True)
        self.console = Console(file=file, width=width, height=height, force_terminal=True, **options)
        self.listening = "eth0 (tcx)"
        self.view = View(self.console, lambda: self.listening, self.clock)
        self.cells: list[str] = []
        self.printed = ""

    def sent(self) -> str:
        """What has been sent since the last time."""
        data = self.raw.getvalue().decode(self.console.encoding)
        self.raw.seek(0)
        self.raw.truncate()
        return data

    def look(self) -> list[str]:
        """The screen as it is now."""
        y, text = 0, self.sent()
        for sequence, words in re.findall(r"(\x1b\[[?\d;]*[A-Za-z])|([^\x1b]+)", text):
            if words:
                assert "\n" not in words or not self.cells, "a line that scrolls the screen"
                self.cells += [""] * (y + 1 - len(self.cells))
                self.cells[y] += words
            elif sequence.endswith("H"):
                y = int(sequence[2:-1].split(";")[0] or 1) - 1
            elif sequence == "\x1b[2K":
                self.cells += [""] * (y + 1 - len(self.cells))
                self.cells[y] = ""
            elif sequence == "\x1b[2J":
                self.cells, y = [], 0
        return self.cells

    def text(self) -> str:
        return "\n".join(self.look())


def ledger(**dropped: int) -> dict[Entry, int]:
    lost = sum(dropped.values())
    counts = {Entry("packets", "eth0", "seen"): 1_234_567, Entry("packets", "eth0", "as_row"): 1_234_567 - lost}
    return counts | {Entry("packets", "eth0", "dropped", *name.split("__")): count for name, count in dropped.items()}


def seconds_sums(rows: Batch) -> tuple[Batch, np.ndarray[Any, np.dtype[Any]]]:
    return Rollup().add(rows).take(NOON)


def test_what_it_costs_is_told_where_there_is_room() -> None:
    def told(height: int) -> list[str]:
        view = View(Console(file=io.StringIO(), width=100, height=height), lambda: "eth0", spent=lambda: "1 MiB")
        return [line.plain for line in view.lines(100, height)]

    assert "cost 1 MiB" in told(24)
    assert "cost 1 MiB" not in told(16)


def test_a_full_picture_at_80_by_24() -> None:
    screen = Screen()
    screen.view.open()
    screen.view.update(every_kind())
    screen.clock.now += 1
    screen.view.tick(*seconds_sums(every_kind()), ledger(ringbuf__full=7))
    screen.view.draw()
    shown = screen.look()
    assert len(shown) == 24
    assert all(cell_len(line) <= 80 for line in shown)
    assert re.fullmatch(r"headwater eth0 \(tcx\) +q or Ctrl-C ends  0:00:01", shown[0])
    assert re.match(r"at least +62 packets/s +551 kb/s +█", shown[1])
    assert shown[2] == "seen 1,234,567 = rows 1,234,560 + dropped 7"
    assert shown[3] == "lost: 7 ringbuf full (under 1 % of packets): make ring_bytes larger"
    assert re.match(r"protocol +packets/s +bits/s +top talker +packets/s +bits/s", shown[4])
    assert re.match(r"TCP http +44 +522 kb/s █+ +192\.0\.2\.1 +55 +547 kb/s", shown[5])
    assert re.match(r"time +dir source +destination +proto +bytes info", shown[11])
    assert shown[-1].endswith("TCP    65226 80>40000 PA http …")


def test_every_kind_of_row_says_something() -> None:
    screen = Screen(160, 40)
    screen.view.update(every_kind())
    told = [line.plain for line in screen.view.lines(160, 40)][-len(every_kind()) :]
    wanted = [
        r"out 192\.0\.2\.1 documentation +192\.0\.2\.2 documentation +TCP +74 50312>443 S https",
        r"in  2001:db8::1 .* 2001:db8:85a3:1319:8a2e:370:7344:1234 +TCP +94 443>50312 SA https",
        r"239\.255\.255\.250 SSDP +UDP +150 40000>1900 ssdp",
        r"fe80::1 link-local +ff02::fb mDNS +UDP +60 5353>5353 mdns",
        r"ICMP +98 echo request",
        r"ff02::1:ff00:2 solicited-node +ICMPv6 +86 neighbor solicit",
        r"192\.0\.2\.1 .* ARP +42 to broadcast",
        r"UDP +1514 fragment at 1480",
        r"UDP +562 fragment at 2960, the last",
        r"UDP +350 68>67 dhcp vlan 100/20",
        r"224\.0\.0\.22 IGMPv3 +IGMP +54 \+router alert",
        r"ESP +150",
        r"IP-253 +150",
        r"in  00:1b:21:aa:bb:cc Intel +01:80:c2:00:00:0e LLDP +LLDP +120",
        r"ff:ff:ff:ff:ff:ff broadcast +0x1234 +60",
        r"01:80:c2:00:00:00 STP +LLC +60",
        r"\? +9 truncated_ethernet_frame",
        r"TCP +60 truncated_header 1>2",
        r"TCP +65226 80>40000 PA http 44 segments",
    ]
    assert len(told) == len(wanted)
    for line, pattern in zip(told, wanted, strict=True):
        assert re.search(rf"{pattern}$", line), line


def test_no_line_is_wider_or_more_than_the_terminal() -> None:
    rows = every_kind()
    wide = Batch(PACKET, rows.rows, {1: "e" * 40, 2: "日本語インターフェース"})
    wide.rows["interface"][::2] = 2
    for (width, height), made in product(
        ((10, 3), (20, 5), (33, 10), (40, 14), (60, 24), (79, 24), (80, 24), (100, 30), (250, 70)), (rows, wide)
    ):
        screen = Screen(width, height)
        screen.listening = "a very long list of interfaces, " * 10
        screen.view.update(made)
        screen.view.tick(*seconds_sums(made), ledger(ringbuf__full=10**15, tcx__unreadable=10**15, user_queue__full=10**15))
        drawn = screen.view.lines(width, height)
        assert len(drawn) <= height
        assert all(line.cell_len <= width for line in drawn), (width, [line.plain for line in drawn])


def test_more_room_shows_more() -> None:
    screen = Screen()
    screen.view.update(every_kind())
    small, large = (" ".join(line.plain for line in screen.view.lines(*size)) for size in ((80, 24), (160, 50)))
    assert "2001:db8:85a3:1319:8a2e:370:7344:1234" in large
    assert "2001:db8:85a3:1319:8a2e:370:7344:1234" not in small


def test_drops_are_red_with_place_and_reason_and_zero_is_not() -> None:
    screen = Screen(color_system="standard")
    screen.view.tick(QUIET, NOBODY, ledger())
    screen.view.draw()
    sent = screen.sent()
    assert "dropped 0" in sent and ";41m" not in sent and "lost" not in sent
    screen.clock.now += 1
    screen.view.tick(QUIET, NOBODY, {**ledger(tcx__unreadable=2), Entry("records", "grafana", "dropped", "sink_queue", "full"): 3})
    screen.view.draw()
    sent = screen.sent()
    assert re.search(r"\x1b\[[\d;]*41m[^\x1b]*dropped 2", sent)
    assert re.search(r"\x1b\[[\d;]*41mlost: 2 tcx unreadable, 3 grafana: sink queue full\x1b", sent)


def test_what_the_ring_lost_is_told_once_with_its_part_and_what_to_do() -> None:
    screen = Screen(120)
    lost = {Entry("packets", "b", "seen"): 100, Entry("packets", "b", "as_row"): 3, Entry("packets", "b", "dropped", "ringbuf", "full"): 97}
    screen.view.tick(QUIET, NOBODY, {**lost, Entry("records", "tap", "dropped", "ringbuf", "full"): 97})
    assert screen.view.lines(120, 24)[3].plain == "lost: 97 ringbuf full (97 % of packets): make ring_bytes larger"


def test_rates_are_at_least_what_is_shown_while_packets_are_lost() -> None:
    screen = Screen()
    shown = []
    for lost in (0, 5, 5):
        screen.clock.now += 1
        screen.view.tick(*seconds_sums(every_kind()), ledger(ringbuf__full=lost))
        shown.append(screen.view.lines(80, 24)[1].plain)
    assert [line.startswith("at least ") for line in shown] == [False, True, False]


def test_frames_that_stand_for_several_packets_are_told_apart() -> None:
    screen = Screen()
    screen.view.tick(QUIET, NOBODY, {**ledger(), Entry("packets", "eth0", "segments"): 1_234_567})
    assert screen.view.lines(80, 24)[2].plain == "seen 1,234,567 = rows 1,234,567 + dropped 0"
    counts = {Entry("packets", "b", "seen"): 1_048, Entry("packets", "b", "as_row"): 1_048, Entry("packets", "b", "segments"): 10_311}
    screen.view.tick(QUIET, NOBODY, counts)
    assert screen.view.lines(80, 24)[2].plain == "seen 1,048 frames (10,311 packets) = rows 1,048 + dropped 0"


def test_rates_and_talkers_are_by_what_they_sent_in_the_time_gone_by() -> None:
    screen = Screen(100, 30)
    ip = "interface ip"
    rates = np.concatenate(
        [
            rate(f"{ip} ports", proto=6, port=443, direction=1, interface=1, packets=100, bytes=100_000),
            rate(f"{ip} ports", proto=6, port=443, direction=2, interface=2, packets=100, bytes=150_000),  # with the one above
            rate(f"{ip} ports", proto=17, port=53, packets=20, bytes=2_000),
            rate(f"{ip} ports", proto=17, port=12345, packets=2, bytes=1_000),
            rate(ip, proto=58, packets=10, bytes=900),
            rate("interface ethertype", ethertype=0x0806, packets=4, bytes=240),
            rate("interface", packets=2, bytes=120),
            rate("", packets=6, bytes=60),
        ],
        dtype=RATE.dtype,
    )
    talkers = np.zeros(2, dtype=TALKER)
    talkers["addr"] = [np.void(bytes(10) + b"\xff\xff\x08\x08\x08\x08"), np.void(bytes(15) + b"\1")]
    talkers["packets"], talkers["octets"] = [20, 200], [2_000, 250_000_000]
    screen.clock.now += 2
    screen.view.tick(Batch(RATE, rates), talkers, {})
    shown = [line.plain for line in screen.view.lines(100, 30)]
    left = [re.sub(r"█.*| {3,}\d.*", "", re.sub(" +", " ", line[:49])).strip() for line in shown[4:12]]
    assert left == [
        "TCP https 100 1.00 Mb/s",
        "UDP dns 10 8.00 kb/s",
        "UDP 12345 1 4.00 kb/s",
        "ICMPv6 5 3.60 kb/s",
        "ARP 2 960 b/s",
        "LLC 1 480 b/s",
        "other 3 240 b/s",
        "",
    ]
    right = [re.sub(" +", " ", line[50:]).strip() for line in shown[4:6]]
    assert right == ["::1 loopback 100 1.00 Gb/s", "8.8.8.8 Google DNS 10 8.00 kb/s"]
    assert shown[4].count("█") > shown[5].count("█")


def test_the_last_tick_of_a_run_comes_early_and_leaves_the_rates() -> None:
    screen = Screen()
    screen.clock.now += 1
    screen.view.tick(*seconds_sums(every_kind()), ledger())
    before = [line.plain for line in screen.view.lines(80, 24)]
    screen.clock.now += 0.01
    screen.view.tick(*seconds_sums(batch(packet("l2"))), ledger(ringbuf__full=1))
    after = [line.plain for line in screen.view.lines(80, 24)]
    assert before[1] == after[1] and before[4] == after[5]
    assert "dropped 1" in after[2]


def test_text_from_strangers_cannot_steer_the_terminal() -> None:
    screen = Screen(200, 50)
    screen.listening = HOSTILE
    screen.view.open()
    screen.view.update(
        batch(*[packet(f"{IP4}", src="10.0.0.1", dst="10.0.0.2", proto=1, interface=i) for i in (1, 2)], interfaces={1: HOSTILE, 2: "b"})
    )
    screen.view.tick(QUIET, NOBODY, {Entry("records", HOSTILE, "dropped", "sink", "rejected"): 1})
    screen.view.draw()
    sent = screen.sent()
    ours = re.sub(r"\x1b\[[\d;]*[mHK]|\x1b\[\?\d+[hl]|\x1b\[2J", "", sent)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u202e]", ours)
    assert sent.count("\x1b[2J") <= 1  # the view's own, at the start
    assert "[red]x" in ours  # and no markup
    assert r"\x1b[2J" in ours and r"\u202e" in ours
    lines_out, notes = io.StringIO(), io.StringIO()
    plain_lines = Lines(lines_out, notes, lambda: HOSTILE)
    plain_lines.update(batch(packet("l2"), interfaces={1: HOSTILE}))
    plain_lines.draw()
    assert lines_out.getvalue().count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]", lines_out.getvalue())


def test_nothing_for_five_seconds_says_where_and_what_to_try() -> None:
    screen = Screen()
    screen.view.open()
    screen.view.draw()
    assert "waiting for the first packet" in screen.text()
    assert "ping" not in screen.text()
    screen.clock.now += 5
    screen.view.tick(QUIET, NOBODY, {})
    screen.view.draw()
    shown = screen.text()
    assert "No packet in 5 s. Listening on eth0 (tcx)." in shown
    for what in ("ping", "-i any", "headwater demo", "headwater doctor"):
        assert what in shown
    screen.clock.now += 1
    screen.view.update(every_kind())
    screen.view.draw()
    assert "ping" not in screen.text()


def test_it_draws_four_times_a_second_at_most_and_only_what_changed() -> None:
    screen = Screen()
    screen.view.open()
    screen.view.update(every_kind())
    screen.view.draw()
    screen.look()
    for length in range(1001, 1006):
        screen.view.update(batch(packet("", length=length)))
        screen.view.draw()
        assert screen.sent() == ""  # too soon
        screen.clock.now += 0.04
    screen.clock.now += 0.25
    screen.view.update(batch(packet("", length=4242)))
    screen.view.draw()
    assert "4242" in screen.sent()
    screen.clock.now += 10
    screen.view.draw()
    assert screen.sent() == ""  # nothing changed
    screen.view.tick(QUIET, NOBODY, {})
    screen.view.draw()
    assert len(screen.sent()) < 200  # the time gone by, on the first line


def test_the_screen_is_the_picture_after_any_changes() -> None:
    screen, rng = Screen(90, 20), np.random.default_rng(3)
    screen.view.open()
    rows = every_kind()
    for _ in range(30):
        screen.view.update(rows.where(rng.random(len(rows)) < 0.3))
        screen.clock.now += 0.3
        if rng.random() < 0.3:
            screen.view.tick(
                *seconds_sums(rows.where(rng.random(len(rows)) < 0.5)), ledger(**({"ringbuf__full": 1} if rng.random() < 0.5 else {}))
            )
        screen.view.draw()
        drawn = [line.plain for line in screen.view.lines(90, 20)]
        shown = screen.look()
        assert shown[: len(drawn)] == drawn
        assert not "".join(shown[len(drawn) :])


def test_a_resize_draws_all_anew() -> None:
    screen = Screen(100, 30)
    screen.view.open()
    screen.view.update(every_kind())
    screen.view.draw()
    screen.look()
    screen.console.size = (70, 20)  # type: ignore[assignment]  # rich takes any pair
    screen.view.draw()
    assert "\x1b[2J" in (sent := screen.sent())
    assert "headwater" in sent
    assert all(len(line.plain) <= 70 for line in screen.view.lines(70, 20))


def test_only_the_last_rows_are_kept_from_borrowed_and_strided_memory() -> None:
    screen = Screen(80, 24)
    ring = np.zeros(100_000, dtype=np.dtype([("header", "u8"), ("row", PACKET.dtype)]))
    ring["row"] = packet(f"{IP4}", src="10.0.0.1", dst="10.0.0.2", proto=1)
    ring["row"]["length"] = np.arange(100_000) % 60_000
    for _ in range(3):
        screen.view.update(Batch(PACKET, ring["row"], {1: "eth0"}, borrowed=True))
    ring["row"]["length"] = 1
    for length in (7, 8, 9):
        screen.view.update(batch(packet("", length=length)))
    lengths = [int(line.plain[56:61]) for line in screen.view.lines(80, 24)[-6:]]
    assert lengths == [39_997, 39_998, 39_999, 7, 8, 9]
    assert sum(len(kept) for kept in screen.view._latest) < 1000


def test_without_colour_and_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(encoding="ascii", color_system="standard")
    screen.view.open()
    screen.view.update(batch(every_kind().rows, interfaces={1: "中"}))
    screen.view.tick(*seconds_sums(every_kind()), ledger(ringbuf__full=1))
    screen.view.draw()
    sent = screen.sent()
    assert sent.isascii() and "dropped 1" in sent and "###" in sent
    assert not re.search(r"\x1b\[[\d;]*(3|4)\d[;m]", sent)


def test_closing_gives_the_screen_back_and_leaves_the_last_picture() -> None:
    screen = Screen()
    with screen.view:
        screen.view.update(every_kind())
        screen.view.draw()
        assert "\x1b[?1049h" in screen.sent()
    sent = screen.sent()
    assert sent.index("\x1b[?1049l") < sent.index("headwater")
    assert "\x1b[?25h" in sent


def test_interfaces_are_shown_when_there_are_several() -> None:
    screen = Screen(100, 24)
    screen.view.update(batch(packet("l2"), packet("l2")))
    assert "eth0" not in screen.view.lines(100, 24)[-1].plain
    screen.view.update(batch(packet("l2", interface=2), packet("l2", interface=77)))
    assert "eth1" in screen.view.lines(100, 24)[-2].plain
    assert "if77" in screen.view.lines(100, 24)[-1].plain


# -- plain lines ---------------------------------------------------------------------------------------------------------------


class Pipe(io.StringIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        super().flush()


def test_a_line_a_packet_with_a_stable_beginning() -> None:
    out = Pipe()
    lines = Lines(out, io.StringIO(), lambda: "eth0")
    lines.update(every_kind())
    lines.draw()
    assert out.flushes == 1
    told = out.getvalue().splitlines()
    assert len(told) == len(every_kind())
    for line in told:
        assert re.match(r"\d\d:\d\d:\d\d\.\d{6} eth0 (in|out|-) \S+ \S+ > \S+ \d+( |$)", line), line
    assert re.sub(r"^\S+ ", "", told[0]) == "eth0 out TCP 192.0.2.1:50312 > 192.0.2.2:443 74 S https"
    assert "[fe80::1]:5353 > [ff02::fb]:5353 60 mdns (mDNS)" in told[3]
    assert told[13].endswith("LLDP 00:1b:21:aa:bb:cc > 01:80:c2:00:00:0e 120 (from Intel) (LLDP)")
    assert told[16].endswith("eth0 - ? - > - 9 weird=truncated_ethernet_frame")


def test_lines_that_nobody_can_read_are_counted_not_written() -> None:
    out, notes = Pipe(), Pipe()
    lines = Lines(out, notes, lambda: "eth0")
    many = Batch(PACKET, np.repeat(packet("l2"), 1_000_000), {1: "eth0"})
    printed = 0
    for _ in range(3):
        for _ in range(4):
            lines.update(many)
        lines.draw()
        printed += plain.LINES_PER_DRAW
    assert out.getvalue().count("\n") == printed
    lines.tick(QUIET, NOBODY, {})
    told = re.search(r"([\d,]+) packets not printed", notes.getvalue())
    assert told and int(told[1].replace(",", "")) + printed == 12_000_000
    lines.tick(QUIET, NOBODY, {})
    assert notes.getvalue().count("\n") == 1


def test_rows_of_lines_are_copied_when_taken() -> None:
    out = io.StringIO()
    lines = Lines(out, io.StringIO(), lambda: "eth0")
    rows = packet("l2", length=1234)
    lines.update(Batch(PACKET, rows, {1: "eth0"}, borrowed=True))
    rows["length"] = 9
    lines.draw()
    assert " 1234" in out.getvalue()


def test_lines_say_what_to_try_once_on_the_other_stream() -> None:
    clock, out, notes = Clock(), io.StringIO(), io.StringIO()
    lines = Lines(out, notes, lambda: "eth0 (tcx)", clock)
    lines.open()
    lines.draw()
    assert not notes.getvalue()
    clock.now += 5
    lines.draw()
    lines.draw()
    assert notes.getvalue().count("no packet in 5 s on eth0 (tcx)") == 1
    for what in ("ping", "-i any", "headwater demo", "headwater doctor"):
        assert what in notes.getvalue()
    assert not out.getvalue()


def test_lines_in_an_encoding_without_the_characters() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    lines = Lines(out, io.StringIO(), lambda: "")
    lines.update(batch(packet("l2"), interfaces={1: "中"}))
    lines.close()
    assert rb"\u4e2d" in raw.getvalue()
