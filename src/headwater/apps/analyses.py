"""The analyses that the records which are asked for need."""

import hashlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headwater.analysis.across import Across, Once, Together
from headwater.analysis.files import FileSettings
from headwater.analysis.flows import OF_FLOWS, TIMEOUTS_S, Elsewhere, Flows, FlowSettings
from headwater.analysis.requests import OF_MESSAGES, REQUEST, Requests
from headwater.analysis.weirds import A_SECOND, Weirds
from headwater.config import Settings
from headwater.interfaces import Analysis
from headwater.outputs.extracted import Extraction
from headwater.outputs.zeek_tables import FORMATS as ZEEK

_TOLD_BY_CONTENT = frozenset({"conn", "conn_long", "weird"})
_MACHINE = Path("/etc/machine-id")


def keeps_flows(settings: Settings) -> bool:
    """Whether flows are needed. What is odd in them is told where packets are not sampled one by one, of which none could be made."""
    records = set(settings.records)
    return bool(records & OF_FLOWS) or reads_messages(settings) or ("weird" in records and settings.sample == 1)


def reads_messages(settings: Settings) -> bool:
    """Whether what flows carry is read."""
    return bool(set(settings.records) & OF_MESSAGES) or settings.files.directory is not None


def reads_captures(settings: Settings) -> bool:
    """Whether what flows of captures carry is read: for messages, for the service of flows, and for what is odd in it."""
    return reads_messages(settings) or (settings.flows.services and bool(set(settings.records) & _TOLD_BY_CONTENT))


def analyses(
    settings: Settings, *, live: bool, elsewhere: Elsewhere | None = None, known: np.ndarray[Any, np.dtype[Any]] | None = None
) -> Callable[[str], Sequence[Analysis]]:
    """What makes them for a source, by its name. Read before privileges are given away: uids are made with what only this machine knows."""
    flows = flow_settings(settings, live=live) if keeps_flows(settings) else None
    messages = reads_messages(settings) if live else reads_captures(settings)
    files = file_settings(settings) if messages else None

    def make(name: str) -> Sequence[Analysis]:
        found: list[Analysis] = [*weirds(settings)]
        if flows:
            kept = Flows(name, flows, live=live, elsewhere=elsewhere, known=known, messages=messages, files=files)
            found.append(Together(kept, across(settings), live=live))
        return found

    return make


def to_share(name: str, settings: Settings, sharers: int) -> tuple[Flows, list[Weirds], list[Across]]:
    """What so many processes need, of captures: flows of which each is to have a copy, and what is made of all their rows."""
    flows = Flows(name, flow_settings(settings, live=False), messages=True, files=file_settings(settings), sharers=sharers)
    return flows, weirds(settings), across(settings)


def weirds(settings: Settings) -> list[Weirds]:
    """What finds them in packets, if they are asked for."""
    return [Weirds(ignored=settings.weirds.ignore, again_s=settings.weirds.again_s)] if "weird" in settings.records else []


def across(settings: Settings) -> list[Across]:
    """What is told of all flows together."""
    return [Once(settings.weirds.again_s), *([Requests()] if REQUEST.name in settings.records else [])]


def flow_settings(settings: Settings, *, live: bool = True) -> FlowSettings:
    """How flows are kept. uids are the same from run to run, and nobody who has not the key can tell them beforehand. Of a connection whose
    begin it has not seen, Zeek reads no messages: nor do logs in its formats that are made of captures.
    """
    key = settings.flows.uid_key or _machine()
    values = msgspec.structs.asdict(settings.flows)
    return FlowSettings(
        hashlib.blake2s(key.encode(), digest_size=16, person=b"uid").digest(),
        most=settings.flows.most,
        sample=settings.sample,
        local_nets=settings.flows.local_nets,
        community_id_seed=settings.flows.community_id_seed,
        flow_key=settings.flows.flow_key,
        progress_s=settings.flows.progress_s if "conn_long" in settings.records else 0.0,
        servers=settings.flows.servers if "server" in settings.records else 0,
        timeouts_s={name: values[f"{name}_s"] for name in TIMEOUTS_S},
        weirds_a_second=A_SECOND if "weird" in settings.records else 0,
        ignored_weirds=settings.weirds.ignore,
        asked=settings.flow_rows(),
        headers=[name.lower() for name in settings.privacy.headers],
        joins=live or settings.output.format not in ZEEK,
    )


def file_settings(settings: Settings) -> FileSettings:
    """What becomes of the files that flows carry. Raises SinkError where they cannot be written out."""
    chosen, told = settings.files, "files" in settings.records
    hashes = chosen.hashes if told else ()
    if chosen.directory is None:
        return FileSettings(hashes, told)
    extraction = Extraction(Path(chosen.directory), chosen.types, chosen.most_bytes, chosen.most_total_bytes)
    extraction.open()
    return FileSettings(hashes, told, extract=extraction.begin)


def _machine() -> str:
    try:
        return _MACHINE.read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()
