"""Tests of tests/kernel that ask what this kernel is: filters of clsact that must not stay, what a confined run can do, netem, VLANs."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

KERNEL_TESTS = Path(__file__).parents[1] / "kernel"
TESTS = {
    "test_verifier.py": "",
    "test_confine.py": "forbidden",
    "test_clsact.py": "",
    "test_conversations.py": "netem",
    "test_places.py": "vlan",
}  # file: which of it
TIMEOUT_S = 1500


def run(best: str, say: Callable[[str, str, str, str], None]) -> None:
    """A finding a file; those tests are left out that have the name of a rung or of a program which this kernel is too old for."""
    for file, which in TESTS.items():
        words = ["-k", f"({which or 'test'})" + ("" if best == "tcx" else " and not tcx and not bound")]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=200", "-rf", *words, str(KERNEL_TESTS / file)]
        done = subprocess.run(command, cwd=KERNEL_TESTS.parents[1], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        passed = re.search(r"(\d+) passed", done.stdout)
        failed = re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.M)
        if done.returncode:
            print(done.stdout[-12000:], flush=True)
        looked = [int(one.replace(",", "")) for one in re.findall(r"([\d,]+) instructions looked at", done.stdout)]
        told = f"{passed[1] if passed else 0} passed" + (f"; at most {max(looked):,} instructions looked at" if looked else "")
        say(file, "", told, f"failed: {', '.join(failed) or done.stdout[-300:]}" if done.returncode else "")
