"""`headwater import`: what Zeek and Suricata wrote becomes rows of the store."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.apps.beside import Beside
from headwater.apps.console import tell, tell_ledger
from headwater.apps.outlets import naming, spool
from headwater.config import Settings
from headwater.errors import SinkError, SourceError
from headwater.interfaces import Sent
from headwater.outputs.outlet import NEVER
from headwater.outputs.spool import Spool
from headwater.records.layouts import place_reason
from headwater.records.stored import NAME, SYSTEM
from headwater.sources.zeek import tables
from headwater.telemetry import Entry, Ledger

PAUSE_S = 1.0  # before a full or broken disk is tried again


def read_in(paths: Sequence[str], settings: Settings) -> None:
    """Take the logs at `paths`, files or directories, into the store. Raises SourceError at the end for what could not be read."""
    ledger, skipped, failed = Ledger(), Counter[str](), list[SourceError]()
    named = naming(settings, tell)
    beside = Beside(settings, NEVER)
    with beside:
        beside.begin(tell)
        with spool(settings, tell, beside.patience_s, waits=True) as into:
            for path in paths:
                try:
                    for one in tables(Path(path), tell):
                        skipped.update(one.skipped)
                        rows = one.table
                        for field, values in named().of_table(rows):
                            rows = rows.append_column(field, values)
                        rows = _marked(rows, one.table.schema)
                        _count(ledger, _kept(into, one.name, rows), len(rows))
                except SourceError as error:
                    failed.append(error)
                    if len(paths) > 1:
                        tell(str(error))
            _count(ledger, into.flush(last=True))
    for reason, count in skipped.items():
        tell(f"{count:,} line{'' if count == 1 else 's'} left out ({reason})")
    tell_ledger(ledger)
    if failed:
        raise failed[0]


def _marked(rows: pa.RecordBatch, log: pa.Schema) -> pa.RecordBatch:
    """With whose log they were in, beside our own rows of the same table."""
    if SYSTEM in rows.schema.names:
        return rows
    whose = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), [(log.metadata or {}).get(b"system", b"").decode()])
    return rows.append_column(pa.field(SYSTEM, NAME, metadata={b"kind": b"enum"}), whose)


def _kept(into: Spool, name: str, rows: pa.RecordBatch) -> Sent:
    """Once they are safe: a disk that is full or broken is tried again until it is not."""
    into.encode(name, rows)
    while True:
        try:
            return into.write()
        except SinkError as error:
            tell(f"{error}; trying again")
            time.sleep(PAUSE_S)


def _count(ledger: Ledger, sent: Sent, made: int = 0) -> None:
    ledger.add(Entry("records", "store", "made"), made + sent.found)
    ledger.add(Entry("records", "store", "acked"), sent.acked)
    ledger.add(Entry("records", "store", "spooled"), sent.spooled)
    for reason, count in sent.dropped.items():
        ledger.add(Entry("records", "store", "dropped", *place_reason(reason)), count)
