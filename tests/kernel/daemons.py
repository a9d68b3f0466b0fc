"""Servers that people run, for messages: nginx, dnsmasq for names and addresses, sshd, and one of QUIC, each with files of its own."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netns import End
from programs import SSH, running, sshd

NAME = "headwater.test"
DNS, DHCP, WEB, H2C, TLS, QUIC = 53, 67, 80, 81, 443, 4433
PAGE = b"<!doctype html><title>here</title>" + b"<p>so far</p>" * 1000
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(1).randbytes(256_000)
_TEXT = 6 * f",{'x' * 250}"
_NGINX = """
daemon off; master_process off; pid {folder}/pid; events {{ }}
http {{
    access_log off;
    types {{ text/html html; image/png png; }} gzip on; gzip_types image/png;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    root {folder}/pages; client_body_temp_path {folder}/bodies; client_body_buffer_size 1m;
    server {{
        listen {ip4}:{WEB}; listen [{ip6}]:{WEB}; listen {ip4}:{TLS} ssl http2; listen {ip4}:{H2C} http2;
        location = /form {{
            proxy_pass http://{ip4}/page.html; proxy_method GET; proxy_pass_request_body off; proxy_set_header Content-Length "";
        }}
    }}
}}
"""
"""A form is answered once all of it has come."""


@contextmanager
def daemons(end: End, folder: Path) -> Iterator[None]:
    """All of them at that end, until the block ends."""
    certificate, key = certified(folder)
    commands = (
        nginx(end, folder / "nginx", certificate, key),
        dnsmasq(end, folder),
        sshd(folder / "ssh"),
        (sys.executable, str(Path(__file__).with_name("quic_echo.py")), "serve", end.ip4, str(QUIC), str(certificate), str(key)),
    )
    with running(end.space, commands, (DNS, DHCP, WEB, SSH, QUIC)):
        yield


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate that is signed with its own key, and the key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj".split()
    more = ("-addext", f"subjectAltName=DNS:{NAME},DNS:www.{NAME}", "-keyout", key, "-out", certificate)
    subprocess.run([*words, f"/C=XX/O=Headwater/CN={NAME}", *more], check=True, capture_output=True)
    return certificate, key


def nginx(end: End, folder: Path, certificate: Path, key: Path) -> tuple[str, ...]:
    pages = folder / "pages"
    pages.mkdir(parents=True)
    (pages / "page.html").write_bytes(PAGE)
    (pages / "picture.png").write_bytes(PICTURE)
    places = {"WEB": WEB, "TLS": TLS, "H2C": H2C, "ip4": end.ip4, "ip6": end.ip6}
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, certificate=certificate, key=key, **places))
    return "nginx", "-e", "stderr", "-c", f"{folder}/nginx.conf"


def dnsmasq(end: End, folder: Path) -> tuple[str, ...]:
    """It knows an address, a text that a datagram has no room for, and gives addresses away."""
    alone = f"--keep-in-foreground --conf-file=/dev/null --pid-file --user=root --interface={end.interface} --bind-interfaces"
    of_names = f"--no-resolv --no-hosts --address=/{NAME}/192.0.2.1 --address=/{NAME}/2001:db8::1 --txt-record=big.test{_TEXT}"
    of_addresses = f"--dhcp-range=10.9.0.100,10.9.0.150,1h --domain=test --no-ping --dhcp-leasefile={folder}/given --dhcp-authoritative"
    return ("dnsmasq", *f"{alone} {of_names} {of_addresses}".split())
