"""`headwater run`: sources and outlets as the settings say, and somebody who watches."""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import numpy as np

from headwater.analysis.protocols import MESSAGES
from headwater.apps import control, messages, view
from headwater.apps.analyses import analyses, flow_settings, keeps_flows, reads_messages
from headwater.apps.beside import Beside
from headwater.apps.console import ring_loss, tell, tell_ledger, until_signal
from headwater.apps.flows.table import FlowTable
from headwater.apps.flows.view import FlowView
from headwater.apps.hosts import hosts
from headwater.apps.lines import Lines
from headwater.apps.outlets import WhereTo, hidden, outlets
from headwater.apps.privileges import Privileges
from headwater.apps.screen import OnScreen, console
from headwater.apps.through import Through
from headwater.config import Settings
from headwater.errors import ConfigError, SinkError
from headwater.filters import FILTERS
from headwater.interfaces import Detail
from headwater.kernel import probe, sockets
from headwater.kernel.interfaces import choose
from headwater.kernel.tail import Tail
from headwater.outputs.pcapng import PacketFile
from headwater.pipeline import Output, Pipeline, Watcher
from headwater.records import CONN, CONN_LONG, PACKET, Batch
from headwater.records.layouts import WANT_ALL
from headwater.sources.af_packet import AfPacket
from headwater.sources.cost import Cost, Spent
from headwater.sources.kernel_flows import KernelFlows
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger

LOST = ("disk_full", "rejected", "unreachable")  # what a run should not end well with; sampling and a full queue are not among them
_HOOKS = {"xdp": "xdp, arriving packets only"}
MOST_RINGS = 4  # of an interface, unless more are asked for: memory is locked for each
PROGRESS_S = 0.5  # between two reports of a flow that is shown, from which its rates are
STORE_S = 2.0  # for the store to take the last rows, before the ledger is told
NO_MESSAGES = "eBPF hooks hand on what messages are read from where the kernel keeps flows (5.12, no xdp_metadata): use --hook af_packet"
NOTE_S = 10.0  # how long the live view shows what was said


class _Notes:
    """What is said while the live view has the screen: in its head for a while, and again when the run has ended."""

    def __init__(self, listening: Callable[[], str]) -> None:
        self._listening = listening
        self._said: list[str] = []
        self._at = 0.0
        self.on_screen = False

    def say(self, message: str) -> None:
        self._said.append(message)
        self._at = time.monotonic()
        if not self.on_screen:
            self.tell()

    def describe(self) -> str:
        if self._said and time.monotonic() - self._at < NOTE_S:
            return f"{self._listening()} | {self._said[-1]}"
        return self._listening()

    def tell(self) -> None:
        for message in self._said:
            tell(message)
        self._said.clear()


