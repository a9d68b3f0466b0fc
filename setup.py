"""Builds what is not Python: the BPF objects (clang), and the native module with the layouts that their BTF tells."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CLANG = os.environ.get("CLANG", "clang")
STRIP = os.environ.get("LLVM_STRIP", "llvm-strip")
BPF_FLAGS = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror", f"-ffile-prefix-map={ROOT}=."]
MULTIARCH = Path("/usr/include") / f"{os.uname().machine}-linux-gnu"  # where Debian keeps asm/types.h


def load_btf() -> ModuleType:
    """The BTF reader out of the source tree: the package is not installed yet."""
    spec = importlib.util.spec_from_file_location("btf", ROOT / "src/headwater/records/btf.py")
    assert spec is not None and spec.loader is not None  # noqa: S101 - the file is part of this tree
    module = importlib.util.module_from_spec(spec)
    sys.modules["btf"] = module
    spec.loader.exec_module(module)
    return module


def compile_bpf(into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for source in sorted((ROOT / "bpf").glob("*.bpf.c")):
        target = into / source.name.replace(".bpf.c", ".bpf.o")
        subprocess.run([CLANG, *BPF_FLAGS, f"-I{MULTIARCH}", "-c", f"bpf/{source.name}", "-o", str(target)], cwd=ROOT, check=True)
        subprocess.run([STRIP, "-g", str(target)], check=True)  # DWARF goes, BTF stays


def write_layout_check(objects: Path) -> None:
    """C assertions that the native compiler lays out each struct as the BPF compiler did."""
    btf = load_btf().read(objects / "records.bpf.o")
    lines = ["/* Made by setup.py from the BTF of records.bpf.o. */"]
    for struct in btf.structs.values():
        if not struct.name.startswith("hw_"):
            continue
        lines.append(f'_Static_assert(sizeof(struct {struct.name}) == {struct.size}, "{struct.name}");')
        lines += [
            f'_Static_assert(__builtin_offsetof(struct {struct.name}, {m.name}) == {m.offset}, "{struct.name}.{m.name}");'
            for m in struct.members
            if struct.name != "hw_schema"
        ]
    check = ROOT / "build/hw_layout_check.h"
    check.parent.mkdir(exist_ok=True)
    check.write_text("\n".join(line for line in lines if "hw_schema" not in line) + "\n")


class BuildNative(build_ext):
    def run(self) -> None:
        package = Path("src/headwater") if self.inplace else Path(self.build_lib) / "headwater"
        objects = ROOT / package / "bpf" if not package.is_absolute() else package / "bpf"
        compile_bpf(objects)
        write_layout_check(objects)
        super().run()


setup(
    cmdclass={"build_ext": BuildNative},
    cffi_modules=["native/build.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
