"""All captures of others, read by one process and by several (make soak): the same rows, uids, counts and complaints."""

# ruff: noqa: T201 - run by hand, it tells how far it is

import datetime
import platform

from places import CORPORA
from sharing import compared

from headwater.apps import offline

WORKERS, BATCH = 3, 64
"""Processes, and packets in a batch: so few that small captures have several."""


def main() -> None:
    offline._LENT = BATCH
    print(f"tests/apps/soak.py, Linux {'.'.join(platform.release().split('.')[:2])}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}")
    captures = sorted([*CORPORA.glob("zeek/*/trace.pcap"), *CORPORA.glob("arkime/pcap/*.pcap*")])
    rows = unlike = 0
    for capture in captures:
        count, found = compared(capture, WORKERS)
        rows += count
        unlike += bool(found)
        if found:
            print(f"{capture.relative_to(CORPORA)}: {found}")
    said = f"{len(captures)} captures, batches of {BATCH} packets, {rows:,} rows"
    print(f"read --workers {WORKERS}: {said}, {unlike} unlike those of one process")
    if unlike:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
