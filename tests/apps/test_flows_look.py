"""Looking at flows: keys, sorting, filtering, cutting."""

import math
from pathlib import Path

import numpy as np
import pytest
from flows_made import SECOND, STATE, conn, kept, over
from made import addr
from rich.cells import cell_len

from headwater.apps import amounts
from headwater.apps.flows.columns import COLUMNS, ends, layout, lines, ordered
from headwater.apps.flows.keys import keys
from headwater.apps.flows.look import Look
from headwater.apps.flows.match import matching
from headwater.apps.flows.table import Kept
from headwater.apps.hosts import hosts
from headwater.apps.packets import fit_end
from headwater.records import CONN

BY_NAME = {column.name: column for column in COLUMNS}
ROOM = 10
LONG = "2001:db8:85a3:1319:8a2e:370:7344:1234"


def several() -> Kept:
    web = {"orig": "192.0.2.7", "resp": "198.51.100.9"}
    return kept(
        over(
            conn(1, **web, sport=50001, conn_state=STATE["SF"], orig_ip_bytes=900, resp_ip_bytes=100, duration=SECOND),
            conn(2, "2001:db8::7", "2001:db8::53", 5353, 53, ip_proto=17, conn_state=STATE["S0"], orig_ip_bytes=50, duration=5 * SECOND),
            conn(3, "192.0.2.80", "224.0.0.251", 5353, 5353, ip_proto=17, conn_state=STATE["S0"], orig_ip_bytes=60),
            conn(4, "fe80::1", "ff02::1", 128, 129, ip_proto=58, orig_ip_bytes=70, duration=SECOND, conn_state=STATE["OTH"]),
            conn(5, **web, sport=443, dport=8080, conn_state=STATE["REJ"], orig_ip_bytes=40, resp_ip_bytes=4000, duration=2 * SECOND),
        )
    )


def numbered(flows: Kept) -> list[int]:
    return [int.from_bytes(uid, "big") for uid in flows.batch.rows["uid"].tolist()]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("192.0.2.7", [1, 5]),
        ("2001:DB8", [2]),
        ("443", [1, 5]),
        (":443", [1, 5]),
        ("53", [2]),
        ("::53", [2]),
        ("5353", [2, 3]),
        ("udp", [2, 3]),
        ("tcp !rej", [1]),
        ("sf", [1]),
        ("icmp", [4]),
        ("129", []),  # ICMP has no ports
        ("https", [1]),
        ("udp dns", [2, 3]),
        ("mdns", [3]),
        ("!udp !icmp", [1, 5]),
        ("link-local", [4]),
        ("eth0", [1, 2, 3, 4, 5]),
        ("eth1", []),
        ("!", [1, 2, 3, 4, 5]),
        ("99999999999999", []),
        (":99999", []),
        ("\u0664\u0664\u0663", []),
    ],
)
def test_words_mean(text: str, numbers: list[int]) -> None:
    assert numbered(several().where(matching(several(), text, {}))) == numbers


def test_names_of_hosts_are_found() -> None:
    assert numbered(several().where(matching(several(), "Printer", {addr("192.0.2.7"): "my-printer.example"}))) == [1, 5]


def test_why_a_flow_ended_is_found_of_those_that_have() -> None:
    flows = several()
    names = CONN.column("end_reason").names or {}
    value, reason = next((value, name) for value, name in names.items() if name == "rst")
    flows.batch.rows["end_reason"][:2] = value
    flows.over[1] = False
    assert numbered(flows.where(matching(flows, reason, {}))) == [1]