def run(
    settings: Settings,
    seconds: float | None,
    *said: str,
    packets: WhereTo | None = None,
    where: str = "",
) -> None:
    """Watch until `seconds` have gone by or a signal comes; `said` is what the user should know before. Of one record that is of messages,
    `where` is a filter of its rows.

    Raises HeadwaterError; the ledger is printed in any case.
    """
    settings = settings.begun(datetime.now(UTC)).settled(whole_packets=packets is not None)
    ledger, chosen = Ledger(), messages.where(where, MESSAGES[settings.records[0]]) if where else None

    def describe() -> str:
        listening = ", ".join(f"{name} ({_HOOKS.get(hook, hook)})" for name, hook in source.listening()) or "nothing yet"
        filters = [f", {name.replace('_', ' ')} {text}" for name, text in server.filters().items()]
        return "".join([listening, *filters, f", packets to {file.name}" if file else ""])

    notes = _Notes(describe)
    file = packets.file(ledger, notes.say, live=True) if packets else None
    to_stdout = settings.output.directory is None and settings.output.format is not None
    if to_stdout and packets:
        packets.must_be_a_file()

    def stop() -> None:
        pipeline.stop()

    is_seen = not to_stdout and (sys.stdout.isatty() or not (settings.output.directory or packets))
    watcher = _watcher(settings, ledger, notes.describe, stop, lambda: str(spent), chosen) if is_seen else None
    on_screen = watcher if isinstance(watcher, OnScreen) else None
    notes.on_screen = on_screen is not None
    analysed = _shown(settings) if isinstance(watcher, FlowView) else settings
    known = sockets.begun() if keeps_flows(analysed) else None
    source = make_source(analysed, ledger, notes.say, file, known)
    source.tail = Tail()
    spent = Spent(source)
    for message in (*said, *(f"{one.name} is down: ip link set {one.name} up" for one in choose(settings.interfaces) if not one.up)):
        notes.say(message)
    privileges = Privileges(settings, source, notes.say)
    cost = [Cost(source, bpf_stats=settings.bpf_stats, take_times=privileges.take_times)] if "cost" in settings.records else []

    def once_open() -> None:
        """Nothing is opened from here on that takes a privilege."""
        privileges.give_away()
        beside.begin(notes.say)
        spent.begin()
        server.start()
        if not watcher and (file or settings.output.directory):  # whoever waits for what comes in files sees where it comes from
            notes.say(f"listening on {describe()}")

    beside = Beside(settings, STORE_S)
    outputs: list[Output] = outlets(settings, ledger, notes.say, live=True, to_stdout=to_stdout, patience_s=beside.patience_s)
    outputs = [*([file] if file else []), *(Through(one, chosen) if chosen else one for one in outputs)]
    pipeline = Pipeline(
        [source, *cost],
        outputs,
        ledger,
        watcher,
        analyses=analyses(analysed, live=True, elsewhere=source.flows if isinstance(source, Tap) else None, known=known),
        packet_filter=settings.packet_rows(),
        once_open=once_open,
    )
    in_force = {name: getattr(settings, name) for name in (*FILTERS, "detail")}
    server = control.Server(pipeline, source, in_force, _refused(settings, watcher, file))
    try:
        with until_signal(stop, on_screen.give_back if on_screen else lambda: None), server, beside:
            pipeline.run(seconds)
    finally:
        privileges.close()
        notes.on_screen = False
        notes.tell()
        tell_ledger(ledger, spent)
        _tell_loss(ledger, settings.ring_bytes)
    _must_have_arrived(ledger, "rows or packets" if packets else "rows")


def _must_have_arrived(ledger: Ledger, what: str) -> None:
    """Raises SinkError where a sink has lost any for a reason that lasts."""
    lost = sum(count for entry, count in ledger.totals().items() if entry.place == "sink" and entry.reason in LOST)
    if lost:
        raise SinkError(f"{lost:,} {what} did not reach where they should; the ledger above says which", retryable=False)


def _watcher(
    settings: Settings,
    ledger: Ledger,
    describe: Callable[[], str],
    stop: Callable[[], None],
    spent: Callable[[], str],
    chosen: Callable[[Batch], Batch] | None,
) -> view.View | FlowView | Lines:
    """The live view where standard output is a terminal that can move its cursor, else plain lines; of messages, where they are all that is
    asked for, lines of those that are `chosen`. `stop` ends it, `spent` is its cost.
    """
    if len(settings.records) == 1 and settings.records[0] in messages.SHOWN:
        hide = hidden(settings)
        change = (lambda batch: hide(chosen(batch))) if chosen else hide
        return Lines(sys.stdout, sys.stderr, describe, of=MESSAGES[settings.records[0]], change=change)
    of_flows = settings.detail in ("flows", "messages")
    if not (on := console()):
        return Lines(sys.stdout, sys.stderr, describe, of=CONN if of_flows else PACKET)
    if of_flows:
        return FlowView(on, FlowTable(live=True), hosts(), describe=describe, totals=ledger.totals, stop=stop)
    return view.View(on, describe, stop=stop, spent=spent)


def _shown(settings: Settings) -> Settings:
    """What somebody who looks at flows needs to be told of, beside what is written: those that go on, often."""
    if "conn_long" in settings.records:
        return settings
    flows = msgspec.structs.replace(settings.flows, progress_s=PROGRESS_S)
    return msgspec.structs.replace(settings, records=(*settings.records, "conn_long"), flows=flows)


