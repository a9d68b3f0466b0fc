"""The picture of flows, drawn to a console that keeps what it gets."""

import io
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from flows_made import SECOND, STATE, conn, going_on, over
from made import NOON, addr, rate
from rich.cells import cell_len
from rich.console import Console

from headwater.apps.flows import table as tables
from headwater.apps.flows.table import OVER_S, FlowTable
from headwater.apps.flows.view import FRAME_S, FlowView
from headwater.records import CONN, RATE, Batch
from headwater.records.rollup import TALKER
from headwater.telemetry import Entry

HOSTILE = "\x1b[2J\x1b]0;owned\x07e\u202evil\u200b[red]x[/red]\r\n\x9b31m"
NOBODY = np.zeros(0, dtype=TALKER)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Picture:
    """A view on a terminal that is a string."""

    def __init__(self, *batches: Batch, live: bool = True, encoding: str = "utf-8", **options: Any) -> None:
        self.clock = Clock()
        self.raw = io.BytesIO()
        self.table = FlowTable(live=live, clock=self.clock)
        for batch in batches:
            self.table.put(batch)
        self.totals: dict[Entry, int] = {}
        self.busy = True
        self.where = "eth0 (tcx)"
        self.stopped = 0
        file = io.TextIOWrapper(self.raw, encoding=encoding, write_through=True)
        self.view = FlowView(
            Console(file=file, width=options.pop("width", 80), height=options.pop("height", 24), force_terminal=True, **options),
            self.table,
            {addr("192.0.2.9"): "printer.example"},
            describe=lambda: self.where,
            totals=lambda: self.totals,
            stop=self.stop,
            busy=lambda: self.busy,
            clock=self.clock,
        )

    def stop(self) -> None:
        self.stopped += 1

    def text(self, width: int = 80, height: int = 24) -> list[str]:
        return [line.plain for line in self.view.lines(width, height)]

    def sent(self) -> str:
        data = self.raw.getvalue().decode()
        self.raw.seek(0)
        self.raw.truncate()
        return data

    def press(self, *names: str) -> None:
        for name in names:
            self.view.look.press(name)


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.time, "time_ns", lambda: NOON + 90 * SECOND)


def two() -> tuple[Batch, Batch]:
    on = conn(
        1,
        "192.0.2.9",
        "198.51.100.9",
        orig_ip_bytes=5000,
        resp_ip_bytes=2_000_000,
        orig_pkts=100,
        resp_pkts=1400,
        orig_rtt=200_000,
        resp_rtt=12_100_000,
        orig_retransmits=0,
        resp_retransmits=30,
        progress=NOON + SECOND,
    )
    done = conn(2, "2001:db8::7", "2001:db8::53", 5353, 53, ip_proto=17, conn_state=STATE["SF"], orig_ip_bytes=50, duration=SECOND)
    return going_on(on), over(done)


def test_a_picture_at_80_by_24() -> None:
    picture = Picture(*two())
    picture.clock.now += 1
    rows = np.concatenate([rate("interface ip", packets=1000, bytes=250_000, interface=1)], dtype=RATE.dtype)
    picture.view.tick(Batch(RATE, rows), NOBODY, {})
    shown = picture.text()
    assert len(shown) == 24
    assert all(cell_len(line) <= 80 for line in shown)
    assert re.fullmatch(r"headwater flows eth0 \(tcx\) +0:00:01", shown[0])
    assert shown[1] == "1 flows  1,000 packets/s  2.00 Mb/s  lost 0  by rate ↓"
    assert shown[2] == " originator           responder           prot state  bit/s→ ←bit/s     RTT res%"
    assert shown[3] == ">printer…xample:40000 198.51.100.9:443    TCP  S1      40.0k  16.0M  12.3ms 2.0%"
    assert shown[4] == " [2001:db8::7]:5353   [2001:db8::53]:53   UDP  SF"
    assert shown[-1].startswith("Enter") and shown[-1].endswith("q end")


def test_wide_it_tells_more() -> None:
    shown = Picture(*two()).text(200, 24)
    assert re.search(r">printer\.example:40000 +198\.51\.100\.9:443 https +TCP  S1 .* 5,000 +2\.00M +12\.3ms +30 +2\.0% +1:30$", shown[3])
    assert re.search(r" 50 +- +1\.0s$", shown[4])


