"""Settings from file, environment and command line; each mistake is told with its place."""

import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest
from places import ROOT

from headwater import config
from headwater.errors import ConfigError

RECORDS = [f'"{name}"' for name in get_args(config.RecordName)]


def load(tmp_path: Path, text: str, **environ: str) -> config.Settings:
    path = tmp_path / "headwater.toml"
    path.write_text(text)
    return config.load(path, environ)


def test_defaults_without_a_file():
    assert config.load(None, {}) == config.Settings()


@pytest.mark.parametrize(
    ("given", "whole", "detail", "records"),
    [
        ({}, False, "flows", ("conn", "weird")),
        ({"output": {"format": "jsonl"}}, False, "flows", ("conn",)),
        ({"output": {"format": "jsonl", "directory": "rows"}}, False, "flows", ("conn", "weird")),
        ({}, True, "packets", ("packet",)),
        ({"grafana": {"url": "http://localhost:3000"}}, False, "packets", ("packet",)),
        ({"hook": "xdp", "xdp_metadata": True}, False, "packets", ("packet",)),
        ({"detail": "packets"}, False, "packets", ("packet",)),
        ({"detail": "rates"}, False, "rates", ("rate",)),
        ({"records": ["conn", "rate"]}, False, "flows", ("conn", "rate")),
        ({"records": ["weird"]}, False, "flows", ("weird",)),
        ({"records": ["weird"], "sample": 10}, False, "packets", ("weird",)),
        ({"records": ["conn", "packet"]}, False, "packets", ("conn", "packet")),
        ({"records": ["conn", "server"]}, False, "flows", ("conn", "server")),
        ({"packet_filter": "udp"}, False, "packets", ("packet", "conn", "weird")),
        ({"flow_filter": "conn.failed"}, False, "flows", ("conn", "weird")),
        ({"flow_filter": "conn.failed", "detail": "packets"}, False, "packets", ("packet", "conn", "weird")),
        ({"records": ["rate", "cost"]}, False, "rates", ("rate", "cost")),
        ({"records": ["rate", "cost"], "detail": "packets"}, False, "packets", ("rate", "cost")),
        ({"records": ["conn", "packet"], "detail": "flows"}, False, "flows", ("conn", "packet")),
    ],
)
def test_what_records_need_leaves_the_kernel(given, whole, detail, records):
    settled = config.override(config.Settings(), "a test", **given).settled(whole_packets=whole)
    assert (settled.detail, settled.records) == (detail, records)


def test_a_file_then_the_environment_then_the_command_line(tmp_path):
    text = 'interfaces = ["eth0"]\nhook = "xdp"\n[output]\ndirectory = "rows"\nformat = "csv"\n'
    settings = load(tmp_path, text, INTERFACE_NAME="eth1")
    assert settings.interfaces == ("eth1",)
    assert settings.output.format == "csv"
    settings = config.override(settings, "the command line", interfaces=["eth2", "eth3"], hook=None)
    assert settings.interfaces == ("eth2", "eth3")
    assert settings.hook == "xdp"


def test_grafana_from_the_environment_as_in_the_recipe(tmp_path):
    settings = load(tmp_path, "", GRAFANA_URL="http://127.0.0.1:3000", GRAFANA_TOKEN="glsa_canary")
    assert settings.grafana is not None
    assert settings.grafana.token == "glsa_canary"
    assert "canary" not in config.show(settings)
    assert "canary" not in repr(settings)
    assert load(tmp_path, "", GRAFANA_TOKEN="alone").grafana is None


@pytest.mark.parametrize("who", ["somebody:canary", "canary", "somebody:can@ary"])
def test_a_password_within_the_url_is_not_shown(tmp_path, who):
    shown = config.show(load(tmp_path, f'[grafana]\nurl = "https://{who}@grafana:3000/sub"\n'))
    assert 'url = "https://(set)@grafana:3000/sub"' in shown
    assert load(tmp_path, shown).grafana is not None


BAD_VARIABLES = [
    ("GRAFANA_URL", "localhost:3000", "grafana.url must be Grafana's address"),
    ("GRAFANA_URL", "http://localhost:3000/api/live/push/a.b", "grafana.stream (or the url's last part) may have"),
    ("GRAFANA_TOKEN", "glsa canary", "grafana.token has a space"),
    ("GRAFANA_URL", "http://localhost:300000", "grafana.url must have a port from 1 to 65535"),
    ("GRAFANA_URL", "http://localhost:0", "grafana.url must have a port from 1 to 65535"),
    ("GRAFANA_URL", "http://127.0.0.1:3000abc", "grafana.url must have a port from 1 to 65535"),
    ("GRAFANA_URL", "http://a:can/ary@grafana:3000", "grafana.url must have a port from 1 to 65535"),
    ("GRAFANA_URL", "http://:3000", "grafana.url must name a host"),
    ("GRAFANA_URL", "http://localhost/\x7f", "grafana.url has a character"),
]


