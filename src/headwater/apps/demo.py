"""`headwater demo`: traffic of many kinds to look at, on a machine that has none, and nothing of it left behind.

Two child processes each make a network namespace of their own, without a name, and die with this one; a namespace and its devices go
away with the last process in it. So there is nothing to clean up, whatever ends the demo.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headwater._native import lib
from headwater.errors import HeadwaterError, PermissionDenied

NEAR, FAR = "demo0", "demo1"  # the two ends of the cable


class DemoError(HeadwaterError):
    """The demo cannot be shown here."""

    exit_code = 3


def run(watch: Callable[[list[str]], int], seconds: float | None) -> int:
    """Call `watch` with the interfaces to watch, in a namespace with traffic; returns what it returns.

    Traffic ends after `seconds` (None: never), and with `watch`. This thread and those that `watch` starts are in the namespace
    meanwhile, and the thread is back in its own afterwards. Raises PermissionDenied or DemoError.
    """
    if os.geteuid():
        raise PermissionDenied("the demo makes network namespaces, which", "CAP_SYS_ADMIN")
    if not shutil.which("ip"):
        raise DemoError("the demo needs the command ip: install iproute2 (apt install iproute2)")
    with ExitStack() as stack:
        far = stack.enter_context(_child("far", FAR, seconds))
        near = stack.enter_context(_child("near", NEAR, seconds))
        cable = ["ip", "link", "add", NEAR, "netns", str(near.pid), "type", "veth", "peer", "name", FAR, "netns", str(far.pid)]
        made = subprocess.run(cable, capture_output=True, text=True, check=False)
        if made.returncode:
            raise DemoError(f"the demo cannot make a veth pair ({made.stderr.strip()}): it needs a kernel with CONFIG_VETH and root")
        for child in (far, near):
            _tell(child)
        for child in (far, near):
            _await(child)
        stack.enter_context(_inside(near.pid))
        return watch([NEAR])


@contextmanager
def _child(role: str, interface: str, seconds: float | None) -> Iterator[subprocess.Popen[str]]:
    """A process in a namespace of its own, that talks once it has its end of the cable (demo_traffic.py)."""
    command = [sys.executable, "-P", "-m", "headwater.apps.demo_traffic", role, interface, str(os.getpid()), str(seconds or 0)]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal is for us
    )
    try:
        _await(child)
        yield child
    finally:
        child.kill()
        child.communicate()


def _tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    try:
        child.stdin.write("go\n")
        child.stdin.flush()
    except BrokenPipeError:
        raise DemoError("the demo's traffic did not start: run `headwater doctor`") from None


def _await(child: subprocess.Popen[str]) -> None:
    """Wait for a child's word. It writes what went wrong, if something did."""
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    word = child.stdout.readline().strip()
    if word != "ready":
        raise DemoError(f"the demo's traffic did not start ({word or 'no reason given'}): run `headwater doctor`")


@contextmanager
def _inside(pid: int) -> Iterator[None]:
    """This thread in the network namespace of `pid`."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/proc/{pid}/ns/net").open("rb") as there:
        if lib.hw_enter_net(there.fileno()):
            raise PermissionDenied("entering a network namespace", "CAP_SYS_ADMIN")
        try:
            yield
        finally:
            lib.hw_enter_net(home.fileno())
