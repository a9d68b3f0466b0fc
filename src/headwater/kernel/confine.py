"""Giving privileges away for good, once all that needs them is open: no capability, another user, few files, few system calls.

What is open stays open: BPF programs and maps, packet sockets, output files. With the programs' descriptors the process can still attach
to new interfaces (by bpf_link, since kernel 5.19), and with spare packet sockets still listen on them.
"""

import os
import pwd
import site
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater._native import ffi, lib
from headwater.errors import ConfigError, KernelError
from headwater.kernel.imports import Imports

ACCOUNTS = ("headwater", "nobody")
"""Whom a run by root becomes: the first of these that there is."""

_READABLE = (
    *"/etc/resolv.conf /etc/hosts /etc/nsswitch.conf /etc/gai.conf /etc/host.conf /etc/services /etc/protocols /etc/ssl".split(),
    *"/etc/ca-certificates /etc/localtime /etc/passwd /run/systemd/resolve".split(),
    *"/usr /lib /lib64 /proc /sys/class/net /sys/devices /sys/kernel/btf /dev/null /dev/urandom".split(),
)
_WRITABLE = ("/dev/null",)
CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39  # linux/capability.h


@dataclass(frozen=True)
class Confined:
    """What came of it: the user's name, and what this kernel does not have of the rest."""

    user: str
    missing: tuple[str, ...] = ()


def account(name: str | None) -> pwd.struct_passwd | None:
    """The account to become: `name`, or the first of ACCOUNTS; None where we are not root and stay who we are. Raises ConfigError."""
    if os.geteuid():
        return None
    for candidate in (name,) if name else ACCOUNTS:
        try:
            return pwd.getpwnam(candidate)
        except KeyError:
            continue
    wanted = name or " or ".join(ACCOUNTS)
    raise ConfigError("user", f"there is no account {wanted}: make one (useradd --system headwater), or name another")


def confine(
    become: pwd.struct_passwd | None,
    writable: Sequence[Path] = (),
    *,
    readable: Sequence[Path] = (),
    keep: frozenset[int] = frozenset(),
    folders: bool = False,
    engine: bool = False,
) -> Confined:
    """Keep what is open and, of what is held now, the capabilities in `keep`. Raises KernelError.

    Call it before there are threads: those would hold what is no user's of their own, and Landlock does not hold for them before its
    version 8. A store's engine has some, which keep to the account and to confine_engine() alone.

    Below the folders in `writable` files can still be made and written, and below those in `readable` read, as far as the account may.
    With `folders`, these can be made there too. An `engine` may make anything, and call what it likes until confine_engine().
    """
    missing = []
    made = lib.HW_MAKE_ANYTHING if engine else lib.HW_MAKE_FOLDERS if folders else lib.HW_MAKE_FILES
    kept = sum(1 << capability for capability in keep & held())
    imports = Imports()
    loads = CAP_PERFMON in keep  # and libbpf opens "/" where it shares maps
    reads = [*_paths(), *map(str, readable)]
    with _opened(reads) as read, _opened([*map(str, writable), *_WRITABLE]) as written, _opened(["/"] * loads) as listed:
        _must(lib.hw_no_new_privileges(), "PR_SET_NO_NEW_PRIVS")
        lib.hw_bound_capabilities(kept)  # refused to who is not root: what is not held cannot be gained again anyway
        if become is not None:
            _must(lib.hw_become(become.pw_uid, become.pw_gid, kept != 0), f"becoming {become.pw_name}")
        _must(lib.hw_drop_capabilities(kept), "giving capabilities away")
        if lib.hw_landlock(read.numbers, len(read.numbers), written.numbers, len(written.numbers), *(listed.numbers or [-1]), made):
            missing.append("Landlock")
    imports.mend()
    if not engine and lib.hw_seccomp(lib.HW_ALLOW_BPF_STATS * (CAP_SYS_ADMIN in keep) | lib.HW_ALLOW_BPF * loads):
        missing.append("seccomp")
    return Confined(pwd.getpwuid(os.geteuid()).pw_name if become or _named(os.geteuid()) else str(os.geteuid()), tuple(missing))


def confine_engine() -> Confined:
    """Once a store's engine and sockets are open: its threads, all of them, may call what tables in files and those sockets need. Nobody is
    dialled, and nothing is executed.
    """
    return Confined("", ("seccomp",) if lib.hw_seccomp(lib.HW_ALLOW_ENGINE) else ())


def without_capabilities() -> None:
    """Give away those of this thread, and so of what it executes; not root's, who would have them again. Raises KernelError."""
    if os.geteuid():
        _must(lib.hw_drop_capabilities(0), "giving capabilities away")


def held() -> frozenset[int]:
    """The capabilities of this thread that are effective."""
    status = Path("/proc/thread-self/status").read_text()
    bits = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return frozenset(bit for bit in range(64) if bits >> bit & 1)


def _named(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _paths() -> list[str]:
    """Where Python may still have to read a module from, and what the C library reads to find hosts and times."""
    return [*_READABLE, sys.prefix, sys.base_prefix, *site.getsitepackages(), *(path for path in sys.path if path)]


class _opened:  # noqa: N801 - a context, as contextlib spells them
    """Descriptors of those paths that there are."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = dict.fromkeys(paths)

    def __enter__(self) -> "_opened":
        self.numbers = []
        for path in self._paths:
            try:
                self.numbers.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
            except OSError:
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for number in self.numbers:
            os.close(number)


def _must(failed: int, what: str) -> None:
    if failed:
        raise KernelError(f"{what} was refused ({os.strerror(ffi.errno)}): 'user = \"root\"' in a file for -c keeps all privileges")