@pytest.mark.parametrize("falling", [False, True])
def test_the_order_is_what_the_values_say(falling: bool) -> None:
    rng = np.random.default_rng(5)
    rows = [
        conn(
            number,
            f"10.0.{rng.integers(3)}.{rng.integers(256)}",
            f"2001:db8::{rng.integers(3)}",
            orig_ip_bytes=int(rng.integers(1000)),
            duration=int(rng.integers(3)) * SECOND,
            **({"orig_rtt": int(rng.integers(100)), "resp_rtt": 5} if number % 3 else {}),
        )
        for number in range(1, 200)
    ]
    flows = kept(over(*rows))
    one = {int.from_bytes(row["uid"][0].item(), "big"): row[0] for row in rows}

    def value(number: int, name: str) -> float | bytes | None:
        row = one[number]
        if name == "originator":
            return bytes(row["id.orig_h"])
        if name == "bytes":
            return int(row["orig_ip_bytes"])
        if name == "rate":
            return int(row["orig_ip_bytes"]) / int(row["duration"]) if row["duration"] else None
        return int(row["orig_rtt"]) + 5 if number % 3 else None

    for name in ("originator", "bytes", "rate", "RTT"):
        found = numbered(flows.where(ordered(flows, BY_NAME[name], falling)))
        there = [value(number, name) for number in found if value(number, name) is not None]
        assert there == sorted(there, reverse=falling), name  # type: ignore[type-var]
        assert all(value(number, name) is None for number in found[len(there) :]), name
        assert sorted(found) == list(range(1, 200))


@pytest.mark.parametrize("width", [*range(20, 260)])
def test_lines_fit(width: int) -> None:
    flows = kept(
        over(
            conn(1, LONG, LONG, 65535, 65535, orig_ip_bytes=2**63, resp_ip_bytes=2**63, duration=1, history=b"ShADadFf" * 5),
            conn(2, "192.0.2.100", "192.0.2.200", 65535, 11211, orig_pkts=1, orig_retransmits=2**32 - 1, orig_rtt=3 * 10**18),
            conn(3, ts=1, duration=2**62, ip_proto=253, conn_state=STATE["RSTOS0"]),
        )
    )
    for line in lines(flows, layout(width), {addr("192.0.2.100"): "x" * 200}, live=True):
        assert cell_len(line.plain) <= width
    assert sum(cells + 1 for _, cells in layout(width)) <= width


def test_what_there_is_room_for() -> None:
    at = {width: [column.name for column, _ in layout(width)] for width in (40, 60, 80, 100, 132, 200)}
    assert at[40] == ["originator", "responder"]
    assert at[60] == ["originator", "responder", "protocol", "rate"]
    assert at[80] == ["originator", "responder", "protocol", "state", "rate", "RTT", "part retransmitted"]
    assert set(at[80]) < set(at[100]) < set(at[132]) < set(at[200])
    assert at[200] == [column.name for column in COLUMNS]
    assert {column.name: cells for column, cells in layout(80)}["originator"] >= len("192.168.100.7:50312")
    assert {column.name: cells for column, cells in layout(200)}["responder"] >= len(f"[{LONG}]:443")


@pytest.mark.parametrize(
    ("address", "port", "width", "shown"),
    [
        ("192.0.2.1", "443", 20, "192.0.2.1:443"),
        ("192.0.2.1", "", 20, "192.0.2.1"),
        ("192.168.100.100", "50312", 21, "192.168.100.100:50312"),
        ("192.168.100.100", "50312", 19, "192.16…00.100:50312"),
        ("2001:db8::1", "443", 20, "[2001:db8::1]:443"),
        (LONG, "443", 20, "[2001:db…4:1234]:443"),
        (LONG, "", 20, "2001:db8:8…7344:1234"),
        ("fe80::1", "443", 8, "fe80::1:"),
    ],
)
def test_what_is_too_long_is_cut_in_the_middle(address: str, port: str, width: int, shown: str) -> None:
    assert len(fit_end(address, port, width)) <= width
    assert fit_end(address, port, width) == shown


