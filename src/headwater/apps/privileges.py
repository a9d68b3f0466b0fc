"""What a run gives away once everything is open, and what stays behind for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from headwater.config import Settings
from headwater.errors import KernelError
from headwater.kernel import libbpf, probe
from headwater.kernel.confine import CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, account, confine
from headwater.kernel.keeper import Keeper
from headwater.sources.af_packet import AfPacket
from headwater.sources.tap import Tap

_TIMES = 0xFFFFFFFF  # asks for what starts the taking of times; no interface has this number


class Privileges:
    """Those of a run with `source`. give_away() is for when everything is open and no thread runs; `report` is told what is unusual."""

    def __init__(self, settings: Settings, source: Tap | AfPacket, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._source = source
        self._report = report
        self._keeper: Keeper | None = None

    def take_times(self) -> int:
        """As libbpf.take_times(), also when what that needs was given away."""
        if self._keeper is None:
            return libbpf.take_times()
        try:
            return self._keeper.ask(_TIMES) or -1
        except KernelError:
            return -1

    def give_away(self) -> None:
        """Keep what is open. Raises ConfigError for an unknown account, or KernelError."""
        if self._settings.user == "root":
            return
        become = account(self._settings.user)
        folder = self._settings.output.directory
        spool = [self._settings.kept().place().spool] if self._settings.store else []
        tail = self._source.tail.folders(become.pw_uid if become else None) if self._source.tail else []
        if keep := self._needed():
            descriptors = self._source.attacher.descriptors() if isinstance(self._source, Tap) and CAP_NET_ADMIN in keep else []
            alone = partial(confine, become, keep=keep)
            self._keeper = Keeper(alone, self._act, self._end, descriptors)
            self._keeper.start()
            if isinstance(self._source, Tap) and CAP_NET_ADMIN in keep:
                self._source.attacher.ask(self._keeper.ask)
        left: frozenset[int] = frozenset()
        if self._source.programs() and probe.map_calls_need_a_capability():
            left = frozenset([CAP_BPF])
            self._report("before kernel 5.19 the maps of eBPF programs need CAP_BPF: the sensor keeps that, and nothing else")
        names = self._settings.names.folders()  # files there are read again when they change
        rotated = bool(self._settings.output.rotated_s())
        confined = confine(become, [*([Path(folder)] if folder else []), *spool, *tail], readable=names, keep=left, folders=rotated)
        if confined.missing:
            self._report(f"this kernel has no {' and no '.join(confined.missing)}: the sensor is confined without")

    def close(self) -> None:
        """Let what stayed behind end."""
        if self._keeper:
            self._keeper.close()

    def _needed(self) -> frozenset[int]:
        times = "cost" in self._settings.records and self._settings.bpf_stats and self._source.programs()
        clsact = isinstance(self._source, Tap) and self._source.hook == "clsact"
        bound = self._settings.xdp_metadata  # programs for one device are loaded as it comes
        return frozenset([CAP_SYS_ADMIN] * bool(times) + [CAP_NET_ADMIN] * (clsact or bound) + [CAP_BPF, CAP_PERFMON] * bound)

    # -- in the keeper's process ------------------------------------------------------------------------------------------

    def _act(self, number: int) -> int | None:
        if number == _TIMES:
            switch = libbpf.take_times()
            return switch if switch >= 0 else None
        return self._source.attacher.act(number) if isinstance(self._source, Tap) else None

    def _end(self) -> None:
        if isinstance(self._source, Tap):
            self._source.attacher.end()
