"""Real programs that speak with each other, servers at the far end and clients at the near one; and what no program does when asked."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from netns import Namespace, Veth
from waiting import until

HTTP, IPERF, DNS, SSH, RESET, HALF_CLOSE, LATE, LARGE, CLOSED, NOBODYS = 8000, 5201, 5300, 2222, 8001, 8002, 8003, 8004, 81, 80
TCP, UDP = (HTTP, IPERF, DNS, SSH, RESET, HALF_CLOSE, LATE, CLOSED, NOBODYS), (IPERF, DNS, LARGE, CLOSED)
SILENT = "10.9.0.99"  # nobody's
DOCUMENT, TYPED = 400_000, 50_000  # octets by HTTP and by SSH
DOCUMENTS = ("by-ipv4", "by-ipv6")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
ACCOUNT, UID = "visitor", 65534


@contextmanager
def servers(pair: Veth, folder: Path) -> Iterator[None]:
    """All of them, until the block ends."""
    space, address = pair.far.space, pair.far.ip4
    (folder / "document").write_bytes(b"x" * DOCUMENT)
    commands = (
        (sys.executable, "-m", "http.server", str(HTTP), "--bind", "::", "--directory", str(folder)),
        ("iperf3", "-s", "-p", str(IPERF)),
        sshd(folder / "ssh"),
    )
    with running(space, commands, (HTTP, IPERF, SSH)), ExitStack() as stack:
        enough = threading.Event()
        with space.inside():
            listeners = {port: socket.create_server((address, port)) for port in (DNS, RESET, HALF_CLOSE, LATE)}
            receivers = {port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in (DNS, LARGE)}
            for port, receiver in receivers.items():
                receiver.bind((address, port))
        pool = stack.enter_context(ThreadPoolExecutor(len(listeners) + len(receivers)))
        for port, does in ((DNS, name_server), (RESET, reset), (HALF_CLOSE, half_close), (LATE, say_late)):
            pool.submit(each, listeners[port], does, enough)
        for port, tells in ((DNS, answer_or_cut), (LARGE, received)):
            pool.submit(each_datagram, receivers[port], tells, enough)
        stack.callback(enough.set)  # before the pool waits
        yield


@contextmanager
def running(space: Namespace, commands: Iterable[tuple[str, ...]], ports: Iterable[int]) -> Iterator[None]:
    """Those servers, once somebody listens at each of the ports, until the block ends."""
    with ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(space.start(*command, **QUIET))
            stack.callback(process.terminate)
        for port in ports:
            wait_for_listener(space, port)
        yield


def wait_for_listener(space: Namespace, port: int) -> None:
    until(lambda: space.run("ss", "-Hltun", f"sport = :{port}").stdout)


def sshd(folder: Path) -> tuple[str, ...]:
    """OpenSSH's, without a privilege. It takes keys from an account's home: so /etc/passwd is another one, and only it sees that."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    for key in (home / "host", folder / "visitor"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (home / ".ssh/authorized_keys").write_text((folder / "visitor.pub").read_text())
    subprocess.run(["chown", "-R", str(UID), home], check=True)
    subprocess.run(["chmod", "-R", "go=", home], check=True)
    (folder / "passwd").write_text(f"root:x:0:0::/:/bin/sh\n{ACCOUNT}:x:{UID}:{UID}::/mnt:/bin/sh\n")
    mounted = f"mount --bind {folder}/passwd /etc/passwd && mount --bind {home} /mnt"
    sshd = f"/usr/sbin/sshd -D -f /dev/null -p {SSH} -h /mnt/host -o PidFile=none"
    run = f"exec setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs {sshd}"
    return "unshare", "--mount", "sh", "-c", f"{mounted} && {run}"


def login(key: Path, address: str) -> str:
    """What begins a command that runs there, if that key opens."""
    alone = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    return f"ssh {alone} -i {key} -p {SSH} {ACCOUNT}@{address}"