def test_services_and_names_stand_behind_where_there_is_room() -> None:
    flows = several()
    assert ends(flows, "resp", {}, 40) == [
        "198.51.100.9:443 https",
        "[2001:db8::53]:53 dns",
        "224.0.0.251:5353 mdns",
        "ff02::1 echo request all nodes",
        "198.51.100.9:8080 http-alt",
    ]
    assert ends(flows, "resp", {}, 20) == [
        "198.51.100.9:443",
        "[2001:db8::53]:53",
        "224.0.0.251:5353",
        "ff02::1 echo request",
        "198.51.100.9:8080",
    ]
    named = {addr("198.51.100.9"): "web.example"}
    assert ends(flows, "resp", named, 40)[0] == "web.example:443 https"


# -- keys ------------------------------------------------------------------------------------------------------------------------


def test_keys_as_terminals_send_them() -> None:
    assert list(keys("\x1b[A\x1bOBjq\x1b[5~\x1b[1;5C\n\x7f\x1b/ä\x00")) == [
        *("up", "down", "j", "q", "page_up", "enter", "backspace", "escape", "/")
    ]


def pressed(look: Look, *names: str) -> Look:
    for name in names:
        look.press(name)
    return look


def test_the_mark_follows_its_flow_once_it_is_moved() -> None:
    flows, look = several(), Look()
    order = numbered(flows.where(look.choose(flows, {}, ROOM).places))
    assert order == [5, 1, 4, 2, 3]  # by rate
    assert (look.choose(flows, {}, ROOM).marked, look.uid) == (0, flows.batch.rows["uid"][4].item())
    pressed(look, "down", "down")
    assert numbered(flows.where(look.choose(flows, {}, ROOM).places))[look.choose(flows, {}, ROOM).marked] == 4
    pressed(look, "r")
    chosen = look.choose(flows, {}, ROOM)
    assert numbered(flows.where(chosen.places))[chosen.marked] == 4
    pressed(look, "g")
    look.choose(flows, {}, ROOM)
    pressed(look, "r")
    chosen = look.choose(flows, {}, ROOM)
    assert (chosen.marked, numbered(flows.where(chosen.places))[0]) == (0, 5)


def test_pages_and_ends() -> None:
    flows, look = kept(over(*(conn(number, orig_ip_bytes=1000 - number, duration=SECOND) for number in range(1, 101)))), Look()

    def now() -> tuple[int, int]:
        """The number at the mark, and the one that is the first to be seen."""
        chosen = look.choose(flows, {}, 10)
        shown = numbered(flows.where(chosen.places))
        assert len(shown) == 10 and shown == list(range(shown[0], shown[0] + 10))
        return shown[chosen.marked], shown[0]

    assert now() == (1, 1)
    pressed(look, "page_down")
    assert now() == (10, 1)
    pressed(look, "down")
    assert now() == (11, 2)
    pressed(look, "end")
    assert now() == (100, 91)
    pressed(look, "down", "down")
    assert now() == (100, 91)
    pressed(look, "up")
    assert now() == (99, 91)
    pressed(look, "page_up", "page_up")
    assert now() == (81, 81)
    pressed(look, "home", "k")
    assert now() == (1, 1)


def test_when_flows_go_the_mark_stays_where_it_was() -> None:
    flows, look = kept(over(*(conn(number, orig_ip_bytes=1000 - number, duration=SECOND) for number in range(1, 101)))), Look()
    look.choose(flows, {}, 10)
    pressed(look, "end")
    look.choose(flows, {}, 10)
    few = flows.where(np.arange(5))
    chosen = look.choose(few, {}, 10)
    assert (chosen.marked, len(chosen.places), chosen.of) == (4, 5, 5)
    assert look.choose(flows.where(np.zeros(100, np.bool_)), {}, 10).of == 0


def test_sorting_by_another_column() -> None:
    look = Look()
    assert (look.column.name, look.falling) == ("rate", True)
    for _ in COLUMNS:
        pressed(look, "s")
        assert look.falling == look.column.falling
    assert look.column.name == "rate"
    pressed(look, "<")
    after = look.column.name
    pressed(look, ">", "left")
    assert look.column.name == after != "rate"
    falling = look.falling
    pressed(look, "r")
    assert look.falling is not falling


