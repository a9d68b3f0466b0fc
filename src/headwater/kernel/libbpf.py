"""BPF objects, maps and links through libbpf: open, load, attach, close. Errors become ours, with what to do."""

import errno
import mmap
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np

from headwater._native import ffi, lib
from headwater.errors import KernelError, LayoutMismatch, PermissionDenied, Unsupported, VerifierRejected
from headwater.kernel.confine import CAP_PERFMON, CAP_SYS_ADMIN, held
from headwater.records import btf
from headwater.records.layouts import OBJECTS, SCHEMA

LOAD_CAPABILITIES = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
WITHOUT_EBPF = '--hook af_packet (hook = "af_packet") works as it is'
MAP_TYPE_ARRAY, MAP_TYPE_RINGBUF = 2, 27
_BPF_F_XDP_DEV_BOUND_ONLY = 1 << 6
_LOG_OCTETS = 1 << 20
_NO_LOG_LINE = "no log"

lib.hw_libbpf_quiet()


def possible_cpus() -> int:
    """How many CPUs the kernel could ever have: the length of a per-CPU map's value."""
    return int(lib.libbpf_num_possible_cpus())


class Object:
    """One of our BPF objects: `programs` names those of its programs that are to be loaded.

    With `shares`, its maps are those of that object, by name; with `device`, an ifindex, the programs are for that device alone.
    """

    def __init__(
        self,
        name: str,
        programs: Collection[str],
        entries: dict[str, int] | None = None,
        *,
        shares: "Object | None" = None,
        device: int = 0,
    ) -> None:
        self._path = OBJECTS / f"{name}.bpf.o"
        self._programs = programs
        self._entries = entries or {}
        self._shares = shares
        self._device = device
        self._object: Any = ffi.NULL

    def open(self, maps: Mapping[str, int] = MappingProxyType({})) -> None:
        """Load it into the kernel, with `maps` that are there already, by name.

        Raises PermissionDenied, VerifierRejected, LayoutMismatch or KernelError.
        """
        check_layouts(self._path)
        self._object = lib.bpf_object__open_file(str(self._path).encode(), ffi.NULL)
        if self._object == ffi.NULL:
            raise KernelError(f"{self._path} cannot be opened ({os.strerror(ffi.errno)}): install Headwater again")
        logs = {}
        program = lib.bpf_object__next_program(self._object, ffi.NULL)
        while program != ffi.NULL:
            name = ffi.string(lib.bpf_program__name(program)).decode()
            lib.bpf_program__set_autoload(program, name in self._programs)
            if name in self._programs:
                logs[name] = ffi.new("char[]", _LOG_OCTETS)
                lib.bpf_program__set_log_buf(program, logs[name], _LOG_OCTETS)
                if self._device:
                    lib.bpf_program__set_ifindex(program, self._device)
                    lib.bpf_program__set_flags(program, lib.bpf_program__flags(program) | _BPF_F_XDP_DEV_BOUND_ONLY)
            program = lib.bpf_object__next_program(self._object, program)
        for name, count in self._entries.items():
            lib.bpf_map__set_max_entries(lib.bpf_object__find_map_by_name(self._object, name.encode()), count)
        for name, fd in maps.items():
            _reuse(lib.bpf_object__find_map_by_name(self._object, name.encode()), fd)
        if self._shares:
            self._share(self._shares)
        failed = -lib.bpf_object__load(self._object)
        if failed:
            self.close()
            _raise_load_error(failed, {name: ffi.string(log).decode(errors="replace") for name, log in logs.items()})

    def _share(self, other: "Object") -> None:
        one = lib.bpf_object__next_map(self._object, ffi.NULL)
        while one != ffi.NULL:
            name = ffi.string(lib.bpf_map__name(one)).decode()
            _reuse(one, other.map(name[name.find(".") :] if "." in name else name))  # bound.bss is the other's tap.bss
            one = lib.bpf_object__next_map(self._object, one)

    def close(self) -> None:
        """Give programs and maps back; what is attached or mapped elsewhere keeps them."""
        if self._object != ffi.NULL:
            lib.bpf_object__close(self._object)
            self._object = ffi.NULL

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def program(self, name: str) -> int:
        """The file descriptor of a loaded program. It belongs to the object."""
        return int(lib.bpf_program__fd(lib.bpf_object__find_program_by_name(self._object, name.encode())))

    def memory(self) -> dict[str, int]:
        """Octets of kernel memory by map."""
        found: dict[str, int] = {}
        one = lib.bpf_object__next_map(self._object, ffi.NULL)
        while one != ffi.NULL:
            found[ffi.string(lib.bpf_map__name(one)).decode()] = memory_of(lib.bpf_map__fd(one))
            one = lib.bpf_object__next_map(self._object, one)
        return found

    def descriptors(self) -> list[int]:
        """Those of all maps and loaded programs. They belong to the object."""
        found, one = [], lib.bpf_object__next_map(self._object, ffi.NULL)
        while one != ffi.NULL:
            found.append(int(lib.bpf_map__fd(one)))
            one = lib.bpf_object__next_map(self._object, one)
        return found + [self.program(name) for name in self._programs]

    def map(self, name: str) -> int:
        """The file descriptor of a map. It belongs to the object."""
        return int(lib.bpf_map__fd(lib.bpf_object__find_map_by_name(self._object, name.encode())))


