"""Builds and runs the fuzzers: targets, seeds, and what a run found. Needs clang, its libFuzzer, and the captures of the corpora."""

import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CORPORA = ROOT.parent / "shared/corpora"
SANITIZED = "clang -std=gnu11 -g -fno-inline-functions -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all".split()
CAPTURE = "capture capture_rows checksum link pcap pcapng pcapng_writer"
DECODER = " ".join(["fuzz_capture.c", "mutate.c", *(f"native/{name}.c" for name in CAPTURE.split())])
FLOWS = "carried due known packets picks places rows table".split()
STREAMS = ["conn", "flows", "fragments", "ids", "servers", "streams", "weird_rows", *(f"flow_{name}" for name in FLOWS)]
SMALL = "-DHW_CAPTURE_PACKET=2000 -DROOM=4096"  # so that small inputs reach what is too large, and fill the writer


@dataclass(frozen=True)
class Target:
    """Sources of tests/fuzz and native/, the compiler's options, octets of an input at most, and how long CI tries."""

    sources: str
    options: str = ""
    longest: int = 512
    seconds: int = 60  # in CI

    def build(self, into: Path, tree: Path = ROOT, level: str = "-O1") -> Path:
        """With bpf/ and native/ of `tree`; -O0 is built in a third of the time, and is slower."""
        sources = [str((tree if name.startswith("native/") else HERE) / name) for name in self.sources.split()]
        headers = [f"-I{tree / folder}" for folder in ("bpf", "native")]
        command = [*SANITIZED, level, *self.options.split(), *headers, *sources, "-o", str(into)]
        subprocess.run(command, check=True, timeout=300)
        return into


TARGETS = {
    "packet": Target("fuzz_packet.c"),
    "link": Target("fuzz_link.c native/link.c"),
    "pcap": Target(DECODER, f"{SMALL} -DFUZZ_PCAPNG=0", longest=4096),
    "pcapng": Target(DECODER, f"{SMALL} -DFUZZ_PCAPNG=1", longest=4096),
    "streams": Target(" ".join(["fuzz_streams.c", *(f"native/{name}.c" for name in STREAMS)]), longest=2000, seconds=20),
}
KEPT = {  # inputs that broke something once, and run first ever since
    "link": {
        "radiotap's flags said to be behind its end": "007f000030000008000300008088020080020000800000028000000080020000"
        "80000000800000aaaa030000008847000101404500200000000000000000000000",
    },
    "pcapng": {
        "an interface with an option that does not fit": "0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000"
        "010000001c000000010000000000040002004000696630001c000000",
    },
}


_BEGIN = ((0, 0, 2, 0, 0, 0), (0, 1, 18, 0, 1, 0), (0, 0, 16, 1, 1, 0))
CONVERSATIONS = (  # flow, side, flags of TCP, its number, what it acknowledges, octets: as in fuzz_streams.c
    (*_BEGIN, (0, 0, 16, 1, 1, 100), (0, 0, 16, 201, 1, 50), (0, 0, 16, 101, 1, 150), (0, 1, 16, 1, 251, 200), (0, 0, 17, 251, 201, 0)),
    (*_BEGIN, (0, 0, 16, 1, 1, 100), (0, 1, 16, 1, 301, 300), (0, 0, 16, 501, 301, 50), (0, 1, 16, 301, 551, 200)),
    ((11, 0, 0, 1, 0, 60), (11, 1, 0, 2, 0, 300), (10, 0, 0x81, 5, 0, 64), (10, 0, 0x81, 5, 9, 64), (10, 0, 0x80, 5, 17, 30)),
    (
        (11, 0, 0xA1, 5, 0, 56),
        (10, 0, 0x40, 1, 0, 100),
        (11, 0, 0x81, 5, 8, 64),
        (11, 0, 0x80, 5, 16, 30),
    ),  # all at once: one carries the next
)


def make_seeds(into: Path) -> None:
    """A folder for each target: frames of the captures, by how they begin and by link type, and the captures' first octets, by format."""
    captures = sorted(path for path in CORPORA.rglob("*") if path.suffix in (".pcap", ".pcapng"))
    for name in TARGETS:
        (into / name).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(captures):
        with path.open("rb") as file:
            octets = file.read(TARGETS["pcap"].longest)
        name = "pcapng" if octets.startswith(b"\n\r\r\n") else "pcap"
        (into / name / f"{number:05}").write_bytes(octets)
    for name, inputs in KEPT.items():
        for number, octets in enumerate(inputs.values()):
            (into / name / f"kept-{number}").write_bytes(bytes.fromhex(octets))
    for number, steps in enumerate(CONVERSATIONS):
        octets = b"".join(
            struct.pack(">BBHHHBB", flow | side << 7, flags, at, ack, length, number < 3, 0) for flow, side, flags, at, ack, length in steps
        )
        (into / "streams" / f"{number}").write_bytes(octets)
    command = ["cc", "-std=gnu11", f"-I{ROOT / 'bpf'}", f"-I{ROOT / 'native'}", str(HERE / "seeds.c"), str(ROOT / "native/link.c")]
    subprocess.run([*command, "-o", str(into / "seeds")], check=True, timeout=60)
    names = "".join(f"{path}\n" for path in captures)
    subprocess.run([str(into / "seeds"), str(into / "packet"), str(into / "link")], input=names, text=True, check=True, timeout=60)


@dataclass(frozen=True)
class Outcome:
    """Inputs tried, edges of the code that they reached and that there are, inputs that reached something new, and one that broke it."""

    executions: int
    edges: int
    of: int
    corpus: int
    broke: Path | None
    output: str

    def __str__(self) -> str:
        reached = f"{self.edges:,} of {self.of:,} edges, {self.corpus:,} inputs in the corpus"
        return f"{self.executions:,} executions, {reached}, {'1 crash: ' + str(self.broke) if self.broke else '0 crashes'}"


def fuzz(name: str, binary: Path, seeds: Path, found: Path, seconds: int) -> Outcome:
    """Run from `seeds` and from what is in `found`, where what is new is added, until something breaks."""
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_len={TARGETS[name].longest}", f"-max_total_time={seconds}", "-rss_limit_mb=1024", "-timeout=60"]
    command = ["nice", "-n", "19", str(binary), *limits, "-print_final_stats=1", f"-artifact_prefix={found.parent / name}-"]
    done = subprocess.run([*command, str(found), str(seeds / name)], capture_output=True, check=False, timeout=seconds + 300)
    output = done.stderr.decode(errors="replace")
    executions = re.search(r"^stat::number_of_executed_units: (\d+)", output, re.MULTILINE)
    reached = re.findall(r" cov: (\d+) .* corp: (\d+)/", output) or [("0", "0")]  # none if a seed broke it
    edges = re.search(r"\((\d+) inline 8-bit counters\)", output)
    broke = re.search(r"Test unit written to (.*)", output)
    if not (executions and edges) or bool(done.returncode) != bool(broke):
        raise RuntimeError(output[-4000:])
    return Outcome(int(executions[1]), int(reached[-1][0]), int(edges[1]), int(reached[-1][1]), broke and Path(broke[1]), output)
