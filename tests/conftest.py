"""What several parts of the tests need."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPORA = ROOT.parent / "shared/corpora"