@pytest.mark.parametrize(("name", "value", "said"), BAD_VARIABLES)
def test_a_bad_variable_is_named(tmp_path, name, value, said):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, '[grafana]\nurl = "http://localhost:3000"\ntoken = "x"\n', **{name: value})
    assert str(caught.value).startswith(f"{name}: {said}")
    assert "canary" not in str(caught.value)


def test_a_variable_beside_a_table_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"line 1: grafana must be a table: the line \[grafana\]"):
        load(tmp_path, "grafana = 5\n", GRAFANA_TOKEN="glsa_canary")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('\ninterfces = ["eth0"]\n', "line 2: interfces is not a setting; did you mean interfaces?"),
        ('hook = "tc"\n', 'line 1: hook must be "auto", "tcx", "clsact", "xdp" or "af_packet", for instance hook = "auto"'),
        ("# a\n\nring_bytes = 5000\n", "line 3: ring_bytes must be a power of two, for instance 4096"),
        ("ring_bytes = 1\n", "line 1: ring_bytes must be a whole number from 4,096 to 1,073,741,824, for instance ring_bytes = 16777216"),
        ("ring_bytes = 1e6\n", "line 1: ring_bytes must be a whole number"),
        (
            '[output]\nformat = "xml"\n',
            'line 2: output.format must be "jsonl", "csv", "parquet", "arrow", "zeek" or "zeek-json", for instance format = "jsonl"',
        ),
        ('[output]\n\nfomat = "csv"\n', "line 3: output.fomat is not a setting; did you mean output.format?"),
        ('format = "csv"\n', "line 1: format is not a setting; did you mean output.format?"),
        ('interfaces = "eth0"\n', 'line 1: interfaces must be a list of text, for instance interfaces = ["eth0"]'),
        ("interfaces = [1]\n", 'line 1: interfaces must be a list of text, for instance interfaces = ["eth0"]'),
        (
            'records = ["rates"]\n',
            f'line 1: records must be a list of {", ".join(RECORDS[:-1])} or {RECORDS[-1]}, for instance records = ["conn","packet"]',
        ),
        ("[output]\ndirectory = 5\n", 'line 2: output.directory must be text, for instance directory = "rows"'),
        ("promiscuous = 1\n", "line 1: promiscuous must be true or false, for instance promiscuous = false"),
        ('output = "rows"\n', "line 1: output must be a table: the line [output], and its keys below that"),
        ("[[output]]\n", "line 1: output must be a table"),
        (
            '[weirds]\nignore = ["SYN_seq_jmp"]\n',
            "line 2: weirds.ignore has 'SYN_seq_jmp', which is no weird: did you mean 'SYN_seq_jump'?",
        ),
        ("consume = true\n", 'line 1: consume needs hook = "xdp" (--hook xdp)'),
        ("a = = 3\n", "not TOML"),
        ("interfaces = [eth0]\n", 'text stands in quotes, as in interfaces = ["eth0"]'),
        ('[output]\ndirectory = ""\n', "line 2: output.directory is empty"),
        ('"a\\nb" = 1\n', "headwater.toml: a?b is not a setting"),
        ('[output]\n"" = 1\n', "line 1: output. is not a setting"),
        ('"a - at `$" = 1\n', "headwater.toml: Object contains unknown field"),
        ('[grafana]\nurl = "http://127.0.0.1:3000"\ntoken = 5\n', 'line 3: grafana.token must be text, for instance token = "glsa_..."'),
        ('hook = "auto"\n[grafana]\ntoken = "x"\n', "line 2: grafana.url is missing: it must be text, for instance url = "),
        ('[grafana]\nurl = "http://127.0.0.1:3000"\ntoken = "a b"\n', "line 3: grafana.token has a space"),
        ('grafana = {url = "ftp://127.0.0.1"}\n', "line 1: grafana.url must be Grafana's address"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, wanted):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert wanted in str(caught.value)
    assert "headwater.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not re.search("expected|null|array|object", str(caught.value))


def test_all_mistakes_are_told_and_what_may_only_follow_is_not(tmp_path):
    text = 'consume = true\nhook = "xpd"\nring_bytes = 5000\nformat = "csv"\n[output]\nformat = 5\n'
    text += '[grafana]\nurl = 5\ntoken = "a b"\nlinger_ms = 1\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    told = {re.search(r"line (\d+): ([\w.]+) ", line).groups() for line in str(caught.value).splitlines()}
    assert told == {
        ("2", "hook"),
        ("3", "ring_bytes"),
        ("4", "format"),
        ("6", "output.format"),
        ("8", "grafana.url"),
        ("9", "grafana.token"),
        ("10", "grafana.linger_ms"),
    }


