"""`headwater read --uid`: from the row of a flow to its packets. Captures are read twice: to find those, and to write them."""

from collections.abc import Sequence

import numpy as np

from headwater.analysis.flows import PICK, Flows
from headwater.apps import offline
from headwater.apps.analyses import flow_settings
from headwater.apps.console import tell
from headwater.apps.outlets import WhereTo
from headwater.config import Settings
from headwater.errors import ConfigError, HeadwaterError, SourceError
from headwater.records.address import uid_octets
from headwater.telemetry import Ledger


def write(files: Sequence[str], settings: Settings, uids: Sequence[str], packets: WhereTo, *, checksums: bool) -> None:
    """Write the packets of these flows. Raises ConfigError, HeadwaterError if no capture has such a flow, and what offline.read() does."""
    for uid in uids:
        if not uid_octets(uid):
            raise ConfigError(f"--uid {uid}", "that is no uid: copy one from a row of conn, as in --uid CLAiNG6tfHbAoFZOj")
    if not offline.are_files(files):
        raise ConfigError("--uid", "captures are read twice: name files, not a pipe")
    packets.must_not_be_read(files)
    offline.read(files, settings, (), packets=packets, checksums=checksums, only=frames(files, settings, uids, checksums=checksums))


def frames(files: Sequence[str], settings: Settings, uids: Sequence[str], *, checksums: bool = False) -> offline.Frames:
    """The numbers of those frames of `files` in which packets of these flows are, or errors of ICMP about them. Raises HeadwaterError if
    there is no such flow, and SourceError if that may be since a capture cannot be read.
    """
    flows = Flows(offline.InTurn.name, flow_settings(settings))
    flows.pick([uid_octets(uid) for uid in uids])
    source = offline.in_turn(
        files, settings, Ledger(), carriers=True, checksums=checksums, lends=True, payloads=True, report=lambda _: None
    )
    found = [np.empty(0, PICK)]
    problem = None
    try:
        for batch in source.read():
            for _ in flows.find(batch):
                """Rows that nobody asks for."""
            found.append(flows.picked())
    except SourceError as error:  # who reads them again tells that, too
        problem = error
    picks = np.concatenate(found)
    missing = " and ".join(uid for number, uid in enumerate(uids) if number not in picks["uid"])
    if problem and not len(picks):
        raise problem
    if not len(picks):
        raise HeadwaterError(
            f"{missing}: there is no such flow: take the uid from a row made of these captures, with the same configuration"
        )
    if missing:
        tell(f"{missing}: there is no such flow")
    return np.unique(picks["frame"])