def each(listener: socket.socket, does: Callable[[socket.socket], None], enough: threading.Event) -> None:
    """To each connection, one after another."""
    listener.settimeout(0.1)
    with listener:
        while not enough.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    does(connection)


def reset(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1000):
        pass


def say_late(connection: socket.socket) -> None:
    time.sleep(0.3)
    connection.sendall(b"late")


def each_datagram(receiver: socket.socket, tells: Callable[[bytes], bytes], enough: threading.Event) -> None:
    """Answer it."""
    receiver.settimeout(0.1)
    with receiver:
        while not enough.is_set():
            with contextlib.suppress(TimeoutError):
                said, sender = receiver.recvfrom(8000)
                receiver.sendto(tells(said), sender)


def received(said: bytes) -> bytes:
    return b"%d octets" % len(said)


def answer_or_cut(question: bytes) -> bytes:
    """Of a big name only that it must be asked for by TCP."""
    return answer(question, cut=b"\3big" in question)


def answer(question: bytes, *, cut: bool = False) -> bytes:
    """An address, whatever was asked (RFC 1035 section 4)."""
    end = question.index(b"\0", 12) + 5
    flags, answers = (0x8380, 0) if cut else (0x8180, 1)
    header = question[:2] + b"".join(number.to_bytes(2) for number in (flags, 1, answers, 0, 0))
    return header + question[12:end] + answers * (b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes((10, 9, 0, 2)))


def name_server(connection: socket.socket) -> None:
    with connection.makefile("rb") as said:
        size = int.from_bytes(said.read(2))
        told = answer(said.read(size))
    connection.sendall(len(told).to_bytes(2) + told)


def talk(pair: Veth, folder: Path) -> None:
    """All at once; one asks after another where they share a server. What is lost may leave a program without an answer: it gives up."""
    near, far = pair.near.space, pair.far
    dig = f"dig @{far.ip4} -p {DNS} +timeout=1 +tries=5"
    lines = (
        (f"curl -s http://{far.ip4}:{HTTP}/document -o {folder}/{DOCUMENTS[0]}",),
        (f"curl -s -g http://[{far.ip6}]:{HTTP}/document -o {folder}/{DOCUMENTS[1]}",),
        (
            f"iperf3 -c {far.ip4} -p {IPERF} -n 1M",
            f"iperf3 -c {far.ip4} -p {IPERF} -R -n 1M",
            f"iperf3 -c {far.ip4} -p {IPERF} -u -b 4M -t 1",
        ),
        (f"{dig} small.test", f"{dig} big.test", f"{dig} +tcp small.test"),
        (f"{login(folder / 'ssh/visitor', far.ip4)} head -c {TYPED} /dev/zero",),
    )

    def run(commands: tuple[str, ...]) -> list["subprocess.CompletedProcess[str]"]:
        return [near.run("timeout", "10", *command.split(), check=False) for command in commands]

    def ask() -> None:
        with near.inside():
            odd_ones(far.ip4)

    with ThreadPoolExecutor(len(lines) + 1) as pool:
        other = pool.submit(ask)
        list(pool.map(run, lines))
        other.result()


def odd_ones(address: str) -> None:
    """Resets, halves, silence, refusals."""

    def connection(port: int) -> Any:
        return socket.create_connection((address, port), timeout=10)

    for port in (RESET, HALF_CLOSE, LATE):
        with connection(port) as one, contextlib.suppress(ConnectionResetError, TimeoutError):  # a RST that is lost does not come again
            one.sendall(b"please")
            while one.recv(1000):
                pass
            one.sendall(b"bye")
    with socket.socket() as one, pytest.raises(TimeoutError):
        one.settimeout(1.5)
        one.connect((SILENT, NOBODYS))
    with pytest.raises(ConnectionRefusedError):
        connection(CLOSED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:  # in pieces; answered at once in one, and refused
        datagrams.settimeout(0.5)
        for port in (LARGE, LARGE, CLOSED):
            datagrams.sendto(b"?" * 4000, (address, port))
            with contextlib.suppress(TimeoutError):
                datagrams.recv(100)