def test_a_filter_holds_while_it_is_typed_and_may_be_taken_back() -> None:
    flows, look = several(), Look()

    def count() -> int:
        return look.choose(flows, {}, ROOM).of

    pressed(look, "/", *"udq", "backspace", "p")
    assert (look.typed, count(), look.ends, look.paused) == ("udp", 2, False, False)
    pressed(look, "escape")
    assert (look.typed, look.text, count()) == (None, "", 5)
    pressed(look, "/", *"udp", "enter")
    assert (look.typed, look.text, count()) == (None, "udp", 2)
    pressed(look, "/", "clear", "enter")
    assert count() == 5
    pressed(look, "/", *"rej", "enter")
    assert count() == 1
    pressed(look, "escape")
    assert count() == 5
    pressed(look, "/", *"x" * 1000, "enter")
    assert len(look.text) <= 200


def test_panes_come_and_go_and_q_ends() -> None:
    look = Look()
    assert pressed(look, "enter").pane == "", "there is no flow yet"
    look.choose(several(), {}, ROOM)
    assert pressed(look, "enter").pane == "flow"
    assert pressed(look, "enter").pane == ""
    assert pressed(look, "?").pane == "help"
    pressed(look, "down", "down", "up")
    assert look.pane_top == 1
    assert pressed(look, "enter").pane == ""
    assert pressed(look, "enter", "escape").pane == ""
    assert not look.ends
    assert pressed(look, "q").ends


def test_enter_right_behind_a_move_opens_the_flow_that_was_moved_to() -> None:
    flows, look = several(), Look()
    look.choose(flows, {}, ROOM)
    pressed(look, "end", "enter")
    look.choose(flows, {}, ROOM)
    assert int.from_bytes(look.uid, "big") == 3
    pressed(look, "down")
    look.choose(flows, {}, ROOM)
    assert int.from_bytes(look.uid, "big") == 3


# -- amounts and names -----------------------------------------------------------------------------------------------------------


def test_amounts_fit_and_are_right() -> None:
    rng = np.random.default_rng(2)
    for nanoseconds in (0, 1, *(10 ** rng.uniform(0, 12, 500)).tolist()):
        text = amounts.interval(nanoseconds)
        assert len(text) <= 6
        assert math.isclose(
            float(text[:-2]) * 1e6 if text.endswith("ms") else float(text[:-1]) * 1e9, nanoseconds, rel_tol=0.01, abs_tol=5e3
        )
    for number in (0, 1, *(10 ** rng.uniform(0, 18.9, 500)).tolist()):
        assert len(amounts.count(number)) <= 6
    for part in (0, 1, *(10 ** rng.uniform(-9, 0, 500)).tolist()):
        assert len(amounts.percent(part)) <= 4
    assert [amounts.age(round(seconds * 1e9)) for seconds in (0, 0.44, 9.94, 10, 59.9, 60, 3599, 3600, 86_399, 86_400, 10**9)] == [
        *("0.0s", "0.4s", "9.9s", "10s", "59s", "1:00", "59:59", "1h00m", "23h59m", "1d00h", "11574d")
    ]


def test_hosts_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(
        b"# a comment\n127.0.0.1\tlocalhost loop\n::1 localhost # here\n\n192.0.2.1 one one.example\n192.0.2.1 other\n"
        b"nonsense name\n10.1 short\n192.0.2.3\nfe80::1%eth0 router\n192.0.2.4 b\xffd\n192.0.2.5 \x1b[2Jevil\n192.0.2.6 -x\n"
    )
    assert hosts(file) == {
        addr("127.0.0.1"): "localhost",
        addr("::1"): "localhost",
        addr("192.0.2.1"): "one",
        addr("fe80::1"): "router",
    }
    assert hosts(tmp_path / "none") == {}
    assert all(len(address) == 16 for address in hosts())
