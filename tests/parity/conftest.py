"""What the tests of parity share."""

from pathlib import Path

import pytest
from kernel_flows import build
from parity import ROOT


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tap, for which it is what time a test says."""
    return build(ROOT / "bpf", tmp_path_factory.mktemp("objects"))
