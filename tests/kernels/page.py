"""docs/kernel-matrix.md, out of what the guests told."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from findings import Finding
from packages import Kernel

HEAD = """# Kernel matrix

Headwater on kernels other than the test-suite's, each in a virtual machine. `make kernels` writes this page; [kernels.md](kernels.md)
says what each rung needs.

Between two network namespaces there is a device of each kind. Over each, the near end sends 50 UDP datagrams from a kernel socket and
answers 30 echo requests of the far end's `ping`, while one `headwater run` watches all devices and what is below them. All is as it
should be when rows equal what was sent; when below a tunnel, VLAN, PPPoE, bond or bridge there are as many, with the inner addresses and
the columns of what wraps them; when the ledger equals the device's own counters, and adds up; and when nothing is dropped. Frames of
devices without Ethernet begin with IP.

Where rungs and devices differ by design:

- `netem` (20 % lost, 10 % twice, 3 ms late, on both ends): tcx and clsact see all that goes out, before the queueing discipline;
  AF_PACKET sees what that let through. What comes in is what the other end let through.
- WireGuard's own counters count handshakes and keepalives too, so its rows are compared with what was sent. Below it there are its
  datagrams, as many and as long as they should be.
- XDP sees what arrives; where a driver has none, it watches below the device. A VLAN tag that is beside the frame, as veth hands it over,
  it does not see.
- XDP on a bond would run on its ports: it is refused, and these are named.
"""
SHOWN_REFUSALS = ("vlan", "bond")  # the others have the words of the first
COLUMNS = ("tcx", "clsact", "af_packet", "xdp")


def write(path: Path, done: Sequence[tuple[Kernel, Sequence[Finding]]], accelerator: str, seconds: float) -> None:
    """The page, whatever the outcome."""
    how = "with KVM" if accelerator == "kvm" else "emulated"
    today = datetime.datetime.now(tz=datetime.UTC).date()
    parts = [HEAD, f"Last run on {today}, {how}, in {seconds / 60:.0f} minutes."]
    for kernel, found in done:
        bad = [one for one in found if one.wrong]
        parts.append(f"\n## Linux {kernel.name}\n\n`{kernel.release}` (Debian package {kernel.version}):")
        parts.append(f"{len(found) - len(bad)} of {len(found)} findings as they should be.")
        if bad:
            parts.append("\n" + "\n".join(f"- **{one.group}, {one.what} {one.rung}**: {_cell(one.wrong)}" for one in bad))
        parts.append(_devices([one for one in found if one.group == "devices"]))
        parts.append(
            _list("What is said where XDP is asked for:", [one for one in found if one.group == "xdp" and one.what in SHOWN_REFUSALS])
        )
        parts.append(
            _table("Privileges, as another user, with no other capability to be had", [one for one in found if one.group == "privileges"])
        )
        parts.append(_table("Tests of `tests/kernel` in the guest", [one for one in found if one.group == "suite"]))
    path.write_text("\n".join(part for part in parts if part) + "\n")


def _devices(found: Sequence[Finding]) -> str:
    """Kinds by rungs. The rung that the run took by itself is the first that is there."""
    rungs = [rung for rung in COLUMNS if any(one.rung == rung and one.what != "doctor" for one in found)]
    if not rungs:
        return ""
    cells = {(one.what, one.rung): "**wrong**" if one.wrong else one.told for one in found}
    kinds = dict.fromkeys(one.what for one in found if one.what != "doctor")
    heads = [f"`{rung}`" + (" (chosen by itself)" if rung == rungs[0] else "") for rung in rungs]
    lines = [f"| device | {' | '.join(heads)} |", "| --- |" + " --- |" * len(rungs)]
    lines += [f"| {kind} | {' | '.join(cells.get((kind, rung), '') for rung in rungs)} |" for kind in kinds]
    return "\n" + "\n".join(lines)


def _table(title: str, found: Sequence[Finding]) -> str:
    if not found:
        return ""
    lines = [f"\n{title}:\n", "| what | rung | outcome |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {one.what} | {one.rung} | {'**wrong**' if one.wrong else _cell(one.told)} |" for one in found)])


def _list(title: str, found: Sequence[Finding]) -> str:
    return "\n".join([f"\n{title}\n", *(f"- {one.what}: {_cell(one.told)}" for one in found)]) if found else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
