"""A guest that hangs, dies or is cut off is a failure, told with what its console said last; qemu itself is not needed for this."""

import json
import stat
from pathlib import Path

import guest
import packages
import pytest
from findings import Finding, parse

LINE = json.dumps({"group": "devices", "what": "veth", "rung": "tcx", "told": "30 in, 80 out", "wrong": ""})
END = '{"end": 1, "release": "6.1.0"}'


def test_findings_are_read() -> None:
    assert parse(f"{LINE}\n{END}\n", "6.1.0") == [Finding("devices", "veth", "tcx", "30 in, 80 out", "")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        LINE,
        f"{LINE}\n{END[:-3]}",
        END,
        f"{LINE}\n{LINE}\n{END}",
        f"{LINE[:9]}\n{END}",
        f"[1]\n{END}",
        f'{{"group": 1}}\n{END}',
        f"{LINE}\n{END}\n{LINE}",
    ],
)
def test_what_is_cut_off_or_not_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cut off|ends with"):
        parse(text, "6.1.0")


def test_another_kernel_than_was_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"6[.]1[.]0"):
        parse(f"{LINE}\n{END}", "6.12.0")


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> packages.Kernel:
    """A qemu of our own in place of the real one; $console and $result are the files of the serial ports."""
    files = "set -- $(echo \"$@\" | grep -o 'file:[^ ]*' | cut -c6-); console=$1 result=$2"
    (folder / "qemu-system-x86_64").write_text(f"#!/bin/sh\n{files}\n{does}\n")
    (folder / "qemu-system-x86_64").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(guest, "_initramfs", lambda kernel, command: b"")
    return packages.Kernel("6.1", "6.1.0", "1", folder / "vmlinuz", folder)


def test_what_it_tells_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = machine(tmp_path, monkeypatch, 'echo booting >"$console"; echo told >"$result"')
    assert guest.run(kernel, "true", accelerator="tcg", timeout=20) == "told\n"


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ('echo "Kernel panic" >"$console"', "said nothing.*\n.*Kernel panic"),
        ('echo "still here" >"$console"; exec sleep 30', "did not end within 1 s.*\n.*still here"),
        ("echo no such machine >&2; exit 1", "qemu: no such machine"),
    ],
)
def test_one_that_dies_or_hangs_is_told_with_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str) -> None:
    kernel = machine(tmp_path, monkeypatch, does)
    with pytest.raises(guest.GuestError, match=said):
        guest.run(kernel, "true", accelerator="tcg", timeout=1)


def test_an_archive_that_the_kernel_reads(tmp_path: Path) -> None:
    """Each entry begins at a multiple of four, and tells its length where the kernel looks for it."""
    entry = guest._entry("bin/x", 0o100755, b"12345")
    assert len(entry) % 4 == 0
    assert (entry[:6], int(entry[14:22], 16), int(entry[54:62], 16), int(entry[94:102], 16)) == (b"070701", 0o100755, 5, 6)
    assert entry[110:116] == b"bin/x\0"
    assert entry[116:121] == b"12345"
