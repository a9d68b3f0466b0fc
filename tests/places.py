"""Where things lie."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPORA = ROOT.parent / "shared/corpora"
ZEEKDIFF = ROOT.parent / "shared/tools/zeekdiff"
