"""docs/performance.md."""

import os
import platform
import re
from pathlib import Path

from bench.common import CPUS, ROOT, Figure

HEAD = """\
# Performance

Each figure is measured beside its peers in one run, in network namespaces on one machine, by `make bench` (as root; about
{minutes:.0f} minutes), which writes this page. `.venv/bin/python -m bench {example}` runs one alone. Machines differ and are never quite
quiet: compare within a table, not between pages.

Measured on {machine}.

| what | promised | measured | peers | |
|---|---|---|---|---|
"""


def machine() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cpu = re.sub(r"\s+", " ", model[1]) if model else platform.machine()
    return f"{len(CPUS)} CPUs of {cpu}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(measured: dict[str, Figure], seconds: float) -> None:
    """The page, of all figures."""
    verdicts = {True: "met", False: "**missed**", None: ""}
    page = [HEAD.format(minutes=seconds / 60, example=next(iter(measured)), machine=machine())]
    page += [f"| {f.title} | {f.target} | {f.ours} | {f.peers} | {verdicts[f.met]} |\n" for f in measured.values()]
    for name, figure in measured.items():
        page.append(f"\n## {figure.title}\n\n`python -m bench {name}`. {figure.told}\n\n{_table(figure.columns, figure.rows)}\n")
        page.append(f"\nEverything else on the machine used {figure.others:.2f} of a CPU meanwhile.\n")
    (ROOT / "docs/performance.md").write_text("".join(page))
