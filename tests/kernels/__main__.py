"""`make kernels`: Headwater on Debian's kernels in qemu.

usage: python tests/kernels [KERNEL...] [PART...]; all of both write docs/kernel-matrix.md
"""

import shlex
import sys
import time
from pathlib import Path

import guest
import packages
import page
from findings import PARTS, Finding, parse

ROOT = Path(__file__).parents[2]
TIMEOUT_S = {"kvm": 900.0, "tcg": 3600.0}


def findings(kernel: packages.Kernel, parts: list[str], accelerator: str) -> list[Finding]:
    """Run the parts in a guest. Raises guest.GuestError."""
    python_path = ":".join(str(ROOT / folder) for folder in ("src", "tests", "tests/kernel", "tests/kernels"))
    inside = [sys.executable, str(Path(__file__).with_name("inside.py")), str(packages.wireguard()), *parts]
    command = f"cd {shlex.quote(str(ROOT))}; export PYTHONPATH={shlex.quote(python_path)}; {shlex.join(inside)}"
    text = guest.run(kernel, command, accelerator=accelerator, timeout=TIMEOUT_S[accelerator])
    try:
        return parse(text, kernel.release)
    except ValueError as error:
        raise guest.GuestError(str(error)) from None


def main() -> None:
    """Exit code 1 if anything was not as it should be."""
    words = sys.argv[1:]
    unknown = set(words) - packages.KERNELS.keys() - set(PARTS)
    if unknown:
        sys.exit(f"kernels: no {', '.join(sorted(unknown))}; there are {', '.join([*packages.KERNELS, *PARTS])}")
    names = [name for name in packages.KERNELS if name in words] or list(packages.KERNELS)
    parts = [part for part in PARTS if part in words] or list(PARTS)
    packages.need("qemu-system-x86_64", "qemu-system-x86")
    done: list[tuple[packages.Kernel, list[Finding]]] = []
    accelerator = guest.accelerator(packages.kernel(names[0]))
    start = time.monotonic()
    for name in names:
        kernel = packages.kernel(name)
        print(f"kernels: {kernel.release} ({accelerator})", flush=True)
        try:
            found = findings(kernel, parts, accelerator)
        except guest.GuestError as error:
            found = [Finding("guest", "whole run", "", "", str(error))]
        done.append((kernel, found))
        bad = [one for one in found if one.wrong]
        print(f"kernels: {kernel.release}: {len(found) - len(bad)} of {len(found)} as they should be", flush=True)
        for one in bad:
            print(f"  {one.group}, {one.what} {one.rung}: {one.wrong}", flush=True)
    if (names, parts) == (list(packages.KERNELS), list(PARTS)):
        page.write(ROOT / "docs/kernel-matrix.md", done, accelerator, time.monotonic() - start)
    if any(one.wrong for _, found in done for one in found):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
