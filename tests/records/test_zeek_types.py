"""The table of Zeek's types, and the script that makes it out of Zeek's."""

import importlib.util
import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from places import CORPORA, ROOT

from headwater.records.log_columns import is_known
from headwater.records.zeek_types import EVERYWHERE, LOGS, SCRIPTS

SCRIPT = """
# type Info: record { no: count &log; };
module Made;
export {
    redef enum Log::ID += { LOG };
    type Kind: enum { A, B };
    type Names: set[string];
    type Under: record { id: conn_id &log; };
    type End: record { host: addr &log; name: string &optional; } ;
    type Both: record { a: count; b: Made::Kind; } &log;
    ## A remark with a quote " and ; and }
    type Info: record {
        ts: time &log;
        id: conn_id &log;
        kind: Kind &log &default=A;
        note: string &log &default="# no ; remark";
        names: Names &log;
        times: vector of interval &log &optional;
        end: End &log;
        both: Both &log;
        under: Under &log;
        hidden: table[string] of count;
    };
}
event zeek_init() { Log::create_stream(Made::LOG, Log::Stream($columns=Info, $ev=log_made, $path="made")); }
"""
POLICY = "@load base/made\nredef record Made::Info += { port_: port &log &optional; };\n"
OLD = """module Other;
type Info: record { x: string_vec &log; };
event zeek_init() { Log::create_stream(Other::LOG, [$columns=Info, $path="other"]); }
"""
BARE = "type conn_id: record { orig_h: addr; } &log;\ntype string_vec: vector of string;\n"


def test_zeeks_scripts_are_read(tmp_path: Path) -> None:
    for name, text in (("base/made", SCRIPT), ("policy/made-port", POLICY), ("policy/other", OLD), ("base/init-bare", BARE)):
        path = tmp_path / f"scripts/{name}.zeek"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    spec = importlib.util.spec_from_file_location("zeek_types_made", ROOT / "docs/zeek_types.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(module.Scripts(tmp_path).lines()) == [
        "made | base/made | ts:time id kind:enum note:string names:set[string] times:vector[interval] end.host:addr "
        "both.a:count both.b:enum under.id.orig_h:addr + port_:port",
        "other | policy/other | x:vector[string]",
    ]
    had = ["made | base/made | ts:time kind:enum + port_:port gone:count", "dpd | base/dpd | ts:time"]
    *_, made = module.with_older(module.Scripts(tmp_path).lines(), had)[1:2]
    assert made.endswith(" under.id.orig_h:addr + port_:port gone:count")
    assert module.with_older([], had)[0] == had[1]


@pytest.mark.parametrize("log", list(LOGS))
def test_each_log_has_fields_of_zeeks_types(log: str) -> None:
    assert all(is_known(of) for of in LOGS[log].values()) and SCRIPTS[log].endswith(".zeek")
    assert next(iter(LOGS[log])) == "ts" or log == "loaded_scripts"


def test_the_table_has_what_zeek_says_of_its_own_records() -> None:
    said = [line for line in Path(__file__).with_name("zeek_records.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(said) > 30
    for line in said:
        path, _, words = line.split(" | ")
        wanted = dict(word.rpartition(":")[::2] for word in words.split() if word != "id")
        assert wanted.items() <= LOGS[path].items(), path
        assert ("id" in words.split()) == ("id.orig_h" in LOGS[path]), path


@pytest.mark.corpora
def test_logs_that_zeek_wrote_have_fields_and_values_of_the_table() -> None:
    """Zeek's JSON has a point in each double, time and interval, and in nothing else."""
    fields, wrong = set(), []
    for log in sorted((CORPORA / "zeek").glob("*/*.log")):
        known = {**EVERYWHERE, **LOGS[log.stem]}
        for line in log.read_text(errors="backslashreplace").splitlines():
            for name, value in json.loads(line).items():
                fields.add((log.stem, name))
                if not _is(value, known.get(name, "nothing")):
                    wrong.append((log.parent.name, log.stem, name, value))
    assert len(fields) > 400 and not wrong


def _is(value: Any, of: str) -> bool:
    if of.startswith(("set[", "vector[")):
        return isinstance(value, list) and all(one is None or _is(one, of.split("[")[1][:-1]) for one in value)
    if of == "addr":
        return isinstance(value, str) and bool(ip_address(value))
    kind = {"bool": bool, "time": float, "interval": float, "double": float, "count": int, "int": int, "port": int, "nothing": None}.get(
        of, str
    )
    return type(value) is kind and (of not in {"count", "port"} or value >= 0)