def test_what_was_lost_is_told_in_red() -> None:
    picture = Picture(color_system="standard")
    assert not [span for span in picture.view.lines(80, 24)[1].spans if "red" in str(span.style)]
    picture.totals = {Entry("packets", "eth0", "dropped", "ringbuf", "full"): 1234, Entry("records", "x", "dropped", "a", "b"): 5}
    line = picture.view.lines(80, 24)[1]
    assert "lost 1,234" in line.plain
    assert [line.plain[span.start : span.end] for span in line.spans if "red" in str(span.style)] == ["lost 1,234"]


def test_no_line_is_wider_or_more_than_the_terminal() -> None:
    many = over(*(conn(number, "2001:db8:85a3:1319:8a2e:370:7344:1234", orig_ip_bytes=number) for number in range(1, 100)))
    for (width, height), pane in product(((1, 1), (10, 3), (20, 5), (33, 10), (60, 24), (80, 24), (250, 70)), ("", "flow", "help")):
        for live in (False, True):
            picture = Picture(many, live=live)
            picture.where = "a very long list of interfaces, " * 10
            picture.view.lines(width, height)
            picture.view.look.pane = pane
            shown = picture.text(width, height)
            assert len(shown) == height
            assert all(cell_len(line) <= width for line in shown)


def test_all_columns_of_one_flow() -> None:
    picture = Picture(*two())
    picture.text()
    picture.press("enter")
    shown = "\n".join(picture.text(100, 200))
    for wanted in (
        r"uid +C\w+\n",
        r"ip proto +TCP\n",
        r"conn state +S1\n",
        r"RTT +12\.3ms\n",
        r"retransmits +30 packets, 2\.0%\n",
        r"rate +40\.0 kb/s sent, 16\.0 Mb/s received\n",
        r" originator +responder\n",
        r"originator +192\.0\.2\.9:40000 \(printer\.example, documentation\)\n",
        r"responder +198\.51\.100\.9:443 \(https, documentation\)\n",
        r"ip bytes +5,000 +2,000,000\n",
        r"rtt +0\.000200 s +0\.012100 s\n",
        r"retransmits +0 +30\n",
        r"interface +eth0\n",
    ):
        assert re.search(wanted, shown), (wanted, shown)
    assert "inner vlan" not in shown  # which it has not


def test_the_flow_that_is_looked_at_may_go() -> None:
    on, done = two()
    picture = Picture(on, done)
    picture.text()
    picture.press("end")
    picture.text()
    picture.press("enter")
    assert "this flow has gone" not in picture.text()[1]
    picture.clock.now += OVER_S + 1
    shown = picture.text(100, 200)
    assert shown[1] == "this flow has gone; it was"
    assert any(re.match(r"originator +\[2001:db8::7\]:5353 ", line) for line in shown)


def test_live_what_is_over_is_dim() -> None:
    on, done = two()
    assert [line.style for line in Picture(on, done).view.lines(80, 24)[3:5]] == ["", "dim"]
    assert Picture(done, live=False).view.lines(80, 24)[3].style == ""


def test_names_may_be_switched_off() -> None:
    picture = Picture(*two())
    picture.press("n")
    assert picture.text()[3].startswith(">192.0.2.9:40000 ")
    picture.press("/", *"printer", "enter")
    assert picture.text()[3] == " none of them has these words"
    picture.press("n")
    assert "1 with printer" in picture.text()[1]


def test_where_none_is_shown_there_is_none_to_open() -> None:
    picture = Picture(*two())
    picture.text()
    picture.press("/", *"nobody has this", "enter")
    hidden = picture.text()
    picture.press("enter")
    assert picture.text() == hidden
    assert hidden[3] == " none of them has these words"
    picture.press("/", "clear", "enter")
    picture.text()
    picture.press("enter")
    assert "originator" in "".join(picture.text())


def test_a_pause_holds_the_picture_and_not_the_keys() -> None:
    picture = Picture(*two())
    before = picture.text()
    picture.press("p")
    picture.text()
    picture.table.put(going_on(conn(3, "203.0.113.3", orig_ip_bytes=10**9, progress=NOON + SECOND), conn(1, progress=NOON + 9 * SECOND)))
    picture.clock.now += OVER_S + 1
    with picture.table.kept():  # as when too much waits to be looked at
        pass
    paused = picture.text()
    assert paused[3:] == before[3:]
    assert "PAUSED" in paused[1]
    picture.press(">", "r")
    assert [line[1:] for line in picture.text()[3:5]] == [line[1:] for line in before[4:2:-1]]
    picture.press("<", "p")
    assert picture.text()[3].startswith(">203.0.113.3")


