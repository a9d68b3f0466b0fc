"""The table of Zeek's types, and the script that makes it out of Zeek's."""

import importlib.util
from pathlib import Path

import pytest
from places import ROOT

from headwater.records.log_columns import is_known
from headwater.records.zeek_types import LOGS, SCRIPTS

SCRIPT = """
# type Info: record { no: count &log; };
module Made;
export {
    redef enum Log::ID += { LOG };
    type Kind: enum { A, B };
    type Names: set[string];
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
        "both.a:count both.b:enum + port_:port",
        "other | policy/other | x:vector[string]",
    ]
    had = ["made | base/made | ts:time kind:enum + port_:port gone:count", "dpd | base/dpd | ts:time"]
    *_, made = module.with_older(module.Scripts(tmp_path).lines(), had)[1:2]
    assert made.endswith(" both.b:enum + port_:port gone:count")
    assert module.with_older([], had)[0] == had[1]


@pytest.mark.parametrize("log", list(LOGS))
def test_each_log_has_fields_of_zeeks_types(log: str) -> None:
    assert all(is_known(of) for of in LOGS[log].values()) and SCRIPTS[log].endswith(".zeek")
    assert next(iter(LOGS[log])) == "ts" or log == "loaded_scripts"
