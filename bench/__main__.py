"""`make bench`, or `.venv/bin/python -m bench [--page] [FIGURE...]`: Headwater beside its peers. All figures together write
docs/performance.md; some of them, with --page, their parts of it.
"""

import importlib
import sys
import time

from bench import common, page

FIGURES = (
    "live_xdp",
    "live_tcx",
    "live_af_packet",
    "hooks",
    "filters",
    "ring",
    "captures",
    "zeek_import",
    "idle",
    "flows",
    "flow_table",
    "flows_long",
    "messages",
    "message_cost",
    "kernel_table",
    "kernel_scale",
    "live_flows",
    "live_messages",
    "names",
    "store_ingest",
    "store_beside",
    "store_queries",
)


def main() -> None:
    wanted = [word for word in sys.argv[1:] if word != "--page"] or FIGURES
    unknown = set(wanted) - set(FIGURES)
    if unknown:
        sys.exit(f"bench: no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    common.build()
    common.settle()
    measured = {}
    start = time.monotonic()
    for name in wanted:
        print(f"bench: {name}", flush=True)
        begin, _ = common.others_since((0, 0, 0))
        figure = importlib.import_module(f"bench.{name}").measure()
        _, figure.others = common.others_since(begin)
        measured[name] = figure
        for row in (figure.columns, *figure.rows):
            print("  " + " | ".join(row))
        verdict = {True: "met", False: "MISSED", None: "told"}[figure.met]
        print(f"  {verdict}: {figure.ours} ({figure.target}); {time.monotonic() - begin[0]:.0f} s, others used {figure.others:.2f} CPUs")
    if len(measured) == len(FIGURES):
        page.write(measured, time.monotonic() - start)
    elif "--page" in sys.argv:
        page.update(measured)
    if any(figure.met is False for figure in measured.values()):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
