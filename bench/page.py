"""docs/performance.md."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from bench.common import CPUS, ROOT, Figure

PAGE = ROOT / "docs/performance.md"
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


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(figure: Figure) -> str:
    verdict = {True: "met", False: "**missed**", None: ""}[figure.met]
    return f"| {figure.title} | {figure.target} | {figure.ours} | {figure.peers} | {verdict} |\n"


def _section(name: str, figure: Figure) -> str:
    return f"""
## {figure.title}

`python -m bench {name}`. {figure.told}

{_table(figure.columns, figure.rows)}

Everything else on the machine used {figure.others:.2f} of a CPU meanwhile.
"""


def write(measured: dict[str, Figure], seconds: float) -> None:
    """The page, of all figures."""
    head = HEAD.format(minutes=seconds / 60, example=next(iter(measured)), machine=machine())
    page = [head, *map(_line, measured.values()), *(_section(name, figure) for name, figure in measured.items())]
    PAGE.write_text("".join(page))


def update(measured: dict[str, Figure]) -> None:
    """Of the page that is there, what tells of these figures; new ones come last."""
    head, *sections = re.split(r"^(?=\n## )", PAGE.read_text(), flags=re.M)
    lines = head.splitlines(keepends=True)
    for name, figure in measured.items():
        for parts, begin, part in (
            (lines, f"| {figure.title} |", _line(figure)),
            (sections, f"\n## {figure.title}\n", _section(name, figure)),
        ):
            at = next((at for at, old in enumerate(parts) if old.startswith(begin)), len(parts))
            parts[at : at + 1] = [part]
    PAGE.write_text("".join(lines + sections))