def memory_of(map_fd: int) -> int:
    """Octets that a map takes, as the kernel estimates it (bpf_map's fdinfo)."""
    told = Path(f"/proc/self/fdinfo/{map_fd}").read_text().split()
    return int(told[told.index("memlock:") + 1]) if "memlock:" in told else 0


def take_times() -> int:
    """Let the kernel take the time of each program's run until the file descriptor that this returns is closed; -1 if it may not."""
    return int(lib.bpf_enable_stats(lib.BPF_STATS_RUN_TIME))


def times(program: int) -> tuple[int, int]:
    """(nanoseconds, runs) of a program's runs whose time was taken."""
    information = ffi.new("struct bpf_prog_info *")
    size = ffi.new("__u32 *", ffi.sizeof("struct bpf_prog_info"))
    if lib.bpf_obj_get_info_by_fd(program, information, size):
        return 0, 0
    return int(information.run_time_ns), int(information.run_cnt)


def named(program: int) -> str:
    """A program's id, and its name if we may ask (CAP_SYS_ADMIN)."""
    fd = int(lib.bpf_prog_get_fd_by_id(program))
    if fd < 0:
        return str(program)
    information = ffi.new("struct bpf_prog_info *")
    size = ffi.new("__u32 *", ffi.sizeof("struct bpf_prog_info"))
    failed = lib.bpf_obj_get_info_by_fd(fd, information, size)
    os.close(fd)
    name = "" if failed else ffi.string(information.name).decode(errors="replace")
    return f"{program} ({name})" if name else str(program)


def check_layouts(path: Path) -> None:
    """Raise LayoutMismatch if a struct of the object at `path` differs from the schema's: of the smallest, which others may have."""
    differ = [
        (schema.size, struct.size, name)
        for name, struct in btf.read(path).structs.items()
        if (schema := SCHEMA.structs.get(name)) is not None and struct != schema
    ]
    if differ:
        expected, found, name = min(differ)
        raise LayoutMismatch(name, expected, found)


def _raise_load_error(failed: int, logs: dict[str, str]) -> None:
    if failed == errno.EPERM or not held() & {CAP_PERFMON, CAP_SYS_ADMIN}:  # without them the verifier refuses what it else understands
        raise PermissionDenied("loading eBPF programs", LOAD_CAPABILITIES)
    for name, log in logs.items():
        lines = [line for line in log.splitlines() if line and not line.startswith("processed")]
        if lines:
            raise VerifierRejected(name, lines[-2:])
    if failed in (errno.ENOSYS, errno.EINVAL):
        raise Unsupported("loading eBPF programs", f"kernel 5.18 or newer (see `headwater doctor`); {WITHOUT_EBPF}")
    raise KernelError(f"the kernel did not load the eBPF programs ({os.strerror(failed)}): see `headwater doctor`")