def test_text_from_strangers_cannot_steer_the_terminal() -> None:
    rows = conn(1, history=b"\x1b[2J")
    picture = Picture(Batch(CONN, rows, {1: HOSTILE}), color_system="standard", width=200)
    picture.where = HOSTILE
    picture.view.open()
    picture.view.draw()
    picture.press("enter")
    picture.clock.now += 1
    picture.view.draw()
    sent = picture.sent()
    ours = re.sub(r"\x1b\[[\d;]*[mHK]|\x1b\[\?\d+[hl]|\x1b\[2J", "", sent)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u202e]", ours)
    assert sent.count("\x1b[2J") <= 1
    assert r"\x1b[2J" in ours and "[red]x" in ours


def test_without_colour_and_without_unicode() -> None:
    half = conn(3, orig_rtt=SECOND, orig_ip_bytes=9, progress=NOON + SECOND)
    picture = Picture(*two(), going_on(half), encoding="ascii", color_system=None)
    picture.view.open()
    picture.view.draw()
    sent = picture.sent()
    assert sent.isascii() and "by rate v" in sent and ">1.00s" in sent
    assert "\x1b[0m" not in sent and not re.search(r"\x1b\[[\d;]+m", sent)


def test_it_draws_twice_a_second_and_at_once_for_a_key_or_a_new_size() -> None:
    picture = Picture(*two())
    picture.view.open()
    picture.view.draw()
    assert "printer" in picture.sent()
    picture.clock.now += FRAME_S / 2
    picture.table.put(going_on(conn(3, "203.0.113.3", progress=NOON + SECOND)))
    picture.view.draw()
    assert picture.sent() == ""
    picture.clock.now += FRAME_S / 2
    picture.view.draw()
    assert "203.0.113.3" in (sent := picture.sent()) and "198.51.100.9" not in sent  # only what changed
    picture.view._screen._console.size = (70, 20)  # type: ignore[assignment]  # rich takes any pair
    picture.view.draw()
    assert "\x1b[2J" in picture.sent()
    picture.busy = False
    picture.clock.now += 10
    picture.view.draw()
    picture.sent()
    picture.clock.now += 10
    picture.view.draw()
    assert picture.sent() == ""  # nothing can change any more


def test_closing_gives_the_screen_back_and_leaves_the_last_picture() -> None:
    picture = Picture(*two())
    with picture.view:
        picture.view.draw()
        assert "\x1b[?1049h" in picture.sent()
    sent = picture.sent()
    assert sent.index("\x1b[?1049l") < sent.index("printer")
    assert "\x1b[?25h" in sent and "Enter" not in sent


def test_a_capture_tells_how_much_of_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture(live=False)
    assert picture.text()[3] == " none yet"
    picture.busy = False
    assert picture.text()[3] == " there are none"
    picture.table.put(over(conn(1), conn(2)))
    assert picture.text()[1] == "2 flows  lost 0  by bytes ↓"
    picture.table.left_out = 1000
    assert picture.text()[1].startswith("the 2 largest of 1,002 flows")


def test_live_without_flows_it_says_what_to_try() -> None:
    picture = Picture()
    assert picture.text()[3] == " waiting for the first flow"
    picture.clock.now += 6
    assert "-i any" in picture.text()[3]


def test_whatever_is_pressed_it_draws_on() -> None:
    """Any keys in any order, while flows come, change and go, and the terminal changes its size."""
    rng = np.random.default_rng(11)
    picture = Picture()
    known = [
        *"jkgG<>snrp?/q1:!. ",
        "up",
        "down",
        "page_up",
        "page_down",
        "home",
        "end",
        "left",
        "right",
        *["enter", "escape"] * 3,
        "backspace",
    ]
    for turn in range(1500):
        if turn % 3 == 0:
            some = rng.integers(1, 60, rng.integers(1, 20))
            rows = [conn(int(n), orig_ip_bytes=turn * int(n), progress=NOON + turn * SECOND, duration=turn, orig_rtt=turn) for n in some]
            picture.table.put((going_on if turn % 2 else over)(*rows))
        picture.clock.now += float(rng.random() * 2)
        picture.press(*rng.choice(known, rng.integers(0, 4)).tolist())
        width, height = int(rng.integers(1, 220)), int(rng.integers(1, 40))
        shown = picture.text(width, height)
        assert len(shown) == height and all(cell_len(line) <= width for line in shown)
        if not picture.view.look.pane and height > 4 and width > 20:
            lines = [line for line in shown[3:-1] if line]
            none = re.match(" none of| waiting| no flow", lines[0])
            assert sum(line.startswith(">") for line in lines) == (not none)
