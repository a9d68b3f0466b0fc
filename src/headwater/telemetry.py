"""The ledger: what became of each packet and each record, counted where it happens. Two sums that must come out exactly.

packets: seen = duplicate_hook + filtered + in_flow + as_row + sampled_out + counted_only + Σ dropped{place, reason}
records: made = acked + spooled + Σ dropped{place, reason}, up to the ring and for each sink
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

PACKET_TERMS = ("duplicate_hook", "filtered", "in_flow", "as_row", "sampled_out", "counted_only", "dropped")
RECORD_TERMS = ("acked", "spooled", "dropped")


@dataclass(frozen=True, order=True)
class Entry:
    """What a count is of. `subject` is an interface or capture (packets), a sink (records); place and reason belong to `dropped`."""

    ledger: Literal["packets", "records"]
    subject: str
    term: str
    place: str = ""
    reason: str = ""


class Ledger:
    """Counts since the start, by entry. Safe to use from several threads; one call a batch, never one a packet."""

    def __init__(self) -> None:
        self._counts: dict[Entry, int] = {}
        self._lock = threading.Lock()

    def add(self, entry: Entry, count: int) -> None:
        """Count `count` more."""
        if count:
            with self._lock:
                self._counts[entry] = self._counts.get(entry, 0) + count

    def replace(self, totals: Mapping[Entry, int]) -> None:
        """Set totals that are counted elsewhere (the kernel, a decoder). All in one step, so that a sum never shows half of them."""
        with self._lock:
            self._counts.update({entry: count for entry, count in totals.items() if count or entry in self._counts})

    def totals(self) -> dict[Entry, int]:
        """All counts, as of one moment."""
        with self._lock:
            return dict(self._counts)

    def get(self, entry: Entry) -> int:
        """One count."""
        with self._lock:
            return self._counts.get(entry, 0)


def imbalances(totals: Mapping[Entry, int]) -> Iterator[tuple[str, str, int]]:
    """(ledger, subject, difference) for each sum that does not come out; empty is as it should be."""
    sums: dict[tuple[str, str], int] = {}
    for entry, count in totals.items():
        whole = entry.term == ("seen" if entry.ledger == "packets" else "made")
        part = entry.term in (PACKET_TERMS if entry.ledger == "packets" else RECORD_TERMS)
        key = (entry.ledger, entry.subject)
        sums[key] = sums.get(key, 0) + count * (whole - part)
    return ((ledger, subject, difference) for (ledger, subject), difference in sums.items() if difference)


def lines(totals: Mapping[Entry, int]) -> Iterator[str]:
    """The ledger for a person: a line a subject, and one that says whether it adds up."""
    subjects = sorted({(entry.ledger, entry.subject) for entry in totals})
    for ledger, subject in subjects:
        whole = "seen" if ledger == "packets" else "made"
        parts = {
            f"{e.place} {e.reason}".replace("_", " ").strip() + (" dropped" if e.term == "dropped" else e.term): count
            for e, count in sorted(totals.items())
            if (e.ledger, e.subject) == (ledger, subject) and e.term != whole and count
        }
        head = totals.get(Entry(ledger, subject, whole), 0)  # type: ignore[arg-type]  # the ledgers are those of the entries
        yield f"{ledger:<8}{subject}: {head:,} {whole} = " + (" + ".join(f"{count:,} {name}" for name, count in parts.items()) or "0")
    off = list(imbalances(totals))
    for ledger, subject, difference in off:
        yield f"ledger   {subject}: {ledger} are off by {difference:+,}; please report this"
    if subjects and not off:
        yield "ledger   adds up exactly"