def _refused(settings: Settings, watcher: Watcher | None, file: PacketFile | None) -> dict[str, str]:
    """Why `headwater detail set` and `headwater filter set` are refused what this run cannot do."""
    refused: dict[str, str] = {}
    used = {*settings.records, *(watcher.watches if watcher else ()), *([PACKET.name] if settings.grafana else ())}
    if not keeps_flows(settings):
        refused["flows"] = "this run keeps no flows: start it with --record conn"
    if not reads_messages(settings):
        refused["messages"] = "this run reads no messages: start it with --detail messages"
    if not (keeps_flows(settings) and used & {CONN.name, CONN_LONG.name}):
        refused["flow_filter"] = "this run has no rows of flows: start it with --record conn"
    if PACKET.name not in used:
        refused["packets"] = refused["packet_filter"] = "this run has no use for packets: start it with --record packet"
    return refused | (dict.fromkeys(get_args(Detail), f"this run writes packets to {file.name}") if file else {})


def _tell_loss(ledger: Ledger, ring_bytes: int) -> None:
    part, number = ring_loss(ledger.totals())
    if part:
        larger = f"make ring_bytes larger (it is {ring_bytes}) in a file for -c"
        tell(f"{part} were lost ({number}): the ring to user space was full; {larger}")


def _budget(settings: Settings) -> int:
    """Octets that the kernel hands over of each side of a flow, to begin with."""
    if not reads_messages(settings):
        return 0
    return WANT_ALL if settings.messages.payload == "full" else settings.messages.budget_octets


def make_source(
    settings: Settings,
    ledger: Ledger,
    report: Callable[[str], None],
    packets: PacketFile | None = None,
    known: np.ndarray[Any, np.dtype[Any]] | None = None,
) -> Tap | AfPacket:
    """The rung that the settings force, or the best one that this kernel has. Only one gives whole `packets`. Of `known` connections it is
    known who began them (sockets.begun). Raises ConfigError.
    """
    hook, detail = settings.hook, settings.detail
    assert detail != "auto"  # noqa: S101 - settings are settled()
    if packets:
        if hook not in ("auto", "af_packet"):
            raise ConfigError(f"--hook {hook}", "-w needs whole packets, which the eBPF hooks do not carry: use --hook af_packet")
        if detail != "packets":
            raise ConfigError(f"--detail {detail}", "-w needs packets, and this keeps none: leave one of the two out")
        hook = "af_packet"
    if hook == "auto":
        hook = probe.best(choose(settings.interfaces))
    of_flows = keeps_flows(settings)
    if hook == "af_packet":
        return AfPacket(
            ledger,
            settings.interfaces,
            promiscuous=settings.promiscuous,
            ring_bytes=max(settings.ring_bytes, 1 << 20),
            fanout=1 if packets or of_flows else settings.fanout or min(os.cpu_count() or 1, MOST_RINGS),  # which keeps their order
            filter=settings.packets(),
            sample=1 if of_flows else settings.sample,
            detail=detail,
            carriers=of_flows,
            payloads=reads_messages(settings),
            packets=packets,
            report=report,
        )
    flows = None
    if of_flows and not settings.xdp_metadata and probe.keeps_flows():
        flows = KernelFlows(
            flow_settings(settings).row(),
            hook,
            octets=settings.flows.memory_mib << 20,
            ring_bytes=max(settings.ring_bytes // 2, 1 << 16),
            asked=settings.flow_rows(),
            packet_filter=settings.packet_rows(),
            known=known,
            servers=settings.flows.servers if "server" in settings.records else 0,
            budget=_budget(settings),
            keep=settings.keep_flows,
            report=report,
        )
    elif reads_messages(settings):
        raise ConfigError("records", NO_MESSAGES)
    elif settings.keep_flows:
        report("keep_flows is for flows that the kernel keeps, which this run has not")
    return Tap(
        ledger,
        settings.interfaces,
        hook=hook,
        consume=settings.consume,
        generic=settings.generic_xdp,
        metadata=settings.xdp_metadata,
        promiscuous=settings.promiscuous,
        ring_bytes=settings.ring_bytes,
        filter=settings.packets(),
        sample=1 if of_flows else settings.sample,
        detail=detail,
        carriers=of_flows,
        flows=flows,
        report=report,
    )
