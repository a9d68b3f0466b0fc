"""Programs that people use speak with servers that people run: rows of their messages equal those of the file that tcpdump wrote then."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemons import H2C, NAME, PAGE, PICTURE, QUIC, TLS, daemons
from netns import Veth
from programs import login
from tcpdumps import ends_of, one_cpu, tcpdump
from watched import read, watching, written

pytestmark = pytest.mark.kernel

RECORDS = ("conn", "dhcp", "dns", "files", "http", "quic", "ssh", "ssl", "weird", "x509")
TIMES = {"ts", "duration", "rtt", "latency", "network"}  # tcpdump's clock is read at another moment
OF_BODIES = {"response_body_len", "analyzers", "seen_bytes", "missing_bytes", "md5", "sha1", "sha256"}
"""Of which a budget leaves most in the kernel: of those that come in chunks, nobody knows how much that was."""


class Said(NamedTuple):
    """A command, what a row says of it at least, and what it exits with."""

    command: str
    record: str
    told: dict[str, Any]
    exits: int = 0


def conversations(pair: Veth, folder: Path) -> tuple[tuple[Said, ...], ...]:
    """Of each line one after another."""
    near, far = pair.near, pair.far
    (folder / "upload").write_bytes(PICTURE)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "stranger"], check=True)
    dig = f"dig @{far.ip4} +tries=1 +time=30"
    get = f"curl -sS -g -k --resolve {NAME}:{TLS}:{far.ip4} --output-dir {folder}/got --create-dirs --remote-name-all"
    s_client = f"openssl s_client -connect {far.ip4}:{TLS}"
    quic = f"{sys.executable} {Path(__file__).with_name('quic_echo.py')}"
    (folder / "dhclient.conf").write_text('send host-name "visitor"; request domain-name;')
    dhclient = f"dhclient -4 -1 -sf /bin/true -cf {folder}/dhclient.conf -lf {folder}/lease -pf {folder}/dhclient.pid {near.interface}"
    page, picture = {"uri": "/page.html", "response_body_len": len(PAGE)}, {"uri": "/picture.png", "response_body_len": len(PICTURE)}
    return (
        (
            Said(f"{dig} {NAME} A", "dns", {"query": NAME, "qtype_name": "A", "answers": ["192.0.2.1"], "proto": "udp"}),
            Said(f"{dig} {NAME} AAAA +tcp", "dns", {"qtype_name": "AAAA", "answers": ["2001:db8::1"], "proto": "tcp"}),
            Said(f"{dig} big.test TXT", "dns", {"query": "big.test", "proto": "tcp", "rejected": False}),
            Said(f"{dig} nobody.test A", "dns", {"query": "nobody.test", "rcode_name": "REFUSED"}),
        ),
        (
            Said(f"{get} http://{far.ip4}/page.html http://{far.ip4}/picture.png", "http", {"trans_depth": 2, **picture}),
            Said(f"{get} http://[{far.ip6}]/page.html", "http", {"id.resp_h": far.ip6, **page}),
            Said(
                f"{get} --data-binary @{folder}/upload http://{far.ip4}/form", "http", {"method": "POST", "request_body_len": len(PICTURE)}
            ),
            Said(f"{get} --compressed http://{far.ip4}/picture.png http://{far.ip4}/none", "http", {"trans_depth": 2, "status_code": 404}),
            Said(f"{get} --http2-prior-knowledge http://{far.ip4}:{H2C}/page.html", "conn", {"service": "http2"}),
        ),
        (
            Said(f"{s_client} -tls1_2 -servername {NAME}", "x509", {"san.dns": [NAME, f"www.{NAME}"], "host_cert": True}),
            Said(f"{s_client} -tls1_3 -servername www.{NAME}", "ssl", {"version": "TLSv13", "server_name": f"www.{NAME}"}),
            Said(
                f"{get} --http2 --tls-max 1.2 https://{NAME}/page.html https://{NAME}/picture.png",
                "ssl",
                {"version": "TLSv12", "server_name": NAME, "next_protocol": "h2", "established": True},
            ),
        ),
        (
            Said(f"{login(folder / 'ssh/visitor', far.ip4)} true", "ssh", {"auth_success": True}),
            Said(f"{login(folder / 'stranger', far.ip4)} true", "ssh", {"auth_success": False}, exits=255),
        ),
        (
            Said(dhclient, "dhcp", {"host_name": "visitor", "msg_types": ["DISCOVER", "OFFER", "REQUEST", "ACK"], "domain": "test"}),
            Said(f"{dhclient} -r", "dhcp", {"msg_types": ["RELEASE"]}),
        ),
        (Said(f"{quic} ask {far.ip4} {QUIC} {NAME}", "quic", {"server_name": NAME, "client_protocol": "echo", "version": "1"}),),
    )


@pytest.mark.parametrize(("hook", "payload"), [("tcx", "full"), ("tcx", "budget"), ("af_packet", "budget")])
def test_messages_are_those_of_tcpdumps_file(veth: Veth, hook: str, payload: str, tmp_path: Path) -> None:
    live, file = tmp_path / "live", tmp_path / "file"
    settings = tmp_path / "headwater.toml"
    settings.write_text(f'[messages]\npayload = "{payload}"\n')
    first, *others = RECORDS
    more = (word for record in others for word in ("--record", record))
    lines = conversations(veth, tmp_path)
    with (
        watching(veth.near, live, first, "--hook", hook, "-c", str(settings), *more),
        tcpdump(veth.near, tmp_path / "same.pcap"),
        one_cpu(),
        daemons(veth.far, tmp_path),
        ThreadPoolExecutor(len(lines)) as pool,
    ):
        for _ in pool.map(lambda line: [speak(veth, said) for said in line], lines):
            pass
    read(tmp_path / "same.pcap", file, *RECORDS)
    for said in (said for line in lines for said in line):
        assert any(said.told.items() <= row.items() for row in written(live, said.record)), said
    left_out = OF_BODIES if (hook, payload) == ("tcx", "budget") else set()
    expected = told(file, left_out)
    for record, rows in told(live, left_out).items():
        assert rows == expected[record], record


def speak(pair: Veth, said: Said) -> None:
    """Have it say that."""
    done = pair.near.space.run(*said.command.split(), check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == said.exits, f"{said.command}: {done.stdout}{done.stderr}"


def told(folder: Path, left_out: set[str]) -> dict[str, list[str]]:
    """The rows there by record, in an order that depends on no clock: of times only that they are there, and what ids name."""
    rows = {record: written(folder, record) for record in RECORDS}
    names = {row["uid"]: str(ends_of(row)) for row in rows["conn"]}
    names |= {row["fuid"]: f"{row['source']}, {row.get('total_bytes')} octets, {names[row['uid']]}" for row in rows["files"]}
    rows["conn"] = [{"uid": row["uid"], "service": row.get("service")} for row in rows["conn"] if row["proto"] != "icmp"]

    def name(value: Any) -> Any:
        return [name(one) for one in value] if isinstance(value, list) else names.get(value, value)

    def known(row: dict[str, Any]) -> str:
        return json.dumps({column: column in TIMES or name(value) for column, value in row.items() if column not in left_out})

    return {record: sorted(map(known, of)) for record, of in rows.items()}