def _reuse(one: Any, fd: int) -> None:
    if lib.bpf_map__reuse_fd(one, fd):
        name = ffi.string(lib.bpf_map__name(one)).decode()
        raise KernelError(f"map {name} cannot be shared ({os.strerror(ffi.errno)}): see `headwater doctor`")


def create_array(name: str, octets: int) -> int:
    """An array map with one element. Returns its file descriptor; the caller closes it. Raises KernelError."""
    fd = int(lib.bpf_map_create(MAP_TYPE_ARRAY, name.encode(), 4, octets, 1, ffi.NULL))
    if fd < 0:
        raise KernelError(f"the kernel made no map of {octets} octets ({os.strerror(-fd)}): see `headwater doctor`")
    return fd


def create_ring(name: str, octets: int) -> int:
    """A ring buffer map of `octets` (a power of two, at least a page). Returns its file descriptor; the caller closes it."""
    fd = int(lib.bpf_map_create(MAP_TYPE_RINGBUF, name.encode(), 0, 0, octets, ffi.NULL))
    if fd >= 0:
        return fd
    if fd == -errno.EPERM:
        raise PermissionDenied("making a ring buffer", LOAD_CAPABILITIES)
    if fd == -errno.ENOMEM:
        raise KernelError(f"no memory for a ring buffer of {octets:,} octets: make ring_bytes smaller")
    raise Unsupported("the BPF ring buffer", f"kernel 5.8 or newer, and ring_bytes a power of two; {WITHOUT_EBPF}")


def put(map_fd: int, key: int, value: bytes) -> None:
    """Set one element of a map with 32-bit keys. Raises KernelError."""
    _put(map_fd, ffi.new("__u32 *", key), ffi.from_buffer(value))


def get(map_fd: int, key: int, into: np.ndarray[Any, np.dtype[Any]]) -> bool:
    """Read one element into `into`, which has the value's size; False if there is none."""
    return not lib.bpf_map_lookup_elem(map_fd, ffi.new("__u32 *", key), ffi.cast("void *", into.ctypes.data))


def remove(map_fd: int, key: int) -> None:
    """Delete one element, if it is there."""
    lib.bpf_map_delete_elem(map_fd, ffi.new("__u32 *", key))


def put_word(map_fd: int, key: int, value: int) -> None:
    """As put(), where keys and values have 64 bits."""
    _put(map_fd, ffi.new("__u64 *", key), ffi.new("__u64 *", value))


def _put(map_fd: int, key: Any, value: Any) -> None:
    failed = lib.bpf_map_update_elem(map_fd, key, value, 0)
    if failed:
        raise KernelError(f"a BPF map took no further entry ({os.strerror(-failed)})")


def remove_word(map_fd: int, key: int) -> None:
    """As remove(), likewise."""
    lib.bpf_map_delete_elem(map_fd, ffi.new("__u64 *", key))


def shared(map_fd: int, dtype: np.dtype[Any], count: int = 1) -> np.ndarray[Any, np.dtype[Any]]:
    """An array map that may be mapped, or a data section with one variable: memory in which programs see each write at once."""
    octets = -(-dtype.itemsize * count // mmap.PAGESIZE) * mmap.PAGESIZE
    return np.frombuffer(mmap.mmap(map_fd, octets), dtype, count)


def run(program: int) -> int:
    """Run a tc program once (BPF_PROG_RUN), with an empty frame. Returns what it returns. Raises KernelError."""
    options = ffi.new("struct bpf_test_run_opts *")
    options.sz = ffi.sizeof("struct bpf_test_run_opts")
    frame = ffi.new("char[64]")
    options.data_in, options.data_size_in, options.repeat = frame, 64, 1
    failed = lib.bpf_prog_test_run_opts(program, options)
    if failed:
        raise KernelError(f"the kernel does not run a program when asked to ({os.strerror(-failed)}): see `headwater doctor`")
    return int(options.retval)