@pytest.mark.parametrize(
    "key", ["interfaces", "hook", "consume", "ring_bytes", "records", "output", "grafana", "output.format", "grafana.url"]
)
def test_every_wrong_value_is_one_mistake(tmp_path, key):
    grafana = "" if key.startswith("grafana") else '[grafana]\nurl = "http://localhost:3000"\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{key} = 1979-05-27\n{grafana}")
    assert re.fullmatch(rf".*headwater.toml, line 1: {key} must be .*", str(caught.value))


def test_so_many_mistakes_that_not_all_are_told(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "".join(f"nothing{number} = 1\n" for number in range(300)))
    assert len(str(caught.value).splitlines()) == 11
    assert str(caught.value).endswith("there are more mistakes: mend these first")


def test_a_directory_called_by_the_time_is_of_one_run(tmp_path):
    now = datetime(2026, 1, 31, 23, 59, 58, tzinfo=timezone(timedelta(hours=-1)))

    def named(text: str) -> str:
        return str(load(tmp_path, f"[output]\ndirectory = '{tmp_path}/{text}'").begun(now).output.directory).removeprefix(f"{tmp_path}/")

    names = []
    for _ in range(3):
        names.append(named("%Y-%m-%dT%H%M%SZ/"))
        (tmp_path / names[-1]).mkdir()
    assert names == ["2026-02-01T005958Z/", "2026-02-01T005958Z-2", "2026-02-01T005958Z-3"]
    assert named("rows") == "rows"
    assert load(tmp_path, "").begun(now) == load(tmp_path, "")
    for wrong in ("%q", "%%", "50%"):
        with pytest.raises(ConfigError, match=r"line 2: output.directory has %[q%]?, which is no part of a time: those are %Y "):
            load(tmp_path, f"[output]\ndirectory = '{wrong}'")


def test_no_start_of_the_service_replaces_what_another_has_written():
    output = config.load(ROOT / "packaging/headwater.toml", {}).output
    assert output.format == "jsonl", "what can be read without an end"
    assert all(part in (output.directory or "") for part in ("%Y", "%m", "%d", "%H", "%M", "%S"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "missing.toml", {})
    (tmp_path / "latin").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "latin", {})


def test_a_table_without_a_setting_is_not_shown():
    assert "[grafana]" not in config.show(config.Settings())


def test_what_show_prints_is_a_configuration(tmp_path):
    settings = load(tmp_path, 'interfaces = ["a\\"b"]\nring_bytes = 8192\n[output]\ndirectory = "x"\n')
    assert load(tmp_path, config.show(settings)) == settings


def headwater(*words: object, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "headwater", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | environ)


def test_the_command_tells_each_mistake_in_a_line(tmp_path):
    (tmp_path / "bad.toml").write_text("consume = 1\nring_bytes = 5000\n")
    done = headwater("config", "check", tmp_path / "bad.toml")
    assert done.returncode == 2
    starts = [f"headwater: {tmp_path}/bad.toml, line {line}: " for line in (1, 2)]
    assert all(line.startswith(start) for line, start in zip(done.stderr.splitlines(), starts, strict=True))


def test_the_variable_with_an_interface_that_is_not_there_is_named():
    done = headwater("run", INTERFACE_NAME="eth77")
    assert done.returncode == 2
    assert done.stderr.startswith("headwater: INTERFACE_NAME: no interface named eth77: there are ")
    assert headwater("run", "-i", "eth78", INTERFACE_NAME="eth77").stderr.startswith("headwater: no interface named eth78")


def test_folders_of_names_are_those_of_a_file_and_of_what_it_is_a_link_to(tmp_path):
    for name in ("data", "links"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/x.mmdb").touch()
    (tmp_path / "links/y.mmdb").symlink_to("../data/x.mmdb")
    names = config.NamesSettings(asn=str(tmp_path / "links/y.mmdb"), city=str(tmp_path / "data/x.mmdb"))
    assert names.folders() == [tmp_path / "links", tmp_path / "data"]
    assert config.NamesSettings().folders() == []


@pytest.mark.parametrize("value", ['""', '"a\\u0000b"'])
def test_a_file_of_names_that_is_no_path(tmp_path, value):
    with pytest.raises(ConfigError, match=r"line 2: names\.asn is no path"):
        load(tmp_path, f"[names]\nasn = {value}\n")
