"""Makes docs/live.svg: the live view after some seconds of `headwater demo`. Needs root. No interface of this machine is watched."""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from headwater.apps import demo
from headwater.apps.view import View
from headwater.pipeline import Pipeline
from headwater.sources.tap import Tap
from headwater.telemetry import Ledger, lines

WIDTH, HEIGHT = 110, 32
SECONDS = 12.0


def watch(interfaces: list[str]) -> int:
    """Run the view on a terminal that is none, and keep its last picture."""
    ledger = Ledger()
    tap = Tap(ledger, interfaces)
    screen = Console(file=io.StringIO(), width=WIDTH, height=HEIGHT, force_terminal=True, color_system="truecolor")
    view = View(screen, lambda: ", ".join(f"{name} ({hook})" for name, hook in tap.listening()))
    taken: list[list[Text]] = []

    class Camera:
        """Passes everything on to the view."""

        open, close, update, tick, fileno = view.open, view.close, view.update, view.tick, view.fileno

        def draw(self) -> None:
            """Keep what is to be seen."""
            view.draw()
            if tap.listening():
                taken.append(view.lines(WIDTH, HEIGHT))

    Pipeline([tap], [], ledger, Camera()).run(SECONDS)
    paper = Console(file=io.StringIO(), width=WIDTH, height=HEIGHT, record=True, force_terminal=True, color_system="truecolor")
    for line in max(taken, key=_variety):
        paper.print(line, no_wrap=True, overflow="crop")
    svg = re.sub(r",\s*url\([^)]*\) format\([^)]*\)", "", paper.export_svg(title="headwater demo"))  # fonts from elsewhere
    Path(__file__).with_name("live.svg").write_text(svg)
    sys.stdout.write("\n".join(lines(ledger.totals())) + "\n")
    return 0


def _variety(picture: list[Text]) -> int:
    """How many kinds of packets are to be seen at once."""
    packets = "".join(line.plain for line in picture).partition("destination")[2]
    return sum(f" {word} " in packets for word in "TCP UDP ICMP ICMPv6 ARP IGMP LLDP dns http echo vlan ping".split())


if __name__ == "__main__":
    sys.exit(demo.run(watch, None))
