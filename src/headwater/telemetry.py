"""The ledger: what became of each packet and each record, counted where it happens. Sums that must come out exactly.

packets: seen = duplicate_hook + filtered + in_flow + deferred + as_row + sampled_out + counted_only + Σ dropped{place, reason}
records: made = acked + spooled + queued + Σ dropped{place, reason}, up to the ring and for each sink
flows:   given = in_flow + duplicate_hook + no_flow + fragment + damaged + sampled_out + deferred + Σ dropped{place, reason}: packets and
         carriers
octets:  carried = read + unwanted + again + cut + unread + waiting + Σ dropped{place, reason}: what flows carry, where messages are read;
         and of flows in the kernel handed_on + unwanted + beyond_budget + Σ dropped{place, reason}

`queued` are rows that wait in memory: none at the end. Other terms (octets, segments, consumed) are told beside a sum and belong to none.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LedgerName = Literal["packets", "records", "flows", "octets"]
FATES = ("as_row", "filtered", "sampled_out", "counted_only")
"""Of packets that a source has read."""
KERNEL_FATES = (*FATES, "in_flow", "duplicate_hook", "deferred")
"""Where flows are kept in the kernel."""
PACKET_TERMS = ("duplicate_hook", "filtered", "in_flow", "deferred", "as_row", "sampled_out", "counted_only", "dropped")
RECORD_TERMS = ("acked", "spooled", "queued", "dropped")
FLOW_TERMS = ("in_flow", "duplicate_hook", "no_flow", "fragment", "damaged", "sampled_out", "deferred", "dropped")
OCTET_TERMS = ("read", "unwanted", "again", "cut", "unread", "waiting")
"""Of those that streams are given."""
_PARTS: Mapping[LedgerName, tuple[str, ...]] = {
    "packets": PACKET_TERMS,
    "records": RECORD_TERMS,
    "flows": FLOW_TERMS,
    "octets": (*OCTET_TERMS, "handed_on", "beyond_budget", "dropped"),
}
_WHOLE: Mapping[LedgerName, str] = {"packets": "seen", "records": "made", "flows": "given", "octets": "carried"}


@dataclass(frozen=True, order=True)
class Entry:
    """What a count is of. `subject` is an interface or capture (packets), a sink (records); place and reason belong to `dropped`."""

    ledger: LedgerName
    subject: str
    term: str
    place: str = ""
    reason: str = ""


class Ledger:
    """Counts since the start, by entry. Safe to use from several threads; one call a batch, never one a packet."""

    def __init__(self) -> None:
        self._counts: dict[Entry, int] = {}
        self._means: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, entry: Entry, count: int) -> None:
        """Count `count` more."""
        if count:
            with self._lock:
                self._counts[entry] = self._counts.get(entry, 0) + count

    def replace(self, totals: Mapping[Entry, int]) -> None:
        """Set totals that are counted elsewhere (the kernel, a decoder). All in one step, so that a sum never shows half of them."""
        with self._lock:
            self._counts.update({entry: count for entry, count in totals.items() if count or entry in self._counts or _is_whole(entry)})

    def note(self, subject: str, means: str) -> None:
        """By which means an interface's packets are seen: lines() tells it."""
        with self._lock:
            self._means[subject] = means

    @property
    def means(self) -> dict[str, str]:
        """What was noted."""
        with self._lock:
            return dict(self._means)

    def totals(self) -> dict[Entry, int]:
        """All counts, as of one moment."""
        with self._lock:
            return dict(self._counts)

    def get(self, entry: Entry) -> int:
        """One count."""
        with self._lock:
            return self._counts.get(entry, 0)


def imbalances(totals: Mapping[Entry, int]) -> list[tuple[LedgerName, str, int]]:
    """(ledger, subject, difference) for each sum that does not come out, or does with a count below 0; empty is as it should be."""
    sums: dict[tuple[LedgerName, str], int] = {}
    for entry, count in totals.items():
        key = (entry.ledger, entry.subject)
        sums[key] = sums.get(key, 0) + count * (_is_whole(entry) - _is_part(entry))
    below = {(entry.ledger, entry.subject): count for entry, count in totals.items() if count < 0}
    return [(*key, difference or below[key]) for key, difference in sums.items() if difference or key in below]


def lines(totals: Mapping[Entry, int], means: Mapping[str, str] | None = None) -> list[str]:
    """The ledger for a person: a line a subject, by which means it was seen, and one that says whether it all adds up."""
    subjects: dict[tuple[LedgerName, str], list[tuple[Entry, int]]] = {}
    for entry, count in sorted(totals.items()):
        subjects.setdefault((entry.ledger, entry.subject), []).append((entry, count))
    told = []
    for (ledger, subject), entries in subjects.items():
        whole = sum(count for entry, count in entries if _is_whole(entry))
        if not whole and subject == "other":
            continue
        parts = [f"{count:,} {_words(entry)}" for entry, count in entries if _is_part(entry) and count]
        by = f" ({means[subject]})" if means and ledger == "packets" and subject in means else ""
        told.append(f"{ledger:<8} {subject}{by}: {whole:,} {_WHOLE[ledger]} = {' + '.join(parts) or '0'}")
    off = imbalances(totals)
    told += [f"ledger   {subject}: {ledger} are off by {difference:+,}; please report this" for ledger, subject, difference in off]
    if told and not off:
        told.append("ledger   adds up exactly")
    return told


def _is_whole(entry: Entry) -> bool:
    return entry.term == _WHOLE[entry.ledger]


def _is_part(entry: Entry) -> bool:
    return entry.term in _PARTS[entry.ledger]


def _words(entry: Entry) -> str:
    if entry.term != "dropped":
        return entry.term
    return f"dropped ({entry.place}: {entry.reason})".replace("_", " ")
