"""The notebook of the docs, a cell after the other."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from places import ROOT


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    with TemporaryDirectory() as folder:  # where the store's account may go, too
        Path(folder).chmod(0o711)
        shutil.copy(ROOT / "docs/trace.pcap", folder)
        monkeypatch.chdir(folder)
        for cell in json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), made)  # noqa: S102 - ours
    assert made["table"].column("flows").to_pylist() == [10, 10, 10]
    assert len(made["frame"]) == 30
    assert set(made["frame"]["conn_state"]) == {"SF", "REJ"}
    assert made["seconds"]["packets"].sum() == len(made["packets"]) > 200
