"""What the packages are made of."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files, so that nothing left over in the tree helps."""
    tree = tmp_path_factory.mktemp("tree")
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    (tree / ".venv").symlink_to(Path(sys.executable).parent.parent)
    subprocess.run(["make", "-s", "wheel-only"], cwd=tree, check=True, timeout=300)
    return next((tree / "dist").glob("*.whl"))
